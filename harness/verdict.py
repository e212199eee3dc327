"""Verdicts: what an implementation's answer to a case is worth, equation by equation and layer by layer.

Every array is held against two bounds: the *chain*, which encloses what the whole computation may give, and the
*link*, which encloses what its own equation may give from the implementation's own numbers. It diverges where it
leaves either. What the chain can no longer tell, in a deep network or a wide one, the link still does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from ..reference import names
from ..reference.backprop import flow
from ..reference.exact import Certificate, Certifier
from ..reference.interval import Interval
from ..reference.links import Links
from ..reference.names import Name
from ..reference.network import ACTIVATIONS, COSTS, Architecture, Array, Case, Cost, Gradients, Layer
from ..reference.premise import Premise
from ..reference.propagation import Propagated, propagated
from ..reference.rounding.model import model
from ..reference.stack import MixedError, Stack, stacked_answers
from .blame import Broken, blamed
from .held import UNDERFLOW, hold, margins, widest_of


class Verdict(StrEnum):
    """The closed list of verdicts."""

    AGREES = "agrees"
    DIVERGES = "diverges"
    INCONCLUSIVE = "inconclusive"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


@dataclass(frozen=True)
class EquationVerdict:
    """One equation at one layer: the verdict, and the component that is farthest out.

    ``margin`` is abs(result - mid) / rad in the chain, and ``link_margin`` in the link, each at its own worst
    component: 1 is the edge. Both are 0 where there is no such bound. ``wide`` of ``components`` have no interval
    that is narrow enough to mean anything. ``kinked``: a margin near 1 may be a choice of side at a kink.
    """

    equation: str
    layer: int
    name: str
    verdict: Verdict
    margin: float
    link_margin: float
    components: int
    wide: int
    kinked: bool


#: Beside a wrong δ, a gradient that left its link is taken for right where its chain is at most so many times as wide:
#: a fault of its own that hides there is smaller than that. Chosen, and not measured.
NARROW = 32.0


@dataclass(frozen=True)
class Judged:
    """An answer's verdicts in the order of ``EQUATIONS``; what broke; and divergences that were not certified."""

    verdicts: Sequence[EquationVerdict]
    #: Each at the component that shows it best. Where links broke it is those; what follows from them is not.
    blamed: Sequence[Broken]
    #: By array: why arbitrary precision does not bear a divergence out, for a person.
    doubts: Mapping[str, str]


#: The functions of the smallest network that has every kind of array in every equation, and its steps.
SMALLEST_FUNCTIONS = {"cost": COSTS[0], "activation": ACTIVATIONS[0]}
SMALLEST = flow(
    Architecture(
        1,
        (Layer(1, SMALLEST_FUNCTIONS["activation"]),) * 2,
        Cost(SMALLEST_FUNCTIONS["cost"]),
        reduction="sum",
    ),
    1,
)


def functions_at_fault(network: Architecture, broken: Broken) -> frozenset[str]:
    """Name the functions one of which is at fault where something broke; none where it is a product or a sum."""
    steps = flow(network, 1)
    # Where ∂C/∂b or ∂C/∂W is off because δ is, it is δ's link that broke.
    itself = steps[broken.name].equation == broken.equation
    return steps.functions(broken.name if itself else names.delta(broken.layer))


def judge_answer(
    case: Case,
    answer: Gradients,
    enclosure: Mapping[str, Interval],
    certifier: Certifier,
    premise: Premise = Premise.OWN,
) -> Judged:
    """Judge everything that one answer holds, as ``judge_answers`` does."""
    known = {name: one.alone for name, one in enclosure.items()}
    return judge_answers(Stack([case]), [answer], known, [certifier], premise)[0]


def judge_answers(
    stack: Stack,
    answers: Sequence[Gradients],
    enclosure: Mapping[str, Interval],
    certifiers: Sequence[Certifier],
    premise: Premise = Premise.OWN,
) -> list[Judged]:
    """Judge everything that the answers to a stack of cases hold against its enclosure and against their own links.

    The answers hold the same arrays. ``certifiers`` are the cases' own; every divergence is held against arbitrary
    precision, and nobody is accused on a bound that the exact value does not bear out: such a verdict is inconclusive.
    An empty enclosure leaves it to the links. The ``premise`` says which of an answer's arrays they are computed from;
    where that is none, it is left to the enclosure.
    """
    try:
        return _judged_together(stack, answers, enclosure, certifiers, premise)
    except MixedError:
        found = []
        for i, one in enumerate(stack.apart):
            its_own = {name: interval.among([i]) for name, interval in enclosure.items()}
            found += _judged_together(one, answers[i : i + 1], its_own, certifiers[i : i + 1], premise)
        return found


