"""Exploring: what no campaign asks is found where margins grow, is remembered, and is a finding like any other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pyarrow.parquet
import pytest
from gradparity.adapters.document import read_case, write_case
from gradparity.harness import explore
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.harness.expectations import Expectations
from gradparity.harness.explore import Explorer, lines, told
from gradparity.harness.shards import RunFolderError
from gradparity.harness.tally import Tally
from gradparity.harness.workers import Worker
from gradparity.property_tests.exploring import climbable
from gradparity.reference.interval import Interval
from gradparity.reference.network import Case, Gradients
from gradparity.reference.perfect import perfect

from .conftest import Gradparity

#: The error of ∂C/∂W grows with the inputs, and passes the bound where no campaign draws any: beyond 2^20.
FAULTY = """
import dataclasses
import numpy as np
from gradparity.adapters.reference import Reference

def honest(case):
    return Reference().gradients(case)

def grows(case):
    answer = honest(case)
    size = float(np.max(np.abs(case.x), initial=1.0, where=np.isfinite(case.x)))
    off = 2.0**-53 * max(0.0, np.log2(size) - 12) / 2
    return dataclasses.replace(answer, dW=[dW * (1 + off) for dW in answer.dW])

def dies(case):
    if np.any(np.abs(case.x) > 2.0**20):
        raise RuntimeError("too large for me")
    return honest(case)
