"""Links: for every array of an answer, the interval of what may correctly follow from the numbers before it.

An enclosure of the whole chain grows with depth; a link is one equation wide, whatever came before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import names
from .chain import Chain
from .costs import COST_ROWS
from .interval import INFLATION, Bounds, Interval, RankOne, known, reach, scale, with_the_mean_last
from .names import Name
from .nearby import Near, nearby
from .network import Array, Case, Gradients
from .number import UnknownError
from .rounding.balls import Ball
from .rounding.given import Given, Product, given
from .rounding.lattice import is_power_of_two
from .rounding.leading import DEFLATION, Leading
from .rounding.model import Model, model, quick, rough
from .stack import MixedError, Stack, stacked_answers

#: Products of long doubles have no fast kernel. Where a layer takes more multiplications than this, links have
#: midpoints in float64, which for float64 doubles their radius.
LARGE = 2**10

#: Where it takes more than this, a link costs no more matrix products than the implementation itself (model.rough).
WIDE = 2**18

#: Of so many rows of a matrix, one is looked at for its size.
EVERY = 16


def links(case: Case, own: Gradients, enclosure: Mapping[str, Interval] | None = None) -> dict[str, Interval]:
    """Enclose every link of the chain, computed from the implementation's *own* numbers.

    z^l comes from its a^{l-1}, a^l from its z^l, δ^l from its δ^{l+1} and z^l, and the gradients from its δ^l and
    a^{l-1}; W, b, x and y are the case's. Where z or a was not answered, the case's ``enclosure`` stands in. Where δ
    was not, ∂C/∂b stands in for it if there is one example. A link that lacks an array all the same is left out.
    """
    stand_ins = {name: one.alone for name, one in enclosure.items()} if enclosure else None
    found = Links(Stack([case]), stacked_answers([own]), stand_ins).all(own.tensors())
    return {name: one.of(0) for name, one in found.items()}


def prepare_links(stack: Stack) -> None:
    """Make what the links of every answer to a stack of wide cases need, beforehand."""
    arithmetic = _arithmetic(stack)
    with np.errstate(all="ignore"):
        _nearby(stack, arithmetic)
        try:
            for array in (*stack.parameters.weights, *stack.parameters.biases, stack.x, stack.y):
                known(stack, arithmetic, array)
        except MixedError:
            for one in stack.apart:
                prepare_links(one)


def _nearby(stack: Stack, arithmetic: Model) -> dict[str, Near]:
    """Give the reference's own products, where they serve: those of wide cases in float64 and float32."""
    if not arithmetic.by_norms or arithmetic.accumulator:
        return {}
    found: dict[str, Near] = stack.once(nearby, lambda _: nearby(stack, arithmetic), stack.x)
    return found


@dataclass(frozen=True)
class _Numbers:
    """The numbers that an answer's links are computed from, as balls.

    It knows nothing of the links: what refers to itself by a detour lasts until Python looks for such things, and the
    arrays of an answer are most of what a campaign holds.
    """

    stack: Stack
    arithmetic: Model
    nearby: Mapping[str, Near]

    def given(self, name: Name, array: Array) -> Ball:
        """Return what everybody is given."""
        ball = known(self.stack, self.arithmetic, array)
        if name in self.nearby and isinstance(ball, Given):
            ball.near = self.nearby[name]
        return ball

    def returned(self, name: Name, array: Array) -> Ball:
        """Return what the implementation answered.

        It may have gone on with what it had before it rounded that: so do all who compute in more digits than they
        return, and compilers, which fuse operations.
        """
        return self._near(name, given(self.arithmetic, array, off=1, underflow=True))

    def rounded(self, name: Name, array: Array) -> Ball:
        """Return the same of whoever computes in the precision, and at most fuses a product with what follows.

        So z, which is a sum, is what it went on with, but where sums are rounded after everything else.
        """
        off = 0 if name.kind == "z" and not self.arithmetic.accumulator else 1
        return self._near(name, given(self.arithmetic, array, off))

    def _near(self, name: Name, ball: Ball) -> Ball:
        if isinstance(ball, Given):
            ball.near = self.nearby.get(name)
        return ball

    def enclosed(self, interval: Interval) -> Ball:
        """Return what stands in for an array that it did not answer."""
        return Ball(self.arithmetic, interval.mid, interval.rad, kinked=interval.kinked)


