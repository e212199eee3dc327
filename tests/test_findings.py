"""Findings: divergences with one cause become one finding, with the smallest case that shows it."""

from __future__ import annotations

import pytest
from gradparity import Architecture, Case, Cost, Layer
from gradparity.harness.blame import Broken
from gradparity.harness.campaign import Divergence
from gradparity.harness.findings import Collector
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.backprop import flow
from gradparity.reference.exact import Certificate


def divergence(
    equation: str,
    name: str,
    activation: str,
    cost: str = "half_squared_error",
    width: int = 3,
    z: float = 1.0,
) -> Divergence:
    network = Architecture(2, (Layer(width, activation), Layer(width, activation)), Cost(cost))
    drawn: Case = case(network, 2, BY_NAME["ordinary"], width, "float64")
    certificate = Certificate("1.0", holds=True, sound=True)
    made = flow(network, 2)[name].makes
    blamed = Broken(
        equation,
        made.layer,
        made,
        (0, 0),
        2.0,
        1.0,
        0.1,
        float(width),
        own=False,
        fault=True,
        certificate=certificate,
        z=z,
    )
    return Divergence(drawn, "mine:f", blamed)


def findings(*divergences: Divergence) -> list[tuple[str, str, int]]:
    collector = Collector()
    for one in divergences:
        collector.add(one)
    return [(finding.equation, finding.function, finding.cases) for finding in collector.findings()]


def test_the_same_function_at_any_layer_is_one_cause() -> None:
    assert findings(divergence("BP2", "delta1", "relu"), divergence("BP2", "delta1", "relu")) == [
        ("BP2", "relu", 2)
    ]


def test_two_functions_are_two_causes() -> None:
    found = findings(divergence("BP2", "delta1", "relu"), divergence("BP2", "delta1", "tanh"))
    assert sorted(found) == [("BP2", "relu", 1), ("BP2", "tanh", 1)]


def test_the_smallest_case_is_kept_and_the_range_is_told() -> None:
    collector = Collector()
    for width, z in ((9, -3.0), (2, 0.5), (5, 7.0)):
        collector.add(divergence("BP2", "delta1", "relu", width=width, z=z))
    (finding,) = collector.findings()
    assert finding.smallest.case.architecture.layers[0].width == 2
    assert finding.where == "z from -3 to 7, 3 cases"
    assert finding.largest_margin == 9.0
    assert finding.sentence == (
        "mine:f, float64: BP2 is wrong through relu: 1 off where 0.1 is allowed; z from -3 to 7, 3 cases"
    )


def test_bp1_on_many_activations_is_the_cost() -> None:
    found = findings(*(divergence("BP1", "delta2", name, "hinge") for name in ("relu", "tanh", "identity")))
    assert found == [("BP1", "hinge", 3)]


def test_bp1_under_many_costs_is_the_activation() -> None:
    found = findings(*(divergence("BP1", "delta2", "gelu", cost) for cost in ("hinge", "poisson", "huber")))
    assert found == [("BP1", "gelu", 3)]


def test_bp1_of_an_activation_whose_bp2_is_wrong_is_the_activation() -> None:
    found = findings(divergence("BP1", "delta2", "gelu", "hinge"), divergence("BP2", "delta1", "gelu"))
    assert sorted(found) == [("BP1", "gelu", 1), ("BP2", "gelu", 1)]


def test_bp1_seen_once_names_both() -> None:
    assert findings(divergence("BP1", "delta2", "gelu", "hinge")) == [("BP1", "hinge or gelu", 1)]


@pytest.mark.parametrize(("name", "equation", "what"), [
    ("dW1", "BP4", "the matrix product"), ("db1", "BP3", "the sum over the batch"),
    ("z1", "forward", "the matrix product"),
])  # fmt: skip
def test_products_and_sums_are_named(name: str, equation: str, what: str) -> None:
    assert findings(divergence(equation, name, "relu")) == [(equation, what, 1)]
