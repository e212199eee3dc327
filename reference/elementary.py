"""Elementary functions on whatever kind of number a formula is evaluated with.

A formula in activations.py or costs.py is written once. It runs on NumPy arrays of floats (float32, float64,
long double), on object arrays of flint's ``arb`` (arbitrary precision, for certificates), and on Spans.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .array import Array
from .gathering import gathered, matrices, rows_of, uses
from .number import Axes, Number, carried


def exp(x: Number) -> Number:
    """e^x."""
    return np.exp(x) if isinstance(x, np.ndarray) else carried(x).exp()


def expm1(x: Number) -> Number:
    """e^x - 1, accurate near 0."""
    return np.expm1(x) if isinstance(x, np.ndarray) else carried(x).expm1()


def log(x: Number) -> Number:
    """Natural logarithm."""
    return np.log(x) if isinstance(x, np.ndarray) else carried(x).log()


def log1p(x: Number) -> Number:
    """log(1 + x), accurate near 0."""
    return np.log1p(x) if isinstance(x, np.ndarray) else carried(x).log1p()


def sqrt(x: Number) -> Number:
    """The square root."""
    return np.sqrt(x) if isinstance(x, np.ndarray) else carried(x).sqrt()


def tanh(x: Number) -> Number:
    """Hyperbolic tangent."""
    return np.tanh(x) if isinstance(x, np.ndarray) else carried(x).tanh()


def sigmoid(x: Number) -> Number:
    """1 / (1 + e^-x), without overflow."""
    return array_sigmoid(x) if isinstance(x, np.ndarray) else carried(x).sigmoid()


def erf(x: Number) -> Number:
    """Error function 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return array_erf(x) if isinstance(x, np.ndarray) else carried(x).erf()


def ndtr(x: Number) -> Number:
    """The normal distribution function Φ(x), as (1 + erf(x / sqrt(2))) / 2."""
    return array_ndtr(x) if isinstance(x, np.ndarray) else carried(x).ndtr()


# -------------------------------------------------------------------------------------- what NumPy has not, of an array


def array_sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), without overflow."""
    if x.dtype == object:
        return _array(1 / (1 + np.exp(-x)))
    fall = np.exp(-np.abs(x))
    return _array(np.where(x >= 0, 1, fall) / (1 + fall))


def array_erf(x: Array) -> Array:
    """Error function."""
    if x.dtype == object:
        return _each(lambda value: value.erf(), x)
    if x.dtype == np.longdouble:
        return _erf_series(x)
    return _array(np.vectorize(math.erf, otypes=[x.dtype])(x))


def array_ndtr(x: Array) -> Array:
    """The normal distribution function."""
    return _array(0.5 * (1 + array_erf(x * array_constant("0.70710678118654752440084436210484904", x))))


def _each(function: Callable[[Any], Any], x: Array) -> Array:
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
    value = array_constant("1.12837916709551257389615890312154517", x) * near * np.exp(-near * near) * total
    return np.where(np.abs(x) < 7, value, np.sign(x))


def constant(value: float | str, like: Number) -> Number:
    """Return a constant of the same kind and shape as ``like``.

    A number is exactly itself. Decimal digits in a string stand for a constant that no float holds: each kind
    rounds it once, to its own precision, and a Span knows that a working precision does so too.
    """
    if isinstance(like, np.ndarray):
        return array_constant(value, like)
    kind, as_float = carried(like), float(value)
    arithmetic, rounded = kind.model, isinstance(value, str)
    err = arithmetic.unit * abs(as_float) if rounded else arithmetic.constant_error(as_float)
    return kind.constant(as_float, err)


def array_constant(value: float | str, like: Array) -> Array:
    """Return a constant of the same type and shape as an array."""
    if like.dtype == object:
        import flint

        return np.full_like(like, flint.arb(value))
    return np.full_like(like, like.dtype.type(value))


# ------------------------------------------------------------------------------------------------------ rearrangements


def gather(x: Number, index: Array) -> Number:
    """Return the numbers that an index (P, K) picks of x (..., m, n): (..., m P, K), a row for each position.

    -1 picks a zero that is not there. Nothing is computed, so that it is exact of every kind of number.
    """
    return gathered(x, index, _zero(x)) if isinstance(x, np.ndarray) else carried(x).gather(index)


def scatter_add(x: Number, index: Array, n: int) -> Number:
    """Return for each of n numbers the sum of what x (..., m P, K) says about it: (..., m, n); gather's adjoint.

    The sum is of at most k terms, k being the largest number of uses, and may run in any order. Where each number is
    used once at most it rearranges, and nothing is rounded: so it undoes a gather that only puts numbers elsewhere.
    Bounds hold where what is added up here was finished before. Whoever adds the terms of products of n terms in one
    running sum of n k may be off by more: with n = 64 and k = 9 in float32, by 8 radii.
    """
    if isinstance(x, np.ndarray):
        return _array(uses(index, n).terms(x, _zero(x)).sum(axis=-1))
    return carried(x).scatter_add(index, n)


def in_matrices(x: Number, rows: int) -> Number:
    """Return (..., m, rows, n) of x (..., m rows, n), so that products and sums are over one example's rows."""
    return matrices(x, rows) if isinstance(x, np.ndarray) else carried(x).in_matrices(rows)


def in_rows(x: Number) -> Number:
    """Return (..., m rows, n) of x (..., m, rows, n), where the two axes of a case are the last again."""
    return rows_of(x) if isinstance(x, np.ndarray) else carried(x).in_rows()


def largest(x: Number, axis: Axes | None = -1, keepdims: bool = False) -> Number:
    """Return the maximum along an axis, or several; without one, over the whole of each case."""
    if not isinstance(x, np.ndarray):
        return carried(x).largest(axis, keepdims)
    if x.dtype != object:
        return _array(x.max(axis=axis, keepdims=keepdims))
    # Of arbs that overlap, all that may be the largest.
    larger, axes = np.frompyfunc(lambda one, other: one.max(other), 2, 1), axis
    if axes is None:
        axes = tuple(range(x.ndim))
    elif isinstance(axes, int):
        axes = (axes,)
    found = x
    for one in axes:
        found = _array(larger.reduce(found, axis=one, keepdims=True))
    return found if keepdims else found.squeeze(axes)


def _array(found: Any) -> Array:
    """Type what NumPy gives, which may be a scalar, as an array of the same kind."""
    return np.asanyarray(found)


def _zero(x: Array) -> Any:
    if x.dtype != object:
        return 0
    import flint

    return flint.arb(0)
