"""Spans and Balls hold what they promise: every result that arithmetic within the model may give, and the truth.

Three opponents: NumPy's own arithmetic, in every precision; an adversary who pushes every operation by its full
allowance, in 300-bit arithmetic, so that nothing is lost in the telling; and sums in any order. Each check can fail.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import flint
import ml_dtypes
import numpy as np
import pytest
from flint import arb
from gradparity.adapters.reference import Reference, in_its_precision
from gradparity.harness.held import margins
from gradparity.property_tests.regimes import BY_NAME, REGIMES, case
from gradparity.property_tests.strategies import architectures
from gradparity.reference import elementary
from gradparity.reference.activations import Elementwise, activation
from gradparity.reference.coupled import Coupled
from gradparity.reference.enclosure import enclose
from gradparity.reference.exact import exact_gradients
from gradparity.reference.interval import INFLATION, Interval
from gradparity.reference.links import links
from gradparity.reference.network import (
    ACTIVATIONS,
    COSTS,
    DTYPES,
    Architecture,
    Case,
    Cost,
    Layer,
    Parameters,
)
from gradparity.reference.rounding.balls import Ball
from gradparity.reference.rounding.model import DIVISION_ROUNDINGS, K, Model, model
from gradparity.reference.rounding.spans import Span
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .adversary import by_dice, exactly, ndtr, of_the_chain, sigmoid

many = settings(max_examples=150, deadline=None, derandomize=True, database=None)
fewer = settings(many, max_examples=40, suppress_health_check=list(HealthCheck))
precisions = st.sampled_from(list(DTYPES))
signs = st.sampled_from([-1, 0, 1])
shares = st.floats(-1, 1)


@pytest.fixture(autouse=True)
def _in_high_precision() -> Iterator[None]:
    with flint.ctx.workprec(300):
        yield


def numbers(precision: str, most: float = math.inf) -> st.SearchStrategy[float]:
    """Draw what a precision holds: ordinary sizes, and everything from the subnormals to the largest."""
    widths: dict[int, Literal[16, 32, 64]] = {8: 64, 4: 32, 2: 16}
    width = 32 if precision == "bfloat16" else widths[DTYPES[precision].itemsize]
    ordinary = st.floats(-64, 64, width=width)
    extreme = st.floats(allow_nan=False, allow_infinity=False, width=width)
    held = (ordinary | extreme).map(lambda x: float(DTYPES[precision].type(x)))
    return held.filter(lambda x: abs(x) <= min(most, float(ml_dtypes.finfo(DTYPES[precision]).max)))


def one(value: float) -> Any:
    return np.array([value], dtype=np.float64)


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
}
UNARY: dict[str, Callable[[Any], Any]] = {name: getattr(elementary, name) for name in K}


EXACT_UNARY: dict[str, Callable[[Any], Any]] = {
    name: getattr(arb, name) for name in K if name not in ("sigmoid", "ndtr")
} | {"sigmoid": sigmoid, "ndtr": ndtr}


def pushed(value: Any, units: float, m: Model, relative: float, absolute: float) -> Any:
    """Round as badly as the model allows: by u of the case's precision, and by eta."""
    unit = arb(float(ml_dtypes.finfo(DTYPES[m.precision]).eps)) / 2
    return value * (1 + relative * units * unit) + absolute * arb(m.eta)


# ------------------------------------------------------------------------------------------------------------ spans


def holds(span: Span, exact: Any, computed: Any) -> bool:
    """Whether a span allows for an exact value and for what was computed of it; where it knows nothing, yes."""
    err = float(np.asarray(span.err)[0])
    if not math.isfinite(err):
        return True
    if not (exact.is_finite() and computed.is_finite()):
        return False
    # An arb that is not surely beyond is not beyond: it is known to 300 bits.
    bound = arb(err) * arb(INFLATION)
    beyond = exact < arb(float(span.lo[0])) - bound or exact > arb(float(span.hi[0])) + bound
    return not beyond and not abs(computed - exact) > bound


