"""Stacks: cases that are judged together come out as each by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer
from gradparity.adapters.reference import load
from gradparity.harness.verdict import EquationVerdict, judge_answer, judge_answers
from gradparity.property_tests.regimes import NOT_FINITE, REGIMES, case
from gradparity.property_tests.strategies import structures
from gradparity.reference.enclosure import enclose, enclose_all
from gradparity.reference.exact import Certifier
from gradparity.reference.links import Links, links
from gradparity.reference.network import DTYPES
from gradparity.reference.rounding.model import model
from gradparity.reference.stack import MOST_WEIGHTS, Stack, stacked_answers, together
from hypothesis import given, settings
from hypothesis import strategies as st

NETWORK = Architecture(3, (Layer(4, "tanh"), Layer(2, "softplus")), Cost("half_squared_error"))
REFERENCE = load("")


def alike(one: np.ndarray, other: np.ndarray, precision: str) -> bool:
    """A stack may take another way through the same bound, which differs in terms of the second order."""
    slack = 2.0**-20 + 4 * model(precision).unit
    return bool(np.allclose(one.astype(float), other.astype(float), rtol=slack, atol=0, equal_nan=True))


def same(one: EquationVerdict, other: EquationVerdict, precision: str) -> bool:
    told = [(v.equation, v.layer, v.name, v.verdict, v.components, v.wide, v.kinked) for v in (one, other)]
    margins = [np.array([v.margin, v.link_margin]) for v in (one, other)]
    return told[0] == told[1] and alike(margins[0], margins[1], precision)


def cases(precision: str = "float64") -> list[Case]:
    return [case(NETWORK, 2, regime, 7, precision) for regime in (*REGIMES, NOT_FINITE)]


def judged_alone(some: Sequence[Case], answers: Sequence[Gradients]) -> list[Sequence[EquationVerdict]]:
    return [
        judge_answer(one, answer, enclose(one), Certifier(one)).verdicts
        for one, answer in zip(some, answers, strict=True)
    ]


def judged_together(some: Sequence[Case], answers: Sequence[Gradients]) -> list[Sequence[EquationVerdict]]:
    stack = Stack(some)
    found = judge_answers(stack, answers, enclose_all(stack), [Certifier(one) for one in some])
    return [one.verdicts for one in found]


@settings(max_examples=25, derandomize=True, database=None, deadline=None)
@given(structure=structures(largest_batch=4), precision=st.sampled_from(list(DTYPES)))
def test_company_changes_no_interval_and_no_verdict(structure: object, precision: str) -> None:
    some = list(structure.cases(precision))  # type: ignore[attr-defined]
    some = [one for one in some if one.parameters.weights[0].size < 400][:8] or some[:1]
    stack, answers = Stack(some), [REFERENCE.gradients(one) for one in some]
    chain, own = enclose_all(stack), stacked_answers(answers)
    link = Links(stack, own).all(own.tensors())
    for i, one in enumerate(some):
        alone = enclose(one)
        for together_, by_itself in ((chain, alone), (link, links(one, answers[i]))):
            assert together_.keys() == by_itself.keys()
            for name, interval in by_itself.items():
                found = together_[name].of(i)
                assert alike(found.mid, interval.mid, precision), name
                assert alike(found.rad, interval.rad, precision), name
                assert found.kinked == interval.kinked, name
                assert alike(np.array(found.size), np.array(interval.size), precision), name
    for mine, theirs in zip(judged_together(some, answers), judged_alone(some, answers), strict=True):
        assert all(same(a, b, precision) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("precision", list(DTYPES))
@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize("name", ["dW1", "db2", "z1", "a2", "delta1", "cost"])
def test_one_wrong_answer_of_a_stack_is_the_one_that_diverges(precision: str, at: int, name: str) -> None:
    some = cases(precision)[:8]
    answers = [REFERENCE.gradients(one) for one in some]
    arrays = {key: np.array(value) for key, value in answers[at].tensors().items()}
    arrays[name].flat[0] += some[0].dtype.type(1 + 0.5 * abs(float(arrays[name].flat[0])))
    answers[at] = Gradients.from_tensors(arrays, some[at])
    together_, alone = judged_together(some, answers), judged_alone(some, answers)
    for i in range(len(some)):
        assert all(same(a, b, precision) for a, b in zip(together_[i], alone[i], strict=True))
        assert any(one.verdict == "diverges" for one in together_[i]) == (i == at)


def test_cases_are_stacked_in_their_order_and_only_where_they_are_alike() -> None:
    other = Architecture(3, (Layer(2, "tanh"),), Cost("half_squared_error"))
    some = [*cases()[:3], *cases("float32")[:2], case(other, 2, REGIMES[0], 1, "float64"), cases()[3]]
    found = list(together(some))
    assert [one for stack in found for one in stack] == some
    assert [len(stack) for stack in found] == [3, 2, 1, 1]


def test_a_stack_of_wide_networks_is_bounded() -> None:
    width = int(MOST_WEIGHTS**0.5 / 1.9)
    wide = Architecture(width, (Layer(width, "tanh"),), Cost("half_squared_error"))
    some = [case(wide, 1, regime, 1, "float32") for regime in REGIMES[:7]]
    assert [len(stack) for stack in together(some)] == [3, 3, 1]
