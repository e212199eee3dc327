"""The frozen test vectors: for each its architecture, how its numbers are drawn, and the id that they must have.

They were chosen greedily from some hundreds, until every activation, cost, flag and known fault had one, and then
thinned out: tests/test_vectors.py holds that none can be left out. Two lines of one architecture stay together,
since what is kept from one case to the next shows only then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..property_tests.lattices import APART, TIED, lattice_case
from ..property_tests.regimes import BY_NAME, case
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


#: How many of the points a layer has: as many as leave every interval narrow. Far out in the short precisions nothing
#: is known of a sum in which 800 meets 0.4, or it overflows.
WIDTHS = {"float64": 24, "float32": 22, "bfloat16": 18, "float16": 18}
NARROWER = {
    ("gelu_tanh", "bfloat16"): 12,
    ("gelu_tanh", "float16"): 12,
    ("softplus", "float16"): 14,
    ("log_sigmoid", "float16"): 14,
}

#: Parameters that are not the usual ones, and that no precision holds exactly if it can be helped.
ALPHAS = {"leaky_relu": 0.3, "elu": 1.5, "celu": 0.3}


def _line(
    inputs: int,
    layers: Sequence[tuple[Any, ...]],
    cost: Cost,
    reduction: str,
    batch: int,
    draws: Sequence[tuple[str, int]],
    **ids: str,
) -> Iterator[Vector]:
    """Give the vectors of one architecture: for every precision its draws, regime and seed, one after the other."""
    network = Architecture(inputs, tuple(Layer(*layer) for layer in layers), cost, reduction)
    for precision, frozen in ids.items():
        for (values, seed), case_id in zip(draws, frozen.split(), strict=True):
            yield Vector(network, batch, values, seed, precision, case_id)


def _points(activation: str, **ids: str) -> Iterator[Vector]:
    """Give an activation's own vectors."""
    alpha, cost = ALPHAS.get(activation), Cost("half_squared_error")
    for precision, case_id in ids.items():
        width = NARROWER.get((activation, precision), WIDTHS[precision])
        layers = [(width, activation, alpha), (2, "identity")]
        yield from _line(2, layers, cost, "sum", 2, [(POINTS, 0)], **{precision: case_id})


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
    *_points(
        "identity", float64="cbd11cdb1c4cefc6", float32="edda84a0bb83e228",
        bfloat16="183a69ea516b18f2", float16="2eb51630537e7a6b",
    ),
    *_points(
        "sigmoid", float64="9b7bb90a1a0c7453", float32="25c30160459be627",
        bfloat16="9c115711344e5158", float16="a202b5e5b1865b7c",
    ),
    *_points(
        "tanh", float64="ce2ff90b7beb72cc", float32="300f9e376b1ab430",
        bfloat16="83dfde55ba85c9c2", float16="157ef51dbbc67357",
    ),
    *_points(
        "relu", float64="accb9c0001e2105b", float32="42c2b50e88ac6832",
        bfloat16="57652911aefcabda", float16="f55defee790e68f5",
    ),
    *_points(
        "relu6", float64="267793c2a4d8302b", float32="ecd5e88d0d4c11d9",
        bfloat16="9d99395799d85484", float16="521ba44ac6890997",
    ),
    *_points(
        "leaky_relu", float64="53aa0d46515d3e0f", float32="148d838644ec5659",
        bfloat16="f4503e199de0b61b", float16="90e41cc460e87834",
    ),
    *_points(
        "elu", float64="28cf718268145835", float32="e7ebdf6c20ab9015",
        bfloat16="946011720ab59b20", float16="1573313dd59dcfb8",
    ),
    *_points(
        "celu", float64="aff7e4286f7fbe83", float32="d9c5cd1b1a58dc69",
        bfloat16="30dc0c4da3b33d22", float16="9392e0260769759e",
    ),
    *_points(
        "selu", float64="fee53c72a6bbd12c", float32="036f2943f2089bd6",
        bfloat16="b74400c65acd3456", float16="37898db756702acb",
    ),
    *_points(
        "gelu", float64="90e03de2f7174889", float32="7998d6beb7d542bb",
        bfloat16="05aaaf7a908e800f", float16="a0a865de38996519",
    ),
    *_points(
        "gelu_tanh", float64="d5a0e1722fe2d8e6", float32="8e565f6b9d4f5d05",
        bfloat16="fbaa723ce67b0b5c", float16="cd7ef1bb9d45708c",
    ),
    *_points(
        "silu", float64="99fa5bbbb5bbe124", float32="cc4b03db12fe94b9",
        bfloat16="4e53c8c57975fdb4", float16="b8b64054fae1b9ea",
    ),
    *_points(
        "mish", float64="2da829d4b35db451", float32="23d641de5436c2ab",
        bfloat16="88ebac2b614ca9d8", float16="35760ae2750ee086",
    ),
    *_points(
        "softplus", float64="eaa14204a4eee69b", float32="f38014b6966af4af",
        bfloat16="3aff958c1821fe75", float16="36da95046a486a1a",
    ),
    *_points(
        "softsign", float64="88b0b8f6312f8678", float32="5cf7e620ab8b9313",
        bfloat16="87a2992766674bfa", float16="a09f9f5022ccdee0",
    ),
    *_points(
        "hardtanh", float64="6ac18e8dd4a87f20", float32="a79cb70ff1e3ca4a",
        bfloat16="20814cac605d6900", float16="019f4b1f99d6326f",
    ),
    *_points(
        "hardsigmoid", float64="71a9bec5fbe81893", float32="01949dd5d16e47d6",
        bfloat16="e493238aeda502f2", float16="6912da8bf47aaafc",
    ),
    *_points(
        "hardswish", float64="81ba0928d050d13b", float32="f73bcc759edec6cd",
        bfloat16="eec2b0b7a9957c9d", float16="099d2bd7cf009e5a",
    ),
    *_points(
        "log_sigmoid", float64="26ff82240acf2ed1", float32="87d774001cc89537",
        bfloat16="11f68337bc6711e0", float16="bc36836233c804b6",
    ),
)
# fmt: on
