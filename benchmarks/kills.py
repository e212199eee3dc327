"""Kill -9 at random moments of a campaign, resume, and hold the rows against a run nobody killed.

    python benchmarks/kills.py [KILLS] [--seed S] [--only KIND]

A kill is of one of the KINDS below. Afterwards the run is gone on with until it is finished, on a fresh cluster where
there was one. Every column of every row is compared, in order. Whoever kills an implementation takes the answer that it
was about to give: that one case is `failed`, with the signal named, and every other row is the same. Half a minute
later none of the processes may be left. A kill takes about twice as long as a whole run; the table is printed, and
stored beside this file with --store.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # Dask brings it; without stubs it is Any
import pyarrow.parquet
from gradparity.harness.campaign import CASES_A_STRUCTURE, STRUCTURES_A_SHARD
from rich.console import Console
from rich.table import Table

STORED = Path(__file__).with_suffix(".json")
TAMPERED = Path(__file__).parents[1] / "tests" / "tampered.py"
SHARDS = 20
CASES = SHARDS * CASES_A_STRUCTURE * STRUCTURES_A_SHARD
VERIFY = (
    "verify", f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(TAMPERED))} honest kills", "--cases", str(CASES),
    "--precision", "float64", "--only", "relu,identity,half_squared_error",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """How a campaign is judged, and which of its processes is killed."""

    name: str
    victim: str
    jobs: int = 1
    #: The options of `dask worker` on a cluster of our own; None without one.
    workers: tuple[str, ...] | None = None


KINDS = (
    Kind("one process: the parent", "parent"),
    Kind("one process: the implementation", "implementation"),
    Kind("--jobs 2: the parent", "parent", jobs=2),
    Kind("--jobs 2: a Dask worker", "worker", jobs=2),
    Kind("--jobs 2: an implementation", "implementation", jobs=2),
    Kind("cluster with nannies: a worker", "worker", workers=("--nanny",)),
    Kind("cluster with nannies: the scheduler", "scheduler", workers=("--nanny",)),
    Kind("cluster without nannies: a worker", "worker", workers=("--no-nanny",)),
    Kind("cluster without nannies: the scheduler", "scheduler", workers=("--no-nanny",)),
    Kind("cluster: the parent", "parent", workers=("--nanny",)),
)


def gradparity(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gradparity.harness.cli", *arguments]


def rows(folder: Path) -> list[dict[str, Any]]:
    shards = sorted((folder / "verdicts").glob("*.parquet"))
    return [row for shard in shards for row in pyarrow.parquet.read_table(shard).to_pylist()]


def descendants(process: int) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = psutil.Process(process).children(recursive=True)
        return found
    except psutil.NoSuchProcess:
        return []


def chosen(processes: Sequence[psutil.Process], sign: str) -> list[psutil.Process]:
    """Give those whose command line holds a sign."""
    found = []
    for one in processes:
        try:
            if sign in " ".join(one.cmdline()):
                found.append(one)
        except psutil.Error:
            continue
    return found


@dataclass
class Cluster:
    """A scheduler and two workers, started by Dask's own commands on this machine."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]

    def processes(self) -> list[psutil.Process]:
        return [one for started in self.workers for one in descendants(started.pid)]


