"""Stacks: cases that differ in values only, their arrays one above the other, so that one call serves them all.

On small networks NumPy takes longer to be called than to compute. What runs on arrays of one case, whose last two axes
are (m, n) or (n_l, n_{l-1}), runs on a stack's, which have one more axis before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from .network import Architecture, Array, Case, Gradients, Parameters

#: How many weights a stack may have in all. Beyond that calls cost little, and memory is better kept for other things.
MOST_WEIGHTS = 2**19


class MixedError(Exception):
    """Of a stack's cases some are to be looked at in one way and some in another, and each has to be by itself.

    What is said of a case must not depend on those it is stacked with, to the last bit.
    """


def uniform(flags: Array) -> bool:
    """Tell whether something is so of all cases, or of none; raises MixedError where it is so of some."""
    if flags.any() and not flags.all():
        raise MixedError
    return bool(flags.all())


@dataclass(frozen=True, eq=False)
class Stack:
    """Cases of one architecture, one batch size and one precision; S of them."""

    cases: Sequence[Case]
    _known: dict[tuple[Any, int], Any] = field(default_factory=dict)

    @property
    def architecture(self) -> Architecture:
        """The architecture that they share."""
        return self.cases[0].architecture

    @property
    def precision(self) -> str:
        """The precision that they share."""
        return self.cases[0].precision

    @property
    def batch(self) -> int:
        """m, which they share."""
        return self.cases[0].batch

    @cached_property
    def nbytes(self) -> int:
        """How many bytes the cases' arrays have."""
        return len(self.cases) * sum(array.nbytes for array in self.cases[0].tensors().values())

    @cached_property
    def parameters(self) -> Parameters:
        """W^l (S, n_l, n_{l-1}) and b^l (S, 1, n_l)."""
        each = [case.parameters for case in self.cases]
        layers = range(self.architecture.depth)
        return Parameters(
            tuple(stacked([one.weights[l] for one in each]) for l in layers),
            tuple(stacked([one.biases[l] for one in each])[:, None, :] for l in layers),
        )

    @cached_property
    def x(self) -> Array:
        """The inputs (S, m, n_0)."""
        return stacked([case.x for case in self.cases])

    @cached_property
    def y(self) -> Array:
        """The targets (S, m, n_L)."""
        return stacked([case.y for case in self.cases])

    @cached_property
    def apart(self) -> Sequence[Stack]:
        """Each case by itself."""
        return [Stack([case]) for case in self.cases]

    def once(self, kind: Any, make: Callable[[Array], Any], array: Array) -> Any:
        """Make something of one of the stack's own arrays, once for everybody who needs one of this kind."""
        if (kind, id(array)) not in self._known:
            self._known[kind, id(array)] = make(array)
        return self._known[kind, id(array)]


def stacked(arrays: Sequence[Array]) -> Array:
    """Put arrays of one shape above one another; one by itself is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def stacked_answers(answers: Sequence[Gradients]) -> Gradients:
    """Stack answers that hold the same arrays."""

    def family(name: str) -> list[Array | None] | None:
        first = getattr(answers[0], name)
        if first is None:
            return None
        return [
            None if first[l] is None else stacked([getattr(one, name)[l] for one in answers])
            for l in range(len(first))
        ]

    dW, db = family("dW"), family("db")
    assert dW is not None
    assert db is not None
    cost = None if answers[0].cost is None else stacked([np.asarray(one.cost) for one in answers])
    return Gradients(dW, db, cost, family("delta"), family("z"), family("a"))


def together(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Split cases, in their order, into such as can be stacked."""
    for _, alike in groupby(cases, lambda case: (case.architecture, case.batch, case.precision)):
        some = list(alike)
        most = max(1, MOST_WEIGHTS // sum(int(W.size) for W in some[0].parameters.weights))
        for i in range(0, len(some), most):
            yield some[i : i + most]
