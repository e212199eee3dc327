"""An implementation that is as wrong in one component as the model of arithmetic lets it be.

It runs reference/backprop.py, in 300-bit arithmetic, so that nothing is lost in the telling. A first run rounds
nothing, and keeps a tape: every rounding there might have been, how large it may be, and what depends on it. Backwards
along the tape goes the sensitivity of one component of the answer to each rounding; and a second run commits all of
them in full, each with the sign that takes the component further from the truth. To first order, no arithmetic
within the model does worse with the same formulas; so all the sane formulas are tried, and the worst is kept.

It does nothing that nobody could do. Sums are added up term by term, in one order; a constant is rounded once, and
multiplying by 1 is exact. What is evaluated twice may be rounded twice, as it is where a compiler computes it again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import flint
import ml_dtypes
import numpy as np
from flint import arb
from gradparity.reference.backprop import backprop
from gradparity.reference.chain import Chain
from gradparity.reference.names import Name
from gradparity.reference.network import DTYPES, Array, Case, Gradients, Parameters
from gradparity.reference.number import Axes, Carried
from gradparity.reference.rounding.model import (
    DIVISION_ROUNDINGS,
    REDUCTION_ROUNDINGS,
    ROOT_ROUNDINGS,
    Model,
    model,
)

if TYPE_CHECKING:
    from gradparity.reference.interval import Interval
    from gradparity.reference.scalar import Piece, Scalar

BITS = 300


@dataclass
class Run:
    """One computation: its arithmetic, its habits, and the tape of all that it did.

    ``signs`` gives -1, 0 or 1 for each component of a number, of which it is told the place on the tape and the shape;
    without it nothing is rounded. ``excess`` is 1 for whoever keeps to the model. ``formula`` says which of every list
    is taken, the ``longest`` of which is seen in a run.
    """

    model: Model
    formula: int = 0
    signs: Callable[[int, tuple[int, ...]], Array] | None = None
    excess: float = 1.0
    tape: list[Pushed] = field(default_factory=list)
    constants: dict[float, Pushed] = field(default_factory=dict)
    longest: int = 1

    def __post_init__(self) -> None:
        #: u of the precision and of what it adds up in, and what may underflow there. The model's own u has that of
        #: the midpoints on top.
        self.units = [
            (arb(float(ml_dtypes.finfo(DTYPES[one.precision]).eps)) / 2, arb(one.eta))
            for one in (self.model, self.model.accumulator or self.model)
        ]

    def exactly(self, array: Array) -> Pushed:
        """Make a number of an array that is known."""
        return Pushed(self, _each(lambda value: arb(float(value)), array))

    def given(self, name: Name, array: Array) -> Pushed:
        """Return an array that everybody is given."""
        return self.exactly(array)

    def returned(self, name: Name, array: Array) -> Pushed:
        """Return what the implementation answered, having gone on with more digits, as links allow it to."""
        exact = self.exactly(array)
        kept = name.kind != "z" or self.model.accumulator
        return exact.rounded(exact.value, [(exact, np.asarray)], eta=0) if kept else exact


def _each(function: Callable[[Any], Any], array: Array) -> Array:
    result = np.empty(array.shape, dtype=object)
    result.flat[:] = [function(value) for value in array.flat]
    return result


def _fitted(adjoint: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: sum over what was repeated. The first axis of an adjoint is for the targets."""
    extra = adjoint.ndim - 1 - len(shape)
    adjoint = adjoint.sum(axis=tuple(range(1, 1 + extra)))
    repeated = tuple(i + 1 for i, n in enumerate(shape) if n == 1 and adjoint.shape[i + 1] != 1)
    return np.asarray(adjoint.sum(axis=repeated, keepdims=True))


#: What a number is made of, and how its adjoint becomes theirs.
Parents = Sequence[tuple["Pushed", Callable[[Array], Array]]]


