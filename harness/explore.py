"""Exploring: idle time goes where margins are largest, by Hypothesis' hill climbing.

A round has one goal, the margin of one implementation in one equation, and the goals take turns. Every case is asked of
everybody and judged like any other. What depends on the clock and on the past cannot be drawn again from a seed, so a
round's rows lie apart from the campaign's, and what went wrong is remembered as a case document:

.gradparity/examples     Hypothesis' database: where the climb of each goal had got to
.gradparity/found        one case for each thing that went wrong; the next exploring judges them before anything else
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.database import DirectoryBasedExampleDatabase

from ..adapters.document import read_case, write_case
from ..property_tests.exploring import climbable
from ..reference.enclosure import enclose
from ..reference.exact import Certifier
from ..reference.network import Case, MalformedError
from ..reference.perfect import perfect
from ..reference.steps import EQUATIONS
from .campaign import Clock, Judged, Settings, campaign
from .expectations import Expectations
from .shards import (
    EXPLORED,
    Building,
    Finished,
    RunFolderError,
    finished_shards,
    make_folder,
    replace_file,
    write_shard,
)
from .tally import Tally
from .verdict import Verdict, judge_answer
from .workers import Worker

#: Where exploring remembers, in the folder that gradparity is started in, as Hypothesis and pytest have it.
MEMORY = Path(".gradparity")

#: How many cases a round may ask. Hypothesis draws 200, climbs, and takes turns from then on; of fewer than 1,000 it
#: would climb once only, which measures worse than not climbing at all.
A_ROUND = 1000

#: Perfect answers are judged where a pass takes no more multiplications: beyond, arbitrary precision takes longer than
#: everything else.
MOST_EXACT = 2**12


class _Enough(KeyboardInterrupt):
    """Ends a round; Hypothesis takes anything but an interrupt for a test that fails."""


@dataclass(frozen=True)
class Goal:
    """Whose margin is to grow, and in which equation."""

    implementation: str
    equation: str


class Explorer:
    """Rounds of exploring; ``cases`` counts what was asked so far, no case twice."""

    def __init__(
        self,
        settings: Settings,
        expectations: Expectations,
        workers: Sequence[Worker],
        announce: Callable[[Case | Goal], None] = lambda _: None,
        judged: Callable[[Judged], None] = lambda _: None,
        memory: Path = MEMORY,
    ) -> None:
        self.cases = 0
        self._settings, self._expectations = replace(settings, answers=False), expectations
        self._workers, self._memory = workers, memory
        self._announce, self._judged = announce, judged
        self._clock, self._margins = Clock(), dict[str, dict[Goal, float]]()
        self._known, self._found = set[object](), list[Case]()
        #: On how many cases perfect answers were judged, and which of those it was that accused one.
        self.perfect, self.accusing = 0, list[str]()

    def rounds(self, first: int, enough: Callable[[int], bool]) -> Iterator[Finished]:
        """Judge what is remembered, whatever it takes; then explore until ``enough`` of so many cases.

        Gives a shard for each round that judged anything, numbered from ``first``.
        """
        numbers = count(first)
        building = self._building(next(numbers))
        for case in self._remembered():
            self._announce(case)
            self._judge(building, case)
        yield from self._finished(building)
        goals = [
            Goal(name, equation)
            for equation in reversed(EQUATIONS)  # what goes wrong early may be seen late as well
            for name in self._settings.implementations
            if name not in self._settings.expensive
        ]
        for number in numbers:
            if enough(self.cases) or not goals:
                return
            goal = goals[number % len(goals)]
            self._announce(goal)
            building = self._building(number)
            self._climb(building, goal, enough)
            yield from self._finished(building)

    def _building(self, number: int) -> Building:
        return Building(number, self._settings, self._expectations)

    def _climb(self, building: Building, goal: Goal, enough: Callable[[int], bool]) -> None:
        name = hashlib.blake2b(goal.implementation.encode(), digest_size=8).hexdigest()
        strategy = climbable(self._settings.precisions, self._settings.activations, self._settings.costs)

        @hypothesis.seed((self._settings.seed << 32) + building.number)
        @hypothesis.settings(
            max_examples=A_ROUND,
            # A database of its own for each goal: Hypothesis keeps what is best by all targets of a test.
            database=DirectoryBasedExampleDatabase(self._memory / "examples" / name / goal.equation),
            phases=[Phase.reuse, Phase.generate, Phase.target],
            derandomize=False,
            deadline=None,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(strategy)
        def climb(case: Case) -> None:
            if enough(self.cases):
                raise _Enough
            margin = self._judge(building, case).get(goal)
            if margin is not None:
                hypothesis.target(margin)

        with suppress(_Enough):
            climb()

    def _judge(self, building: Building, case: Case) -> Mapping[Goal, float]:
        """Judge a case that is new, and give the largest margins of what agrees away from kinks.

        What diverges has no margin here: it is found already, and climbing goes on beside it.
        """
        if case.id in self._margins:
            return self._margins[case.id]
        self.cases += 1
        self._judge_perfect(case)
        margins = self._margins[case.id] = {}
        for one in campaign(self._settings, self._clock, iter([case]), workers=self._workers):
            building.add(one)
            self._judged(one)
            for row in one.rows:
                if row.verdict == Verdict.AGREES and not row.kinked:
                    goal = Goal(one.implementation, row.equation)
                    margins[goal] = max(margins.get(goal, 0.0), row.margin, row.link_margin)
            failures = {
                (one.implementation, row.message.partition("\n")[0])
                for row in one.rows
                if row.verdict == Verdict.FAILED
            }
            wrong = {*failures, *building.tally.groups.get(-1, ())} - self._known
            if wrong:
                self._known |= wrong
                self._found.append(case)
        return margins

    def _judge_perfect(self, case: Case) -> None:
        """Hold perfect answers against the bounds: where one is accused, it is the bounds that are wrong."""
        size = case.batch * sum(int(W.size) for W in case.parameters.weights)
        if size > MOST_EXACT:
            return
        self.perfect += 1
        enclosure = enclose(case)
        for answer in perfect(case, enclosure):
            if judge_answer(case, answer, enclosure, Certifier(case)).blamed:
                self.accusing.append(case.id)
                self._found.append(case)
                return

    def _finished(self, building: Building) -> Iterator[Finished]:
        """Remember what went wrong in a round, then give its shard."""
        if building.tally.counted.cases:
            make_folder(self._memory / "found")
            for case in self._found:
                replace_file(self._memory / "found" / f"{case.id}.safetensors", write_case(case))
            self._found.clear()
            yield building.finish(self._clock)

    def _remembered(self) -> Iterator[Case]:
        """Give the cases that went wrong before and are of the kinds that this run draws."""
        settings = self._settings
        for path in sorted((self._memory / "found").glob("*.safetensors")):
            try:
                case = read_case(path.read_bytes())
            except OSError as error:
                raise RunFolderError(f"{path} cannot be read: {error.strerror}") from None
            except MalformedError as error:
                raise RunFolderError(f"{path} is not a case document: {error}; remove it") from None
            network = case.architecture
            if (
                case.precision in settings.precisions
                and network.cost.name in settings.costs
                and {layer.activation for layer in network.layers} <= set(settings.activations)
            ):
                yield case


def explore_into(folder: Path, explorer: Explorer, minutes: float) -> None:
    """Explore for so long, and write the rounds into a run's folder, after those that it has."""
    deadline = time.monotonic() + 60 * minutes
    make_folder(folder / EXPLORED)
    first = max(finished_shards(folder, EXPLORED), default=-1) + 1
    for shard in explorer.rounds(first, lambda _: time.monotonic() > deadline):
        write_shard(folder, shard, EXPLORED)