@contextmanager
def cluster(options: Sequence[str], folder: Path) -> Iterator[Cluster]:
    """Start one; everything of it is ended afterwards, whatever has died before."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    dask = [sys.executable, "-m", "dask"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)],
        **quiet,
    )  # fmt: skip
    workers = []
    try:
        while not file.exists() or not file.read_text():
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        workers = [
            subprocess.Popen(
                [*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--death-timeout", "20", *options],
                **quiet,
            )
            for _ in range(2)
        ]  # fmt: skip
        yield Cluster(address, scheduler, workers)
    finally:
        left = [one for started in workers for one in descendants(started.pid)]
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
        for one in left:
            with_no_process(one.kill)


def with_no_process(act: Callable[[], object]) -> None:
    """Do it, unless the process has gone."""
    with suppress(psutil.NoSuchProcess):
        act()


def victims(kind: Kind, parent: int, own: Cluster | None) -> list[psutil.Process]:
    """Give whom a kill of this kind may hit, at this moment."""
    ours = [*descendants(parent), *(own.processes() if own else [])]
    if kind.victim == "parent":
        return [psutil.Process(parent)]
    if kind.victim == "implementation":
        return chosen(ours, "tampered.py")
    if own is None:
        return chosen(ours, "spawn_main")
    if kind.victim == "scheduler":
        return [psutil.Process(own.scheduler.pid)]
    nannied = chosen(ours, "spawn_main")
    return nannied or [psutil.Process(one.pid) for one in own.workers]


@dataclass(frozen=True)
class Result:
    """What became of one kill."""

    kind: str
    #: When, counted in shards; and how many were finished then.
    moment: float
    finished: int
    #: What the killed run said by itself: its exit status, and the end of its standard error.
    status: int | None
    said: str
    resumed: int
    same: bool
    left: int

    @property
    def good(self) -> bool:
        return self.same and not self.left


def kill(
    kind: Kind, folder: Path, took: float, moment: float, rng: random.Random, want: Sequence[dict[str, Any]]
) -> Result:
    """Begin a run, kill after so many shards and the fraction of one, go on until it is finished, and compare."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run, resumed = folder / "run", 0
    with cluster(kind.workers, folder) if kind.workers else _nothing() as own:
        where = ["--scheduler", own.address] if own else ["--jobs", str(kind.jobs)]
        parent = subprocess.Popen(
            gradparity(*VERIFY, *where, "--out", str(run)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd=folder,
        )  # fmt: skip
        _begun(run)
        before = descendants(parent.pid)
        found = list[psutil.Process]()
        while parent.poll() is None and (
            len(list(run.glob("verdicts/*.parquet"))) < int(moment) or not found
        ):
            time.sleep(0.01)
            found = victims(kind, parent.pid, own)
        # Before the first shard there is more to hit: Dask, the implementations, and all that is imported.
        time.sleep(moment % 1 * took / (SHARDS if moment >= 1 else 4))
        found = victims(kind, parent.pid, own) if parent.poll() is None else []
        before += descendants(parent.pid)
        finished = len(list(run.glob("verdicts/*.parquet")))
        if found:
            with_no_process(lambda: rng.choice(found).send_signal(signal.SIGKILL))
        try:
            said = parent.communicate(timeout=10 * took + 60)[1].decode().strip()
        except subprocess.TimeoutExpired:
            parent.kill()
            said = "HUNG: " + parent.communicate()[1].decode().strip()
    unfinished = _unfinished(run)
    while unfinished and resumed < 3:
        resumed += 1
        with cluster(kind.workers, folder) if kind.workers else _nothing() as own:
            where = ["--scheduler", own.address] if own else ["--jobs", str(kind.jobs)]
            subprocess.run(gradparity("verify", "--resume", *where, "--out", str(run)), cwd=folder,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # fmt: skip
        unfinished = _unfinished(run)
    left = _left(before)
    last = said.splitlines()[-1] if said else ""
    return Result(kind.name if found else "none: it had ended", moment, finished, parent.returncode, last, resumed,
                  _same(rows(run), want, 1 if kind.victim == "implementation" else 0), left)  # fmt: skip


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


def _begun(run: Path) -> None:
    while not (run / "run.json").exists():
        time.sleep(0.01)


def _unfinished(run: Path) -> bool:
    content = json.loads((run / "run.json").read_text())
    return not content["complete"] or bool(content["lost"])


def _same(got: Sequence[dict[str, Any]], want: Sequence[dict[str, Any]], most_failed: int) -> bool:
    """Whether the rows are the same, but for so many cases that say that their process was killed."""
    failed = {row["case"] for row in got if row["verdict"] == "failed" and "SIGKILL" in row["message"]}
    if len(failed) > most_failed:
        return False
    return [row for row in got if row["case"] not in failed] == [
        row for row in want if row["case"] not in failed
    ]


def _left(processes: Sequence[psutil.Process]) -> int:
    """Count what is still there after half a minute."""
    deadline = time.monotonic() + 30
    alive = list(processes)
    while alive and time.monotonic() < deadline:
        alive = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.2)
    for one in alive:
        with_no_process(one.kill)
    return len(set(alive))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds that hold this text")
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args()
    rng, console = random.Random(given.seed), Console()
    kinds = [kind for kind in KINDS if given.only in kind.name]
    names, results = {kind.name for kind in kinds}, list[Result]()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        whole = subprocess.Popen(gradparity(*VERIFY, "--out", str(folder / "whole")), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)  # fmt: skip
        _begun(folder / "whole")
        began = time.perf_counter()
        assert whole.wait() == 0
        took, want = time.perf_counter() - began, rows(folder / "whole")
        assert len(list(folder.glob("whole/verdicts/*.parquet"))) == SHARDS
        console.print(f"A whole run takes {took:.0f} s and has {len(want):,} rows.")
        while sum(one.kind in names for one in results) < given.kills:
            kind = kinds[len(results) % len(kinds)]
            results.append(kill(kind, folder / "killed", took, rng.uniform(0, SHARDS - 1), rng, want))
            console.print(len(results), results[-1], highlight=False, soft_wrap=True)
            sys.stdout.flush()
    table = Table("killed", "times", "good", "resumed", "rows differ", "processes left")
    for name in Counter(one.kind for one in results):
        those = [one for one in results if one.kind == name]
        table.add_row(
            name, str(len(those)), str(sum(one.good for one in those)), str(sum(one.resumed > 0 for one in those)),
            str(sum(not one.same for one in those)), str(sum(one.left > 0 for one in those)),
        )  # fmt: skip
    console.print(table)
    if given.store:
        kept = {"cases": CASES, "shards": SHARDS, "seed": given.seed, "kills": [vars(one) for one in results]}
        STORED.write_text(json.dumps(kept, indent=1) + "\n")
    sys.exit(not all(one.good for one in results))


if __name__ == "__main__":
    main()
