"""Blame: of all that left its interval, what is at fault, and what an answer leaves open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from ..reference import names
from ..reference.backprop import flow
from ..reference.exact import Certificate
from ..reference.names import Name
from ..reference.network import Case, Gradients
from ..reference.steps import EQUATIONS, Flow


@dataclass(frozen=True)
class Broken:
    """One component outside its interval, of a chain or, if it is ``own``, of a link; certified.

    A link's interval, and the exact value in its certificate, are computed from the implementation's own numbers.
    """

    equation: str
    layer: int
    name: Name
    index: tuple[int, ...]
    result: float
    mid: float
    rad: float
    margin: float
    own: bool
    #: Whether it is its own link that broke, and not one before it.
    fault: bool
    certificate: Certificate
    #: The component's own weighted input z^l, where it has one: where in the input range it happened.
    z: float | None = None
    #: The other equations that may be at fault, since what they compute was not answered.
    open: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of array it is in: z, a, cost, delta, db or dW."""
        return self.name.kind

    @property
    def suspects(self) -> str:
        """Name the equation that is at fault, and those that cannot be excluded."""
        if not self.open:
            return self.equation
        others = ["the forward pass" if one == "forward" else one for one in self.open]
        were = "which was" if len(others) == 1 else "which were"
        return f"{self.equation}, or {' or '.join(others)}, {were} not answered,"


def blamed(
    case: Case,
    answer: Gradients,
    broken: Sequence[Broken],
    holds: Callable[[Broken], bool],
    right: Set[str],
) -> list[Broken]:
    """Choose, of all that left its interval, what is at fault.

    ``holds`` tells what lies in a chain that is nearly as narrow as its link; ``right`` names the arrays that agree.

    Every broken link is a fault by itself, and what follows from it is not: neither is a ∂C/∂W that is right, and does
    not follow from a wrong δ. Where no link is known to have broken, it is the first that left its enclosure, and
    whatever before it was not answered may be instead.
    """
    steps, left = flow(case.architecture, case.batch), {one.name for one in broken if not one.own}

    def follows(one: Broken) -> bool:
        """Tell whether it is right, and only does not fit to what was answered wrongly before it."""
        return one.own and holds(one) and any(source in left for source in _sources(steps, one.name))

    faults = [one for one in broken if one.fault and not follows(one)]
    if faults or not broken:
        return faults
    first = min(broken, key=lambda one: steps.place[one.name])
    both = {names.db(first.layer), names.dW(first.layer)} <= {one.name for one in broken}
    equation = first.equation
    if names.delta(first.layer) not in answer.tensors() and both and first.kind != "cost":
        equation = steps[names.delta(first.layer)].equation
    opened = set(_opened(steps, answer, first.name, right)) - {equation}
    # What shows best: where anything before it may be at fault, whatever is farthest out; else in its own layer.
    alike = [one for one in broken if "forward" in opened or one.layer == first.layer]
    shown = max(alike, key=lambda one: one.margin)
    in_order = tuple(one for one in EQUATIONS if one in opened)
    return [replace(shown, equation=equation, layer=first.layer, open=in_order)]


def _sources(steps: Flow, name: Name) -> Iterator[Name]:
    """Yield what an array's link is computed from."""
    for step in steps.inside(name):
        yield from step.takes


def _opened(steps: Flow, answer: Gradients, name: Name, right: Set[str]) -> Iterator[str]:
    """Yield the equations of arrays before this one that were not answered, and from which nothing right follows."""
    seen, waiting = set[Name](), [name]
    answered = answer.tensors()
    while waiting:
        for taken in _sources(steps, waiting.pop()):
            if taken in seen or taken not in steps or taken in answered:
                continue
            seen.add(taken)
            if taken.kind in ("z", "a", "delta") and not _cleared(steps, taken, right):
                yield steps[taken].equation
                waiting.append(taken)


def _cleared(steps: Flow, name: Name, right: Set[str]) -> bool:
    """Tell whether some array that is right was computed from this one, or for z from its a."""
    return any(
        other in right or (other.kind == "a" and _cleared(steps, other, right))
        for other in steps.answered
        if name in _sources(steps, other)
    )
