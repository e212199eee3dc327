"""Shrinking leaves one link, few numbers, and the same fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer
from gradparity.adapters.reference import Reference
from gradparity.harness.blame import Broken
from gradparity.harness.judgement import judge
from gradparity.harness.shrink import MOST_ASKED, Ask, cause, shrink, simpler
from gradparity.harness.verdict import Verdict
from gradparity.property_tests.regimes import BY_NAME, case

Spoil = Callable[[Case, dict[str, np.ndarray]], None]


def asking(spoil: Spoil) -> tuple[Ask, list[Case]]:
    """Ask the reference, with every array as ``spoil`` leaves it; and what was asked."""
    asked: list[Case] = []

    def ask(case: Case) -> tuple[Gradients, Sequence[Broken]]:
        asked.append(case)
        arrays = {name: np.array(array) for name, array in Reference().gradients(case).tensors().items()}
        spoil(case, arrays)
        answer = Gradients.from_tensors(arrays, case)
        return answer, judge(case, answer).blamed

    return ask, asked


def layers(case: Case, activation: str) -> list[int]:
    return [l for l, layer in enumerate(case.architecture.layers, start=1) if layer.activation == activation]


def softplus_is_linear_above_three(case: Case, arrays: dict[str, np.ndarray]) -> None:
    for l in layers(case, "softplus"):
        arrays[f"a{l}"] = np.where(arrays[f"z{l}"] > 3, arrays[f"z{l}"], arrays[f"a{l}"])


def tanh_has_a_billionth_more_slope(case: Case, arrays: dict[str, np.ndarray]) -> None:
    for l in layers(case, "tanh"):
        arrays[f"delta{l}"] *= 1 + 1e-9


def softmax_forgets_its_first_neuron(case: Case, arrays: dict[str, np.ndarray]) -> None:
    for l in layers(case, "softmax"):
        arrays[f"a{l}"][:, 0] *= 1.001


def the_last_example_is_not_added(case: Case, arrays: dict[str, np.ndarray]) -> None:
    for l in range(1, case.architecture.depth + 1):
        arrays[f"db{l}"] = arrays[f"delta{l}"][:-1].sum(axis=0)


def large() -> Case:
    names = ("tanh", "softplus", "softmax", "tanh")
    network = Architecture(
        17, tuple(Layer(9 + i, name) for i, name in enumerate(names)), Cost("squared_error")
    )
    return case(network, 6, BY_NAME["saturated"], 2, "float64")


@pytest.mark.parametrize(
    ("spoil", "kind", "function", "widths", "batch"),
    [
        (softplus_is_linear_above_three, "a", "softplus", (1, 1), 1),
        (tanh_has_a_billionth_more_slope, "delta", "tanh", (1, 1), 1),
        (softmax_forgets_its_first_neuron, "a", "softmax", (1, 1), 1),
        (the_last_example_is_not_added, "db", "BP3", (1, 1), 1),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_one_link_is_left(
    spoil: Spoil, kind: str, function: str, widths: tuple[int, ...], batch: int
) -> None:
    ask, asked = asking(spoil)
    found = ask(large())
    assert found is not None
    broken = next(one for one in found[1] if cause(large(), one).kind == kind)
    small, left = shrink(large(), broken, ask)
    assert cause(small, left).same(cause(large(), broken))
    assert function in {*cause(small, left).functions, left.equation}
    assert (small.architecture.widths, small.batch) == (widths, batch)
    assert len(asked) <= MOST_ASKED + 2
    # It is as true as what it came from.
    again = ask(small)
    assert again is not None and left.name in [one.name for one in again[1]]
    assert judge(small, Reference().gradients(small)).verdict is not Verdict.DIVERGES


def test_numbers_become_simple() -> None:
    ask, _ = asking(softplus_is_linear_above_three)
    found = ask(large())
    assert found is not None
    small, _ = shrink(large(), next(one for one in found[1] if one.name.startswith("a")), ask)
    numbers = {abs(float(value)) for array in small.tensors().values() for value in array.flat}
    assert all(value == 0 or value == float(f"{value:.2g}") for value in numbers), numbers
    assert float((small.x @ small.parameters.weights[0].T)[0, 0]) > 3


def test_what_only_shows_in_its_network_keeps_it() -> None:
    """A fault of networks of two layers or more: no link by itself has it."""

    def only_when_deep(case: Case, arrays: dict[str, np.ndarray]) -> None:
        if case.architecture.depth > 1:
            arrays["delta1"] *= 1 + 1e-6

    ask, _ = asking(only_when_deep)
    found = ask(large())
    assert found is not None
    small, left = shrink(large(), found[1][0], ask)
    assert small.architecture.widths == (1, 1, 1)
    assert small.batch == 1
    assert left.name == "delta1"


def test_another_cause_is_not_followed() -> None:
    """Where the link alone shows another fault, it is not taken for the one that is shrunk."""

    def tanh_here_and_identity_alone(case: Case, arrays: dict[str, np.ndarray]) -> None:
        if case.architecture.depth > 1:
            tanh_has_a_billionth_more_slope(case, arrays)
        else:
            arrays["db1"] = arrays["db1"] + 1

    ask, _ = asking(tanh_here_and_identity_alone)
    found = ask(large())
    assert found is not None
    small, left = shrink(large(), next(one for one in found[1] if one.layer == 1), ask)
    assert small.architecture.depth == 2
    assert left.name.startswith("delta")


def test_who_answers_no_more_leaves_the_case_as_it_is() -> None:
    ask, _ = asking(tanh_has_a_billionth_more_slope)
    found = ask(large())
    assert found is not None
    small, left = shrink(large(), found[1][0], lambda case: None)
    assert (small, left) == (large(), found[1][0]) or small.id == large().id


def test_a_small_case_is_left_alone() -> None:
    one = replace(large(), regime="")
    ask, asked = asking(lambda case, arrays: None)
    found = ask(one)
    assert found is not None and found[1] == []
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("value", "first"),
    [(0.37, [0.0, 1.0, -1.0, 0.5, 0.4]), (1.0, [0.0]), (0.0, []), (np.nan, []), (-8.0, [0.0, 1.0, -1.0])],
)
def test_simpler_numbers_come_first(value: float, first: list[float]) -> None:
    assert list(simpler(value))[: len(first)] == first
    assert value not in list(simpler(value))


def test_layers_are_lost_where_nothing_is_known_of_what_is_between_them() -> None:
    """An answer of ∂C/∂W and ∂C/∂b alone has no link that could be put to the test by itself."""
    asked = []

    def ask(case: Case) -> tuple[Gradients, Sequence[Broken]]:
        asked.append(case)
        answer = Reference().gradients(case)
        db = [np.array(array) for array in answer.db]
        for l in layers(case, "softplus"):
            db[l - 1] += 1
        alone = Gradients(answer.dW, db)
        return alone, judge(case, alone).blamed

    small, left = shrink(large(), ask(large())[1][0], ask)
    assert small.architecture.depth <= 2
    assert "softplus" in [layer.activation for layer in small.architecture.layers]
    assert left.name.startswith("db")
    assert len(asked) < MOST_ASKED


def test_three_examples_become_two() -> None:
    def ask(case: Case) -> tuple[Gradients, Sequence[Broken]]:
        answer = Reference().gradients(case)
        db = [np.array(array) * (2 if case.batch > 1 else 1) for array in answer.db]
        wrong = replace(answer, db=db)
        return wrong, judge(case, wrong).blamed

    found = ask(large())
    small, _ = shrink(large(), next(one for one in found[1] if one.equation == "BP3"), ask)
    assert small.batch == 2


def test_a_weight_s_place_is_no_example_s() -> None:
    """dW[23, 0] of a batch of three: 23 counts neurons."""

    def the_last_row_is_wrong(case: Case, arrays: dict[str, np.ndarray]) -> None:
        arrays["dW1"][-1] *= 1 + 1e-6

    ask, _ = asking(the_last_row_is_wrong)
    network = Architecture(2, (Layer(24, "tanh"), Layer(2, "tanh")), Cost("squared_error"))
    asked = case(network, 3, BY_NAME["ordinary"], 2, "float64")
    found = ask(asked)
    assert found is not None
    small, left = shrink(asked, found[1][0], ask)
    assert (small.batch, small.architecture.widths, left.name) == (1, (1, 1), "dW1")
