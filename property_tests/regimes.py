"""Value regimes: named ways of drawing a case's numbers, each with the reason why it is there.

A regime fills the parameters and the batch of a structure from one seed. It knows nothing of any
implementation: it says which numbers are hard, not who stumbles over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import ml_dtypes
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..reference.activations import activation
from ..reference.costs import COST_ROWS
from ..reference.functions.row import Targets
from ..reference.network import DTYPES, Architecture, Array, Case, Parameters

Generator = np.random.Generator

#: A layer of more weights than this is cut out of fewer numbers, uniform ones of the same variance: to draw as many as
#: it has, and normal ones, takes longer than to compute their gradient.
NORMAL = 2**13

#: Its rows are windows of one long draw, at most so many numbers apart: a prime, in step with no kernel's blocks.
STEP = 61


@dataclass
class Values:
    """A case's numbers while they are being drawn, in float64; the case rounds them to its precision."""

    weights: list[Array]
    biases: list[Array]
    x: Array
    y: Array


@dataclass(frozen=True)
class Regime:
    """A name, why such numbers are worth trying, and how they are drawn."""

    name: str
    why: str
    change: Callable[[Values, Generator, Architecture, np.dtype[np.floating]], None]


def _kind_of_targets(network: Architecture) -> Targets:
    return COST_ROWS[network.cost.name].targets


def _targets(rng: Generator, targets: Targets, shape: tuple[int, int]) -> Array:
    """Draw targets of a kind; distributions sum to 1."""
    if targets is Targets.SIGNS:
        return rng.choice([-1.0, 1.0], shape)
    if targets is Targets.PROBABILITIES:
        return rng.uniform(0, 1, shape)
    if targets is Targets.DISTRIBUTIONS:
        soft = rng.exponential(1, shape)
        return np.asarray(soft / soft.sum(axis=1, keepdims=True))
    if targets is Targets.COUNTS:
        return np.asarray(rng.poisson(2, shape), np.float64)
    return rng.normal(0, 1, shape)


def _weights(rng: Generator, n_out: int, n_in: int) -> Array:
    if n_out * n_in <= NORMAL:
        return rng.normal(0, n_in**-0.5, (n_out, n_in))
    step = min(STEP, n_in)
    drawn = rng.uniform(-0.5, 0.5, n_out * step + n_in) * (12 / n_in) ** 0.5
    return sliding_window_view(drawn, n_in)[: n_out * step : step]


def _ordinary(rng: Generator, network: Architecture, m: int) -> Values:
    """Draw what a network looks like after its initialisation: z of order 1 in every layer."""
    widths = network.widths
    return Values(
        [_weights(rng, n_out, n_in) for n_in, n_out in pairwise(widths)],
        [rng.normal(0, 0.5, n) for n in widths[1:]],
        rng.normal(0, 1, (m, widths[0])),
        _targets(rng, _kind_of_targets(network), (m, widths[-1])),
    )


