"""Given: arrays of numbers that are known, as Balls that know it; links are computed from nothing else.

All that a Ball carries along costs as much again as the thing itself. Here there is nothing to carry yet: products
have the model's own error only, and an activation is evaluated at points and not over ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..array import Array
from ..gathering import gathered, matrices, rows_of
from ..number import Operand
from ..scalar import Piece, Scalar
from ..stack import uniform
from .balls import OF_A_CASE, Ball
from .model import Model, coarse
from .spans import Span

if TYPE_CHECKING:
    from ..nearby import Near

#: A product is taken from numbers nearby where that makes its radius wider by no more than this share.
WIDER = 0.5

#: So many bytes of an array are looked at together, so that a core's own cache holds them.
AT_ONCE = 2**18


def given(model: Model, array: Array, off: int = 0, underflow: bool = False) -> Ball:
    """Make a Ball of known numbers, each perhaps off by ``off`` roundings and its subnormals flushed to zero.

    ``underflow``: also in float32 and float64 a rounding may have lost all of a number, of whoever computes in more
    than those.
    """
    mid = array.astype(model.midpoint, copy=False)
    least, most = _extremes(mid)
    tiny = off * model.eta / 4 if underflow and not model.accumulator else 0.0
    # Compared this way round, so that a NaN takes the slow path.
    if least >= model.normal and most <= model.largest:
        return Given(model, mid, off, tiny=tiny)
    size = np.abs(mid)
    if not model.by_norms:
        size = size.astype(np.float64, copy=False)
    lost = coarse(model, size, off) if not least >= model.normal else np.zeros(size.shape)
    plain = ~_somewhere((lost > 0) | ~(size <= model.largest))
    if uniform(plain) if model.by_norms else plain.all():
        return Given(model, mid, off, tiny=tiny)
    ball = Ball(model, mid, off * model.unit * size + lost + tiny)
    return Given(model, mid, off, ball, plain, tiny) if plain.any() else ball


def _extremes(array: Array) -> tuple[float, float]:
    """Return the smallest and the largest absolute value; NaN where there is one."""
    if array.nbytes <= AT_ONCE or not array.flags.c_contiguous:
        size = np.abs(array)
        return float(size.min(initial=1.0)), float(size.max(initial=0.0))
    pieces = np.array_split(array.reshape(-1), -(-array.nbytes // AT_ONCE))
    found = np.array([_extremes(piece) for piece in pieces])
    return float(found[:, 0].min()), float(found[:, 1].max())


class Given(Ball):
    """Finite numbers, none of them subnormal; ``off`` roundings may lie between one and what was meant, and ``tiny``.

    A stack may mix cases. Those that are not ``plain`` like that use ``ball``, so that bounds never depend on the cases
    beside them.
    """

    def __init__(
        self,
        model: Model,
        mid: Array,
        off: int,
        ball: Ball | None = None,
        plain: Array | bool = True,
        tiny: float = 0.0,
    ) -> None:
        self.model, self.mid, self.off, self.terms, self.kinked = model, mid, off, 1, False
        self._ball, self.plain, self.tiny = ball, plain, tiny
        self._transposed: Given | None = None
        self._ends: tuple[Array, Array] | None = None
        self._parts: dict[tuple[float, float], tuple[Array, Array, Span]] = {}
        #: The reference's own array that this one should be close to.
        self.near: Near | None = None

    @cached_property
    def rad(self) -> Array:  # type: ignore[override]
        """The radius, which a Ball has from the start."""
        return (
            self._ball.rad
            if self._ball
            else np.asarray(self._size * (self.off * self.model.unit) + self.tiny)
        )

    @cached_property
    def _size(self) -> Array:
        if self._transposed is not None:
            return self._transposed._size.mT
        return np.abs(self.mid).astype(np.float64, copy=False)

    @cached_property
    def rows(self) -> Array:
        """The norms of the rows, one column for each matrix."""
        return norms(self.mid) if self._transposed is None else self._transposed.columns.mT

    @cached_property
    def columns(self) -> Array:
        """The norms of the columns, one row for each matrix."""
        return norms(self.mid.mT).mT if self._transposed is None else self._transposed.rows.mT

    @cached_property
    def _at(self) -> Span:
        """The points, for formulas: value and slope are of the same."""
        z = self.mid.astype(np.float64, copy=False)
        return Span(self.model, z, z)

    @cached_property
    def _own(self) -> Span:
        """The points in the midpoints' own precision; what those are off is in no radius."""
        return Span(self.model.without_midpoints, self.mid, self.mid)

    @property
    def mT(self) -> Given:
        """The transpose of every matrix."""
        transposed = Given(
            self.model, self.mid.mT, self.off, self._ball and self._ball.mT, self.plain, self.tiny
        )
        transposed._transposed, transposed.near = self, self.near and self.near.mT
        return transposed

    def __matmul__(self, other: Operand) -> Ball:
        if not isinstance(other, Given):
            return super().__matmul__(other)
        found, plain = self._times(other), np.asarray(self.plain & other.plain)
        return found if plain.all() else chosen(plain, found, super().__matmul__(other))

    def _times(self, other: Given) -> Ball:
        n, off = self.shape[-1], self.model.several(self.off + other.off)
        relative = off + (1 + off) * self.model.gamma(n + 1)
        absolute = n * (self.model.accumulator or self.model).eta
        if self.model.by_norms and not self.model.accumulator:
            rows, columns = (one.max(axis=OF_A_CASE) for one in (self.rows, other.columns))
            if uniform(rows * columns <= self.model.largest / 2):
                mid, rows = self._beside(other, relative)
                lost = [one.tiny * n**0.5 for one in (self, other)]  # of a row's norm, and of a column's
                return Product(
                    self.model, mid, rows + lost[0], other.columns + lost[1] / relative, absolute, n
                )
        mid = self.mid @ other.mid
        rad = self.rows * other.columns if self.model.by_norms else self._size @ other._size
        overflows = not rad.max(initial=0.0) <= self.model.largest / 2
        rad *= relative
        rad += absolute
        if self.tiny:
            rad += self.tiny * (1 + off) * other._size.sum(axis=-2, keepdims=True)
        if other.tiny:
            rad += other.tiny * (1 + off) * self._size.sum(axis=-1, keepdims=True)
        if self.model.accumulator:
            rad += self.model.closing(mid, rad)
        return self._result(mid, rad, terms=n) if overflows else Ball.certain(self.model, mid, rad, n)

    def _beside(self, other: Given, relative: float) -> tuple[Array, Array]:
        """Return the product and the norms of its radius's rows: that of the arrays nearby, where they are close.

        The nearby product is a rounded one too, of rows that are no longer than these and the way to them.
        """
        if self.near is None or self.near.product is None:
            return self.mid @ other.mid, self.rows * relative
        away, share = distances(self.mid, self.near.array), np.zeros(1)
        if other.near is not None:
            shares = distances(other.mid.mT, other.near.array.mT).mT / other.columns
            share = shares.max(axis=OF_A_CASE, keepdims=True)
        longest = self.rows + away
        rows = relative * (1 + share) * longest + away + share * longest
        axes = OF_A_CASE[-rows.ndim :]
        close = np.all(rows <= (1 + WIDER) * relative * self.rows, axis=axes, keepdims=True)  # and no NaN
        if close.all():
            return self.near.product, rows
        return (
            np.where(close, self.near.product, self.mid @ other.mid),
            np.where(close, rows, self.rows * relative),
        )

    def gather(self, index: Array) -> Given:
        """Pick numbers by an index; a zero that is not there is as plain as any."""
        ball = self._ball and self._ball.gather(index)
        return Given(self.model, gathered(self.mid, index), self.off, ball, self.plain, self.tiny)

    def in_matrices(self, rows: int) -> Ball:
        """Take every so many rows as a matrix of their own; a case that is not plain is so in all of them."""
        ball = self._ball and self._ball.in_matrices(rows)
        plain = np.asarray(self.plain)[..., None]
        return Given(self.model, matrices(self.mid, rows), self.off, ball, plain, self.tiny)

    def in_rows(self) -> Ball:
        """Undo ``in_matrices``."""
        ball = self._ball and self._ball.in_rows()
        plain = np.asarray(self.plain)
        plain = np.asarray(plain.all(axis=-3 if plain.ndim > 2 else None))
        return Given(self.model, rows_of(self.mid), self.off, ball, plain, self.tiny)

    def ends(self) -> tuple[Array, Array]:
        """Round mid - rad and mid + rad outwards, once for all functions of these numbers."""
        if self._ends is None:
            self._ends = super().ends()
        return self._ends

    def _part(self, piece: Piece, lo: Array, hi: Array) -> tuple[Array, Array, Span]:
        """Return the part in a piece, the same for a function and its slope, which have many formulas in common."""
        if (piece.lo, piece.hi) not in self._parts:
            self._parts[piece.lo, piece.hi] = super()._part(piece, lo, hi)
        return self._parts[piece.lo, piece.hi]

    def apply(self, function: Scalar, order: int, exact: Sequence[Ball]) -> Ball:
        """Evaluate at every number; beside a kink, and where a number may be another, as a Ball does."""
        if self.off:
            return super().apply(function, order, exact)
        with np.errstate(all="ignore"):
            z, pieces = self._at.lo, function.pieces
            around = [Span(self.model, *(np.asarray(ball.mid, np.float64),) * 2) for ball in exact]
            mid, rad = self._evaluated(pieces[0], order, around, exact)
            plain = np.asarray(self.plain)
            if len(pieces) > 1:
                met = [self.meets(piece, z, z) for piece in pieces]
                plain = plain & ~_somewhere(np.asarray(np.sum(met, axis=0, dtype=np.int8) > 1))
                for piece, here in zip(pieces[1:], met[1:], strict=True):
                    if here.any():
                        value, err = self._evaluated(piece, order, around, exact)
                        mid, rad = np.where(here, value, mid), np.where(here, err, rad)
            found = Ball(self.model, mid, rad + self.model.eta if order == 0 else rad)
            if not found.rad.max(initial=0.0) < np.inf:
                found.mid = np.where(np.isfinite(mid), mid, 0)
            return found if plain.all() else chosen(plain, found, super().apply(function, order, exact))

    def _evaluated(
        self, piece: Piece, order: int, around: Sequence[Span], exact: Sequence[Ball]
    ) -> tuple[Array, Array]:
        """Evaluate one piece's formulas everywhere: the first's value, and the largest error of any."""
        formulas, z = piece.formulas(order), self._at.lo
        first, *others = (formula(self._at, *around) for formula in formulas)
        err = np.broadcast_to(first.err, z.shape)
        for other in others:
            larger = np.maximum(err, other.err)
            err = larger if piece.within == np.inf else np.where(np.abs(z) <= piece.within, larger, err)
        enough = self.mid.dtype.itemsize <= z.dtype.itemsize
        return first.lo if enough else formulas[0](self.mid, *(ball.mid for ball in exact)), err

    def first(self, function: Scalar, order: int, exact: Sequence[Ball]) -> Ball:
        """Evaluate by the first formula only, as midpoints are, and leave its error until somebody asks."""
        function = function.first
        if self.off or len(function.pieces) > 1:
            return self.apply(function, order, exact)
        model = self._own.model
        around = [Span(model, ball.mid, ball.mid) for ball in exact]
        return Evaluated(model, function.pieces[0].formulas(order)[0](self._own, *around), self.shape)


