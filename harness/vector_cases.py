"""The frozen test vectors: for each its architecture, how its numbers are drawn, and the id that they must have.

They were chosen greedily from some hundreds, until every activation, cost, flag and known fault had one, and then
thinned out: tests/test_vectors.py holds that none can be left out. Two lines of one architecture stay together,
since what is kept from one case to the next shows only then. The vectors of an activation by itself are made from its
row, and locked in vectors.lock.json.

    python -m gradparity.harness.vector_cases

prints the lock with every activation that it does not have yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..property_tests.lattices import APART, TIED, lattice_case
from ..property_tests.probes import IDENTITY
from ..property_tests.regimes import BY_NAME, case
from ..reference.activations import ACTIVATION_ROWS
from ..reference.functions.row import ActivationRow
from ..reference.network import DTYPES, Architecture, Case, Cost, Layer, Parameters

#: The regime in which the first layer's weighted inputs lie at points that are chosen, one a neuron.
POINTS = "points"

#: At the first eight z is exactly the point: the kinks of all activations, and a hair beside zero. At the others the
#: weights add to it; they go out to where e^z overflows in ever wider precisions, and a narrow layer has the first.
EXACTLY = (0.0, -(2.0**-60), 2.0**-60, -1.0, 1.0, -3.0, 3.0, 6.0)
AROUND = (
    0.375,
    -0.625,
    1.75,
    -2.25,
    4.5,
    -5.0,
    11.0,
    -13.0,
    24.0,
    -24.0,
    45.0,
    -46.0,
    100.0,
    -101.0,
    800.0,
    -800.0,
)


@dataclass(frozen=True)
class Vector:
    """One line of the table, in one precision."""

    architecture: Architecture
    batch: int
    values: str
    seed: int
    precision: str
    id: str = ""

    def case(self) -> Case:
        """Draw the case, the same everywhere."""
        if self.values in (APART, TIED):
            return lattice_case(self.architecture, self.batch, self.values, self.seed, self.precision)
        if self.values == POINTS:
            return _at_points(self.architecture, self.batch, self.seed, self.precision)
        return case(self.architecture, self.batch, BY_NAME[self.values], self.seed, self.precision)


def _at_points(network: Architecture, m: int, seed: int, precision: str) -> Case:
    drawn, dtype = case(network, m, BY_NAME["ordinary"], seed, "float64"), DTYPES[precision]
    weights, biases = list(drawn.parameters.weights), list(drawn.parameters.biases)
    weights[0] = weights[0].copy()
    weights[0][: len(EXACTLY)] = 0
    biases[0] = np.array((*EXACTLY, *AROUND))[: network.layers[0].width]
    parameters = Parameters(tuple(W.astype(dtype) for W in weights), tuple(b.astype(dtype) for b in biases))
    return Case(network, parameters, drawn.x.astype(dtype), drawn.y.astype(dtype), precision, POINTS)


#: How many of the points a layer has, if that leaves every interval narrow. Far out in the short precisions nothing is
#: known of a sum in which 800 meets 0.4, or it overflows; there the lock says how many.
WIDTHS = {"float64": 24, "float32": 22, "bfloat16": 18, "float16": 18}

#: For every activation that has vectors of its own, how many points they have and the ids that they must have.
LOCK = Path(__file__).with_name("vectors.lock.json")
Lock = dict[str, dict[str, dict[str, Any]]]
LOCKED: Lock = json.loads(LOCK.read_text())


def _line(
    inputs: int,
    layers: Sequence[tuple[Any, ...]],
    cost: Cost,
    reduction: str,
    batch: int,
    draws: Sequence[tuple[str, int]],
    **ids: str,
) -> Iterator[Vector]:
    """Return the vectors of one architecture: for every precision its draws, regime and seed, one after the other."""
    network = Architecture(inputs, tuple(Layer(*layer) for layer in layers), cost, reduction)
    for precision, frozen in ids.items():
        for (values, seed), case_id in zip(draws, frozen.split(), strict=True):
            yield Vector(network, batch, values, seed, precision, case_id)


def _points(row: ActivationRow) -> Iterator[Vector]:
    """Return an activation's own vectors, as they are locked; none where it is not."""
    for precision, locked in LOCKED.get(row.name, {}).items():
        yield _of_points(row, precision, locked["points"], locked["id"])


