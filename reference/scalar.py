"""A scalar function as the suite knows it: pieces between kinks, and in each the formulas that may compute it.

Its derivative of order 0 (the value), 1 (the slope) or 2 (the curvature, for bounds only) is asked for
elementwise. Order 0 and 1 list every formula that a sane implementation may use, the reference's own first:
they agree in exact arithmetic and differ in rounding, and a bound has to hold for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .array import Array

#: Takes the argument, then any exact arrays the function also depends on (a cost's targets).
Formula = Callable[..., Any]


@dataclass(frozen=True)
class Piece:
    """One smooth piece: what holds for lo <= z <= hi.

    ``within`` bounds the abs(z) up to which the formulas after the first are used: beyond it they overflow, and
    every implementation turns to another form.
    """

    value: Sequence[Formula]
    slope: Sequence[Formula]
    curvature: Formula
    lo: float = -math.inf
    hi: float = math.inf
    within: float = math.inf

    def formulas(self, order: int) -> Sequence[Formula]:
        """Return the formulas of a derivative of order 0, 1 or 2."""
        return (self.value, self.slope, (self.curvature,))[order]


@dataclass(frozen=True)
class Scalar:
    """A continuous function made of adjoining pieces; ``kinks`` are the ends where pieces meet.

    At a kink every value between the one-sided slopes is right (the Clarke subdifferential); on plain floats
    the reference takes the slope from the left.
    """

    pieces: tuple[Piece, ...]

    @cached_property
    def first(self) -> Scalar:
        """The same function by the first of its formulas only."""
        return Scalar(tuple(replace(one, value=one.value[:1], slope=one.slope[:1]) for one in self.pieces))

    @property
    def kinks(self) -> tuple[float, ...]:
        """Where two pieces meet."""
        return tuple(piece.lo for piece in self.pieces[1:])

    @property
    def masks(self) -> bool:
        """Whether some piece's slope does not depend on z: then it may be a mask, and a NaN falls on either side."""
        nan = np.array([np.nan])
        return any(not np.isnan(piece.slope[0](nan)).all() for piece in self.pieces)

    def value(self, z: Any, *exact: Array) -> Any:
        """f(z), elementwise."""
        return self._derivative(0, z, exact)

    def slope(self, z: Any, *exact: Array) -> Any:
        """f′(z), elementwise."""
        return self._derivative(1, z, exact)

    def _derivative(self, order: int, z: Any, exact: Sequence[Array]) -> Any:
        if not isinstance(z, np.ndarray):
            return z.apply(self, order, exact)
        if z.dtype == object:
            return self._in_exact_arithmetic(order, z, exact)
        first, *others = self.pieces
        if not others:
            return first.formulas(order)[0](z, *exact)
        with np.errstate(all="ignore"):  # the branch that is not taken may overflow
            result = first.formulas(order)[0](z, *exact)
            for piece in others:
                result = np.where(z > piece.lo, piece.formulas(order)[0](z, *exact), result)
            return np.where(
                np.isnan(z), z, result
            )  # what is not a number lies in no piece, and stays what it is

    def _in_exact_arithmetic(self, order: int, z: Array, exact: Sequence[Array]) -> Array:
        """Evaluate arb by arb, each in the pieces it touches: at a kink, the union of what they say."""
        result = np.full_like(z, None)
        for piece in self.pieces:
            met = np.array([not (here < piece.lo or here > piece.hi) for here in z.flat], bool).reshape(
                z.shape
            )
            if met.any():
                values = piece.formulas(order)[0](z[met], *(array[met] for array in exact))
                result[met] = [
                    value if known is None else known.union(value)
                    for known, value in zip(result[met], values, strict=True)
                ]
        return result


def smooth(value: Sequence[Formula], slope: Sequence[Formula], curvature: Formula) -> Scalar:
    """Make a function of one piece."""
    return Scalar((Piece(value, slope, curvature),))
