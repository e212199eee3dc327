"""A campaign's verdicts mean something: hardly any is inconclusive, and bounds that went vacuous would show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from gradparity import Case, Gradients
from gradparity.adapters.reference import load
from gradparity.harness import held
from gradparity.harness.campaign import Clock, Settings, campaign, draw_cases
from gradparity.harness.verdict import Verdict, judge_answer
from gradparity.property_tests.regimes import NOT_FINITE
from gradparity.reference import enclosure, links
from gradparity.reference.enclosure import enclose
from gradparity.reference.exact import Certifier

#: Of all verdicts at default settings.
MOST = 0.01


def counted(cases: Iterable[Case], everything: bool = True) -> Counter[Verdict]:
    found: Counter[Verdict] = Counter()
    for case in cases:
        answer = load("").gradients(case)
        given = answer if everything else Gradients(answer.dW, answer.db)
        judged = judge_answer(case, given, enclose(case), Certifier(case))
        found.update(one.verdict for one in judged.verdicts)
    return found


def in_a_campaign(settings: Settings) -> Counter[Verdict]:
    return Counter(Verdict(row.verdict) for judged in campaign(settings, Clock()) for row in judged.rows)


def share(found: Counter[Verdict]) -> float:
    return found[Verdict.INCONCLUSIVE] / found.total()


@pytest.mark.parametrize("seed", [0, 7])
def test_hardly_any_verdict_is_inconclusive(seed: int) -> None:
    found = in_a_campaign(Settings(("reference",), 320, seed))
    assert found.total() > 7_000
    assert share(found) < MOST
    assert found[Verdict.DIVERGES] == 0


def test_without_links_a_few_more_are() -> None:
    """An implementation that gives ∂C/∂W and ∂C/∂b only is judged by its chain, which knows nothing of a NaN.

    Nor does it of what may overflow on the way: in float32 the slope 1/a of a cross entropy where a sigmoid has
    saturated, and poisson's exponential. Those are the cases' doing and counted apart, 4.7 and 6.4 % with two seeds; a
    finite interval that is too wide is the bounds' own, 1.9 and 3.0 %.
    """
    wide = unknown = total = 0
    for case in draw_cases(Settings((), 160, 0)):
        if case.regime != NOT_FINITE.name:
            answer, bounds = load("").gradients(case), enclose(case)
            judged = judge_answer(case, Gradients(answer.dW, answer.db), bounds, Certifier(case))
            for one in judged.verdicts:
                infinite = bool(np.isinf(bounds[one.name].rad).any())
                wide += one.verdict is Verdict.INCONCLUSIVE and not infinite
                unknown += one.verdict is Verdict.INCONCLUSIVE and infinite
                total += 1
    assert wide / total < 5 * MOST
    assert unknown / total < 10 * MOST


@pytest.mark.parametrize("everything", [True, False])
def test_bounds_that_went_vacuous_are_noticed(everything: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (enclosure, links):
        monkeypatch.setattr(module, "INFLATION", 1e17)
    found = counted(draw_cases(Settings((), 40, 0, ("float64",))), everything)
    assert share(found) > 0.5


def test_a_campaign_of_vacuous_bounds_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (enclosure, links):
        monkeypatch.setattr(module, "INFLATION", 1e17)
    assert share(in_a_campaign(Settings(("reference",), 40, 0, ("float64",)))) > 0.5


def test_a_bound_that_may_be_as_wide_as_it_likes_would_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """What notices is WIDEST; without it, vacuous bounds agree with everybody."""
    for module in (enclosure, links):
        monkeypatch.setattr(module, "INFLATION", 1e17)
    monkeypatch.setattr(held, "WIDEST", 1e30)
    assert share(counted(draw_cases(Settings((), 40, 0, ("float64",))))) < 0.5
