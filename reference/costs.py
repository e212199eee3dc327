"""The costs: for each, C summed over a batch and ∇_a C of every example, before the mean or sum over the batch.

a and y are (m, n_L). ``value`` gives a scalar, ``gradient`` (m, n_L). Elementwise parts with several sane
formulas or with kinks are Scalars, as in activations.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .coupled import log_softmax, softmax
from .elementary import constant, exp, log, log1p, sigmoid, tanh
from .network import DELTA, Cost
from .scalar import Piece, Scalar, smooth


@dataclass(frozen=True)
class CostFunction:
    """C and ∇_a C, for outputs a and targets y."""

    value: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], Any]
    #: What a gradient's error is compared with where the gradient itself vanishes, in units of the largest target.
    scale: float = 0.0
    #: Whether a NaN among the outputs may choose a side of the gradient, and not spoil it.
    masks: bool = False
    #: Whether the gradient adds up targets of one example, so that they may cancel.
    coupled: bool = False


def _half_squared_error() -> CostFunction:
    return CostFunction(lambda a, y: (0.5 * ((a - y) * (a - y))).sum(), lambda a, y: a - y)


def _squared_error() -> CostFunction:
    return CostFunction(lambda a, y: ((a - y) * (a - y)).sum(), lambda a, y: 2.0 * (a - y))


def _of_residual(scalar: Scalar) -> CostFunction:
    """Make Σ f(a - y)."""
    return CostFunction(
        lambda a, y: scalar.value(a - y).sum(), lambda a, y: scalar.slope(a - y), masks=scalar.masks
    )


def _of_output(scalar: Scalar) -> CostFunction:
    """Make Σ f(a; y), for an f whose formulas mix a and y."""
    return CostFunction(lambda a, y: scalar.value(a, y).sum(), scalar.slope)


def _zero(r: Any) -> Any:
    return constant(0, r)


def _absolute_error() -> CostFunction:
    falling = Piece([lambda r: -r], [lambda r: constant(-1, r)], _zero, hi=0)
    rising = Piece([lambda r: r], [lambda r: constant(1, r)], _zero, lo=0)
    return _of_residual(Scalar((falling, rising)))


def _huber(delta: float) -> CostFunction:
    def outside(sign: int, lo: float, hi: float) -> Piece:
        return Piece(
            [
                lambda r: delta * (sign * r - 0.5 * delta),
                lambda r: delta * (sign * r) - 0.5 * (delta * constant(delta, r)),
            ],
            [lambda r: constant(sign * delta, r)],
            _zero,
            lo,
            hi,
        )

    # The others are automatic differentiation of ½q² + δ(|r| - q), q = min(|r|, δ), as optax and TensorFlow 1 have it,
    # the last with q² as q times q, each of which is differentiated by itself.
    inside = Piece(
        [lambda r: 0.5 * (r * r)],
        [
            lambda r: r,
            lambda r: delta + (r - delta),
            lambda r: (r + delta) - delta,
            lambda r: delta + ((0.5 * r - delta) + 0.5 * r),
        ],
        lambda r: constant(1, r),
        -delta,
        delta,
    )
    return _of_residual(Scalar((outside(-1, -np.inf, -delta), inside, outside(1, delta, np.inf))))


_LOG_2 = "0.69314718055994530941723212145817657"


def _log_cosh() -> CostFunction:
    def piece(sign: int, lo: float, hi: float) -> Piece:
        def value(r: Any) -> Any:
            return sign * r + log1p(exp(-2 * (sign * r))) - constant(_LOG_2, r)

        def value_other(r: Any) -> Any:  # r + softplus(-2r) - log 2, whichever sign r has
            return r + (log1p(exp(-2 * (sign * r))) + (1 - sign) * -r) - constant(_LOG_2, r)

        def curvature(r: Any) -> Any:
            return 4 * (sigmoid(2 * r) * sigmoid(-2 * r))

        return Piece(
            [value, value_other],
            [
                tanh,
                lambda r: 1 - 2 * sigmoid(-2 * r),
                lambda r: sigmoid(2 * r) - sigmoid(-2 * r),
                # Through the logarithm of e^r + e^-r, as automatic differentiation has it.
                lambda r: (
                    exp(r - (sign * r + log1p(exp(-2 * (sign * r)))))
                    - exp(-r - (sign * r + log1p(exp(-2 * (sign * r)))))
                ),
                # Of r + softplus(-2r), softplus being the logarithm of e^-2r + e^0.
                lambda r: 1 - 2 * exp(-2 * r - ((1 - sign) * -r + log1p(exp(-2 * (sign * r))))),
            ],
            curvature,
            lo,
            hi,
        )

    return _of_residual(Scalar((piece(-1, -np.inf, 0), piece(1, 0, np.inf))))


def _hinge() -> CostFunction:
    falling = Piece([lambda s: 1 - s], [lambda s: constant(-1, s)], _zero, hi=1)
    satisfied = Piece([_zero], [_zero], _zero, lo=1)
    return _of_margin(Scalar((falling, satisfied)))


def _squared_hinge() -> CostFunction:
    falling = Piece([lambda s: (1 - s) * (1 - s)], [lambda s: -2 * (1 - s)], lambda s: constant(2, s), hi=1)
    satisfied = Piece([_zero], [_zero], _zero, lo=1)
    return _of_margin(Scalar((falling, satisfied)))


def _of_margin(scalar: Scalar) -> CostFunction:
    """Make Σ f(y a), where y a is how far an output is on the right side."""
    return CostFunction(
        lambda a, y: scalar.value(y * a).sum(), lambda a, y: y * scalar.slope(y * a), masks=scalar.masks
    )


def _binary_cross_entropy() -> CostFunction:
    value = [
        lambda a, y: -(y * log(a) + (1 - y) * log1p(-a)),
        lambda a, y: -(y * log(a) + (1 - y) * log(1 - a)),
    ]
    slope = [
        lambda a, y: (a - y) / (a * (1 - a)),
        lambda a, y: (1 - y) / (1 - a) - y / a,
    ]
    return _of_output(smooth(value, slope, lambda a, y: y / (a * a) + (1 - y) / ((1 - a) * (1 - a))))


def _binary_cross_entropy_with_logits() -> CostFunction:
    def piece(sign: int, lo: float, hi: float) -> Piece:
        def log_part(a: Any) -> Any:
            return log1p(exp(-(sign * a)))

        def value(a: Any, y: Any) -> Any:  # max(a, 0) - a y + log(1 + e^-|a|)
            return (a if sign > 0 else _zero(a)) - a * y + log_part(a)

        def value_shifted(a: Any, y: Any) -> Any:  # (1 - y) a + log(1 + e^-a)
            return (1 - y) * a + (log_part(a) if sign > 0 else log_part(a) - a)

        def slope_by_sides(a: Any, y: Any) -> Any:  # autodiff of the first value
            fall = exp(-(sign * a))
            return (1 - y if sign > 0 else -y) - sign * (fall / (1 + fall))

        def slope_through_softplus(a: Any, y: Any) -> Any:  # autodiff of y softplus(-a) + (1 - y) softplus(a)
            up, down = (a, _zero(a)) if sign > 0 else (_zero(a), -a)  # max(a, 0) and max(-a, 0)
            return (1 - y) * exp(a - (up + log_part(a))) - y * exp(-a - (down + log_part(a)))

        return Piece(
            [value, value_shifted],
            [
                lambda a, y: sigmoid(a) - y,
                lambda a, y: (1 - y) - sigmoid(-a),
                lambda a, y: (1 - y) * sigmoid(a) - y * sigmoid(-a),
                slope_by_sides,
                slope_through_softplus,
            ],
            lambda a, y: sigmoid(a) * sigmoid(-a),
            lo,
            hi,
        )

    return _of_output(Scalar((piece(-1, -np.inf, 0), piece(1, 0, np.inf))))


def _logarithm() -> Scalar:
    return smooth([log], [lambda a: 1 / a], lambda a: -1 / (a * a))


def _cross_entropy() -> CostFunction:
    logarithm = _logarithm()
    return CostFunction(lambda a, y: -(y * logarithm.value(a)).sum(), lambda a, y: -(y * logarithm.slope(a)))


def _softmax_cross_entropy() -> CostFunction:
    return CostFunction(
        lambda a, y: -(y * log_softmax(a)).sum(),
        lambda a, y: softmax(a) * y.sum(axis=-1, keepdims=True) - y,
        scale=1.0,  # of one output it is y - y
        coupled=True,
    )


def _negative_log_likelihood() -> CostFunction:
    return CostFunction(lambda a, y: -(y * a).sum(), lambda a, y: -y)


def xlogx(y: Any) -> Any:
    """y log y, and 0 at 0."""
    if not isinstance(y, np.ndarray):
        return y.xlogx()
    if y.dtype == object:
        result = np.empty_like(y)
        result.flat[:] = [value * value.log() if value > 0 else value for value in y.flat]
        return result
    return np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0).astype(y.dtype)


def _kl_divergence() -> CostFunction:
    return CostFunction(lambda a, y: (xlogx(y) - y * a).sum(), lambda a, y: -y)


def _poisson() -> CostFunction:
    exponential = smooth([exp], [exp], exp)
    return CostFunction(
        lambda a, y: (exponential.value(a) - y * a).sum(), lambda a, y: exponential.value(a) - y
    )


_PLAIN: dict[str, Callable[[], CostFunction]] = {
    "half_squared_error": _half_squared_error,
    "squared_error": _squared_error,
    "absolute_error": _absolute_error,
    "log_cosh": _log_cosh,
    "hinge": _hinge,
    "squared_hinge": _squared_hinge,
    "binary_cross_entropy": _binary_cross_entropy,
    "binary_cross_entropy_with_logits": _binary_cross_entropy_with_logits,
    "cross_entropy": _cross_entropy,
    "softmax_cross_entropy": _softmax_cross_entropy,
    "negative_log_likelihood": _negative_log_likelihood,
    "kl_divergence": _kl_divergence,
    "poisson": _poisson,
}


@lru_cache(maxsize=128)  # there is no end to deltas
def cost_function(cost: Cost) -> CostFunction:
    """Give C and ∇_a C of a cost."""
    if cost.name == "huber":
        return _huber(DELTA["huber"] if cost.delta is None else cost.delta)
    return _PLAIN[cost.name]()
