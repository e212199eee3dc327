"""Slopes as a tape adds them up: other roundings than a formula's that was written down, and honest all the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, Parameters, judge
from gradparity.adapters.reference import load
from gradparity.reference.network import DTYPES, Array

OUTPUTS, BATCH = 500, 3


def huber(r: Array, g: np.floating) -> Array:
    """½ q q + (size - q), size = abs(r), q = min(size, 1): what comes back to q, in its turn, and then to size."""
    q, half = np.minimum(abs(r), r.dtype.type(1)), r.dtype.type(0.5)
    inside = ((-g + half * g * q) + half * g * q) + g
    return np.asarray(np.sign(r) * np.where(abs(r) < 1, inside, g))


def log_cosh(r: Array, g: np.floating) -> Array:
    """R + softplus(-2r), where softplus is the logarithm of e^z + e^0."""
    z = -2 * r
    return np.asarray(g - 2 * (g * np.exp(z - np.logaddexp(z, r.dtype.type(0)))))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("name", "slope", "largest"), [("huber", huber, 0.99), ("log_cosh", log_cosh, 30.0)])
def test_what_a_tape_adds_up_is_inside(
    name: str, slope: Callable[[Array, np.floating], Array], largest: float, precision: str
) -> None:
    dtype, rng = DTYPES[precision], np.random.default_rng(0)
    r = rng.uniform(-largest, largest, OUTPUTS)
    r[::2] *= 10.0 ** rng.uniform(-12, 0, OUTPUTS // 2)
    r = r.astype(dtype)
    network = Architecture(1, (Layer(OUTPUTS, "identity"),), Cost(name))
    zeros = np.zeros((OUTPUTS, 1), dtype)
    case = Case(
        network,
        Parameters((zeros,), (r,)),
        np.ones((BATCH, 1), dtype),
        np.zeros((BATCH, OUTPUTS), dtype),
        precision,
    )
    arrays = {key: np.array(array) for key, array in load("").gradients(case).tensors().items()}
    delta = slope(arrays["a1"], dtype.type(1) / dtype.type(BATCH))
    assert delta.dtype == dtype
    arrays |= {"delta1": delta, "db1": delta.sum(axis=0), "dW1": delta.T @ case.x}
    found = judge(case, Gradients.from_tensors(arrays, case))
    assert [(broken.name, broken.index, broken.margin) for broken in found.blamed] == []
