"""Affine forms: arrays that remember which error came from where, so that errors can cancel as they do in truth.

A Ball takes absolute values at every layer, and its radius grows like the product of the weights' norms. Here
every local rounding error becomes a *symbol*, an unknown in [-1, 1] that is carried through the signed
Jacobians; absolute values are taken once, at the end (zonotopes; de Figueiredo and Stolfi, Affine arithmetic,
2004). Examples do not meet before BP3 and BP4, so every example has symbols of its own, and the two gradients
take the radii of δ and a and go on as Balls.

The generators are float64. What their own rounding may lose is added as an error wherever signs may cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..network import Array
from .balls import Ball
from .model import REDUCTION_ROUNDINGS, Model, flushed
from .spans import Span

if TYPE_CHECKING:
    from ..scalar import Piece, Scalar

#: u of the generators' own arithmetic.
_U64 = 2.0**-53


class Symbols:
    """How many symbols a run has handed out so far."""

    count = 0


class Affine:
    """mid + Σ_s gen_s ε_s ± loc, for a batch.

    mid is (m, n); gen is (m, S, n) for the first S symbols of the run; loc (m, n) is the error made since the
    last matrix product, independent from neuron to neuron, which is what makes it a symbol of its own at the
    next. ``lost`` (m, n) marks what may not be finite, of which nothing is known.
    """

    __array_ufunc__ = None

    def __init__(
        self,
        model: Model,
        symbols: Symbols,
        mid: Array,
        gen: Array,
        loc: Array,
        lost: Array | None = None,
        terms: int = 1,
    ) -> None:
        self.model, self.symbols, self.mid, self.terms = model, symbols, mid, terms
        self.gen, shape = gen, mid.shape
        spread = np.abs(gen).sum(axis=1) + loc
        unknown = ~(np.abs(mid) + spread <= model.largest)
        self.lost = unknown if lost is None else unknown | np.broadcast_to(lost, shape)
        if self.lost.any():
            self.mid = np.where(self.lost, 0, mid)
            self.gen = np.where(self.lost[:, None, :], 0, gen)
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
    def shape(self) -> tuple[int, ...]:
        """(m, n)."""
        return self.mid.shape

    @property
    def mT(self) -> Ball:
        """The transpose, which mixes examples in what follows, so it is a Ball."""
        return self.ball.mT

    def _new(self, mid: Array, gen: Array, loc: Array, *others: Affine, terms: int = 1) -> Affine:
        lost = self.lost
        for other in others:
            lost = lost | other.lost
        return Affine(self.model, self.symbols, mid, gen, loc, lost, terms)

    def _lift(self, other: Any) -> Affine:
        if isinstance(other, Affine):
            return other
        given = np.atleast_2d(np.asarray(other, self.model.midpoint))  # a bias is the same for every example
        return Affine(
            self.model, self.symbols, given, np.zeros((len(given), 0, given.shape[1])), np.zeros(given.shape)
        )

    def __neg__(self) -> Affine:
        return self._new(-self.mid, -self.gen, self.loc)

    def __add__(self, other: Any) -> Affine:
        o = self._lift(other)
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

    def __sub__(self, other: Any) -> Affine:
        return self + -self._lift(other)

    def __rsub__(self, other: Any) -> Affine:
        return self._lift(other) - self

    def __mul__(self, other: Any) -> Affine:
        o = self._lift(other)
        mid = self.mid * o.mid
        a, b = self.mid.astype(np.float64), o.mid.astype(np.float64)
        gen = _sum(self.gen * b[:, None, :], o.gen * a[:, None, :], mid.shape)
        a, b, ra, rb = np.abs(a), np.abs(b), self.spread, o.spread
        carried = self.loc * b + o.loc * a + ra * rb
        size = np.abs(mid).astype(np.float64) + ra * b + rb * a + ra * rb
        own = self.model.unit * size + 4 * _U64 * (ra * b + rb * a) + self.model.eta
        return self._new(mid, gen, carried + own, o)

    def __rmul__(self, other: Any) -> Affine:
        return self._lift(other) * self

    def __matmul__(self, other: Array) -> Affine:
        """Multiply by known weights (n, k): here what was local becomes symbols."""
        known = np.asarray(other, self.model.midpoint)
        weights, n = known.astype(np.float64), self.shape[1]
        gen = self._with_symbols()
        size = np.abs(weights)
        radius = self.spread @ size
        reach, lost_weights = np.abs(self.mid).astype(np.float64) + self.spread, flushed(self.model, weights)
        own = self.model.summed(n + 1, n, reach @ size)
        if lost_weights.any():
            own = own + reach @ lost_weights
        mid = self.mid @ known
        loc = own + self.model.closing(mid, radius + own) + 2 * n * _U64 * radius
        lost = np.broadcast_to(self.lost.any(axis=1, keepdims=True), (self.shape[0], known.shape[1]))
        carried = (gen.reshape(-1, n) @ weights).reshape(*gen.shape[:2], weights.shape[1])
        return Affine(self.model, self.symbols, mid, carried, loc, lost, terms=n)

    def _with_symbols(self) -> Array:
        """Give the generators with one more symbol for each neuron, for its local error."""
        m, known, n = self.gen.shape
        if not self.loc.any():
            return self.gen
        first = self.symbols.count
        self.symbols.count += n
        gen = np.zeros((m, first + n, n))
        gen[:, :known] = self.gen
        each = np.arange(n)
        gen[:, first + each, each] = self.loc
        return gen

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Sum in any order; over examples or over everything, errors go on as a Ball."""
        if axis != -1:
            return self.ball.sum(axis=axis, keepdims=keepdims)
        gen, n = self._with_symbols(), self.shape[1]
        mid, size, radius = (
            array.sum(axis=1, keepdims=True)
            for array in (self.mid, np.abs(self.mid).astype(np.float64) + self.spread, self.spread)
        )
        own = self.model.summed(n - 1, n, size)
        loc = own + self.model.closing(mid, radius + own) + 2 * n * _U64 * radius
        lost = self.lost.any(axis=1, keepdims=True)
        return Affine(self.model, self.symbols, mid, gen.sum(axis=2, keepdims=True), loc, lost)

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
        return Affine(self.model, self.symbols, grown.mid, grown.gen, grown.loc, grown.lost | outside)

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
        gen = self.gen * gen_scale[:, None, :]
        return Affine(self.model, self.symbols, mid, gen, np.where(lost, 0, loc), lost)

    def _linear(
        self, piece: Piece, order: int, exact: Sequence[Affine], lo: Array, hi: Array, radius: Array
    ) -> tuple[Array, Array, Array]:
        """Give f and its derivative at mid, and all that the tangent does not hold."""
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
        D = radius.max(axis=1, keepdims=True)
        shifted = self.mid - self.mid.max(axis=1, keepdims=True)
        s = np.exp(shifted)
        s = np.asarray(s / s.sum(axis=1, keepdims=True), np.float64)
        gen = self._with_symbols()
        mean = (gen * s[:, None, :]).sum(axis=2, keepdims=True)
        own = (gen - mean) * (s[:, None, :] if relative else 1.0)
        if relative:
            bend, allowed = 2 * D**2 * s * np.exp(2 * D), rounded.rad * np.exp(5 * D)
        else:
            # t, its mean in the sum, and the result's own rounding, where z - max and the result move by 2 D.
            bend, allowed = 0.5 * D**2, rounded.rad + 8 * (2 + self.model.K["log"]) * self.model.unit * D
        n = self.shape[1]
        lost = np.broadcast_to(self.lost.any(axis=1, keepdims=True), self.shape)
        slack = 4 * n * _U64 * (radius + D) * (s if relative else 1.0)
        loc = bend + allowed + slack
        return Affine(self.model, self.symbols, rounded.mid, own, loc, lost | ~np.isfinite(loc))

    def xlogx(self) -> Affine:
        """x log x for exact x, 0 at 0."""
        ball = self.ball.xlogx()
        return Affine(self.model, self.symbols, ball.mid, self.gen, ball.rad)


def _sum(one: Array, other: Array, shape: tuple[int, ...]) -> Array:
    """Add generators of the first few symbols of a run; whoever has fewer has zeros for the rest."""
    m, n = shape
    if not one.shape[1] and not other.shape[1]:
        return np.zeros((m, 0, n))
    total = np.zeros((m, max(one.shape[1], other.shape[1]), n))
    total[:, : one.shape[1]] += one
    total[:, : other.shape[1]] += other
    return total
