"""The leading error: of every operation what is nearly always the most of it, and nothing else.

Of a product and of the batch the sum, of a function its first formula, and beside a product's sums not even that, of
everything else one rounding; nothing of what underflows, overflows or is multiplied in another order. An interval with
no more than that takes a third of the work and lies within the link's own (given.py, balls.py): an answer in it is
right all the more, and one that is not is looked at in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..network import Array
from ..number import UnknownError
from .balls import OF_A_CASE, Ball
from .given import Given, Product
from .model import REDUCTION_ROUNDINGS

if TYPE_CHECKING:
    from ..scalar import Scalar


#: Radii in float32 are off by so much at most, after 250 roundings.
DEFLATION = 1 - 2.0**-16

#: The radius of a sum of n random terms is about n^1.5 u of it: beside that, a factor's error of u or so goes unnoticed
#: where the factor is no less than this over n^1.5.
MATTERS = 2.0


class Leading:
    """A Ball that has the leading error only."""

    __array_ufunc__ = None

    #: What amplifies an underflow or an overflow is left out.
    size = 0.0

    def __init__(self, ball: Ball) -> None:
        self.ball = ball

    @cached_property
    def rad(self) -> Array:
        """The radius, in numbers of the midpoints' kind, which take half of the time where those are float32."""
        ball, kind = self.ball, self.ball.mid.dtype
        if isinstance(ball, Product):
            return np.asarray(ball.rows.astype(kind, copy=False) * ball.columns.astype(kind, copy=False))
        if isinstance(ball, Given):
            return np.asarray(np.abs(ball.mid) * (ball.off * ball.model.unit))
        return ball.rad.astype(kind, copy=False)

    def _new(self, mid: Array, rad: Array, *others: Leading) -> Leading:
        ball = Ball.certain(self.ball.model, mid, rad, 1)
        for one in (self, *others):
            ball.kinked = ball.kinked | one.ball.kinked
        return Leading(ball)

    @property
    def mT(self) -> Leading:
        """The transpose of every matrix."""
        return Leading(self.ball.mT)

    def __neg__(self) -> Leading:
        return self._new(-self.ball.mid, self.ball.rad)

    def __matmul__(self, other: Leading) -> Leading:
        product = self.ball @ other.ball
        if not isinstance(product, Product):
            raise UnknownError
        return Leading(product)

    def __add__(self, other: Leading) -> Leading:
        one = self.ball
        if not isinstance(one, Product):
            raise UnknownError
        return Leading(
            Product(one.model, one.mid + other.ball.mid, one.rows, one.columns, one.least, one.terms)
        )

    def __sub__(self, other: Leading) -> Leading:
        mid = self.ball.mid - other.ball.mid
        rad = self.ball.model.unit * np.abs(mid)
        for one in (self, other):
            if not isinstance(one.ball, Given) or one.ball.off:
                rad += one.rad
        return self._new(mid, rad, other)

    def __mul__(self, other: Leading) -> Leading:
        one, o = self.ball, other.ball
        size = np.abs(o.mid)
        matters = np.ones(1, bool)
        if isinstance(one, Product):
            least = size.min(axis=OF_A_CASE[-size.ndim :], keepdims=True)
            matters = least * one.terms**1.5 < MATTERS
        rad = size * self.rad
        if matters.any():
            other_rad = np.abs(one.mid) * other.rad
            rad += other_rad if matters.all() else np.where(matters, other_rad, 0.0)
        return self._new(one.mid * o.mid, rad, other)

    def __rmul__(self, other: float) -> Leading:
        return self._new(other * self.ball.mid, abs(other) * self.rad)

    def divided(self, m: int) -> Leading:
        """Divide by the batch size."""
        mid, rad = self.ball.mid / m, self.rad / m
        rad += self.ball.model.several(REDUCTION_ROUNDINGS) * np.abs(mid)
        return self._new(mid, rad)

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Leading:
        """Sum over the batch; of what is summed over anything else, nothing is known."""
        if axis != OF_A_CASE[0] or keepdims:
            raise UnknownError
        mid, n = self.ball.mid, self.ball.shape[axis]
        rad = self.ball.model.gamma(n - 1) * np.abs(mid).sum(axis=axis, dtype=np.float64)
        return self._new(mid.sum(axis=axis), rad)

    def apply(self, function: Scalar, order: int, exact: Sequence[Leading]) -> Leading:
        """Evaluate a derivative of that order by its first formula."""
        if not isinstance(self.ball, Given):
            raise UnknownError
        return Leading(self.ball.first(function, order, [one.ball for one in exact]))

    def in_any_order(self, upstream: Leading, amplification: float, growth: float) -> Leading:
        """Leave out what that adds."""
        return self

    def _unknown(self, *_: Any, **__: Any) -> Leading:
        raise UnknownError

    softmax = log_softmax = _unknown
