"""The platform an implementation stands on: how far off its functions are, apart from any backpropagation.

Measured through the ordinary door, cases in and answers out, so that it is the same for every implementation in any
language. The platform certificate says of every activation's σ and σ′ and every cost's ∇C, over dense samples, how many
units of u the result is from the exact value, and how far out in its link's enclosure; and of the elementary functions
that can be seen through them, whether they keep to the table K that all enclosures rest on. So a bad tanh is named as a
bad tanh.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import Any

import flint
import ml_dtypes
import numpy as np

from ..property_tests.probes import IDENTITY, activation_at, cost_at, dense, one_layer, probed_cost
from ..reference.activations import ACTIVATION_ROWS, activation
from ..reference.costs import COST_ROWS, cost_function
from ..reference.enclosure import enclose
from ..reference.functions.row import CostShows, Quantity, Shows
from ..reference.links import links
from ..reference.network import DTYPES, Array, Case, Gradients, Layer
from ..reference.rounding.model import model
from .held import margins
from .workers import Answer

#: How an implementation is asked, without waiting for what it says: ``worker.submit``.
Ask = Callable[[Case], Future[Answer]]

#: Bits to begin with, where a formula cancels more, and where it cancels all that 120 can make it.
_BITS = (192, 768, 3072)
#: An exact value is known to this many bits beyond its first.
_KNOWN = 80


@dataclass(frozen=True)
class Measured:
    """The largest error of one function in one precision over its samples.

    ``units`` is abs(result - exact) / (u abs(exact)); the largest float there is where the result was no number. Where
    a formula cancels by nature, as tanh′ does in its tails, it is large, and right. ``margin`` is the largest share of
    what was allowed: of the link's radius, or of ``allowed`` units for an elementary function, which was seen
    ``through`` the function of that name. Beyond 1, the function is bad. ``at``, ``result`` and ``exact`` show the
    component that is farthest out (of what was allowed where it is bad, in units where it is not).
    """

    function: str
    quantity: Quantity
    precision: str
    units: float
    margin: float
    at: float
    result: str
    exact: str
    samples: int
    through: str = ""
    allowed: int | None = None

    @property
    def bad(self) -> bool:
        """Whether it leaves what is allowed."""
        return self.margin > 1

    def __str__(self) -> str:
        what = f"{self.function}'s {self.quantity}" + (
            f" (seen through {self.through})" if self.through else ""
        )
        return (
            f"{what} in {self.precision} is {self.units:.3g} u off at {self.at!r}: {self.result} where "
            f"{self.exact} is exact; {self.margin:.3g} of what is allowed"
        )


def certify(ask: Ask, precisions: Sequence[str]) -> tuple[list[Measured], dict[str, str]]:
    """Measure every function; gives what could be measured, and who has not answered, and why."""
    measured: list[Measured] = []
    declined: dict[str, str] = {}
    for precision in precisions:
        probes = [
            *(probe(name, precision) for name in (*ACTIVATION_ROWS, *COST_ROWS)),
            *(through_slope(name, precision) for name in _shown_in("slope")),
        ]
        asked = [(one, ask(one.case)) for one in probes]
        singles = [
            (one, [ask(case) for case in one.cases])
            for one in (through_value(name, precision) for name in _shown_in("value"))
        ]
        for one, future in asked:
            answer = future.result()
            if answer.gradients is None:
                declined[f"{one.function} {precision}"] = answer.message
            else:
                measured += measure(one, answer.gradients)
        for single, futures in singles:
            measured += measure_single(single, [future.result() for future in futures])
    return measured, declined


# ------------------------------------------------------------------------------------------------ exact values


@dataclass(frozen=True)
class Exact:
    """Exact values as sums of two float64 arrays; ``counted`` where they are normal numbers of the precision."""

    head: Array
    tail: Array
    counted: Array

    def units(self, result: Array, precision: str) -> Array:
        """abs(result - exact) / (u abs(exact)): 0 where it is not counted, infinite where the result is no number."""
        with np.errstate(all="ignore"):
            given = result.astype(np.float64)
            off = np.abs((given - self.head) - self.tail) / (np.abs(self.head) * unit(precision))
        return np.where(self.counted, np.where(np.isfinite(given), off, np.inf), 0.0)


def unit(precision: str) -> float:
    """Return u, half of the distance from 1 to the next number."""
    return float(2.0 ** -(ml_dtypes.finfo(DTYPES[precision]).nmant + 1))


def exactly(evaluate: Callable[..., Array], arguments: Sequence[Array], precision: str) -> Exact:
    """Evaluate a function of arrays (m, n), whose rows are independent of each other, in arbitrary precision.

    Rows in which something cancels are evaluated again with more bits.
    """
    info: Any = ml_dtypes.finfo(DTYPES[precision])
    smallest, largest = float(info.smallest_normal), float(info.max)
    head, tail = np.zeros(arguments[0].shape), np.zeros(arguments[0].shape)
    rows = np.arange(len(head))
    for bits in _BITS:
        with flint.ctx.workprec(bits):
            found = evaluate(*(_arbs(array[rows]) for array in arguments))
            mids = [value.mid() for value in found.flat]
            near = np.array([float(mid) for mid in mids])
            rest = np.array([float(mid - flint.arb(first)) if math.isfinite(first) else 0.0
                             for mid, first in zip(mids, near, strict=True)])  # fmt: skip
            rads = np.array([float(value.rad()) for value in found.flat])
        head[rows], tail[rows] = near.reshape(found.shape), rest.reshape(found.shape)
        enough = (rads <= np.abs(near) * 2.0**-_KNOWN) | (np.abs(near) + rads < smallest)
        rows = rows[~enough.reshape(found.shape).all(axis=1)]
        if not len(rows):
            break
    return Exact(head, tail, (np.abs(head) >= smallest) & (np.abs(head) <= largest))


def _arbs(array: Array) -> Array:
    result = np.empty(array.shape, dtype=object)
    result.flat[:] = [flint.arb(float(value)) for value in array.flat]
    return result


# ------------------------------------------------------------------------------------------------ functions


@dataclass(frozen=True, eq=False)
class Probe:
    """One function in one precision: a case that samples it, where, and what is exact there.

    ``shows`` is the elementary function that is seen through it, if any, and ``through`` the name of the function that
    it is seen through; ``itself`` whether the function is measured as well. ``points`` and the exact values are (rows,
    512) for what couples the neurons of a layer. All else is asked as one example with a neuron for each point, so that
    no infinity of one spoils ∂C/∂W of another, and is (points, 1) here.
    """

    function: str
    precision: str
    case: Case
    points: Array
    exact: dict[Quantity, Exact]
    shows: Shows | None = None
    through: str = ""
    itself: bool = True


def _sampled(name: str, precision: str) -> Array:
    """Return the points at which a function is sampled, in the shape of the case."""
    points = dense(precision, np.random.default_rng(20))
    row = ACTIVATION_ROWS.get(name) or COST_ROWS[name]
    return points if row.coupled else points.reshape(1, -1)


@cache
def probe(name: str, precision: str) -> Probe:
    """Make the probe of an activation or a cost; the exact values are computed once, for all implementations."""
    points, rng = _sampled(name, precision), np.random.default_rng(21)
    row = ACTIVATION_ROWS.get(name)
    case = cost_at(name, points, rng) if row is None else activation_at(name, points, rng)
    z, y = (array if len(array) > 1 else array.T for array in (case.parameters.weights[0].T, case.y))
    exact = dict[Quantity, Exact]()
    if row is None:
        exact["slope"] = exactly(cost_function(case.architecture.cost).gradient, (z, y), precision)
        return Probe(name, precision, case, z, exact)
    sigma = activation(case.architecture.layers[0])
    exact["value"] = exactly(sigma.value, (z,), precision)
    exact["slope"] = exactly(lambda z, y: sigma.vjp(-y, z), (z, y), precision)
    return Probe(name, precision, case, z, exact, row.shows, name)


# ------------------------------------------------------------------------------- elementary functions that costs show


def _shown_in(quantity: Quantity) -> list[str]:
    """Name the costs that show an elementary function in their value, or in their slope; by the name of that."""
    shown = (
        (row.shows.function, name)
        for name, row in COST_ROWS.items()
        if row.shows and row.shows.quantity == quantity
    )
    return [name for _, name in sorted(shown)]


def _shows(name: str) -> CostShows:
    shows = COST_ROWS[name].shows
    assert shows is not None
    return shows


@cache
def through_slope(name: str, precision: str) -> Probe:
    """Make the probe of what a cost's slope is with the right target, as e^a is Poisson's with y = 0."""
    shows, points = _shows(name), _sampled(name, precision)
    case = one_layer(
        Layer(points.shape[1], IDENTITY), probed_cost(name), points, np.full(points.shape, shows.target)
    )
    exact: dict[Quantity, Exact] = {"slope": exactly(shows.exact, (points.T,), precision)}
    return Probe(shows.function, precision, case, points.T, exact, shows, name, itself=False)


def returned(answer: Gradients, quantity: Quantity) -> Array | None:
    """Return σ(z), or σ′(z), of a probe's answer; δ, or what ∂C/∂W says of it."""
    if quantity == "value":
        return None if answer.a is None else np.asarray(answer.a[0])
    return np.asarray(answer.dW[0]).T if answer.delta is None else np.asarray(answer.delta[0])


