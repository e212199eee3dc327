"""Affine forms: as sound as balls, and sharper where balls grow with depth and width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb
from gradparity.property_tests.regimes import BY_NAME, REGIMES, case
from gradparity.property_tests.strategies import architectures
from gradparity.reference import enclosure
from gradparity.reference.activations import ACTIVATION_ROWS, Elementwise, activation
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.enclosure import affine, enclose
from gradparity.reference.exact import exact_gradients
from gradparity.reference.interval import INFLATION, Interval
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES, Architecture, Case, Cost, Layer
from gradparity.reference.rounding.affine import Affine
from gradparity.reference.rounding.generators import Symbols
from gradparity.reference.rounding.model import model
from hypothesis import given, settings
from hypothesis import strategies as st

from .adversary import by_dice, exactly, of_the_chain


@pytest.fixture(autouse=True)
def _in_high_precision() -> Iterator[None]:
    with flint.ctx.workprec(300):
        yield


gate = settings(max_examples=12, derandomize=True, database=None, deadline=None)


def affine_intervals(asked: Case) -> dict[str, Interval]:
    """The affine enclosure by itself."""
    return {
        name: Interval(form.mid, np.asarray(form.rad * INFLATION), 1.0, kinked=False)
        for name, form in affine(asked).items()
    }


def ball_intervals(asked: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, Interval]:
    """The balls' enclosure by itself."""
    with monkeypatch.context() as patch:
        patch.setattr(enclosure, "AFFORDABLE", -1)
        return enclose(asked)


