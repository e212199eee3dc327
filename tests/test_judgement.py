"""judge and check, as a user of the Python interface meets them."""

from __future__ import annotations

import runpy
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from gradparity import (
    Architecture,
    Case,
    ChangedCaseError,
    Cost,
    DivergenceError,
    Gradients,
    Layer,
    UnsupportedError,
    check,
    judge,
)
from gradparity.adapters.reference import load
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.property_tests import regimes
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


def test_check_notices_whoever_writes_into_the_case() -> None:
    """Its arrays are read-only; who goes around that, as torch.from_numpy lets one do, is asked on a copy."""
    seen = list[Case]()

    def halves(case: Case) -> Gradients:
        seen.append(case)
        with pytest.raises(ValueError, match="read-only"):
            case.x[:] /= 2
        case.x.flags.writeable = True
        case.x[:] /= 2
        return right(case)

    with pytest.raises(ChangedCaseError, match="halves changed x of the case") as raised:
        check(halves, cases=8)
    assert "gradparity replay" in "".join(raised.value.__notes__)
    (drawn,) = islice(draw_cases(Settings((), 8)), 1)
    assert seen[-1].changed(drawn) == ["x"]  # before it, what its premise is found by


@pytest.mark.parametrize("missing", ["delta1", "delta2", "z1", "z2", "a1", "a2"])
def test_any_optional_array_may_be_missing_by_itself(missing: str) -> None:
    """What is there is judged, and by links where those have what they are computed from."""
    layers = (Layer(3, "tanh"), Layer(2, "sigmoid"), Layer(2, "tanh"))
    network = Architecture(4, layers, Cost("half_squared_error"))
    asked = regimes.case(network, 5, regimes.BY_NAME["ordinary"], 0, "float64")
    arrays = right(asked).tensors()
    del arrays[missing]
    judgement = judge(asked, Gradients.from_tensors(arrays, asked))
    assert judgement.verdict == "agrees"
    assert {one.name for one in judgement.verdicts} == set(arrays)
    for name in arrays:
        off = dict(arrays)
        off[name] = np.asarray(arrays[name] * (1 + 1e-6) + 1e-6, asked.dtype)
        assert judge(asked, Gradients.from_tensors(off, asked)).verdict == "diverges", name


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