def _judged_together(
    stack: Stack,
    answers: Sequence[Gradients],
    enclosure: Mapping[str, Interval],
    certifiers: Sequence[Certifier],
    premise: Premise,
) -> list[Judged]:
    own = stacked_answers(answers)
    sources = [_source(answer, premise) for answer in answers]
    names_of = flow(stack.architecture, stack.batch).answered
    linked = {name for name in names_of if premise is not Premise.CHAIN and _links(name, premise)}
    links = Links(stack, stacked_answers(sources), enclosure or None) if linked else None
    arrays, steps = own.tensors(), flow(stack.architecture, stack.batch)
    least = UNDERFLOW * model(stack.precision).eta
    trials = [
        _Trial(stack.cases[i], answers[i], sources[i], certifiers[i], i, enclosure)
        for i in range(len(answers))
    ]
    for name in [name for name in steps.by_equation if name in arrays]:
        held, plain = hold(arrays[name], enclosure.get(name), links if name in linked else None, name, least)
        size, equation = math.prod(arrays[name].shape[1:]), steps[name].equation
        for i, trial in enumerate(trials):
            if plain[i]:
                trial.verdicts.append(
                    EquationVerdict(
                        equation, name.layer, name, Verdict.AGREES, float(held.in_chain[i]),
                        float(held.in_link[i]), size, 0, bool(held.kinked[i]),
                    )
                )  # fmt: skip
            else:
                trial.judge(name, held.of(i), name in linked)
    return [trial.judged() for trial in trials]


def _links(name: Name, premise: Premise) -> bool:
    """Tell whether an array has a link under a premise: z and a have none where they are no part of it."""
    return premise is Premise.OWN or name.kind not in ("z", "a")


def _source(answer: Gradients, premise: Premise) -> Gradients:
    """Return what of an answer links are computed from."""
    return answer if premise is Premise.OWN else replace(answer, z=None, a=None)


@dataclass(frozen=True)
class _Trial:
    """One answer that is being judged, and what of it links are computed from: what was found so far."""

    case: Case
    answer: Gradients
    source: Gradients
    certifier: Certifier
    place: int
    enclosures: Mapping[str, Interval]
    verdicts: list[EquationVerdict] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def enclosure(self) -> dict[str, Interval]:
        """The case's own, of the stack's."""
        return {name: one.of(self.place) for name, one in self.enclosures.items()}

    @cached_property
    def of_links(self) -> Certifier:
        """Decides about the answer's links."""
        return Certifier(self.case, self.source, self.enclosure or None)

    def judge(self, name: Name, held: tuple[Array, Interval | None, Interval | None], linked: bool) -> None:
        """Look at an array closely: it left its bounds, or they are wide."""
        result, chain, link = held
        finite = link is not None and link.rad.max(initial=0.0) < np.inf
        must = None if finite or not linked else propagated(self.case, self.source, name)
        close, certify = _Close(name, result, chain, link, must), (self.certifier, self.of_links)
        verdict, found, doubt = _judge_array(self.case, self.answer, close, certify)
        self.verdicts.append(verdict)
        if found:
            z = _weighted_input(self.case, self.answer, self.enclosure, found)
            self.broken.append(replace(found, z=z))
        if doubt:
            self.doubts[name] = doubt

    def judged(self) -> Judged:
        """Give what was found."""
        right = {one.name for one in self.verdicts if one.verdict is Verdict.AGREES}
        at_fault = blamed(self.case, self.answer, self.broken, self._holds, right)
        return Judged(self.verdicts, at_fault, self.doubts)

    def _holds(self, broken: Broken) -> bool:
        """Tell whether what left its link lies in its chain, and that is not much wider than the link."""
        chain = self.enclosure.get(broken.name)
        if chain is None:
            return False
        inside = any(one.name == broken.name and one.margin <= 1 for one in self.verdicts)
        return inside and bool(chain.rad[broken.index] <= NARROW * broken.rad)


