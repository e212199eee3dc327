"""What the door costs: the time of a case through a worker, against the same adapter called in this process.

Run it with

    python benchmarks/door.py [IMPLEMENTATION ...]

Through the door a case is written, sent and read, and its answer is written, sent, copied and checked. Many cases are
under way at once, as in a campaign, so that the two processes work side by side where two cores are free. A ratio is
that of two measurements next to each other in time; given are the medians over the rounds. The processor's time in
either process says what the door costs where no core is: then the two add up.

It prints a table and writes door.json beside itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from gradparity import Architecture, Case, Cost, Layer, Parameters
from gradparity.adapters.registry import load
from gradparity.harness.child import ONE_THREAD
from gradparity.harness.workers import Worker
from rich.console import Console
from rich.table import Table

IMPLEMENTATIONS = ("reference", "torch:eager", "tensorflow:eager", "jax:eager", "jax:jit")
ROUNDS = 15


@dataclass(frozen=True)
class Size:
    """A network that is asked about, and how many cases make a round."""

    depth: int
    width: int
    batch: int
    cases: int

    def __str__(self) -> str:
        return f"{self.depth} × {self.width}, batch {self.batch}"

    def draw(self) -> Iterator[Case]:
        random, layer = np.random.default_rng(self.width), Layer(self.width, "tanh")
        architecture = Architecture(self.width, (layer,) * self.depth, Cost("half_squared_error"))
        for _ in range(self.cases):
            W = random.normal(size=(self.depth, self.width, self.width)) / self.width**0.5
            b = random.normal(size=(self.depth, self.width))
            x, y = random.normal(size=(2, self.batch, self.width))
            yield Case(architecture, Parameters(tuple(W), tuple(b)), x, y)


SIZES = (Size(3, 16, 8, 400), Size(3, 512, 64, 16))


@dataclass(frozen=True)
class Price:
    """What one case takes, in milliseconds: called in this process; through the door, by the clock and by processor.

    ``ratio`` is how many times as long it takes by the clock. On a machine that others keep busy it is too large: two
    processes wait for their turns where one did. The processor's times hardly change.
    """

    implementation: str
    size: str
    inside: float
    through: float
    ratio: float
    inside_processor: float
    parent_processor: float
    worker_processor: float


def fresh(cases: Sequence[Case]) -> list[Case]:
    """The same cases, whose ids nobody has computed yet."""
    return [Case(case.architecture, case.parameters, case.x, case.y) for case in cases]


def processor_seconds(pid: int | None) -> float:
    """What a process has used so far, where the system tells."""
    try:
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except FileNotFoundError:
        return float("nan")
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def measure(name: str, size: Size) -> Price:
    """Take turns: all cases in this process, the same cases through the door."""
    cases, adapter = list(size.draw()), load(name)
    inside, called, through, parent, worker = (list[float]() for _ in range(5))
    with Worker(name, timeout=60.0) as asked:

        def answer() -> None:
            given, used, began = fresh(cases), time.process_time(), time.perf_counter()
            for case in given:
                adapter.gradients(case)
            inside.append(time.perf_counter() - began)
            called.append(time.process_time() - used)

        def ask() -> None:
            given, used = fresh(cases), (time.process_time(), processor_seconds(asked.pid))
            began = time.perf_counter()
            futures = [asked.submit(case) for case in given]
            assert {future.result().outcome for future in futures} == {"gradients"}
            through.append(time.perf_counter() - began)
            parent.append(time.process_time() - used[0])
            worker.append(processor_seconds(asked.pid) - used[1])

        for _ in range(1 + ROUNDS):
            answer()
            ask()
    ratios = [there / here for here, there in zip(inside, through, strict=True)]

    def milliseconds(measured: Sequence[float]) -> float:
        return round(median(measured[1:]) / size.cases * 1e3, 3)  # the first round imports and compiles

    return Price(
        name, str(size), milliseconds(inside), milliseconds(through), round(median(ratios[1:]), 2),
        milliseconds(called), milliseconds(parent), milliseconds(worker),
    )  # fmt: skip


def main(names: Sequence[str]) -> None:
    if any(
        os.environ.get(name) != "1" for name in ONE_THREAD
    ):  # as workers have it; NumPy reads it when it starts
        one_thread = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
        os.execve(sys.executable, [sys.executable, *sys.argv], one_thread)
    prices = [measure(name, size) for name in names or IMPLEMENTATIONS for size in SIZES]
    table = Table(
        "implementation", "network", "inside", "through", "ratio", "inside: processor", "parent", "worker",
        title="ms a case",
    )  # fmt: skip
    for price in prices:
        by_clock = (price.inside, price.through, price.ratio)
        numbers = (*by_clock, price.inside_processor, price.parent_processor, price.worker_processor)
        table.add_row(price.implementation, price.size, *(f"{number:.3g}" for number in numbers))
    Console(width=110).print(table)
    if not names:
        written = json.dumps([asdict(price) for price in prices], indent=1, ensure_ascii=False)
        Path(__file__).with_suffix(".json").write_text(written + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
