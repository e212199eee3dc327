"""Every activation and every cost by itself, densely: one layer whose weighted inputs spread over the whole range.

A random network puts a function at a few thousand points, most of them ordinary. Here each is tried at many
times as many, from next to nothing to far out, and held against the tightest bound there is: the link from the
implementation's own z to its own a, and from its own a and z to its own δ. What known.py says of a function has
to show here, and nothing else may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from gradparity.adapters.registry import load
from gradparity.harness.verdict import margins
from gradparity.harness.workers import Worker
from gradparity.property_tests.known import KNOWN
from gradparity.property_tests.probes import of_activation, of_cost
from gradparity.reference.enclosure import links
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES, Case, Gradients

Ask = Callable[[Case], Gradients]


def farthest_out(ask: Ask, cases: Iterator[Case]) -> float:
    """Give the worst margin of a and δ on their links; infinite radii say nothing, and are no part of it."""
    worst = 0.0
    for case in cases:
        answer = ask(case)
        bounds, tensors = links(case, answer), answer.tensors()
        worst = max(
            [worst, *(float(margins(tensors[name], bounds[name]).max()) for name in ("a1", "delta1"))]
        )
    return worst


FUNCTIONS = [(name, of_activation) for name in ACTIVATIONS] + [(name, of_cost) for name in COSTS]


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(("name", "cases"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_a_function_and_its_slope_stay_in_their_bounds(
    worker: Worker, ask: Ask, name: str, cases: Callable[..., Iterator[Case]], precision: str
) -> None:
    worst = farthest_out(ask, cases(name, precision, np.random.default_rng(20)))
    known = [
        one
        for one in KNOWN
        if one.is_about(worker.name) and (one.function, one.precision) == (name, precision)
    ]
    if known and worst <= 1 and known[0].shows != "in a network":
        pytest.fail(f"{worker.name} {name} agrees in {precision}: mended, or not tried where it was wrong")
    assert worst <= 1 or known, f"{worker.name}: {name} in {precision} is {worst:.3g} radii from the truth"


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "softplus", "huber"])
def test_a_slope_with_a_billionth_added_is_seen(name: str) -> None:
    reference = load("reference")

    def spoilt(case: Case) -> Gradients:
        answer = reference.gradients(case)
        assert answer.delta is not None
        return Gradients(answer.dW, answer.db, answer.cost, [answer.delta[0] + 1e-9], answer.z, answer.a)

    cases = of_activation if name in ACTIVATIONS else of_cost
    assert farthest_out(spoilt, cases(name, "float64", np.random.default_rng(20))) > 1
    assert farthest_out(reference.gradients, cases(name, "float64", np.random.default_rng(20))) <= 1
