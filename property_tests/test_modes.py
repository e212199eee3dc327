"""The modes of the frameworks that are not judged by default, on fewer cases than those that are.

Each is asked for every activation at once, in three deep networks, and for costs; what it answers is held against the
same enclosures. every expectation that is about one of them is held to that.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gradparity.adapters.modes import MODES, every_mode, in_forward_mode
from gradparity.adapters.registry import available
from gradparity.harness.campaign import Settings
from gradparity.harness.expectations import Expectations
from gradparity.harness.judgement import judge
from gradparity.harness.recheck import lapsed, recheck
from gradparity.harness.workers import Answer, Worker
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.activations import ACTIVATION_ROWS
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES, Architecture, Case, Cost, Layer

EXPECTATIONS = Expectations()
INSTALLED = [one.name for one in available() if one.missing is None]
NAMES = [name for name in every_mode() if name in INSTALLED and not MODES[name].default]


@pytest.fixture(scope="module", params=NAMES)
def mode(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """Give one mode in its process; compiling may take its time on a busy machine."""
    with Worker(request.param, timeout=200) as started:
        yield started


def ask(mode: Worker, asked: Case) -> Answer:
    answer = mode.submit(asked).result()
    assert answer.outcome != "failed", f"{mode.name}: {answer.message}"
    return answer


def unknown(mode: Worker, asked: Case) -> list[str]:
    """Ask, and name what diverges and nobody expects."""
    answer = ask(mode, asked)
    if answer.gradients is None:
        return []
    assert all(one is not None for one in vars(answer.gradients).values())
    return [
        f"{one.equation} {one.name}: {one.margin:.3g}"
        for one in judge(
            asked,
            answer.gradients,
            premise=Settings((mode.name,)).premise(mode.name),
            any_order=in_forward_mode(mode.name),
        ).blamed
        if EXPECTATIONS.covering(mode.name, "", asked.architecture, asked.precision, one) is None
    ]


def deep(activations: tuple[str, ...]) -> Architecture:
    layers = [Layer(3, name, *[0.3 for _ in ACTIVATION_ROWS[name].parameters]) for name in activations]
    return Architecture(3, (*layers, Layer(2, "identity")), Cost("half_squared_error"))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("first", range(3))
def test_every_activation(mode: Worker, first: int, precision: str) -> None:
    if MODES[mode.name].expensive and precision != ("float64", "float32", "bfloat16")[first]:
        pytest.skip("a slow mode: each third of the activations in one precision")
    network = deep(ACTIVATIONS[first::3])
    for regime in ("ordinary", "sweep", "kinks"):
        assert unknown(mode, case(network, 2, BY_NAME[regime], 1, precision)) == []


@pytest.mark.parametrize("name", COSTS)
def test_every_cost(mode: Worker, name: str) -> None:
    precision = list(DTYPES)[COSTS.index(name) % len(DTYPES)]
    network = Architecture(3, (Layer(3, COST_ROWS[name].below("tanh")),), Cost(name))
    for regime in ("ordinary", "one_hot"):
        assert unknown(mode, case(network, 2, BY_NAME[regime], 1, precision)) == []


def test_what_is_known_to_diverge_still_does(mode: Worker) -> None:
    found = list(recheck(EXPECTATIONS, Settings((mode.name,), precisions=tuple(DTYPES)), mode, "", {}))
    assert lapsed(found) == [], "these agree today: take them out of the shipped expectations"
    untried = [one for one in found if not one.tried]
    assert MODES[mode.name].forward or not untried  # a batch's sums are too many numbers for a forward mode
