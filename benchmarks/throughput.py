"""What judging costs beside the gradients that are judged: ``python benchmarks/throughput.py [IMPLEMENTATION ...]``.

The overhead is all the time that a campaign takes, in one process beside the implementation's own, over what a bare
loop over the same cases takes inside the implementation, both warm. 1.0 is the limit. Interleaved rounds, medians. The
result is compared with the last one stored beside this file, and stored with --store.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from gradparity.harness.campaign import Clock, Settings, campaign
from gradparity.harness.workers import Worker
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.network import Architecture, Case, Cost, Layer
from rich.console import Console
from rich.table import Table

STORED = Path(__file__).with_suffix(".json")
IMPLEMENTATIONS = ("torch:eager", "tensorflow:eager", "jax:jit")
#: Width of the three layers, batch, and how many cases a round has.
SIZES = ((16, 8, 200), (128, 32, 20), (1024, 64, 1))
ROUNDS = 3


def cases(width: int, batch: int, number: int) -> list[Case]:
    network = Architecture(width, tuple(Layer(width, "tanh") for _ in range(3)), Cost("half_squared_error"))
    return [case(network, batch, BY_NAME["ordinary"], seed, "float32") for seed in range(number)]


@dataclass(frozen=True)
class Overhead:
    """One implementation at one size: seconds a case, bare and judged, and their ratio."""

    implementation: str
    width: int
    batch: int
    bare: float
    judged: float
    overhead: float


def bare(name: str) -> None:
    """Answer, in a process of its own, every round that a line on standard input asks for, and print its seconds."""
    from gradparity.adapters.registry import load

    implementation = load(name)
    for line in sys.stdin:
        asked = cases(*json.loads(line))
        began = time.perf_counter()
        for one in asked:
            implementation.gradients(one)
        print(time.perf_counter() - began, flush=True)


def judged(name: str, worker: Worker, asked: list[Case]) -> float:
    began = time.perf_counter()
    for one in campaign(Settings((name,)), Clock(), iter(asked), workers=[worker]):
        assert all(row.verdict in ("agrees", "inconclusive") for row in one.rows)
    return time.perf_counter() - began


def measure(name: str) -> list[Overhead]:
    found = []
    loop = subprocess.Popen(
        [sys.executable, __file__, "--bare", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert loop.stdin is not None
    assert loop.stdout is not None
    with Worker(name, 300) as worker:
        for width, batch, number in SIZES:
            asked, rounds = cases(width, batch, number), list[tuple[float, float]]()
            for _ in range(ROUNDS + 1):
                loop.stdin.write(json.dumps((width, batch, number)) + "\n")
                loop.stdin.flush()
                rounds.append((float(loop.stdout.readline()), judged(name, worker, asked)))
            rounds = rounds[1:]  # the first compiles
            plain, whole = (median(one[i] for one in rounds) / number for i in range(2))
            ratio = median(whole / plain for plain, whole in rounds)
            found.append(Overhead(name, width, batch, plain, whole, ratio))
    loop.stdin.close()
    loop.wait()
    return found


def main(arguments: Sequence[str]) -> None:
    names = [one for one in arguments if not one.startswith("--")] or list(IMPLEMENTATIONS)
    before = {
        (one["implementation"], one["width"]): one["overhead"]
        for one in (json.loads(STORED.read_text()) if STORED.exists() else [])
    }
    table = Table("implementation", "3 x width", "batch", "bare ms", "judged ms", "overhead", "before")
    found = [one for name in names for one in measure(name)]
    for one in found:
        last = before.get((one.implementation, one.width))
        table.add_row(
            one.implementation, str(one.width), str(one.batch), f"{1e3 * one.bare:.2f}", f"{1e3 * one.judged:.2f}",
            f"{one.overhead:.2f}", f"{last:.2f}" if last else "",
        )  # fmt: skip
    Console().print(table)
    if "--store" in arguments:
        STORED.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        bare(sys.argv[2])
    else:
        main(sys.argv[1:])
