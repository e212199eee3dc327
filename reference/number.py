"""What every kind of number offers, so that the equations are written once and run on all of them.

A kind of number is an array: of plain floats, of floats that carry their rounding error (rounding/), or of numbers in
arbitrary precision (exact.py). Its last two axes are those of one case, and axes before them number the cases of a
stack. Functions of a number stand in elementary.py, which asks the number where it is no plain array.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from .array import Array

if TYPE_CHECKING:
    from .scalar import Scalar

#: What is summed or searched over.
Axes = int | tuple[int, ...]


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
    def __add__(self, other: Number | float, /) -> Number: ...
    def __radd__(self, other: Number | float, /) -> Number: ...
    def __sub__(self, other: Number | float, /) -> Number: ...
    def __rsub__(self, other: Number | float, /) -> Number: ...
    def __mul__(self, other: Number | float, /) -> Number: ...
    def __rmul__(self, other: Number | float, /) -> Number: ...
    def __truediv__(self, other: Number | float, /) -> Number: ...
    def __rtruediv__(self, other: Number | float, /) -> Number: ...
    def __matmul__(self, other: Number, /) -> Number: ...

    def sum(self, axis: Axes | None = None, *, keepdims: bool = False) -> Number:
        """Add up along an axis, or several; without one, over the whole of each case."""


#: What a number can be added to or multiplied with.
Operand = Number | Array | float


class Arithmetic(Protocol):
    """What a kind of number knows of the arithmetic that it stands for."""

    @property
    def unit(self) -> float:
        """How far, relatively, one rounding takes a number."""

    def constant_error(self, value: float) -> float:
        """Bound the rounding of a constant."""


class Carried:
    """A kind of number that is no plain array. What a kind does not define, it does not know: UnknownError.

    The docstrings say what each operation means for every kind; a kind's own says what it knows of the result.
    """

    __array_ufunc__ = None  # so that ndarray + Carried asks the Carried

    model: Arithmetic

    def _unknown(self, what: str) -> NoReturn:
        raise UnknownError(f"nothing is known of {what} of {type(self).__name__}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of every axis."""
        self._unknown("the shape")

    @property
    def size(self) -> Array | float:
        """The largest absolute values."""
        self._unknown("the absolute values")

    @property
    def mT(self) -> Carried:
        """The transpose of every matrix."""
        self._unknown("the transpose")

    def __neg__(self) -> Carried:
        self._unknown("the negative")

    def __add__(self, other: Operand, /) -> Carried:
        self._unknown("a sum")

    def __radd__(self, other: Operand, /) -> Carried:
        self._unknown("a sum")

    def __sub__(self, other: Operand, /) -> Carried:
        self._unknown("a difference")

    def __rsub__(self, other: Operand, /) -> Carried:
        self._unknown("a difference")

    def __mul__(self, other: Operand, /) -> Carried:
        self._unknown("a product")

    def __rmul__(self, other: Operand, /) -> Carried:
        self._unknown("a product")

    def __truediv__(self, other: Operand, /) -> Carried:
        self._unknown("a quotient")

    def __rtruediv__(self, other: Operand, /) -> Carried:
        self._unknown("a quotient")

    def __matmul__(self, other: Operand, /) -> Carried:
        self._unknown("a matrix product")

    def __rmatmul__(self, other: Operand, /) -> Carried:
        self._unknown("a matrix product")

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Carried:
        """Sum in any order; without an axis, over the whole of each case."""
        self._unknown("a sum")

    def largest(self, axis: Axes | None = -1, keepdims: bool = False) -> Carried:
        """The maximum; without an axis, over the whole of each case."""
        self._unknown("a maximum")

    def divided(self, m: int) -> Carried:
        """Divide by the batch size, wherever in the computation and however an implementation does it."""
        self._unknown("a mean")

    def in_any_order(self, upstream: Any, amplification: Array | float, growth: Array | float) -> Carried:
        """Allow this product upstream ⊙ σ′ to be multiplied factor by factor, in any order."""
        self._unknown("a product in any order")

    def apply(self, function: Scalar, order: int, exact: Sequence[Any]) -> Carried:
        """Evaluate a scalar function's derivative of that order, by any of its formulas."""
        self._unknown("a function")

    def constant(self, value: float, err: float) -> Carried:
        """Return a constant of the same shape, which an implementation may hold with an error of ``err``."""
        self._unknown("a constant")

    # --------------------------------------------------------------------------------------------- rearrangements

    def gather(self, index: Array) -> Carried:
        """Pick numbers by an index (P, K): see elementary.gather."""
        self._unknown("what is gathered")

    def scatter_add(self, index: Array, n: int) -> Carried:
        """Add up what an index (P, K) says about n numbers: see elementary.scatter_add."""
        self._unknown("what is scattered and added up")

    def in_matrices(self, rows: int) -> Carried:
        """Take every so many rows as a matrix of their own: see elementary.in_matrices."""
        self._unknown("rows in matrices")

    def in_rows(self) -> Carried:
        """Undo ``in_matrices``."""
        self._unknown("matrices in rows")

    # ---------------------------------------------------------------------------------------- elementary functions

    def exp(self) -> Carried:
        """e^x."""
        self._unknown("exp")

    def expm1(self) -> Carried:
        """e^x - 1."""
        self._unknown("expm1")

    def log(self) -> Carried:
        """Natural logarithm."""
        self._unknown("log")

    def log1p(self) -> Carried:
        """log(1 + x)."""
        self._unknown("log1p")

    def sqrt(self) -> Carried:
        """The square root."""
        self._unknown("sqrt")

    def tanh(self) -> Carried:
        """Hyperbolic tangent."""
        self._unknown("tanh")

    def sigmoid(self) -> Carried:
        """1 / (1 + e^-x)."""
        self._unknown("sigmoid")

    def erf(self) -> Carried:
        """Error function."""
        self._unknown("erf")

    def ndtr(self) -> Carried:
        """The normal distribution function."""
        self._unknown("ndtr")

    def softmax(self) -> Carried:
        """e^(z_i) / Σ e^(z_j) along the last axis, by any of the usual formulas."""
        self._unknown("softmax")

    def log_softmax(self) -> Carried:
        """z_i - log Σ e^(z_j) along the last axis."""
        self._unknown("log_softmax")

    def xlogx(self) -> Carried:
        """x log x for exact x, 0 at 0."""
        self._unknown("xlogx")


def carried(number: Number) -> Carried:
    """Return a number that is no plain array as what it is."""
    if isinstance(number, Carried):
        return number
    raise TypeError(f"{type(number).__name__} is neither a NumPy array nor a Carried number")
