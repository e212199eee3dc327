"""The activations: each with its value, its derivative, its kinks, and the formulas that may compute them.

σ acts elementwise, but for softmax and log_softmax, which couple the neurons of a layer (coupled.py). In every
list the first formula is the reference's own; the others are what sane implementations use instead, and are there
because they round differently. Formulas are written in elementary.py's functions, for any kind of number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .coupled import LOG_SOFTMAX, SOFTMAX, Coupled
from .elementary import constant, erf, exp, expm1, log1p, ndtr, sigmoid, tanh
from .network import ALPHA, Array, Layer
from .scalar import Piece, Scalar, smooth


@dataclass(frozen=True)
class Elementwise:
    """An activation that acts on each neuron by itself."""

    scalar: Scalar
    #: The largest product of factors of σ′ that a formula may multiply after the rest, which may have underflowed.
    amplification: Callable[[Array], Array | float] = lambda size: 2.0
    scale: float = 0.0
    #: The largest that it may multiply before the rest, so that an upstream may overflow; None: the same.
    growth: Callable[[Array], Array | float] | None = None

    @property
    def kinks(self) -> tuple[float, ...]:
        """The weighted inputs at which σ′ may jump."""
        return self.scalar.kinks

    def value(self, z: Any) -> Any:
        """σ(z)."""
        return self.scalar.value(z)

    def vjp(self, upstream: Any, z: Any) -> Any:
        """Multiply by the derivative: upstream ⊙ σ′(z)."""
        result = upstream * self.scalar.slope(z)
        if isinstance(z, np.ndarray):
            return result
        growth = self.growth or self.amplification
        return result.in_any_order(upstream, self.amplification(z.size), growth(z.size))


Activation = Elementwise | Coupled


def _zero(z: Any) -> Any:
    return constant(0, z)


def _one(z: Any) -> Any:
    return constant(1, z)


def _itself(z: Any) -> Any:
    return z


def _product_rule(one: Any, other: Any) -> Any:
    """Add the two terms of a product's derivative.

    Automatic differentiation multiplies each by what comes from above before it adds them, and so rounds each once
    more: a product with 1 stands for it.
    """
    return _one(one) * one + _one(other) * other


def _linear(slope: float, lo: float = -np.inf, hi: float = np.inf) -> Piece:
    return Piece([lambda z: slope * z], [lambda z: constant(slope, z)], _zero, lo, hi)


def _flat(value: float, lo: float = -np.inf, hi: float = np.inf) -> Piece:
    return Piece([lambda z: constant(value, z)], [_zero], _zero, lo, hi)


def _line(lo: float = -np.inf, hi: float = np.inf) -> Piece:
    return Piece([_itself], [_one], _zero, lo, hi)


def _identity() -> Elementwise:
    return Elementwise(Scalar((_line(),)))


def _sigmoid() -> Elementwise:
    def curvature(z: Any) -> Any:
        a = sigmoid(z)
        return a * (1 - a) * (1 - 2 * a)

    return Elementwise(
        smooth(
            [sigmoid],
            [lambda z: sigmoid(z) * sigmoid(-z), lambda z: sigmoid(z) * (1 - sigmoid(z))],
            curvature,
        )
    )


def _tanh() -> Elementwise:
    def slope(z: Any) -> Any:
        a = tanh(z)
        return 1 - a * a

    def slope_factored(z: Any) -> Any:
        a = tanh(z)
        return (1 - a) * (1 + a)

    return Elementwise(smooth([tanh], [slope, slope_factored], lambda z: -2 * tanh(z) * slope(z)))


def _relu() -> Elementwise:
    return Elementwise(Scalar((_flat(0, hi=0), _line(lo=0))))


def _relu6() -> Elementwise:
    return Elementwise(Scalar((_flat(0, hi=0), _line(0, 6), _flat(6, lo=6))))


def _leaky_relu(alpha: float) -> Elementwise:
    return Elementwise(Scalar((_linear(alpha, hi=0), _line(lo=0))))


def _elu(alpha: float) -> Elementwise:
    negative = Piece(
        [lambda z: alpha * expm1(z)],
        [lambda z: alpha * exp(z), lambda z: alpha * expm1(z) + alpha],
        lambda z: alpha * exp(z),
        hi=0,
    )
    return Elementwise(Scalar((negative, _line(lo=0))))


def _celu(alpha: float) -> Elementwise:
    def through_reciprocal(z: Any) -> Any:
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
    return Elementwise(Scalar((negative, _line(lo=0))))


#: Klambauer and others, Self-Normalizing Neural Networks, 2017.
_SELU_SCALE = "1.0507009873554804934193349852946"
_SELU_SCALE_ALPHA = "1.7580993408473768599402175208123"


def _selu() -> Elementwise:
    def scale(z: Any) -> Any:
        return constant(_SELU_SCALE, z)

    def scale_alpha(z: Any) -> Any:
        return constant(_SELU_SCALE_ALPHA, z)

    def alpha_rounded(z: Any) -> Any:
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
    positive = Piece([lambda z: scale(z) * z], [scale], _zero, lo=0)
    return Elementwise(Scalar((negative, positive)))


def _normal_density(z: Any) -> Any:
    return constant("0.39894228040143267793994605993438187", z) * exp(-0.5 * (z * z))


def _normal_distribution(z: Any) -> Any:
    return 0.5 * (1 + erf(z * constant("0.70710678118654752440084436210484904", z)))


def _gelu() -> Elementwise:
    def curvature(z: Any) -> Any:
        return _normal_density(z) * (2 - z * z)

    return Elementwise(
        smooth(
            [
                lambda z: z * _normal_distribution(z),
                lambda z: z * ndtr(z),
                lambda z: 0.5 * (z * (2 * _normal_distribution(z))),
            ],
            [
                lambda z: _product_rule(_normal_distribution(z), z * _normal_density(z)),
                # PyTorch's vectorised kernels approximate the distribution function itself.
                lambda z: _product_rule(ndtr(z), z * _normal_density(z)),
            ],
            curvature,
        ),
        lambda size: 2 + size,
    )


def _gelu_tanh() -> Elementwise:
    """Hendrycks and Gimpel's approximation, z/2 (1 + tanh(sqrt(2/π) (z + 0.044715 z³)))."""

    def inner(z: Any) -> Any:
        return constant("0.79788456080286535587989211986876373", z) * (
            z + constant("0.044715", z) * (z * z * z)
        )

    def inner_slope(z: Any) -> Any:
        return constant("0.79788456080286535587989211986876373", z) * (1 + constant("0.134145", z) * (z * z))

    def inner_curvature(z: Any) -> Any:
        return constant("0.79788456080286535587989211986876373", z) * (constant("0.26829", z) * z)

    def slope(z: Any) -> Any:
        t = tanh(inner(z))
        return _product_rule(0.5 * (1 + t), 0.5 * z * (1 - t * t) * inner_slope(z))

    def slope_factored(z: Any) -> Any:
        t = tanh(inner(z))
        return _product_rule(0.5 * (1 + t), 0.5 * z * ((1 - t) * (1 + t)) * inner_slope(z))

    def curvature(z: Any) -> Any:
        t, d = tanh(inner(z)), inner_slope(z)
        return (1 - t * t) * (d + 0.5 * z * inner_curvature(z) - z * t * d * d)

    return Elementwise(
        smooth([lambda z: 0.5 * z * (1 + tanh(inner(z)))], [slope, slope_factored], curvature),
        lambda size: (1 + size) * (2 + size**2),
    )


