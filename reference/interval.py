"""Intervals: what an array of an answer is held against, and how large such an array is by nature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .activations import activation
from .costs import cost_function
from .network import Array
from .rounding.balls import OF_A_CASE, Ball
from .rounding.given import AT_ONCE, given
from .rounding.model import Model, model
from .stack import Stack
from .steps import Step

#: The radii's own arithmetic is float64, all terms positive: a chain of n operations is off by at most about
#: n 2^-53 relatively. 2^-20 covers chains of 2^33 operations, beyond any case that fits in memory.
INFLATION = 1 + 2.0**-20


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
            # As large as what it is multiplied with: row by row would take twice as long.
            scale = np.repeat(scale, off.shape[-2], axis=-2)
            for i in range(0, self.rows.shape[-2], some):
                result_here, mid_here = result[:, i : i + some], self.mid[:, i : i + some]
                here = np.subtract(result_here, mid_here, dtype=off.dtype, out=off[:, : result_here.shape[1]])
                np.abs(here, out=here)
                here *= scale[:, : here.shape[1]]
                worst[:, i : i + some] = here.max(axis=-1, keepdims=True)
            return np.asarray(np.where(worst == 0, 0.0, worst / self.rows).max(axis=OF_A_CASE))


Bounds = Interval | RankOne


def known(stack: Stack, arithmetic: Model, array: Array) -> Ball:
    """Make a ball of an array that everybody is given; of a stack's, once."""
    ball: Ball = stack.once(arithmetic.midpoint, partial(given, arithmetic), array)
    return ball


def scale(stack: Stack, step: Step) -> Array:
    """Return what an array's errors are compared with where it vanishes by nature, as softmax's do for one neuron."""
    network, none = stack.architecture, np.zeros(len(stack.cases))
    if step.makes.kind == "a":
        return none + activation(network.layers[step.makes.layer - 1]).scale
    if step.equation != "BP1":
        return none
    own = cost_function(network.cost).scale
    return own * finite(stack.y) / (stack.batch if network.reduction == "mean" else 1) if own else none


def largest(array: Array) -> Array:
    """Give the largest component of each case; 0 where there is none."""
    return np.asarray(array.reshape(len(array), -1).max(axis=1, initial=0.0))


def finite(array: Array) -> Array:
    """Give the largest finite absolute value of each case."""
    mid = np.abs(array).astype(np.float64)
    return largest(np.where(np.isfinite(mid), mid, 0.0))


def with_the_mean_last(stack: Stack, step: Step, one: Interval, most: Array) -> Interval:
    """Allow the mean's division to come last: nothing is known of what is m times as large and overflows before it."""
    m = stack.batch if stack.architecture.reduction == "mean" else 1
    limit = model(stack.precision).largest
    if step.equation == "forward":
        return one
    if m == 0:  # the mean of nothing
        return replace(one, rad=np.full(one.mid.shape, np.inf))
    if m == 1 or most.max(initial=0.0) <= limit / m:
        return one
    return replace(one, rad=np.where(np.abs(one.mid) + one.rad <= limit / m, one.rad, np.inf))


def reach(ball: Ball | Interval) -> Array:
    """Bound the largest absolute value in a link's interval, where that is finite, for each case.

    A radius of more than half of it holds an answer of zeros, or of the opposite sign.
    """
    mid = ball.mid.reshape(len(ball.mid), -1)
    most = np.maximum(mid.max(axis=1, initial=0.0), -mid.min(axis=1, initial=0.0))
    most = np.asarray(most.astype(np.float64) + ball.widest)
    if not (fine := np.isfinite(most)).all():
        most[~fine] = finite(np.abs(ball.mid[~fine]).astype(np.float64) + ball.rad[~fine])
    return most