def _keep(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    pass


def _saturate(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    for b in values.biases:
        b[:] = rng.choice([-1, 1], b.shape) * rng.uniform(4, 40, b.shape)


def _sweep(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    for W, b in zip(values.weights, values.biases, strict=True):
        W *= 1e-3
        b[:] = rng.choice([-1, 1], b.shape) * 2.0 ** rng.uniform(-12, 11, b.shape)


def _at_kinks(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    for layer, W, b in zip(network.layers, values.weights, values.biases, strict=True):
        kinks = np.array(activation(layer).kinks or (0.0,), np.float64)
        chosen = rng.random(b.shape) < 0.6
        W[chosen] = 0  # then z is the bias, whatever the input
        exactly = rng.choice(kinks, b.shape)
        beside = np.nextafter(exactly.astype(dtype), rng.choice([-np.inf, np.inf], b.shape).astype(dtype))
        b[chosen] = np.where(rng.random(b.shape) < 0.7, exactly, beside)[chosen]
    if _kind_of_targets(network) is Targets.ANY:
        # Where the last layer's output is known exactly, put the residual on the cost's own kink.
        known = ~values.weights[-1].any(axis=1)
        sigma = activation(network.layers[-1])
        outputs = np.asarray(sigma.value(values.biases[-1][None, :].astype(dtype)), np.float64)[0]
        kink = max(network.cost.parameters, default=0.0)
        values.y[:, known] = outputs[known] + rng.choice(
            [0.0, kink, -kink], (values.y.shape[0], int(known.sum()))
        )


def _tiny(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    info = ml_dtypes.finfo(dtype)
    values.x[:] = values.x * 2.0 ** rng.uniform(info.minexp - info.nmant, info.minexp // 2, values.x.shape)
    for b in values.biases:
        b *= 2.0 ** rng.uniform(info.minexp - info.nmant, info.minexp // 4, b.shape)
    for W in values.weights:
        W *= np.where(rng.random(W.shape) < 0.3, 2.0 ** rng.uniform(info.minexp // 2, 0, W.shape), 1)


def _large(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    values.x *= 2.0 ** rng.integers(4, 12)
    for b in values.biases:
        b *= 2.0 ** rng.integers(2, 8)


def _zeros(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    for array in (*values.weights, *values.biases, values.x):
        array[rng.random(array.shape) < rng.choice([0.0, 0.5, 1.0])] = 0
    if _kind_of_targets(network) is not Targets.SIGNS:
        values.y[rng.random(values.y.shape) < 0.5] = 0


def _integers(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    for array in (*values.weights, *values.biases, values.x):
        array[:] = rng.integers(-2, 3, array.shape)
    if _kind_of_targets(network) in (Targets.ANY, Targets.COUNTS):
        values.y[:] = rng.integers(0, 4, values.y.shape)


def _one_hot(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    if _kind_of_targets(network) is Targets.DISTRIBUTIONS:
        values.y[:] = np.eye(values.y.shape[1])[rng.integers(0, values.y.shape[1], values.y.shape[0])]
    elif _kind_of_targets(network) is Targets.PROBABILITIES:
        values.y[:] = rng.integers(0, 2, values.y.shape)


def _soft(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    if _kind_of_targets(network) is Targets.DISTRIBUTIONS:
        values.y[:] = rng.uniform(0, 1, values.y.shape)


def _repeat(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    values.x[:], values.y[:] = values.x[:1], values.y[:1]


def _mix(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    for array in (*values.weights, *values.biases, values.x):
        array *= 2.0 ** rng.uniform(-10, 3, array.shape)


def _not_finite(values: Values, rng: Generator, network: Architecture, dtype: np.dtype[np.floating]) -> None:
    spoilt = rng.integers(0, len(values.x))
    values.x[spoilt, rng.integers(0, values.x.shape[1])] = rng.choice([np.nan, np.inf, -np.inf])
    if rng.random() < 0.5:
        l = int(rng.integers(0, len(values.biases)))
        values.biases[l][rng.integers(0, len(values.biases[l]))] = rng.choice([np.nan, np.inf, -np.inf])


REGIMES = (
    Regime("ordinary", "what a freshly initialised network computes; every formula is at its best", _keep),
    Regime("saturated", "biases of 4 to 40 push neurons far into their flat or linear ends", _saturate),
    Regime(
        "sweep", "every neuron's z is its bias, spread over 2^-12 to 2^11: hidden thresholds show", _sweep
    ),
    Regime("kinks", "z and residuals exactly on a kink, or one unit in the last place beside it", _at_kinks),
    Regime("tiny", "values down to the subnormals: underflow, and flushing it to zero", _tiny),
    Regime("large", "inputs up to a thousand: overflow in a naive exponential, exact large slopes", _large),
    Regime("zeros", "silent inputs, dead weights and zero targets: 0/0, log 0, skipped updates", _zeros),
    Regime("integers", "small integers: exact ties and exact kinks arise by themselves", _integers),
    Regime("one_hot", "targets of exactly 0 and 1: 0 log 0", _one_hot),
    Regime("soft_targets", "targets of a distribution that do not sum to 1, as the definition allows", _soft),
    Regime("repeated_rows", "the same example m times: a lost or doubled row shows", _repeat),
    Regime(
        "mixed_magnitudes", "neighbours that differ by factors of a thousand: sums lose the small ones", _mix
    ),
)

#: Apart from the others, since most of what follows from it can only be judged link by link.
NOT_FINITE = Regime(
    "not_finite", "a NaN or an infinity in one input, and perhaps in a bias: it may not vanish", _not_finite
)

BY_NAME = {regime.name: regime for regime in (*REGIMES, NOT_FINITE)}


def case(network: Architecture, m: int, regime: Regime, seed: int, precision: str) -> Case:
    """Draw a case of m examples; the same arguments give the same bytes, and all precisions the same values."""
    rng = np.random.default_rng([seed, list(BY_NAME).index(regime.name)])
    dtype = DTYPES[precision]
    values = _ordinary(rng, network, m)
    if regime.change is not _keep:
        values.weights = [np.array(W, order="C") for W in values.weights]  # windows overlap
    regime.change(values, rng, network, dtype)

    def rounded(array: Array) -> Array:
        numbers = array.astype(dtype, "C", copy=False)
        numbers.flags.writeable = False  # or the case would take a copy
        return numbers

    parameters = Parameters(tuple(map(rounded, values.weights)), tuple(map(rounded, values.biases)))
    return Case(network, parameters, rounded(values.x), rounded(values.y), precision, regime.name)
