"""docs/implementers.md: its exchange is real, and the smallest program is right; with a fault in it, it is not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from gradparity.adapters.document import read, read_case
from gradparity.harness.campaign import Clock, Settings, campaign
from gradparity.harness.judgement import judge
from gradparity.harness.verdict import Verdict
from gradparity.reference.network import Gradients

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "examples" / "minimal" / "backprop.py"


def exchanged() -> list[bytes]:
    """The blobs of the document, from their hexadecimal rows."""
    blobs: list[bytes] = []
    for offset, row in re.findall(
        r"^ {4}([0-9a-f]{4})  ((?:[0-9a-f]{2} ?){1,16})",
        (ROOT / "docs/implementers.md").read_text(),
        re.MULTILINE,
    ):
        if int(offset, 16) == 0:
            blobs.append(b"")
        assert len(blobs[-1]) == int(offset, 16)
        blobs[-1] += bytes.fromhex(row)
    return blobs


def test_the_exchange_is_what_the_program_answers() -> None:
    case, answer = exchanged()
    done = subprocess.run([sys.executable, str(PROGRAM)], input=case, capture_output=True, check=True)
    assert done.stdout == answer


def test_the_answer_is_right() -> None:
    case, answer = exchanged()
    asked = read_case(case)
    judged = judge(asked, Gradients.from_tensors(read(answer).tensors, asked))
    assert judged.verdict is Verdict.AGREES
    assert (asked.x.tolist(), asked.y.tolist()) == ([[1.0, 2.0]], [[1.0]])


def verdicts(program: Path) -> set[str]:
    settings = Settings(
        (f"exec:{sys.executable} {program}",), cases=48, precisions=("float64", "float32", "bfloat16")
    )
    only = settings.only(("sigmoid", "half_squared_error"))
    return {row.verdict for judged in campaign(only, Clock()) for row in judged.rows}


def test_the_smallest_program_agrees_and_declines_what_it_has_not() -> None:
    assert verdicts(PROGRAM) == {"agrees", "unsupported", "inconclusive"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("delta.T @ a[l - 1]", "delta.T @ a[l - 1] + 1e-12 * given[f'W{l}']"),
        ("delta /= m", "delta /= m * m"),
        ("delta.sum(axis=0)", "delta[-1]"),
        ("1, fall) / (1 + fall)", "1, fall) / (1 + fall + 1e-9)"),
    ],
)
def test_with_a_fault_it_diverges(right: str, wrong: str, tmp_path: Path) -> None:
    source = PROGRAM.read_text()
    assert source.count(right) == 1
    program = tmp_path / "backprop.py"
    program.write_text(source.replace(right, wrong))
    assert "diverges" in verdicts(program)