@dataclass(frozen=True)
class _Close:
    """An array of one answer, its bounds, and its margins in them.

    ``must`` is what a NaN or an infinity must have become in its link; None where there is none, or nothing is known.
    """

    name: Name
    result: Array
    chain: Interval | None
    link: Interval | None
    must: Propagated | None

    @cached_property
    def in_chain(self) -> Array:
        """The margins in the chain."""
        return np.zeros(self.result.shape) if self.chain is None else margins(self.result, self.chain)

    @cached_property
    def in_link(self) -> Array:
        """The margins in the link; infinite where a NaN became a number, or an infinity one or its opposite."""
        margin = np.zeros(self.result.shape) if self.link is None else margins(self.result, self.link)
        if self.must is None:
            return margin
        return np.where(self.must.vanished(self.result), np.inf, margin)

    @property
    def _kept(self) -> Array:
        """Tell where a NaN or an infinity came out as it must."""
        return np.zeros(self.result.shape, bool) if self.must is None else self.must.kept(self.result)

    def wide(self, least: float) -> int:
        """Count the components without an interval that means something; ``least`` is a radius made by underflow."""
        narrow = self._kept
        for interval in (self.link, self.chain):
            if interval is not None:
                bound = widest_of(interval, least)
                if interval.rad.max(initial=0.0) <= bound:
                    return 0
                narrow = narrow | (interval.rad <= bound)
        return int(np.count_nonzero(~narrow))

    def suspects(self) -> Iterator[tuple[tuple[int, ...], bool, bool]]:
        """Give the components to hold against the truth: index, whether in the link, and whether at fault.

        Of what left its chain, the component that is farthest out of its link shows best what broke, and its exact
        value is the case's own.
        """
        chain, link = self.in_chain, self.in_link
        if not (chain.max(initial=0.0) > 1 or link.max(initial=0.0) > 1):
            return
        both = np.where(chain > 1, link, 0.0)
        for margin, own, fault in ((both, False, True), (link, True, True), (chain, False, False)):
            if np.any(margin > 1):
                yield (
                    tuple(int(i) for i in np.unravel_index(int(np.argmax(margin)), margin.shape)),
                    own,
                    fault,
                )


def _judge_array(
    case: Case, answer: Gradients, held: _Close, certify: tuple[Certifier, Certifier]
) -> tuple[EquationVerdict, Broken | None, str]:
    steps, layer = flow(case.architecture, case.batch), held.name.layer
    equation, broken, doubt = steps[held.name].equation, None, ""
    for index, own, fault in held.suspects():
        interval = held.link if own else held.chain
        assert interval is not None
        result = float(held.result[index])
        if own and held.must is not None and held.must.vanished(held.result)[index]:
            certificate = Certificate(held.must.said(index), holds=True, sound=True)
        else:
            certificate = certify[own].certify(held.name, index, result, interval)
        doubt = doubt or certificate.doubt
        if certificate.holds:
            # Without δ, one example's ∂C/∂b is δ.
            unsaid = names.delta(layer) not in answer.tensors()
            is_error = fault and held.name.kind == "db" and unsaid
            at_fault = steps[names.delta(layer)].equation if is_error else equation
            margin = float((held.in_link if own else held.in_chain)[index])
            mid, rad = float(interval.mid[index]), float(interval.rad[index])
            broken = Broken(
                at_fault, layer, held.name, index, result, mid, rad, margin, own, fault, certificate
            )
            doubt = ""
            break
    wide = held.wide(UNDERFLOW * model(case.precision).eta)
    silent = wide or doubt
    verdict = Verdict.DIVERGES if broken else Verdict.INCONCLUSIVE if silent else Verdict.AGREES
    kinked = any(one.kinked for one in (held.chain, held.link) if one is not None)
    chain, link = (float(margin.max(initial=0.0)) for margin in (held.in_chain, held.in_link))
    judged = EquationVerdict(equation, layer, held.name, verdict, chain, link, held.result.size, wide, kinked)
    return judged, broken, doubt


def _weighted_input(
    case: Case, answer: Gradients, enclosure: Mapping[str, Interval], broken: Broken
) -> float | None:
    """Return the weighted input that a component goes through a function with, the implementation's own if it said."""
    taken = flow(case.architecture, case.batch)[broken.name].takes
    z = next((name for name in taken if name.kind == "z"), None)
    if z is None:
        return None
    if (own := answer.tensors().get(z)) is not None:
        return float(own[broken.index])
    return float(enclosure[z].mid[broken.index]) if z in enclosure else None