class Pushed(Carried):
    """An array on a tape: its values, and how far each may be pushed by the rounding that made it."""

    model: Model

    def __init__(self, run: Run, value: Any, parents: Parents = (), allowance: Any = None) -> None:
        self.run, self.parents, self.model = run, parents, run.model
        self.value = np.asarray(value, dtype=object)
        self.allowance = None if allowance is None else np.asarray(allowance, dtype=object)
        #: The terms of a sum that is still open: a bias may be added to it at any place.
        self.terms: Pushed | None = None
        #: What a sum of two was made of, and what a choice was made among.
        self.summands: tuple[Pushed, ...] = ()
        self.options: Sequence[tuple[Array, Pushed]] = ()
        if self.allowance is not None and run.signs is not None:
            push = run.excess * (run.signs(len(run.tape), self.value.shape) * self.allowance)
            self.value = np.asarray(self.value + push, dtype=object)
        self.near = self.value.astype(np.float64)
        run.tape.append(self)

    def rounded(
        self, value: Any, parents: Parents, units: Any = 1, eta: Any = 1, accumulated: bool = False
    ) -> Pushed:
        """Make the result of an operation: off by ``units`` of u of itself, and ``eta`` of eta."""
        size = np.abs(np.asarray(value, dtype=object))
        unit, least = self.run.units[accumulated]
        allowance = units * unit * size + eta * least
        return Pushed(self.run, value, parents, allowance)

    def _exactly(self, value: Any, *parents: tuple[Pushed, Callable[[Array], Array]]) -> Pushed:
        return Pushed(self.run, value, parents)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.value.shape

    @property
    def size(self) -> Array:
        """The absolute values, as float64."""
        return np.abs(self.near)

    @property
    def mT(self) -> Pushed:
        """The transpose."""
        return self._exactly(self.value.T, (self, lambda adjoint: adjoint.swapaxes(-1, -2)))

    def constant(self, value: float, err: float) -> Pushed:
        """A constant, rounded once for all; one that a double does not hold is rounded as doubles are."""
        known = self.run.constants
        if value not in known:
            truth = np.asarray(arb(value), dtype=object)
            held = err == 0 or self.model.precision == "float64"
            known[value] = Pushed(self.run, truth) if held else self.rounded(truth, (), eta=0)
        return known[value]

    def _lift(self, other: Any) -> Pushed:
        if isinstance(other, Pushed):
            return other
        if isinstance(other, np.ndarray):
            return self.run.exactly(other)
        return self.constant(float(other), self.model.constant_error(float(other)))

    # ------------------------------------------------------------------------------------------ elementary operations

    def __neg__(self) -> Pushed:
        return self._exactly(-self.value, (self, np.negative))

    def __add__(self, other: Any) -> Pushed:
        o = self._lift(other)
        if self.terms is not None and self.model.accumulator is None and len(o.shape) == 1:
            return self.terms._with(o)._added_up(-2)
        return self._plus(o)

    def __sub__(self, other: Any) -> Pushed:
        return self + -self._lift(other)

    def __mul__(self, other: Any) -> Pushed:
        o = self._lift(other)
        parents = [
            (self, lambda adjoint: _fitted(adjoint * o.near, self.shape)),
            (o, lambda adjoint: _fitted(adjoint * self.near, o.shape)),
        ]
        # Nobody rounds a product with 1.
        units = np.where((self.size == 1) | (o.size == 1), 0, 1)
        return self.rounded(self.value * o.value, parents, units, units)

    def __truediv__(self, other: Any) -> Pushed:
        o = self._lift(other)
        quotient = self.near / o.near
        parents = [
            (self, lambda adjoint: _fitted(adjoint / o.near, self.shape)),
            (o, lambda adjoint: _fitted(-adjoint * quotient / o.near, o.shape)),
        ]
        # A reciprocal and a product, but by a power of two, whose reciprocal is exact.
        halved = isinstance(other, int | float) and math.frexp(abs(other))[0] == 0.5
        return self.rounded(self.value / o.value, parents, 1 if halved else DIVISION_ROUNDINGS)

    def __radd__(self, other: Any) -> Pushed:
        return self._lift(other) + self

    def __rsub__(self, other: Any) -> Pushed:
        return self._lift(other) - self

    def __rmul__(self, other: Any) -> Pushed:
        return self._lift(other) * self

    def __rtruediv__(self, other: Any) -> Pushed:
        return self._lift(other) / self

    def __rmatmul__(self, other: Any) -> Pushed:
        return self._lift(other) @ self

    def _function(self, name: str, function: Callable[[Any], Any], slope: Array) -> Pushed:
        value = _each(function, self.value)
        return self.rounded(value, [(self, lambda adjoint: adjoint * slope)], self.model.K[name])

    def exp(self) -> Pushed:
        """e^x."""
        return self._function("exp", arb.exp, np.exp(self.near))

    def expm1(self) -> Pushed:
        """e^x - 1."""
        return self._function("expm1", arb.expm1, np.exp(self.near))

    def log(self) -> Pushed:
        """Natural logarithm."""
        return self._function("log", arb.log, 1 / self.near)

    def log1p(self) -> Pushed:
        """log(1 + x)."""
        return self._function("log1p", arb.log1p, 1 / (1 + self.near))

    def sqrt(self) -> Pushed:
        """The square root, which has two roundings and not some units of a table."""
        value = _each(lambda x: x.sqrt(), self.value)
        slope = 0.5 / np.sqrt(_each(float, self.value).astype(float))
        return self.rounded(value, [(self, lambda adjoint: adjoint * slope)], ROOT_ROUNDINGS)

    def tanh(self) -> Pushed:
        """Hyperbolic tangent."""
        return self._function("tanh", arb.tanh, 1 / np.cosh(self.near) ** 2)

    def sigmoid(self) -> Pushed:
        """1 / (1 + e^-x)."""
        fall = np.exp(-np.abs(self.near))
        return self._function("sigmoid", sigmoid, fall / (1 + fall) ** 2)

    def erf(self) -> Pushed:
        """Error function."""
        return self._function("erf", arb.erf, 2 / np.sqrt(np.pi) * np.exp(-(self.near**2)))

    def ndtr(self) -> Pushed:
        """The normal distribution function, in its left tail to K u of 1/2."""
        value, half = _each(ndtr, self.value), arb(0.5)
        slope = np.exp(-(self.near**2) / 2) / np.sqrt(2 * np.pi)
        size = _each(lambda one: one if one > half else half, value)
        unit, least = self.run.units[0]
        allowance = self.model.K["ndtr"] * unit * size + least
        return Pushed(self.run, value, [(self, lambda adjoint: adjoint * slope)], allowance)

    def xlogx(self) -> Pushed:
        """x log x of what is given, and 0 at 0."""
        value = _each(lambda x: x * x.log() if x > 0 else x, self.value)
        return self.rounded(value, (), self.model.K["log"] + 1)

    # ------------------------------------------------------------------------------------------------------------ sums

    def _term(self, k: int, axis: int) -> Pushed:
        def back(adjoint: Array) -> Array:
            result = np.zeros((len(adjoint), *self.shape))
            np.moveaxis(result, axis, 0)[k] = adjoint
            return result

        return self._exactly(np.moveaxis(self.value, axis, 0)[k], (self, back))

    def _added_up(self, axis: int) -> Pushed:
        """Add up one by one, in the order in which the sums on the way are largest.

        All terms of the sign that prevails come first, the largest before the others; the rest, the smallest first,
        keep what they take away for the end.
        """
        near = self.near * np.where(self.near.sum(axis=axis, keepdims=True) < 0, -1, 1)
        order = np.lexsort((-near, near <= 0), axis=axis)

        def back(adjoint: Array) -> Array:
            result = np.zeros_like(adjoint)
            np.put_along_axis(result, np.broadcast_to(order, adjoint.shape), adjoint, axis)
            return result

        ordered = self._exactly(np.take_along_axis(self.value, order, axis), (self, back))
        total, *others = (ordered._term(k, axis) for k in range(self.shape[axis]))
        for other in others:
            total = total._plus(other, accumulated=True)
        return total

    def _plus(self, other: Pushed, accumulated: bool = False) -> Pushed:
        # What is too small for an addition can only be its result, if that is flushed; eta is four times as much.
        parents = [(self, partial(_fitted, shape=self.shape)), (other, partial(_fitted, shape=other.shape))]
        total = self.rounded(self.value + other.value, parents, eta=0.25, accumulated=accumulated)
        total.summands = (self, other)
        return total

    def _finished(self) -> Pushed:
        """A sum, rounded where it was added up in a better precision."""
        return self if self.model.accumulator is None else self.rounded(self.value, [(self, np.asarray)])

    def __matmul__(self, other: Any) -> Pushed:
        o = self._lift(other)
        left, right = self.near[:, :, None], o.near
        products = self.rounded(
            self.value[:, :, None] * o.value,
            [
                (self, lambda adjoint: (adjoint * right).sum(axis=-1)),
                (o, lambda adjoint: (adjoint * left).sum(axis=-3)),
            ],
            eta=0.75,
            accumulated=True,
        )
        total = products._added_up(-2)._finished()
        total.terms = products
        return total

    def _with(self, bias: Pushed) -> Pushed:
        """One more term."""
        m, n, k = self.shape
        biases = np.broadcast_to(bias.value, (m, 1, k))
        return self._exactly(
            np.concatenate([self.value, biases], axis=1),
            (self, lambda adjoint: adjoint[:, :, :n]),
            (bias, lambda adjoint: _fitted(adjoint[:, :, n], bias.shape)),
        )

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Pushed:
        """Sum in any order; a cost over its outputs first, and the rounded sums over the examples."""
        if axis is None:
            if self.model.accumulator:
                return self.sum(axis=-1).sum(axis=-1)
            flat = self._exactly(self.value.ravel(), (self, lambda adjoint: adjoint.reshape(-1, *self.shape)))
            return flat.sum(axis=-1)
        assert isinstance(axis, int)
        axis -= len(self.shape) if axis >= 0 else 0
        total = self._added_up(axis)._finished()
        if not keepdims:
            return total
        return self._exactly(
            np.expand_dims(total.value, axis), (total, lambda adjoint: np.squeeze(adjoint, axis=axis))
        )

    def divided(self, m: int) -> Pushed:
        """Take the mean in two steps, over the outputs too, each of them with a rounded reciprocal."""
        result = self.rounded(self.value / m, [(self, lambda adjoint: adjoint / m)])
        for _ in range(REDUCTION_ROUNDINGS - 1):
            result = result.rounded(result.value, [(result, np.asarray)], eta=0)
        return result

    # ----------------------------------------------------------------------------------------- activations and costs

    def in_any_order(self, upstream: Pushed, amplification: Array | float, growth: Array | float) -> Pushed:
        """This product upstream ⊙ σ′, which automatic differentiation expands where σ′ comes from a product's rule."""
        return self.parents[1][0]._expanded(upstream)

    def _expanded(self, upstream: Pushed) -> Pushed:
        if self.options:
            return self._chosen([(wanted, option._expanded(upstream)) for wanted, option in self.options])
        if self.summands and all(one.shape for one in self.summands):
            one, other = self.summands
            return one._expanded(upstream) + other._expanded(upstream)
        return upstream * self

    def _among(self, lo: float, hi: float) -> Pushed:
        """What lies in [lo, hi] as it is, and its nearest end for the rest, which somebody else computes."""
        low, high = arb(lo), arb(hi)
        inside = np.array([not (x < lo or x > hi) for x in self.value.flat], bool).reshape(self.shape)
        clipped = _each(lambda x: low if x < lo else high if x > hi else x, self.value)
        return self._exactly(clipped, (self, lambda adjoint: adjoint * inside))

    def _chosen(self, others: Sequence[tuple[Array, Pushed]]) -> Pushed:
        """Of all these, the last one that is asked for."""
        value = np.full(others[0][0].shape, None)
        owner = np.zeros(value.shape, int)
        for i, (wanted, other) in enumerate(others):
            value = np.where(wanted, other.value, value)
            owner = np.where(wanted, i, owner)

        def back(adjoint: Array, i: int, shape: tuple[int, ...]) -> Array:
            return _fitted(adjoint * (owner == i), shape)

        chosen = self._exactly(
            value,
            *((other, partial(back, i=i, shape=other.shape)) for i, (_, other) in enumerate(others)),
        )
        chosen.options = others
        return chosen

    def apply(self, function: Scalar, order: int, exact: Sequence[Pushed]) -> Pushed:
        """Evaluate a derivative, by this run's formula; on a kink the piece to the left has the word."""
        found = []
        for i, piece in enumerate(function.pieces):
            here = np.array([i == 0 or x > piece.lo for x in self.value.flat], bool).reshape(self.shape)
            found += [(here & used, value) for used, value in self._on(piece, order, exact)]
        return self._chosen(found)

    def _on(self, piece: Piece, order: int, exact: Sequence[Pushed]) -> Iterator[tuple[Array, Pushed]]:
        formulas = piece.formulas(order)
        self.run.longest = max(self.run.longest, len(formulas))
        formula = formulas[self.run.formula % len(formulas)]
        if formula is formulas[0] or np.isfinite(piece.within):
            yield np.ones(self.shape, bool), formulas[0](self._among(piece.lo, piece.hi), *exact)
        if formula is not formulas[0]:
            z = self._among(max(piece.lo, -piece.within), min(piece.hi, piece.within))
            yield ~(self.size > piece.within), formula(z, *exact)

    def _shifted(self) -> Pushed:
        """Less the largest of the layer, which is found without rounding and has no part in the result."""
        largest = [max(row, key=lambda one: one.mid()) for row in self.value]
        return self - Pushed(self.run, np.array(largest, dtype=object)[:, None])

    def softmax(self) -> Pushed:
        """e^(z_i) / Σ e^(z_j), or e to the log_softmax."""
        self.run.longest = max(self.run.longest, 2)
        if self.run.formula % 2:
            return self.log_softmax().exp()
        powers = self._shifted().exp()
        return powers / powers.sum(axis=-1, keepdims=True)

    def log_softmax(self) -> Pushed:
        """z_i - log Σ e^(z_j)."""
        shifted = self._shifted()
        return shifted - shifted.exp().sum(axis=-1, keepdims=True).log()


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x) of an arb."""
    return 1 / (1 + (-x).exp()) if x > 0 else x.exp() / (1 + x.exp())


def ndtr(x: Any) -> Any:
    """Φ(x) of an arb."""
    return (-x / arb(2).sqrt()).erfc() / 2


# -------------------------------------------------------------------------------------------------------- the adversary

#: What is asked: an answer's arrays by name, from a run.
Question = Callable[[Run], Mapping[str, Pushed]]


def of_the_chain(case: Case) -> Question:
    """Ask for all of an answer, from the inputs."""

    def question(run: Run) -> Mapping[str, Pushed]:
        families = case.parameters.weights, case.parameters.biases
        W, b = (tuple(map(run.exactly, family)) for family in families)
        x, y = run.exactly(case.x), run.exactly(case.y)
        return backprop(case.architecture, Parameters(W, b), x, y).tensors()

    return question


def of_the_links(case: Case, own: Gradients) -> Question:
    """Ask for every equation's result, from what the implementation itself had returned there."""

    def enclosed(interval: Interval) -> Pushed:
        raise AssertionError("an answer that lacks something has fewer links")

    def question(run: Run) -> Mapping[str, Pushed]:
        chain = Chain(case, own, run.given, run.returned, enclosed)
        found = {name: chain.link(name) for name in own.tensors()}
        return {name: array for name, array in found.items() if array is not None}

    return question


