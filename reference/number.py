"""What every kind of number offers, so that the equations are written once and run on all of them.

A kind of number is an array: of plain floats, of floats that carry their rounding error (rounding/), or of numbers in
arbitrary precision (exact.py). Its last two axes are those of one case, and axes before them number the cases of a
stack. Functions of a number stand in elementary.py, which asks the number where it is no plain array.
"""

from __future__ import annotations

from typing import Any, Protocol


class UnknownError(Exception):
    """Nothing is known of what an operation gives in this kind of arithmetic."""


class Number(Protocol):
    """An array of some kind of number. Any operation may raise UnknownError where nothing is known of its result."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of every axis."""

    @property
    def mT(self) -> Number:
        """The transpose of every matrix, which is to say of the last two axes."""

    def __neg__(self) -> Number: ...
    def __add__(self, other: Any, /) -> Number: ...
    def __radd__(self, other: Any, /) -> Number: ...
    def __sub__(self, other: Any, /) -> Number: ...
    def __rsub__(self, other: Any, /) -> Number: ...
    def __mul__(self, other: Any, /) -> Number: ...
    def __rmul__(self, other: Any, /) -> Number: ...
    def __truediv__(self, other: Any, /) -> Number: ...
    def __rtruediv__(self, other: Any, /) -> Number: ...
    def __matmul__(self, other: Any, /) -> Number: ...

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Number:
        """Add up along an axis, or several; without one, over the whole of each case."""
