"""The sigmoidal activations, and the sigmoid's integral and logarithm: softplus and log_sigmoid."""

from __future__ import annotations

import numpy as np

from ..elementary import constant, exp, log1p, sigmoid, sqrt, tanh
from ..number import Number
from ..scalar import Piece, Scalar, smooth
from .elementwise import Elementwise, product_rule


def logistic() -> Elementwise:
    """Make 1 / (1 + e^-z)."""

    def curvature(z: Number) -> Number:
        a = sigmoid(z)
        return a * (1 - a) * (1 - 2 * a)

    return Elementwise(
        smooth(
            [sigmoid],
            [lambda z: sigmoid(z) * sigmoid(-z), lambda z: sigmoid(z) * (1 - sigmoid(z))],
            curvature,
        )
    )


def hyperbolic_tangent() -> Elementwise:
    """Make tanh."""

    def slope(z: Number) -> Number:
        a = tanh(z)
        return 1 - a * a

    def slope_factored(z: Number) -> Number:
        a = tanh(z)
        return (1 - a) * (1 + a)

    return Elementwise(smooth([tanh], [slope, slope_factored], lambda z: -2 * tanh(z) * slope(z)))


#: e^80 is finite in float32 (and 0.06 of its largest number); e^88.8 is not.
_BEFORE_OVERFLOW = 80.0


def softplus_below(z: Number) -> Number:
    """log(1 + e^z), as it is computed below zero."""
    return log1p(exp(z))


def softplus_above(z: Number) -> Number:
    """z + log(1 + e^-z), as softplus is computed above zero."""
    return z + log1p(exp(-z))


def softplus() -> Elementwise:
    """Make log(1 + e^z)."""

    def curvature(z: Number) -> Number:
        return sigmoid(z) * sigmoid(-z)

    below = Piece([softplus_below], [sigmoid, lambda z: exp(z - softplus_below(z))], curvature, hi=0)
    above = Piece(
        [softplus_above, softplus_below],
        [sigmoid, lambda z: exp(z - softplus_above(z)), lambda z: exp(z - softplus_below(z))],
        curvature,
        lo=0,
        within=_BEFORE_OVERFLOW,
    )
    # The upstream times e^z, and then divided by 1 + e^z; who does that stops at z = 20, where it makes no difference
    # in float32.
    return Elementwise(Scalar((below, above)), growth=lambda size: np.exp(np.minimum(size, 20.0)))


def squareplus() -> Elementwise:
    """Make (z + √(z² + 4)) / 2, which below zero is 2 / (√(z² + 4) - z), where nothing cancels."""

    def root(z: Number) -> Number:
        return sqrt(z * z + 4)

    def sum_halved(z: Number) -> Number:
        return (z + root(z)) / 2

    def without_cancelling(z: Number) -> Number:
        return 2 / (root(z) - z)

    slopes = [
        lambda z: (1 + z / root(z)) / 2,
        # Automatic differentiation multiplies both terms by what comes from above before it adds them.
        lambda z: product_rule(constant(0.5, z), 0.5 * (z / root(z))),
        lambda z: product_rule(constant(0.5, z), z * (constant(0.5, z) / root(z))),
    ]

    def curvature(z: Number) -> Number:
        return 2 / (root(z) * root(z) * root(z))

    below = Piece(
        [without_cancelling, sum_halved],
        [lambda z: without_cancelling(z) / root(z), *slopes],
        curvature,
        hi=0,
    )
    above = Piece([sum_halved], [lambda z: sum_halved(z) / root(z), *slopes], curvature, lo=0)
    # The root's derivative, 1 / (2 √(z² + 4)), may come before the square's, which is 2 z.
    return Elementwise(Scalar((below, above)), lambda size: 2 + 2 * size)


def log_sigmoid() -> Elementwise:
    """Make -log(1 + e^-z)."""

    def curvature(z: Number) -> Number:
        return -sigmoid(z) * sigmoid(-z)

    below = Piece(
        [lambda z: z - log1p(exp(z)), lambda z: -softplus_below(-z)],
        [lambda z: sigmoid(-z), lambda z: 1 - sigmoid(z), lambda z: exp(-z - softplus_above(-z))],
        curvature,
        hi=0,
        within=_BEFORE_OVERFLOW,
    )
    above = Piece(
        [lambda z: -log1p(exp(-z))],
        [lambda z: sigmoid(-z), lambda z: 1 - sigmoid(z), lambda z: exp(-z - softplus_below(-z))],
        curvature,
        lo=0,
    )
    return Elementwise(Scalar((below, above)))


def softsign() -> Elementwise:
    """Make z / (1 + abs(z))."""

    def piece(sign: int, lo: float, hi: float) -> Piece:
        def below(z: Number) -> Number:
            return 1 + sign * z  # 1 + abs(z)

        return Piece(
            [lambda z: z / below(z)],
            [
                lambda z: 1 / (below(z) * below(z)),
                lambda z: (1 / below(z)) * (1 / below(z)),
                # The quotient rule, as automatic differentiation has it: cancels for large abs(z).
                lambda z: product_rule(1 / below(z), -(sign * z) / (below(z) * below(z))),
                lambda z: product_rule(1 / below(z), -(z / below(z)) * (sign / below(z))),
            ],
            lambda z: -2 * sign / (below(z) * below(z) * below(z)),
            lo,
            hi,
        )

    # The quotient rule multiplies the upstream by 1 / (1 + abs(z))², where it may underflow, and then by z.
    return Elementwise(Scalar((piece(-1, -np.inf, 0), piece(1, 0, np.inf))), lambda size: 2 + size)
