"""Campaigns in pieces: the same rows whoever judges them, in however many processes, and however often one dies."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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


DRAWN = """
import sys
from gradparity.harness.campaign import Settings, draw_cases
if len(sys.argv) > 1:
    import mine
settings = Settings((), cases=1280).only(("relu", "identity", "half_squared_error"))
print([case.id for case in draw_cases(settings)])
"""


def test_what_is_drawn_does_not_depend_on_what_is_imported(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"NUMBERS = {list(range(2, 4000, 7))}")
    without, with_it = (
        subprocess.run(
            [sys.executable, "-c", DRAWN, *more], cwd=tmp_path, capture_output=True, check=True
        ).stdout
        for more in ([], ["mine"])
    )
    assert without == with_it


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


def test_no_process_of_a_cluster_is_profiled() -> None:
    from dask import config
    from gradparity.harness.cluster import _client

    enabled = "distributed.worker.profile.enabled"
    with config.set({enabled: True}), _client(1, "") as client:  # as Dask has it
        assert set(client.run(config.get, enabled).values()) == {False}


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


def wait_for(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_scheduler_that_dies_is_one_sentence_and_the_run_goes_on_without_it(
    gradparity: Gradparity, tmp_path: Path
) -> None:
    dask, file, quiet = [sys.executable, "-m", "dask"], tmp_path / "scheduler.json", subprocess.DEVNULL
    started = [
        subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                          "--scheduler-file", str(file)], cwd=tmp_path, stdout=quiet, stderr=quiet)
    ]  # fmt: skip
    try:
        wait_for(lambda: file.exists() and file.read_text())
        address = json.loads(file.read_text())["address"]
        started.append(
            subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--death-timeout", "5"],
                             cwd=tmp_path, stdout=quiet, stderr=quiet)
        )  # fmt: skip
        command = [sys.executable, "-m", "gradparity.harness.cli", "verify", WRONG, "--cases", "1280"]
        run = subprocess.Popen([*command, "--scheduler", address, "--out", "run"], cwd=tmp_path, stdout=quiet,
                               stderr=subprocess.PIPE)  # fmt: skip
        started.append(run)
        wait_for(lambda: list(tmp_path.glob("run/verdicts/*.parquet")))
        started[0].kill()
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 2, errors.decode()
        (said,) = errors.decode().strip().splitlines()
        assert f"the Dask scheduler at {address} went away" in said
        assert "--resume` goes on" in said
    finally:
        for process in started:
            process.kill()
            process.wait()
    finished = len(list(tmp_path.glob("run/verdicts/*.parquet")))
    assert 0 < finished < 20
    assert gradparity("verify", "--resume", "--out", "run").returncode == 1
    assert len(list(tmp_path.glob("run/verdicts/*.parquet"))) == 20


#: A file system of its own, in a namespace of its own: it fills up, gets room and is read-only, and gets writable.
ROOM = """
mkdir room && mount -t tmpfs -o size=160k none room || exit 77
$VERIFY --out room/run 2> full.txt; echo $? >> full.txt
ls room/run/verdicts > finished.txt
$RESUME 2> still.txt; echo $? >> still.txt
mount -o remount,size=20m,ro room || exit 77
$RESUME 2> readonly.txt; echo $? >> readonly.txt
mount -o remount,rw room
$RESUME 2> resumed.txt; echo $? >> resumed.txt
cp -r room/run run
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_disk_that_fills_up_or_cannot_be_written_is_one_sentence_and_loses_nothing(
    gradparity: Gradparity, tmp_path: Path, jobs: str
) -> None:
    options = ("--only", "relu,identity,half_squared_error", "--cases", "640")
    program = f"{shlex.quote(sys.executable)} -m gradparity.harness.cli verify"
    commands = {
        "VERIFY": f"{program} reference {' '.join(options)} --jobs {jobs}",
        "RESUME": f"{program} --resume --jobs {jobs} --out room/run",
    }
    script = ROOM
    for name, command in commands.items():
        script = script.replace(f"${name}", command)
    try:
        done = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", script], cwd=tmp_path, check=False,
                              capture_output=True, timeout=240)  # fmt: skip
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if not (tmp_path / "full.txt").exists() or done.returncode == 77:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    finished = (tmp_path / "finished.txt").read_text().split()
    assert 0 < len(finished) < 10
    for name, why in (("full", "No space left on device"), ("still", "No space left on device"),
                      ("readonly", "Read-only file system")):  # fmt: skip
        *sentences, status = (tmp_path / f"{name}.txt").read_text().strip().splitlines()
        assert status == "2"
        assert sentences[-1].endswith(f"cannot be written: {why}")
        assert [line for line in sentences if line] == sentences[-1:]
    assert (tmp_path / "resumed.txt").read_text().split()[-1] == "0"
    gradparity("verify", "reference", *options, "--jobs", jobs, "--out", "whole")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert content(tmp_path / "run") == content(tmp_path / "whole")
