"""judge and check, as a user of the Python interface meets them."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from gradparity import Case, DivergenceError, Gradients, UnsupportedError, check, judge
from gradparity.adapters.reference import load
from gradparity.property_tests.strategies import structure_at
from gradparity.reference.network import MalformedError

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_backprop.py"


def right(case: Case) -> Gradients:
    return load("").gradients(case)


def wrong(case: Case) -> Gradients:
    answer = right(case)
    return Gradients([np.asarray(dW * (1 + 1e-9), case.dtype) for dW in answer.dW], answer.db)


def test_judge_agrees_and_says_so_in_a_table() -> None:
    case = next(structure_at(0, 0).cases("float64"))
    judgement = judge(case, right(case))
    assert judgement.verdict == "agrees"
    assert judgement.blamed == []
    lines = str(judgement).splitlines()
    assert case.id in lines[0]
    assert len(lines) == 2 + len(right(case).tensors())


def test_judge_says_what_broke() -> None:
    case = next(structure_at(0, 0).cases("float64"))
    judgement = judge(case, wrong(case))
    assert judgement.verdict == "diverges"
    assert [one.equation for one in judgement.blamed] == ["BP4"]
    assert "What broke: BP4" in str(judgement)


def test_judge_refuses_a_wrong_shape() -> None:
    case = next(structure_at(0, 0).cases("float64"))
    answer = right(case)
    with pytest.raises(MalformedError, match="dW1 has shape"):
        judge(case, Gradients([dW[:, :0] for dW in answer.dW], answer.db))


def test_check_accepts_what_is_right() -> None:
    assert check(right, cases=24) == 24


def test_check_shows_the_smallest_case_that_diverges() -> None:
    with pytest.raises(DivergenceError, match="What broke: BP4") as raised:
        check(wrong, cases=24, precisions=("float64",))
    assert isinstance(raised.value, AssertionError)


def test_check_of_what_declines_everything_is_no_success() -> None:
    def declines(case: Case) -> Gradients:
        raise UnsupportedError("not today")

    with pytest.raises(ValueError, match="nothing was checked"):
        check(declines, cases=8)


def test_only_restricts_what_is_drawn() -> None:
    seen: set[str] = set()

    def look(case: Case) -> Gradients:
        seen.update(layer.activation for layer in case.architecture.layers)
        seen.add(case.architecture.cost.name)
        return right(case)

    check(look, cases=24, only=("relu", "tanh", "hinge"))
    assert seen == {"relu", "tanh", "hinge"}


@pytest.mark.filterwarnings("default::RuntimeWarning")  # its sigmoid overflows, and gives 0 all the same
def test_the_readme_s_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "every gradient lies in its enclosure" in capsys.readouterr().out
