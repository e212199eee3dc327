"""Spans: a formula evaluated over a range of inputs, with a bound on its rounding error everywhere in the range.

A Span says of one intermediate of a formula: for every input in the range, its exact value lies in
[lo, hi], and the value that floating-point arithmetic computes from the same input lies within ``err`` of
that exact value. The operations below carry both, by the model of rounding. Bounds are computed in float64,
which is itself arithmetic of the model; ``size`` adds err for that reason, and the caller inflates the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..elementary import erf as _erf
from ..elementary import ndtr as _ndtr
from ..elementary import sigmoid as _sigmoid
from ..network import Array
from .model import Model


class Span:
    """[lo, hi] and err, elementwise (float64 arrays of one shape), in a model of rounding."""

    __array_ufunc__ = None  # so that ndarray + Span asks the Span

    def __init__(self, model: Model, lo: Array, hi: Array, err: Array | float = 0.0) -> None:
        self.model, self.lo, self.hi = model, lo, hi
        reach = self._reach
        self.err = err if np.all(reach <= model.largest) else np.where(reach <= model.largest, err, np.inf)

    @property
    def _point(self) -> bool:
        """Whether it is one input and not a range: then everything need be computed once only."""
        return self.lo is self.hi

    @property
    def _reach(self) -> Array:
        return np.abs(self.lo) if self._point else np.maximum(np.abs(self.lo), np.abs(self.hi))

    @property
    def size(self) -> Array:
        """The largest absolute value, of the exact or of the computed result."""
        return np.asarray(self._reach + self.err)

    @property
    def _least(self) -> Array:
        """The smallest absolute value, of the exact or of the computed result (0 where it may vanish)."""
        least = np.abs(self.lo) if self._point else np.maximum(self.lo, -self.hi)
        return np.asarray(np.maximum(least - self.err, 0.0))

    def constant(self, value: float, err: float) -> Span:
        """Give a constant over the same range."""
        full = np.full_like(self.lo, value)
        return Span(self.model, full, full, err)

    def _lift(self, other: Any) -> Span:
        return other if isinstance(other, Span) else self.constant(other, self.model.constant_error(other))

    def _result(self, lo: Array, hi: Array, carried: Array | float, units: float = 1.0) -> Span:
        """Close one operation: the error carried in, and the operation's own ``units`` of u, plus eta."""
        size = (np.abs(lo) if lo is hi else np.maximum(np.abs(lo), np.abs(hi))) + carried
        return Span(self.model, lo, hi, carried + units * self.model.unit * size + self.model.eta)

    def __neg__(self) -> Span:
        low = -self.hi
        return Span(self.model, low, low if self._point else -self.lo, self.err)

    def __add__(self, other: Any) -> Span:
        o = self._lift(other)
        low = self.lo + o.lo
        return self._result(low, low if self._point and o._point else self.hi + o.hi, self.err + o.err)

    def __sub__(self, other: Any) -> Span:
        return self + -self._lift(other)

    def __mul__(self, other: Any) -> Span:
        o = self._lift(other)
        carried = self._reach * o.err + o._reach * self.err + self.err * o.err
        if self._point and o._point:
            at = self.lo * o.lo
            return self._result(at, at, carried)
        if o is self:  # a square is not negative
            ends = [self.lo**2, self.hi**2, np.maximum(np.maximum(self.lo, -self.hi), 0.0) ** 2]
        else:
            ends = [self.lo * o.lo, self.lo * o.hi, self.hi * o.lo, self.hi * o.hi]
        return self._result(np.minimum.reduce(ends), np.maximum.reduce(ends), carried)

    def __truediv__(self, other: Any) -> Span:
        o = self._lift(other)
        least = o._least
        if self._point and o._point:
            at = self.lo / o.lo
            carried = (self.err + np.abs(at) * o.err) / least
            return self._result(at, at, np.where(least > 0, carried, np.inf))
        ends = [self.lo / o.lo, self.lo / o.hi, self.hi / o.lo, self.hi / o.hi]
        lo, hi = np.minimum.reduce(ends), np.maximum.reduce(ends)
        carried = (self.err + np.maximum(np.abs(lo), np.abs(hi)) * o.err) / least
        return self._result(lo, hi, np.where(least > 0, carried, np.inf))

    def __radd__(self, other: Any) -> Span:
        return self._lift(other) + self

    def __rsub__(self, other: Any) -> Span:
        return self._lift(other) - self

    def __rmul__(self, other: Any) -> Span:
        return self._lift(other) * self

    def __rtruediv__(self, other: Any) -> Span:
        return self._lift(other) / self

    def _increasing(self, name: str, function: Callable[[Array], Array], slope: Array) -> Span:
        """Apply an increasing elementary function, whose derivative is at most ``slope`` where it is evaluated."""
        low = function(self.lo)
        return self._result(
            low, low if self._point else function(self.hi), slope * self.err, self.model.K[name]
        )

    def exp(self) -> Span:
        """e^x."""
        return self._increasing("exp", np.exp, np.exp(self.hi + self.err))

    def expm1(self) -> Span:
        """e^x - 1."""
        return self._increasing("expm1", np.expm1, np.exp(self.hi + self.err))

    def log(self) -> Span:
        """Natural logarithm; nothing is known where the argument may not be positive."""
        least = self.lo - self.err
        return self._increasing("log", np.log, np.where(least > 0, 1 / least, np.inf))

    def log1p(self) -> Span:
        """log(1 + x); nothing is known where 1 + x may not be positive."""
        least = 1 + self.lo - self.err
        return self._increasing("log1p", np.log1p, np.where(least > 0, 1 / least, np.inf))

    def tanh(self) -> Span:
        """Hyperbolic tangent."""
        fall = np.exp(-2 * self._least)
        return self._increasing("tanh", np.tanh, 4 * fall / (1 + fall) ** 2)

    def sigmoid(self) -> Span:
        """1 / (1 + e^-x)."""
        fall = np.exp(-self._least)
        return self._increasing("sigmoid", _sigmoid, fall / (1 + fall) ** 2)

    def ndtr(self) -> Span:
        """The normal distribution function; in its left tail accurate to K u of 1/2, since it may be 1 - Φ(-x)."""
        slope = 0.3989422804014327 * np.exp(-0.5 * self._least**2)
        found = self._increasing("ndtr", _ndtr, slope)
        return Span(self.model, found.lo, found.hi, found.err + self.model.K["ndtr"] * self.model.unit / 2)

    def erf(self) -> Span:
        """Error function."""
        return self._increasing("erf", _erf, 1.1283791670955126 * np.exp(-(self._least**2)))
