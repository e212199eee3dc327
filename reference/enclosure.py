"""Enclosures: for every component of an answer, the interval that holds every correct result.

Backpropagation itself (backprop.py), run on arrays that carry their rounding error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .activations import activation
from .any_order import radii
from .backprop import backprop, bp1, bp2, bp3, bp4, reduced
from .costs import cost_function
from .nearby import Near, nearby
from .network import Array, Case, Gradients, Parameters
from .rounding.affine import Affine, Symbols
from .rounding.balls import OF_A_CASE, Ball
from .rounding.given import Given, Product, given
from .rounding.lattice import Lattice, lattice_all
from .rounding.leading import Leading, UnknownError
from .rounding.model import Model, model, quick, rough
from .stack import Stack, stacked_answers

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

#: Where it takes more than this, a link costs no more matrix products than the implementation itself (model.rough).
WIDE = 2**18


@dataclass(frozen=True)
class Interval:
    """mid ± rad for an array; ``rad`` is infinite where nothing is known.

    ``size`` is the array's natural size: what its largest component would be about if no neuron were saturated
    or dead and signs were random. An interval much wider than that says nothing. ``kinked``: it holds a kink's hull.
    Of a stack of cases, all four have one more axis, the first, over the cases.
    """

    mid: Array
    rad: Array
    size: Array | float
    kinked: Array | bool

    def of(self, case: int) -> Interval:
        """Give one case's interval of a stack's."""
        kinked = np.broadcast_to(self.kinked, len(self.rad))[case]
        return Interval(self.mid[case], self.rad[case], float(np.asarray(self.size)[case]), bool(kinked))

    def among(self, cases: Sequence[int]) -> Interval:
        """Give the intervals of some cases of a stack's."""
        kinked, some = np.broadcast_to(self.kinked, len(self.rad)), list(cases)
        return Interval(self.mid[some], self.rad[some], np.asarray(self.size)[some], kinked[some])

    @property
    def widest(self) -> Array:
        """The largest radius, for each case of a stack."""
        return np.asarray(self.rad.reshape(len(self.rad), -1).max(axis=1, initial=0.0))

    @property
    def alone(self) -> Interval:
        """The same as that of a stack of one case."""
        mid, rad = np.asarray(self.mid), np.asarray(self.rad)
        return Interval(mid[None], rad[None], np.array([self.size]), np.array([self.kinked]))


@dataclass(frozen=True)
class RankOne:
    """Bounds of a stack of matrices that are no wider than a link's: mid ± (rows times columns + ``least``).

    Of wide networks matrices are most of what there is to judge, and to look at every radius would take longer than
    the gradients. ``rows`` (S, m, 1); ``size`` is no more than the array's natural size.
    """

    mid: Array
    rows: Array
    columns: Array
    least: float
    size: Array
    kinked: bool = False

    @property
    def widest(self) -> Array:
        """Bound the radius, for each case."""
        return np.asarray(self.rows.max(axis=OF_A_CASE) * self.columns.max(axis=OF_A_CASE) + self.least)

    def worst(self, result: Array) -> Array:
        """Bound the worst margin of each case from above; NaN where that takes a closer look."""
        with np.errstate(all="ignore"):
            highest = self.rows.max(axis=OF_A_CASE, keepdims=True)
            # rows times these is never more than a radius, and they do not vanish. By infinity all would be nothing.
            columns = self.columns + self.least / highest
            most = float(np.finfo(self.mid.dtype).max)
            scale = np.where(columns <= most, 1 / columns, np.nan).astype(self.mid.dtype)
            worst, some = np.empty(self.rows.shape), max(1, AT_ONCE // scale.nbytes)
            off = np.empty_like(self.mid[:, :some])
            for i in range(0, self.rows.shape[-2], some):
                result_here, mid_here = result[:, i : i + some], self.mid[:, i : i + some]
                here = np.subtract(result_here, mid_here, dtype=off.dtype, out=off[:, : result_here.shape[1]])
                np.abs(here, out=here)
                here *= scale
                worst[:, i : i + some] = here.max(axis=-1, keepdims=True)
            return np.asarray(np.where(worst == 0, 0.0, worst / self.rows).max(axis=OF_A_CASE))


Bounds = Interval | RankOne

#: So many bytes of an array are looked at together, so that a core's own cache holds them.
AT_ONCE = 2**18

#: Of so many rows of a matrix, one is looked at for its size.
EVERY = 16


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
            tuple(_known(stack, arithmetic, array) for array in family)
            for family in (stack.parameters.weights, stack.parameters.biases)
        )
        x, y = (_known(stack, arithmetic, array) for array in (stack.x, stack.y))
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
        return {name: _undivided(stack, name, one, _reach(one)) for name, one in found.items()}


