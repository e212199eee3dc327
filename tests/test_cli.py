"""The command line, started as a user starts it: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import gc
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from gradparity.adapters import registry
from gradparity.adapters.document import read_case
from gradparity.harness import cli

from .conftest import Gradparity

TAMPERED = Path(__file__).with_name("tampered.py")


def program(mode: str, mark: str = "") -> str:
    """Name the tampered worker; a mark, which it ignores, tells its processes from those of other tests."""
    return f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(TAMPERED))} {mode} {mark}".rstrip()


def run_json(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def verdicts(folder: Path) -> list[dict[str, Any]]:
    shards = sorted((folder / "verdicts").glob("*.parquet"))
    return [row for shard in shards for row in pyarrow.parquet.read_table(shard).to_pylist()]


def processes_of(mark: str) -> list[str]:
    """Give the command lines of the tampered workers with this mark; not of who was told to start them."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    started = f"{sys.executable} {TAMPERED} "
    return [line for line in listed.splitlines() if line.startswith(started) and mark in line]


# ------------------------------------------------------------------------------------------ the main job


def test_the_reference_agrees_with_itself(gradparity: Gradparity, tmp_path: Path) -> None:
    done = gradparity("verify", "reference", "--cases", "96", "--out", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    content = run_json(tmp_path / "run")
    assert content["complete"] is True
    assert content["findings"] == []
    total = content["counts"]["reference"]
    assert {v for counted in total.values() for v, n in counted.items() if n} <= {"agrees", "inconclusive"}
    assert set(total) == {"forward", "cost", "BP1", "BP2", "BP3", "BP4"}
    assert sum(n for counted in total.values() for n in counted.values()) == len(verdicts(tmp_path / "run"))
    assert "Report: run/report.html" in done.stdout
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000


def test_run_json_keeps_the_names_that_scripts_rely_on(gradparity: Gradparity, tmp_path: Path) -> None:
    gradparity("verify", program("weight"), "--cases", "16", "--seed", "7", "--out", "run")
    content = run_json(tmp_path / "run")
    names = {"complete", "seed", "settings", "environment", "implementations", "counts", "findings", "rates"}
    assert names <= set(content)
    assert content["seed"] == 7
    expected = {
        "name": program("weight"),
        "version": "1",
        "language": "Python",
        "cases": 16,
        "premise": "own",
    }
    (author,) = content["implementations"]
    assert author.pop("premise_is").startswith("found: links hold on ")
    assert author == expected
    finding = content["findings"][0]
    names = {
        "implementation", "equation", "layer", "precision", "activation", "cost", "where", "margin", "expected",
        "reason", "case",
    }  # fmt: skip
    assert names <= set(finding)
    case = read_case((tmp_path / "run" / finding["case"]).read_bytes())
    assert case.precision == finding["precision"]
    assert {"cases_per_second", "seconds"} <= set(content["rates"])


def test_a_program_that_answers_with_the_reference_agrees(gradparity: Gradparity) -> None:
    done = gradparity("verify", program("honest"), "--cases", "64")
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_weight_gradient_off_by_1e_9_is_found_and_bp4_blamed(
    gradparity: Gradparity, tmp_path: Path
) -> None:
    done = gradparity("verify", program("weight"), "--cases", "64", "--precision", "float64", "--out", "run")
    assert done.returncode == 1
    content = run_json(tmp_path / "run")
    assert {finding["equation"] for finding in content["findings"]} == {"BP4"}
    for finding in content["findings"]:
        depth = len(finding["architecture"]["layers"])
        assert finding["layer"] == min(2, depth)
        result, exact = float(finding["result"]), float(finding["exact"].strip("[]").split()[0])
        assert 0.99e-9 < abs(result / exact - 1) < 1.01e-9
    diverging = {row["equation"] for row in verdicts(tmp_path / "run") if row["verdict"] == "diverges"}
    assert diverging == {"BP4"}


def test_four_ways_to_misbehave_are_four_reasons_and_harm_nobody(
    gradparity: Gradparity, tmp_path: Path
) -> None:
    modes = ("kill", "hang", "garbage", "shape")
    names = [program(mode, tmp_path.name) for mode in modes]
    done = gradparity(
        "verify", "reference", *names, "--cases", "24", "--seed", "2", "--timeout", "5", "--out", "run"
    )
    assert done.returncode == 1
    content = run_json(tmp_path / "run")
    rows = verdicts(tmp_path / "run")
    unlucky = {row["case"] for row in rows if int(row["case"], 16) % 7 == 0}
    assert unlucky
    judged: dict[str, dict[tuple[Any, ...], str]] = {}
    for row in rows:
        key = (row["case"], row["equation"], row["layer"], row["margin"])
        judged.setdefault(row["implementation"], {})[key] = row["verdict"]
        if row["implementation"] in names:
            assert (row["verdict"] == "failed") == (row["case"] in unlucky)
    reference = judged["reference"]
    assert set(reference.values()) <= {"agrees", "inconclusive"}
    for name in names:  # whatever did not fail is the reference's verdict, to the last bit of its margin
        others = {key: verdict for key, verdict in judged[name].items() if verdict != "failed"}
        assert others == {key: verdict for key, verdict in reference.items() if key[0] not in unlucky}
    reasons = {m["implementation"]: m["message"] for m in content["messages"]}
    assert "SIGKILL" in reasons[names[0]]
    assert "no answer within" in reasons[names[1]]
    assert "not a document" in reasons[names[2]]
    assert "has shape (1, 1, 1), but should have" in reasons[names[3]]
    time.sleep(0.2)
    assert processes_of(tmp_path.name) == []


def test_the_same_seed_gives_the_same_rows(gradparity: Gradparity, tmp_path: Path) -> None:
    for out in ("one", "two"):
        gradparity("verify", "reference", "--cases", "40", "--seed", "3", "--out", out)
    gradparity("verify", "reference", "--cases", "40", "--seed", "4", "--out", "other")
    assert verdicts(tmp_path / "one") == verdicts(tmp_path / "two")
    assert verdicts(tmp_path / "one") != verdicts(tmp_path / "other")


def test_a_python_callable_is_judged_in_a_process_of_its_own(gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from gradparity.adapters.reference import load\n"
        "def right(case): return load('').gradients(case)\n"
        "def wrong(case):\n"
        "    answer = right(case)\n"
        "    return type(answer)([-dW for dW in answer.dW], answer.db)\n"
    )
    assert gradparity("verify", "mine:right", "--cases", "16").returncode == 0
    done = gradparity("verify", "mine:wrong", "--cases", "16")
    assert done.returncode == 1
    assert "BP4 is wrong" in done.stdout


def test_an_interrupted_run_says_that_it_is_one(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "gradparity.harness.cli",
        "verify",
        program("hang", tmp_path.name),
        "--out",
        "run",
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not processes_of(tmp_path.name) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_of(tmp_path.name)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode().strip().splitlines()[-1] == "gradparity: interrupted"
    assert run_json(tmp_path / "run")["complete"] is False
    assert processes_of(tmp_path.name) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_the_garbage_collector_loses_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(phase: str, _: object) -> None:
        if phase == "stop":
            gc.callbacks.remove(lose)
            raise KeyboardInterrupt

    def lost() -> None:
        gc.callbacks.append(lose)
        gc.collect()
        time.sleep(5)

    monkeypatch.setattr(sys, "unraisablehook", cli._again)
    with pytest.raises(KeyboardInterrupt):
        lost()
    monkeypatch.setattr(threading, "Timer", lambda *_: pytest.fail("of another exception"))
    told = list[object]()
    monkeypatch.setattr(sys, "__unraisablehook__", told.append)

    def fail(phase: str, _: object) -> None:
        if phase == "stop":
            gc.callbacks.remove(fail)
            raise ValueError

    gc.callbacks.append(fail)
    gc.collect()
    assert len(told) == 1


# ------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("verify", "torhc:eager"), "did you mean torch:eager?"),
        (("verify", "torch:eagre"), "torch:eager"),
        (("verify", "exec:no-such-program-here"), "no-such-program-here"),
        (("verify", "reference", "--cases", "-3"), "-3"),
        (("verify", "reference", "--cases", "many"), "many"),
        (("verify", "reference", "--seed", "-1"), "-1"),
        (("verify", "reference", "--precision", "float65"), "float65"),
        (("verify", "reference", "--only", "cosine"), "cosine"),
        (("verify", "reference", "--timeout", "0"), "0"),
        (("verify", "reference", "--out", "taken"), "taken"),
        (("verify", "reference", "--modes", "all"), "--modes all says whom to judge"),
        (("verify", "--modes", "some"), "some"),
        (("verfy",), "verfy"),
        (("serve", "nobody:nothing"), "nobody"),
    ],
)
def test_wrong_usage_is_one_sentence(
    gradparity: Gradparity, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work")
    done = gradparity(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "taken" / "thesis.txt").read_text() == "years of work"
    assert not list(tmp_path.glob("gradparity-run*"))


def test_a_missing_framework_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "spec_of", lambda module: None)
    for arguments in (["verify", "torch:eager"], ["verify"]):
        monkeypatch.setattr(sys, "argv", ["gradparity", *arguments])
        result = CliRunner().invoke(cli.gradparity, arguments)
        assert result.exit_code == 2
        assert len(result.output.strip().splitlines()) == 1
        assert "pip install 'gradparity[" in result.output
    listed = CliRunner().invoke(cli.gradparity, ["implementations"])
    assert listed.exit_code == 0
    assert "torch is not installed" in listed.output


@pytest.mark.parametrize("stdin", [b"hello", b"\x20\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_an_unreadable_case_is_one_sentence(gradparity: Gradparity, stdin: bytes) -> None:
    done = gradparity("serve", "reference", stdin=stdin)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_sentence(gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = gradparity("verify", "reference", "--out", "locked/run")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_run_that_judged_nothing_is_told_apart(gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from gradparity import UnsupportedError\ndef declines(case): raise UnsupportedError('not today')\n"
    )
    done = gradparity("verify", "mine:declines", "--cases", "8")
    assert done.returncode == 3
    assert "not today" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from gradparity.harness import cli; "
        "print([m for m in ('numpy', 'hypothesis', 'flint', 'pyarrow', 'rich', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_margins_are_numbers_in_the_shards(gradparity: Gradparity, tmp_path: Path) -> None:
    gradparity("verify", "reference", "--cases", "8", "--out", "run")
    margins = np.array([row["margin"] for row in verdicts(tmp_path / "run")])
    assert np.all(margins >= 0)
    assert np.all(margins <= 1)
