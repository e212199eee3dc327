"""docs/implementers.md: its exchange is real, and the smallest programs are right; with a fault in one, it is not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradparity.adapters.document import read, read_case
from gradparity.harness.campaign import Clock, Settings, campaign
from gradparity.harness.judgement import judge
from gradparity.harness.verdict import Verdict
from gradparity.reference.network import Gradients

ROOT = Path(__file__).parents[1]
DOCUMENTED = (ROOT / "docs/implementers.md").read_text()


@dataclass(frozen=True)
class Program:
    """One of the smallest programs, the commands that the document gives for it, and faults: right for wrong."""

    language: str
    source: str
    build: str
    run: str
    faults: dict[str, str]


PROGRAMS = {
    "Python": Program(
        "Python",
        "examples/minimal/backprop.py",
        "",
        "python examples/minimal/backprop.py",
        {
            "(a - y) / share": "(a - y) / share**2",
            "back * a * (1 - a)": "back * a * (1 + a)",
            "delta.sum(axis=0)": "delta[-1]",
            "delta.T @ before": "delta.T @ before + 1e-12 * given[f'W{l}']",
            "1, fall) / (1 + fall)": "1, fall) / (1 + fall + 1e-9)",
        },
    ),
    "JavaScript": Program(
        "JavaScript",
        "examples/minimal/backprop.mjs",
        "",
        "node examples/minimal/backprop.mjs",
        {
            "slope(i, j) / share)": "slope(i, j) / share ** 2)",
            "back(i, j) * slope(i, j)": "back(i, j)",
            "sum(m, (i) => at(delta, i, j))": "sum(m - 1, (i) => at(delta, i, j))",
            "at(delta, i, j) * at(a[l - 1], i, k)": "at(delta, i, j) * at(a[l - 1], i, k) + 1e-12 * at(a[l], i, j)",
        },
    ),
    "C": Program(
        "C",
        "examples/minimal/backprop.c",
        "cc -O2 examples/minimal/backprop.c -o backprop -lm",
        "./backprop",
        {
            "- y.first[i]) / share;": "- y.first[i]) / share / share;",
            "* a_i * (1 - a_i)": "* a_i * (1 + a_i)",
            "AT(ones, 0, i) = 1;": "AT(ones, 0, i) = i > 0;",
            "product(transposed(delta), a[l - 1])": "product(transposed(delta), l < 2 ? a[0] : transposed(W[l - 1]))",
        },
    ),
    "Rust": Program(
        "Rust",
        "examples/minimal/backprop.rs",
        "rustc -O --edition 2021 examples/minimal/backprop.rs",
        "./backprop",
        {
            "slope(i, j) / share)": "slope(i, j) / share / share)",
            "W.at(k, j)) * slope(i, j)": "W.at(k, j))",
            "sum(m, |i| delta.at(i, j))": "sum(m - 1, |i| delta.at(i, j))",
            "delta.at(i, j) * before.at(i, k)": "(delta.at(i, j) + 1e-12) * before.at(i, k)",
        },
    ),
}

Build = Callable[[Program, str], list[str]]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Build a program of this source text as the document says, and give the command that runs it, from here."""
    monkeypatch.chdir(tmp_path)

    def built(program: Program, text: str) -> list[str]:
        Path(program.source).parent.mkdir(parents=True)
        Path(program.source).write_text(text)
        needed = (program.build or program.run).split()[0]
        if needed != "python" and shutil.which(needed) is None:
            pytest.skip(f"there is no {needed} here")
        if program.build:
            subprocess.run(program.build.split(), check=True, capture_output=True)
        first, *rest = program.run.split()
        return [sys.executable if first == "python" else first, *rest]

    return built


def exchanged() -> list[bytes]:
    """The blobs of the document, from their hexadecimal rows."""
    blobs: list[bytes] = []
    for offset, row in re.findall(r"^ {4}([0-9a-f]{4})  ((?:[0-9a-f]{2} ?){1,16})", DOCUMENTED, re.MULTILINE):
        if int(offset, 16) == 0:
            blobs.append(b"")
        assert len(blobs[-1]) == int(offset, 16)
        blobs[-1] += bytes.fromhex(row)
    return blobs


CASE, ANSWER = exchanged()


def answers(command: list[str]) -> bytes:
    """What a program writes that is given the document's case twice: once, and then the same again."""
    done = subprocess.run(command, input=CASE * 2, capture_output=True, check=True).stdout
    once = done[: len(done) // 2]
    assert done == once * 2
    return once


def verdicts(command: list[str]) -> Iterator[str]:
    settings = Settings(
        ("exec:" + " ".join(command),), cases=48, precisions=("float64", "float32", "bfloat16")
    )
    for judged in campaign(settings.only(("sigmoid", "half_squared_error")), Clock()):
        yield from (row.verdict for row in judged.rows)


def text(program: Program) -> str:
    return (ROOT / program.source).read_text()


def test_the_exchange_is_what_the_program_answers(build: Build) -> None:
    assert answers(build(PROGRAMS["Python"], text(PROGRAMS["Python"]))) == ANSWER


def test_the_document_shows_the_simplest_case() -> None:
    asked = read_case(CASE)
    assert (asked.x.tolist(), asked.y.tolist()) == ([[1.0, 2.0]], [[1.0]])


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
class TestProgram:
    def test_the_document_says_how_it_is_built_and_run(self, program: Program) -> None:
        assert f"`{program.build}`" in DOCUMENTED or not program.build
        assert f"`'exec:{program.run}'`" in DOCUMENTED

    def test_its_answer_has_the_document_s_arrays_and_is_right(self, program: Program, build: Build) -> None:
        answer, asked = read(answers(build(program, text(program)))), read_case(CASE)
        assert json.loads(answer.metadata["implementation"])["language"] == program.language
        assert {name: array.shape for name, array in answer.tensors.items()} == {
            name: array.shape for name, array in read(ANSWER).tensors.items()
        }
        assert judge(asked, Gradients.from_tensors(answer.tensors, asked)).verdict is Verdict.AGREES

    def test_it_agrees_and_declines_what_it_has_not(self, program: Program, build: Build) -> None:
        assert set(verdicts(build(program, text(program)))) == {"agrees", "unsupported", "inconclusive"}


@pytest.mark.parametrize(
    ("program", "right"),
    [
        pytest.param(one, right, id=f"{name}-{right}")
        for name, one in PROGRAMS.items()
        for right in one.faults
    ],
)
def test_with_a_fault_it_diverges(program: Program, right: str, build: Build) -> None:
    source = text(program)
    assert source.count(right) == 1
    assert "diverges" in verdicts(build(program, source.replace(right, program.faults[right])))
