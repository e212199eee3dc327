"""Elementary functions on whatever kind of number a formula is evaluated with.

A formula in activations.py or costs.py is written once. It runs on NumPy arrays of floats (float32, float64,
long double), on object arrays of flint's ``arb`` (arbitrary precision, for certificates), and on Spans.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .array import Array


def exp(x: Any) -> Any:
    """e^x."""
    return np.exp(x) if isinstance(x, np.ndarray) else x.exp()


def expm1(x: Any) -> Any:
    """e^x - 1, accurate near 0."""
    return np.expm1(x) if isinstance(x, np.ndarray) else x.expm1()


def log(x: Any) -> Any:
    """Natural logarithm."""
    return np.log(x) if isinstance(x, np.ndarray) else x.log()


def log1p(x: Any) -> Any:
    """log(1 + x), accurate near 0."""
    return np.log1p(x) if isinstance(x, np.ndarray) else x.log1p()


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return np.tanh(x) if isinstance(x, np.ndarray) else x.tanh()


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x), without overflow."""
    if not isinstance(x, np.ndarray):
        return x.sigmoid()
    if x.dtype == object:
        return 1 / (1 + np.exp(-x))
    fall = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, fall) / (1 + fall)


def erf(x: Any) -> Any:
    """Error function 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    if not isinstance(x, np.ndarray):
        return x.erf()
    if x.dtype == object:
        return _each(lambda value: value.erf(), x)
    if x.dtype == np.longdouble:
        return _erf_series(x)
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def ndtr(x: Any) -> Any:
    """The normal distribution function Φ(x), as (1 + erf(x / sqrt(2))) / 2."""
    if not isinstance(x, np.ndarray):
        return x.ndtr()
    return 0.5 * (1 + erf(x * constant("0.70710678118654752440084436210484904", x)))


def _each(function: Any, x: Array) -> Array:
    result = np.empty_like(x)
    result.flat[:] = [function(value) for value in x.flat]
    return result


def _erf_series(x: Array) -> Array:
    """Sum x e^(-x²) 2/sqrt(pi) Σ (2x²)^n / (1·3·..·(2n+1)): all terms have one sign, so nothing cancels.

    For long double, which NumPy has no erf for. At abs(x) = 7 the distance to 1 is below 2^-75.
    """
    near = np.clip(x, -7, 7)
    term = total = np.ones_like(near)
    for n in range(1, 260):
        term = term * (2 * near * near) / (2 * n + 1)
        total = total + term
        if np.all(term <= np.finfo(x.dtype).eps / 8 * total):
            break
    value = constant("1.12837916709551257389615890312154517", x) * near * np.exp(-near * near) * total
    return np.where(np.abs(x) < 7, value, np.sign(x))


def constant(value: float | str, like: Any) -> Any:
    """Give a constant of the same kind and shape as ``like``.

    A number is exactly itself. Decimal digits in a string stand for a constant that no float holds: each kind
    rounds it once, to its own precision, and a Span knows that a working precision does so too.
    """
    if not isinstance(like, np.ndarray):
        as_float = float(value)
        exact = not isinstance(value, str)
        return like.constant(
            as_float, like.model.constant_error(as_float) if exact else like.model.unit * abs(as_float)
        )
    if like.dtype == object:
        import flint

        return np.full_like(like, flint.arb(value))
    return np.full_like(like, like.dtype.type(value))