"""
ONLY = ("--only", "identity,tanh,half_squared_error", "--precision", "float64", "--cases", "64")
SETTINGS = Settings(("faulty:grows",), precisions=("float64",)).only(
    ("identity", "tanh", "half_squared_error")
)


@pytest.fixture(autouse=True)
def _faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)


def explored(settings: Settings, cases: int, memory: Path, first: int = 0) -> tuple[Tally, int]:
    """Explore so many cases; gives what they come to, and how many were asked."""
    total = Tally()
    (name,) = settings.implementations
    with Worker(name, settings.timeout) as worker:
        explorer = Explorer(settings, Expectations(), [worker], memory=memory)
        for shard in explorer.rounds(first, lambda number: number >= cases):
            total.merge(shard.tally)
        return total, explorer.cases


def run_json(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def rows(folder: Path) -> list[dict[str, Any]]:
    return [
        row
        for file in sorted(folder.glob("*.parquet"))
        for row in pyarrow.parquet.read_table(file).to_pylist()
    ]


def test_what_no_campaign_draws_is_found_and_then_remembered(tmp_path: Path) -> None:
    largest = max(
        float(np.nanmax(np.abs(case.x), initial=0, where=np.isfinite(case.x)))
        for case in draw_cases(SETTINGS)
    )
    assert largest < 2.0**20
    tally, _ = explored(SETTINGS, 500, tmp_path / "memory")
    assert {finding.equation for finding in tally.findings(Expectations())} == {"BP4"}
    remembered = list((tmp_path / "memory" / "found").glob("*.safetensors"))
    assert remembered
    again, asked = explored(SETTINGS, 0, tmp_path / "memory")  # no time at all, but what is known is asked
    assert asked == len(remembered)
    assert {finding.equation for finding in again.findings(Expectations())} == {"BP4"}
    mended, _ = explored(Settings(("faulty:honest",), precisions=("float64",)), 0, tmp_path / "memory")
    assert mended.counted.cases == len(remembered)
    assert mended.findings(Expectations()) == []


def test_an_honest_implementation_yields_nothing_and_its_margins_grow(tmp_path: Path) -> None:
    settings = Settings(("reference",), precisions=("float64",))
    tally, asked = explored(settings, 300, tmp_path)
    assert tally.counted.cases == asked == 300
    assert set(tally.verdicts()) <= {"agrees", "inconclusive"}
    assert not (tmp_path / "found").exists() or not list((tmp_path / "found").iterdir())
    less, _ = explored(settings, 40, tmp_path / "other")
    before, after = ({one["equation"]: one["explored"] for one in told(settings, Tally(), tally)["margins"]}
                     for tally in (less, tally))  # fmt: skip
    assert after["BP4"] > before["BP4"]
    assert all(0 <= margin <= 1 for margin in after.values())


def test_the_same_past_gives_the_same_cases(tmp_path: Path) -> None:
    first, second, later = (
        explored(SETTINGS, 120, tmp_path / name, number)[0] for name, number in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.counted.margins == second.counted.margins
    assert first.counted.drawn == second.counted.drawn
    assert first.counted.drawn != later.counted.drawn  # another round


def test_a_failure_is_remembered_as_well(tmp_path: Path) -> None:
    settings = Settings(("faulty:dies",), precisions=("float64",))
    tally, _ = explored(settings, 150, tmp_path)
    assert tally.verdicts()["failed"]
    (found,) = (tmp_path / "found").iterdir()
    assert np.abs(read_case(found.read_bytes()).x).max() > 2.0**20


def test_only_what_a_run_draws_is_remembered(tmp_path: Path) -> None:
    case = next(draw_cases(Settings((), precisions=("float32",))))
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "one.safetensors").write_bytes(write_case(case))
    assert explored(SETTINGS, 0, tmp_path)[1] == 0
    assert explored(Settings(("faulty:honest",)), 0, tmp_path)[1] == 1


def test_what_is_remembered_and_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "one.safetensors").write_bytes(b"half of it")
    with pytest.raises(RunFolderError, match=r"one\.safetensors is not a case document"):
        explored(SETTINGS, 0, tmp_path)


def test_the_command_line_explores_and_tells(gradparity: Gradparity, tmp_path: Path) -> None:
    done = gradparity("verify", "faulty:grows", *ONLY, "--out", "plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "explored" not in run_json(tmp_path / "plain")
    done = gradparity("verify", "faulty:grows", *ONLY, "--explore", "0.15", "--out", "run")
    assert done.returncode == 1, done.stdout + done.stderr
    content = run_json(tmp_path / "run")
    assert f"Explored {content['explored']['cases']:,} cases" in done.stdout
    report = (tmp_path / "run" / "report.html").read_text()
    assert f"{content['explored']['cases']:,} of them by exploring, the rest from seed 0" in report
    assert {finding["equation"] for finding in content["findings"]} == {"BP4"}
    read_case((tmp_path / "run" / content["findings"][0]["case"]).read_bytes())
    # The campaign's rows are what they are without exploring, and everything that is counted has a row.
    assert rows(tmp_path / "run" / "verdicts") == rows(tmp_path / "plain" / "verdicts")
    counted = sum(
        n for one in content["counts"].values() for verdicts in one.values() for n in verdicts.values()
    )
    assert counted == sum(len(rows(tmp_path / "run" / where)) for where in ("verdicts", "explored"))
    assert content["drawn"]["cases"] == 64 + content["explored"]["cases"]
    asked = {row["case"] for where in ("verdicts", "explored") for row in rows(tmp_path / "run" / where)}
    assert len(asked) == content["drawn"]["cases"]
    # At once, however little time there is.
    done = gradparity("verify", "faulty:grows", *ONLY, "--explore", "1e-9", "--out", "again")
    assert done.returncode == 1, done.stdout + done.stderr


def test_a_run_that_ended_while_exploring_is_gone_on_with(gradparity: Gradparity, tmp_path: Path) -> None:
    gradparity("verify", "faulty:grows", *ONLY, "--explore", "0.1", "--out", "run")
    before = run_json(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps({**before, "complete": False}))
    done = gradparity("verify", "--resume", "--explore", "0.02", "--out", "run")
    assert done.returncode == 1, done.stdout + done.stderr
    assert run_json(tmp_path / "run")["explored"]["cases"] > before["explored"]["cases"]


@pytest.mark.parametrize("minutes", ["0", "-1", "many", "inf"])
def test_minutes_that_are_none(gradparity: Gradparity, minutes: str) -> None:
    done = gradparity("verify", "reference", "--explore", minutes)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


@hypothesis.given(
    climbable(("float64", "float32", "bfloat16", "float16"), ("relu", "tanh"), ("squared_error",))
)
@hypothesis.settings(max_examples=50, database=None, deadline=None, derandomize=True)
def test_what_is_climbed_is_a_case_with_finite_numbers(case: Case) -> None:
    assert all(np.isfinite(array.astype(np.float64)).all() for array in case.tensors().values())
    assert {layer.activation for layer in case.architecture.layers} <= {"relu", "tanh"}


def test_perfect_answers_are_judged_on_what_is_explored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is accused; and where one were, the run would say so, and the case be remembered."""

    def run(memory: Path) -> tuple[Explorer, list[str]]:
        with Worker("faulty:honest", SETTINGS.timeout) as worker:
            settings = dataclasses.replace(SETTINGS, implementations=("faulty:honest",))
            explorer, total = Explorer(settings, Expectations(), [worker], memory=memory), Tally()
            for shard in explorer.rounds(0, lambda number: number >= 60):
                total.merge(shard.tally)
            return explorer, list(lines(told(settings, Tally(), total, explorer)))

    explorer, said = run(tmp_path / "sound")
    assert explorer.perfect > 30
    assert explorer.accusing == []
    assert said[1] == f"On {explorer.perfect} of them perfect answers were judged as well; none was accused."

    def off(case: Case, enclosure: Mapping[str, Interval]) -> Iterator[Gradients]:
        for answer in perfect(case, enclosure):
            yield dataclasses.replace(answer, db=[db * 1.001 + 1e-3 for db in answer.db])

    monkeypatch.setattr(explore, "perfect", off)
    explorer, said = run(tmp_path / "unsound")
    assert explorer.accusing
    assert "which is a defect of gradparity" in said[1]
    assert list((tmp_path / "unsound" / "found").glob("*.safetensors"))
