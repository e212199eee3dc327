"""What judging costs beside the gradients that are judged: ``python benchmarks/throughput.py [PART ...] [--store]``.

overhead   all the time of a campaign in one process, beside those of the implementations, over the time that bare loops
           over the same cases take inside the implementations: 1.0 is the limit. Each eager mode by itself, and the
           three in one campaign, which share drawing and hashing the cases, in float64, in float32, and with both in
           turns, as campaigns draw them. Rounds take turns; medians of their ratios.
growth     milliseconds a case against the number of parameters, and the exponent between the largest two.
jobs       cases a second of an ordinary campaign, in one process and in two, in turns, while all of them judge.
starts     seconds until a command has answered.
memory     the parent's resident memory after so many cases; takes half an hour, and is left out unless it is named.

Parts are compared with what is stored beside this file, by ratio, and stored with --store.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from math import log
from pathlib import Path
from statistics import median
from typing import Any

from gradparity.harness.campaign import CASES_A_STRUCTURE, Clock, Judged, Settings, campaign
from gradparity.harness.child import ONE_THREAD
from gradparity.harness.expectations import Expectations
from gradparity.harness.memory import VARIABLES, give_back
from gradparity.harness.shards import judge_shards
from gradparity.harness.workers import Worker, crew
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.property_tests.strategies import precision_of
from gradparity.reference.network import Architecture, Case, Cost, Layer
from rich.console import Console
from rich.table import Table

STORED = Path(__file__).with_suffix(".json")
EAGER = ("torch:eager", "tensorflow:eager", "jax:eager")
#: Width of the three layers, batch, and how many cases a round has.
SIZES = ((16, 8, 64), (128, 32, 64), (1024, 64, 32))
ROUNDS = 5
PRECISIONS = ("float64", "float32")
IN_TURNS = "in turns"
#: Widths whose judging is timed, with 32 examples.
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)

Record = dict[str, Any]


def cases(width: int, batch: int, number: int, precision: str = "float32") -> Iterator[Case]:
    network = Architecture(width, tuple(Layer(width, "tanh") for _ in range(3)), Cost("half_squared_error"))
    for seed in range(number):  # one by one, as a campaign draws them
        own = precision_of(seed // CASES_A_STRUCTURE, PRECISIONS) if precision == IN_TURNS else precision
        yield case(network, batch, BY_NAME["ordinary"], seed, own)


def answer_bare(name: str) -> None:
    """Answer every round that a line on standard input asks for, and print the seconds inside the implementation."""
    from gradparity.adapters.registry import load

    implementation, seconds = load(name), 0.0
    for line in sys.stdin:
        seconds = 0.0
        for one in cases(*json.loads(line)):
            began = time.perf_counter()
            implementation.gradients(one)
            seconds += time.perf_counter() - began
        print(seconds, flush=True)


class Bare:
    """A bare loop in a process of its own, with the environment that a worker has."""

    def __init__(self, stack: ExitStack, name: str) -> None:
        environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), **VARIABLES}
        self._loop = stack.enter_context(
            subprocess.Popen(
                [sys.executable, __file__, "--bare", name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            )
        )  # fmt: skip

    def seconds(self, *size: Any) -> float:
        sink, source = self._loop.stdin, self._loop.stdout
        assert sink is not None
        assert source is not None
        sink.write(json.dumps(size) + "\n")
        sink.flush()
        return float(source.readline())


def judged(workers: Sequence[Worker], *size: Any) -> float:
    """Time a campaign, from its cases' drawing to the last verdict."""
    names, began = tuple(worker.name for worker in workers), time.perf_counter()
    for one in campaign(Settings(names), Clock(), cases(*size), workers=workers):
        assert all(row.verdict == "agrees" for row in one.rows), one.rows
    return time.perf_counter() - began


def overhead() -> list[Record]:
    found = []
    with ExitStack() as stack:
        loops = {name: Bare(stack, name) for name in EAGER}
        workers = {one.name: stack.enter_context(one) for one in crew(EAGER, 300)}
        for (width, batch, number), precision in itertools.product(SIZES, (*PRECISIONS, IN_TURNS)):
            size = width, batch, number, precision
            for names in [(name,) for name in EAGER] + [EAGER]:
                rounds = []
                for _ in range(ROUNDS + 1):
                    bare = sum(loops[name].seconds(*size) for name in names)
                    rounds.append((bare, judged([workers[name] for name in names], *size)))
                rounds = rounds[1:]  # the first compiles
                found.append(
                    {
                        "implementation": names[0] if len(names) == 1 else "all three",
                        "network": f"3 x {width}, batch {batch}, {precision}",
                        "bare_ms": round(1e3 * median(bare for bare, _ in rounds) / number, 3),
                        "judged_ms": round(1e3 * median(whole for _, whole in rounds) / number, 3),
                        "overhead": round(median(whole / bare for bare, whole in rounds), 2),
                    }
                )
    return found


