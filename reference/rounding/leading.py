"""The leading error: of every operation what is nearly always the most of it, and nothing else.

Of a product and of the batch the sum, of a function its first formula, and beside a product's sums not even that, of
everything else one rounding; nothing of what underflows, overflows or is multiplied in another order. An interval with
no more than that takes a third of the work and lies within the link's own (given.py, balls.py): an answer in it is
right all the more, and one that is not is looked at in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..array import Array
from ..gathering import uses
from ..number import Axes, Carried, Operand
from ..scalar import Scalar
from .balls import OF_A_CASE, Ball
from .given import Given, Product
from .model import REDUCTION_ROUNDINGS, Model

#: Radii in float32 are off by so much at most, after 250 roundings.
DEFLATION = 1 - 2.0**-16

#: The radius of a sum of n random terms is about n^1.5 u of it: beside that, a factor's error of u or so goes unnoticed
#: where the factor is no less than this over n^1.5.
MATTERS = 2.0


class Leading(Carried):
    """A Ball that has the leading error only."""

    model: Model

    #: What amplifies an underflow or an overflow is left out.
    size = 0.0

    def __init__(self, ball: Ball) -> None:
        self.ball, self.model = ball, ball.model

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
    def shape(self) -> tuple[int, ...]:
        """The shape of the ball."""
        return self.ball.shape

    @property
    def mT(self) -> Leading:
        """The transpose of every matrix."""
        return Leading(self.ball.mT)

    def __neg__(self) -> Leading:
        return self._new(-self.ball.mid, self.ball.rad)

    def _lift(self, other: Operand) -> Leading:
        if not isinstance(other, Leading):
            self._unknown("an operation with what is no leading error")
        return other

    def __matmul__(self, other: Operand) -> Leading:
        product = self.ball @ self._lift(other).ball
        if not isinstance(product, Product):
            self._unknown("a product of what is not plain")
        return Leading(product)

    def __add__(self, other: Operand) -> Leading:
        one, o = self.ball, self._lift(other)
        if not isinstance(one, Product):
            self._unknown("a sum of what is no product")
        return Leading(Product(one.model, one.mid + o.ball.mid, one.rows, one.columns, one.least, one.terms))

    def __sub__(self, other: Operand) -> Leading:
        o = self._lift(other)
        mid = self.ball.mid - o.ball.mid
        rad = self.ball.model.unit * np.abs(mid)
        for one in (self, o):
            if not isinstance(one.ball, Given) or one.ball.off:
                rad += one.rad
        return self._new(mid, rad, o)

    def __mul__(self, other: Operand) -> Leading:
        beside = self._lift(other)
        one, o = self.ball, beside.ball
        size = np.abs(o.mid)
        matters = np.ones(1, bool)
        if isinstance(one, Product):
            least = size.min(axis=OF_A_CASE[-size.ndim :], keepdims=True)
            matters = least * one.terms**1.5 < MATTERS
        rad = size * self.rad
        if matters.any():
            other_rad = np.abs(one.mid) * beside.rad
            rad += other_rad if matters.all() else np.where(matters, other_rad, 0.0)
        return self._new(one.mid * o.mid, rad, beside)

    def __rmul__(self, other: Operand) -> Leading:
        if not isinstance(other, int | float):
            self._unknown("a product with what is no number")
        return self._new(other * self.ball.mid, abs(other) * self.rad)

    def divided(self, m: int) -> Leading:
        """Divide by the batch size."""
        mid, rad = self.ball.mid / m, self.rad / m
        rad += self.ball.model.several(REDUCTION_ROUNDINGS) * np.abs(mid)
        return self._new(mid, rad)

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Leading:
        """Sum over the batch; of what is summed over anything else, nothing is known."""
        if axis != OF_A_CASE[0] or keepdims:
            self._unknown("a sum over other axes")
        mid, n = self.ball.mid, self.ball.shape[axis]
        rad = self.ball.model.gamma(n - 1) * np.abs(mid).sum(axis=axis, dtype=np.float64)
        return self._new(mid.sum(axis=axis), rad)

    def gather(self, index: Array) -> Leading:
        """Pick numbers by an index; nothing is rounded."""
        return Leading(self.ball.gather(index))

    def scatter_add(self, index: Array, n: int) -> Leading:
        """Add up what an index says about n numbers: their own errors, and the sum's."""
        found = uses(index, n)
        mid, rad = (found.terms(one).sum(axis=-1) for one in (self.ball.mid, self.rad))
        if found.most > 1:
            size = found.terms(np.abs(self.ball.mid)).sum(axis=-1)
            rad = rad + (self.model.gamma(found.most - 1) * size).astype(rad.dtype, copy=False)
        return self._new(mid, rad)

    def in_matrices(self, rows: int) -> Leading:
        """Take every so many rows as a matrix of their own."""
        return Leading(self.ball.in_matrices(rows))

    def in_rows(self) -> Leading:
        """Undo ``in_matrices``."""
        return Leading(self.ball.in_rows())

    def apply(self, function: Scalar, order: int, exact: Sequence[Leading]) -> Leading:
        """Evaluate a derivative of that order by its first formula."""
        if not isinstance(self.ball, Given):
            self._unknown("a function of what is not plain")
        return Leading(self.ball.first(function, order, [one.ball for one in exact]))

    def in_any_order(self, upstream: Leading, amplification: Array | float, growth: Array | float) -> Leading:
        """Leave out what that adds."""
        return self
