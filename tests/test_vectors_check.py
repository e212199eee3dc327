"""examples/vectors/check.mjs: it passes what is right, counts what is declined, and says why a fault is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gradparity.harness.vector_cases import VECTORS
from gradparity.harness.vectors import write_vectors

ROOT = Path(__file__).parents[1]
CHECK = ROOT / "examples" / "vectors" / "check.mjs"

FAULTY = """
import sys
from gradparity.adapters.implementation import UnsupportedError
from gradparity.adapters.serve import serve
from gradparity.property_tests.faults import FAULTS
from gradparity.tests.twin import Network

class Suspect:
    name, version, language = "suspect", "1", "Python"
    network = staticmethod(next((fault.implementation() for fault in FAULTS if fault.name == sys.argv[1]), Network()))

    def gradients(self, case):
        if case.dtype.itemsize < 4:
            raise UnsupportedError("no low precision")
        return self.network(case)

serve(Suspect(), sys.stdin.buffer, sys.stdout.buffer)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "vectors"
    write_vectors(path)
    return path


def index(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return found


def check(folder: Path, *command: str) -> tuple[int, str]:
    node = shutil.which("node")
    if not node:
        pytest.skip("Node.js is not installed (Debian's package nodejs)")
    done = subprocess.run(
        [node, str(CHECK), str(folder), *command], capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, done.stdout + (done.stderr if done.returncode == 2 else "")


def last_counts(output: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(f"{len(VECTORS)} vectors: "))


def test_check_passes_the_reference(folder: Path) -> None:
    status, output = check(folder, sys.executable, "-m", "gradparity.adapters.serve", "reference")
    assert (
        last_counts(output)
        == f"{len(VECTORS)} vectors: {len(VECTORS)} right, 0 wrong, 0 declined, 0 not asked"
    )
    assert status == 0


def test_check_counts_what_is_declined(folder: Path) -> None:
    """The smallest program knows the sigmoid and the quadratic cost: the book's own network."""
    status, output = check(folder, sys.executable, str(ROOT / "examples" / "minimal" / "backprop.py"))
    own = [
        vector for vector in VECTORS if vector.precision in ("float64", "float32")
        and {layer.activation for layer in vector.architecture.layers} == {"sigmoid"}
        and vector.architecture.cost.name == "half_squared_error"
    ]  # fmt: skip
    declined = len(VECTORS) - len(own)
    assert len(own) >= 4
    assert last_counts(output).endswith(f"{len(own)} right, 0 wrong, {declined} declined, 0 not asked")
    assert re.search("^declined: .*sigmoid", output, re.MULTILINE)
    assert status == 0


@pytest.mark.parametrize(
    ("name", "flag", "array"),
    [
        ("overflow in a naive sigmoid", "SaturatedSigmoid", "delta1["),
        ("targets assumed to sum to 1", "SoftTargets", "delta1["),
        ("batch of one squeezed away", "BatchOfOne", "error: "),
        ("gradients accumulated and not zeroed", "SameShapeAgain", "db3["),
    ],
)
def test_check_fails_a_faulty_program_and_says_why(name: str, flag: str, array: str, folder: Path) -> None:
    status, output = check(folder, sys.executable, "-c", FAULTY, name)
    assert status == 1
    told = index(folder)["flags"][flag]
    (common,) = (line for line in output.splitlines() if line.startswith(f"{flag}, "))
    assert f": {told['why']}. It catches {told['catches']}" in common
    # Of every wrong vector its id and summary, what is wrong, and its flags.
    blocks = re.findall(r"^([0-9a-f]{16})  .*\n  (.*)\n  (.*)$", output, re.MULTILINE)
    wrong = [(what, flags.split(", ")) for _, what, flags in blocks]
    assert f" {len(wrong)} wrong, " in last_counts(output)
    what = next(what for what, flags in wrong if flag in flags and "asked again" not in what)
    assert what.startswith(array)
    assert ("[" not in array) or re.search(r"\] is \S+, not within \S+ and \S+; exactly it is \S+$", what)


def test_check_passes_a_correct_program_of_its_own(folder: Path) -> None:
    status, output = check(folder, sys.executable, "-c", FAULTY, "none")
    assert status == 0
    assert " 0 wrong, " in last_counts(output)


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        (["cat"], 1, "case: "),  # it echoes the question
        (["true"], 1, "no answer: "),
        (["echo", "Traceback (most recent call last):"], 1, "no document: "),
        (["no-such-program"], 2, "no-such-program: "),
        ([], 2, "usage: "),
    ],
)
def test_check_says_what_is_no_answer(folder: Path, command: list[str], status: int, told: str) -> None:
    found, output = check(folder, *command)
    assert found == status
    assert told in output


def test_check_refuses_documents_that_are_not_the_index_s(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    entry = index(folder)["vectors"][0]["expected"]["file"]
    blob = bytearray((tmp_path / "copy" / entry).read_bytes())
    blob[-1] ^= 1
    (tmp_path / "copy" / entry).write_bytes(blob)
    status, output = check(tmp_path / "copy", sys.executable, "-m", "gradparity.adapters.serve", "reference")
    assert status == 2
    assert "is not what the index says" in output
