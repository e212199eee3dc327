"""Enclosures: for every component of an answer, the interval that holds every correct result.

Backpropagation itself (backprop.py), run on arrays that carry their rounding error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import names
from .any_order import radii
from .backprop import flow, named
from .costs import cost_function
from .interval import INFLATION, Interval, finite, known, largest, reach, scale, with_the_mean_last
from .names import Name
from .network import Array, Case
from .rounding.affine import Affine
from .rounding.balls import OF_A_CASE, Ball
from .rounding.generators import Symbols
from .rounding.lattice import Lattice, lattice_all
from .rounding.model import model
from .stack import Stack
from .steps import Flow

#: Balls are loose where a radius is more than this share of the array's natural size, or than so many units of u of it.
#: Affine forms cost about three times as much, and gain most where balls have grown with depth and width: over random
#: networks (benchmarks/bounds.py) they find errors a twentieth as large in float64, and half as large in float32.
LOOSE, LOOSE_UNITS = 0.1, 2.0**14


#: Affine forms are not tried beyond so many multiplications, a few seconds' work; there the links are the verdict.
AFFORDABLE = 2**33


def enclose(case: Case, any_order: bool = False) -> dict[str, Interval]:
    """Enclose every array of an answer to a case, by its name in the document (dW1, delta2, cost, ...).

    For an answer of which the chain rule may have been multiplied out in ``any_order``, and not backwards.
    """
    return {name: one.of(0) for name, one in enclose_all(Stack([case]), any_order=any_order).items()}


def enclose_all(stack: Stack, sharp: bool = True, any_order: bool = False) -> dict[str, Interval]:
    """Enclose every array of the answers to a stack of cases, by its name in the document.

    Balls first; where they are loose, and the result is to be ``sharp``, affine forms too, and componentwise the
    smaller of the two. Where nothing is ever rounded, in any order of evaluation, a point. Affine forms follow
    backpropagation, and tell nothing of an answer whose chain rule may have been multiplied out in ``any_order``.
    """
    steps, arithmetic = flow(stack.architecture, stack.batch), model(stack.precision)
    with np.errstate(all="ignore"):
        given = {
            name: known(stack, arithmetic, array)
            for name, array in named(stack.parameters, stack.x, stack.y).items()
        }
        balls = steps.run(given)
        sizes = _natural_sizes(stack, steps, balls)
        found: dict[str, Interval] = {
            name: Interval(balls[name].mid, balls[name].rad * INFLATION, sizes[name], balls[name].kinked)
            for name in steps.answered
        }
        if any_order:
            wider = radii(stack.architecture, steps, balls)
            found |= {name: replace(found[name], rad=rad * INFLATION) for name, rad in wider.items()}
        for i, case in enumerate(stack.cases):
            if sharp and not any_order and _affine_operations(case) <= AFFORDABLE and _loose(case, found, i):
                sharper = affine(case)
                found = {name: _smaller(one, i, sharper[name]) for name, one in found.items()}
        places, points = lattice_all(stack)
        # A cost may be a norm that is squared again, or a running mean; all others are sums and products.
        pinned = [name for name in found if places and steps[name].equation != "cost"]
        found |= {name: _pinned(found[name], places, points[name]) for name in pinned}
        return {name: with_the_mean_last(stack, steps[name], one, reach(one)) for name, one in found.items()}


def _loose(case: Case, found: Mapping[str, Interval], i: int) -> bool:
    """Tell whether some array's balls are loose."""
    loose = min(LOOSE, LOOSE_UNITS * model(case.precision).unit)
    return any(not one.rad[i].max(initial=0.0) <= loose * np.asarray(one.size)[i] for one in found.values())


def _affine_operations(case: Case) -> int:
    """Count the multiplications of symbols: each neuron has one for z and one for δ, carried through all layers."""
    network = case.architecture
    weights = sum(int(W.size) for W in case.parameters.weights)
    return 4 * case.batch * sum(network.widths[1:]) * weights


