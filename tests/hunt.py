"""Hold many implementations against the same cases, as a campaign does, until each is caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gradparity import Case, Gradients
from gradparity.harness.blame import Broken
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.harness.verdict import Verdict, judge_answer
from gradparity.reference.enclosure import enclose_all
from gradparity.reference.exact import Certifier
from gradparity.reference.interval import Interval
from gradparity.reference.stack import Stack

Implementation = Callable[[Case], Gradients]


@dataclass
class Outcome:
    """What became of an implementation: its first failure or certified divergence, or neither."""

    verdict: Verdict = Verdict.AGREES
    #: How many cases it was held against.
    cases: int = 0
    #: The last of them, and what broke there.
    case: Case | None = None
    blamed: Sequence[Broken] = ()
    #: Divergences that arbitrary precision did not bear out: each would be a defect of gradparity.
    doubts: list[str] = field(default_factory=list)


def drawn(cases: int, seed: int = 0) -> Iterable[Case]:
    """Give a campaign's own cases, in their order and unselected."""
    return draw_cases(Settings((), cases, seed, ("float64",)))


def hunt(implementations: Mapping[str, Implementation], cases: Iterable[Case]) -> dict[str, Outcome]:
    """Hold all against each case, until they are caught; what is known of a case serves them all."""
    outcomes = {name: Outcome() for name in implementations}
    for case in cases:
        # A campaign has no affine forms for answers that have links.
        bounds = enclose_all(Stack([case]), sharp=False)
        enclosure, certifier = {name: one.of(0) for name, one in bounds.items()}, Certifier(case)
        for name, outcome in outcomes.items():
            if outcome.verdict is Verdict.AGREES:
                outcome.cases, outcome.case = outcome.cases + 1, case
                _judge(implementations[name], outcome, case, enclosure, certifier)
    return outcomes


def _judge(
    implementation: Implementation,
    outcome: Outcome,
    case: Case,
    enclosure: Mapping[str, Interval],
    certifier: Certifier,
) -> None:
    try:
        answer = Gradients.from_tensors(implementation(case).tensors(), case)
    except ValueError:  # of NumPy where shapes do not fit, of gradparity where an answer's are wrong
        outcome.verdict = Verdict.FAILED
        return
    judged = judge_answer(case, answer, enclosure, certifier)
    outcome.doubts += [f"{case.id} {name} {doubt}" for name, doubt in judged.doubts.items()]
    outcome.blamed = judged.blamed
    if outcome.blamed:
        outcome.verdict = Verdict.DIVERGES
