"""The model of rounding is tested by perfect answers: whoever is accused of one is accused of being right."""

from __future__ import annotations

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, judge
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.property_tests import regimes
from gradparity.property_tests.lattices import APART, TIED
from gradparity.reference.network import DTYPES
from gradparity.reference.perfect import rounded_once, step_by_step

#: Beyond so many parameters times examples, arbitrary precision takes a second for a case.
MOST = 40_000


def small(precision: str, seed: int, number: int) -> list[Case]:
    found = []
    for case in draw_cases(Settings((), 64 * number, seed, (precision,))):
        size = case.batch * sum(W.size for W in case.parameters.weights)
        if size <= MOST:
            found.append(case)
        if len(found) == number:
            break
    return found


@pytest.mark.parametrize("precision", DTYPES)
def test_an_exact_answer_that_is_rounded_once_is_right(precision: str) -> None:
    tried = 0
    for case in small(precision, 21, 64):
        if (answer := rounded_once(case)) is not None:
            tried += 1
            found = judge(case, answer)
            assert not found.blamed, found
    assert tried > 32


@pytest.mark.parametrize("precision", DTYPES)
def test_an_answer_that_is_exact_step_by_step_is_right(precision: str) -> None:
    """Lattices apart: there what follows from rounded numbers is no correct answer, where nothing need be rounded."""
    for case in small(precision, 22, 48):
        if case.regime not in (APART, TIED):
            found = judge(case, step_by_step(case))
            assert not found.blamed, found


def test_they_are_what_they_say() -> None:
    """The two differ, since one rounds and goes on; and a perfect answer that is a little off is accused."""
    network = Architecture(4, (Layer(5, "tanh"), Layer(3, "sigmoid")), Cost("half_squared_error"))
    case = regimes.case(network, 6, regimes.BY_NAME["ordinary"], 0, "float64")
    once, steps = rounded_once(case), step_by_step(case)
    assert once is not None
    assert any(np.any(one != other) for one, other in zip(once.dW, steps.dW, strict=True))
    off = Gradients(
        [np.asarray(dW * (1 + 1e-11)) for dW in once.dW], once.db, once.cost, once.delta, once.z, once.a
    )
    assert judge(case, off).verdict == "diverges"
