"""Sums in which nothing cancels: for whoever adds up only at the end what backpropagation adds up on its way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..array import Array
from ..number import Axes, Operand
from ..scalar import Scalar
from .balls import Ball


class Uncancelled(Ball):
    """A Ball of absolute values, whose sums and differences are sums."""

    @classmethod
    def of(cls, ball: Ball) -> Uncancelled:
        """Forget the signs."""
        return cls(ball.model, np.abs(ball.mid), ball.rad, ball.terms, ball.kinked)

    def __neg__(self) -> Uncancelled:
        return self

    def __add__(self, other: Operand) -> Uncancelled:
        return Uncancelled.of(super().__add__(Uncancelled.of(self._exact(other))))

    __radd__ = __sub__ = __rsub__ = __add__

    def __mul__(self, other: Operand) -> Uncancelled:
        return Uncancelled.of(super().__mul__(other))

    __rmul__ = __mul__

    def __rmatmul__(self, other: Operand, /) -> Uncancelled:
        return Uncancelled.of(self._exact(other)) @ self

    def __matmul__(self, other: Operand) -> Uncancelled:
        return Uncancelled.of(super().__matmul__(Uncancelled.of(self._exact(other))))

    @property
    def mT(self) -> Uncancelled:
        """The transpose of every matrix."""
        return Uncancelled.of(super().mT)

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Uncancelled:
        """Sum in any order."""
        return Uncancelled.of(super().sum(axis, keepdims))

    def divided(self, m: int) -> Uncancelled:
        """Divide by the batch size, wherever in the computation."""
        return Uncancelled.of(super().divided(m))

    def in_any_order(
        self, upstream: Ball, amplification: Array | float, growth: Array | float
    ) -> Uncancelled:
        """Allow this product upstream ⊙ σ′ to be multiplied factor by factor, in any order."""
        return Uncancelled.of(super().in_any_order(upstream, amplification, growth))

    def __truediv__(self, other: Operand) -> Uncancelled:
        """Divide by what is known with its signs: a divisor of which they are forgotten may be anything smaller."""
        if isinstance(other, Uncancelled):
            self._unknown("a quotient of two")
        return Uncancelled.of(super().__truediv__(other))

    def __rtruediv__(self, other: Operand) -> Uncancelled:
        self._unknown("a quotient by one")

    def gather(self, index: Array) -> Uncancelled:
        """Pick numbers by an index."""
        return Uncancelled.of(super().gather(index))

    def scatter_add(self, index: Array, n: int) -> Uncancelled:
        """Add up what an index says about n numbers."""
        return Uncancelled.of(super().scatter_add(index, n))

    def in_matrices(self, rows: int) -> Uncancelled:
        """Take every so many rows as a matrix of their own."""
        return Uncancelled.of(super().in_matrices(rows))

    def in_rows(self) -> Uncancelled:
        """Undo ``in_matrices``."""
        return Uncancelled.of(super().in_rows())

    def constant(self, value: float, err: float) -> Uncancelled:
        """Return a constant of the same shape."""
        return Uncancelled.of(super().constant(value, err))

    # A function of a number is not one of what its terms would be if none of them cancelled.

    def largest(self, axis: Axes | None = -1, keepdims: bool = False) -> Uncancelled:
        """Unknown: it may be that of any other number."""
        self._unknown("a maximum")

    def apply(self, function: Scalar, order: int, exact: Sequence[Ball]) -> Uncancelled:
        """Unknown."""
        self._unknown("a function")

    def softmax(self) -> Uncancelled:
        """Unknown."""
        self._unknown("softmax")

    def log_softmax(self) -> Uncancelled:
        """Unknown."""
        self._unknown("log_softmax")

    def xlogx(self) -> Uncancelled:
        """Unknown."""
        self._unknown("xlogx")