def measure(one: Probe, answer: Gradients) -> Iterator[Measured]:
    """Hold an answer to a probe against the exact values and against its own links."""
    far = far_out(one.case, answer)
    for quantity, exact in one.exact.items():
        result = returned(answer, quantity)
        if result is None:
            continue
        result = result.reshape(one.points.shape)
        units = exact.units(result, one.precision)
        if one.itself:
            margin = far[quantity].reshape(one.points.shape)
            yield _worst(one.function, quantity, one, result, exact, units, margin)
        shows = one.shows
        if shows is not None and shows.quantity == quantity:
            allowed = model(one.precision).K[shows.function] + shows.roundings
            units = np.where(shows.where(one.points), units, 0.0)
            yield _worst(
                shows.function, quantity, one, result, exact, units, units / allowed, one.through, allowed
            )


def far_out(case: Case, answer: Gradients) -> dict[Quantity, Array]:
    """Return the margins of σ(z) and of σ′(z) on their links; on the enclosure for who returns neither z nor δ."""
    chain = answer.z is not None and answer.a is not None and answer.delta is not None
    bounds = links(case, answer) if chain else enclose(case)
    found: dict[Quantity, Array] = {}
    if answer.a is not None:
        found["value"] = margins(np.asarray(answer.a[0]), bounds["a1"])
    if answer.delta is not None:
        found["slope"] = margins(np.asarray(answer.delta[0]), bounds["delta1"])
    else:
        found["slope"] = margins(np.asarray(answer.dW[0]), bounds["dW1"]).T
    return found


