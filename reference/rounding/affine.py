"""Affine forms: arrays that remember which error came from where, so that errors can cancel as they do in truth.

A Ball takes absolute values at every layer, and its radius grows like the product of the weights' norms. Here
every local rounding error becomes a *symbol*, an unknown in [-1, 1] that is carried through the signed
Jacobians; absolute values are taken once, at the end (zonotopes; de Figueiredo and Stolfi, Affine arithmetic,
2004). Examples do not meet before BP3 and BP4, so every example has symbols of its own, and the two gradients
take the radii of δ and a and go on as Balls.
The generators are float64. What their own rounding may lose is added as an error wherever signs may cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..array import Array
from ..gathering import gathered, matrices, rows_of, uses
from ..number import Axes, Carried, Operand
from ..scalar import Scalar
from .balls import Ball, axes_of
from .generators import Symbols, added, by_example, by_row, with_symbols, without_symbols
from .model import DIVISION_ROUNDINGS, REDUCTION_ROUNDINGS, Model, flushed
from .roots import ROOT
from .tangents import U64, coupled, tangents


class Affine(Carried):
    """mid + Σ_s gen_s ε_s ± loc, for a batch.

    mid is (m, n); gen is (m, S, n) for the first S symbols of the run; loc (m, n) is the error made since the
    last matrix product, independent from neuron to neuron, which is what makes it a symbol of its own at the
    next. ``lost`` (m, n) marks what may not be finite, of which nothing is known.

    An example may have several rows, ``positions`` of them one after the other, which share its symbols; or be a
    matrix, so that mid is (m, rows, n) and gen (m, S, rows, n).
    """

    model: Model

    def __init__(
        self,
        model: Model,
        symbols: Symbols,
        mid: Array,
        gen: Array,
        loc: Array,
        lost: Array | None = None,
        terms: int = 1,
        positions: int = 1,
    ) -> None:
        self.model, self.symbols, self.mid, self.terms, self.positions = model, symbols, mid, terms, positions
        self.gen, shape = gen, mid.shape
        spread = np.abs(gen).sum(axis=1) + loc
        unknown = ~(np.abs(mid) + spread <= model.largest)
        self.lost = unknown if lost is None else unknown | np.broadcast_to(lost, shape)
        if self.lost.any():
            self.mid = np.where(self.lost, 0, mid)
            self.gen = np.where(self.lost[:, None], 0, gen)
            loc, spread = np.where(self.lost, 0, loc), np.where(self.lost, 0, spread)
        self.loc = np.broadcast_to(loc, shape)
        #: The radius (m, n), where it is not lost: absolute values are taken here and nowhere else.
        self.spread = np.broadcast_to(spread, shape)

    @classmethod
    def exact(cls, model: Model, symbols: Symbols, array: Array) -> Affine:
        """A batch (m, n) that everybody is given, and knows without error but for flushed subnormals."""
        m, n = array.shape
        return cls(model, symbols, array.astype(model.midpoint), np.zeros((m, 0, n)), flushed(model, array))

    @property
    def rad(self) -> Array:
        """The radius (m, n), infinite where nothing is known."""
        return np.where(self.lost, np.inf, self.spread)

    @property
    def ball(self) -> Ball:
        """The same as a Ball, forgetting where the errors came from."""
        return Ball(self.model, self.mid, self.rad)

    @property
    def size(self) -> Array:
        """The largest absolute value (float64)."""
        return np.abs(self.mid).astype(np.float64) + self.rad

    @property
    def _reach(self) -> Array:
        """The same, and 0 where nothing is known."""
        return np.asarray(np.abs(self.mid).astype(np.float64) + self.spread)

    @property
    def shape(self) -> tuple[int, ...]:
        """(m, n), or (m, rows, n)."""
        return self.mid.shape

    @property
    def mT(self) -> Affine | Ball:
        """The transpose; of a batch it mixes examples in what follows, so it is a Ball."""
        if self.mid.ndim == 2:
            return self.ball.mT
        return self._rearranged(lambda array: array.mT, self.gen.mT, self.positions)

    def _new(self, mid: Array, gen: Array, loc: Array, *others: Affine, terms: int = 1) -> Affine:
        lost = self.lost
        for other in others:
            lost = lost | other.lost
        return Affine(self.model, self.symbols, mid, gen, loc, lost, terms, _positions(self, *others))

    def _all(self, mid: Array, gen: Array, loc: Array, lost: Array) -> Affine:
        """Return numbers of the same rows, of which this is all."""
        return Affine(self.model, self.symbols, mid, gen, loc, lost, positions=self.positions)

    def _lift(self, other: Operand) -> Affine:
        if isinstance(other, Affine):
            return other
        given = np.atleast_2d(np.asarray(other, self.model.midpoint))  # a bias is the same for every example
        return Affine(self.model, self.symbols, given, without_symbols(given), np.zeros(given.shape))

    @property
    def _forgetful(self) -> Affine:
        """The same without symbols: what is known of each number, as if it had to do with no other."""
        gen = without_symbols(self.mid)
        return Affine(self.model, self.symbols, self.mid, gen, self.spread, self.lost, self.terms)

    def _beside(self, other: Operand) -> tuple[Affine, Affine]:
        """Return both, with symbols only where a row's mean the same in either."""
        o = self._lift(other)
        if self.positions == o.positions or not (self.gen.shape[1] and o.gen.shape[1]):
            return self, o
        return self._forgetful, o._forgetful

    def __neg__(self) -> Affine:
        return self._new(-self.mid, -self.gen, self.loc)

    def __add__(self, other: Operand) -> Affine:
        here, o = self._beside(other)
        if here is not self:
            return here + o
        mid = self.mid + o.mid
        gen, carried = added(self.gen, o.gen, mid.shape), self.loc + o.loc
        radius = self.spread + o.spread
        if self.terms > 1:  # the open sum has allowed for one more rounding of its own terms
            size = np.abs(o.mid).astype(np.float64) + o.spread
            own = self.model.summed(self.terms + 1, 1, size)
            own = own + self.model.closing(mid, radius + own)
        else:
            own = self.model.unit * (np.abs(mid).astype(np.float64) + radius) + self.model.eta
        return self._new(mid, gen, carried + own + 2 * U64 * radius, o)

    def __radd__(self, other: Operand) -> Affine:
        return self._lift(other) + self

    def __sub__(self, other: Operand) -> Affine:
        return self + -self._lift(other)

    def __rsub__(self, other: Operand) -> Affine:
        return self._lift(other) - self

    def __mul__(self, other: Operand) -> Affine:
        here, o = self._beside(other)
        if here is not self:
            return here * o
        mid = self.mid * o.mid
        a, b = self.mid.astype(np.float64), o.mid.astype(np.float64)
        gen = added(self.gen * b[:, None], o.gen * a[:, None], mid.shape)
        a, b, ra, rb = np.abs(a), np.abs(b), self.spread, o.spread
        carried = self.loc * b + o.loc * a + ra * rb
        size = np.abs(mid).astype(np.float64) + ra * b + rb * a + ra * rb
        own = self.model.unit * size + 4 * U64 * (ra * b + rb * a) + self.model.eta
        return self._new(mid, gen, carried + own, o)

    def __rmul__(self, other: Operand) -> Affine:
        return self._lift(other) * self

    def __truediv__(self, other: Operand) -> Affine:
        """Divide, or multiply with a rounded reciprocal; the quotient's derivative carries the symbols.

        With q = a₀/b₀, a/b - q is (a - q b)/b₀ times b₀/b, where a - q b has the symbols of both, so that what they
        share may cancel. The rounding, and what is unknown, are those of a Ball.
        """
        here, o = self._beside(other)
        if here is not self:
            return here / o
        ball = self.ball / o.ball
        with np.errstate(all="ignore"):
            q, b, size = (
                ball.mid.astype(np.float64),
                o.mid.astype(np.float64),
                np.abs(o.mid).astype(np.float64),
            )
            gen = added(self.gen / b[:, None], -o.gen * (q / b)[:, None], ball.shape)
            loc = self.loc / size + o.loc * np.abs(q) / size
            away = np.abs(gen).sum(axis=1) + loc
            share = o.spread / (size * (1 - 2 * U64) - o.spread)  # b₀/b is 1 with as much more or less
            # q is rounded as a midpoint is, which the rounding of two quotients allows for.
            own = self.model.several(DIVISION_ROUNDINGS) * (np.abs(q) + away) * (1 + share)
            tiny = self.model.eta * (1 + np.where(o.size * self.model.normal > 1, self.size, 0.0))
            own = own + tiny + 8 * U64 * (self.spread + np.abs(q) * o.spread) / size
            loc = loc + share * away + own
        lost = ~np.isfinite(ball.rad) | ~np.isfinite(loc)
        found = self._new(ball.mid, np.where(lost[:, None], 0, gen), np.where(lost, 0, loc), o)
        return found._all(found.mid, found.gen, found.loc, found.lost | lost)

    def __rtruediv__(self, other: Operand) -> Affine:
        return self._lift(other) / self

    def __matmul__(self, other: Operand) -> Affine | Ball:
        """Multiply by known weights (n, k): here what was local becomes symbols."""
        if isinstance(other, Affine):
            return self._times(other) if self.mid.ndim > 2 else self.ball @ other.ball
        if isinstance(other, Carried):
            return self.ball @ other
        known = np.asarray(other, self.model.midpoint)
        weights, n = known.astype(np.float64), self.shape[-1]
        gen = self._with_symbols()
        size = np.abs(weights)
        radius = self.spread @ size
        reach, lost_weights = np.abs(self.mid).astype(np.float64) + self.spread, flushed(self.model, weights)
        own = self.model.summed(n + 1, n, reach @ size)
        if lost_weights.any():
            own = own + reach @ lost_weights
        mid = self.mid @ known
        loc = own + self.model.closing(mid, radius + own) + 2 * n * U64 * radius
        lost = np.broadcast_to(self.lost.any(axis=-1, keepdims=True), mid.shape)
        carried = (gen.reshape(-1, n) @ weights).reshape(*gen.shape[:-1], weights.shape[1])
        return Affine(self.model, self.symbols, mid, carried, loc, lost, n, self.positions)

    def _times(self, other: Affine) -> Affine:
        """Multiply an example's matrix with another of it: each carries the other's symbols.

        A B - A₀ B₀ = (A - A₀) B₀ + A₀ (B - B₀) + (A - A₀) (B - B₀), of which the last has no symbols.
        """
        here, o = self._beside(other)
        n, positions = self.shape[-1], _positions(here, o)
        one, two = (each._with_symbols(positions) for each in (here, o))
        a, b = here.mid.astype(np.float64), o.mid.astype(np.float64)
        linear = here.spread @ np.abs(b) + np.abs(a) @ o.spread
        radius, own = linear + here.spread @ o.spread, self.model.summed(n + 1, n, here._reach @ o._reach)
        mid = here.mid @ o.mid
        loc = (
            here.spread @ o.spread + own + self.model.closing(mid, radius + own) + 2 * (n + 3) * U64 * radius
        )
        gen = added(one @ b[:, None], a[:, None] @ two, mid.shape)
        lost = here.lost.any(axis=-1, keepdims=True) | o.lost.any(axis=-2, keepdims=True)
        return Affine(self.model, self.symbols, mid, gen, loc, lost, n, positions)

    @property
    def _named(self) -> Affine:
        """The same with a symbol for every local error."""
        gen, nothing = self._with_symbols(), np.zeros(self.shape)
        return Affine(self.model, self.symbols, self.mid, gen, nothing, self.lost, self.terms, self.positions)

    def _with_symbols(self, positions: int | None = None) -> Array:
        """Return the generators with one more symbol for each neuron, for its local error."""
        return with_symbols(self.gen, self.loc, self.symbols, positions or self.positions)

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Affine | Ball:
        """Sum in any order; over examples or over everything, errors go on as a Ball."""
        axes = tuple(one % self.mid.ndim for one in axes_of(axis))
        if axis is None or 0 in axes or len(axes) > 1:
            return self.ball.sum(axis=axis, keepdims=keepdims)
        (along,), gen = axes, self._with_symbols()
        n = self.shape[along]
        mid, size, radius = (
            array.sum(axis=along, keepdims=keepdims)
            for array in (self.mid, np.abs(self.mid).astype(np.float64) + self.spread, self.spread)
        )
        own = self.model.summed(n - 1, n, size)
        loc = own + self.model.closing(mid, radius + own) + 2 * n * U64 * radius
        lost = self.lost.any(axis=along, keepdims=keepdims)
        gen = gen.sum(axis=along + 1, keepdims=keepdims)
        return Affine(self.model, self.symbols, mid, gen, loc, lost, positions=self.positions)

    def largest(self, axis: Axes | None = -1, keepdims: bool = False) -> Affine | Ball:
        """The maximum: where one is the largest whatever the errors are, it keeps its symbols."""
        axes = tuple(one % self.mid.ndim for one in axes_of(axis))
        ball = self.ball.largest(axis, keepdims=True)
        if axis is None or 0 in axes or len(axes) > 1:
            return ball if keepdims else self.ball.largest(axis)
        (along,) = axes
        first = self.mid.argmax(axis=along, keepdims=True)
        loc, spread = (np.take_along_axis(one, first, along) for one in (self.loc, self.spread))
        below = (ball.mid - self.mid).astype(np.float64) * (1 - 4 * U64) >= self.spread + spread
        np.put_along_axis(below, first, True, along)
        sure = below.all(axis=along, keepdims=True) & ~self.lost.any(axis=along, keepdims=True)
        gen = np.where(sure[:, None], np.take_along_axis(self.gen, first[:, None], along + 1), 0.0)
        # Who flushes subnormals may take one for another: that is in the ball's.
        loc = np.where(sure, np.minimum(loc + np.maximum(ball.rad - spread, 0.0), ball.rad), ball.rad)
        mid, lost = ball.mid, ~np.isfinite(ball.rad)
        loc = np.where(lost, 0.0, loc)
        if not keepdims:
            mid, loc, lost = (one.squeeze(along) for one in (mid, loc, lost))
            gen = gen.squeeze(along + 1)
        return Affine(self.model, self.symbols, mid, gen, loc, lost, positions=self.positions)

    def sqrt(self) -> Affine:
        """The square root; nothing is known where the number may be negative."""
        return self.apply(ROOT, 0, ())

    def constant(self, value: float, err: float) -> Affine:
        """Return a constant of the same shape."""
        full = np.full(self.shape, value, self.model.midpoint)
        return Affine(self.model, self.symbols, full, without_symbols(full), np.full(self.shape, err))

    # --------------------------------------------------------------------------------------------- rearrangements

    def _rearranged(self, how: Callable[[Array], Array], gen: Array, positions: int) -> Affine:
        mid, loc, lost = how(self.mid), how(self.loc), how(self.lost)
        return Affine(self.model, self.symbols, mid, gen, loc, lost, self.terms, positions)

    def _of_one(self, rows: int) -> Affine:
        """Return the same, with symbols only where so many rows one after the other are an example's."""
        return self if self.positions % rows == 0 else self._forgetful

    def gather(self, index: Array) -> Affine:
        """Pick numbers by an index; a local error becomes a symbol before it goes to more than one place."""
        positions, seen = index.shape
        named = self if uses(index, self.shape[-1]).most <= 1 else self._named
        m, known, _ = named.gen.shape
        gen = by_row(gathered(named.gen, index).reshape(m, known, positions, seen))
        return named._rearranged(lambda array: gathered(array, index), gen, self.positions * positions)

    def scatter_add(self, index: Array, n: int) -> Affine:
        """Add up what an index says about n numbers; each local error is in one sum, and stays local."""
        found, one = uses(index, n), self._of_one(len(index))
        mid, loc, spread = (found.terms(array).sum(axis=-1) for array in (one.mid, one.loc, one.spread))
        gen = found.terms(by_example(one.gen, found.positions)).sum(axis=-1)[:, :, 0]
        lost = np.asarray(found.terms(one.lost, False).any(axis=-1))
        positions = max(1, one.positions // found.positions)
        if found.most <= 1:
            return Affine(self.model, self.symbols, mid, gen, loc, lost, self.terms, positions)
        size = found.terms(np.abs(one.mid).astype(np.float64) + one.spread).sum(axis=-1)
        own = self.model.summed(found.most - 1, found.most, size)
        own = np.where(found.somewhere, own + self.model.closing(mid, spread + own), 0.0)
        loc = loc + own + 2 * found.most * U64 * spread
        return Affine(self.model, self.symbols, mid, gen, loc, lost, positions=positions)

    def in_matrices(self, rows: int) -> Affine:
        """Take every so many rows as a matrix of their own."""
        one = self._of_one(rows)
        return one._rearranged(
            lambda array: matrices(array, rows), by_example(one.gen, rows), max(1, one.positions // rows)
        )

    def in_rows(self) -> Affine:
        """Undo ``in_matrices``."""
        return self._rearranged(rows_of, by_row(self.gen), self.positions * self.shape[-2])

    def divided(self, m: int) -> Affine:
        """Divide by the batch size, wherever in the computation and however an implementation does it."""
        mid, gen, loc = self.mid / m, self.gen / m, self.loc / m
        size = np.abs(mid).astype(np.float64) + self.spread / m
        return self._new(
            mid, gen, loc + (self.model.several(REDUCTION_ROUNDINGS) + 2 * U64) * size + self.model.eta
        )

    def in_any_order(self, upstream: Affine, amplification: Array | float, growth: Array | float) -> Affine:
        """Allow this product upstream ⊙ σ′ to be multiplied factor by factor, in any order, as for a Ball."""
        outside = ~(upstream.size * growth <= self.model.largest)
        grown = self._new(
            self.mid, self.gen, self.loc + self.model.eta * np.where(outside, 1, amplification), upstream
        )
        return self._all(grown.mid, grown.gen, grown.loc, grown.lost | outside)

    def apply(self, function: Scalar, order: int, exact: Sequence[Affine]) -> Affine:
        """Evaluate a scalar function's derivative of that order: its own derivative carries the symbols."""
        ball = self.ball.apply(function, order, [one.ball for one in exact])
        known = [one.mid for one in exact]
        mid, slope, loc = tangents(function, order, self.ball, known, self.spread, self.loc, ball)
        lost = self.lost | ~np.isfinite(loc)
        return self._all(mid, self.gen * slope[:, None], np.where(lost, 0, loc), lost)

    def softmax(self) -> Affine:
        """e^(z_i) / Σ e^(z_j): the Jacobian carries the symbols.

        Along d with abs(d_j) <= D the second derivative of s_i is s_i ((d_i - mean)² - variance), at most 4 D² s_i
        e^(2D). A Ball of the midpoints gives the rounding; at the computed inputs s_i may be e^(2D) times as large,
        and t of Ball.softmax 1 + 3 D times, since distances to the maximum and the sum's logarithm move by 2 D.
        """
        return self._coupled(Ball(self.model, self.mid, np.zeros(self.shape)).softmax(), relative=True)

    def log_softmax(self) -> Affine:
        """z_i - log Σ e^(z_j): the second derivative of the logarithm along d is a variance, at most D²."""
        return self._coupled(Ball(self.model, self.mid, np.zeros(self.shape)).log_softmax(), relative=False)

    def _coupled(self, rounded: Ball, relative: bool) -> Affine:
        gen, loc = coupled(self.mid, self._with_symbols(), self.spread, rounded, relative)
        lost = np.broadcast_to(self.lost.any(axis=-1, keepdims=True), self.shape)
        return self._all(rounded.mid, gen, loc, lost | ~np.isfinite(loc))

    def xlogx(self) -> Affine:
        """x log x for exact x, 0 at 0."""
        ball = self.ball.xlogx()
        return self._all(ball.mid, self.gen, ball.rad, self.lost)


def _positions(*forms: Affine) -> int:
    """Return how many rows of an example share its symbols, where whoever has symbols has as many."""
    named = [one.positions for one in forms if one.gen.shape[1]]
    return named[0] if named else max(one.positions for one in forms)
