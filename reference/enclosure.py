"""Enclosures: for every component of an answer, the interval that holds every correct result.

Backpropagation itself (backprop.py), run on arrays that carry their rounding error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .any_order import radii
from .backprop import backprop
from .costs import cost_function
from .interval import INFLATION, Interval, finite, known, largest, reach, scale, undivided
from .network import Array, Case, Gradients, Parameters
from .rounding.affine import Affine, Symbols
from .rounding.balls import OF_A_CASE, Ball
from .rounding.lattice import Lattice, lattice_all
from .rounding.model import model
from .stack import Stack

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
    arithmetic = model(stack.precision)
    with np.errstate(all="ignore"):
        weights, biases = (
            tuple(known(stack, arithmetic, array) for array in family)
            for family in (stack.parameters.weights, stack.parameters.biases)
        )
        x, y = (known(stack, arithmetic, array) for array in (stack.x, stack.y))
        answer = backprop(stack.architecture, Parameters(weights, biases), x, y)
        sizes = _natural_sizes(stack, answer)
        found = {
            name: Interval(ball.mid, ball.rad * INFLATION, sizes[name], ball.kinked)
            for name, ball in answer.tensors().items()
        }
        if any_order:
            wider = radii(stack.architecture, Parameters(weights, biases), answer, x, y)
            found |= {name: replace(found[name], rad=rad * INFLATION) for name, rad in wider.items()}
        for i, case in enumerate(stack.cases):
            if sharp and not any_order and _affine_operations(case) <= AFFORDABLE and _loose(case, found, i):
                sharper = affine(case)
                found = {name: _smaller(one, i, sharper[name]) for name, one in found.items()}
        places, points = lattice_all(stack)
        found = {name: _pinned(one, places, points[name]) if places else one for name, one in found.items()}
        return {name: undivided(stack, name, one, reach(one)) for name, one in found.items()}


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
    with np.errstate(all="ignore"):
        return backprop(case.architecture, case.parameters, x, y).tensors()


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


def _natural_sizes(stack: Stack, answer: Gradients) -> dict[str, Array]:
    """Carry root-sum-squares back through the layers with every σ′ replaced by 1; give a size for each case."""
    m = max(stack.batch, 1) if stack.architecture.reduction == "mean" else 1
    z, a, delta = (
        [np.abs(ball.mid).astype(np.float64) for ball in family or ()]
        for family in (answer.z, answer.a, answer.delta)
    )
    W = [np.abs(weights).astype(np.float64) for weights in stack.parameters.weights]
    previous, y = [np.abs(stack.x).astype(np.float64), *a], stack.y.astype(np.float64)
    with np.errstate(all="ignore"):
        gradient = cost_function(stack.architecture.cost).gradient(a[-1], y) / m
        least = scale(stack, f"delta{len(z)}")[:, None, None]
        error = np.maximum(np.maximum(np.abs(gradient), delta[-1]), least)
        cost = 0.0 if answer.cost is None else np.abs(answer.cost.mid).astype(np.float64)
        sizes = {"cost": np.maximum(cost, np.abs(y).sum(axis=OF_A_CASE) / m)}
        for l in reversed(range(stack.architecture.depth)):
            arrays = {
                "z": z[l], "a": a[l], "delta": error,
                "db": np.sqrt(np.sum(error**2, axis=-2)), "dW": np.sqrt((error**2).mT @ previous[l] ** 2),
            }  # fmt: skip
            sizes |= {f"{name}{l + 1}": largest(array) for name, array in arrays.items()}
            sizes[f"a{l + 1}"] = np.maximum(sizes[f"a{l + 1}"], scale(stack, f"a{l + 1}"))
            error = np.sqrt(error**2 @ W[l] ** 2)
    # Where squares overflow, or the cost's gradient is infinite, what is finite of the array itself has to do.
    tensors = answer.tensors()
    return {
        name: size
        if np.isfinite(size).all()
        else np.where(np.isfinite(size), size, finite(tensors[name].mid))
        for name, size in sizes.items()
    }
