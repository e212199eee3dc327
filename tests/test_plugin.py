"""The pytest plugin, as somebody who writes backpropagation meets it: five faults, and what each is told."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

#: An implementation whose largest entry of ∂C/∂W is off by a billionth.
WEIGHT = (
    f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('tampered.py')))} weight"
)

#: A small implementation whose lines the faults change: sigmoid layers, the quadratic cost.
MINE = """
import numpy as np
from gradparity import Case, Gradients


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def my_backprop(case: Case) -> Gradients:
    one, m = case.dtype.type(1), case.dtype.type(case.batch)
    a, zs = [case.x], []
    for W, b in case.parameters:
        zs.append(a[-1] @ W.T + b)
        a.append(one / (one + np.exp(-zs[-1])))
    delta = (a[-1] - case.y) * a[-1] * (one - a[-1])
    if case.architecture.reduction == "mean":
        delta = delta / m
    dW, db = [], []
    for l in reversed(range(len(zs))):
        dW.insert(0, delta.T @ a[l])
        db.insert(0, delta.sum(axis=0))
        if l:
            delta = (delta @ case.parameters.weights[l]) * a[l] * (one - a[l])
    return Gradients(dW, db)


def test_my_backprop(gradparity):
    gradparity.check(my_backprop, only=("sigmoid", "half_squared_error"))
"""

FAULTS = {
    "the error of the last layer lacks its slope": (
        "(a[-1] - case.y) * a[-1] * (one - a[-1])", "a[-1] - case.y", "BP1 is wrong through"
    ),
    "the slope in the hidden layers is off by a billionth": (
        "* a[l] * (one - a[l])", "* a[l] * (one - a[l] + one * 1e-9)", "BP2 is wrong through sigmoid"
    ),
    "the bias gradient is the last example's": ("delta.sum(axis=0)", "delta[-1]", "BP3 is wrong through the sum"),
    "the weight gradient sees the wrong activations": (
        "delta.T @ a[l])", "delta.T @ a[l] * (one + one * 1e-7))", "BP4 is wrong through the matrix product"
    ),
    "one over m is missing": (
        "delta = delta / m", "pass", "BP1, or the forward pass, which was not answered, is wrong through"
    ),
}  # fmt: skip


def tried(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py", *options],
        cwd=folder, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip


def test_what_is_right_passes(tmp_path: Path) -> None:
    done = tried(tmp_path, MINE, "--gradparity-cases", "40")
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / ".gradparity").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_so_that_a_reader_knows_what_is_wrong(tmp_path: Path, fault: str) -> None:
    right, wrong, sentence = FAULTS[fault]
    assert MINE.count(right) == 1
    done = tried(tmp_path, MINE.replace(right, wrong), "--gradparity-cases", "64", "--gradparity-seed", "3")
    assert done.returncode == 1
    assert sentence in done.stdout
    assert "Traceback" not in done.stdout
    command = re.search(r"again: gradparity replay (\S+) test_mine:my_backprop", done.stdout)
    assert command
    again = subprocess.run(
        [sys.executable, "-m", "gradparity.harness.cli", "replay", command[1], "test_mine:my_backprop"],
        cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert again.returncode == 1, again.stderr
    assert "What broke: " + sentence.split()[0].rstrip(",") in again.stdout


def test_a_function_that_raises_is_told_the_case(tmp_path: Path) -> None:
    source = MINE.replace("    one, m =", "    1 / (case.batch - 1)\n    one, m =")
    done = tried(tmp_path, source)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert re.search(
        r"again: gradparity replay \.gradparity/\w+\.safetensors test_mine:my_backprop", done.stdout
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--gradparity-cases", "0"), "--gradparity-cases must be at least 1"),
        (("--gradparity-seed", "-1"), "--gradparity-seed must lie from 0"),
        (("--implementation", "torch:eagre"), "'torch:eagre' is not an implementation"),
    ],
)
def test_wrong_usage_is_one_sentence(tmp_path: Path, options: tuple[str, ...], sentence: str) -> None:
    done = tried(tmp_path, MINE, *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("implementation", "broken", "counts"),
    [("reference", set(), "6 passed"), (WEIGHT, {"BP4"}, "1 failed, 5 passed")],
    ids=["nothing is broken", "BP4 is"],
)
def test_the_properties_run_from_anywhere_for_anybody(
    tmp_path: Path, implementation: str, broken: set[str], counts: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "gradparity.property_tests",
         "--implementation", implementation, "-k", "test_equation_holds"],
        cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == bool(broken), done.stdout + done.stderr
    assert counts in done.stdout
    assert set(re.findall(r"^FAILED .*-(\w+)\]", done.stdout, re.MULTILINE)) == broken


def test_a_startup_of_pytest_loads_nothing_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-c",
         "import sys, gradparity.harness.plugin; print([m for m in sys.modules if m in ('numpy', 'hypothesis')])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
