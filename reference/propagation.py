"""Propagation: what has to become of a NaN or an infinity, where no radius can say anything.

IEEE 754 settles it for products and sums: a NaN stays one, an infinity stays one unless it meets zero or its
opposite. Through an activation a NaN stays one, and an infinity becomes what every formula of the activation makes
of it. A derivative may be a mask, as relu's is: where it may vanish, a NaN that is multiplied by it may become 0.

Two things are left to whoever answers. A kernel may drop the terms of a product of which one factor is 0, whatever the
other is; many do. And an infinity that was returned may have been a number before it was rounded, too large for the
precision: so what becomes of it may be a number as well, if a large one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .activations import Activation, Elementwise, activation
from .backprop import flow, named
from .costs import CostFunction, cost_function
from .interval import INFLATION
from .names import Name
from .network import Array, Case, Gradients
from .rounding.balls import Ball
from .rounding.model import Model, model
from .steps import Step


@dataclass(frozen=True)
class Propagated:
    """What must come out of a link: NaN or ±infinity, and 0 where any number may.

    ``or_zero``: where a mask may have stopped the NaN, and 0 is as right. ``or_from``: where the infinity may be a
    number of its sign, no smaller than this; infinite where it may not. ``may``: what IEEE arithmetic makes of it, NaN
    and ±infinity, which is right even where it need not be so. Whoever drops terms with a factor 0 has instead, where
    ``off`` is finite, the number ``without``, or one that is no further ``off``.
    """

    must: Array
    or_zero: Array
    or_from: Array
    may: Array
    without: Array
    off: Array

    def kept(self, result: Array) -> Array:
        """Tell where it came out as it must, as IEEE arithmetic has it, or as without terms that have a factor 0."""
        same = (np.isnan(self.may) & np.isnan(result)) | (np.isinf(self.may) & (self.may == result))
        infinite = np.isinf(self.must) & (self.must == result)
        nothing = np.isnan(self.must) & (np.isnan(result) | (self.or_zero & (result == 0)))
        close = np.isfinite(self.off) & (np.abs(result - self.without) <= self.off)
        return np.asarray(same | infinite | nothing | close)

    def vanished(self, result: Array) -> Array:
        """Tell where it became a number that it cannot be, or the opposite infinity."""
        large = (np.sign(self.must) == np.sign(result)) & (np.abs(result) >= self.or_from)
        # A zero may have been a number before it was rounded, and an infinity times that is one.
        known = (self.must != 0) | (np.isfinite(self.off) & np.isfinite(result))
        return np.asarray(known & ~self.kept(result) & ~np.isnan(result) & ~large)

    def said(self, index: tuple[int, ...]) -> str:
        """Say what must come out in one place, for a person."""
        must, number = float(self.must[index]), float(self.without[index])
        if must != 0:
            return str(must)
        return f"{float(self.may[index])}, or {number!r} without terms that have a factor 0"


def propagated(case: Case, own: Gradients, name: str) -> Propagated | None:
    """Return what must come out of a link; None where nothing is known.

    ``own`` is the implementation's answer, and ``name`` one of its arrays; known is what follows from numbers that it
    answered.
    """
    arithmetic, given, answered = model(case.precision), named(case.parameters, case.x, case.y), own.tensors()
    wide, steps = arithmetic.midpoint, flow(case.architecture, case.batch)

    def widened(taken: Name) -> Array | None:
        found = given[taken] if taken in given else answered.get(taken)
        return None if found is None else found.astype(wide)

    def at_least(taken: Name) -> Array | None:
        """Return the same with numbers for infinities that were answered, no larger than they must have been."""
        found = widened(taken)
        if found is None or taken in given:
            return found
        return np.where(np.isinf(found), np.copysign(arithmetic.largest, found), found)

    with np.errstate(all="ignore"):
        may = steps.replaced(lambda step: _rule(case, step)).link(name, widened)
        must = steps.replaced(lambda step: _dropping(case.precision, step) or _rule(case, step)).link(
            name, at_least
        )
        if may is None or must is None:
            return None
        both = (one if isinstance(one, _Found) else _exactly(np.asarray(one)) for one in (may, must))
        return _together(*both)


@dataclass(frozen=True)
class _Found:
    """What becomes of numbers: NaN, an infinity or a number, and how far the number may be off, if that is known.

    ``or_zero``: where a mask may have stopped a NaN.
    """

    value: Array
    or_zero: Array
    off: Array | float = np.inf


def _together(may: _Found, must: _Found) -> Propagated:
    """Put together what IEEE arithmetic makes of what was answered, and what is certain."""
    infinite = np.isinf(may.value) & np.isfinite(must.value) & (np.sign(may.value) == np.sign(must.value))
    certain = np.where(infinite, may.value, np.where(np.isfinite(must.value), 0.0, must.value))
    # What was rounded to infinity was half a unit of the last place below it at least.
    least = np.where(infinite, np.abs(must.value) / 2, np.inf)
    other = np.where(np.isfinite(may.value), 0.0, may.value)
    or_zero = np.where(np.isnan(must.value), must.or_zero, may.or_zero)
    found = (certain.astype(np.float64), or_zero, least.astype(np.float64), other.astype(np.float64))
    off = np.where(np.isfinite(must.value) & ~infinite, must.off, np.inf)
    return Propagated(*found, np.where(np.isfinite(off), must.value, 0.0), off.astype(np.float64))


def _dropping(precision: str, step: Step) -> Callable[..., Any] | None:
    """Return a product of which terms that have a factor 0 are dropped."""
    match step.makes.kind:
        case "p":
            return lambda a, W: _without_zeros(a, W.mT)
        case "said":
            return _without_zeros
        case "dW":
            return partial(_gradient_without_zeros, model(precision))
    return None


def _gradient_without_zeros(arithmetic: Model, delta: Array, a: Array) -> _Found:
    """Return δ^T a without terms of zeros, and how far it may be off where such a term has an infinity that was given.

    A sum of which any order is as right, of numbers that were each rounded.
    """
    value, plain = _without_zeros(delta.mT, a), delta.mT @ a
    size = _without_zeros(np.abs(delta.mT), np.abs(a)).astype(np.float64)
    terms = delta.shape[-2] + 4
    off = terms * arithmetic.unit * size + terms * arithmetic.eta
    # Each number may have been flushed, which takes as much from its product with the other.
    sizes = [np.where(np.isfinite(one), np.abs(one), 0.0).astype(np.float64) for one in (delta, a)]
    off = off + arithmetic.eta * (sizes[0].sum(axis=-2)[..., :, None] + sizes[1].sum(axis=-2)[..., None, :])
    return _Found(value, np.zeros(value.shape, bool), np.where(np.isfinite(plain), np.inf, INFLATION * off))


def _without_zeros(one: Array, other: Array) -> Array:
    """Multiply two matrices: a NaN that meets a zero spoils nothing, nor does an infinity."""
    finite = [np.where(np.isfinite(array), array, 0.0) for array in (one, other)]
    signs = [np.sign(np.where(np.isnan(array), 0.0, array)) for array in (one, other)]
    large, nan = [np.isinf(array) for array in (one, other)], [np.isnan(array) for array in (one, other)]
    spoilt = nan[0] @ (nan[1] | (other != 0)) | (one != 0) @ nan[1]
    # An infinity counts with the sign of its factor, and so does one of both.
    pairs = [(large[0] * signs[0], signs[1]), (signs[0] * ~large[0], large[1] * signs[1])]
    up = sum((np.maximum(a, 0) @ np.maximum(b, 0) + np.maximum(-a, 0) @ np.maximum(-b, 0) for a, b in pairs))
    down = sum(
        (np.maximum(a, 0) @ np.maximum(-b, 0) + np.maximum(-a, 0) @ np.maximum(b, 0) for a, b in pairs)
    )
    infinite = np.where(up > 0, np.where(down > 0, np.nan, np.inf), np.where(down > 0, -np.inf, 0.0))
    return np.asarray(np.where(spoilt, np.nan, infinite + finite[0] @ finite[1]))


def _rule(asked: Case, step: Step) -> Callable[..., Any] | None:
    """Return what a function makes of a NaN or an infinity; products and sums do what they must by themselves."""
    network, made = asked.architecture, step.makes
    match made.kind:
        case "total":
            return _through_cost
        case "cost":  # a mean changes nothing
            return lambda total: total
        case "nabla":
            return partial(_of_cost, cost_function(network.cost))
        case "a":
            return partial(_through_activation, activation(network.layers[made.layer - 1]))
        case "delta":
            return partial(_through_slope, asked.precision, activation(network.layers[made.layer - 1]))
    return None


def _exactly(found: Array) -> _Found:
    return _Found(found, np.zeros(found.shape, bool))


def _through_cost(a: Array, y: Array) -> _Found:
    """A NaN for which there is a target makes the cost one; targets of 0 may leave it out, as in 0 log a."""
    return _exactly(np.array(np.nan if np.any(np.isnan(a) & (y != 0)) else 0.0))


def _of_cost(cost: CostFunction, a: Array, y: Array) -> Array:
    """Return NaN where ∇C must be one: where a is and ∇C depends on it, and cannot be a mask."""
    spoilt = np.isnan(a) & (y != 0) & np.isnan(cost.gradient(a, y)) & (not cost.masks)
    return np.where(spoilt, np.nan, np.zeros(a.shape))


def _through_activation(sigma: Activation, z: Array) -> Array:
    if not isinstance(sigma, Elementwise):
        return np.where(np.isnan(z).any(axis=1, keepdims=True), np.nan, np.zeros(z.shape))
    found = np.where(np.isnan(z), np.nan, np.where(np.isfinite(z), sigma.value(z), 0.0))
    for end, piece in ((-np.inf, sigma.scalar.pieces[0]), (np.inf, sigma.scalar.pieces[-1])):
        limits = [float(formula(np.array([end], z.dtype))[0]) for formula in piece.formulas(0)]
        if len(set(map(str, limits))) == 1:
            found = np.where(z == end, limits[0], found)
    return found


def _through_slope(precision: str, sigma: Activation, upstream: Array, z: Array) -> _Found:
    nowhere = np.zeros(z.shape, bool)
    if not isinstance(sigma, Elementwise):
        spoilt = np.isnan(upstream).any(axis=1, keepdims=True) | np.isnan(z).any(axis=1, keepdims=True)
        return _Found(np.where(spoilt, np.nan, np.zeros(z.shape)), nowhere)
    linear = len(sigma.scalar.pieces) == 1 and sigma.scalar.masks
    finite = np.isfinite(z)
    slope = sigma.scalar.slope(Ball.exact(model(precision), np.where(finite, z, np.ones_like(z))))
    certain = (finite | linear) & (np.abs(slope.mid) > slope.rad * INFLATION)  # on a kink it is not
    must = np.where(certain, upstream * slope.mid, 0.0)
    masked = np.isnan(upstream) & ~certain
    spoilt = np.isnan(z) & (not sigma.scalar.masks)
    return _Found(np.where(masked | spoilt, np.nan, must), masked & ~spoilt)
