"""Propagation: what has to become of a NaN or an infinity, where no radius can say anything.

IEEE 754 settles it for products and sums: a NaN stays one, an infinity stays one unless it meets zero or its
opposite. Through an activation a NaN stays one, and an infinity becomes what every formula of the activation makes
of it. A derivative may be a mask, as relu's is: where it may vanish, a NaN that is multiplied by it may become 0.
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
from .rounding.model import model
from .steps import Step


@dataclass(frozen=True)
class Propagated:
    """What must come out of a link: NaN or ±infinity, and 0 where any number may.

    ``or_zero``: where a mask may have stopped the NaN, and 0 is as right.
    """

    must: Array
    or_zero: Array

    def kept(self, result: Array) -> Array:
        """Tell where it came out as it must."""
        infinite = np.isinf(self.must) & (self.must == result)
        return np.asarray(
            infinite | (np.isnan(self.must) & (np.isnan(result) | (self.or_zero & (result == 0))))
        )

    def vanished(self, result: Array) -> Array:
        """Tell where it became a number, or the opposite infinity."""
        return np.asarray((self.must != 0) & ~self.kept(result) & ~np.isnan(result))


def propagated(case: Case, own: Gradients, name: str) -> Propagated | None:
    """Return what must come out of a link; None where nothing is known.

    ``own`` is the implementation's answer, and ``name`` one of its arrays; known is what follows from numbers that it
    answered.
    """
    wide, known = model(case.precision).midpoint, named(case.parameters, case.x, case.y) | own.tensors()

    def widened(taken: Name) -> Array | None:
        return known[taken].astype(wide) if taken in known else None

    steps = flow(case.architecture, case.batch).replaced(lambda step: _rule(case, step))
    with np.errstate(all="ignore"):
        found = steps.link(name, widened)
    if found is None:
        return None
    return found if isinstance(found, Propagated) else _exactly(np.asarray(found))


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


def _exactly(found: Array) -> Propagated:
    must = np.where(np.isfinite(found), 0.0, found).astype(np.float64)
    return Propagated(must, np.zeros(must.shape, bool))


def _through_cost(a: Array, y: Array) -> Propagated:
    """A NaN for which there is a target makes the cost one; targets of 0 may leave it out, as in 0 log a."""
    must = np.array(np.nan if np.any(np.isnan(a) & (y != 0)) else 0.0)
    return Propagated(must, np.zeros((), bool))


def _of_cost(cost: CostFunction, a: Array, y: Array) -> Array:
    """Return NaN where ∇C must be one: where a is and ∇C depends on it, and cannot be a mask."""
    spoilt = np.isnan(a) & (y != 0) & np.isnan(cost.gradient(a, y)) & (not cost.masks)
    return np.where(spoilt, np.nan, np.zeros(a.shape))


def _through_activation(sigma: Activation, z: Array) -> Array:
    if not isinstance(sigma, Elementwise):
        return np.where(np.isnan(z).any(axis=1, keepdims=True), np.nan, np.zeros(z.shape))
    found = np.where(np.isnan(z), np.nan, 0.0)
    for end, piece in ((-np.inf, sigma.scalar.pieces[0]), (np.inf, sigma.scalar.pieces[-1])):
        limits = [float(formula(np.array([end], z.dtype))[0]) for formula in piece.formulas(0)]
        if len(set(map(str, limits))) == 1:
            found = np.where(z == end, limits[0], found)
    return found


def _through_slope(precision: str, sigma: Activation, upstream: Array, z: Array) -> Propagated:
    nowhere = np.zeros(z.shape, bool)
    if not isinstance(sigma, Elementwise):
        spoilt = np.isnan(upstream).any(axis=1, keepdims=True) | np.isnan(z).any(axis=1, keepdims=True)
        return Propagated(np.where(spoilt, np.nan, np.zeros(z.shape)), nowhere)
    linear = len(sigma.scalar.pieces) == 1 and sigma.scalar.masks
    finite = np.isfinite(z)
    slope = sigma.scalar.slope(Ball.exact(model(precision), np.where(finite, z, np.ones_like(z))))
    certain = (finite | linear) & (np.abs(slope.mid) > slope.rad * INFLATION)  # on a kink it is not
    must = np.where(certain, upstream * np.sign(slope.mid), 0.0)
    masked = np.isnan(upstream) & ~certain
    spoilt = np.isnan(z) & (not sigma.scalar.masks)
    must = np.where(masked | spoilt, np.nan, np.where(np.isfinite(must), 0.0, must)).astype(np.float64)
    return Propagated(must, masked & ~spoilt)
