"""Cases without rounding: small whole numbers times powers of two, on which every correct answer is the same.

What rounding/lattice.py certifies of them has no tolerance at all, in any precision, and that is the sharpest test
there is in the short ones. Structure is drawn by Hypothesis and values come from one seed, as in strategies.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from ..reference.activations import ACTIVATION_ROWS, activation
from ..reference.costs import COST_ROWS
from ..reference.functions.row import Targets
from ..reference.network import ACTIVATIONS, COSTS, DTYPES, Architecture, Array, Case, Cost, Layer, Parameters
from .strategies import drawn_at

Generator = np.random.Generator

#: Made of straight pieces whose slopes a few bits hold, and costs whose gradients are straight in a and y.
EXACT_ACTIVATIONS = tuple(name for name, row in ACTIVATION_ROWS.items() if row.exact)
EXACT_COSTS = tuple(name for name, row in COST_ROWS.items() if row.exact)

#: The regimes of a structure's cases: in the first no z and no residual lies on a kink, where a slope is a convention;
#: in the other those of one layer, or of the cost, may.
APART, TIED = "lattice", "lattice_ties"

#: How many cases one structure gives: compiling is paid once an architecture.
CASES_EACH = 8


@dataclass(frozen=True)
class LatticeStructure:
    """All that is drawn of a handful of cases: they share the architecture and m, and differ in values."""

    architecture: Architecture
    batch: int
    seed: int

    def cases(self, precision: str) -> Iterator[Case]:
        """Return the cases; every other one may have ties."""
        for index in range(CASES_EACH):
            regime = (APART, TIED)[index % 2]
            yield lattice_case(self.architecture, self.batch, regime, self.seed + index, precision)


@st.composite
def lattice_layers(
    draw: st.DrawFn,
    activations: tuple[str, ...] = EXACT_ACTIVATIONS,
    widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6),
) -> Layer:
    """Draw a layer that adds only a few bits."""
    name = draw(st.sampled_from(activations))
    parameters = [draw(st.sampled_from(one.exact)) for one in ACTIVATION_ROWS[name].parameters]
    return Layer(draw(st.sampled_from(widths)), name, *parameters)


@st.composite
def lattice_structures(
    draw: st.DrawFn,
    activations: tuple[str, ...] = EXACT_ACTIVATIONS,
    costs: tuple[str, ...] = EXACT_COSTS,
    deepest: int = 4,
) -> LatticeStructure:
    """Draw a structure small enough that eight bits hold everything; means are over powers of two."""
    name = draw(st.sampled_from(costs))
    cost = Cost(name, *[draw(st.sampled_from(one.exact)) for one in COST_ROWS[name].parameters])
    hidden = draw(st.lists(lattice_layers(activations), max_size=deepest - 1))
    last = draw(lattice_layers(activations, (1, 2, 4)))
    reduction = draw(st.sampled_from(["mean", "sum"]))
    network = Architecture(draw(st.integers(1, 6)), (*hidden, last), cost, reduction)
    batch = draw(st.sampled_from([1, 2, 4]) if reduction == "mean" else st.integers(1, 4))
    return LatticeStructure(network, batch, draw(st.integers(0, 2**32 - 1)))


def lattice_structure_at(
    seed: int, index: int, activations: tuple[str, ...] = ACTIVATIONS, costs: tuple[str, ...] = COSTS
) -> LatticeStructure | None:
    """Draw structure number ``index`` of a campaign; it depends on the arguments alone.

    None where none of the activations, or none of the costs, is exact. Costs are walked through; the rest is
    Hypothesis' choice.
    """
    exact = tuple(name for name in EXACT_ACTIVATIONS if name in activations)
    fitting = tuple(name for name in EXACT_COSTS if name in costs)
    if not exact or not fitting:
        return None
    return drawn_at(seed, index, lattice_structures(exact, (fitting[index % len(fitting)],)))


def lattice_case(network: Architecture, m: int, regime: str, seed: int, precision: str) -> Case:
    """Draw a case of m examples, its numbers of order 1; wider precisions get finer ones, so that all bits are used."""
    rng, dtype = np.random.default_rng([seed, m]), DTYPES[precision]
    spare = ml_dtypes.finfo(dtype).nmant - 7  # bits more than bfloat16 has
    fine = 2 ** (spare // (2 * network.depth + 3))
    tied = rng.integers(network.depth + 1) if regime == TIED else None  # the one place that may have ties

    a = x = _sparse(rng, (m, network.inputs), fine, 0.7) * rng.choice([1.0, 2.0])
    weights, biases = [], []
    for l, layer in enumerate(network.layers):
        shape = (layer.width, a.shape[1])
        W = _sparse(rng, shape, fine, min(1.0, 1.8 / shape[1])) * rng.choice([0.5, 1.0])
        sigma = activation(layer)
        b = _shifts(rng, a @ W.T, () if l == tied else sigma.kinks, fine)
        a = np.asarray(sigma.value(a @ W.T + b))
        weights.append(W)
        biases.append(b)
    y = _targets(rng, COST_ROWS[network.cost.name].targets, a, tied != network.depth, fine)
    *given, x, y = (array.astype(dtype) for array in (*weights, *biases, x, y))
    return Case(
        network,
        Parameters(tuple(given[: network.depth]), tuple(given[network.depth :])),
        x,
        y,
        precision,
        regime,
    )


def _sparse(rng: Generator, shape: tuple[int, ...], fine: int, density: float) -> Array:
    """Draw multiples of 1 / fine from -1 to 1, and more zeros between them."""
    return np.asarray(rng.integers(-fine, fine + 1, shape) / fine * (rng.random(shape) < density))


def _shifts(rng: Generator, z: Array, kinks: tuple[float, ...], fine: int) -> Array:
    """Draw a bias for each column of z (m, n), one of a few that moves it off the kinks, if there is such."""
    choices = np.concatenate(
        [rng.permutation(np.arange(-fine, fine + 1) / fine)[:9], [0.5, -0.5, 1.5, 0.25, -0.25]]
    )
    moved = z + choices[: len(choices) if kinks else 1, None, None]  # (choices, m, n)
    return np.asarray(choices[np.isin(moved, kinks).any(axis=1).argmin(axis=0)])


def _targets(rng: Generator, targets: Targets, a: Array, apart: bool, fine: int) -> Array:
    """Draw targets of a kind, off a cost's kink if asked."""
    if targets is Targets.SIGNS:
        y = rng.choice([-1.0, 1.0], a.shape)
        return np.where(y * a == 1, -y, y) if apart else y
    if targets is Targets.DISTRIBUTIONS:
        return np.asarray(np.eye(a.shape[1])[rng.integers(0, a.shape[1], len(a))])
    y = _sparse(rng, a.shape, fine, 0.7)
    return np.where(a == y, y + 1, y) if apart else y
