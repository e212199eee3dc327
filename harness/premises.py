"""Premises found: whether an implementation computes its arrays from one another, asked before the campaign.

A link is only as true as its premise, that what was returned is what was used. Whoever computes activations once
more on the way back, or gradients one example at a time beside a forward pass of the whole batch, is right, and breaks
links. So whoever is neither in the catalogue of modes nor says what it does is asked about a fixed set of cases, which
does not depend on the campaign. Its premise is a weaker one only where links break on most of them while nothing leaves
the chain; it never changes during a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from ..adapters.modes import find
from ..property_tests.regimes import BY_NAME, case
from ..reference.activations import ACTIVATION_ROWS
from ..reference.costs import COST_ROWS
from ..reference.enclosure import enclose
from ..reference.exact import Certifier
from ..reference.network import Architecture, Case, Cost, Gradients, Layer
from ..reference.premise import Premise, premise_named
from .campaign import Settings
from .verdict import judge_answer
from .workers import Worker

#: One activation in each, so that whoever lacks some is asked about the others; those that act on each neuron by
#: itself, and round. The first cost that takes any output.
PROBED = tuple(name for name, row in ACTIVATION_ROWS.items() if not row.exact and not row.coupled)
COST = next(name for name, row in COST_ROWS.items() if not row.last)

#: Narrow enough for a sharp chain; with so many numbers that roundings differ in some, of values for which most terms
#: cancel, so that it shows in a link.
WIDTHS, EXAMPLES, VALUES = (12, 16, 12, 8), 12, ("large", "integers")

#: A premise is weaker than its own where links break in more than this share of the probes, and those of two equations
#: in so many at least.
MOST, AT_LEAST = 0.5, 2

#: In lower precisions an error of a percent may hide between a link and its chain: there nobody gets a weaker premise.
PRECISIONS = ("float64", "float32")


@dataclass(frozen=True)
class Found:
    """An implementation's premise, and how it is known."""

    premise: Premise
    how: str


@cache
def probes(precision: str, activations: tuple[str, ...] = PROBED) -> tuple[Case, ...]:
    """Return the cases that everybody is asked about, in one precision, with some of the activations."""
    first, *widths = WIDTHS

    def layers(name: str) -> tuple[Layer, ...]:
        return tuple(Layer(n, name, *ACTIVATION_ROWS[name].probed) for n in widths)

    return tuple(
        case(Architecture(first, layers(name), Cost(COST)), EXAMPLES, BY_NAME[values], seed, precision)
        for values in VALUES
        for seed, name in enumerate(PROBED)
        if name in activations
    )


def _asked(settings: Settings) -> Iterator[tuple[Case, ...]]:
    """Yield the probes of what the settings draw, the widest precision first."""
    if COST in settings.costs:
        for precision in PRECISIONS:
            if precision in settings.precisions:
                yield probes(precision, settings.activations)


def premise_of(worker: Worker, settings: Settings) -> Found:
    """Return the premise of an implementation: as the catalogue has it, as it says itself, or as probes show.

    It is asked in the widest precision that it answers.
    """
    if mode := find(worker.name):
        return Found(mode.premise, "known")
    # Whatever it makes of this case, it says who it is.
    first = worker.submit(probes(settings.precisions[0])[0]).result()
    if declared := first.implementation.get("premise"):
        return Found(Premise(declared), "declared")
    answered = list[tuple[Case, Gradients]]()
    for asked in _asked(settings):
        answers = [one.result() for one in [worker.submit(each) for each in asked]]
        both = zip(asked, answers, strict=True)
        answered = [(each, one.gradients) for each, one in both if one.gradients is not None]
        if answered:
            break
    return shown(answered)


def with_premises(settings: Settings, workers: Sequence[Worker]) -> Settings:
    """Return the settings with the premises of those workers that are not in the catalogue of modes."""
    if settings.premises:
        return settings
    others = [worker for worker in workers if find(worker.name) is None]
    found = [(worker.name, premise_of(worker, settings)) for worker in others]
    return replace(settings, premises=tuple((name, one.premise, one.how) for name, one in found))


def premise_of_function(my_backprop: Callable[[Case], Gradients], settings: Settings) -> Found:
    """Return the premise of a function, as it says itself or as probes show."""
    if declared := getattr(my_backprop, "premise", None):
        return Found(premise_named(declared), "declared")
    answered = list[tuple[Case, Gradients]]()
    for asked in _asked(settings):
        for each in asked:
            try:
                answered.append((each, Gradients.from_tensors(my_backprop(each.copied()).tensors(), each)))
            except Exception:  # what it raises it will raise in the campaign, too, which tells
                continue
        if answered:
            break
    return shown(answered)


def shown(answered: Sequence[tuple[Case, Gradients]]) -> Found:
    """Return the sharpest premise under which links do not break on most probes; its own where anything is wrong.

    And its own where links of one equation break: that is no sign of numbers that were computed apart, but of a fault.
    """
    enclosed = [enclose(asked) for asked, _ in answered]
    for premise in (Premise.OWN, Premise.DELTA):
        broken, outside, equations = 0, False, Counter[str]()
        for (asked, answer), enclosure in zip(answered, enclosed, strict=True):
            judged = judge_answer(asked, answer, enclosure, Certifier(asked), premise)
            outside |= any(one.margin > 1 for one in judged.verdicts)
            of_links = {one.equation for one in judged.blamed if one.own}
            broken += bool(of_links)
            equations.update(of_links)
        several = sum(number >= AT_LEAST for number in equations.values()) > 1
        if outside or not several or broken <= MOST * len(answered):
            how = f"found: links hold on {len(answered) - broken} of {len(answered)} probes"
            return Found(Premise.OWN if outside else premise, how)
    return Found(
        Premise.CHAIN, f"found: links break on {broken} of {len(answered)} probes, and no chain does"
    )
