"""Enclosures: for every component of an answer, the interval that holds every correct result.

Backpropagation itself (backprop.py), run on arrays that carry their rounding error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .activations import activation
from .backprop import backprop, bp1, bp2, bp3, bp4, reduced
from .costs import cost_function
from .network import Array, Case, Gradients, Parameters
from .rounding.affine import Affine, Symbols
from .rounding.balls import Ball
from .rounding.given import given
from .rounding.lattice import Lattice, lattice
from .rounding.model import model, quick

#: The radii's own arithmetic is float64, all terms positive: a chain of n operations is off by at most about
#: n 2^-53 relatively. 2^-20 covers chains of 2^33 operations, beyond any case that fits in memory.
INFLATION = 1 + 2.0**-20


#: Balls are loose where a radius is more than this share of the array's natural size, or than so many units of u of it.
#: Affine forms cost about three times as much, and gain most where balls have grown with depth and width: over random
#: networks (benchmarks/bounds.py) they find errors a twentieth as large in float64, and half as large in float32.
LOOSE, LOOSE_UNITS = 0.1, 2.0**14


#: Affine forms are not tried beyond so many multiplications, a few seconds' work; there the links are the verdict.
AFFORDABLE = 2**33

#: Products of long doubles have no fast kernel. Where a layer takes more multiplications than this, links have
#: midpoints in float64, which for float64 doubles their radius.
LARGE = 2**10


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

    Balls first; where they are loose, affine forms too, and componentwise the smaller of the two. Where nothing is
    ever rounded, in any order of evaluation, a point.
    """
    known = partial(given, model(case.precision))
    with np.errstate(all="ignore"):
        weights, biases = (
            tuple(map(known, family)) for family in (case.parameters.weights, case.parameters.biases)
        )
        answer = backprop(case.architecture, Parameters(weights, biases), known(case.x), known(case.y))
        sizes = _natural_sizes(case, answer)
        found = {
            name: Interval(ball.mid, ball.rad * INFLATION, sizes[name], ball.kinked)
            for name, ball in answer.tensors().items()
        }
        loose = min(LOOSE, LOOSE_UNITS * model(case.precision).unit)
        wide = any(np.any(~(one.rad <= loose * one.size)) for one in found.values())
        if wide and _affine_operations(case) <= AFFORDABLE:
            sharper = affine(case)
            found = {name: _smaller(one, sharper[name]) for name, one in found.items()}
    points = lattice(case)
    found = {name: _pinned(one, points[name]) if points else one for name, one in found.items()}
    return {name: _undivided(case, name, one) for name, one in found.items()}


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


def _smaller(one: Interval, other: Affine | Ball) -> Interval:
    rad = other.rad * INFLATION
    smaller = rad < one.rad
    mid = np.asarray(np.where(smaller, other.mid, one.mid))
    return replace(one, mid=mid, rad=np.asarray(np.where(smaller, rad, one.rad)))


def _pinned(one: Interval, points: Lattice) -> Interval:
    """Leave one point where every order of evaluation is exact: there the tolerance is zero."""
    mid = np.where(points.certain, points.value, one.mid)
    return replace(one, mid=mid, rad=np.where(points.certain, 0.0, one.rad))