def affine(case: Case) -> dict[str, Affine | Ball]:
    """Run backprop on affine forms; the cost, ∂C/∂b and ∂C/∂W, in which examples meet, come out as Balls."""
    arithmetic, symbols = model(case.precision), Symbols()
    x, y = (Affine.exact(arithmetic, symbols, array) for array in (case.x, case.y))
    given: dict[Name, Any] = named(case.parameters, x, y)
    steps = flow(case.architecture, case.batch)
    with np.errstate(all="ignore"):
        found = steps.run(given, inner=False)  # which have all the symbols, too
    return {name: found[name] for name in steps.answered}


def _smaller(one: Interval, i: int, other: Affine | Ball) -> Interval:
    mid, rad, sharper = one.mid.copy(), one.rad.copy(), other.rad * INFLATION
    smaller = sharper < rad[i]
    mid[i], rad[i] = np.where(smaller, other.mid, mid[i]), np.where(smaller, sharper, rad[i])
    return replace(one, mid=mid, rad=rad)


def _pinned(one: Interval, places: Sequence[int], points: Lattice) -> Interval:
    """Leave one point where every order of evaluation is exact: there the tolerance is zero."""
    mid, rad = one.mid.copy(), one.rad.copy()
    mid[places] = np.where(points.certain, points.value, mid[places])
    rad[places] = np.where(points.certain, 0.0, rad[places])
    return replace(one, mid=mid, rad=rad)


class _Norms:
    """An array of sizes, of which sums take the root of the sum of squares, as those of random signs do."""

    def __init__(self, size: Array) -> None:
        self.size, self.shape = size, size.shape

    @property
    def mT(self) -> _Norms:
        return _Norms(self.size.mT)

    def __matmul__(self, other: _Norms) -> _Norms:
        return _Norms(np.sqrt(self.size**2 @ other.size**2))

    def sum(self, axis: int) -> _Norms:
        return _Norms(np.sqrt(np.sum(self.size**2, axis=axis)))


def _natural_sizes(stack: Stack, steps: Flow, found: Mapping[Name, Ball]) -> dict[str, Array]:
    """Carry root-sum-squares back through the layers with every σ′ replaced by 1; return a size for each case."""
    network = stack.architecture
    m = max(stack.batch, 1) if network.reduction == "mean" else 1
    last, y = network.depth, stack.y.astype(np.float64)
    arrays = {name: np.abs(found[name].mid).astype(np.float64) for name in steps.answered}
    with np.errstate(all="ignore"):
        gradient = cost_function(network.cost).gradient(arrays[names.a(last)], y) / m
        error, least = steps[names.delta(last)], scale(stack, steps[names.delta(last)])[:, None, None]
        arrays[error.makes] = np.maximum(np.maximum(np.abs(gradient), arrays[error.makes]), least)
        given = named(stack.parameters, stack.x, stack.y)
        known = {name: _Norms(np.abs(array).astype(np.float64)) for name, array in given.items()}
        known |= {name: _Norms(array) for name, array in arrays.items()}
        carried = steps.replaced(lambda step: (lambda first, *_: first) if step.function else None)
        arrays |= {name: norms.size for name, norms in carried.run(known, ("BP2", "BP3", "BP4")).items()}
        sizes = {name: largest(arrays[name]) for name in steps.answered}
        cost = names.cost(last)
        sizes[cost] = np.maximum(arrays[cost], np.abs(y).sum(axis=OF_A_CASE) / m)
        sizes |= {
            name: np.maximum(sizes[name], scale(stack, steps[name])) for name in sizes if name.kind == "a"
        }
    # Where squares overflow, or the cost's gradient is infinite, what is finite of the array itself has to do.
    return {
        name: size if np.isfinite(size).all() else np.where(np.isfinite(size), size, finite(found[name].mid))
        for name, size in sizes.items()
    }
