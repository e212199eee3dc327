"""Bounds for forward mode: an honest one keeps them, and not always those of backpropagation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, Parameters, judge
from gradparity.adapters.implementation import MOST_COLUMNS, UnsupportedError, columns, unspoilt
from gradparity.adapters.modes import MODES
from gradparity.adapters.reference import Reference
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.harness.held import margins
from gradparity.harness.verdict import Verdict
from gradparity.harness.workers import Worker
from gradparity.property_tests.probes import of_activation, of_cost
from gradparity.reference.activations import ACTIVATION_ROWS, activation
from gradparity.reference.costs import cost_function
from gradparity.reference.coupled import log_softmax, softmax
from gradparity.reference.enclosure import enclose
from gradparity.reference.network import Array
from gradparity.reference.rounding.balls import Ball
from gradparity.reference.rounding.model import model
from gradparity.reference.rounding.uncancelled import Uncancelled


def forward(case: Case) -> Gradients:
    """Differentiate by one number at a time, in the case's own precision."""
    found, network = Reference().gradients(case), case.architecture
    zs, activations = found.z or (), found.a or ()
    divisor = case.batch if network.reduction == "mean" else 1

    def derivative(l: int, t: Array) -> Any:
        """∂C along a direction t of z^l (m, n_l)."""
        for at in range(l, network.depth + 1):
            if at > l:
                t = t @ case.parameters.weights[at - 1].mT
            t = through(network.layers[at - 1], zs[at - 1], t)
        return at_the_cost(t) / case.dtype.type(divisor)

    def through(layer: Layer, z: Array, t: Array) -> Array:
        if ACTIVATION_ROWS[layer.activation].coupled:
            s = softmax(z)
            away: Array = t - (s * t).sum(axis=-1, keepdims=True)
            return away if layer.activation == "log_softmax" else np.asarray(s * away)
        return np.asarray(activation(layer).vjp(t, z))

    def at_the_cost(t: Array) -> Any:
        a = activations[-1]
        if network.cost.name == "softmax_cross_entropy":
            return -(case.y * (t - (np.exp(log_softmax(a)) * t).sum(axis=-1, keepdims=True))).sum()
        return (cost_function(network.cost).gradient(a, case.y) * t).sum()

    dW, db, delta = (
        [np.zeros_like(one) for one in family] for family in (found.dW, found.db, found.delta or ())
    )
    for l, layer in enumerate(network.layers, start=1):
        before = case.x if l == 1 else activations[l - 2]
        for i in range(layer.width):
            one = np.zeros((case.batch, layer.width), case.dtype)
            one[:, i] = 1
            db[l - 1][i] = derivative(l, one)
            for e in range(case.batch):
                delta[l - 1][e, i] = derivative(
                    l, one * (np.arange(case.batch) == e)[:, None].astype(case.dtype)
                )
            for j in range(before.shape[1]):
                dW[l - 1][i, j] = derivative(l, one * before[:, j : j + 1])
    return replace(found, dW=dW, db=db, delta=delta)


def outside(case: Case, answer: Gradients, any_order: bool) -> list[str]:
    bounds, arrays = enclose(case, any_order=any_order), answer.tensors()
    return [name for name, one in bounds.items() if np.any(margins(arrays[name], one) > 1)]


def small(cases: int) -> list[Case]:
    drawn = draw_cases(Settings((), cases=cases))
    return [case for case in drawn if columns(case) <= MOST_COLUMNS and case.regime != "not_finite"]


@pytest.mark.filterwarnings("ignore")
def test_forward_mode_stays_inside() -> None:
    cases = small(400)
    assert len({case.architecture for case in cases}) > 8
    for case in cases[::3]:
        answer = forward(case)
        if all(np.isfinite(array).all() for array in answer.tensors().values()):
            assert outside(case, answer, any_order=True) == [], (case.id, case.regime)


