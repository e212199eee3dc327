"""Spans: a formula evaluated over a range of inputs, with a bound on its rounding error everywhere in the range.

A Span says of one intermediate of a formula: for every input in the range, its exact value lies in
[lo, hi], and the value that floating-point arithmetic computes from the same input lies within ``err`` of
that exact value. The operations below carry both, by the model of rounding. Bounds are computed in float64,
which is itself arithmetic of the model; ``size`` adds err for that reason, and the caller inflates the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np

from ..array import Array
from ..elementary import array_erf, array_ndtr, array_sigmoid
from ..number import Carried, Operand
from .model import DIVISION_ROUNDINGS, ROOT_ROUNDINGS, Model

#: What a formula may have beside its arguments.
_SCALARS = (int, float, np.floating)

#: An error, or what computes it.
Error = Array | float | Callable[[], Array | float]


class Span(Carried):
    """[lo, hi] and err, elementwise, in a model of rounding.

    These are float64 arrays of one shape, or of the midpoints' kind where what those are off is in no radius.
    """

    model: Model

    def __init__(
        self, model: Model, lo: Array, hi: Array, err: Error = 0.0, most: float = np.inf, units: float = 0.0
    ) -> None:
        """Make a span of which the caller knows that nothing in [lo, hi] is larger than ``most``.

        ``err`` is what an operation was given that adds ``units`` of u of its own, or all of it where it adds none.
        """
        self.model, self.lo, self.hi, self._err, self._units = model, lo, hi, err, units
        #: What elementary functions gave of it; the formulas of one function have many in common.
        self._known: dict[str, Span] = {}
        self._most = most if most <= model.largest else float(self._reach.max(initial=0.0))

    @cached_property
    def err(self) -> Array | float:
        """The error, which is computed when it is asked for: of a leading error some do not matter."""
        with np.errstate(all="ignore"):
            err = self._err() if callable(self._err) else self._err
        largest, own = self.model.largest, self._units * self.model.unit
        if own:
            carried, err = err, own * self._reach
            err += (1 + own) * carried + self.model.eta
        return err if self._most <= largest else np.where(self._reach <= largest, err, np.inf)

    @property
    def _point(self) -> bool:
        """Whether it is one input and not a range: then everything need be computed once only."""
        return self.lo is self.hi

    @cached_property
    def _reach(self) -> Array:
        return np.abs(self.lo) if self._point else np.maximum(np.abs(self.lo), np.abs(self.hi))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the range's ends."""
        return self.lo.shape

    @property
    def size(self) -> Array:
        """The largest absolute value, of the exact or of the computed result."""
        return np.asarray(self._reach + self.err)

    @property
    def _exact(self) -> bool:
        """Whether nothing was rounded yet."""
        return not (callable(self._err) or self._units) and isinstance(self.err, float) and self.err == 0

    @property
    def _least(self) -> Array:
        """The smallest absolute value, of the exact or of the computed result (0 where it may vanish)."""
        least = np.abs(self.lo) if self._point else np.maximum(self.lo, -self.hi)
        return np.asarray(np.maximum(least - self.err, 0.0))

    def constant(self, value: float, err: float) -> Span:
        """Return a constant over the same range."""
        full = np.full_like(self.lo, value)
        return Span(self.model, full, full, err)

    def _lift(self, other: Operand) -> Span:
        if isinstance(other, Span):
            return other
        if not isinstance(other, _SCALARS):
            self._unknown("what is no constant beside a span")
        value = float(other)
        at = np.asarray(value, self.lo.dtype)
        return Span(self.model, at, at, self.model.constant_error(value), abs(value))

    def __neg__(self) -> Span:
        if "neg" not in self._known:
            low = -self.hi
            self._known["neg"] = Span(self.model, low, low if self._point else -self.lo, self.err, self._most)
        return self._known["neg"]

    def __add__(self, other: Operand) -> Span:
        o = self._lift(other)
        low = self.lo + o.lo
        high = low if self._point and o._point else self.hi + o.hi
        return Span(self.model, low, high, lambda: self.err + o.err, self._most + o._most, 1)

    def __sub__(self, other: Operand) -> Span:
        o = self._lift(other)
        low = self.lo - o.hi
        high = low if self._point and o._point else self.hi - o.lo
        return Span(self.model, low, high, lambda: self.err + o.err, self._most + o._most, 1)

    def __mul__(self, other: Operand) -> Span:
        o = self._lift(other)
        most = self._most * o._most

        def carried() -> Array | float:
            return np.asarray(self.size * o.err + o._reach * self.err)

        if self._point and o._point:
            at = self.lo * o.lo
            return Span(self.model, at, at, carried, most, 1)
        if o is self:  # a square is not negative
            ends = [self.lo**2, self.hi**2, np.maximum(np.maximum(self.lo, -self.hi), 0.0) ** 2]
        else:
            ends = [self.lo * o.lo, self.lo * o.hi, self.hi * o.lo, self.hi * o.hi]
        return Span(self.model, np.minimum.reduce(ends), np.maximum.reduce(ends), carried, most, 1)

    def __truediv__(self, other: Operand) -> Span:
        """Divide, or multiply with a rounded reciprocal."""
        o = self._lift(other)
        if self._point and o._point:
            lo = hi = self.lo / o.lo
        else:
            ends = [self.lo / o.lo, self.lo / o.hi, self.hi / o.lo, self.hi / o.hi]
            lo, hi = np.minimum.reduce(ends), np.maximum.reduce(ends)

        def carried() -> Array:
            least, reach = o._least, np.maximum(np.abs(lo), np.abs(hi))
            return np.where(least > 0, (self.err + reach * o.err) / least, np.inf)

        # By a power of two, a reciprocal is exact.
        halved = isinstance(other, _SCALARS) and math.frexp(abs(float(other)))[0] == 0.5
        return Span(self.model, lo, hi, carried, units=1 if halved else DIVISION_ROUNDINGS)

    def __radd__(self, other: Operand) -> Span:
        return self._lift(other) + self

    def __rsub__(self, other: Operand) -> Span:
        return self._lift(other) - self

    def __rmul__(self, other: Operand) -> Span:
        return self._lift(other) * self

    def __rtruediv__(self, other: Operand) -> Span:
        return self._lift(other) / self

    def _increasing(
        self,
        name: str,
        function: Callable[[Array], Array],
        slope: Callable[[], Array],
        most: float = np.inf,
    ) -> Span:
        """Apply an increasing elementary function, whose derivative is at most ``slope`` where it is evaluated."""
        if name not in self._known:
            low = function(self.lo)
            high = low if self._point else function(self.hi)
            carried = 0.0 if self._exact else slope() * self.err
            self._known[name] = Span(self.model, low, high, carried, most, self.model.K[name])
        return self._known[name]

    def exp(self) -> Span:
        """e^x."""
        return self._increasing("exp", np.exp, lambda: np.exp(self.hi + self.err))

    def expm1(self) -> Span:
        """e^x - 1."""
        return self._increasing("expm1", np.expm1, lambda: np.exp(self.hi + self.err))

    def log(self) -> Span:
        """Natural logarithm; nothing is known where the argument may not be positive."""
        least = self.lo - self.err
        return self._increasing("log", np.log, lambda: np.where(least > 0, 1 / least, np.inf))

    def log1p(self) -> Span:
        """log(1 + x); nothing is known where 1 + x may not be positive."""
        least = 1 + self.lo - self.err
        return self._increasing("log1p", np.log1p, lambda: np.where(least > 0, 1 / least, np.inf))

    def sqrt(self) -> Span:
        """The square root; nothing is known where the argument may be negative.

        It takes an error to at most that times 1 / (2 sqrt(least)); and a subnormal argument that is flushed to zero
        costs all of its root.
        """
        if "sqrt" not in self._known:
            low = np.sqrt(np.maximum(self.lo, 0.0))
            high = low if self._point else np.sqrt(np.maximum(self.hi, 0.0))

            def carried() -> Array:
                least, tiny = self.lo - self.err, self.model.eta / 4  # below which numbers may be flushed
                moved = np.where(self.err > 0, self.err / (2 * np.sqrt(np.maximum(least, 0.0))), 0.0)
                flushed = np.where(least < tiny, np.sqrt(np.minimum(self._reach + self.err, tiny)), 0.0)
                return np.where(least >= 0, moved + flushed, np.inf)

            self._known["sqrt"] = Span(self.model, low, high, carried, units=ROOT_ROUNDINGS)
        return self._known["sqrt"]

    def tanh(self) -> Span:
        """Hyperbolic tangent."""

        def slope() -> Array:
            fall = np.exp(-2 * self._least)
            return np.asarray(4 * fall / (1 + fall) ** 2)

        return self._increasing("tanh", np.tanh, slope, most=1.0)

    def sigmoid(self) -> Span:
        """1 / (1 + e^-x)."""

        def slope() -> Array:
            fall = np.exp(-self._least)
            return np.asarray(fall / (1 + fall) ** 2)

        return self._increasing("sigmoid", array_sigmoid, slope, most=1.0)

    def ndtr(self) -> Span:
        """The normal distribution function; in its left tail accurate to K u of 1/2, since it may be 1 - Φ(-x)."""
        found = self._increasing(
            "ndtr", array_ndtr, lambda: 0.3989422804014327 * np.exp(-0.5 * self._least**2)
        )
        return Span(self.model, found.lo, found.hi, found.err + self.model.K["ndtr"] * self.model.unit / 2)

    def erf(self) -> Span:
        """Error function."""
        return self._increasing("erf", array_erf, lambda: 1.1283791670955126 * np.exp(-(self._least**2)))
