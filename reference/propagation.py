"""Propagation: what has to become of a NaN or an infinity, where no radius can say anything.

IEEE 754 settles it for products and sums: a NaN stays one, an infinity stays one unless it meets zero or its
opposite. Through an activation a NaN stays one, and an infinity becomes what every formula of the activation makes
of it. A derivative may be a mask, as relu's is, so it lets a NaN through only where it is certainly not zero.
"""

from __future__ import annotations

import numpy as np

from .activations import Elementwise, activation
from .enclosure import Chain
from .network import Array, Case, Gradients
from .rounding.balls import Ball
from .rounding.model import model


def propagated(case: Case, own: Gradients, name: str) -> Array | None:
    """Give what must come out of a link: NaN or ±infinity, and 0 where any number may; None where nothing is known.

    ``own`` is the implementation's answer, with z, a and δ, and ``name`` one of its arrays.
    """
    if own.z is None or own.a is None or own.delta is None or name == "cost":
        return None
    wide = model(case.precision).midpoint

    def widened(array: Array) -> Array:
        return array.astype(wide)

    kind, l = name.rstrip("0123456789"), int(name.lstrip("abdeltzW"))
    with np.errstate(all="ignore"):
        found: Array
        if kind == "a":
            found = _through_activation(case, own.z[l - 1], l)
        elif kind == "delta":
            if l == case.architecture.depth:
                return None
            upstream = widened(own.delta[l]) @ widened(case.parameters.weights[l])
            found = _through_slope(case, upstream, own.z[l - 1], l)
        else:
            chain = Chain(case, own, widened, lambda _, array: widened(array), lambda one: one.mid)
            found = np.asarray(chain.link(name))
        return np.where(np.isfinite(found), 0.0, found).astype(np.float64)


def _through_activation(case: Case, z: Array, l: int) -> Array:
    sigma = activation(case.architecture.layers[l - 1])
    if not isinstance(sigma, Elementwise):
        return np.where(np.isnan(z).any(axis=1, keepdims=True), np.nan, np.zeros(z.shape))
    found = np.where(np.isnan(z), np.nan, 0.0)
    for end, piece in ((-np.inf, sigma.scalar.pieces[0]), (np.inf, sigma.scalar.pieces[-1])):
        limits = [float(formula(np.array([end], z.dtype))[0]) for formula in piece.formulas(0)]
        if len(set(map(str, limits))) == 1:
            found = np.where(z == end, limits[0], found)
    return found


def _through_slope(case: Case, upstream: Array, z: Array, l: int) -> Array:
    sigma = activation(case.architecture.layers[l - 1])
    if not isinstance(sigma, Elementwise):
        return np.where(np.isnan(upstream).any(axis=1, keepdims=True), np.nan, np.zeros(z.shape))
    finite = np.isfinite(z)
    slope = sigma.scalar.slope(Ball.exact(model(case.precision), np.where(finite, z, np.ones_like(z))))
    certain = finite & (np.abs(slope.mid) > slope.rad)
    return np.where(certain, upstream * np.sign(slope.mid), 0.0)