@st.composite
def spans(draw: st.DrawFn, precision: str) -> tuple[Span, Any, Any]:
    """Draw a span, an exact value in it, and what may have been computed of that."""
    ends = sorted([draw(numbers(precision)), draw(numbers(precision))])
    lo, hi = ends if draw(st.booleans()) else (ends[0], ends[0])
    err = abs(draw(numbers(precision))) * draw(st.sampled_from([0.0, 2.0**-52, 2.0**-20, 1.0]))
    share, push = (draw(shares) + 1) / 2, draw(signs)
    exact = arb(lo) + (arb(hi) - arb(lo)) * arb(share)
    return Span(model(precision), one(lo), one(hi), one(err)), exact, exact + push * arb(err)


@pytest.mark.parametrize("name", BINARY)
@many
@given(data=st.data(), precision=precisions, relative=signs, absolute=signs)
def test_a_span_holds_the_worst_of_two(
    name: str, data: st.DataObject, precision: str, relative: int, absolute: int
) -> None:
    (one_span, one_exact, one_computed), (other_span, other_exact, other_computed) = (
        data.draw(spans(precision)) for _ in range(2)
    )
    with np.errstate(all="ignore"):
        result = BINARY[name](one_span, other_span)
    computed = pushed(BINARY[name](one_computed, other_computed), 1, result.model, relative, absolute)
    assert holds(result, BINARY[name](one_exact, other_exact), computed)


@many
@given(data=st.data(), precision=precisions, relative=signs, absolute=signs)
def test_a_span_holds_the_worst_square(
    data: st.DataObject, precision: str, relative: int, absolute: int
) -> None:
    span, exact, computed = data.draw(spans(precision))
    with np.errstate(all="ignore"):
        square = span * span
    assert holds(square, exact * exact, pushed(computed * computed, 1, square.model, relative, absolute))
    assert np.all(square.lo >= 0) or np.isnan(square.lo).any()


@pytest.mark.parametrize("name", UNARY)
@many
@given(data=st.data(), precision=precisions, relative=signs, absolute=signs)
def test_a_span_holds_the_worst_elementary_function(
    name: str, data: st.DataObject, precision: str, relative: int, absolute: int
) -> None:
    span, exact, computed = data.draw(spans(precision))
    with np.errstate(all="ignore"):
        result = UNARY[name](span)
    assert holds(
        result,
        EXACT_UNARY[name](exact),
        pushed(EXACT_UNARY[name](computed), result.model.K[name], result.model, relative, absolute),
    )


@pytest.mark.parametrize("name", [*BINARY, *UNARY])
@many
@given(data=st.data(), precision=precisions)
def test_a_span_holds_numpy(name: str, data: st.DataObject, precision: str) -> None:
    values = [data.draw(numbers(precision)) for _ in range(2 if name in BINARY else 1)]
    function, exact = (BINARY[name],) * 2 if name in BINARY else (UNARY[name], EXACT_UNARY[name])
    with np.errstate(all="ignore"):
        span = function(*(Span(model(precision), one(x), one(x)) for x in values))
        computed = function(*(in_its_precision(one(x).astype(precision)) for x in values))
    assert holds(span, exact(*map(arb, values)), exactly(computed[0]))


@pytest.mark.parametrize("name", [*BINARY, *UNARY])
@pytest.mark.parametrize("precision", DTYPES)
def test_the_adversary_reaches_the_edge_of_a_span_and_not_beyond(name: str, precision: str) -> None:
    """A bound without slack: the full allowance is allowed, and a hundredth more is not."""
    values = [0.75, 1.25] if name in BINARY else [0.75]
    function, exact = (BINARY[name],) * 2 if name in BINARY else (UNARY[name], EXACT_UNARY[name])
    span = function(*(Span(model(precision), one(x), one(x)) for x in values))
    truth, units = exact(*map(arb, values)), {"div": DIVISION_ROUNDINGS, **span.model.K}.get(name, 1)
    push = 1 if truth > 0 else -1
    assert holds(span, truth, pushed(truth, units, span.model, 1, push))
    if name != "ndtr":  # which is allowed K u of 1/2 besides, for its left tail
        assert not holds(span, truth, pushed(truth, 1.01 * units, span.model, 1, push))
    assert not holds(span, pushed(truth, 2.1 * units, span.model, 1, push), truth)


