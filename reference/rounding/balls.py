"""Balls: arrays of midpoints, each with a radius that holds every result a correct implementation may give.

A Ball behaves as an array does, so that backprop.py runs on it unchanged. Midpoints are computed in better
arithmetic than the case's (rounding/model.py); radii in float64, where every term is positive, so that their
own relative error stays far below the 2^-20 by which the enclosure inflates them in the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..array import Array
from ..gathering import gathered, matrices, rows_of, uses
from ..number import Axes, Carried, Operand
from ..scalar import Piece, Scalar
from .model import DIVISION_ROUNDINGS, REDUCTION_ROUNDINGS, Model, finite_or_infinite
from .roots import ROOT
from .spans import Span

#: The axes of one case; those before them number the cases of a stack.
OF_A_CASE = (-2, -1)


def axes_of(axis: Axes | None) -> tuple[int, ...]:
    """Return the axes that are meant; None is the whole of each case."""
    if axis is None:
        return OF_A_CASE
    return axis if isinstance(axis, tuple) else (axis,)


class Ball(Carried):
    """mid ± rad, elementwise, in a model of rounding.

    ``terms`` counts the terms of a sum that is still open: a matrix product's n, to which a bias may be added
    at any place, so that the bias may pass through every rounding of the sum. ``kinked`` says, of every case of a
    stack, that a kink's hull is somewhere in this array's history: then a result at the very edge is a choice of side,
    not rounding. A case is the last two axes; those before it number the cases of a stack (stack.py).
    """

    model: Model
    mid: Array
    rad: Array
    kinked: Array | bool

    def __init__(
        self, model: Model, mid: Array, rad: Array, terms: int = 1, kinked: Array | bool = False
    ) -> None:
        self.model, self.mid, self.terms, self.kinked = model, mid, terms, kinked
        # An implementation whose result may overflow is outside the model: nothing is known of it.
        reach = np.abs(mid) + rad
        self.rad = (
            rad if reach.max(initial=0.0) <= model.largest else np.where(reach <= model.largest, rad, np.inf)
        )

    @classmethod
    def certain(cls, model: Model, mid: Array, rad: Array, terms: int) -> Ball:
        """A ball of which the caller knows that it is finite and cannot overflow: to look costs as much as it."""
        ball = cls.__new__(cls)
        ball.model, ball.mid, ball.rad, ball.terms, ball.kinked = model, mid, rad, terms, False
        return ball

    @classmethod
    def exact(cls, model: Model, array: Array) -> Ball:
        """An array that everybody is given, and knows without error."""
        return cls(model, array.astype(model.midpoint), np.zeros(array.shape))

    def _exact(self, other: Operand) -> Ball:
        if isinstance(other, Ball):
            return other
        forgetful: Ball | None = getattr(other, "ball", None)  # an affine form forgets its symbols here
        return Ball.exact(self.model, np.asarray(other)) if forgetful is None else forgetful

    @property
    def ball(self) -> Ball:
        """Itself, which is a Ball already."""
        return self

    @property
    def size(self) -> Array:
        """The largest absolute value (float64)."""
        return np.abs(self.mid).astype(np.float64, copy=False) + self.rad

    @property
    def widest(self) -> Array:
        """Bound the radius, for each case of a stack."""
        return np.asarray(self.rad.reshape(len(self.mid), -1).max(axis=1, initial=0.0))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of mid and of rad."""
        return self.mid.shape

    @property
    def mT(self) -> Ball:
        """The transpose of every matrix."""
        return Ball(self.model, self.mid.mT, self.rad.mT, kinked=self.kinked)

    def _result(self, mid: Array, rad: Array, *others: Ball, terms: int = 1) -> Ball:
        kinked = self.kinked
        for other in others:
            kinked = kinked | other.kinked
        return Ball(self.model, mid, rad, terms, kinked)

    def _rounded(self, mid: Array, carried: Array, *others: Ball, units: float = 1.0) -> Ball:
        """Close an operation that rounds its result ``units`` times."""
        size = np.abs(mid).astype(np.float64, copy=False) + carried
        return self._result(mid, carried + (units * self.model.unit * size + self.model.eta), *others)

    def __neg__(self) -> Ball:
        return Ball(self.model, -self.mid, self.rad, kinked=self.kinked)

    def __add__(self, other: Operand) -> Ball:
        o = self._exact(other)
        mid = self.mid + o.mid
        carried = self.rad + o.rad
        if self.terms > 1:  # the open sum has allowed for one more rounding of its own terms
            rad = carried + self.model.summed(self.terms + 1, 1, o.size)
            return self._result(mid, rad + self.model.closing(mid, rad), o)
        return self._rounded(mid, carried, o)

    def __radd__(self, other: Operand) -> Ball:
        return self._exact(other) + self

    def __sub__(self, other: Operand) -> Ball:
        return self + -self._exact(other)

    def __rsub__(self, other: Operand) -> Ball:
        return self._exact(other) - self

    def __mul__(self, other: Operand) -> Ball:
        o = self._exact(other)
        carried = np.abs(self.mid).astype(np.float64, copy=False) * o.rad + o.size * self.rad
        return self._rounded(self.mid * o.mid, carried, o)

    def __rmul__(self, other: Operand) -> Ball:
        return self._exact(other) * self

    def __truediv__(self, other: Operand) -> Ball:
        """Divide, or multiply with a rounded reciprocal.

        a/b - a₀/b₀ = (a - a₀ - (a₀/b₀) (b - b₀)) / b. A reciprocal that underflows is off by eta, times a; where it may
        overflow, and where b may be 0, nothing is known.
        """
        o, model = self._exact(other), self.model
        least = (np.abs(o.mid) - o.rad).astype(np.float64, copy=False) - 2.0**-52 * o.size
        with np.errstate(all="ignore"):
            known = (least > 0) & (1 / least <= model.largest)
            mid = np.where(known, self.mid / o.mid, 0)
            size = np.abs(mid).astype(np.float64, copy=False)
            carried = (self.rad + size * o.rad) / least
            tiny = model.eta * (1 + np.where(o.size * model.normal > 1, self.size, 0.0))
            rad = carried + model.several(DIVISION_ROUNDINGS) * (size + carried) + tiny
        return self._result(mid, np.where(known, finite_or_infinite(rad), np.inf), o)

    def __rtruediv__(self, other: Operand) -> Ball:
        return self._exact(other) / self

    def __matmul__(self, other: Operand) -> Ball:
        o, n = self._exact(other), self.shape[-1]
        size, other_size = (np.abs(ball.mid).astype(np.float64) for ball in (self, o))
        carried = size @ o.rad + self.rad @ (other_size + o.rad)
        mid, rad = self.mid @ o.mid, carried + self.model.summed(n + 1, n, self.size @ o.size)
        # A precision that sums in a better one may round the product before the bias is added, and then again.
        return self._result(mid, rad + self.model.closing(mid, rad), o, terms=n)

    def __rmatmul__(self, other: Operand) -> Ball:
        return self._exact(other) @ self

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Ball:
        """Sum in any order: a term passes through n - 1 additions at most, each of which may underflow.

        Without an axis it sums over the whole of each case. Several axes may be summed over one after the other, and
        what is left then rounded each time.
        """
        axes = axes_of(axis)
        n = math.prod(self.shape[one] for one in axes)
        size, mid = (array.sum(axis=axes, keepdims=keepdims) for array in (self.size, self.mid))
        rad = self.rad.sum(axis=axes, keepdims=keepdims) + self.model.summed(n - 1, n, size)
        if axis is None:  # a cost may be summed over outputs, rounded, and then summed over examples
            rad = rad + self.model.closing(size, rad, self.shape[-2])
            # and its terms may still lack their factor 1/2.
            rad = np.where(2 * (size + rad) <= self.model.largest, rad, np.inf)
        else:
            for _ in axes[1:]:
                rad = rad + self.model.closing(size, rad, n)
        return self._result(mid, np.asarray(rad + self.model.closing(mid, rad)))

    def largest(self, axis: Axes | None = -1, keepdims: bool = False) -> Ball:
        """The maximum: no less than the largest lower end, which lies no further from its midpoint than the upper.

        It is a copy, and rounds nothing. Who flushes subnormals may take one for another, and return zero for it.
        """
        axes, tiny = axes_of(axis), self.model.eta / 4  # eta is 4 times the smallest normal number
        mid = self.mid.max(axis=axes, keepdims=True)
        above = (self.mid - mid).astype(np.float64, copy=False) + (1 + 2.0**-50) * self.rad
        rad = above.max(axis=axes, keepdims=True)
        rad = rad + np.where(np.abs(mid) - rad < tiny, 2 * tiny, 0.0)
        if not keepdims:
            mid, rad = mid.squeeze(axes), rad.squeeze(axes)
        return self._result(mid, finite_or_infinite(rad))

    def sqrt(self) -> Ball:
        """The square root; nothing is known where the number may be negative."""
        return self.apply(ROOT, 0, ())

    def constant(self, value: float, err: float) -> Ball:
        """Return a constant of the same shape."""
        full = np.full(self.shape, value, self.model.midpoint)
        return self._result(full, np.full(self.shape, err))

    def gather(self, index: Array) -> Ball:
        """Pick numbers by an index; nothing is rounded, and a sum stays open."""
        return self._result(gathered(self.mid, index), gathered(self.rad, index), terms=self.terms)

    def scatter_add(self, index: Array, n: int) -> Ball:
        """Add up what an index says about n numbers: a sum of at most k terms, of which one alone is not rounded."""
        found = uses(index, n)
        mid, rad = (found.terms(one).sum(axis=-1) for one in (self.mid, self.rad))
        if found.most <= 1:
            return self._result(mid, rad, terms=self.terms)
        rad = rad + self.model.summed(found.most - 1, found.most, found.terms(self.size).sum(axis=-1))
        rad = np.where(found.somewhere, rad + self.model.closing(mid, rad), 0.0)
        return self._result(mid, rad)

    def in_matrices(self, rows: int) -> Ball:
        """Take every so many rows as a matrix of their own."""
        kinked = np.asarray(self.kinked)[..., None]
        return Ball(self.model, matrices(self.mid, rows), matrices(self.rad, rows), self.terms, kinked)

    def in_rows(self) -> Ball:
        """Undo ``in_matrices``; a kink in one matrix is one of its case."""
        kinked = np.asarray(self.kinked)
        kinked = np.asarray(kinked.any(axis=-1)) if kinked.ndim else kinked
        return Ball(self.model, rows_of(self.mid), rows_of(self.rad), self.terms, kinked)

    def divided(self, m: int) -> Ball:
        """Divide by the batch size, wherever in the computation and however an implementation does it."""
        mid, carried = self.mid / m, self.rad / m
        own = self.model.several(REDUCTION_ROUNDINGS) * (np.abs(mid).astype(np.float64) + carried)
        return self._result(mid, carried + own + self.model.eta)

    def in_any_order(self, upstream: Ball, amplification: Array | float, growth: Array | float) -> Ball:
        """Allow this product upstream ⊙ σ′ to be multiplied factor by factor, in any order.

        A factor may underflow before it is multiplied by ``amplification``; and where the upstream may overflow
        when it is multiplied by ``growth`` first, nothing is known.
        """
        first, rad = upstream.size * growth, self.rad + self.model.eta * amplification
        if not first.max(initial=0.0) <= self.model.largest:
            rad = np.where(first <= self.model.largest, rad, np.inf)
        return self._result(self.mid, rad, upstream)

    def apply(self, function: Scalar, order: int, exact: Sequence[Ball]) -> Ball:
        """Evaluate a scalar function's derivative of that order over every value in the ball.

        Each piece that the ball meets gives mid ± (how far the exact value moves within the ball) ± (the
        largest rounding error of any formula, anywhere in the ball). At a kink the pieces' hull is taken.
        """
        with np.errstate(all="ignore"):
            lo, hi = self.ends()
            found = [self._on(piece, order, exact, lo, hi) for piece in function.pieces]
            low, high, mid, rad = found[0][1:]
            met = found[0][0]
            several = np.zeros(self.shape, bool)
            for here, piece_low, piece_high, piece_mid, piece_rad in found[1:]:
                both = met & here
                several |= both
                low = np.where(both, np.minimum(low, piece_low), np.where(here, piece_low, low))
                high = np.where(both, np.maximum(high, piece_high), np.where(here, piece_high, high))
                mid = np.where(here & ~met, piece_mid, mid)
                rad = np.where(here & ~met, piece_rad, rad)
                met = met | here
            mid = np.where(several, (low + high) / 2, mid)
            rad = np.where(several, np.asarray(np.maximum(high - mid, mid - low), np.float64), rad)
            # An input that may be infinite, or no number at all, makes even a bounded function's value unknown.
            lost = ~met | ~np.isfinite(mid) | ~np.isfinite(rad) | ~np.isfinite(self.rad)
            kinked = (
                self.kinked
                if order != 1
                else self.kinked | np.asarray(several.any(axis=OF_A_CASE[-several.ndim :]))
            )
            return Ball(self.model, np.where(lost, 0, mid), np.where(lost, np.inf, rad), kinked=kinked)

    def meets(self, piece: Piece, lo: Array, hi: Array) -> Array:
        """Whether an implementation may take any value in [lo, hi] for one in the piece.

        It finds a kink at k by comparing a rounded quantity (z/6 + 1/2, say) with a rounded one, so that it may be
        off by a few units of u of k. A NaN meets everything, and makes the result unknown.
        """
        slack = 4 * self.model.unit
        starts = piece.lo - slack * abs(piece.lo) if np.isfinite(piece.lo) else piece.lo
        ends = piece.hi + slack * abs(piece.hi) if np.isfinite(piece.hi) else piece.hi
        return np.asarray(~((hi < starts) | (lo > ends)))

    def ends(self) -> tuple[Array, Array]:
        """Round mid - rad and mid + rad outwards to float64; a ball without radius is its own ends."""
        lo, hi = (np.asarray(end, np.float64) for end in (self.mid - self.rad, self.mid + self.rad))
        wide = self.rad > 0
        return np.where(wide, np.nextafter(lo, -np.inf), lo), np.where(wide, np.nextafter(hi, np.inf), hi)

    def _on(
        self, piece: Piece, order: int, exact: Sequence[Ball], lo: Array, hi: Array
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Evaluate on one piece: where the ball meets it, and there low, high, mid and rad."""
        met = self.meets(piece, lo, hi)
        if not met.any():
            nothing = np.zeros(self.shape)
            return met, nothing, nothing, np.zeros(self.shape, self.model.midpoint), nothing
        centre, half, span = self._part(piece, lo, hi)
        known = [Span(self.model, *(ball.mid.astype(np.float64),) * 2) for ball in exact]
        computed = [formula(span, *known) for formula in piece.formulas(order)]
        moving = [np.asarray(formula(span, *known).size) for formula in piece.formulas(order + 1)]
        # Any formula's slope bounds the function's; where one overflows, another may still serve.
        steepest = finite_or_infinite(np.fmin.reduce(moving)) * half
        steepest = np.where(half == 0, 0.0, steepest)
        err, used = computed[0].err, np.maximum(np.abs(span.lo), np.abs(span.hi)) <= piece.within
        for other in computed[1:]:
            err = np.where(used, np.maximum(err, other.err), err)

        mid = piece.formulas(order)[0](centre, *(ball.mid for ball in exact))
        reach = np.maximum(computed[0].hi - mid, mid - computed[0].lo) + computed[0].err
        # A value may be flushed to zero even by a formula that computes nothing, such as relu's z.
        flushed = self.model.eta if order == 0 else 0.0
        rad = finite_or_infinite(np.asarray(np.fmin(steepest, reach), np.float64) + err + flushed)
        return met, mid - rad, mid + rad, mid, rad

    def _part(self, piece: Piece, lo: Array, hi: Array) -> tuple[Array, Array, Span]:
        """Return the part of the ball in a piece: its centre, how far it reaches from there, and itself as a span."""
        if piece.lo > -np.inf or piece.hi < np.inf:
            lo, hi = np.clip(lo, piece.lo, piece.hi), np.clip(hi, piece.lo, piece.hi)
            centre = np.clip(self.mid, piece.lo, piece.hi)
            # It lies within rad of its centre, whichever way lo and hi were rounded.
            half = np.minimum(np.asarray(np.maximum(hi - centre, centre - lo), np.float64), self.rad)
        else:
            centre, half = self.mid, self.rad
        return centre, half, Span(self.model, lo, hi)

    def softmax(self) -> Ball:
        """e^(z_i) / Σ e^(z_j) along the last axis, computed by any of the usual formulas.

        t_i bounds the relative perturbation of e^(z_i) up to a common factor: its input's radius, the
        rounding of z_i minus the maximum and of that minus the logarithm of the sum (the form through
        log_softmax), and exp's own error. Then abs(Δs_i) <= s_i (e^(t_i) Σ s_j e^(t_j) - 1), and the sum and
        the division add gamma_(n+2), or one rounding each where sums are added up in a better precision. What
        underflows in exp is divided by a sum that may be rounded to a little less than 1: so 3 eta, not 2.
        """
        s, log_s, away, logarithm = self._exponents()
        u, K, n = self.model.several(1), self.model.K, self.shape[-1]
        t = self.rad + u * (2 * away + (K["log"] + 1) * logarithm + K["exp"]) + 2 * self.model.eta
        swollen = (s * np.exp(t)).sum(axis=-1, keepdims=True)
        moved = s * (np.expm1(t) * swollen + (s * np.expm1(t)).sum(axis=-1, keepdims=True))
        divided = self.model.gamma(n + 2) + 2 * self.model.excess
        rad = moved + divided * (1 + divided) * (s + moved) + 3 * self.model.eta
        unknown = ~np.isfinite(self.rad).all(axis=-1, keepdims=True)
        bounded = np.where(unknown, np.inf, np.minimum(rad, 1 + 2 * divided))
        return self._result(np.exp(log_s), bounded)

    def log_softmax(self) -> Ball:
        """z_i - log Σ e^(z_j) along the last axis, after the maximum is taken off.

        The logarithm's argument is moved by the inputs' radii, by the rounding of every z_j minus the maximum, by exp
        and by the sum; then the logarithm, z_i minus the maximum, and the result itself are rounded.
        """
        s, log_s, away, logarithm = self._exponents()
        u, K, n, eta = self.model.several(1), self.model.K, self.shape[-1], self.model.eta
        t = self.rad + u * (away + K["exp"]) + eta
        moved = np.log((s * np.exp(t)).sum(axis=-1, keepdims=True)) + n * eta
        moved = moved + self.model.gamma(n + 2) + 2 * self.model.excess
        carried = self.rad + u * away + moved + K["log"] * u * (logarithm + moved) + 2 * eta
        return self._result(log_s, carried + u * (np.abs(log_s).astype(np.float64) + carried) + eta)

    def _exponents(self) -> tuple[Array, Array, Array, Array]:
        """Return softmax (float64), log_softmax (midpoints), how far z is below the maximum, log Σ e^(z_j - max)."""
        shifted = self.mid - self.mid.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        log_s = shifted - log_sum
        # The maximum is over rounded inputs, so the shift may differ from ours by the largest radius.
        largest = self.rad.max(axis=-1, keepdims=True)
        away = np.abs(shifted).astype(np.float64) + self.rad + largest
        return (
            np.asarray(np.exp(log_s), np.float64),
            log_s,
            away,
            np.asarray(log_sum, np.float64) + 2 * largest,
        )

    def xlogx(self) -> Ball:
        """x log x for exact x, 0 at 0."""
        with np.errstate(all="ignore"):
            mid = np.where(self.mid > 0, self.mid * np.log(self.mid), 0)
        return self._rounded(mid, self.rad * 0, units=self.model.K["log"] + 1)
