"""Premises: found by probes, declared, shown; who is judged by a weaker one, and who is not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, DivergenceError, Gradients, Layer, check, judge
from gradparity.adapters.reference import load
from gradparity.harness.campaign import Settings
from gradparity.harness.premises import premise_of_function, probes, shown
from gradparity.harness.workers import _implementation
from gradparity.property_tests.faults.fault import FAULTS
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.network import MalformedError
from gradparity.reference.premise import Premise

from .conftest import Gradparity
from .honest.network import Operations, honest
from .honest.sums import row_by_row
from .honest.variants import VARIANTS

Backprop = Callable[[Case], Gradients]


def right(asked: Case) -> Gradients:
    return load("").gradients(asked)


def again(asked: Case) -> Gradients:
    """The gradients from a forward pass of its own, in long double: nothing of it is what was answered."""
    answer, other = right(asked), honest(asked, Operations(computed_in=np.longdouble))
    return Gradients(other.dW, other.db, answer.cost, other.delta, answer.z, answer.a)


def apart(asked: Case) -> Gradients:
    """And δ from a third run, in the other order: no array is computed from another."""
    answer, other = right(asked), honest(asked, Operations(computed_in=np.longdouble))
    backwards = honest(asked, Operations(product=lambda a, W: a[:, ::-1].copy() @ W[:, ::-1].T.copy()))
    return Gradients(other.dW, other.db, answer.cost, backwards.delta, answer.z, answer.a)


def in_a_loop(asked: Case) -> Gradients:
    """z and a of the whole batch at once; the gradients example by example, each with a forward pass of its own."""
    whole = right(asked)
    each = honest(asked, Operations(product=lambda a, W: row_by_row(a, W.T), back=row_by_row))
    return Gradients(each.dW, each.db, whole.cost, each.delta, whole.z, whole.a)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("answers", "premise"), [(right, "own"), (again, "delta"), (apart, "chain")])
def test_probes_find_the_premise(answers: Backprop, premise: str, precision: str) -> None:
    found = premise_of_function(answers, Settings((), precisions=(precision,)))
    assert found.premise == premise
    assert f"of {len(probes(precision))} probes" in found.how


def test_who_computes_once_more_is_judged_right() -> None:
    assert check(again, cases=40, seed=3) == 40
    assert check(apart, cases=40, seed=3) == 40
    assert check(in_a_loop, cases=40, seed=3) == 40


def test_a_premise_is_declared() -> None:
    def declares(asked: Case) -> Gradients:
        return right(asked)

    declares.premise = "chain"  # type: ignore[attr-defined]
    found = premise_of_function(declares, Settings(()))
    assert (found.premise, found.how) == (Premise.CHAIN, "declared")


def test_wrong_ones_keep_their_links() -> None:
    """Whoever is wrong in every case leaves the chain, and gets no weaker premise for it."""
    for fault in FAULTS:
        if fault.fails:
            continue
        implementation = fault.implementation()
        answered = []
        for asked in probes("float64"):
            try:
                answered.append((asked, implementation(asked)))
            except Exception:  # a wrong shape
                continue
        assert shown(answered).premise is Premise.OWN, str(fault)


def off_by_a_few_roundings(asked: Case) -> Gradients:
    """A wrong ∂C/∂W whose error hides between its link and the chain."""
    answer = right(asked)
    off = 1 + 40 * float(np.finfo(asked.dtype).eps) / 2
    return dataclasses.replace(answer, dW=[np.asarray(dW * off, asked.dtype) for dW in answer.dW])


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_an_error_in_one_equation_is_no_premise(precision: str) -> None:
    """Its link breaks on every probe and no chain does: that is what the link is for."""
    found = premise_of_function(off_by_a_few_roundings, Settings((), precisions=(precision,)))
    assert found.premise is Premise.OWN
    with pytest.raises(DivergenceError, match="BP4 is wrong through the matrix product"):
        check(off_by_a_few_roundings, cases=24, precisions=(precision,))


@pytest.mark.parametrize("declared", ["Delta", 3, ["own"]])
def test_what_is_no_premise_is_said_in_python_too(declared: object) -> None:
    def declares(asked: Case) -> Gradients:
        return right(asked)

    declares.premise = declared  # type: ignore[attr-defined]
    with pytest.raises(MalformedError, match="is no premise; say one of own, delta, chain"):
        check(declares, cases=8)


@pytest.mark.parametrize("abilities", ["null", '["fast"]', '"delta"', "{}", '{"widths": [1, 8]}'])
def test_other_abilities_are_no_premise(abilities: str) -> None:
    assert "premise" not in _implementation(f'{{"name": "mine", "abilities": {abilities}}}')


def test_delta_is_sharper_than_the_chain() -> None:
    """∂C/∂W off by what the chain of a deep network cannot see is seen from δ, whatever z and a are."""
    network = Architecture(24, tuple(Layer(24, "tanh") for _ in range(6)), Cost("half_squared_error"))
    asked = case(network, 8, BY_NAME["ordinary"], 0, "float32")
    answer = again(asked)
    off = [np.asarray(dW * (1 + 3e-6), asked.dtype) for dW in answer.dW]
    wrong = Gradients(off, answer.db, answer.cost, answer.delta, answer.z, answer.a)
    assert judge(asked, answer, premise="delta").verdict == "agrees"
    assert judge(asked, wrong, premise="chain").verdict == "agrees"
    found = judge(asked, wrong, premise="delta")
    assert found.verdict == "diverges"
    assert {one.equation for one in found.blamed} == {"BP4"}


def test_a_premise_is_recorded_and_shown(gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from gradparity.adapters.reference import load\n"
        "def right(case):\n    return load('').gradients(case)\n"
        "def declares(case):\n    return right(case)\n"
        "declares.premise = 'delta'\n"
    )
    low = gradparity(
        "verify", "mine:declares", "--cases", "8", "--precision", "bfloat16", "--only", "relu", "--out", "low"
    )
    assert "mine:declares: each equation is judged on its own δ" in low.stdout
    done = gradparity("verify", "mine:right", "mine:declares", "reference", "--cases", "24", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "mine:declares: each equation is judged on its own δ, and on z and a" in done.stdout
    assert "mine:right: each" not in done.stdout
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    said = {one["name"]: (one["premise"], one["premise_is"]) for one in content["implementations"]}
    assert said["mine:declares"] == ("delta", "declared")
    assert said["reference"] == ("own", "known")
    assert said["mine:right"][0] == "own"
    assert "each equation is judged on its own δ" in (tmp_path / "run" / "report.html").read_text()


def test_what_is_no_premise_is_refused(gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from gradparity.adapters.reference import load\n"
        "def declares(case):\n    return load('').gradients(case)\n"
        "declares.premise = 'none'\n"
    )
    done = gradparity("verify", "mine:declares", "--cases", "8", "--out", "run")
    assert "'none' is no premise; say one of own, delta, chain" in done.stdout + done.stderr


def test_recomputed_activations_are_among_the_honest_variants() -> None:
    kinds = {variant.kind for variant in VARIANTS}
    assert "recomputation" in kinds
