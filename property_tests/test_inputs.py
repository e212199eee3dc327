"""Inputs as users pass them: no example at all, one, the same case after another, any cotangent.

Arrays that are read-only every case has, and views that are not contiguous has the mode torch:strided.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gradparity.adapters.reference import Reference
from gradparity.harness.expectations import Expectations
from gradparity.harness.judgement import judge
from gradparity.harness.verdict import Verdict
from gradparity.harness.workers import Worker
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.activations import ACTIVATION_ROWS
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.network import (
    ACTIVATIONS,
    COSTS,
    DTYPES,
    Architecture,
    Case,
    Cost,
    Gradients,
    Layer,
)

Ask = Callable[[Case], Gradients]
EXPECTATIONS = Expectations()


def unusual(activation: str) -> Layer:
    return Layer(3, activation, *[0.3 for _ in ACTIVATION_ROWS[activation].parameters])


def network(activation: str, cost: str, reduction: str = "sum") -> Architecture:
    row = COST_ROWS[cost]
    layers = (unusual(activation), Layer(2, row.below("identity")))
    return Architecture(2, layers, Cost(cost, *[0.5 for _ in row.parameters]), reduction)


def empty(architecture: Architecture, precision: str) -> Case:
    """A case without an example."""
    one = case(architecture, 1, BY_NAME["ordinary"], 1, precision)
    return Case(architecture, one.parameters, one.x[:0], one.y[:0], precision)


PAIRS = [(ACTIVATIONS[i % len(ACTIVATIONS)], COSTS[i % len(COSTS)]) for i in range(len(ACTIVATIONS))]


@pytest.mark.parametrize(("activation", "cost"), PAIRS)
def test_the_sum_over_no_example_is_zero(ask: Ask, activation: str, cost: str) -> None:
    for precision in ("float64", "float32"):
        asked = empty(network(activation, cost), precision)
        answer = ask(asked)
        assert judge(asked, answer).verdict is Verdict.AGREES
        for array in (*answer.dW, *answer.db):
            assert not array.any()


def test_the_mean_over_no_example_is_nobody_s_fault(ask: Ask) -> None:
    asked = empty(network("tanh", "half_squared_error", "mean"), "float64")
    judgement = judge(asked, ask(asked))
    unknown = {one.name for one in judgement.verdicts if one.verdict is Verdict.INCONCLUSIVE}
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert unknown >= {"cost", "dW1", "db2"}


def test_something_out_of_nothing_is_seen() -> None:
    asked = empty(network("tanh", "half_squared_error"), "float64")
    answer = Reference().gradients(asked)
    wrong = Gradients([np.full_like(dW, 1e-300) for dW in answer.dW], answer.db)
    assert judge(asked, wrong).verdict is Verdict.DIVERGES


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_same_case_gives_the_same_after_another(ask: Ask, precision: str, batch: int) -> None:
    """Gradients that are accumulated, buffers that are shared, and caches that are stale show here."""
    one, other = (
        case(network("tanh", "half_squared_error"), batch, BY_NAME["ordinary"], i, precision) for i in (1, 2)
    )
    first, _, again = ask(one), ask(other), ask(one)
    for name, array in first.tensors().items():
        assert array.tobytes() == again.tensors()[name].tobytes()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_cotangent_may_come_from_above(worker: Worker, ask: Ask, activation: str) -> None:
    """C = -Σ y a is linear in a, so that -y is what arrives at the last layer: here it is anything."""
    rng = np.random.default_rng(7)
    architecture = Architecture(2, (unusual(activation),), Cost("negative_log_likelihood"), "sum")
    for precision in ("float64", "float32"):
        one = case(architecture, 4, BY_NAME["ordinary"], 1, precision)
        y = (rng.normal(size=one.y.shape) * 10.0 ** rng.integers(-9, 9, one.y.shape)).astype(one.dtype)
        asked = Case(architecture, one.parameters, one.x, y, precision)
        broken = judge(asked, ask(asked)).blamed
        unexpected = [
            one for one in broken if not EXPECTATIONS.covering(worker.name, "", architecture, precision, one)
        ]
        assert unexpected == []