def _known(stack: Stack, arithmetic: Model, array: Array) -> Ball:
    known: Ball = stack.once(arithmetic.midpoint, partial(given, arithmetic), array)
    return known


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
        scale = _scale(stack, f"delta{len(z)}")[:, None, None]
        error = np.maximum(np.maximum(np.abs(gradient), delta[-1]), scale)
        cost = 0.0 if answer.cost is None else np.abs(answer.cost.mid).astype(np.float64)
        sizes = {"cost": np.maximum(cost, np.abs(y).sum(axis=OF_A_CASE) / m)}
        for l in reversed(range(stack.architecture.depth)):
            arrays = {
                "z": z[l], "a": a[l], "delta": error,
                "db": np.sqrt(np.sum(error**2, axis=-2)), "dW": np.sqrt((error**2).mT @ previous[l] ** 2),
            }  # fmt: skip
            sizes |= {f"{name}{l + 1}": _largest(array) for name, array in arrays.items()}
            sizes[f"a{l + 1}"] = np.maximum(sizes[f"a{l + 1}"], _scale(stack, f"a{l + 1}"))
            error = np.sqrt(error**2 @ W[l] ** 2)
    # Where squares overflow, or the cost's gradient is infinite, what is finite of the array itself has to do.
    tensors = answer.tensors()
    return {
        name: size
        if np.isfinite(size).all()
        else np.where(np.isfinite(size), size, _finite(tensors[name].mid))
        for name, size in sizes.items()
    }


def _scale(stack: Stack, name: str) -> Array:
    """Give what an array's errors are compared with where it vanishes by nature, as softmax's do for one neuron."""
    network, scale = stack.architecture, np.zeros(len(stack.cases))
    if name.startswith("a"):
        return scale + activation(network.layers[int(name[1:]) - 1]).scale
    if name != f"delta{network.depth}":
        return scale
    own = cost_function(network.cost).scale
    return own * _finite(stack.y) / (stack.batch if network.reduction == "mean" else 1) if own else scale


def _largest(array: Array) -> Array:
    """Give the largest component of each case; 0 where there is none."""
    return np.asarray(array.reshape(len(array), -1).max(axis=1, initial=0.0))


def _finite(array: Array) -> Array:
    """Give the largest finite absolute value of each case."""
    mid = np.abs(array).astype(np.float64)
    return _largest(np.where(np.isfinite(mid), mid, 0.0))


def links(case: Case, own: Gradients, enclosure: Mapping[str, Interval] | None = None) -> dict[str, Interval]:
    """Enclose every link of the chain, computed from the implementation's *own* numbers.

    z^l from its a^{l-1}, a^l from its z^l, δ^l from its δ^{l+1} and z^l, and the gradients from its δ^l and a^{l-1}.
    A link needs what it is computed from: z and a, or the case's ``enclosure`` in their place, and δ, which for one
    example is ∂C/∂b. What cannot be had is left out.
    """
    known = {name: one.alone for name, one in enclosure.items()} if enclosure else None
    found = Links(Stack([case]), stacked_answers([own]), known).all(own.tensors())
    return {name: one.of(0) for name, one in found.items()}


def prepare_links(stack: Stack) -> None:
    """Make what the links of every answer to a stack of wide cases need, beforehand."""
    arithmetic = _arithmetic(stack)
    with np.errstate(all="ignore"):
        _nearby(stack, arithmetic)
        for array in (*stack.parameters.weights, *stack.parameters.biases, stack.x, stack.y):
            _known(stack, arithmetic, array)


def _nearby(stack: Stack, arithmetic: Model) -> dict[str, Near]:
    """Give the reference's own products, where they serve: those of wide cases in float64 and float32."""
    if not arithmetic.by_norms or arithmetic.accumulator:
        return {}
    found: dict[str, Near] = stack.once(nearby, lambda _: nearby(stack, arithmetic), stack.x)
    return found


