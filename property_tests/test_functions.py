"""Every activation and every cost by itself, densely: one layer whose weighted inputs spread over the whole range.

A random network puts a function at a few thousand points, most of them ordinary. Here each is tried at many
times as many, from next to nothing to far out, and held against the tightest bound there is: the link from the
implementation's own z to its own a, and from its own a and z to its own δ. What is expected
of a function is excused, in its range and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from gradparity.adapters.registry import load
from gradparity.harness.expectations import Expectations
from gradparity.harness.held import margins
from gradparity.harness.workers import Worker
from gradparity.property_tests.probes import of_activation, of_cost
from gradparity.reference.links import links
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES, Case, Gradients

EXPECTATIONS = Expectations()
Ask = Callable[[Case], Gradients]


def farthest_out(ask: Ask, cases: Iterator[Case], excused: Sequence[tuple[float, float]] = ()) -> float:
    """Give the worst margin of a and δ on their links, but where z is excused; infinite radii say nothing."""
    worst = 0.0
    for case in cases:
        answer = ask(case)
        bounds, tensors = links(case, answer), answer.tensors()
        here = np.ones(tensors["z1"].shape, bool)
        for low, high in excused:
            here &= ~((low <= tensors["z1"]) & (tensors["z1"] <= high))
        for name in ("a1", "delta1"):
            worst = max(worst, float(np.where(here, margins(tensors[name], bounds[name]), 0.0).max()))
    return worst


FUNCTIONS = [(name, of_activation) for name in ACTIVATIONS] + [(name, of_cost) for name in COSTS]


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(("name", "cases"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_a_function_and_its_slope_stay_in_their_bounds(
    worker: Worker, ask: Ask, name: str, cases: Callable[..., Iterator[Case]], precision: str
) -> None:
    excused = [
        one.z
        for one in EXPECTATIONS.entries
        if one.is_about(worker.name, "") and one.function == name and precision in one.precision
    ]
    worst = farthest_out(ask, cases(name, precision, np.random.default_rng(20)), excused)
    assert worst <= 1, f"{worker.name}: {name} in {precision} is {worst:.3g} radii from the truth"


def test_what_is_excused_is_excused_in_its_range_only() -> None:
    def linear(case: Case) -> Gradients:
        answer = load("reference").gradients(case)
        assert answer.z is not None
        assert answer.a is not None
        a = np.where(answer.z[0] > 20, answer.z[0], answer.a[0])
        return Gradients(answer.dW, answer.db, answer.cost, answer.delta, answer.z, [a])

    for excused, least in (([], 1.0), ([(20.0, np.inf)], 0.0), ([(25.0, np.inf)], 1.0)):
        worst = farthest_out(linear, of_activation("softplus", "float64", np.random.default_rng(20)), excused)
        assert (worst > 1) is (least == 1.0)


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
