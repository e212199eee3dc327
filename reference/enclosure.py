"""Enclosures: for every component of an answer, the interval that holds every correct result.

Backpropagation itself (backprop.py), run on arrays that carry their rounding error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .activations import activation
from .backprop import backprop, bp1, bp2, bp3, bp4, reduced
from .costs import cost_function
from .network import Array, Case, Gradients, Parameters
from .rounding.affine import Affine, Symbols
from .rounding.balls import Ball
from .rounding.model import model

#: The radii's own arithmetic is float64, all terms positive: a chain of n operations is off by at most about
#: n 2^-53 relatively. 2^-20 covers chains of 2^33 operations, beyond any case that fits in memory.
INFLATION = 1 + 2.0**-20


#: Balls are loose where a radius is more than this share of the array's natural size. Affine forms cost about ten
#: times as much, and gain most where balls have grown with depth and width.
LOOSE = 0.1


@dataclass(frozen=True)
class Interval:
    """mid ± rad for an array; ``rad`` is infinite where nothing is known.

    ``size`` is the array's natural size: what its largest component would be about if no neuron were saturated
    or dead and signs were random. An interval much wider than that says nothing. ``kinked``: it holds a kink's hull.
    """

    mid: Array
    rad: Array
    size: float
    kinked: bool


def enclose(case: Case) -> dict[str, Interval]:
    """Enclose every array of an answer to a case, by its name in the document (dW1, delta2, cost, ...).

    Balls first; where they are loose, affine forms too, and componentwise the smaller of the two.
    """
    arithmetic = model(case.precision)

    def given(array: Array) -> Ball:
        return Ball.exact(arithmetic, array)

    parameters = Parameters(
        tuple(map(given, case.parameters.weights)), tuple(map(given, case.parameters.biases))
    )
    with np.errstate(all="ignore"):
        answer = backprop(case.architecture, parameters, given(case.x), given(case.y))
        sizes = _natural_sizes(case, answer)
        found = {
            name: Interval(ball.mid, ball.rad * INFLATION, sizes[name], ball.kinked)
            for name, ball in answer.tensors().items()
        }
        if any(np.any(~(one.rad <= LOOSE * one.size)) for one in found.values()):
            sharper = affine(case)
            found = {name: _smaller(one, sharper[name]) for name, one in found.items()}
    return found


def affine(case: Case) -> dict[str, Affine | Ball]:
    """Run backprop on affine forms; the cost, ∂C/∂b and ∂C/∂W, in which examples meet, come out as Balls."""
    arithmetic, symbols = model(case.precision), Symbols()
    x, y = (Affine.exact(arithmetic, symbols, array) for array in (case.x, case.y))
    with np.errstate(all="ignore"):
        return backprop(case.architecture, case.parameters, x, y).tensors()


def _smaller(one: Interval, other: Affine | Ball) -> Interval:
    rad = other.rad * INFLATION
    smaller = rad < one.rad
    mid = np.asarray(np.where(smaller, other.mid, one.mid))
    return replace(one, mid=mid, rad=np.asarray(np.where(smaller, rad, one.rad)))


def _natural_sizes(case: Case, answer: Gradients) -> dict[str, float]:
    """Carry root-sum-squares back through the layers with every σ′ replaced by 1."""
    m = case.batch if case.architecture.reduction == "mean" else 1
    z, a, delta = (
        [np.abs(ball.mid).astype(np.float64) for ball in family or ()]
        for family in (answer.z, answer.a, answer.delta)
    )
    W = [np.abs(weights).astype(np.float64) for weights in case.parameters.weights]
    previous = [np.abs(case.x).astype(np.float64), *a]
    with np.errstate(all="ignore"):
        gradient = cost_function(case.architecture.cost).gradient(a[-1], case.y.astype(np.float64)) / m
        error = np.maximum(np.abs(gradient), delta[-1])
        cost = 0.0 if answer.cost is None else float(np.abs(answer.cost.mid))
        sizes = {"cost": max(cost, float(np.abs(case.y).sum()) / m)}
        for l in reversed(range(case.architecture.depth)):
            arrays = {
                "z": z[l], "a": a[l], "delta": error,
                "db": _root(np.sum(error**2, axis=0)), "dW": _root((error**2).T @ previous[l] ** 2),
            }  # fmt: skip
            sizes |= {f"{name}{l + 1}": float(np.max(array, initial=0.0)) for name, array in arrays.items()}
            error = _root(error**2 @ W[l] ** 2)
    # Where squares overflow, or the cost's gradient is infinite, what is finite of the array itself has to do.
    tensors = answer.tensors()
    return {name: size if np.isfinite(size) else _largest(tensors[name]) for name, size in sizes.items()}


def _largest(ball: Ball) -> float:
    mid = np.abs(ball.mid).astype(np.float64)
    return float(np.max(mid[np.isfinite(mid)], initial=0.0))


def _root(squares: Array) -> Array:
    return np.asarray(np.sqrt(squares))


def links(case: Case, own: Gradients) -> dict[str, Interval]:
    """Enclose every link of the chain, computed from the implementation's *own* numbers.

    z^l from its a^{l-1}, a^l from its z^l, δ^l from its δ^{l+1} and z^l, and the gradients from its δ^l and
    a^{l-1}. The first link that a result leaves is where it went wrong. Empty unless the answer has z, a, δ.
    """
    if own.z is None or own.a is None or own.delta is None:
        return {}
    arithmetic, network = model(case.precision), case.architecture

    def given(array: Array) -> Ball:
        return Ball.exact(arithmetic, array)

    m = case.batch if network.reduction == "mean" else 1
    cost, sigma = cost_function(network.cost), [activation(layer) for layer in network.layers]
    a = [given(case.x), *(given(array) for array in own.a)]
    z, delta = [given(array) for array in own.z], [given(array) for array in own.delta]
    W, b = (tuple(given(p) for p in family) for family in (case.parameters.weights, case.parameters.biases))
    last, found = network.depth - 1, {}
    with np.errstate(all="ignore"):
        for l in range(network.depth):
            found[f"z{l + 1}"] = a[l] @ W[l].T + b[l]
            found[f"a{l + 1}"] = sigma[l].value(z[l])
        found["cost"] = reduced(cost.value(a[-1], given(case.y)), m)
        for l in reversed(range(network.depth)):
            if l == last:
                found[f"delta{l + 1}"] = bp1(cost, sigma[l], z[l], a[-1], given(case.y), m)
            else:
                found[f"delta{l + 1}"] = bp2(delta[l + 1], W[l + 1], sigma[l], z[l])
        for l in range(network.depth):
            found[f"db{l + 1}"] = bp3(delta[l])
            found[f"dW{l + 1}"] = bp4(delta[l], a[l])
    return {
        name: Interval(ball.mid, ball.rad * INFLATION, np.inf, ball.kinked) for name, ball in found.items()
    }