class Links:
    """The links of the stacked answers to a stack of cases, each enclosed when it is asked for.

    All of them at once would take more memory than whatever else there is.
    """

    def __init__(self, stack: Stack, own: Gradients, enclosure: Mapping[str, Interval] | None = None) -> None:
        self._stack, self._own, self._arithmetic = stack, own, _arithmetic(stack)
        self._nearby = _nearby(stack, self._arithmetic)
        self._chain = Chain(stack, own, self._given, self._returned, self._enclosed, enclosure)
        # The same numbers, without what stands in for some.
        self._leading = Chain(
            stack, own, lambda array: Leading(self._given(array)), self._leads, self._enclosed
        )

    def _given(self, array: Array) -> Ball:
        ball = _known(self._stack, self._arithmetic, array)
        if array is self._stack.x and isinstance(ball, Given):
            ball.near = self._nearby.get("a0")
        return ball

    def _returned(self, kind: str, l: int, array: Array) -> Ball:
        # A compiler may have gone on with more digits than it returned. A fused multiply-add keeps those of a
        # product, which an a or a δ may be; z is a sum, and loses them unless sums are rounded afterwards.
        ball = given(self._arithmetic, array, off=1 if kind != "z" or self._arithmetic.accumulator else 0)
        if isinstance(ball, Given):
            ball.near = self._nearby.get(f"{kind}{l}")
        return ball

    def _leads(self, kind: str, l: int, _: Array) -> Leading:
        ball = self._chain.array(kind, l)
        assert ball is not None  # since it was returned
        return Leading(ball)

    def _enclosed(self, interval: Interval) -> Ball:
        return Ball(self._arithmetic, interval.mid, interval.rad, kinked=interval.kinked)

    def get(self, name: str) -> Interval | None:
        """Enclose one array; None where what it is computed from cannot be had."""
        with np.errstate(all="ignore"):
            ball = self._chain.link(name)
            if ball is None:
                return None
            reach = _reach(ball)
            size = np.maximum(reach, _scale(self._stack, name))
            one = Interval(ball.mid, ball.rad * INFLATION, size, ball.kinked)
            return _undivided(self._stack, name, one, reach)

    def strict(self, name: str) -> Bounds | None:
        """Enclose one array of wide networks within its link, by the leading error alone; None where none is known.

        Whatever lies in it is right. What does not may be, and is to be held against the link.
        """
        if not self._nearby:
            return None
        with np.errstate(all="ignore"):
            if name == "cost":
                return self._strict_cost()
            try:
                found = self._leading.link(name)
            except UnknownError:
                return None
            if found is None:
                return None
            ball, some = found.ball, found.ball.mid[..., ::EVERY, :]
            size = np.maximum(some.max(axis=OF_A_CASE), -some.min(axis=OF_A_CASE)).astype(np.float64)
            if isinstance(ball, Product):
                return RankOne(ball.mid, ball.rows * INFLATION, ball.columns, ball.least * INFLATION, size)
            return Interval(ball.mid, ball.rad * INFLATION, size, ball.kinked)

    def _strict_cost(self) -> Interval | None:
        """Enclose the cost by what adding up its terms adds: that of their sum so many times rounded, at least."""
        stack, outputs = self._stack, self._own.a
        if outputs is None:
            return None
        a, y = (array.astype(np.float64, copy=False) for array in (outputs[-1], stack.y))
        cost, m = cost_function(stack.architecture.cost), self._chain.divisor
        mid = np.array([reduced(cost.value(*of_case), m) for of_case in zip(a, y, strict=True)])
        size = np.abs(mid)
        return Interval(mid, self._arithmetic.gamma(y[0].size - 1) * INFLATION * size, size, kinked=False)

    def all(self, names: Iterable[str]) -> dict[str, Interval]:
        """Enclose several arrays; what cannot be had is left out."""
        return {name: one for name in names if (one := self.get(name)) is not None}