@dataclass(frozen=True)
class Worst:
    """One component of an array, as far from the truth as it could be brought: what share of its radius that is."""

    index: tuple[int, ...]
    reach: float


class Adversary:
    """Answers a question as wrongly as may be, one component at a time."""

    def __init__(self, question: Question, precision: str, excess: float = 1.0) -> None:
        self._ask, self._model, self._excess = question, model(precision), excess
        with flint.ctx.workprec(BITS), np.errstate(all="ignore"):
            first = Run(self._model)
            self._expected = [self._expect(first)]
            self._expected += [self._expect(Run(self._model, formula)) for formula in range(1, first.longest)]

    def _expect(self, run: Run) -> tuple[dict[str, Array], list[Array]]:
        """Run without rounding: how far each component can be pushed to first order, and the adjoints of them all."""
        answer = self._ask(run)
        adjoints = _adjoints(run, list(answer.values()))
        total = np.zeros(len(adjoints[0]))
        for number, adjoint in zip(run.tape, adjoints, strict=True):
            if number.allowance is not None:
                pushes = np.abs(adjoint) * number.allowance.astype(np.float64)
                total += np.nansum(pushes.reshape(len(total), -1), axis=1)
        parts = np.split(total, np.cumsum([array.value.size for array in answer.values()])[:-1])
        far = {name: part.reshape(answer[name].shape) for name, part in zip(answer, parts, strict=True)}
        return far, adjoints

    def most_promising(self, name: str, interval: Interval) -> tuple[int, ...]:
        """Where the push is likely to reach furthest within the radius."""
        far = np.max([expected[name] for expected, _ in self._expected], axis=0)
        with np.errstate(all="ignore"):
            share = np.where(np.isfinite(interval.rad) & (interval.rad > 0), far / interval.rad, -1.0)
        return tuple(int(i) for i in np.unravel_index(np.argmax(share), share.shape))

    def answers(self, name: str, index: tuple[int, ...]) -> Iterator[dict[str, Array]]:
        """Give the answers in which this component is as far up and as far down as it goes."""
        far = [expected[name][index] for expected, _ in self._expected]
        formula = int(np.argmax(far))
        expected, adjoints = self._expected[formula]
        names = list(expected)
        target = sum(expected[other].size for other in names[: names.index(name)])
        target += int(np.ravel_multi_index(index, expected[name].shape)) if index else 0
        signs = [_sign(adjoint[target]) for adjoint in adjoints]
        for side in (-1.0, 1.0):
            run = Run(self._model, formula, partial(_aimed, signs, side), self._excess)
            yield _answered(self._ask, run)

    def worst(self, name: str, interval: Interval) -> Worst:
        """Push the most promising component of an array."""
        index = self.most_promising(name, interval)
        reaches = [reach(answer[name], interval)[index] for answer in self.answers(name, index)]
        return Worst(index, float(max(reaches)))