# ------------------------------------------------------------------------------------------------------------ balls


def inside(ball: Ball | Interval, values: Any) -> bool:
    """Whether all values are inside; where nothing is known, yes."""
    triples = zip(
        np.ravel(ball.mid), np.ravel(ball.rad), np.ravel(np.asarray(values, dtype=object)), strict=True
    )
    return all(
        not math.isfinite(rad)
        or (value.is_finite() and not abs(value - exactly(mid)) > arb(float(rad)) * arb(INFLATION))
        for mid, rad, value in triples
    )


@st.composite
def balls(draw: st.DrawFn, precision: str, shape: tuple[int, ...]) -> tuple[Ball, Any]:
    """Draw a ball, and what it may stand for."""
    n = math.prod(shape)
    mids = draw(st.lists(numbers(precision), min_size=n, max_size=n))
    size = draw(st.sampled_from([0.0, 2.0**-50, 2.0**-20, 0.5]))
    rads = [abs(mid) * size for mid in mids]
    values = [arb(mid) + arb(draw(shares)) * arb(rad) for mid, rad in zip(mids, rads, strict=True)]
    m = model(precision)
    ball = Ball(m, np.array(mids, m.midpoint).reshape(shape), np.array(rads).reshape(shape))
    return ball, np.array(values, dtype=object).reshape(shape)


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
@many
@given(data=st.data(), precision=precisions, relative=signs, absolute=signs)
def test_a_ball_holds_the_worst_of_two(
    name: str, data: st.DataObject, precision: str, relative: int, absolute: int
) -> None:
    (one_ball, one_value), (other_ball, other_value) = (data.draw(balls(precision, (2,))) for _ in range(2))
    with np.errstate(all="ignore"):
        result = BINARY[name](one_ball, other_ball)
    assert inside(result, pushed(BINARY[name](one_value, other_value), 1, result.model, relative, absolute))


def orders(terms: list[Any]) -> Iterator[Any]:
    """Sum in every order people use: from either end, pairwise, in blocks, from the largest, shuffled."""

    def from_left(values: Any) -> Any:
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def pairwise(values: Any) -> Any:
        half = len(values) // 2
        return values[0] if len(values) == 1 else pairwise(values[:half]) + pairwise(values[half:])

    yield from_left(terms)
    yield from_left(terms[::-1])
    yield pairwise(terms)
    yield from_left([from_left(terms[i : i + 3]) for i in range(0, len(terms), 3)])
    yield from_left(sorted(terms, key=abs, reverse=True))
    for seed in range(3):
        yield from_left([terms[i] for i in np.random.default_rng(seed).permutation(len(terms))])


@many
@given(data=st.data(), precision=precisions, n=st.integers(1, 9))
def test_a_matrix_product_with_its_bias_holds_every_order(
    data: st.DataObject, precision: str, n: int
) -> None:
    dtype, m = DTYPES[precision].type, model(precision)
    summed_in = DTYPES[m.accumulator.precision].type if m.accumulator else dtype
    most = m.largest**0.4
    row, column = (data.draw(st.lists(numbers(precision, most), min_size=n, max_size=n)) for _ in range(2))
    bias = data.draw(numbers(precision, most))
    a, w, b = (Ball.exact(m, np.array(values, dtype)) for values in ([row], [column], [bias]))
    with np.errstate(all="ignore"):
        products = [summed_in(x) * summed_in(y) for x, y in zip(row, column, strict=True)]
        results = [dtype(total) + dtype(bias) for total in orders(products)]  # the bias at the end
        results += [dtype(total) for total in orders([*products, summed_in(bias)])]  # and anywhere in the sum
        left, right = (in_its_precision(np.array([values], dtype)) for values in (row, column))
        results += [(left @ right.T)[0, 0] + dtype(bias)]
        ball = a @ w.mT + b
    exact = sum((arb(x) * arb(y) for x, y in zip(row, column, strict=True)), arb(bias))
    assert inside(ball, [[exact]])
    assert all(inside(ball, [[exactly(result)]]) for result in results)