class Links:
    """The links of the stacked answers to a stack of cases, each enclosed when it is asked for.

    All of them at once would take more memory than whatever else there is.
    """

    def __init__(self, stack: Stack, own: Gradients, enclosure: Mapping[str, Interval] | None = None) -> None:
        self._stack, self._own, self._arithmetic = stack, own, _arithmetic(stack)
        self._nearby = _nearby(stack, self._arithmetic)
        numbers = _Numbers(stack, self._arithmetic, self._nearby)
        self._chain = Chain(stack, own, numbers.given, numbers.returned, numbers.enclosed, enclosure)
        rounded = self._rounded = Chain(
            stack, own, numbers.given, numbers.rounded, numbers.enclosed, enclosure
        )

        def leads(name: Name, _: Array) -> Leading:
            ball = rounded.array(name)
            assert ball is not None  # since it was given, or returned
            return Leading(ball)

        # The same numbers; no enclosure stands in for an array that was not answered.
        self._leading = Chain(stack, own, leads, leads, lambda one: Leading(numbers.enclosed(one)))

    def get(self, name: str) -> Interval | None:
        """Enclose one array; None where what it is computed from cannot be had."""
        found = self._interval(self._chain, name)
        return found and self._with_the_mean_last(name, found)

    def strict(self, name: str) -> Bounds | None:
        """Enclose one array within its link by what takes less time; None where nothing does.

        Whatever lies in it is right. What does not may be, and is to be held against the link. Of wide networks that is
        the leading error alone. Of others it is the link of whoever computes in the precision: then functions are
        evaluated at points and not over ranges.
        """
        if not self._nearby:
            return self.rounded(name)
        with np.errstate(all="ignore"):
            if self._chain.flow[name].equation == "cost":
                return self._strict_cost()
            try:
                found = self._leading.link(name)
            except UnknownError:
                return None
            if found is None:
                return None
            ball = found.ball
            some = ball.mid[:, ::EVERY] if ball.mid.ndim > 2 else ball.mid  # a vector is looked at in full
            axes = tuple(range(1, some.ndim))
            size = np.maximum(some.max(axis=axes), -some.min(axis=axes)).astype(np.float64)
            if isinstance(ball, Product):
                return RankOne(ball.mid, ball.rows, ball.columns, ball.least, size)
            return Interval(ball.mid, ball.rad * DEFLATION, size, ball.kinked)

    def rounded(self, name: str) -> Interval | None:
        """Enclose one array of whoever computes in the precision, and goes on with the z that it answers."""
        return self._interval(self._rounded, name)

    def fused(self, name: str) -> Interval | None:
        """Enclose the cost, or δ^L, of whoever computes it from z^L and not from a^L; None for all others.

        A function that fuses the last activation with a cost that is made for it, as softmax with the cross-entropy,
        never rounds a^L, and is right where that would have cost most digits. It goes on with some a^L that follows
        from z^L.
        """
        network, steps = self._stack.architecture, self._chain.flow
        last = names.a(network.depth)
        if steps[name].equation not in ("cost", "BP1") or not COST_ROWS[network.cost.name].last:
            return None
        with np.errstate(all="ignore"):
            a = self._chain.link(last)
            return self._of(
                name, steps.link(name, lambda taken: a if taken == last else self._chain.array(taken))
            )

    def _interval(self, chain: Chain[Ball], name: str) -> Interval | None:
        with np.errstate(all="ignore"):
            return self._of(name, chain.link(name))

    def _of(self, name: str, ball: Ball | None) -> Interval | None:
        if ball is None:
            return None
        step, most = self._chain.flow[name], reach(ball)
        size = np.maximum(most, scale(self._stack, step))
        one = Interval(ball.mid, ball.rad * INFLATION, size, ball.kinked)
        return with_the_mean_last(self._stack, step, one, most)

    def _with_the_mean_last(self, name: str, one: Interval) -> Interval:
        """Allow for one rounding more of what is computed from a δ that is divided by m as late as this is.

        Whoever divides all of them last divides δ for the answer only. A power of two rounds nothing.
        """
        m = self._stack.batch if self._stack.architecture.reduction == "mean" else 1
        from_delta = any(
            taken.kind == "delta" for each in self._chain.flow.inside(name) for taken in each.takes
        )
        if not from_delta or is_power_of_two(m):
            return one
        with np.errstate(all="ignore"):
            size = np.abs(one.mid).astype(np.float64, copy=False) + one.rad
            return replace(one, rad=one.rad + self._arithmetic.unit * size + self._arithmetic.eta)

    def _strict_cost(self) -> Interval | None:
        """Enclose the cost by what adding up its terms adds: that of their sum so many times rounded, at least."""
        stack, last = self._stack, self._stack.architecture.depth
        name, outputs = names.cost(last), self._own.tensors().get(names.a(last))
        if outputs is None:
            return None
        a, y = (array.astype(np.float64, copy=False) for array in (outputs, stack.y))
        each = ({names.a(name.layer): one, names.Y: its} for one, its in zip(a, y, strict=True))
        mid = np.array([self._chain.flow.link(name, of_case.get) for of_case in each])
        size = np.abs(mid)
        return Interval(mid, self._arithmetic.gamma(y[0].size - 1) * INFLATION * size, size, kinked=False)

    def all(self, wanted: Iterable[str]) -> dict[str, Interval]:
        """Enclose several arrays; what cannot be had is left out."""
        return {name: one for name in wanted if (one := self.get(name)) is not None}


def _arithmetic(stack: Stack) -> Model:
    """Choose the arithmetic of links by how many multiplications the largest layer takes."""
    multiplications = stack.batch * max(int(W.size) for W in stack.cases[0].parameters.weights)
    chosen = model if multiplications <= LARGE else quick if multiplications <= WIDE else rough
    return chosen(stack.precision)
