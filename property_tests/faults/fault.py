"""Faults: each is one step of backpropagation, replaced by a wrong one; and the list of them all.

A step is replaced for every kind of number (reference/number.py), so that the same row is an implementation that makes
the mistake, and tells what that mistake would have made of somebody's own numbers. Where a kind of number cannot follow
it, the operation raises UnknownError.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from ...adapters.reference import answered
from ...reference.backprop import flow
from ...reference.network import Architecture, Array, Case, Gradients
from ...reference.number import UnknownError
from ...reference.steps import Flow, Step, in_order

K = TypeVar("K")

#: A fault in σ′ breaks BP1 where the layer is the last one, else BP2.
SIGMA_PRIME = ("BP1", "BP2")


@dataclass(frozen=True)
class Place:
    """The layers in which a fault can be."""

    text: str
    holds: Callable[[Architecture, int], bool]


ANY_LAYER = Place("any", lambda network, l: True)
FIRST_LAYER = Place("1", lambda network, l: l == 1)
LAST_LAYER = Place("L", lambda network, l: l == network.depth)


def layers_of(activation: str) -> Place:
    """Return the layers that have an activation."""
    return Place(activation, lambda network, l: network.layers[l - 1].activation == activation)


@dataclass(frozen=True)
class Site:
    """Where a fault is planted: the network, the batch size m, and what an implementation keeps between cases."""

    network: Architecture
    m: int
    kept: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def steps(self) -> Flow:
        """The right steps."""
        return flow(self.network, self.m)

    @property
    def mean(self) -> bool:
        """Whether the cost is a mean over the batch."""
        return self.network.reduction == "mean"

    def keep(self, key: Hashable, array: K) -> K:
        """Return what was kept under this key for this architecture; the first time, this array."""
        kept: K = self.kept.setdefault((key, self.network), array)
        return kept


#: What a fault makes of a step that it is asked about: another operation, another step, or None where it leaves it.
Change = Callable[[Step, Site], Callable[..., Any] | Step | None]


@dataclass(frozen=True)
class Fault:
    """One fault: its number in the project's list, why people make it, and what a verdict on it has to be."""

    number: int
    name: str
    why: str
    #: The kinds of arrays whose steps it replaces, the function that those go through where it is about one, and how.
    at: tuple[str, ...]
    of: str
    change: Change
    #: The equations one of which must be blamed first. Empty where no answer can have a right shape.
    blamed: tuple[str, ...]
    #: The equations that may be blamed as well, since the same mistake breaks them.
    also: tuple[str, ...]
    #: Which layers may be blamed.
    place: Place
    exposed_by: str
    #: Whether it may fail before any number is judged, since a shape gives it away.
    fails: bool
    #: Whether it shows from the second case on only, since it is in what is kept between cases.
    stateful: bool
    #: The kinds of arrays that it cannot answer with.
    withholds: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number:02} {self.name}"

    def steps(self, site: Site) -> Flow:
        """Return the steps of a network in which somebody made this mistake."""

        def changed(step: Step) -> Step:
            if step.makes.kind not in self.at or self.of not in ("", step.function):
                return step
            wrong = self.change(step, site)
            if wrong is None or isinstance(wrong, Step):
                return wrong or step
            return replace(step, does=wrong)

        return Flow(in_order([changed(step) for step in site.steps.values()]))

    def implementation(self) -> Callable[[Case], Gradients]:
        """Return an implementation with exactly this fault; it answers case after case, as a worker does."""
        kept = dict[Hashable, Any]()

        def faulty(case: Case) -> Gradients:
            return answered(self.steps(Site(case.architecture, case.batch, kept)), case, self.withholds)

        return faulty


FAULTS: list[Fault] = []


def _place(blamed: tuple[str, ...], of: str) -> Place:
    """Return where a fault is that breaks these equations, or the function of that name."""
    if blamed and set(blamed) <= {"cost", "BP1"}:
        return LAST_LAYER
    return layers_of(of) if of else ANY_LAYER


def fault(
    number: int,
    name: str,
    blamed: str | tuple[str, ...],
    exposed_by: str,
    place: Place | None = None,
    *,
    at: str | tuple[str, ...],
    of: str = "",
    also: tuple[str, ...] = (),
    fails: bool = False,
    stateful: bool = False,
    withholds: tuple[str, ...] = (),
) -> Callable[[Change], Change]:
    """Enter a wrong step into the list; its docstring says why people make the fault.

    Without a ``place`` it is in the layers with the function that it is about, or in any.
    """

    def enter(change: Change) -> Change:
        why = " ".join((change.__doc__ or "").split())
        first = (blamed,) if isinstance(blamed, str) else blamed
        kinds = (at,) if isinstance(at, str) else at
        where = place or _place(first, of)
        FAULTS.append(
            Fault(number, name, why, kinds, of, change, first, also, where, exposed_by, fails, stateful, withholds)
        )  # fmt: skip
        return change

    return enter


def plain(number: Any) -> Array:
    """Return an array whose numbers can be moved about one by one, of floats or of arbs; others raise UnknownError."""
    if not isinstance(number, np.ndarray):
        raise UnknownError
    return number


def floats(number: Any) -> Array:
    """Return an array of floats, which have bits to lose; other kinds of number raise UnknownError."""
    if plain(number).dtype == object:
        raise UnknownError
    return plain(number)