def _undivided(stack: Stack, name: str, one: Interval, reach: Array) -> Interval:
    """Allow the mean's division to come last: nothing is known of what is m times as large and overflows before it."""
    m = stack.batch if stack.architecture.reduction == "mean" else 1
    largest = model(stack.precision).largest
    if m == 0 and name[0] not in "za":  # the mean of nothing
        return replace(one, rad=np.full(one.mid.shape, np.inf))
    if m == 1 or name[0] in "za" or reach.max(initial=0.0) <= largest / m:
        return one
    return replace(one, rad=np.where(np.abs(one.mid) + one.rad <= largest / m, one.rad, np.inf))


def _arithmetic(stack: Stack) -> Model:
    """Choose the arithmetic of links by how many multiplications the largest layer takes."""
    multiplications = stack.batch * max(int(W.size) for W in stack.cases[0].parameters.weights)
    chosen = model if multiplications <= LARGE else quick if multiplications <= WIDE else rough
    return chosen(stack.precision)


def _reach(ball: Ball | Interval) -> Array:
    """Bound the largest absolute value in a link's interval, where that is finite, for each case.

    A radius of more than half of it holds an answer of zeros, or of the opposite sign.
    """
    mid = ball.mid.reshape(len(ball.mid), -1)
    largest = np.maximum(mid.max(axis=1, initial=0.0), -mid.min(axis=1, initial=0.0))
    reach = np.asarray(largest.astype(np.float64) + ball.widest)
    if not (finite := np.isfinite(reach)).all():
        reach[~finite] = _finite(np.abs(ball.mid[~finite]).astype(np.float64) + ball.rad[~finite])
    return reach


@dataclass(frozen=True)
class Chain:
    """An implementation's answer as a chain of links, in any kind of number; or the stacked answers to a stack.

    ``given`` makes such a number of what everybody is given, ``returned`` of what the implementation answered
    (with its kind, z, a or delta, and its layer), and ``enclosed`` of the interval that stands in for what it did not.
    """

    case: Case | Stack
    own: Gradients
    given: Callable[[Array], Any]
    returned: Callable[[str, int, Array], Any]
    enclosed: Callable[[Interval], Any]
    enclosure: Mapping[str, Interval] | None = None
    _made: dict[tuple[str, int], Any] = field(default_factory=dict)

    def link(self, name: str) -> Any | None:
        """Compute one array of the answer from those before it; None where one of them cannot be had."""
        network = self.case.architecture
        if name == "cost":
            a = self.array("a", network.depth)
            cost = cost_function(network.cost)
            return None if a is None else reduced(cost.value(a, self.given(self.case.y)), self.divisor)
        kind, l = name.rstrip("0123456789"), int(name.lstrip("abdeltzW"))
        before = self.array("a", l - 1)
        if kind == "z":
            b = self.given(self.case.parameters.biases[l - 1])
            return None if before is None else before @ self._weights(l).mT + b
        if kind == "a":
            z = self.array("z", l)
            return None if z is None else activation(network.layers[l - 1]).value(z)
        if kind == "delta" or (kind == "db" and self.own.delta is None):
            # Without δ, one example's ∂C/∂b is δ, and proves nothing of itself.
            error = self._error(l) if kind == "delta" or self.case.batch == 1 else None
            return error if error is None or kind == "delta" else bp3(error)
        delta = self.array("delta", l)
        if kind == "db":
            return None if delta is None else bp3(delta)
        return None if delta is None or before is None else bp4(delta, before)

    def _error(self, l: int) -> Any | None:
        network, z = self.case.architecture, self.array("z", l)
        sigma = activation(network.layers[l - 1])
        if l == network.depth:
            a, cost = self.array("a", l), cost_function(network.cost)
            if z is None or a is None:
                return None
            return bp1(cost, sigma, z, a, self.given(self.case.y), self.divisor)
        delta = self.array("delta", l + 1)
        if z is None or delta is None:
            return None
        return bp2(delta, self._weights(l + 1), sigma, z)

    def array(self, kind: str, l: int) -> Any | None:
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
            return self.returned(kind, l, family[l - 1])
        if kind == "delta":
            db = self.own.db[l - 1]
            return self.returned(kind, l, db[..., None, :]) if self.case.batch == 1 else None
        return None if self.enclosure is None else self.enclosed(self.enclosure[f"{kind}{l}"])

    @property
    def divisor(self) -> int:
        """What the cost is divided by: the batch size, or nothing."""
        return self.case.batch if self.case.architecture.reduction == "mean" else 1