def _silu() -> Elementwise:
    def slope(z: Any) -> Any:
        a = sigmoid(z)
        return a * (1 + z * (1 - a))

    def slope_expanded(z: Any) -> Any:
        a = sigmoid(z)
        return _product_rule(a, z * a * (1 - a))

    def curvature(z: Any) -> Any:
        a = sigmoid(z)
        return a * (1 - a) * (2 + z * (1 - 2 * a))

    return Elementwise(
        smooth([lambda z: z * sigmoid(z)], [slope, slope_expanded], curvature), lambda size: 2 + size
    )


#: e^80 is finite in float32 (and 0.06 of its largest number); e^88.8 is not.
_BEFORE_OVERFLOW = 80.0


def _softplus_below(z: Any) -> Any:
    return log1p(exp(z))


def _softplus_above(z: Any) -> Any:
    return z + log1p(exp(-z))


def _mish() -> Elementwise:
    def piece(softplus: Callable[[Any], Any], lo: float, hi: float) -> Piece:
        def slope(z: Any) -> Any:
            t = tanh(softplus(z))
            return _product_rule(t, z * (1 - t * t) * sigmoid(z))

        def slope_factored(z: Any) -> Any:
            t = tanh(softplus(z))
            return _product_rule(t, z * ((1 - t) * (1 + t)) * sigmoid(z))

        def slope_through_softplus(z: Any) -> Any:  # softplus as the logarithm of e^z + e^0, differentiated
            t = tanh(softplus(z))
            return _product_rule(t, z * ((1 - t) * (1 + t)) * exp(z - softplus(z)))

        def curvature(z: Any) -> Any:
            t, s = tanh(softplus(z)), sigmoid(z)
            return (1 - t * t) * s * (2 + z * (1 - s) - 2 * z * t * s)

        slopes = [slope, slope_factored, slope_through_softplus]
        return Piece([lambda z: z * tanh(softplus(z))], slopes, curvature, lo, hi)

    pieces = (piece(_softplus_below, -np.inf, 0), piece(_softplus_above, 0, np.inf))
    return Elementwise(Scalar(pieces), lambda size: 2 + size)


def _softplus() -> Elementwise:
    def curvature(z: Any) -> Any:
        return sigmoid(z) * sigmoid(-z)

    below = Piece([_softplus_below], [sigmoid, lambda z: exp(z - _softplus_below(z))], curvature, hi=0)
    above = Piece(
        [_softplus_above, _softplus_below],
        [sigmoid, lambda z: exp(z - _softplus_above(z)), lambda z: exp(z - _softplus_below(z))],
        curvature,
        lo=0,
        within=_BEFORE_OVERFLOW,
    )
    # The upstream times e^z, and then divided by 1 + e^z; who does that stops at z = 20, where it makes no difference
    # in float32.
    return Elementwise(Scalar((below, above)), growth=lambda size: np.exp(np.minimum(size, 20.0)))


