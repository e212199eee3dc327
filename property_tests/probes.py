"""Every activation and every cost by itself: one layer whose weighted inputs are whatever one wants them to be.

A random network puts a function at a few thousand points, most of them ordinary. A probe puts it where it is asked
to, through the same door as any case: the weights are the points, and each example switches on its own column of them,
so that z is exact, and ∂C/∂W is δ transposed, for whoever returns no δ.
"""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np

from ..reference.activations import ACTIVATION_ROWS
from ..reference.costs import COST_ROWS
from ..reference.functions.row import Targets
from ..reference.network import DTYPES, Architecture, Array, Case, Cost, Layer, Parameters

EXAMPLES, NEURONS = 8, 512

#: Where z (or a, for a cost) is spread evenly; and once over the binary exponents, down to next to nothing.
RANGES = ((-0.05, 0.05), (-1.0, 1.0), (-6.0, 6.0), (-40.0, 40.0), (-120.0, 120.0))

#: Shows σ by itself, since its gradient is -y whatever the output, and the activation that shows a cost by itself.
LINEAR, IDENTITY = Cost("negative_log_likelihood"), "identity"


def spreads(precision: str, rng: np.random.Generator) -> Iterator[Array]:
    """Return arrays of arguments (EXAMPLES, NEURONS)."""
    shape, dtype = (EXAMPLES, NEURONS), DTYPES[precision]
    for low, high in RANGES:
        yield rng.uniform(low, high, shape).astype(dtype)
    smallest = 0.88 * ml_dtypes.finfo(dtype).minexp
    yield (rng.choice([-1, 1], shape) * 2.0 ** rng.uniform(smallest, 3, shape)).astype(dtype)


def dense(precision: str, rng: np.random.Generator) -> Array:
    """Return one array (EXAMPLES, NEURONS) with a row of each spread, and what is left over the binary exponents."""
    *even, exponents = spreads(precision, rng)
    return np.concatenate([*(spread[:1] for spread in even), exponents[len(even) :]])


def one_layer(layer: Layer, cost: Cost, z: Array, y: Array) -> Case:
    """A case whose weighted inputs are z (m, n) exactly, up to the sign of a zero."""
    m, n = z.shape
    network = Architecture(m, (layer,), cost, "sum")
    parameters = Parameters((np.ascontiguousarray(z.T),), (np.zeros(n, z.dtype),))
    return Case(network, parameters, np.eye(m, dtype=z.dtype), y.astype(z.dtype), str(z.dtype), "dense")


def probed_layer(name: str, n: int) -> Layer:
    """Return the layer that an activation is probed in."""
    return Layer(n, name, *ACTIVATION_ROWS[name].probed)


def activation_at(name: str, z: Array, rng: np.random.Generator) -> Case:
    """-Σ y a with y = -1 has ∇_a C = 1, so that δ is σ′(z) itself; a Jacobian is multiplied by what is drawn.

    (The rows of softmax's Jacobian sum to 0, so that ones would show nothing.)
    """
    y = rng.normal(0, 1, z.shape) if ACTIVATION_ROWS[name].coupled else np.full(z.shape, -1.0)
    return one_layer(probed_layer(name, z.shape[1]), LINEAR, z, y)


def probed_cost(name: str) -> Cost:
    """Return the cost as it is probed."""
    return Cost(name, *COST_ROWS[name].probed)


def cost_at(name: str, a: Array, rng: np.random.Generator) -> Case:
    """Behind the identity δ is ∇_a C itself; targets are what the cost is meant for."""
    y, row = rng.normal(0, 1, a.shape), COST_ROWS[name]
    if row.targets is Targets.SIGNS:
        y = np.sign(y)
    elif row.targets in (Targets.PROBABILITIES, Targets.DISTRIBUTIONS):
        y = rng.uniform(0, 1, a.shape)
    if row.on_probabilities:
        a = np.clip(np.abs(a) % 1, ml_dtypes.finfo(a.dtype).tiny, None).astype(a.dtype)
    return one_layer(Layer(a.shape[1], IDENTITY), probed_cost(name), a, y)


def of_activation(name: str, precision: str, rng: np.random.Generator) -> Iterator[Case]:
    """Return cases that try an activation densely."""
    for z in spreads(precision, rng):
        yield activation_at(name, z, rng)


def of_cost(name: str, precision: str, rng: np.random.Generator) -> Iterator[Case]:
    """Return cases that try a cost densely."""
    for a in spreads(precision, rng):
        yield cost_at(name, a, rng)
