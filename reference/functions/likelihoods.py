"""Costs that are the negative logarithm of a likelihood: cross-entropies, divergence, Poisson."""

from __future__ import annotations

import numpy as np

from ..coupled import log_softmax, softmax
from ..elementary import exp, log, log1p, sigmoid
from ..number import Number, carried
from ..scalar import Piece, Scalar, smooth
from .cost_function import CostFunction, of_output
from .elementwise import zero


def binary_cross_entropy() -> CostFunction:
    """Make -Σ y log a + (1 - y) log(1 - a)."""
    value = [
        lambda a, y: -(y * log(a) + (1 - y) * log1p(-a)),
        lambda a, y: -(y * log(a) + (1 - y) * log(1 - a)),
    ]
    slope = [
        lambda a, y: (a - y) / (a * (1 - a)),
        lambda a, y: (1 - y) / (1 - a) - y / a,
    ]
    return of_output(smooth(value, slope, lambda a, y: y / (a * a) + (1 - y) / ((1 - a) * (1 - a))))


def binary_cross_entropy_with_logits() -> CostFunction:
    """Make the binary cross-entropy of sigmoid(a)."""

    def piece(sign: int, lo: float, hi: float) -> Piece:
        def log_part(a: Number) -> Number:
            return log1p(exp(-(sign * a)))

        def value(a: Number, y: Number) -> Number:  # max(a, 0) - a y + log(1 + e^-|a|)
            return (a if sign > 0 else zero(a)) - a * y + log_part(a)

        def value_shifted(a: Number, y: Number) -> Number:  # (1 - y) a + log(1 + e^-a)
            return (1 - y) * a + (log_part(a) if sign > 0 else log_part(a) - a)

        def slope_by_sides(a: Number, y: Number) -> Number:  # autodiff of the first value
            fall = exp(-(sign * a))
            return (1 - y if sign > 0 else -y) - sign * (fall / (1 + fall))

        def slope_through_softplus(
            a: Number, y: Number
        ) -> Number:  # autodiff of y softplus(-a) + (1 - y) softplus(a)
            up, down = (a, zero(a)) if sign > 0 else (zero(a), -a)  # max(a, 0) and max(-a, 0)
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

    return of_output(Scalar((piece(-1, -np.inf, 0), piece(1, 0, np.inf))))


def _logarithm() -> Scalar:
    return smooth([log], [lambda a: 1 / a], lambda a: -1 / (a * a))


def cross_entropy() -> CostFunction:
    """Make -Σ y log a."""
    logarithm = _logarithm()
    return CostFunction(lambda a, y: -(y * logarithm.value(a)).sum(), lambda a, y: -(y * logarithm.slope(a)))


def softmax_cross_entropy() -> CostFunction:
    """Make -Σ y log softmax(a)."""
    return CostFunction(
        lambda a, y: -(y * log_softmax(a)).sum(),
        lambda a, y: softmax(a) * y.sum(axis=-1, keepdims=True) - y,
        scale=1.0,  # of one output it is y - y
        coupled=True,
    )


def negative_log_likelihood() -> CostFunction:
    """Make -Σ y a."""
    return CostFunction(lambda a, y: -(y * a).sum(), lambda a, y: -y)


def xlogx(y: Number) -> Number:
    """y log y, and 0 at 0."""
    if not isinstance(y, np.ndarray):
        return carried(y).xlogx()
    if y.dtype == object:
        result = np.empty_like(y)
        result.flat[:] = [value * value.log() if value > 0 else value for value in y.flat]
        return result
    return np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0).astype(y.dtype)


def kl_divergence() -> CostFunction:
    """Make Σ y (log y - a)."""
    return CostFunction(lambda a, y: (xlogx(y) - y * a).sum(), lambda a, y: -y)


def poisson() -> CostFunction:
    """Make Σ e^a - y a."""
    exponential = smooth([exp], [exp], exp)
    return CostFunction(
        lambda a, y: (exponential.value(a) - y * a).sum(), lambda a, y: exponential.value(a) - y
    )