def _of_points(row: ActivationRow, precision: str, points: int, case_id: str = "") -> Vector:
    layers = (Layer(points, row.name, *row.frozen), Layer(2, IDENTITY))
    network = Architecture(2, layers, Cost("half_squared_error"), "sum")
    return Vector(network, 2, POINTS, 0, precision, case_id)


def lock() -> Lock:
    """Return the lock with every elementwise activation that is still missing there."""
    missing = [row for row in ACTIVATION_ROWS.values() if row.name not in LOCKED and not row.coupled]
    return LOCKED | {
        row.name: {
            precision: {"points": points, "id": _of_points(row, precision, points).case().id}
            for precision, points in WIDTHS.items()
        }
        for row in missing
    }


# fmt: off
VECTORS = (
    *_line(
        2, [(3, "hardtanh"), (1, "identity")], Cost("squared_error"), "sum", 3, [("lattice", 0)],
        float64="841b392b818a4ceb", bfloat16="18739770ac3bdfac", float16="979e02446d8d6a17",
    ),
    *_line(
        3, [(4, "relu6"), (2, "identity")], Cost("absolute_error"), "sum", 3, [("lattice_ties", 2)],
        float32="4ee4ecaa9e14bb5c", bfloat16="4286149ff30162a5", float16="e99d8174f5d7719f",
    ),
    *_line(
        2, [(3, "hardtanh"), (1, "identity")], Cost("huber", 0.5), "mean", 4, [("lattice", 0)],
        float32="b52bd860606be42c", float16="b472b7410fd5cc0e",
    ),
    *_line(
        2, [(3, "hardtanh"), (1, "identity")], Cost("hinge"), "sum", 1, [("lattice", 0)],
        float64="8888b0197e8cf232", float32="d1ff9d4ea061b835",
        bfloat16="aa900cd04273ddda", float16="cf4d2d6e42d28639",
    ),
    *_line(
        3, [(4, "relu"), (2, "leaky_relu", 0.25), (2, "identity")],
        Cost("negative_log_likelihood"), "sum", 3, [("lattice", 0), ("lattice", 10)],
        float64="040d4a8a4337ebce de1dfbaa9884f1d8", float32="ddf8d9c8d51fe36f 88724b81f87c2000",
        bfloat16="b267eac2f4ad752a 856e17773abce31a", float16="af5e1dbc55ab1692 45d7a3cf39b6f941",
    ),
    *_line(
        2, [(5, "sigmoid"), (3, "sigmoid")],
        Cost("half_squared_error"), "mean", 6, [("ordinary", 0), ("saturated", 4)],
        float64="0c54dc6109263d5b ed4f112dc4d4a77c", float32="e28b8083ff52a88b b46620d65a8abe90",
    ),
    *_line(
        4, [(4, "tanh"), (4, "sigmoid"), (4, "softplus")], Cost("squared_error"), "mean", 4, [("ordinary", 0)],
        float64="b870c508abaa0aa2", float32="91a4627561b48a3e",
    ),
    *_line(
        2, [(3, "softmax")], Cost("half_squared_error"), "mean", 4, [("saturated", 1)],
        float32="2523bba21c8a9035", bfloat16="c5863084d9d8211c", float16="3f78a4d22e6b75c0",
    ),
    *_line(
        2, [(3, "log_softmax")], Cost("half_squared_error"), "mean", 4, [("large", 0)],
        float64="44e962d2ce4a9eec", float32="94a193c7e6c06503",
    ),
    *_line(
        2, [(3, "log_softmax")], Cost("half_squared_error"), "mean", 4, [("large", 3)],
        bfloat16="8de924de2f37ad95", float16="b25ac777450c1219",
    ),
    *_line(
        2, [(3, "softmax")], Cost("half_squared_error"), "mean", 4, [("large", 0)],
        float64="15f257a5c6b42a42", float32="f83ac946ae72b5b6",
    ),
    *_line(
        2, [(3, "identity")], Cost("absolute_error"), "mean", 4, [("kinks", 6)],
        float64="21b724452ad40a5b",
    ),
    *_line(
        2, [(3, "identity")], Cost("huber", 1.345), "mean", 4, [("large", 0)],
        float64="4939190d5803613a", bfloat16="8a4249acd2ed4b5d",
    ),
    *_line(
        2, [(3, "identity")], Cost("log_cosh"), "sum", 4, [("ordinary", 0)],
        float64="38a63faa77d14cda", float32="2247fda37122e75a",
        bfloat16="bd71728c452213a8", float16="344ad9603c8cba62",
    ),
    *_line(
        2, [(3, "identity")], Cost("hinge"), "sum", 4, [("ordinary", 0)],
        float64="88b45de33d90a156", float32="6f9aeb29292e5e30",
        bfloat16="b3b002321f7b5aa9", float16="94cd0468c7af8136",
    ),
    *_line(
        2, [(3, "identity")], Cost("squared_hinge"), "sum", 4, [("ordinary", 0)],
        float64="149e2a81dffa6dc6", float32="07859da6da645cb6",
        bfloat16="66d76964fc40c090", float16="6c043a02b103dc07",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("binary_cross_entropy"), "mean", 4, [("saturated", 5)],
        float64="943e92d66ff4cd7e", float32="56d9c1657fef3d83",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("binary_cross_entropy"), "mean", 4, [("one_hot", 0)],
        bfloat16="fec5d005d12c2667", float16="c3656b087ad04326",
    ),
    *_line(
        2, [(3, "identity")], Cost("binary_cross_entropy_with_logits"), "sum", 4, [("one_hot", 0)],
        float64="87b05c64d8334532", float32="4d71799b7b9b8647",
        bfloat16="6284c2f80aeb4af8", float16="d80eae61e713f92c",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("cross_entropy"), "mean", 4, [("large", 1)],
        float32="4e0d845d72b2db60", bfloat16="40337744c25b6875",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("cross_entropy"), "sum", 4, [("saturated", 7)],
        float64="eee3b7b623a26fe5", float16="4e1091adc2b55d82",
    ),
    *_line(
        2, [(3, "identity")], Cost("softmax_cross_entropy"), "mean", 4, [("soft_targets", 0)],
        float64="2c2b6235c36acc42", float32="2cce2e0b59276067",
        bfloat16="3b412d7afef70752", float16="dee5fd50dc4e450d",
    ),
    *_line(
        2, [(3, "log_sigmoid")], Cost("kl_divergence"), "sum", 4, [("one_hot", 0)],
        float64="6d71abf51f999560", float32="6518a0857d26cd0c",
        bfloat16="f20aa5f033fe3642", float16="f18cf16688a40a2c",
    ),
    *_line(
        2, [(3, "identity")], Cost("poisson"), "sum", 4, [("ordinary", 0)],
        float64="7b1b5385e24f4291", float32="3af62d83395b7537",
    ),
    *_line(
        1, [(3, "identity")], Cost("poisson"), "sum", 400, [("repeated_rows", 4)],
        bfloat16="fd94f87e2fbfadb7",
    ),
    *_line(
        1, [(2, "identity")], Cost("poisson"), "sum", 2304, [("repeated_rows", 3)],
        float16="7ff2c6aab1d5650f",
    ),
    *(vector for row in ACTIVATION_ROWS.values() for vector in _points(row)),
)
# fmt: on

if __name__ == "__main__":
    print(json.dumps(lock(), indent=1))
