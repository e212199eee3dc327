"""Costs of the residual a - y: squared and absolute errors, huber, log_cosh."""

from __future__ import annotations

import numpy as np

from ..elementary import constant, exp, log1p, sigmoid, tanh
from ..number import Number
from ..scalar import Piece, Scalar
from .cost_function import CostFunction, of_residual
from .elementwise import zero


def half_squared_error() -> CostFunction:
    """Make Σ ½ (a - y)²."""
    return CostFunction(lambda a, y: (0.5 * ((a - y) * (a - y))).sum(), lambda a, y: a - y)


def squared_error() -> CostFunction:
    """Make Σ (a - y)²."""
    return CostFunction(lambda a, y: ((a - y) * (a - y)).sum(), lambda a, y: 2.0 * (a - y))


def absolute_error() -> CostFunction:
    """Make Σ abs(a - y)."""
    falling = Piece([lambda r: -r], [lambda r: constant(-1, r)], zero, hi=0)
    rising = Piece([lambda r: r], [lambda r: constant(1, r)], zero, lo=0)
    return of_residual(Scalar((falling, rising)))


def huber(delta: float) -> CostFunction:
    """Make Σ ½ r² for residuals up to delta, and Σ delta (abs(r) - ½ delta) beyond."""

    def outside(sign: int, lo: float, hi: float) -> Piece:
        return Piece(
            [
                lambda r: delta * (sign * r - 0.5 * delta),
                lambda r: delta * (sign * r) - 0.5 * (delta * constant(delta, r)),
            ],
            [lambda r: constant(sign * delta, r)],
            zero,
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
    return of_residual(Scalar((outside(-1, -np.inf, -delta), inside, outside(1, delta, np.inf))))


def smooth_l1(beta: float) -> CostFunction:
    """Make Σ ½ r² / beta for residuals up to beta, and Σ abs(r) - ½ beta beyond."""

    # Many write it as huber with delta = beta, divided by beta; and both with q = min(|r|, β), as optax has huber.
    def outside(sign: int, lo: float, hi: float) -> Piece:
        return Piece(
            [
                lambda r: sign * r - 0.5 * beta,
                lambda r: beta * (sign * r - 0.5 * beta) / beta,
                lambda r: 0.5 * (beta * constant(beta, r)) / beta + (sign * r - beta),
                lambda r: (0.5 * (beta * constant(beta, r)) + beta * (sign * r - beta)) / beta,
            ],
            [lambda r: constant(sign, r), lambda r: sign * ((constant(1, r) / beta) * beta)],
            zero,
            lo,
            hi,
        )

    inside = Piece(
        [
            lambda r: 0.5 * (r * r) / beta,
            lambda r: (r * r) * (constant(0.5, r) / beta),
            lambda r: 0.5 * (r * (r / beta)),
        ],
        [
            lambda r: r / beta,
            lambda r: r * (constant(1, r) / beta),
            lambda r: 1 + (r / beta - 1),
            lambda r: (r / beta + 1) - 1,
            lambda r: (constant(1, r) / beta) * (beta + (r - beta)),
            lambda r: (constant(1, r) / beta) * ((r + beta) - beta),
        ],
        lambda r: constant(1, r) / beta,
        -beta,
        beta,
    )
    return of_residual(Scalar((outside(-1, -np.inf, -beta), inside, outside(1, beta, np.inf))))


_LOG_2 = "0.69314718055994530941723212145817657"


def log_cosh() -> CostFunction:
    """Make Σ log cosh(a - y)."""

    def piece(sign: int, lo: float, hi: float) -> Piece:
        def value(r: Number) -> Number:
            return sign * r + log1p(exp(-2 * (sign * r))) - constant(_LOG_2, r)

        def value_other(r: Number) -> Number:  # r + softplus(-2r) - log 2, whichever sign r has
            return r + (log1p(exp(-2 * (sign * r))) + (1 - sign) * -r) - constant(_LOG_2, r)

        def curvature(r: Number) -> Number:
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

    return of_residual(Scalar((piece(-1, -np.inf, 0), piece(1, 0, np.inf))))
