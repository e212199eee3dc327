"""Campaigns in pieces: the same rows whoever judges them, in however many processes, and however often one dies."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.harness.expectations import Expectations
from gradparity.harness.shards import RunFolderError, judge_shards, read_tally, replace_file, write_shard
from gradparity.harness.tally import Tally

from .conftest import Gradparity, judged_run

TAMPERED = Path(__file__).with_name("tampered.py")
WRONG = f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(TAMPERED))} weight"
VERIFY = ("verify", WRONG, "--cases", "200")


def rows(folder: Path) -> list[dict[str, Any]]:
    shards = sorted((folder / "verdicts").glob("*.parquet"))
    return [row for shard in shards for row in pyarrow.parquet.read_table(shard).to_pylist()]


def content(folder: Path) -> dict[str, Any]:
    """What run.json says, without what is another time's."""
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return {
        key: value for key, value in found.items() if key not in ("began", "rates", "command", "environment")
    }


def test_shards_are_the_campaign_in_pieces() -> None:
    settings = Settings((), cases=200)
    whole = [case.id for case in draw_cases(settings)]
    assert [case.id for shard in settings.shards for case in draw_cases(settings, shard)] == whole
    assert [len(list(draw_cases(settings, shard))) for shard in settings.shards] == [64, 64, 64, 8]


def test_one_process_or_two_give_the_same(gradparity: Gradparity, tmp_path: Path) -> None:
    assert gradparity(*VERIFY, "--out", "one").returncode == 1
    done = gradparity(*VERIFY, "--jobs", "2", "--out", "two")
    assert done.returncode == 1, done.stderr
    assert rows(tmp_path / "one") == rows(tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_that_was_killed_is_gone_on_with_to_the_same_rows(
    gradparity: Gradparity, tmp_path: Path, jobs: str
) -> None:
    gradparity(*VERIFY, "--out", "whole")
    killed = subprocess.Popen(
        [sys.executable, "-m", "gradparity.harness.cli", *VERIFY, "--jobs", jobs, "--out", "killed"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("verdicts/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    unfinished = json.loads((tmp_path / "killed" / "run.json").read_text())
    assert unfinished["complete"] is False
    (tmp_path / "killed" / "verdicts" / "00099.parquet.part").write_bytes(b"half of it")
    done = gradparity("verify", "--resume", "--out", "killed")
    assert done.returncode == 1, done.stderr
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.part"))
    if jobs == "2":
        os.killpg(killed.pid, signal.SIGKILL) if _alive(killed.pid) else None


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--out", "run"), "run is finished, so there is nothing to go on with"),
        (("--out", "nowhere"), "nowhere holds no run that was begun"),
        ((), "--resume needs the folder of the run to go on with: name it with --out"),
        (("--out", "run", "--seed", "3"), "--resume goes on with the run's own settings; leave out 'seed'"),
        (("reference", "--out", "run"), "leave out 'implementation'"),
    ],
)
def test_what_cannot_be_gone_on_with(
    gradparity: Gradparity, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    gradparity("verify", "reference", "--cases", "8", "--out", "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    done = gradparity("verify", "--resume", *options)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_other_expectations_are_another_run(gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "expect.toml").write_text("")
    gradparity("verify", "reference", "--cases", "8", "--expect", "expect.toml", "--out", "run")
    unfinished = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**unfinished, "complete": False}))
    (tmp_path / "expect.toml").write_text("# nothing, otherwise")
    done = gradparity("verify", "--resume", "--out", "run")
    assert done.returncode == 2
    assert "has changed since run was begun" in done.stderr


POISON = """
import os, signal
from gradparity.adapters.reference import Reference
def kills_its_judge(case):
    if case.id == {unlucky!r}:
        os.kill(os.getppid(), signal.SIGKILL)
    return Reference().gradients(case)
"""


def test_a_shard_that_kills_its_process_every_time_is_set_apart(
    gradparity: Gradparity, tmp_path: Path
) -> None:
    unlucky = list(draw_cases(Settings((), cases=200)))[100].id
    (tmp_path / "poison.py").write_text(POISON.format(unlucky=unlucky))
    done = gradparity("verify", "poison:kills_its_judge", "--cases", "200", "--jobs", "2", "--out", "run")
    assert done.returncode == 1, done.stderr
    assert [one["shard"] for one in content(tmp_path / "run")["lost"]] == [1]
    assert sorted(path.stem for path in (tmp_path / "run").glob("verdicts/*")) == ["00000", "00002", "00003"]
    assert "shard 1 was lost" in done.stdout
    (tmp_path / "poison.py").write_text(POISON.format(unlucky="nothing"))
    done = gradparity("verify", "--resume", "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert content(tmp_path / "run")["lost"] == []


def test_no_scheduler_is_one_sentence(gradparity: Gradparity, tmp_path: Path) -> None:
    done = gradparity(
        "verify", "reference", "--scheduler", "tcp://127.0.0.1:9", "--cases", "8", "--out", "run"
    )
    assert done.returncode == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr


def told(tally: Tally) -> tuple[object, ...]:
    """Everything that a tally says; documents are compared by the case they hold."""
    findings = [(one.sentence, one.cases, one.smallest.case.id) for one in tally.findings(Expectations())]
    return tally.counted, findings


def test_a_tally_travels_and_adds_up(tmp_path: Path) -> None:
    settings, expectations = Settings(("reference", WRONG), cases=128), Expectations()
    shards = list(judge_shards(settings, expectations, [0, 1]))
    whole = Tally()
    for shard in shards:
        assert told(Tally.from_bytes(shard.tally.to_bytes())) == told(shard.tally)
        (tmp_path / "verdicts").mkdir(exist_ok=True)
        write_shard(tmp_path, shard)
        whole.merge(read_tally(tmp_path, shard.number))
    assert whole.counted.cases == 128
    assert whole.verdicts().total() == sum(shard.tally.verdicts().total() for shard in shards)
    apart = [finding.cases for shard in shards for finding in shard.tally.findings(expectations)]
    assert sum(finding.cases for finding in whole.findings(expectations)) == sum(apart)
    assert {finding.equation for finding in whole.findings(expectations)} == {"BP4"}


def test_a_full_disk_is_one_sentence_and_leaves_no_part(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no full disk here")
    (tmp_path / "file.parquet.part").symlink_to("/dev/full")
    with pytest.raises(RunFolderError, match=r"file\.parquet cannot be written: No space left on device"):
        replace_file(tmp_path / "file.parquet", b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_findings_are_not_shared_between_a_tally_and_what_is_told_of_it(tmp_path: Path) -> None:
    judged_run(tmp_path / "run", Settings((WRONG,), cases=24))
    tally = read_tally(tmp_path / "run", 0)
    before = told(tally)
    assert told(tally) == before  # telling it once changes nothing
