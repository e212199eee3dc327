"""Activations that are z times a gate between 0 and 1: gelu, gelu_tanh, silu, mish."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..elementary import constant, erf, exp, ndtr, sigmoid, tanh
from ..number import Number
from ..scalar import Piece, Scalar, smooth
from .elementwise import Elementwise, product_rule
from .sigmoidal import softplus_above, softplus_below


def _normal_density(z: Number) -> Number:
    return constant("0.39894228040143267793994605993438187", z) * exp(-0.5 * (z * z))


def _normal_distribution(z: Number) -> Number:
    return 0.5 * (1 + erf(z * constant("0.70710678118654752440084436210484904", z)))


def gelu() -> Elementwise:
    """Make z times the normal distribution function."""

    def curvature(z: Number) -> Number:
        return _normal_density(z) * (2 - z * z)

    return Elementwise(
        smooth(
            [
                lambda z: z * _normal_distribution(z),
                lambda z: z * ndtr(z),
                lambda z: 0.5 * (z * (2 * _normal_distribution(z))),
            ],
            [
                lambda z: product_rule(_normal_distribution(z), z * _normal_density(z)),
                # PyTorch's vectorised kernels approximate the distribution function itself.
                lambda z: product_rule(ndtr(z), z * _normal_density(z)),
            ],
            curvature,
        ),
        lambda size: 2 + size,
    )


def gelu_tanh() -> Elementwise:
    """Hendrycks and Gimpel's approximation, z/2 (1 + tanh(sqrt(2/π) (z + 0.044715 z³)))."""

    def inner(z: Number) -> Number:
        return constant("0.79788456080286535587989211986876373", z) * (
            z + constant("0.044715", z) * (z * z * z)
        )

    def inner_slope(z: Number) -> Number:
        return constant("0.79788456080286535587989211986876373", z) * (1 + constant("0.134145", z) * (z * z))

    def inner_curvature(z: Number) -> Number:
        return constant("0.79788456080286535587989211986876373", z) * (constant("0.26829", z) * z)

    def slope(z: Number) -> Number:
        t = tanh(inner(z))
        return product_rule(0.5 * (1 + t), 0.5 * z * (1 - t * t) * inner_slope(z))

    def slope_factored(z: Number) -> Number:
        t = tanh(inner(z))
        return product_rule(0.5 * (1 + t), 0.5 * z * ((1 - t) * (1 + t)) * inner_slope(z))

    def curvature(z: Number) -> Number:
        t, d = tanh(inner(z)), inner_slope(z)
        return (1 - t * t) * (d + 0.5 * z * inner_curvature(z) - z * t * d * d)

    return Elementwise(
        smooth([lambda z: 0.5 * z * (1 + tanh(inner(z)))], [slope, slope_factored], curvature),
        lambda size: (1 + size) * (2 + size**2),
    )


def silu() -> Elementwise:
    """Make z times its sigmoid."""

    def slope(z: Number) -> Number:
        a = sigmoid(z)
        return a * (1 + z * (1 - a))

    def slope_expanded(z: Number) -> Number:
        a = sigmoid(z)
        return product_rule(a, z * a * (1 - a))

    def curvature(z: Number) -> Number:
        a = sigmoid(z)
        return a * (1 - a) * (2 + z * (1 - 2 * a))

    return Elementwise(
        smooth([lambda z: z * sigmoid(z)], [slope, slope_expanded], curvature), lambda size: 2 + size
    )


def mish() -> Elementwise:
    """Make z tanh(softplus(z))."""

    def piece(softplus: Callable[[Number], Number], lo: float, hi: float) -> Piece:
        def slope(z: Number) -> Number:
            t = tanh(softplus(z))
            return product_rule(t, z * (1 - t * t) * sigmoid(z))

        def slope_factored(z: Number) -> Number:
            t = tanh(softplus(z))
            return product_rule(t, z * ((1 - t) * (1 + t)) * sigmoid(z))

        def slope_through_softplus(z: Number) -> Number:
            # softplus as the logarithm of e^z + e^0, differentiated
            t = tanh(softplus(z))
            return product_rule(t, z * ((1 - t) * (1 + t)) * exp(z - softplus(z)))

        def curvature(z: Number) -> Number:
            t, s = tanh(softplus(z)), sigmoid(z)
            return (1 - t * t) * s * (2 + z * (1 - s) - 2 * z * t * s)

        slopes = [slope, slope_factored, slope_through_softplus]
        return Piece([lambda z: z * tanh(softplus(z))], slopes, curvature, lo, hi)

    pieces = (piece(softplus_below, -np.inf, 0), piece(softplus_above, 0, np.inf))
    return Elementwise(Scalar(pieces), lambda size: 2 + size)