def _natural_sizes(case: Case, answer: Gradients) -> dict[str, float]:
    """Carry root-sum-squares back through the layers with every σ′ replaced by 1."""
    m = max(case.batch, 1) if case.architecture.reduction == "mean" else 1
    z, a, delta = (
        [np.abs(ball.mid).astype(np.float64) for ball in family or ()]
        for family in (answer.z, answer.a, answer.delta)
    )
    W = [np.abs(weights).astype(np.float64) for weights in case.parameters.weights]
    previous = [np.abs(case.x).astype(np.float64), *a]
    with np.errstate(all="ignore"):
        gradient = cost_function(case.architecture.cost).gradient(a[-1], case.y.astype(np.float64)) / m
        error = np.maximum(np.maximum(np.abs(gradient), delta[-1]), _scale(case, f"delta{len(z)}"))
        cost = 0.0 if answer.cost is None else float(np.abs(answer.cost.mid))
        sizes = {"cost": max(cost, float(np.abs(case.y).sum()) / m)}
        for l in reversed(range(case.architecture.depth)):
            arrays = {
                "z": z[l], "a": a[l], "delta": error,
                "db": _root(np.sum(error**2, axis=0)), "dW": _root((error**2).T @ previous[l] ** 2),
            }  # fmt: skip
            sizes |= {f"{name}{l + 1}": float(np.max(array, initial=0.0)) for name, array in arrays.items()}
            sizes[f"a{l + 1}"] = max(sizes[f"a{l + 1}"], _scale(case, f"a{l + 1}"))
            error = _root(error**2 @ W[l] ** 2)
    # Where squares overflow, or the cost's gradient is infinite, what is finite of the array itself has to do.
    tensors = answer.tensors()
    return {name: size if np.isfinite(size) else _largest(tensors[name].mid) for name, size in sizes.items()}


def _scale(case: Case, name: str) -> float:
    """Give what an array's errors are compared with where it vanishes by nature, as softmax's do for one neuron."""
    network = case.architecture
    if name.startswith("a"):
        return activation(network.layers[int(name[1:]) - 1]).scale
    if name != f"delta{network.depth}":
        return 0.0
    m = case.batch if network.reduction == "mean" else 1
    scale = cost_function(network.cost).scale
    return scale * _largest(case.y) / m if scale else 0.0


def _largest(array: Array) -> float:
    mid = np.abs(array).astype(np.float64)
    return float(np.max(mid[np.isfinite(mid)], initial=0.0))


def _root(squares: Array) -> Array:
    return np.asarray(np.sqrt(squares))


def links(case: Case, own: Gradients, enclosure: Mapping[str, Interval] | None = None) -> dict[str, Interval]:
    """Enclose every link of the chain, computed from the implementation's *own* numbers.

    z^l from its a^{l-1}, a^l from its z^l, δ^l from its δ^{l+1} and z^l, and the gradients from its δ^l and a^{l-1}.
    A link needs what it is computed from: z and a, or the case's ``enclosure`` in their place, and δ, which for one
    example is ∂C/∂b. What cannot be had is left out.
    """
    arithmetic = quick(case.precision) if _large(case) else model(case.precision)

    def returned(kind: str, array: Array) -> Ball:
        # A compiler may have gone on with more digits than it returned. A fused multiply-add keeps those of a
        # product, which an a or a δ may be; z is a sum, and loses them unless sums are rounded afterwards.
        return given(arithmetic, array, off=1 if kind != "z" or arithmetic.accumulator else 0)

    def enclosed(interval: Interval) -> Ball:
        return Ball(arithmetic, interval.mid, interval.rad, kinked=interval.kinked)

    chain, found = Chain(case, own, partial(given, arithmetic), returned, enclosed, enclosure), {}
    with np.errstate(all="ignore"):
        for name in own.tensors():
            ball = chain.link(name)
            if ball is not None:
                size = max(_reach(ball), _scale(case, name))
                found[name] = _undivided(
                    case, name, Interval(ball.mid, ball.rad * INFLATION, size, ball.kinked)
                )
    return found


def _undivided(case: Case, name: str, one: Interval) -> Interval:
    """Allow the mean's division to come last: nothing is known of what is m times as large and overflows before it."""
    m = case.batch if case.architecture.reduction == "mean" else 1
    largest = model(case.precision).largest
    if m == 0 and name[0] not in "za":  # the mean of nothing
        return replace(one, rad=np.full(one.rad.shape, np.inf))
    if m == 1 or name[0] in "za" or _largest(one.mid) <= largest / (2 * m):
        return one
    return replace(one, rad=np.where(np.abs(one.mid) + one.rad <= largest / m, one.rad, np.inf))


