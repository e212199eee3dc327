"""The four equations, held against every implementation inside enclosures that are derived and never tuned.

    BP1  δ^L = ∇_a C ⊙ σ′(z^L)               BP3  ∂C/∂b^l = Σ over the batch of δ^l
    BP2  δ^l = (δ^{l+1} W^{l+1}) ⊙ σ′(z^l)   BP4  ∂C/∂W^l = (δ^l)^T a^{l-1}

and the forward pass and the cost, without which they would be about other numbers. What is known to diverge is
in the shipped expectations, and is held to that too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import ml_dtypes
import numpy as np
import pytest
from gradparity.adapters.reference import Reference
from gradparity.harness.blame import Broken
from gradparity.harness.campaign import Settings
from gradparity.harness.expectations import Expectations
from gradparity.harness.judgement import KEEP, Judgement, judge, kept
from gradparity.harness.recheck import lapsed, recheck
from gradparity.harness.workers import Worker
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.property_tests.strategies import Structure, architectures, structures
from gradparity.reference.network import DTYPES, Architecture, Case, Cost, Gradients, Layer
from gradparity.reference.steps import EQUATIONS
from hypothesis import given, seed, settings
from hypothesis import strategies as st

EXPECTATIONS = Expectations()


def judged(worker: Worker, case: Case) -> Judgement | None:
    """Judge what an implementation answers; there is nothing to judge where it declines the case."""
    answer = worker.submit(case).result()
    if answer.outcome == "unsupported":
        return None
    assert answer.gradients is not None, f"{worker.name} failed: {answer.message}"
    return judge(case, answer.gradients)


def unexpected(implementation: str, judgement: Judgement) -> list[Broken]:
    """Give what broke, and no entry of the shipped expectations covers."""
    case = judgement.case
    return [
        one
        for one in judgement.blamed
        if EXPECTATIONS.covering(implementation, "", case.architecture, case.precision, one) is None
    ]


@lru_cache(maxsize=settings().max_examples)
def judged_cases(worker: Worker, structure: Structure, precision: str) -> list[Judgement | None]:
    """Judge a structure's cases; an answer is about all equations, so that the next equation finds them here."""
    return [judged(worker, asked) for asked in structure.cases(precision)]


Test = TypeVar("Test", bound=Callable[..., None])


def same_for_all(test: Test) -> Test:
    """Draw the same examples whatever a test's parameters are, but where fresh ones were asked for."""
    return seed(20)(test) if settings().derandomize else test


@pytest.mark.parametrize("equation", EQUATIONS)
@same_for_all
@settings(max_examples=2 * settings().max_examples // 3)  # each is several cases
@given(
    structure=structures(architectures(deepest=4, widest=6), largest_batch=4, regimes=4),
    precision=st.sampled_from(list(DTYPES)),
)
def test_equation_holds(worker: Worker, equation: str, structure: Structure, precision: str) -> None:
    for judgement in judged_cases(worker, structure, precision):
        if judgement and equation in {one.equation for one in unexpected(worker.name, judgement)}:
            pytest.fail(f"{judgement}\n{kept(judgement.case, KEEP, worker.name)}")


def test_what_is_known_to_diverge_still_does(worker: Worker) -> None:
    asked = Settings((worker.name,), precisions=tuple(DTYPES))
    found = list(recheck(EXPECTATIONS, asked, worker, "", {}))
    assert lapsed(found) == [], "these agree today: take them out of the shipped expectations"
    assert [one for one in found if not one.tried] == []


def test_a_divergence_that_is_gone_is_noticed() -> None:
    """The reference in the place of a framework: nothing that is known of it holds."""
    entries = [
        f'[[expect]]\nimplementation = ["reference"]\nfunction = "{one.function}"\nprecision = ["float64"]\n'
        f'reason = "{one.reason}"\ncases = ["{EXPECTATIONS.path.parent / name}"]\n'
        for one in EXPECTATIONS.entries
        if one.function and "float64" in one.precision
        for name in one.cases[:1]
    ]
    with TemporaryDirectory() as folder, Worker("reference", 60) as worker:
        file = Path(folder) / "expectations.toml"
        file.write_text("\n".join(entries))
        found = list(recheck(Expectations(file), Settings(("reference",)), worker, "", {}))
    assert len(found) == len(entries) > 8
    assert lapsed(found) == found


# ------------------------------------------------------------------------------------- each equation, when it is broken

NETWORK = Architecture(3, (Layer(4, "tanh"), Layer(2, "sigmoid")), Cost("half_squared_error"))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(
    ("equation", "name"),
    [
        ("forward", "z1"),
        ("cost", "cost"),
        ("BP1", "delta2"),
        ("BP2", "delta1"),
        ("BP3", "db1"),
        ("BP4", "dW2"),
    ],
)
def test_a_broken_equation_is_the_one_that_is_blamed(equation: str, name: str, precision: str) -> None:
    """A hundred roundings too many, in one array, and it is named; the answer as it was is not."""
    asked = case(NETWORK, 3, BY_NAME["ordinary"], 1, precision)
    answer = Reference().gradients(asked)
    assert judge(asked, answer).blamed == []
    arrays = {key: np.array(array) for key, array in answer.tensors().items()}
    arrays[name] *= asked.dtype.type(1 + 1000 * float(ml_dtypes.finfo(asked.dtype).eps))
    broken = judge(asked, Gradients.from_tensors(arrays, asked))
    assert [(one.equation, one.name) for one in broken.blamed][:1] == [(equation, name)]
    assert unexpected("torch:eager", broken)  # tanh and the quadratic cost are in nobody's list


def test_an_expectation_excuses_its_own_function_only() -> None:
    """In a network with tanh and gelu, what breaks in tanh is not excused."""
    network = Architecture(2, (Layer(3, "tanh"), Layer(3, "gelu")), Cost("half_squared_error"))
    asked = case(network, 3, BY_NAME["ordinary"], 1, "float64")
    answer = Reference().gradients(asked)
    assert answer.a is not None
    for layer, excused in ((0, False), (1, True)):
        a = [array * (1 + 1e-9) if i == layer else array for i, array in enumerate(answer.a)]
        found = [one for one in judge(asked, replace(answer, a=a)).blamed if one.name == f"a{layer + 1}"]
        left = [one.name for one in unexpected("tensorflow:eager", judge(asked, replace(answer, a=a)))]
        assert found
        assert (f"a{layer + 1}" not in left) is excused