def _worst(
    function: str, quantity: Quantity, one: Probe, result: Array, exact: Exact, units: Array, margin: Array,
    through: str = "", allowed: int | None = None,
) -> Measured:  # fmt: skip
    by = margin if margin.max() > 1 else units
    at = np.unravel_index(int(np.argmax(by)), by.shape)
    with flint.ctx.workprec(128):
        known = flint.arb(float(exact.head[at])) + flint.arb(float(exact.tail[at]))
        written = known.str(20, radius=False)
    return Measured(
        function, quantity, one.precision, _finite(units.max()), _finite(margin.max()), float(one.points[at]),
        repr(float(result[at])), written, int(np.count_nonzero(exact.counted)), through, allowed,
    )  # fmt: skip


def _finite(value: Any) -> float:
    """Write infinity as the largest float, which JSON has."""
    return min(float(value), sys.float_info.max)


# ------------------------------------------------------------------------------------ what only values of costs show


@dataclass(frozen=True, eq=False)
class Single:
    """A function that is seen in a cost's value, of one example with one output: a case for each point (points,)."""

    through: str
    precision: str
    cases: tuple[Case, ...]
    points: Array
    exact: Exact


SINGLES = 96


@cache
def through_value(name: str, precision: str) -> Single:
    """Make the probe of what a cost's value is with the right target, as -log a is the cross-entropy's with y = 1."""
    shows, dtype = _shows(name), DTYPES[precision]
    rng = np.random.default_rng(22 + _shown_in("value").index(name))
    small, number = np.empty(0), SINGLES
    if shows.down_to_nothing:
        number = SINGLES // 2
        small = 2.0 ** rng.uniform(0.88 * ml_dtypes.finfo(dtype).minexp, 0, number)
    at = np.concatenate([small, rng.uniform(*shows.between, number)]).astype(dtype)[:, None]
    cases = tuple(
        one_layer(Layer(1, IDENTITY), probed_cost(name), at[i : i + 1], np.full((1, 1), shows.target))
        for i in range(len(at))
    )
    return Single(name, precision, cases, at[:, 0], exactly(shows.exact, (at,), precision))


def measure_single(single: Single, answers: Sequence[Answer]) -> Iterator[Measured]:
    """Hold the costs of single examples against the exact values; where one is missing, nothing is said."""
    costs = [answer.gradients.cost for answer in answers if answer.gradients is not None]
    if len(costs) < len(answers) or any(cost is None for cost in costs):
        return
    result = np.array([np.asarray(cost) for cost in costs]).reshape(-1, 1)
    units = single.exact.units(result, single.precision)
    shows = _shows(single.through)
    allowed = model(single.precision).K[shows.function] + shows.roundings
    probe = Probe(shows.function, single.precision, single.cases[0], single.points[:, None], {})
    yield _worst(
        shows.function, "value", probe, result, single.exact, units, units / allowed, single.through, allowed
    )
