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
from typing import Any, Literal

import flint
import ml_dtypes
import numpy as np

from ..property_tests.probes import (
    activation_at,
    cost_at,
    dense,
    one_layer,
    probed_layer,
)
from ..reference.activations import Activation, activation
from ..reference.costs import cost_function
from ..reference.coupled import Coupled
from ..reference.enclosure import enclose
from ..reference.links import links
from ..reference.network import ACTIVATIONS, COSTS, DTYPES, Array, Case, Cost, Gradients, Layer
from ..reference.rounding.model import model
from .held import margins
from .workers import Answer

#: How an implementation is asked, without waiting for what it says: ``worker.submit``.
Ask = Callable[[Case], Future[Answer]]

Quantity = Literal["value", "slope"]

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
        probes = [*(probe(name, precision) for name in (*ACTIVATIONS, *COSTS)), exponential(precision)]
        asked = [(one, ask(one.case)) for one in probes]
        singles = [
            (one, [ask(case) for case in one.cases]) for one in (logarithm(precision), logarithm1p(precision))
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
    """Give u, half of the distance from 1 to the next number."""
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

    ``points`` and the exact values are (rows, 512) for what couples the neurons of a layer. All else is asked as one
    example with a neuron for each point, so that no infinity of one spoils ∂C/∂W of another, and is (points, 1) here.
    """

    function: str
    precision: str
    case: Case
    points: Array
    exact: dict[Quantity, Exact]


def _sampled(name: str, precision: str) -> Array:
    """Give the points at which a function is sampled, in the shape of the case."""
    points = dense(precision, np.random.default_rng(20))
    coupled = name == "softmax_cross_entropy" or isinstance(_sigma(name), Coupled)
    return points if coupled else points.reshape(1, -1)


def _sigma(name: str) -> Activation | None:
    return activation(probed_layer(name, 1)) if name in ACTIVATIONS else None


@cache
def probe(name: str, precision: str) -> Probe:
    """Make the probe of an activation or a cost; the exact values are computed once, for all implementations."""
    points, rng = _sampled(name, precision), np.random.default_rng(21)
    case = activation_at(name, points, rng) if name in ACTIVATIONS else cost_at(name, points, rng)
    z, y = (array if len(array) > 1 else array.T for array in (case.parameters.weights[0].T, case.y))
    sigma, exact = _sigma(name), dict[Quantity, Exact]()
    if sigma is None:
        exact["slope"] = exactly(cost_function(Cost(name)).gradient, (z, y), precision)
    else:
        exact["value"] = exactly(sigma.value, (z,), precision)
        exact["slope"] = exactly(lambda z, y: sigma.vjp(-y, z), (z, y), precision)
    return Probe(name, precision, case, z, exact)


@cache
def exponential(precision: str) -> Probe:
    """Make the probe of exp: Poisson's slope with y = 0 is e^a itself."""
    points = _sampled("poisson", precision)
    case = one_layer(Layer(points.shape[1], "identity"), Cost("poisson"), points, np.zeros(points.shape))
    return Probe("exp", precision, case, points.T, {"slope": exactly(np.exp, (points.T,), precision)})


@dataclass(frozen=True)
class Through:
    """An elementary function seen through one that has it inside: which quantity, where, and the roundings it adds."""

    function: str
    name: str
    quantity: Quantity
    where: Callable[[Array], Array]
    roundings: int = 0


def _everywhere(z: Array) -> Array:
    return np.ones(z.shape, bool)


#: By the probe that shows them. gelu is z times the normal distribution, which is 1/2 (1 + erf): accurate for z > 0.
ELEMENTARY = {
    "exp": Through("exp", "poisson", "slope", _everywhere),
    "elu": Through("expm1", "elu", "value", lambda z: z < 0),
    "tanh": Through("tanh", "tanh", "value", _everywhere),
    "sigmoid": Through("sigmoid", "sigmoid", "value", _everywhere),
    "gelu": Through("ndtr", "gelu", "value", lambda z: z > 0, 2),
}


def returned(answer: Gradients, quantity: Quantity) -> Array | None:
    """Give σ(z), or σ′(z), of a probe's answer; δ, or what ∂C/∂W says of it."""
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
        if one.function in (*ACTIVATIONS, *COSTS):
            margin = far[quantity].reshape(one.points.shape)
            yield _worst(one.function, quantity, one, result, exact, units, margin)
        seen = ELEMENTARY.get(one.function)
        if seen is not None and seen.quantity == quantity:
            allowed = model(one.precision).K[seen.function] + seen.roundings
            units = np.where(seen.where(one.points), units, 0.0)
            yield _worst(
                seen.function, quantity, one, result, exact, units, units / allowed, seen.name, allowed
            )


def far_out(case: Case, answer: Gradients) -> dict[Quantity, Array]:
    """Give the margins of σ(z) and of σ′(z) on their links; on the enclosure for who returns neither z nor δ."""
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


# ----------------------------------------------------------------------------------------- what only costs show


@dataclass(frozen=True, eq=False)
class Single:
    """A function that is seen in the cost of one example with one output: a case for each point (points,)."""

    through: Through
    precision: str
    cases: tuple[Case, ...]
    points: Array
    exact: Exact


SINGLES = 96


def _single(through: Through, cost: str, y: float, points: Array, exact: Callable[..., Array]) -> Single:
    at = points[:, None]
    cases = tuple(
        one_layer(Layer(1, "identity"), Cost(cost), at[i : i + 1], np.full((1, 1), y)) for i in range(len(at))
    )
    return Single(through, str(points.dtype), cases, points, exactly(exact, (at,), str(points.dtype)))


@cache
def logarithm(precision: str) -> Single:
    """-y log a with y = 1, for a from next to nothing to 1."""
    dtype, rng = DTYPES[precision], np.random.default_rng(22)
    exponents = rng.uniform(0.88 * ml_dtypes.finfo(dtype).minexp, 0, SINGLES // 2)
    points = np.concatenate([2.0**exponents, rng.uniform(0.01, 0.99, SINGLES // 2)]).astype(dtype)
    through = Through("log", "cross_entropy", "value", _everywhere)
    return _single(through, "cross_entropy", 1.0, points, lambda a: -np.log(a))


@cache
def logarithm1p(precision: str) -> Single:
    """-(1 - y) log(1 - a) with y = 0, where it does not matter whether it is log1p(-a) or log(1 - a)."""
    points = np.random.default_rng(23).uniform(0.3, 0.6, SINGLES).astype(DTYPES[precision])
    through = Through("log1p", "binary_cross_entropy", "value", _everywhere, 3)
    return _single(through, "binary_cross_entropy", 0.0, points, lambda a: -np.log(1 - a))


def measure_single(single: Single, answers: Sequence[Answer]) -> Iterator[Measured]:
    """Hold the costs of single examples against the exact values; where one is missing, nothing is said."""
    costs = [answer.gradients.cost for answer in answers if answer.gradients is not None]
    if len(costs) < len(answers) or any(cost is None for cost in costs):
        return
    result = np.array([np.asarray(cost) for cost in costs]).reshape(-1, 1)
    units = single.exact.units(result, single.precision)
    allowed = model(single.precision).K[single.through.function] + single.through.roundings
    probe = Probe(single.through.function, single.precision, single.cases[0], single.points[:, None], {})
    yield _worst(
        single.through.function, "value", probe, result, single.exact, units, units / allowed,
        single.through.name, allowed,
    )  # fmt: skip