def growth() -> list[Record]:
    found: list[Record] = []
    with Worker("reference", 300) as worker:
        for width in WIDTHS:
            number = max(1, min(64, 2**20 // width**2))
            judged([worker], width, 32, number)
            seconds = median(judged([worker], width, 32, number) for _ in range(3)) / number
            found.append(
                {"width": width, "parameters": 3 * width * (width + 1), "ms": round(1e3 * seconds, 3)}
            )
    for before, one in itertools.pairwise(found):
        grown = log(one["parameters"] / before["parameters"])
        one["exponent"] = round(log(one["ms"] / before["ms"]) / grown, 2)
    return found


def rate(names: tuple[str, ...], number: int, shards: int) -> float:
    """Give the cases a second of a campaign in so many processes, while all of them judge.

    That is from when each has finished its first shard, until one has none left; how long the others go on is chance.
    """
    from gradparity.harness.cluster import judge_side_by_side

    settings, lost = Settings(names, cases=64 * shards, seed=1), dict[int, str]()
    finished = (
        judge_shards(settings, Expectations(""), settings.shards)
        if number == 1
        else judge_side_by_side(settings, Expectations(""), settings.shards, number, "", lost)
    )
    times = [time.perf_counter() for _ in finished][number - 1 : shards - number + 1]
    assert not lost, lost
    return 64 * (len(times) - 1) / (times[-1] - times[0])


def jobs() -> list[Record]:
    found = []
    for names, shards in ((("reference",), 24), (("torch:eager",), 24), ((*EAGER[:2], "jax:jit"), 10)):
        rounds = [[rate(names, number, shards) for number in (1, 2)] for _ in range(3)]
        found.append(
            {
                "implementations": ", ".join(names),
                "one_job": round(median(one for one, _ in rounds), 1),
                "two_jobs": round(median(two for _, two in rounds), 1),
                "ratio": round(median(two / one for one, two in rounds), 2),
            }
        )
    return found


def starts() -> list[Record]:
    program = [sys.executable, "-m", "gradparity.harness.cli"]
    # Whoever tells Python to keep no bytecode compiles what was edited since the installation, every time.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, command in (
            ("import gradparity", [sys.executable, "-c", "import gradparity"]),
            ("an empty Python", [sys.executable, "-c", ""]),
            ("gradparity --help", [*program, "--help"]),
            ("gradparity verify reference --cases 1", [*program, "verify", "reference", "--cases", "1"]),
        ):
            took = []
            for i in range(6):
                out = ["--out", f"{folder}/{i}"] if "verify" in command else []
                began = time.perf_counter()
                subprocess.run([*command, *out], check=True, capture_output=True, env=environment)
                took.append(time.perf_counter() - began)
            found.append({"command": name, "seconds": round(median(took[1:]), 3)})
    return found


def memory() -> list[Record]:
    """Judge 10^5 cases as ``verify`` does, and look at this process's memory: while it judges, and when it rests.

    What a case takes is now more and now less, and how many wait for their answers is a matter of time. Given are the
    most there was so far, the median since the last look, and what is left where nothing is being judged.
    """
    settings, found = Settings(("reference",), cases=100_032, seed=2), list[Record]()
    statm, page = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE") / 2**20
    status, looks = Path("/proc/self/status"), list[float]()

    def resident() -> float:
        return page * int(statm.read_text().split()[1])

    def look(_: Judged) -> None:
        looks.append(resident())

    with Worker("reference", settings.timeout) as worker:
        for before, until in itertools.pairwise((0, 16, 50, 157, 500, len(settings.shards))):
            looks.clear()
            numbers = range(before, until)
            some = judge_shards(settings, Expectations(""), numbers, judged=look, workers=[worker])
            for _ in some:
                pass
            give_back()
            peak = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
            sizes = {"peak_MiB": peak, "judging_MiB": median(looks), "resting_MiB": resident()}
            found.append({"cases": 64 * until, **{key: round(size, 1) for key, size in sizes.items()}})
            print(found[-1], flush=True)
    return found


PARTS: dict[str, Callable[[], list[Record]]] = {
    "overhead": overhead, "growth": growth, "jobs": jobs, "starts": starts, "memory": memory,
}  # fmt: skip


def show(part: str, found: Sequence[Record], before: Sequence[Record]) -> None:
    """Print a part's records, the last figure of each with its ratio to the stored one."""
    columns = list(dict.fromkeys(key for one in found for key in one))
    names = [key for key in columns if isinstance(found[0].get(key), str)] or columns[:1]
    known = {tuple(one[key] for key in names): one for one in before if all(key in one for key in names)}
    table = Table(*columns, "over stored", title=part)
    for one in found:
        last = known.get(tuple(one[key] for key in names), {}).get(columns[-1])
        ratio = f"{one[columns[-1]] / last:.2f}" if last and columns[-1] in one else ""
        table.add_row(*(str(one.get(key, "")) for key in columns), ratio)
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", metavar="PART", nargs="*", choices=[[], *PARTS], help=", ".join(PARTS))
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args()
    stored: dict[str, list[Record]] = json.loads(STORED.read_text()) if STORED.exists() else {}
    for part in given.parts or [part for part in PARTS if part != "memory"]:
        found = PARTS[part]()
        show(part, found, stored.get(part, []))
        stored[part] = found
        if given.store:
            STORED.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        answer_bare(sys.argv[2])
    else:
        main()
