"""Honest variants held against drawn cases, as a campaign holds an implementation: who is accused, and of what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from gradparity import Case
from gradparity.harness.blame import Broken
from gradparity.harness.verdict import judge_answers
from gradparity.reference.enclosure import enclose_all
from gradparity.reference.exact import Certifier
from gradparity.reference.premise import Premise
from gradparity.reference.stack import Stack, together

from .variants import Variant


@dataclass
class Trials:
    """What came of some variants: verdicts by variant, and those who were accused, each with a case."""

    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    accused: list[tuple[Variant, Case, Broken]] = field(default_factory=list)
    #: Of each variant, how many architectures it was tried on.
    structures: Counter[str] = field(default_factory=Counter)


def of(variant: Variant, case: Case) -> bool:
    """Tell whether a case has what the variant is about."""
    network = case.architecture
    return variant.of in ("", network.cost.name, *(layer.activation for layer in network.layers))


def try_all(variants: Sequence[Variant], cases: Iterator[Case], found: Trials) -> None:
    """Judge every variant on each of the cases that it is about, those of an architecture together."""
    for some in together(list(cases)):
        stack = Stack(some)
        enclosure = enclose_all(stack, sharp=False)
        certifiers = [Certifier(case) for case in some]
        for variant in variants:
            if not of(variant, some[0]):
                continue
            with np.errstate(all="ignore"):
                answers = [variant(case) for case in some]
            found.structures[str(variant)] += 1
            own = variant.premise is Premise.OWN
            bounds = enclosure if own else enclose_all(stack)
            judged = judge_answers(stack, answers, bounds, certifiers, variant.premise)
            counted = found.verdicts.setdefault(str(variant), Counter())
            for case, one in zip(some, judged, strict=True):
                counted.update(str(row.verdict) for row in one.verdicts)
                found.accused += [(variant, case, broken) for broken in one.blamed]