def told(
    settings: Settings, drawn: Tally, explored: Tally, explorer: Explorer | None = None
) -> dict[str, Any]:
    """Say what run.json keeps of exploring: how many cases, and the largest margins in the campaign and beyond it.

    And on how many of them perfect answers were judged, and which accused one.
    """
    return {
        "cases": explored.counted.cases,
        "perfect": explorer.perfect if explorer else 0,
        "accusing": list(explorer.accusing) if explorer else [],
        "margins": [
            {
                "implementation": name,
                "equation": equation,
                "campaign": _largest(drawn, name, equation),
                "explored": _largest(explored, name, equation),
            }
            for name in settings.implementations
            for equation in EQUATIONS
        ],
    }


def _largest(tally: Tally, name: str, equation: str) -> float:
    """Give the largest margin of what agrees away from kinks, in the chain or a link."""
    return max(
        (
            max(worst.smooth, worst.link)
            for (whose, _, which), worst in tally.counted.margins.items()
            if (whose, which) == (name, equation)
        ),
        default=0.0,
    )


def lines(explored: Mapping[str, Any]) -> Iterator[str]:
    """Say for a person what exploring came to."""
    yield f"Explored {explored['cases']:,} cases. Largest margins of what agrees, in the campaign and in exploring:"
    if number := explored.get("perfect"):
        accusing = explored["accusing"]
        yield f"On {number:,} of them perfect answers were judged as well; " + (
            f"{len(accusing)} accused one, which is a defect of gradparity: {', '.join(accusing)}."
            if accusing
            else "none was accused."
        )
    margins: dict[str, list[str]] = {}
    for one in explored["margins"]:
        margins.setdefault(one["implementation"], []).append(
            f"{one['equation']} {one['campaign']:.2g} → {one['explored']:.2g}"
        )
    for name, found in margins.items():
        yield f"  {name}: {', '.join(found)}"
