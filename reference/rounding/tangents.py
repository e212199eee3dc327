"""Tangents: what a function makes of an affine form, and all that the tangent does not hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..array import Array
from ..scalar import Piece, Scalar
from .balls import Ball
from .spans import Span

#: u of the generators' own arithmetic.
U64 = 2.0**-53


def tangents(
    function: Scalar,
    order: int,
    around: Ball,
    exact: Sequence[Array],
    radius: Array,
    local: Array,
    ball: Ball,
) -> tuple[Array, Array, Array]:
    """Return the middle, the slope that carries the symbols, and what else a function of that order may be off.

    f(z) = f(mid) + f′(mid) (z - mid) plus at most (sup |f′ - f′(mid)|) rad, and the largest rounding error of
    any formula. Where a kink is met, where that is wider than the Ball's enclosure, or where it is not finite,
    the Ball's is taken, and the symbols end.
    """
    mid, carrying, loc = ball.mid.copy(), np.zeros(ball.shape), ball.rad.copy()
    with np.errstate(all="ignore"):
        lo, hi = around.ends()
        met = [around.meets(piece, lo, hi) for piece in function.pieces]
        for piece, here in zip(function.pieces, met, strict=True):
            inside = here & (np.sum(met, axis=0) == 1)
            if inside.any():
                value, slope, rest = tangent(piece, order, around, exact, radius)
                better = inside & np.isfinite(rest) & (np.abs(slope) * radius + rest < 2 * ball.rad)
                mid = np.where(better, value, mid)
                carrying = np.where(better, slope, carrying)
                loc = np.where(better, rest + np.abs(slope) * local, loc)
    return mid, carrying, loc


def tangent(
    piece: Piece, order: int, around: Ball, exact: Sequence[Array], radius: Array
) -> tuple[Array, Array, Array]:
    """Return f and its derivative at the middle of a ball, and all that the tangent does not hold."""
    model, (lo, hi) = around.model, around.ends()
    lo, hi = np.clip(lo, piece.lo, piece.hi), np.clip(hi, piece.lo, piece.hi)
    span = Span(model, lo, hi)
    known = [Span(model, *(one.astype(np.float64),) * 2) for one in exact]
    computed = [formula(span, *known) for formula in piece.formulas(order)]
    err, used = computed[0].err, np.maximum(np.abs(lo), np.abs(hi)) <= piece.within
    for other in computed[1:]:
        err = np.where(used, np.maximum(err, other.err), err)
    centre = np.clip(around.mid, piece.lo, piece.hi)
    steepness = piece.formulas(order + 1)[0]
    slope = np.asarray(steepness(centre, *exact), np.float64)
    slopes = steepness(span, *known)
    bend = np.maximum(slopes.hi - slope, slope - slopes.lo) + slopes.err
    flushed = model.eta if order == 0 else 0.0
    # A slope is rounded to float64 once, and multiplies the symbols once more.
    rest = bend * radius + err + flushed + 4 * U64 * np.abs(slope) * radius
    return piece.formulas(order)[0](centre, *exact), slope, np.where(radius == 0, err + flushed, rest)


def coupled(
    mid: Array, generators: Array, radius: Array, rounded: Ball, relative: bool
) -> tuple[Array, Array]:
    """Return what the Jacobian of softmax, or of log_softmax, makes of the generators, and all that it does not hold.

    ``rounded`` is the function of the middle, with its rounding; softmax's is ``relative`` to itself.
    """
    D = radius.max(axis=-1, keepdims=True)
    shifted = mid - mid.max(axis=-1, keepdims=True)
    s = np.exp(shifted)
    s = np.asarray(s / s.sum(axis=-1, keepdims=True), np.float64)
    mean = (generators * s[:, None]).sum(axis=-1, keepdims=True)
    own = (generators - mean) * (s[:, None] if relative else 1.0)
    if relative:
        bend, allowed = 2 * D**2 * s * np.exp(2 * D), rounded.rad * np.exp(5 * D)
    else:
        # t, its mean in the sum, and the result's own rounding, where z - max and the result move by 2 D.
        bend, allowed = 0.5 * D**2, rounded.rad + 8 * (2 + rounded.model.K["log"]) * rounded.model.unit * D
    slack = 4 * mid.shape[-1] * U64 * (radius + D) * (s if relative else 1.0)
    return own, bend + allowed + slack
