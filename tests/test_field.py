"""Correct code that was accused, as reviewers met it: each is one of a kind, and all of the kind is judged right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, Parameters, judge
from gradparity.harness.verdict import Verdict
from gradparity.property_tests.lattices import lattice_structure_at
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.perfect import rounded_once

from .honest.network import Operations, honest


def one_neuron(
    activation: str, W: list[float], x: list[float], precision: str, cost: str = "half_squared_error"
) -> Case:
    network = Architecture(len(W), (Layer(1, activation),), Cost(cost))
    dtype = np.dtype(precision)
    parameters = Parameters((np.array([W], dtype),), (np.zeros(1, dtype),))
    return Case(network, parameters, np.array([x], dtype), np.ones((1, 1), dtype), precision)


def test_a_correctly_rounded_activation_of_a_z_that_was_not() -> None:
    """z = -64 - 3.7e-6 is rounded to -64, and σ of it is 3.7e-6 smaller, relatively: 62 units of u."""
    asked = one_neuron("sigmoid", [-64, 3.7e-6], [1, -1], "float32")
    answer = rounded_once(asked)
    assert answer is not None
    assert judge(asked, answer).verdict is Verdict.AGREES


@pytest.mark.parametrize("z", [15.0, 30.0, 36.0])
def test_a_binary_cross_entropy_from_the_logit(z: float) -> None:
    """1 - a has few digits left, and whoever computes from z never meets them; nor does its gradient."""
    asked = one_neuron("sigmoid", [z], [1], "float64", "binary_cross_entropy")
    asked = dataclasses.replace(asked, y=np.zeros((1, 1)))
    both = ("sigmoid", "binary_cross_entropy")
    how = Operations(
        fused_costs={both: lambda z, a, y: np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))},
        fused_errors={both: lambda z, a, y: a - y},
    )
    assert judge(asked, honest(asked, how)).blamed == []
    if z < 20:  # beyond, whoever goes through a has hardly a digit left
        wrong = dataclasses.replace(how, fused_errors={both: lambda z, a, y: (a - y) * (1 + 1e-6)})
        assert judge(asked, honest(asked, wrong)).verdict is Verdict.DIVERGES


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_tanh", "mish"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_correct_limit_where_the_formula_gives_nan(activation: str, precision: str) -> None:
    """-∞ times 0 is NaN, and the limit is 0: both are right."""
    asked = one_neuron(activation, [1.0], [-np.inf], precision)
    for limit in (-0.0, 0.0, np.nan):
        how = Operations(values={activation: lambda z, limit=limit: np.full_like(z, limit)})
        answer = honest(asked, how)
        found = judge(asked, Gradients(answer.dW, answer.db, z=answer.z, a=answer.a))
        assert [one for one in found.blamed if one.kind == "a"] == [], limit


def test_a_norm_that_is_squared_again_on_a_lattice() -> None:
    """0.5 * np.linalg.norm(a - y)**2 is 1.0000000000000002 where 1 is exact: a root is no sum or product."""
    norm = {"half_squared_error": lambda a, y: 0.5 * np.linalg.norm(a - y, axis=1) ** 2}
    tried = 0
    for index in range(40):
        structure = lattice_structure_at(0, index, costs=("half_squared_error",))
        assert structure is not None
        for asked in structure.cases("float64"):
            answer = honest(asked, Operations(costs=norm))
            tried += answer.cost != honest(asked, Operations()).cost
            assert judge(asked, answer).blamed == []
    assert tried  # or nothing was rounded


def test_a_product_that_drops_what_is_multiplied_by_zero() -> None:
    """X.T.dot(d) in many a BLAS: 0 times infinity adds nothing."""
    drawn = case(
        Architecture(3, (Layer(2, "relu"),), Cost("half_squared_error")), 4, BY_NAME["ordinary"], 3, "float64"
    )
    x = np.array(drawn.x)
    x[1, 0] = np.inf
    x[2, 1] = -np.inf
    asked = dataclasses.replace(drawn, x=x)

    def without_zeros(delta: np.ndarray, a: np.ndarray) -> np.ndarray:
        terms = delta.T[:, :, None] * a[None]
        return np.asarray(np.where((delta.T[:, :, None] == 0) | (a[None] == 0), 0, terms).sum(axis=1))

    for weights in (without_zeros, lambda delta, a: delta.T @ a):
        assert judge(asked, honest(asked, Operations(weights=weights))).blamed == []