def _log_sigmoid() -> Elementwise:
    def curvature(z: Any) -> Any:
        return -sigmoid(z) * sigmoid(-z)

    below = Piece(
        [lambda z: z - log1p(exp(z)), lambda z: -_softplus_below(-z)],
        [lambda z: sigmoid(-z), lambda z: 1 - sigmoid(z), lambda z: exp(-z - _softplus_above(-z))],
        curvature,
        hi=0,
        within=_BEFORE_OVERFLOW,
    )
    above = Piece(
        [lambda z: -log1p(exp(-z))],
        [lambda z: sigmoid(-z), lambda z: 1 - sigmoid(z), lambda z: exp(-z - _softplus_below(-z))],
        curvature,
        lo=0,
    )
    return Elementwise(Scalar((below, above)))


def _softsign() -> Elementwise:
    def piece(sign: int, lo: float, hi: float) -> Piece:
        def below(z: Any) -> Any:
            return 1 + sign * z  # 1 + abs(z)

        return Piece(
            [lambda z: z / below(z)],
            [
                lambda z: 1 / (below(z) * below(z)),
                lambda z: (1 / below(z)) * (1 / below(z)),
                # The quotient rule, as automatic differentiation has it: cancels for large abs(z).
                lambda z: _product_rule(1 / below(z), -(sign * z) / (below(z) * below(z))),
                lambda z: _product_rule(1 / below(z), -(z / below(z)) * (sign / below(z))),
            ],
            lambda z: -2 * sign / (below(z) * below(z) * below(z)),
            lo,
            hi,
        )

    # The quotient rule multiplies the upstream by 1 / (1 + abs(z))², where it may underflow, and then by z.
    return Elementwise(Scalar((piece(-1, -np.inf, 0), piece(1, 0, np.inf))), lambda size: 2 + size)


def _hardtanh() -> Elementwise:
    return Elementwise(Scalar((_flat(-1, hi=-1), _line(-1, 1), _flat(1, lo=1))))


_SIXTH = "0.16666666666666666666666666666666666667"


def _six_sixths(z: Any) -> Any:
    """What min(max(z + 3, 0), 6) / 6 is above 3, for those who multiply by a rounded sixth."""
    return constant(6, z) * constant(_SIXTH, z)


def _hardsigmoid() -> Elementwise:
    ramp = Piece(
        [lambda z: z / 6 + 0.5, lambda z: (z + 3) / 6, lambda z: z * constant(_SIXTH, z) + 0.5,
         lambda z: (z + 3) * constant(_SIXTH, z)],
        [lambda z: constant(1, z) / 6, lambda z: constant(_SIXTH, z)],
        _zero,
        -3,
        3,
    )  # fmt: skip
    full = Piece([_one, _six_sixths], [_zero], _zero, lo=3)
    return Elementwise(Scalar((_flat(0, hi=-3), ramp, full)))


def _hardswish() -> Elementwise:
    bend = Piece(
        [lambda z: z * (z + 3) / 6, lambda z: z * (z / 6 + 0.5), lambda z: z * ((z + 3) * constant(_SIXTH, z))],
        [lambda z: z / 3 + 0.5, lambda z: (2 * z + 3) / 6, lambda z: _product_rule((z + 3) / 6, z / 6),
         lambda z: _product_rule((z + 3) * constant(_SIXTH, z), z * constant(_SIXTH, z))],
        lambda z: constant(1, z) / 3,
        -3,
        3,
    )  # fmt: skip
    above = Piece(
        [_itself, lambda z: z * constant(6, z) / 6, lambda z: z * _six_sixths(z)],
        [_one, _six_sixths],
        _zero,
        lo=3,
    )
    return Elementwise(Scalar((_flat(0, hi=-3), bend, above)), lambda size: 6 + size)


_PLAIN: dict[str, Callable[[], Activation]] = {
    "identity": _identity,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
    "relu6": _relu6,
    "selu": _selu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "mish": _mish,
    "softplus": _softplus,
    "softsign": _softsign,
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "log_sigmoid": _log_sigmoid,
    "softmax": lambda: SOFTMAX,
    "log_softmax": lambda: LOG_SOFTMAX,
}
_WITH_ALPHA: dict[str, Callable[[float], Activation]] = {
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "celu": _celu,
}


@lru_cache(maxsize=128)  # cases of one architecture come together; and there is no end to alphas
def activation(layer: Layer) -> Activation:
    """Give the activation σ of a layer."""
    if layer.activation in _WITH_ALPHA:
        return _WITH_ALPHA[layer.activation](ALPHA[layer.activation] if layer.alpha is None else layer.alpha)
    return _PLAIN[layer.activation]()
