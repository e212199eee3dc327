"""The exponential linear units: z above zero, and below it an exponential that levels off."""

from __future__ import annotations

from ..elementary import constant, exp, expm1
from ..number import Number
from ..scalar import Piece, Scalar
from .elementwise import Elementwise, line, zero


def elu(alpha: float) -> Elementwise:
    """Make alpha (e^z - 1) below zero."""
    negative = Piece(
        [lambda z: alpha * expm1(z)],
        [lambda z: alpha * exp(z), lambda z: alpha * expm1(z) + alpha],
        lambda z: alpha * exp(z),
        hi=0,
    )
    return Elementwise(Scalar((negative, line(lo=0))))


def celu(alpha: float) -> Elementwise:
    """Make alpha (e^(z / alpha) - 1) below zero."""

    def through_reciprocal(z: Number) -> Number:
        return (constant(1, z) / alpha) * z

    negative = Piece(
        [lambda z: alpha * expm1(z / alpha), lambda z: alpha * expm1(through_reciprocal(z))],
        [
            lambda z: exp(z / alpha),
            lambda z: exp(through_reciprocal(z)),
            lambda z: expm1(z / alpha) + 1,
            # Automatic differentiation multiplies by alpha and by its reciprocal.
            lambda z: (alpha * expm1(through_reciprocal(z)) + alpha) * (constant(1, z) / alpha),
        ],
        lambda z: exp(z / alpha) / alpha,
        hi=0,
    )
    return Elementwise(Scalar((negative, line(lo=0))))


#: Klambauer and others, Self-Normalizing Neural Networks, 2017.
_SELU_SCALE = "1.0507009873554804934193349852946"
_SELU_SCALE_ALPHA = "1.7580993408473768599402175208123"


def selu() -> Elementwise:
    """Make elu, scaled so that means and variances settle from layer to layer."""

    def scale(z: Number) -> Number:
        return constant(_SELU_SCALE, z)

    def scale_alpha(z: Number) -> Number:
        return constant(_SELU_SCALE_ALPHA, z)

    def alpha_rounded(z: Number) -> Number:
        return scale(z) * constant("1.6732632423543772848170429916717", z)

    negative = Piece(
        [lambda z: scale_alpha(z) * expm1(z), lambda z: alpha_rounded(z) * expm1(z)],
        [
            lambda z: scale_alpha(z) * exp(z),
            lambda z: alpha_rounded(z) * exp(z),
            lambda z: alpha_rounded(z) * expm1(z) + alpha_rounded(z),
        ],
        lambda z: scale_alpha(z) * exp(z),
        hi=0,
    )
    positive = Piece([lambda z: scale(z) * z], [scale], zero, lo=0)
    return Elementwise(Scalar((negative, positive)))
