"""Blame says what it knows: what was not answered cannot be excluded, and what only follows is not at fault."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, judge
from gradparity.harness.blame import Broken
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.backprop import flow

from .honest.network import Operations, honest

NETWORK = Architecture(
    4, (Layer(5, "elu", 1.0), Layer(4, "tanh"), Layer(3, "sigmoid")), Cost("half_squared_error")
)
ASKED = case(NETWORK, 6, BY_NAME["ordinary"], 0, "float64")
NAMES = flow(NETWORK, ASKED.batch).answered
GRADIENTS = {"dW", "db"}
FORWARD = {"z", "a"}


def blame(answer: Gradients, kinds: Collection[str], asked: Case = ASKED) -> list[Broken]:
    arrays = answer.tensors()
    kept: dict[str, np.ndarray] = {name: arrays[name] for name in NAMES if name.kind in kinds}
    return list(judge(asked, Gradients.from_tensors(kept, asked)).blamed)


def wrong_elu() -> Gradients:
    return honest(
        ASKED, Operations(values={"elu": lambda z, alpha: np.where(z > 0, z, alpha * (np.exp(z) - 0.9))})
    )


def wrong_slope(of: str) -> Gradients:
    return honest(ASKED, Operations(slopes={of: lambda g, z, a: g * (1 - a * a) * 1.001}))


def test_a_forward_pass_that_was_not_answered_cannot_be_excluded() -> None:
    (one,) = blame(wrong_elu(), GRADIENTS)
    assert (one.equation, one.layer) == ("BP1", 3)
    assert "forward" in one.open
    assert one.suspects == "BP1, or the forward pass, which was not answered,"
    (one,) = blame(wrong_elu(), GRADIENTS | FORWARD)
    assert (one.equation, one.layer, one.open) == ("forward", 1, ())


def test_what_something_right_was_computed_from_is_excluded() -> None:
    """σ′ of the second layer is wrong: ∂C/∂W^3 is right, so the forward pass is, and ∂C/∂b^3, so BP1 is."""
    (one,) = blame(wrong_slope("tanh"), GRADIENTS)
    assert (one.equation, one.layer) == ("BP2", 2)
    assert "forward" not in one.open
    assert "BP1" not in one.open


def test_the_last_slope_is_bp1_or_the_forward_pass() -> None:
    answer = wrong_slope("sigmoid")
    (one,) = blame(answer, GRADIENTS)
    assert (one.equation, one.layer, one.open) == ("BP1", 3, ("forward",))
    (one,) = blame(answer, GRADIENTS | FORWARD)
    assert (one.equation, one.layer, one.open) == ("BP1", 3, ())
    (one,) = blame(answer, GRADIENTS | FORWARD | {"delta"})
    assert (one.equation, one.layer, one.open) == ("BP1", 3, ())


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_wrong_delta_beside_right_gradients_is_a_wrong_delta(layer: int) -> None:
    answer = honest(ASKED, Operations())
    assert answer.delta is not None
    delta = [d * 2 if l == layer else d for l, d in enumerate(answer.delta, start=1)]
    found = judge(ASKED, replace(answer, delta=delta)).blamed
    assert {(one.equation, one.layer) for one in found} == {("BP1" if layer == 3 else "BP2", layer)}


@pytest.mark.parametrize(("kind", "equation"), [("db", "BP3"), ("dW", "BP4")])
def test_one_gradient_alone_is_its_own_equation(kind: str, equation: str) -> None:
    arrays = honest(ASKED, Operations()).tensors()
    arrays[f"{kind}2"] = arrays[f"{kind}2"] * 1.001
    found = blame(Gradients.from_tensors(arrays, ASKED), GRADIENTS | FORWARD)
    assert [(one.equation, one.layer, one.open) for one in found] == [(equation, 2, ())]
    (one,) = blame(Gradients.from_tensors(arrays, ASKED), GRADIENTS)
    assert (one.equation, one.layer) == (equation, 2)
    assert set(one.open) <= {"forward"}


def test_the_largest_error_is_shown() -> None:
    """Where the forward pass may be at fault, what is farthest out of all tells most."""
    answer = wrong_elu()
    (one,) = blame(answer, GRADIENTS)
    found = judge(ASKED, Gradients(answer.dW, answer.db))
    assert one.margin == max(verdict.margin for verdict in found.verdicts)