@many
@given(data=st.data(), precision=precisions, n=st.integers(1, 12))
def test_a_sum_holds_every_order(data: st.DataObject, precision: str, n: int) -> None:
    dtype, m = DTYPES[precision].type, model(precision)
    summed_in = DTYPES[m.accumulator.precision].type if m.accumulator else dtype
    values = data.draw(st.lists(numbers(precision, m.largest / 2**6), min_size=n, max_size=n))
    ball = Ball.exact(m, np.array(values, dtype)[:, None]).sum()
    assert inside(ball, sum(map(arb, values), arb(0)))
    assert all(inside(ball, exactly(dtype(total))) for total in orders([summed_in(x) for x in values]))


def test_a_lost_term_and_a_hundredth_more_than_the_radius_are_seen() -> None:
    values = np.array([[0.1, 2.0, -3.0]])
    m = model("float64")
    for ball, exact in [
        (Ball.exact(m, values) @ Ball.exact(m, values).mT, sum(arb(x) * arb(x) for x in values[0])),
        (Ball.exact(m, values).sum(), sum(map(arb, values[0]))),
        (Ball.exact(m, values[0, :1]) * Ball.exact(m, values[0, 1:2]), arb(0.1) * arb(2.0)),
    ]:
        assert inside(ball, exact)
        edge = exactly(np.ravel(ball.mid)[0]) + arb(1.01) * arb(float(np.ravel(ball.rad)[0]))
        assert not inside(ball, edge)
        assert not inside(ball, exact - arb(0.01))


@pytest.mark.parametrize("coupled", ["softmax", "log_softmax"])
@many
@given(data=st.data(), precision=precisions, n=st.integers(1, 6))
def test_softmax_of_a_ball_holds_numpy_and_the_truth(
    coupled: str, data: st.DataObject, precision: str, n: int
) -> None:
    ball, values = data.draw(balls(precision, (1, n)))
    sigma = activation(Layer(n, coupled))
    assert isinstance(sigma, Coupled)
    with np.errstate(all="ignore"):
        result = sigma.value(ball)
        computed = sigma.value(in_its_precision(ball.mid.astype(precision)))
    # A common shift changes nothing, and keeps arb's exponentials within reach.
    shifted = [value - max(values[0], key=lambda x: x.mid()) for value in values[0]]
    total = sum(x.exp() for x in shifted)
    assert inside(result, [x - total.log() if coupled == "log_softmax" else x.exp() / total for x in shifted])
    assert inside(result, [exactly(x) for x in computed[0]])


# ------------------------------------------------------------------------------------------------ kinks and the rest


def slope_at(layer: Layer, z: float, around: float = 0.0) -> tuple[float, float]:
    """Give the ends of the enclosure of σ′(z ± around), in float64."""
    m = model("float64")
    sigma = activation(layer)
    assert isinstance(sigma, Elementwise)
    ball = sigma.scalar.slope(Ball(m, np.array([z], m.midpoint), np.array([around])))
    rad = float(ball.rad[0]) * INFLATION
    return float(ball.mid[0]) - rad, float(ball.mid[0]) + rad


KINKS = [
    (Layer(1, "relu"), 0.0, 0.0, 1.0),
    (Layer(1, "relu6"), 0.0, 0.0, 1.0),
    (Layer(1, "relu6"), 6.0, 0.0, 1.0),
    (Layer(1, "leaky_relu", 0.25), 0.0, 0.25, 1.0),
    (Layer(1, "leaky_relu", 1.5), 0.0, 1.0, 1.5),
    (Layer(1, "elu", 0.25), 0.0, 0.25, 1.0),
    (Layer(1, "selu"), 0.0, 1.0507009873554805, 1.7580993408473766),
    (Layer(1, "hardtanh"), -1.0, 0.0, 1.0),
    (Layer(1, "hardtanh"), 1.0, 0.0, 1.0),
    (Layer(1, "hardsigmoid"), 3.0, 0.0, 1 / 6),
    (Layer(1, "hardswish"), -3.0, -0.5, 0.0),
    (Layer(1, "hardswish"), 3.0, 1.0, 1.5),
]


