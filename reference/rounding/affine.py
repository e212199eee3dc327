"""Affine forms: arrays that remember which error came from where, so that errors can cancel as they do in truth.

A Ball takes absolute values at every layer, and its radius grows like the product of the weights' norms. Here
every local rounding error becomes a *symbol*, an unknown in [-1, 1] that is carried through the signed
Jacobians; absolute values are taken once, at the end (zonotopes; de Figueiredo and Stolfi, Affine arithmetic,
2004). Examples do not meet before BP3 and BP4, so every example has symbols of its own, and the two gradients
take the radii of δ and a and go on as Balls.

The generators are float64. What their own rounding may lose is added as an error wherever signs may cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..gathering import gathered, matrices, rows_of, uses
from ..network import Array
from ..number import Axes, Carried, Operand
from ..scalar import Piece, Scalar
from .balls import Ball, axes_of
from .model import DIVISION_ROUNDINGS, REDUCTION_ROUNDINGS, Model, flushed
from .roots import ROOT
from .spans import Span

#: u of the generators' own arithmetic.
_U64 = 2.0**-53


class Symbols:
    """How many symbols a run has handed out so far."""

    count = 0


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
        return Affine(
            self.model,
            self.symbols,
            given,
            np.zeros((len(given), 0, *given.shape[1:])),
            np.zeros(given.shape),
        )

    @property
    def _forgetful(self) -> Affine:
        """The same without symbols: what is known of each number, as if it had to do with no other."""
        nothing = np.zeros((len(self.mid), 0, *self.mid.shape[1:]))
        return Affine(self.model, self.symbols, self.mid, nothing, self.spread, self.lost, self.terms)

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
        gen, carried = _sum(self.gen, o.gen, mid.shape), self.loc + o.loc
        radius = self.spread + o.spread
        if self.terms > 1:  # the open sum has allowed for one more rounding of its own terms
            size = np.abs(o.mid).astype(np.float64) + o.spread
            own = self.model.summed(self.terms + 1, 1, size)
            own = own + self.model.closing(mid, radius + own)
        else:
            own = self.model.unit * (np.abs(mid).astype(np.float64) + radius) + self.model.eta
        return self._new(mid, gen, carried + own + 2 * _U64 * radius, o)

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
        gen = _sum(self.gen * b[:, None], o.gen * a[:, None], mid.shape)
        a, b, ra, rb = np.abs(a), np.abs(b), self.spread, o.spread
        carried = self.loc * b + o.loc * a + ra * rb
        size = np.abs(mid).astype(np.float64) + ra * b + rb * a + ra * rb
        own = self.model.unit * size + 4 * _U64 * (ra * b + rb * a) + self.model.eta
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
            gen = _sum(self.gen / b[:, None], -o.gen * (q / b)[:, None], ball.shape)
            loc = self.loc / size + o.loc * np.abs(q) / size
            away = np.abs(gen).sum(axis=1) + loc
            share = o.spread / (size * (1 - 2 * _U64) - o.spread)  # b₀/b is 1 with as much more or less
            # q is rounded as a midpoint is, which the rounding of two quotients allows for.
            own = self.model.several(DIVISION_ROUNDINGS) * (np.abs(q) + away) * (1 + share)
            tiny = self.model.eta * (1 + np.where(o.size * self.model.normal > 1, self.size, 0.0))
            own = own + tiny + 8 * _U64 * (self.spread + np.abs(q) * o.spread) / size
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
        loc = own + self.model.closing(mid, radius + own) + 2 * n * _U64 * radius
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
            here.spread @ o.spread + own + self.model.closing(mid, radius + own) + 2 * (n + 3) * _U64 * radius
        )
        gen = _sum(one @ b[:, None], a[:, None] @ two, mid.shape)
        lost = here.lost.any(axis=-1, keepdims=True) | o.lost.any(axis=-2, keepdims=True)
        return Affine(self.model, self.symbols, mid, gen, loc, lost, n, positions)

    @property
    def _named(self) -> Affine:
        """The same with a symbol for every local error."""
        gen, nothing = self._with_symbols(), np.zeros(self.shape)
        return Affine(self.model, self.symbols, self.mid, gen, nothing, self.lost, self.terms, self.positions)

    def _with_symbols(self, positions: int | None = None) -> Array:
        """Return the generators with one more symbol for each neuron, for its local error."""
        m, known, *case = self.gen.shape
        positions = self.positions if positions is None else positions
        if not self.loc.any():
            return self.gen
        n = math.prod(case)
        first, rows = self.symbols.count, np.arange(m)[:, None]
        self.symbols.count += positions * n
        gen = np.zeros((m, first + positions * n, *case))
        gen[:, :known] = self.gen
        each = np.arange(n)
        flat = gen.reshape(m, first + positions * n, n)
        flat[rows, first + (rows % positions) * n + each, each] = self.loc.reshape(m, n)
        return gen

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
        loc = own + self.model.closing(mid, radius + own) + 2 * n * _U64 * radius
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
        below = (ball.mid - self.mid).astype(np.float64) * (1 - 4 * _U64) >= self.spread + spread
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
        gen = np.zeros((len(self.mid), 0, *self.mid.shape[1:]))
        full = np.full(self.shape, value, self.model.midpoint)
        return Affine(self.model, self.symbols, full, gen, np.full(self.shape, err))

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
        placed = gathered(named.gen, index).reshape(m, known, positions, seen)
        gen = placed.swapaxes(1, 2).reshape(m * positions, known, seen)
        return named._rearranged(lambda array: gathered(array, index), gen, self.positions * positions)

    def scatter_add(self, index: Array, n: int) -> Affine:
        """Add up what an index says about n numbers; each local error is in one sum, and stays local."""
        found, one = uses(index, n), self._of_one(len(index))
        mid, loc, spread = (found.terms(array).sum(axis=-1) for array in (one.mid, one.loc, one.spread))
        gen = found.terms(one._by_example(found.positions)).sum(axis=-1)[:, :, 0]
        lost = np.asarray(found.terms(one.lost, False).any(axis=-1))
        positions = max(1, one.positions // found.positions)
        if found.most <= 1:
            return Affine(self.model, self.symbols, mid, gen, loc, lost, self.terms, positions)
        size = found.terms(np.abs(one.mid).astype(np.float64) + one.spread).sum(axis=-1)
        own = self.model.summed(found.most - 1, found.most, size)
        own = np.where(found.somewhere, own + self.model.closing(mid, spread + own), 0.0)
        loc = loc + own + 2 * found.most * _U64 * spread
        return Affine(self.model, self.symbols, mid, gen, loc, lost, positions=positions)

    def in_matrices(self, rows: int) -> Affine:
        """Take every so many rows as a matrix of their own."""
        one = self._of_one(rows)
        return one._rearranged(
            lambda array: matrices(array, rows), one._by_example(rows), max(1, one.positions // rows)
        )

    def in_rows(self) -> Affine:
        """Undo ``in_matrices``."""
        m, known, rows, n = self.gen.shape
        gen = self.gen.swapaxes(1, 2).reshape(m * rows, known, n)
        return self._rearranged(rows_of, gen, self.positions * rows)

    def _by_example(self, rows: int) -> Array:
        """Return the generators (m, S, rows, n) of examples that have so many rows each."""
        m, known, n = self.gen.shape
        return self.gen.reshape(m // rows, rows, known, n).swapaxes(1, 2)

    def divided(self, m: int) -> Affine:
        """Divide by the batch size, wherever in the computation and however an implementation does it."""
        mid, gen, loc = self.mid / m, self.gen / m, self.loc / m
        size = np.abs(mid).astype(np.float64) + self.spread / m
        return self._new(
            mid, gen, loc + (self.model.several(REDUCTION_ROUNDINGS) + 2 * _U64) * size + self.model.eta
        )

    def in_any_order(self, upstream: Affine, amplification: Array | float, growth: Array | float) -> Affine:
        """Allow this product upstream ⊙ σ′ to be multiplied factor by factor, in any order, as for a Ball."""
        outside = ~(upstream.size * growth <= self.model.largest)
        grown = self._new(
            self.mid, self.gen, self.loc + self.model.eta * np.where(outside, 1, amplification), upstream
        )
        return self._all(grown.mid, grown.gen, grown.loc, grown.lost | outside)

    def apply(self, function: Scalar, order: int, exact: Sequence[Affine]) -> Affine:
        """Evaluate a scalar function's derivative of that order: its own derivative carries the symbols.

        f(z) = f(mid) + f′(mid) (z - mid) plus at most (sup |f′ - f′(mid)|) rad, and the largest rounding error of
        any formula. Where a kink is met, where that is wider than the Ball's enclosure, or where it is not finite,
        the Ball's is taken, and the symbols end.
        """
        ball = self.ball.apply(function, order, [one.ball for one in exact])
        radius = self.spread
        mid, gen_scale = ball.mid.copy(), np.zeros(self.shape)
        loc = ball.rad.copy()
        with np.errstate(all="ignore"):
            lo, hi = self.ball.ends()
            met = [self.ball.meets(piece, lo, hi) for piece in function.pieces]
            for piece, here in zip(function.pieces, met, strict=True):
                inside = here & (np.sum(met, axis=0) == 1)
                if inside.any():
                    value, slope, rest = self._linear(piece, order, exact, lo, hi, radius)
                    better = inside & np.isfinite(rest) & (np.abs(slope) * radius + rest < 2 * ball.rad)
                    mid = np.where(better, value, mid)
                    gen_scale = np.where(better, slope, gen_scale)
                    loc = np.where(better, rest + np.abs(slope) * self.loc, loc)
        lost = self.lost | ~np.isfinite(loc)
        gen = self.gen * gen_scale[:, None]
        return self._all(mid, gen, np.where(lost, 0, loc), lost)

    def _linear(
        self, piece: Piece, order: int, exact: Sequence[Affine], lo: Array, hi: Array, radius: Array
    ) -> tuple[Array, Array, Array]:
        """Return f and its derivative at mid, and all that the tangent does not hold."""
        lo, hi = np.clip(lo, piece.lo, piece.hi), np.clip(hi, piece.lo, piece.hi)
        span = Span(self.model, lo, hi)
        known = [Span(self.model, *(one.mid.astype(np.float64),) * 2) for one in exact]
        at = [one.mid for one in exact]
        computed = [formula(span, *known) for formula in piece.formulas(order)]
        err, used = computed[0].err, np.maximum(np.abs(lo), np.abs(hi)) <= piece.within
        for other in computed[1:]:
            err = np.where(used, np.maximum(err, other.err), err)
        centre = np.clip(self.mid, piece.lo, piece.hi)
        steepness = piece.formulas(order + 1)[0]
        slope = np.asarray(steepness(centre, *at), np.float64)
        slopes = steepness(span, *known)
        bend = np.maximum(slopes.hi - slope, slope - slopes.lo) + slopes.err
        flushed = self.model.eta if order == 0 else 0.0
        # A slope is rounded to float64 once, and multiplies the symbols once more.
        rest = bend * radius + err + flushed + 4 * _U64 * np.abs(slope) * radius
        return piece.formulas(order)[0](centre, *at), slope, np.where(radius == 0, err + flushed, rest)

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
        radius = self.spread
        D = radius.max(axis=-1, keepdims=True)
        shifted = self.mid - self.mid.max(axis=-1, keepdims=True)
        s = np.exp(shifted)
        s = np.asarray(s / s.sum(axis=-1, keepdims=True), np.float64)
        gen = self._with_symbols()
        mean = (gen * s[:, None]).sum(axis=-1, keepdims=True)
        own = (gen - mean) * (s[:, None] if relative else 1.0)
        if relative:
            bend, allowed = 2 * D**2 * s * np.exp(2 * D), rounded.rad * np.exp(5 * D)
        else:
            # t, its mean in the sum, and the result's own rounding, where z - max and the result move by 2 D.
            bend, allowed = 0.5 * D**2, rounded.rad + 8 * (2 + self.model.K["log"]) * self.model.unit * D
        n = self.shape[-1]
        lost = np.broadcast_to(self.lost.any(axis=-1, keepdims=True), self.shape)
        slack = 4 * n * _U64 * (radius + D) * (s if relative else 1.0)
        loc = bend + allowed + slack
        return self._all(rounded.mid, own, loc, lost | ~np.isfinite(loc))

    def xlogx(self) -> Affine:
        """x log x for exact x, 0 at 0."""
        ball = self.ball.xlogx()
        return self._all(ball.mid, self.gen, ball.rad, self.lost)


def _positions(*forms: Affine) -> int:
    """Return how many rows of an example share its symbols, where whoever has symbols has as many."""
    named = [one.positions for one in forms if one.gen.shape[1]]
    return named[0] if named else max(one.positions for one in forms)


def _sum(one: Array, other: Array, shape: tuple[int, ...]) -> Array:
    """Add generators of the first few symbols of a run; whoever has fewer has zeros for the rest."""
    m, *case = shape
    total = np.zeros((m, max(one.shape[1], other.shape[1]), *case))
    for gen in (one, other):
        if gen.shape[1]:
            total[:, : gen.shape[1]] += gen
    return total