def _large(case: Case) -> bool:
    return case.batch * max(int(W.size) for W in case.parameters.weights) > LARGE


def _reach(ball: Ball) -> float:
    """Bound the largest absolute value in a link's interval, where that is finite.

    A radius of more than half of it holds an answer of zeros, or of the opposite sign.
    """
    radius = float(ball.rad.max(initial=0.0))
    if radius < np.inf:
        return float(max(ball.mid.max(initial=0.0), -ball.mid.min(initial=0.0))) + radius
    reach = np.abs(ball.mid).astype(np.float64, copy=False) + ball.rad
    return float(np.max(reach[np.isfinite(reach)], initial=0.0))


@dataclass(frozen=True)
class Chain:
    """An implementation's answer as a chain of links, in any kind of number.

    ``given`` makes such a number of what everybody is given, ``returned`` of what the implementation answered
    (with its kind: z, a or delta), and ``enclosed`` of the interval that stands in for what it did not.
    """

    case: Case
    own: Gradients
    given: Callable[[Array], Any]
    returned: Callable[[str, Array], Any]
    enclosed: Callable[[Interval], Any]
    enclosure: Mapping[str, Interval] | None = None
    _made: dict[tuple[str, int], Any] = field(default_factory=dict)

    def link(self, name: str) -> Any | None:
        """Compute one array of the answer from those before it; None where one of them cannot be had."""
        network = self.case.architecture
        if name == "cost":
            a = self._array("a", network.depth)
            cost = cost_function(network.cost)
            return None if a is None else reduced(cost.value(a, self.given(self.case.y)), self._divisor)
        kind, l = name.rstrip("0123456789"), int(name.lstrip("abdeltzW"))
        before = self._array("a", l - 1)
        if kind == "z":
            b = self.given(self.case.parameters.biases[l - 1])
            return None if before is None else before @ self._weights(l).T + b
        if kind == "a":
            z = self._array("z", l)
            return None if z is None else activation(network.layers[l - 1]).value(z)
        if kind == "delta" or (kind == "db" and self.own.delta is None):
            # Without δ, one example's ∂C/∂b is δ, and proves nothing of itself.
            error = self._error(l) if kind == "delta" or self.case.batch == 1 else None
            return error if error is None or kind == "delta" else bp3(error)
        delta = self._array("delta", l)
        if kind == "db":
            return None if delta is None else bp3(delta)
        return None if delta is None or before is None else bp4(delta, before)

    def _error(self, l: int) -> Any | None:
        network, z = self.case.architecture, self._array("z", l)
        sigma = activation(network.layers[l - 1])
        if l == network.depth:
            a, cost = self._array("a", l), cost_function(network.cost)
            if z is None or a is None:
                return None
            return bp1(cost, sigma, z, a, self.given(self.case.y), self._divisor)
        delta = self._array("delta", l + 1)
        if z is None or delta is None:
            return None
        return bp2(delta, self._weights(l + 1), sigma, z)

    def _array(self, kind: str, l: int) -> Any | None:
        """Give z^l, a^l or δ^l: the implementation's own, or what stands in for it."""
        if (kind, l) not in self._made:
            self._made[kind, l] = self._make(kind, l)
        return self._made[kind, l]

    def _weights(self, l: int) -> Any:
        if ("W", l) not in self._made:
            self._made["W", l] = self.given(self.case.parameters.weights[l - 1])
        return self._made["W", l]

    def _make(self, kind: str, l: int) -> Any | None:
        if (kind, l) == ("a", 0):
            return self.given(self.case.x)
        family = getattr(self.own, kind)
        if family is not None:
            return self.returned(kind, family[l - 1])
        if kind == "delta":
            return self.returned(kind, self.own.db[l - 1][None, :]) if self.case.batch == 1 else None
        return None if self.enclosure is None else self.enclosed(self.enclosure[f"{kind}{l}"])

    @property
    def _divisor(self) -> int:
        return self.case.batch if self.case.architecture.reduction == "mean" else 1
