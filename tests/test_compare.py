"""Two runs of the same cases: what is worse, what was mended, what moved, and how far."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradparity.harness.compare import units_apart

from .conftest import Gradparity

WRAPPER = """
import sys, numpy as np
from gradparity.adapters.reference import Reference
from gradparity.reference.network import Gradients
NUMBER = int(open({switch!r}).read())
def mine(case):
    if NUMBER == 3 and case.architecture.depth == 1:
        raise ValueError("no single layers")
    answer = Reference().gradients(case)
    arrays = {{name: np.array(array) for name, array in answer.tensors().items()}}
    if NUMBER == 1:
        arrays["dW1"] = arrays["dW1"] * (1 + 1e-6)
    if NUMBER == 2:
        arrays["db1"] = np.nextafter(arrays["db1"], np.float64(np.inf)).astype(case.dtype)
    return Gradients.from_tensors(arrays, case)
"""


@pytest.fixture
def run(gradparity: Gradparity, tmp_path: Path) -> Any:
    """Judge the reference with a fault of that number, into a folder of that name."""
    switch = tmp_path / "number"
    (tmp_path / "wrapped.py").write_text(WRAPPER.format(switch=str(switch)))

    def judged(number: int, name: str, *options: str) -> Path:
        switch.write_text(str(number))
        done = gradparity(
            "verify", "wrapped:mine", "--cases", "24", "--precision", "float64", "--out", name, *options
        )
        assert done.returncode in (0, 1), done.stderr
        return tmp_path / name

    return judged


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_a_run_compared_with_itself_is_bitwise_equal(
    run: Any, gradparity: Gradparity, tmp_path: Path
) -> None:
    run(0, "old")
    run(0, "new")
    done = gradparity("compare", "old", "new", "--json", "c.json")
    assert done.returncode == 0, done.stdout + done.stderr
    content = read(tmp_path / "c.json")
    assert content["rows"] == content["equal"] > 200
    assert content["changes"] == []
    assert "bitwise equal, 0 moved" in done.stdout


def test_what_diverges_now_is_a_regression_and_the_other_way_round_it_is_mended(
    run: Any, gradparity: Gradparity, tmp_path: Path
) -> None:
    run(0, "right")
    run(1, "wrong")
    done = gradparity("compare", "right", "wrong", "--json", "worse.json", "--markdown", "worse.md")
    assert done.returncode == 1
    worse = read(tmp_path / "worse.json")
    assert {(one["equation"], one["old"], one["new"]) for one in worse["changes"]} >= {
        ("BP4", "agrees", "diverges")
    }
    assert worse["regressions"] > 0
    assert (tmp_path / "worse.md").read_text().startswith("## ✗ ")
    done = gradparity("compare", "wrong", "right")
    assert done.returncode == 0
    assert "mended" in done.stdout
    done = gradparity("compare", "wrong", "wrong")
    assert done.returncode == 0


def test_what_is_expected_is_no_regression(run: Any, gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "expect.toml").write_text(
        '[[expect]]\nimplementation = ["wrapped:mine"]\nequation = "BP4"\nprecision = ["float64"]\nreason = "planted"\n'
    )
    run(0, "right")
    run(1, "known", "--expect", str(tmp_path / "expect.toml"))
    done = gradparity("compare", "right", "known")
    assert done.returncode == 0, done.stdout
    assert "as expected" in done.stdout


def test_a_unit_in_the_last_place_is_told_where_answers_are_kept(
    run: Any, gradparity: Gradparity, tmp_path: Path
) -> None:
    run(0, "old", "--answers")
    run(2, "new", "--answers")
    gradparity("compare", "old", "new", "--json", "c.json")
    moved = [one for one in read(tmp_path / "c.json")["drift"] if one["rows"] > one["equal"]]
    assert {(one["equation"], one["ulps"], one["array"]) for one in moved} == {("BP3", 1.0, "db1")}
    shutil.rmtree(tmp_path / "old" / "answers")
    done = gradparity("compare", "old", "new", "--json", "c.json")
    assert {one["ulps"] for one in read(tmp_path / "c.json")["drift"]} == {None}
    assert "verify --answers" in done.stdout


def test_one_that_fails_now_is_a_regression(run: Any, gradparity: Gradparity, tmp_path: Path) -> None:
    run(0, "old")
    run(3, "new")
    done = gradparity("compare", "old", "new", "--json", "c.json")
    assert done.returncode == 1
    failed = [one for one in read(tmp_path / "c.json")["changes"] if one["new"] == "failed"]
    assert failed
    assert {one["old"] for one in failed} <= {"agrees", "inconclusive"}
    assert all("no single layers" in one["message"] for one in failed)
    assert gradparity("compare", "new", "old").returncode == 0


@pytest.mark.parametrize(
    ("one", "other", "precision", "apart"),
    [
        ([1.0, -0.0], [1.0, 0.0], "float64", 0),
        ([1.0], [1.0 + 2.0**-52], "float64", 1),
        ([5e-324], [-5e-324], "float64", 2),
        ([1.0], [1.0 + 2.0**-23], "float32", 1),
        ([1.0], [1.0 + 2.0**-7], "bfloat16", 1),
        ([65504.0], [np.inf], "float16", np.inf),
        ([np.inf, 1.0], [np.inf, 1.0], "float16", 0),
        ([8.0, 1e-300], [8.0, 2.0**-50], "float64", 0.5),
        ([np.nan], [np.nan], "float32", 0),
        ([np.nan, 1.0], [1.0, 1.0], "float32", np.inf),
    ],
)
def test_units_apart(one: list[float], other: list[float], precision: str, apart: float) -> None:
    assert units_apart(np.array(one), np.array(other), precision) == apart


# ------------------------------------------------------------------------------------------- what is no run


def poison(folder: Path, how: str) -> None:
    shard = folder / "verdicts" / "00000.parquet"
    content = read(folder / "run.json")
    if how == "truncated shard":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif how == "foreign shard":
        shard.write_bytes(b"not parquet at all")
    elif how == "no shard":
        shard.unlink()
    elif how == "foreign columns":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), shard)
    elif how == "no run.json":
        (folder / "run.json").unlink()
    elif how == "truncated run.json":
        (folder / "run.json").write_bytes((folder / "run.json").read_bytes()[:200])
    elif how == "unfinished":
        (folder / "run.json").write_text(json.dumps({**content, "complete": False}))
    elif how == "another version":
        (folder / "run.json").write_text(json.dumps({**content, "format": 99}))
    elif how == "a key is missing":
        (folder / "run.json").write_text(json.dumps({k: v for k, v in content.items() if k != "matrix"}))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("truncated shard", "00000.parquet is no Parquet file, or was cut short"),
        ("foreign shard", "00000.parquet is no Parquet file, or was cut short"),
        ("no shard", "holds no shards"),
        ("foreign columns", "has no column 'case': another version of gradparity wrote it"),
        ("no run.json", "holds no readable run.json, so it is not a run"),
        ("truncated run.json", "holds no readable run.json, so it is not a run"),
        ("unfinished", "is an unfinished run: its run.json lacks the closing mark"),
        ("another version", "was written in format 99 of run folders"),
        ("a key is missing", "is damaged: its run.json has no 'matrix'"),
    ],
)
def test_a_poisoned_folder_is_one_sentence_and_nothing_is_written(
    gradparity: Gradparity, tmp_path: Path, how: str, sentence: str
) -> None:
    for name in ("old", "new"):
        gradparity("verify", "reference", "--cases", "8", "--out", name)
    poison(tmp_path / "new", how)
    for runs in (("old", "new"), ("new", "old")):
        done = gradparity("compare", *runs, "--markdown", "c.md", "--json", "c.json")
        assert done.returncode == 2
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert not (tmp_path / "c.md").exists()
    assert not (tmp_path / "c.json").exists()


def test_runs_of_other_cases_cannot_be_compared(gradparity: Gradparity) -> None:
    for seed in ("1", "2"):
        gradparity("verify", "reference", "--cases", "8", "--seed", seed, "--out", f"seed{seed}")
    done = gradparity("compare", "seed1", "seed2")
    assert done.returncode == 2
    assert "share no case" in done.stderr
