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
        float64="1e177fdae4965630", bfloat16="2690eb66970e4517", float16="d52141755cc7d3da",
    ),
    *_line(
        3, [(4, "relu6"), (2, "identity")], Cost("absolute_error"), "sum", 3, [("lattice_ties", 2)],
        float32="d40d132dc4a3049e", bfloat16="5478d21fabb508ba", float16="4002e74fd3efca0f",
    ),
    *_line(
        2, [(3, "hardtanh"), (1, "identity")], Cost("huber", 0.5), "mean", 4, [("lattice", 0)],
        float32="6bc65274a64d4ce7", float16="69f56240833976e5",
    ),
    *_line(
        2, [(3, "hardtanh"), (1, "identity")], Cost("hinge"), "sum", 1, [("lattice", 0)],
        float64="1c5a328af73506cd", float32="fb8b442f913ab84c",
        bfloat16="2958dbe239763294", float16="ba143e6e4db93aa4",
    ),
    *_line(
        3, [(4, "relu"), (2, "leaky_relu", 0.25), (2, "identity")],
        Cost("negative_log_likelihood"), "sum", 3, [("lattice", 0), ("lattice", 10)],
        float64="44af9aae034681e7 ccad191539a53a77", float32="6b6ac6023d4a8e78 8b0bebb01066290f",
        bfloat16="3b442b6edcea0b9f 7d08ec276639ea32", float16="1198ca3c25d9ce88 adb786cf78cf7417",
    ),
    *_line(
        2, [(5, "sigmoid"), (3, "sigmoid")],
        Cost("half_squared_error"), "mean", 6, [("ordinary", 0), ("saturated", 4)],
        float64="bd38058314bee6f1 bb644746e2c442fa", float32="b61ff79495738178 f298c8ac761d822b",
    ),
    *_line(
        4, [(4, "tanh"), (4, "sigmoid"), (4, "softplus")], Cost("squared_error"), "mean", 4, [("ordinary", 0)],
        float64="5b94da8ff040f948", float32="4eb660bceb01c99e",
    ),
    *_line(
        2, [(3, "softmax")], Cost("half_squared_error"), "mean", 4, [("saturated", 1)],
        float32="eeea79be4156d2e3", bfloat16="10f689b426d97ee7", float16="1b29da9ddaf4e04d",
    ),
    *_line(
        2, [(3, "log_softmax")], Cost("half_squared_error"), "mean", 4, [("large", 0)],
        float64="45411cadf711ec76", float32="f0881fc1f5017971",
    ),
    *_line(
        2, [(3, "log_softmax")], Cost("half_squared_error"), "mean", 4, [("large", 3)],
        bfloat16="4c95df9f9cb250b7", float16="6411f16f6578ef41",
    ),
    *_line(
        2, [(3, "softmax")], Cost("half_squared_error"), "mean", 4, [("large", 0)],
        float64="65c0c6587df152e7", float32="3fb4d327082f49ce",
    ),
    *_line(
        2, [(3, "identity")], Cost("absolute_error"), "mean", 4, [("kinks", 6)],
        float64="f4808bc609ca588c",
    ),
    *_line(
        2, [(3, "identity")], Cost("huber", 1.345), "mean", 4, [("large", 0)],
        float64="0255e4e1615a167e", bfloat16="536c23261e0793c8",
    ),
    *_line(
        2, [(3, "identity")], Cost("log_cosh"), "sum", 4, [("ordinary", 0)],
        float64="d02b778259935a9c", float32="216074623c3bca41",
        bfloat16="d3c5b1f567767727", float16="7db1f2f5b3c51ea3",
    ),
    *_line(
        2, [(3, "identity")], Cost("hinge"), "sum", 4, [("ordinary", 0)],
        float64="23beadfdc8e1a9dd", float32="199e9ce4f8eac157",
        bfloat16="5738afe5f54a8ec3", float16="be61bcd12c5c54ca",
    ),
    *_line(
        2, [(3, "identity")], Cost("squared_hinge"), "sum", 4, [("ordinary", 0)],
        float64="f0be2a4fe2c4835b", float32="8fe9fcbe73426b56",
        bfloat16="b96874264c23f457", float16="e4d112f9c425757f",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("binary_cross_entropy"), "mean", 4, [("saturated", 5)],
        float64="df46afba76f54877", float32="87feca4149d6b4aa",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("binary_cross_entropy"), "mean", 4, [("one_hot", 0)],
        bfloat16="2a98ca05b62ce52d", float16="0e1bbcd6f51ce496",
    ),
    *_line(
        2, [(3, "identity")], Cost("binary_cross_entropy_with_logits"), "sum", 4, [("one_hot", 0)],
        float64="802532f04bbce612", float32="e480480097fc30e2",
        bfloat16="2eafab8b67177370", float16="6d0defd5bfe59d16",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("cross_entropy"), "mean", 4, [("large", 1)],
        float32="15b0f07755d421b6", bfloat16="47006bc0d18c16d3",
    ),
    *_line(
        2, [(3, "sigmoid")], Cost("cross_entropy"), "sum", 4, [("saturated", 7)],
        float64="26e1d36290d88ff8", float16="a6ec89df204a1b13",
    ),
    *_line(
        2, [(3, "identity")], Cost("softmax_cross_entropy"), "mean", 4, [("soft_targets", 0)],
        float64="e0284025a0e3c785", float32="9486cf37b4d50826",
        bfloat16="1c44ffdc5c415098", float16="07c0e9bf182d6686",
    ),
    *_line(
        2, [(3, "log_sigmoid")], Cost("kl_divergence"), "sum", 4, [("one_hot", 0)],
        float64="611d71d5e121e73c", float32="c58765dc4b7adbaf",
        bfloat16="97ccd2f890c0e409", float16="30eb172834c5e3ce",
    ),
    *_line(
        2, [(3, "identity")], Cost("poisson"), "sum", 4, [("ordinary", 0)],
        float64="a5d4df79d24b5856", float32="ac2a0c01307a3c19",
    ),
    *_line(
        1, [(3, "identity")], Cost("poisson"), "sum", 400, [("repeated_rows", 4)],
        bfloat16="74734f6909dc7fad",
    ),
    *_line(
        1, [(2, "identity")], Cost("poisson"), "sum", 2304, [("repeated_rows", 3)],
        float16="aac52cfa9987a447",
    ),
    *_points(
        "identity", float64="e572fc0fcd30070a", float32="0f4507c32d2074fc",
        bfloat16="ffcdbf7dacb27388", float16="75e99aca9d70ffdf",
    ),
    *_points(
        "sigmoid", float64="b11d784495a1ba17", float32="ce5e5b1e591fa8c0",
        bfloat16="1835e9394abce197", float16="d6c5f7b9612003cd",
    ),
    *_points(
        "tanh", float64="d590ddd62f758610", float32="55f0d8574a3146d8",
        bfloat16="2dedc26990066176", float16="8f5ce2c40b7aa37b",
    ),
    *_points(
        "relu", float64="2bc74fb933b754a8", float32="8a373cb76148b0d9",
        bfloat16="09ee6777f98d1953", float16="2c66280969b214ba",
    ),
    *_points(
        "relu6", float64="f2e23033b216c217", float32="e58ef868fecf246e",
        bfloat16="6cbf19d11d43e3ce", float16="e4d84b17fb41c1b8",
    ),
    *_points(
        "leaky_relu", float64="5a1889092ebe1a5c", float32="9edbf176694365b5",
        bfloat16="4db2dcba865546dd", float16="e2fedb79df968733",
    ),
    *_points(
        "elu", float64="4fc41a37d1535f07", float32="9803609ad725d9a2",
        bfloat16="ecc874ece2e413e6", float16="2a07394c0eaf7032",
    ),
    *_points(
        "celu", float64="dfd893c1468450a5", float32="0a2471b2ca055b09",
        bfloat16="228ebbc576279cf6", float16="4379c9e9fac5142c",
    ),
    *_points(
        "selu", float64="3a7287f5c582f9e6", float32="cfae7e6b67fed4b4",
        bfloat16="06d885dc7d499914", float16="95400b8f4ce2bdee",
    ),
    *_points(
        "gelu", float64="f070327804302dda", float32="fccf21f00a9826b3",
        bfloat16="b0964b14548d57cc", float16="1f3145a51cc83c74",
    ),
    *_points(
        "gelu_tanh", float64="5a4b579867d02c6d", float32="15bfabcd72d7f0cd",
        bfloat16="601a5a5d0e3dbb8a", float16="115e8c14228b03f7",
    ),
    *_points(
        "silu", float64="292b33e6d7b879da", float32="f943980150310cbf",
        bfloat16="791139b888610bf7", float16="80553ef16e5b87e7",
    ),
    *_points(
        "mish", float64="c4007685148af42c", float32="7602bb08f296d4c6",
        bfloat16="4003f863c8114922", float16="726a6badec44b20f",
    ),
    *_points(
        "softplus", float64="97c5baa6ddfaecae", float32="12b420307fe63f54",
        bfloat16="3ab81b23e61c0db4", float16="81a0ea45cf8edd38",
    ),
    *_points(
        "softsign", float64="e9c728d39a2d53ad", float32="a80361577be76a24",
        bfloat16="6a92296327f452e5", float16="4174eefef21256f1",
    ),
    *_points(
        "hardtanh", float64="d90688983b4e3b8a", float32="f49ea635c5b73979",
        bfloat16="9f02b39740a9934b", float16="bf7df7ff5c8de145",
    ),
    *_points(
        "hardsigmoid", float64="048ff3f48b5f2a33", float32="daff6a81770010c0",
        bfloat16="ec8f93301d9f3c2b", float16="acd083a2aca0d251",
    ),
    *_points(
        "hardswish", float64="fff52dfe362af7a4", float32="48c77478ffbfb770",
        bfloat16="ee7546b27d7c2591", float16="07519364dcf0e6af",
    ),
    *_points(
        "log_sigmoid", float64="13a7f8558dc7bf56", float32="b68b757e8e6c6d48",
        bfloat16="06675bc23bdc1c88", float16="f14db37c1ecbde65",
    ),
)
# fmt: on