@pytest.mark.parametrize(("layer", "z", "low", "high"), KINKS, ids=str)
def test_at_a_kink_both_slopes_are_allowed_and_nothing_beyond(
    layer: Layer, z: float, low: float, high: float
) -> None:
    for rad in (0.0, 2.0**-30):
        found = slope_at(layer, z, rad)
        assert low - 2.0**-20 <= found[0] <= low
        assert high <= found[1] <= high + 2.0**-20


@pytest.mark.parametrize("layer", [Layer(1, "elu"), Layer(1, "celu"), Layer(1, "celu", 1.5)], ids=str)
def test_where_the_slopes_meet_only_one_is_allowed(layer: Layer) -> None:
    """Keras' celu′(0) = 2 is a divergence, and so is 0."""
    low, high = slope_at(layer, 0.0)
    assert 1 - 2.0**-20 <= low <= 1 <= high <= 1 + 2.0**-20


@pytest.mark.parametrize(("layer", "z", "low", "high"), KINKS, ids=str)
def test_beside_a_kink_only_one_slope_is_allowed(layer: Layer, z: float, low: float, high: float) -> None:
    for beside in (z - 0.01, z + 0.01):
        found = slope_at(layer, beside)
        assert found[1] - found[0] < 2.0**-20


ALL_SCALARS = [name for name in ACTIVATIONS if isinstance(activation(Layer(1, name)), Elementwise)]


def results(m: Model, mid: float) -> Iterator[Ball | Span]:
    """Everything that can be done with one ball or one span."""
    ball, other = (
        Ball(m, np.full((2, 2), mid, m.midpoint), np.zeros((2, 2))),
        Ball.exact(m, np.ones((2, 2))),
    )
    yield from (
        ball,
        -ball,
        ball + other,
        other - ball,
        ball * other,
        ball @ other,
        other @ ball,
        ball.sum(),
        ball.mT,
    )
    yield from (
        ball.divided(3),
        ball.softmax(),
        ball.log_softmax(),
        ball.in_any_order(other, np.ones((2, 2)), 1.0),
    )
    for name in ALL_SCALARS:
        yield activation(Layer(1, name)).value(ball)
    span, unit = Span(m, one(mid), one(mid)), Span(m, one(1.0), one(1.0))
    yield from (
        span + unit,
        unit - span,
        span * unit,
        span / unit,
        *(function(span) for function in UNARY.values()),
    )


@pytest.mark.parametrize("precision", DTYPES)
def test_what_is_not_a_number_has_no_finite_radius(precision: str) -> None:
    with np.errstate(all="ignore"):
        for result in results(model(precision), math.nan):
            assert not np.isfinite(result.rad if isinstance(result, Ball) else result.err).any()


@pytest.mark.parametrize("precision", DTYPES)
def test_what_may_overflow_has_no_finite_radius(precision: str) -> None:
    m = model(precision)
    most = Ball.exact(m, np.array([m.largest]))
    large, span = Ball.exact(m, np.array([1000.0])), Span(m, one(1000.0), one(1000.0))
    top = Span(m, one(m.largest), one(m.largest))
    with np.errstate(all="ignore"):
        for ball in (
            most + most,
            most * large,
            most @ Ball.exact(m, np.full((1, 1), 2.0)),
            (most + most) * 0.0,
        ):
            assert np.isinf(ball.rad).all()
        for result in (span.exp(), span.expm1(), top + top, top * span, top / Span(m, one(0.5), one(0.5))):
            assert np.isinf(result.err).all()
        # 1 / 0, and a logarithm of what may be zero
        unsure = Span(m, one(-1.0), one(2.0))
        for result in (1.0 / unsure, unsure.log(), (unsure * 2.0).log1p()):
            assert np.isinf(result.err).all()


# ------------------------------------------------------------------------------- whole networks: numpy and the truth


