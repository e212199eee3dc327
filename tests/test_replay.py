"""Replay: a case document on the command line, judged again or written out as a program."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from gradparity import Architecture, Case, Cost, Gradients, Layer
from gradparity.adapters.document import write_case
from gradparity.adapters.modes import MODES, Mode
from gradparity.adapters.reference import Reference
from gradparity.harness import cli, replay
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.premise import Premise
from rich.console import Console

from .test_links import cancelling

NETWORK = Architecture(2, (Layer(3, "leaky_relu", 0.3), Layer(2, "sigmoid")), Cost("half_squared_error"))


def wrong(asked: Case) -> Gradients:
    """The reference, with ∂C/∂b^1 averaged twice."""
    answer = Reference().gradients(asked)
    return replace(answer, db=[answer.db[0] / asked.batch, *answer.db[1:]])


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "case.safetensors"
    path.write_bytes(write_case(case(NETWORK, 2, BY_NAME["ordinary"], 0, "float64")))
    return path


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, what was printed, and the sentence of a refusal."""
    done = CliRunner().invoke(cli.gradparity, ["replay", *arguments], standalone_mode=False)
    if isinstance(done.exception, click.ClickException):
        return done.exception.exit_code, done.output, done.exception.message
    return done.exit_code, done.output, ""


def test_verdicts_and_exact_values_are_shown(document: Path) -> None:
    status, output, _ = run(str(document), "reference")
    assert status == 0
    assert "BP4           1  dW1     agrees" in output
    assert "radii" in output and "exact" in output


def test_a_divergence_is_named_and_is_status_1(document: Path) -> None:
    status, output, _ = run(str(document), "gradparity.tests.test_replay:wrong", "reference")
    assert status == 1
    assert "What broke: BP3, layer 1: db1" in output


def test_who_has_no_links_is_not_accused_by_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, name = tmp_path / "cancelling.safetensors", "gradparity.tests.test_links:added_up"
    path.write_bytes(write_case(cancelling()))
    assert run(str(path), name)[0] == 1
    monkeypatch.setitem(MODES, name, Mode(name, premise=Premise.CHAIN))
    assert run(str(path), name)[0] == 0


def test_exact_values_are_those_of_arbitrary_precision(document: Path) -> None:
    console = Console(record=True, width=160)
    asked = replay.read(document)
    assert replay.replay(asked, ["reference"], 60, console) == 0
    shown = console.export_text()
    found = Reference().gradients(asked)
    assert f"{float(found.dW[0][0, 1])!r}"[:12] in shown
    assert np.isfinite(found.dW[0]).all()


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_the_program_runs_as_printed(document: Path, framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        status, _, message = run(str(document), "--script", framework)
        assert (status, "pip install" in message) == (2, True)
        return
    status, program, _ = run(str(document), "--script", framework)
    assert status == 0
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert "and exactly" in done.stdout
    # TensorFlow's leaky_relu has a float32 slope: the program is about that.
    assert ("a1[" in done.stdout.splitlines()[0]) or framework != "tensorflow"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a case document"),
        (b"\xff" * 64, "is not a case document"),
        (b"\x02\0\0\0\0\0\0\0{}", "is not a case document"),
    ],
)
def test_what_is_no_case_is_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    status, output, message = run(str(path), "reference")
    assert status == 2
    assert said in message
    assert "\n" not in message and output == ""


def test_no_such_file_and_no_such_implementation(document: Path, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in run(str(tmp_path / "nothing"), "reference")[2]
    assert run(str(document), "nonsense")[0] == 2
    assert "no implementation is called 'nonsense'" in run(str(document), "nonsense")[2]
