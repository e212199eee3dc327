"""Verdicts: what is an agreement, what is not, and who is to blame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from gradparity import Architecture, Cost, Gradients, Layer
from gradparity.adapters.reference import load
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.harness.held import margins
from gradparity.harness.verdict import Judged, Verdict, judge_answer
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.activations import activation
from gradparity.reference.backprop import bp3, bp4, flow, moved_back
from gradparity.reference.enclosure import enclose
from gradparity.reference.exact import Certifier
from gradparity.reference.interval import Interval
from gradparity.reference.steps import EQUATIONS

NETWORK = Architecture(
    3,
    (Layer(5, "tanh"), Layer(4, "softplus"), Layer(6, "sigmoid"), Layer(2, "identity")),
    Cost("half_squared_error"),
)
CASE = case(NETWORK, 7, BY_NAME["ordinary"], 1, "float64")
ANSWER = load("").gradients(CASE)
ENCLOSURE = enclose(CASE)


def interval(mid: list[float], rad: list[float], size: float = 1.0) -> Interval:
    return Interval(np.array(mid, np.longdouble), np.array(rad), size, kinked=False)


# ------------------------------------------------------------------------------------------------- one array


def test_the_margin_is_the_distance_in_radii() -> None:
    result = np.array([1.0, 1.25, 0.5, 3.0])
    found = margins(result, interval([1.0, 1.0, 1.0, 1.0], [0.0, 0.25, 0.25, np.inf]))
    assert found.tolist() == [0.0, 1.0, 2.0, 0.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_infinitely_far_out(value: float) -> None:
    assert margins(np.array([value]), interval([1.0], [0.5])) == [np.inf]


def test_a_point_is_left_by_any_difference() -> None:
    assert margins(np.array([np.nextafter(1.0, 2.0)]), interval([1.0], [0.0])) == [np.inf]


def judged(answer: Gradients, enclosure: Mapping[str, Interval] = ENCLOSURE) -> Judged:
    return judge_answer(CASE, answer, enclosure, Certifier(CASE))


#: Without δ, z and a there are no links, and the chain decides.
GRADIENTS = Gradients(ANSWER.dW, ANSWER.db)


def with_enclosure(change: Callable[[Interval], Interval]) -> list[Verdict]:
    enclosure = {name: change(one) for name, one in ENCLOSURE.items()}
    return [one.verdict for one in judged(GRADIENTS, enclosure).verdicts]


def test_the_reference_agrees() -> None:
    assert set(with_enclosure(lambda one: one)) == {Verdict.AGREES}


def test_where_nothing_is_known_nothing_agrees() -> None:
    unknown = with_enclosure(lambda one: dataclasses.replace(one, rad=one.rad * 0 + np.inf))
    assert set(unknown) == {Verdict.INCONCLUSIVE}


def test_one_component_of_which_nothing_is_known_is_enough() -> None:
    def lose_one(one: Interval) -> Interval:
        rad = np.array(one.rad)
        rad.flat[0] = np.inf
        return dataclasses.replace(one, rad=rad)

    assert set(with_enclosure(lose_one)) == {Verdict.INCONCLUSIVE}


def test_an_enclosure_as_wide_as_the_gradient_says_nothing() -> None:
    vacuous = with_enclosure(lambda one: dataclasses.replace(one, rad=one.rad * 0 + 0.51 * one.size))
    assert set(vacuous) == {Verdict.INCONCLUSIVE}
    telling = with_enclosure(lambda one: dataclasses.replace(one, rad=one.rad * 0 + 0.49 * one.size))
    assert set(telling) == {Verdict.AGREES}


@pytest.mark.parametrize("size", [np.inf, np.nan])
def test_a_natural_size_that_overflowed_excuses_nothing(size: float) -> None:
    """Garbage once agreed where both the size and the radius were infinite."""
    unknown = with_enclosure(lambda one: dataclasses.replace(one, rad=one.rad * 0 + np.inf, size=size))
    assert set(unknown) == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("seed", range(3))
def test_garbage_never_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for drawn in draw_cases(Settings((), 40, seed, ("float64",))):
        right = load("").gradients(drawn).tensors()
        enclosure = enclose(drawn)
        for garbage in (rng.normal(0, 1e9), np.nan):
            answer = {name: np.full_like(array, garbage) for name, array in right.items()}
            if all(np.array_equal(answer[name], right[name], equal_nan=True) for name in right):
                continue  # it is what one NaN makes of everything
            given = Gradients.from_tensors(answer, drawn)
            found = judge_answer(drawn, given, enclosure, Certifier(drawn))
            chained = [one for one in found.verdicts if one.margin > 0]
            assert Verdict.AGREES not in {one.verdict for one in chained}, drawn.id
            # From garbage a link or two may hold, as identity's does, or a NaN that came of a NaN; not all of them.
            for one in (found, judge_answer(drawn, given, {}, Certifier(drawn))):
                assert {each.verdict for each in one.verdicts} != {Verdict.AGREES}, drawn.id


def test_every_array_has_its_equation() -> None:
    steps = flow(NETWORK, CASE.batch)
    found = {name: (steps[name].equation, steps[name].makes.layer) for name in ANSWER.tensors()}
    assert found["delta4"] == ("BP1", 4)
    assert found["delta3"] == ("BP2", 3)
    assert found["db2"] == ("BP3", 2)
    assert found["dW1"] == ("BP4", 1)
    assert found["z1"] == found["a1"] == ("forward", 1)
    assert found["cost"] == ("cost", 4)
    assert {equation for equation, _ in found.values()} == set(EQUATIONS)


# ------------------------------------------------------------------------------------------------- certificates


def test_nobody_is_accused_on_a_wrong_enclosure() -> None:
    wrong = {name: dataclasses.replace(one, mid=one.mid + 1) for name, one in ENCLOSURE.items()}
    found = judged(ANSWER, wrong)
    assert {one.verdict for one in found.verdicts} == {Verdict.INCONCLUSIVE}
    assert all(one.margin > 1 for one in found.verdicts)
    assert set(found.doubts) == set(ANSWER.tensors())
    assert all("a defect of gradparity" in doubt for doubt in found.doubts.values())


# ------------------------------------------------------------------------------------------------- blame


def backwards(answer: Gradients, spoil: Callable[[int, np.ndarray], np.ndarray]) -> Gradients:
    """Go back through the layers with every δ^l spoilt before it is used, as a faulty implementation would."""
    assert answer.delta is not None and answer.z is not None and answer.a is not None
    W, a = CASE.parameters.weights, [CASE.x, *answer.a]
    delta = [spoil(4, np.asarray(answer.delta[3]))]
    for l in (3, 2, 1):
        sigma = activation(NETWORK.layers[l - 1])
        delta.insert(0, spoil(l, np.asarray(sigma.vjp(moved_back(delta[0], W[l]), answer.z[l - 1]))))
    return dataclasses.replace(
        answer,
        delta=delta,
        db=[np.asarray(bp3(one)) for one in delta],
        dW=[np.asarray(bp4(one, a[l])) for l, one in enumerate(delta)],
    )


def blamed(answer: Gradients) -> list[tuple[str, int]]:
    return [(one.equation, one.layer) for one in judged(answer).blamed]


def test_nothing_is_blamed_where_nothing_diverges() -> None:
    assert blamed(ANSWER) == []
    assert blamed(backwards(ANSWER, lambda l, delta: delta)) == []


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1e-9, 1.0])
def test_a_broken_link_is_blamed_and_not_what_follows_from_it(layer: int, size: float) -> None:
    spoilt = backwards(ANSWER, lambda l, delta: delta * (1 + size) if l == layer else delta)
    diverging = [one for one in judged(spoilt).verdicts if one.verdict is Verdict.DIVERGES]
    assert len(diverging) == 3 * layer  # δ, ∂C/∂b and ∂C/∂W of this layer and of all below it
    assert blamed(spoilt) == [("BP1" if layer == 4 else "BP2", layer)]


@pytest.mark.parametrize("layer", [1, 2, 3, 4])
def test_without_delta_the_layer_nearest_to_the_cost_is_blamed(layer: int) -> None:
    spoilt = backwards(ANSWER, lambda l, delta: delta * (1 + 1e-9) if l == layer else delta)
    assert blamed(Gradients(spoilt.dW, spoilt.db)) == [("BP1" if layer == 4 else "BP2", layer)]


def test_a_wrong_cost_is_blamed_as_a_cost() -> None:
    spoilt = backwards(ANSWER, lambda l, delta: delta * 2)
    assert ANSWER.cost is not None
    assert blamed(Gradients(spoilt.dW, spoilt.db, ANSWER.cost * 2)) == [("cost", 4)]


@pytest.mark.parametrize(("family", "equation"), [("dW", "BP4"), ("db", "BP3")])
@pytest.mark.parametrize("everything", [True, False])
def test_a_wrong_gradient_is_blamed_by_itself(family: str, equation: str, everything: bool) -> None:
    arrays = [np.array(array) for array in getattr(ANSWER, family)]
    arrays[1].flat[np.argmax(np.abs(arrays[1]))] *= 1 + 1e-9
    spoilt = dataclasses.replace(ANSWER, **{family: arrays})
    assert blamed(spoilt if everything else Gradients(spoilt.dW, spoilt.db)) == [(equation, 2)]


def test_two_faults_are_two() -> None:
    spoilt = backwards(ANSWER, lambda l, delta: delta * (1 + 1e-9) if l in (1, 3) else delta)
    assert blamed(spoilt) == [("BP2", 3), ("BP2", 1)]


def test_the_blamed_component_is_where_the_link_broke() -> None:
    def spoil(l: int, delta: np.ndarray) -> np.ndarray:
        delta = np.array(delta)
        if l == 3:
            delta[5, 3] *= 1 + 1e-6
        return delta

    spoilt = backwards(ANSWER, spoil)
    (one,) = judged(spoilt).blamed
    assert (one.name, one.index) == ("delta3", (5, 3))
