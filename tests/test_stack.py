"""Stacks: cases that are judged together come out as each by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer
from gradparity.adapters.reference import load
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.harness.verdict import EquationVerdict, judge_answer, judge_answers
from gradparity.property_tests.regimes import BY_NAME, NOT_FINITE, REGIMES, case
from gradparity.property_tests.strategies import structures
from gradparity.reference import links as links_
from gradparity.reference.enclosure import enclose, enclose_all
from gradparity.reference.exact import Certifier
from gradparity.reference.links import Links, links, prepare_links
from gradparity.reference.network import DTYPES
from gradparity.reference.stack import MOST_WEIGHTS, MixedError, Stack, stacked_answers, together
from hypothesis import given, settings
from hypothesis import strategies as st

NETWORK = Architecture(3, (Layer(4, "tanh"), Layer(2, "softplus")), Cost("half_squared_error"))
REFERENCE = load("")


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
                assert np.array_equal(found.mid, interval.mid, equal_nan=True), name
                assert np.array_equal(found.rad, interval.rad, equal_nan=True), name
                assert found.kinked == interval.kinked, name
                assert np.array_equal(found.size, interval.size, equal_nan=True), name
    assert judged_together(some, answers) == judged_alone(some, answers)


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
        assert together_[i] == alone[i]
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


def judged_without_one(stack: Stack, chained: bool, absent: int) -> None:
    """Hold what is said of each case of a stack against what is said where one has no answer."""
    answers = [REFERENCE.gradients(one) for one in stack.cases]
    enclosure = enclose_all(stack, sharp=False) if chained else {}
    certifiers = [Certifier(one) for one in stack.cases]
    found = judge_answers(stack, answers, enclosure, certifiers)
    left = [i for i in range(len(answers)) if i != absent]
    without = judge_answers(
        Stack([stack.cases[i] for i in left]),
        [answers[i] for i in left],
        {name: one.among(left) for name, one in enclosure.items()},
        [certifiers[i] for i in left],
    )
    assert [found[i].verdicts for i in left] == [one.verdicts for one in without]


@pytest.mark.parametrize("precision", DTYPES)
def test_what_is_said_of_a_case_does_not_depend_on_those_beside_it(precision: str) -> None:
    """To the last bit: where one has no answer, as of a process that was killed, the others' rows are the same."""
    drawn = list(draw_cases(Settings((), 512, 11, (precision,))))
    stacks = [stack for stack in map(Stack, together(drawn)) if len(stack.cases) > 1]
    assert len(stacks) > 40
    for i, stack in enumerate(stacks):
        judged_without_one(stack, chained=True, absent=i % len(stack.cases))


WIDE = Architecture(96, tuple(Layer(96, "tanh") for _ in range(3)), Cost("squared_error"))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "regimes",
    [["ordinary"] * 8, ["ordinary"] * 7 + ["sweep"], [one.name for one in (*REGIMES[-7:], NOT_FINITE)]],
)
def test_nor_where_links_are_those_of_wide_networks(regimes: list[str], precision: str) -> None:
    some = [case(WIDE, 32, BY_NAME[name], seed, precision) for seed, name in enumerate(regimes)]
    assert links_.WIDE < 32 * 96**2
    for absent in (0, 7):
        judged_without_one(Stack(some), chained=False, absent=absent)


def test_cases_that_have_to_be_looked_at_differently_are_taken_apart() -> None:
    some = [case(WIDE, 32, BY_NAME[name], 1, "float32") for name in ("ordinary", "not_finite")]
    answers = [REFERENCE.gradients(one) for one in some]
    stack = Stack(some)
    with pytest.raises(MixedError):
        Links(stack, stacked_answers(answers)).get("z1")
    prepare_links(stack)
    found = judge_answers(stack, answers, {}, [Certifier(one) for one in some])
    assert [len(one.verdicts) for one in found] == [16, 16]