def probes(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    monkeypatch.setattr("gradparity.property_tests.probes.EXAMPLES", 6)
    monkeypatch.setattr("gradparity.property_tests.probes.NEURONS", 24)
    make = of_cost if "entropy" in name else of_activation
    return list(make(name, precision, np.random.default_rng(20)))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_cross_entropy"])
def test_where_neurons_are_coupled_as_well(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in probes(name, precision, monkeypatch):
        assert outside(case, forward(case), any_order=True) == []


def test_it_would_be_accused_by_the_bounds_of_backpropagation(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = probes("softmax_cross_entropy", "float64", monkeypatch)
    assert any(outside(case, forward(case), any_order=False) for case in cases)


def test_what_is_wrong_in_forward_mode_diverges() -> None:
    network = Architecture(3, (Layer(4, "tanh"), Layer(2, "log_softmax")), Cost("negative_log_likelihood"))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(0, 1, shape) for shape in ((4, 3), (2, 4), (4,), (2,), (5, 3), (5, 2))]
    case = Case(network, Parameters((arrays[0], arrays[1]), (arrays[2], arrays[3])), arrays[4], arrays[5])
    right = forward(case)
    assert judge(case, right, premise="chain", any_order=True).verdict is Verdict.AGREES
    wrong = replace(right, dW=[right.dW[0] * (1 + 1e-12), right.dW[1]])
    assert judge(case, wrong, premise="chain", any_order=True).verdict is Verdict.DIVERGES


def test_it_is_never_narrower_than_what_backpropagation_gets_from_balls() -> None:
    for case in small(160)[::5]:
        narrow, wide = enclose(case), enclose(case, any_order=True)
        for name, one in narrow.items():
            assert np.all(np.asarray(wide[name].rad) >= np.asarray(one.rad) * (1 - 1e-12)), (name, case.id)


def test_a_product_with_signs_on_the_left_forgets_them_too() -> None:
    arithmetic, signs = model("float64"), np.array([[[1.0, -1.0]]])
    ones = Uncancelled.of(Ball.exact(arithmetic, np.ones((1, 2, 1))))
    for left in (signs, Ball.exact(arithmetic, signs)):
        product = left @ ones
        assert isinstance(product, Uncancelled)
        assert product.mid == 2


def test_a_factor_that_overflows_on_its_way_leaves_nothing_known() -> None:
    """1e200 twice is too much for a derivative that sets out as 1, and not for the error on its way back."""
    one = np.ones((1, 1))
    network = Architecture(1, (Layer(1, "identity"),) * 3, Cost("negative_log_likelihood"))
    parameters = Parameters((one, 1e200 * one, 1e200 * one), (np.zeros(1),) * 3)
    case = Case(network, parameters, 1e-200 * one, 1e-300 * one)
    assert np.isfinite(enclose(case)["delta1"].rad).all()
    assert np.isinf(enclose(case, any_order=True)["delta1"].rad).all()


def test_a_forward_mode_declines_what_an_overflow_spoils_and_nothing_else() -> None:
    one = np.ones((1, 1))
    right = Gradients([one], [one[0]], np.array(1.0), [one], [one], [one])
    assert unspoilt(right) is right
    assert unspoilt(replace(right, cost=np.array(np.inf))) is not None  # it may be right
    assert unspoilt(replace(right, dW=[np.nan * one])) is not None  # there is no excuse for it
    with pytest.raises(UnsupportedError, match="overflowed"):
        unspoilt(replace(right, cost=np.array(np.inf), dW=[np.nan * one]))


@pytest.mark.parametrize("name", [mode.name for mode in MODES.values() if mode.forward])
def test_an_exponential_that_overflows_is_such_a_case(name: str) -> None:
    network = Architecture(1, (Layer(2, "identity"),), Cost("poisson"))
    parameters = Parameters((np.array([[1], [100]], np.float32),), (np.zeros(2, np.float32),))
    case = Case(network, parameters, np.ones((1, 1), np.float32), np.ones((1, 2), np.float32), "float32")
    with Worker(name, 120) as worker:
        answer = worker.submit(case).result()
        assert answer.outcome == "unsupported", answer
        assert "overflowed" in answer.message