def chosen(first: Array, one: Ball, other: Ball) -> Ball:
    """Take one ball's where a case is among the ``first``, and the other's elsewhere."""
    mid, rad = np.where(first, one.mid, other.mid), np.where(first, one.rad, other.rad)
    ball = Ball.certain(one.model, mid, rad, one.terms)
    ball.kinked = np.where(first.all(axis=OF_A_CASE[-first.ndim :]), one.kinked, other.kinked)
    return ball


def _somewhere(array: Array) -> Array:
    """Tell of each case whether anything is true in it, with as many axes."""
    return np.asarray(array.any(axis=OF_A_CASE[-array.ndim :], keepdims=True))


class Evaluated(Ball):
    """What a formula gave, whose radius nobody may need."""

    def __init__(self, model: Model, span: Span, shape: tuple[int, ...]) -> None:
        self.model, self.terms, self.kinked, self._span = model, 1, False, span
        self.mid = np.broadcast_to(span.lo, shape)

    @cached_property
    def rad(self) -> Array:  # type: ignore[override]
        """The radius, which a Ball has from the start."""
        return np.broadcast_to(np.asarray(self._span.err, self.mid.dtype), self.mid.shape)


class Product(Ball):
    """A matrix product whose radius is rows times columns plus ``least``: small enough to be kept as two vectors.

    ``rows`` (m, 1) and ``columns`` (1, k) for each matrix.
    """

    def __init__(
        self, model: Model, mid: Array, rows: Array, columns: Array, least: float, terms: int
    ) -> None:
        self.model, self.mid, self.terms, self.kinked = model, mid, terms, False
        self.rows, self.columns, self.least = rows, columns, least

    @cached_property
    def rad(self) -> Array:  # type: ignore[override]
        """The radius, which a Ball has from the start."""
        return np.asarray(self.rows * self.columns + self.least)

    @property
    def widest(self) -> Array:
        """Bound the radius, for each case of a stack."""
        return np.asarray(self.rows.max(axis=OF_A_CASE) * self.columns.max(axis=OF_A_CASE) + self.least)


def norms(array: Array) -> Array:
    """Bound the norms of rows from above, as float64 (m, 1) for each matrix.

    Squares are summed as they come, each sum off by n roundings at most; and a square that underflows was smaller than
    the smallest normal number.
    """
    info, n = np.finfo(array.dtype), array.shape[-1]
    squares = np.einsum("...ij,...ij->...i", array, array)[..., None].astype(np.float64)
    return np.asarray(np.sqrt(squares) * (1 + n * float(info.eps)) + np.sqrt(n * float(info.smallest_normal)))


def distances(array: Array, other: Array) -> Array:
    """Bound the norms of the differences of rows from above, as ``norms``; 0 where two are the same."""
    if array is other:
        return np.zeros((*array.shape[:-1], 1))
    off = array - other
    return np.where(off.any(axis=-1, keepdims=True), norms(off) * (1 + np.finfo(off.dtype).eps), 0.0)