def outside(intervals: dict[str, Interval], values: dict[str, Any]) -> list[str]:
    """Name the arrays of which some value (arb) is not for certain inside."""
    wrong = []
    for name, interval in intervals.items():
        components = zip(np.ravel(interval.mid), np.ravel(interval.rad), np.ravel(values[name]), strict=True)
        if any(
            np.isfinite(rad) and (not value.is_finite() or not abs(value - exactly(mid)) <= arb(float(rad)))
            for mid, rad, value in components
        ):
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("regime", [regime.name for regime in REGIMES])
@gate
@given(network=architectures(deepest=5, widest=6), m=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_the_exact_values_are_inside(
    regime: str, precision: str, network: Architecture, m: int, seed: int
) -> None:
    asked = case(network, m, BY_NAME[regime], seed, precision)
    assert outside(affine_intervals(asked), exact_gradients(asked)) == []


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", [*ACTIVATIONS, *COSTS])
def test_an_adversary_in_every_operation_stays_inside(name: str, precision: str) -> None:
    cost = name if name in COSTS else "half_squared_error"
    hidden = name if name in ACTIVATIONS else "tanh"
    last = next(one for one in COST_ROWS[cost].last or ("sigmoid",) if not ACTIVATION_ROWS[one].coupled)
    network = Architecture(
        3, (Layer(4, hidden), Layer(5, hidden), Layer(3, hidden), Layer(2, last)), Cost(cost)
    )
    for seed in range(3):
        asked = case(network, 3, BY_NAME["ordinary"], seed, precision)
        assert outside(affine_intervals(asked), by_dice(of_the_chain(asked), precision, seed)) == []


@pytest.mark.parametrize("activation", ["softmax", "log_softmax"])
@pytest.mark.parametrize("precision", DTYPES)
def test_a_coupled_activation_holds_every_input_in_its_reach(activation: str, precision: str) -> None:
    """The second-order term: inputs anywhere within a radius that is not small, without rounding."""
    rng, m = np.random.default_rng(0), model(precision)
    for radius in (1e-3, 0.1, 0.7):
        symbols = Symbols()
        z = rng.normal(0, 3, (1, 5))
        around = Affine(m, symbols, z.astype(m.midpoint), np.zeros((1, 0, 5)), np.full((1, 5), radius))
        form = getattr(around, activation)()
        for _ in range(200):
            moved = z + radius * rng.choice([-1.0, 1.0, 0.3], (1, 5))
            shifted = moved - moved.max()
            value = shifted - np.log(np.exp(shifted).sum())
            value = np.exp(value) if activation == "softmax" else value
            assert np.all(np.abs(value - form.mid) <= form.rad)


def test_errors_cancel_where_they_do_in_truth() -> None:
    """x - x is 0, whatever x is; a Ball forgets that both are the same x."""
    m, symbols = model("float32"), Symbols()
    x = Affine(m, symbols, np.ones((1, 2)), np.zeros((1, 0, 2)), np.full((1, 2), 0.5))
    named = x @ np.eye(2)
    assert np.all((named - named).rad < 1e-5)
    assert np.all((named.ball - named.ball).rad >= 1.0)


def test_a_symbol_stays_with_its_example() -> None:
    """Two examples with the same symbols' numbers meet in a sum over the batch: there, nothing cancels."""
    m, symbols = model("float32"), Symbols()
    x = Affine(m, symbols, np.ones((2, 1)), np.zeros((2, 0, 1)), np.full((2, 1), 0.5))
    named = x @ np.array([[1.0]])
    signed = named * np.array([[1.0], [-1.0]])
    assert np.all(signed.sum(axis=0).rad >= 1.0)


@pytest.mark.parametrize("precision", DTYPES)
def test_depth_costs_less_than_it_costs_balls(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = tuple(Layer(32, "tanh") for _ in range(8))
    asked = case(Architecture(32, layers, Cost("half_squared_error")), 4, BY_NAME["ordinary"], 0, precision)
    ball, form = ball_intervals(asked, monkeypatch)["dW1"], affine_intervals(asked)["dW1"]
    assert np.median(form.rad) < 0.01 * np.median(ball.rad)


def test_where_balls_are_loose_the_smaller_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = tuple(Layer(32, "tanh") for _ in range(8))
    asked = case(Architecture(32, layers, Cost("half_squared_error")), 4, BY_NAME["ordinary"], 0, "float32")
    ball, form, both = ball_intervals(asked, monkeypatch), affine_intervals(asked), enclose(asked)
    for name, one in both.items():
        assert np.array_equal(one.rad, np.minimum(ball[name].rad, form[name].rad))


def test_what_is_infinite_is_unknown() -> None:
    m, symbols = model("float32"), Symbols()
    top = Affine.exact(m, symbols, np.array([[m.largest, 1.0]]))
    for form in (top + top, top * top, top @ np.array([[2.0], [0.0]])):
        assert np.isinf(form.rad).any()
    assert np.isinf((top + top).softmax().rad).all()
    assert np.isinf(((top + top) * 0.0).rad[0, 0])


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("side", [-np.inf, np.inf])
def test_beside_a_kink_both_slopes_are_allowed(precision: str, side: float) -> None:
    """z + 3 rounds to 6 for the last z below 3, so that relu6(z + 3) is on its kink: JAX takes 1 and not 1.5."""
    m = model(precision)
    z = np.nextafter(np.array([[3.0]], precision), np.array(side, precision))
    form = Affine.exact(m, Symbols(), z)
    sigma = activation(Layer(1, "hardswish"))
    assert isinstance(sigma, Elementwise)
    for slope in (sigma.scalar.slope(form), sigma.scalar.slope(form.ball)):
        for allowed in (1.0, 1.5):
            assert np.all(np.abs(slope.mid - allowed) <= slope.rad * INFLATION)


def test_where_balls_know_nothing_forms_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 layers a ball's radius overflows, though no number in the network comes near that."""
    layers = tuple(Layer(32, "tanh") for _ in range(80))
    asked = case(Architecture(32, layers, Cost("half_squared_error")), 2, BY_NAME["ordinary"], 0, "float32")
    assert not np.isfinite(ball_intervals(asked, monkeypatch)["dW1"].rad).all()
    assert np.isfinite(enclose(asked)["dW1"].rad).all()