def held(case: Case) -> list[str]:
    """Say what an enclosure does not hold: the exact values, or the reference's own floats."""
    exact, floats, wrong = exact_gradients(case), Reference().gradients(case).tensors(), []
    for name, interval in enclose(case).items():
        if np.any(margins(floats[name], interval) > 1):
            wrong.append(f"{name}: the float result is outside")
        values = zip(np.ravel(interval.mid), np.ravel(interval.rad), np.ravel(exact[name]), strict=True)
        for mid, rad, value in values:
            if math.isfinite(rad) and (not value.is_finite() or abs(value - exactly(mid)) > arb(float(rad))):
                wrong.append(f"{name}: the exact value {value} is outside {mid} ± {rad}")
    return wrong


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("regime", [regime.name for regime in REGIMES])
@fewer
@given(network=architectures(deepest=4, widest=5), m=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_an_enclosure_holds_the_truth_and_the_reference(
    regime: str, precision: str, network: Architecture, m: int, seed: int
) -> None:
    assert held(case(network, m, BY_NAME[regime], seed, precision)) == []


def test_a_result_beyond_the_radius_is_outside_its_enclosure() -> None:
    network = Architecture(3, (Layer(4, "tanh"), Layer(2, "identity")), Cost("half_squared_error"))
    for name, interval in enclose(case(network, 3, BY_NAME["ordinary"], 1, "float32")).items():
        for sign in (-1, 1):
            assert np.all(margins(interval.mid + sign * 0.99 * interval.rad, interval) < 1), name
            assert np.all(margins(interval.mid + sign * 1.01 * interval.rad, interval) > 1), name


# ------------------------------------------------------------------------- whole networks: the adversary, throwing dice


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("index", range(len(ACTIVATIONS)))
def test_an_adversary_in_every_operation_stays_inside(index: int, precision: str) -> None:
    """All the answer at once; test_adversary.py aims at one component."""
    name, cost = ACTIVATIONS[index], COSTS[index % len(COSTS)]
    last = {"kl_divergence": "log_sigmoid", "negative_log_likelihood": "log_sigmoid"}.get(cost, "sigmoid")
    network = Architecture(3, (Layer(4, name), Layer(3, name), Layer(2, last)), Cost(cost))
    for seed in range(3):
        asked = case(network, 3, BY_NAME["ordinary"], seed, precision)
        pushed_about = by_dice(of_the_chain(asked), precision, seed)
        for key, interval in enclose(asked).items():
            assert inside(interval, pushed_about[key]), key


def test_an_adversary_who_may_push_too_far_is_seen() -> None:
    """A thousand roundings where one is allowed."""
    network = Architecture(3, (Layer(4, "tanh"), Layer(2, "sigmoid")), Cost("half_squared_error"))
    asked = case(network, 3, BY_NAME["ordinary"], 0, "float64")
    exact, interval = exact_gradients(asked, 300), enclose(asked)["dW1"]
    off = [value * (1 + 1000 * arb(model("float64").unit)) for value in np.ravel(exact["dW1"])]
    assert not inside(interval, off)


# ------------------------------------------------------------------------------------------- behind an overflow


@pytest.mark.parametrize("unknown", [math.inf, math.nan])
def test_where_z_may_be_inf_minus_inf_nothing_is_known_of_what_follows(unknown: float) -> None:
    """TensorFlow's sign(inf - inf) is NaN, and right to be: 0 ± 1 would accuse it.

    The exact z is 0, but 1e60 overflows in float32: the model says nothing of z, so it cannot of δ.
    """
    m = model("float32")
    for name in ("relu", "relu6", "leaky_relu", "hardtanh", "hardsigmoid"):
        sigma = activation(Layer(1, name))
        assert isinstance(sigma, Elementwise)
        with np.errstate(all="ignore"):
            slope = sigma.scalar.slope(Ball(m, np.array([0.0]), np.array([unknown])))
        assert np.isinf(slope.rad).all(), name

    network = Architecture(2, (Layer(1, "identity"),), Cost("absolute_error"))
    given_ones = ([[1e30, -1e30]], [0.0], [[1e30, 1e30]], [[0.0]])
    W, b, x, y = (np.array(values, np.float32) for values in given_ones)
    enclosure = enclose(Case(network, Parameters((W,), (b,)), x, y, "float32"))
    for name in ("z1", "delta1", "db1", "dW1"):
        assert np.isinf(enclosure[name].rad).all(), name


@pytest.mark.parametrize("name", ["silu", "gelu", "mish"])
def test_where_a_factor_of_a_product_may_overflow_nothing_is_known(name: str) -> None:
    """JAX multiplies the upstream by z before it multiplies by 1 - sigmoid(z) = 0, and gets NaN."""
    m, sigma = model("float32"), activation(Layer(1, name))
    z = Ball.exact(m, np.array([87.0]))
    for upstream, known in ((1e37, False), (1e30, True)):
        found = sigma.vjp(Ball.exact(m, np.array([upstream])), z)
        assert np.isfinite(found.rad).all() == known


def one_neuron(
    name: str, cost: str, z: float, y: float, m: int, precision: str, reduction: str = "sum"
) -> Case:
    """m equal examples of one neuron whose weighted input is z."""
    network = Architecture(1, (Layer(1, name),), Cost(cost), reduction)
    given_numbers = ([[1.0]], [0.0], [[z]] * m, [[y]] * m)
    W, b, x, target = (np.array(values).astype(DTYPES[precision]) for values in given_numbers)
    return Case(network, Parameters((W,), (b,)), x, target, precision)


def unknown(asked: Case, name: str) -> bool:
    """Whether nothing is known of an array, neither in the chain nor in the link."""
    own = links(asked, Reference().gradients(asked))
    return bool(np.isinf(enclose(asked)[name].rad).all() and np.isinf(own[name].rad).all())


@pytest.mark.parametrize(("z", "overflows"), [(300.0, True), (200.0, False)])
def test_a_cost_may_lack_its_half_until_it_is_added_up(z: float, overflows: bool) -> None:
    """PyTorch's mse_loss in float16 adds up squares, and halves the sum."""
    assert unknown(one_neuron("identity", "half_squared_error", z, 0.0, 1, "float16"), "cost") is overflows


@pytest.mark.parametrize(("scale", "overflows"), [(1e308, True), (1e300, False)])
def test_the_mean_may_be_divided_last(scale: float, overflows: bool) -> None:
    """scikit-learn adds up the batch, and divides the sum by m."""
    asked = one_neuron("identity", "negative_log_likelihood", 1.0, -scale, 4, "float64", "mean")
    assert unknown(asked, "dW1") is unknown(asked, "db1") is overflows


def test_where_everything_overflows_nobody_is_warned() -> None:
    asked = one_neuron("identity", "half_squared_error", 1e308, 1.0, 1, "float64")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(enclose(asked)["dW1"].rad).all()


@pytest.mark.parametrize(("upstream", "overflows"), [(2e36, True), (2e34, False)])
def test_softplus_may_multiply_by_its_exponential_first(upstream: float, overflows: bool) -> None:
    """PyTorch's slope is g e^z / (1 + e^z)."""
    asked = one_neuron("softplus", "negative_log_likelihood", 6.0, -upstream, 1, "float32")
    assert unknown(asked, "delta1") is overflows


@pytest.mark.parametrize(("z", "overflows"), [(60224.0, True), (20000.0, False)])
def test_gelu_may_be_halved_last(z: float, overflows: bool) -> None:
    """MLX has z (1 + erf) / 2."""
    assert unknown(one_neuron("gelu", "negative_log_likelihood", z, 1.0, 1, "float16"), "a1") is overflows


def test_softsign_may_underflow_before_it_is_multiplied_by_z() -> None:
    """JAX's slope is g / d - (g / d²) z, d = 1 + z: in float16 g / d² loses digits that z makes large again."""
    z, g = np.float16(234), np.float16(1.8e-3)
    d = np.float16(1) + z
    result = g / d - (g * (np.float16(1) / (d * d))) * z
    asked = one_neuron("softsign", "negative_log_likelihood", float(z), -float(g), 1, "float16")
    assert margins(np.array([[result]]), enclose(asked)["delta1"]) <= 1
    assert margins(np.array([[result]]) * 20, enclose(asked)["delta1"]) > 1