def reach(values: Array, interval: Interval) -> Array:
    """Give the distance from the midpoint in radii; 0 where nothing is known, or where nothing is ever rounded."""
    found = np.zeros(interval.rad.shape)
    with flint.ctx.workprec(BITS):
        for index in itertools.product(*map(range, found.shape)):
            mid, rad = np.asarray(interval.mid)[index], float(interval.rad[index])
            if rad and np.isfinite(rad):
                found[index] = float(abs(values[index] - exactly(mid)) / arb(rad))
    return found


def exactly(value: Any) -> Any:
    """Turn a double or a long double into an arb without loss."""
    head = float(value)
    return arb(head) + arb(float(value - head)) if np.isfinite(head) else arb(head)


def by_dice(question: Question, precision: str, seed: int) -> dict[str, Array]:
    """Give an answer of which every operation is pushed in full, up or down as the dice fall."""
    dice = np.random.default_rng(seed)
    signs = partial(_thrown, dice)
    return _answered(question, Run(model(precision), int(dice.integers(60)), signs))


def _aimed(signs: Sequence[Array], side: float, place: int, shape: tuple[int, ...]) -> Array:
    return side * signs[place]


def _thrown(dice: np.random.Generator, place: int, shape: tuple[int, ...]) -> Array:
    return dice.choice([-1.0, 1.0], shape)


def _answered(question: Question, run: Run) -> dict[str, Array]:
    with flint.ctx.workprec(BITS), np.errstate(all="ignore"):
        return {name: array.value for name, array in question(run).items()}


def _sign(adjoint: Array) -> Array:
    sign = np.sign(adjoint)
    return np.where(np.isnan(sign), 0.0, sign)  # in a branch that is not taken


def _adjoints(run: Run, answer: Sequence[Pushed]) -> list[Array]:
    """Go back along the tape: for every number, the derivatives of all the answer's components by it."""
    count = sum(array.value.size for array in answer)
    adjoints = {id(number): np.zeros((count, *number.shape)) for number in run.tape}
    start = 0
    for array in answer:
        n = array.value.size
        adjoints[id(array)][start : start + n] += np.eye(n).reshape(n, *array.shape)
        start += n
    for number in reversed(run.tape):
        for parent, back in number.parents:
            adjoints[id(parent)] += back(adjoints[id(number)])
    return [adjoints[id(number)] for number in run.tape]
