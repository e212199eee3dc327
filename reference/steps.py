"""Steps: a computation as data, one step an operation, in the order in which it runs.

backprop.py writes the steps of a whole answer down once. What follows from what, in which order, under which name and
of which shape, which equation an array belongs to and which function it goes through, are all read from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeVar

from .names import ANSWERED, SUPPLIED, Name
from .number import Number

#: The parts of an answer that are judged by themselves, in the order of a computation.
EQUATIONS = ("forward", "cost", "BP1", "BP2", "BP3", "BP4")

#: Some kind of number.
N = TypeVar("N")


@dataclass(frozen=True)
class Step:
    """One operation: the array it makes, the equation it belongs to, what it does, and the arrays it takes.

    ``function`` is the name of the activation or of the cost that it goes through; empty for products and sums.
    ``adjoint`` is there where the step is linear in the first array that it takes. It carries an error of the result
    back to that array: ⟨does(u, *rest), v⟩ = ⟨u, adjoint(v, *rest)⟩.
    """

    makes: Name
    equation: str
    does: Callable[..., Any]
    takes: tuple[Name, ...]
    function: str = ""
    adjoint: Callable[..., Number] | None = None


#: What a step makes and does, the array that it takes, or what picks several, and the inner arrays that it takes last.
_Operation = tuple[
    Name, Callable[..., Any], Name, Callable[[Mapping[Name, Any]], tuple[Any, ...]] | None, tuple[Name, ...]
]


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Sort steps so that each comes after those whose arrays it takes, and otherwise as they are."""
    making = {step.makes: step for step in steps}
    sorted_ = dict[Name, Step]()

    def put(step: Step) -> None:
        for taken in step.takes:
            if taken in making and taken not in sorted_:
                put(making[taken])
        sorted_.setdefault(step.makes, step)

    for step in making.values():
        put(step)
    return list(sorted_.values())


class Flow(Mapping[str, Step]):
    """The steps of a computation by the names of what they make, in their order."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps: dict[str, Step] = {step.makes: step for step in steps}
        self._of_equations = dict[tuple[str, ...], list[_Operation]]()

    def __getitem__(self, name: str) -> Step:
        return self._steps[name]

    def __iter__(self) -> Iterator[Name]:
        return (step.makes for step in self._steps.values())

    def __len__(self) -> int:
        return len(self._steps)

    @cached_property
    def answered(self) -> tuple[Name, ...]:
        """The names of the arrays that an answer may hold, in the order of the computation."""
        return tuple(name for name in self if name.kind in ANSWERED)

    @cached_property
    def by_equation(self) -> tuple[Name, ...]:
        """The same, equation by equation, as verdicts are listed."""
        return tuple(sorted(self.answered, key=lambda name: EQUATIONS.index(self[name].equation)))

    @cached_property
    def place(self) -> Mapping[str, int]:
        """The place of every array in the order of the computation."""
        return {name: place for place, name in enumerate(self._steps)}

    def run(
        self, known: Mapping[Name, N], equations: Iterable[str] = EQUATIONS, *, inner: bool = True
    ) -> dict[Name, N]:
        """Run the steps of these equations on any kind of number; return what was known and all that was made.

        Without ``inner`` arrays, which are let go once nobody takes them any more: they are half of the memory.
        """
        found = dict(known)
        for makes, does, one, several, spent in self._operations(tuple(equations)):
            found[makes] = does(*several(found)) if several else does(found[one])
            if not inner:
                for name in spent:
                    del found[name]
        return found

    def _operations(self, equations: tuple[str, ...]) -> list[_Operation]:
        """Prepare the steps of these equations once, so that looking arrays up costs a small network little."""
        if equations not in self._of_equations:
            steps = [step for step in self._steps.values() if step.equation in equations]
            last = {name: step.makes for step in steps for name in step.takes if name.kind not in SUPPLIED}
            self._of_equations[equations] = [
                (
                    one.makes,
                    one.does,
                    one.takes[0],
                    itemgetter(*one.takes) if len(one.takes) > 1 else None,
                    tuple(name for name, reader in last.items() if reader == one.makes),
                )
                for one in steps
            ]
        return self._of_equations[equations]

    def link(self, name: str, supply: Callable[[Name], N | None]) -> N | None:
        """Compute one array from the arrays of an answer before it, and from what everybody is given.

        Those are asked of ``supply``; return None where it lacks one. The inner arrays between them (names.py) are
        computed here.
        """
        step, arguments = self[name], list[N]()
        for taken in step.takes:
            found = supply(taken) if taken.kind in SUPPLIED else self.link(taken, supply)
            if found is None:
                return None
            arguments.append(found)
        made: N = step.does(*arguments)
        return made

    def inside(self, name: str) -> Iterator[Step]:
        """Yield the steps of an array's link: the one that makes it, and those since the arrays before it."""
        step = self[name]
        yield step
        for taken in step.takes:
            if taken.kind not in SUPPLIED:
                yield from self.inside(taken)

    def functions(self, name: str) -> frozenset[str]:
        """Name the activations and the cost that an array's link goes through."""
        return frozenset(step.function for step in self.inside(name) if step.function)

    def replaced(self, change: Callable[[Step], Callable[..., Any] | None]) -> Flow:
        """Return the flow in which steps do what ``change`` gives for them; those for which it gives None stay."""
        return Flow(
            replace(step, does=does) if (does := change(step)) is not None else step
            for step in self._steps.values()
        )
