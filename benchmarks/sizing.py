"""How long a campaign takes on how many workers: a simulation, fed with what a real run's shards took.

    python benchmarks/sizing.py RUN [--store]

Measured here and now: a shard's seconds and verdicts (from RUN, a finished run in one process), what the one process
that collects needs to hand out a shard, to receive and to write one, and to merge its tally. Assumed: a worker is a
core, which pays for its implementations too; shards to come are like those of RUN; a machine that is lost is noticed
and replaced after NOTICED seconds, and starts its implementations anew. The shard that it had is asked again.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pyarrow.parquet
from gradparity.harness.campaign import Settings
from gradparity.harness.expectations import Expectations
from gradparity.harness.run import read
from gradparity.harness.shards import Finished, finished_shards, read_tally, write_shard
from gradparity.harness.tally import Tally
from rich.console import Console
from rich.table import Table

STORED = Path(__file__).with_suffix(".json")
VERDICTS = 10**6, 10**9
WORKERS = 1, 10, 100, 1000
#: How often a worker dies, in an hour: never; as spot machines do; and far too often.
FAILURES = 0.0, 0.05, 1.0
#: Seconds until a worker that is gone is noticed, and another is in its place.
NOTICED = 30.0
#: How many shards that cost nothing are sent round, to see what Dask costs.
EMPTY = 400


@dataclass(frozen=True)
class Measured:
    """What a shard costs, in seconds, and how large it is."""

    #: Each of the run's shards but the first, which waits for the implementations to start: ``start`` is that wait.
    services: tuple[float, ...]
    start: float
    verdicts: float
    size: float
    #: Seconds of the one process that collects, for each shard: Dask's hand-out and receipt, writing, merging.
    passing: float
    writing: float
    merging: float


def measure(folder: Path) -> Measured:
    content = read(folder)
    numbers = finished_shards(folder)
    files = [folder / "verdicts" / f"{number:05}.parquet" for number in numbers]
    tallies = [read_tally(folder, number) for number in numbers]
    spent = [sum(one.counted.clock) + sum(one.counted.seconds.values()) for one in tallies]
    ordinary = sorted(files, key=lambda file: file.stat().st_size)[len(files) // 2]
    shard = Finished(0, ordinary.read_bytes(), None, 0)
    settings = Settings(tuple(one["name"] for one in content["implementations"]))
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "verdicts").mkdir()
        writing = _seconds(lambda: write_shard(Path(made), shard))
        merging = _seconds(lambda: Tally().merge(read_tally(Path(made), 0)))
    return Measured(
        tuple(spent[1:]), max(0.0, spent[0] - median(spent[1:])),
        fmean(pyarrow.parquet.read_metadata(file).num_rows for file in files),
        fmean(file.stat().st_size for file in files), _passing(settings, shard), writing, merging,
    )  # fmt: skip


def _seconds(act: Callable[[], object], times: int = 50) -> float:
    began = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - began) / times


def _nothing(settings: Settings, expectations: Expectations, number: int, shard: Finished) -> Finished:
    return shard


def _passing(settings: Settings, shard: Finished) -> float:
    """Send shards round that cost nothing to judge, and give the seconds of each."""
    from distributed import Client, LocalCluster, as_completed

    with (
        LocalCluster(2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        (kept,) = client.scatter([shard], broadcast=True)
        expectations = Expectations()
        client.submit(_nothing, settings, expectations, 0, kept, pure=False).result()
        began = time.perf_counter()
        futures = [
            client.submit(_nothing, settings, expectations, number, kept, pure=False)
            for number in range(EMPTY)
        ]
        for future in as_completed(futures):
            future.result()
            future.release()
        return (time.perf_counter() - began) / EMPTY


@dataclass(frozen=True)
class Simulated:
    """One campaign that was never run."""

    verdicts: int
    workers: int
    #: Deaths of a worker in an hour.
    failures: float
    shards: int
    hours: float
    #: What of the workers' time went into shards that were finished.
    efficiency: float
    deaths: int
    #: What share of the time the collecting process was busy, and how long it went on after the last worker was done.
    collector: float
    after: float
    gigabytes: float
    #: What cost most of the time beyond the ideal: nothing much, the collector, the last shards, or deaths.
    limit: str


def simulate(
    measured: Measured, verdicts: int, workers: int, failures: float, rng: random.Random
) -> Simulated:
    """Let workers take shards one after another, and one process collect them as they come."""
    shards = -(-verdicts // round(measured.verdicts))
    ready = [(measured.start, number) for number in range(min(workers, shards))]
    heapq.heapify(ready)
    waiting, deaths, lost, useful = shards, 0, 0.0, 0.0
    arrivals = list[float]()
    while waiting:
        began, worker = heapq.heappop(ready)
        service = rng.choice(measured.services)
        death = rng.expovariate(failures / 3600) if failures else float("inf")
        if death < service:  # the shard is asked again, by whoever is free next
            deaths, lost = deaths + 1, lost + death + NOTICED + measured.start
            heapq.heappush(ready, (began + death + NOTICED + measured.start, worker))
            continue
        waiting, useful = waiting - 1, useful + service
        arrivals.append(began + service)
        heapq.heappush(ready, (began + service, worker))
    judged, collected, each = max(arrivals), 0.0, measured.passing + measured.writing
    for arrival in sorted(arrivals):
        collected = max(collected, arrival) + each
    end = collected + shards * measured.merging
    idle = workers * judged - useful - lost - min(workers, shards) * measured.start
    beyond = {
        "the collector": workers * (end - judged),
        "too few shards" if shards < workers else "the last shards": idle,
        "deaths": lost,
        "the implementations' start": min(workers, shards) * measured.start,
    }
    worst = max(beyond, key=lambda name: beyond[name])
    return Simulated(
        verdicts, workers, failures, shards, end / 3600, useful / (workers * end), deaths,
        shards * (each + measured.merging) / end, end - judged, shards * measured.size / 1e9,
        worst if beyond[worst] > 0.02 * workers * end else "nothing",
    )  # fmt: skip


def show(measured: Measured, results: Sequence[Simulated]) -> Table:
    title = (
        f"{fmean(measured.services):.1f} s and {measured.verdicts:,.0f} verdicts a shard; collecting "
        f"{1e3 * (measured.passing + measured.writing):.1f} ms, merging {1e3 * measured.merging:.1f} ms"
    )
    table = Table(
        "verdicts", "workers", "deaths/h", "hours", "efficiency", "collector", "GB", "limit", title=title
    )
    for one in results:
        table.add_row(
            f"{one.verdicts:.0e}", str(one.workers), f"{one.failures:g}", f"{one.hours:.3g}", f"{one.efficiency:.1%}",
            f"{one.collector:.1%}", f"{one.gigabytes:.2g}", one.limit,
        )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args()
    measured, rng = measure(given.run), random.Random(0)
    results = [
        simulate(measured, verdicts, workers, failures, rng)
        for verdicts in VERDICTS
        for workers in WORKERS
        for failures in FAILURES
    ]
    Console(width=120).print(show(measured, results))
    if given.store:
        content = read(given.run)
        kept: dict[str, Any] = {
            "run": {
                "settings": content["settings"],
                "environment": content["environment"],
                "seconds": content["rates"]["seconds"],
            },
            "noticed": NOTICED,
            "measured": asdict(measured),
            "simulated": [asdict(one) for one in results],
        }
        STORED.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
