"""Do the adapters of other libraries, and the example programs in other languages, answer as they should?

Most are absent on most machines, and skipped with the reason. Whether every answer is right is judged elsewhere
(docs/conformance_others.md); here each answers small cases, on which all of them are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradparity import judge
from gradparity.adapters import registry
from gradparity.adapters.implementation import MissingImplementationError
from gradparity.adapters.modes import MODES
from gradparity.harness.verdict import Verdict
from gradparity.harness.workers import Answer, Worker
from gradparity.reference.network import DTYPES, Architecture, Case, Cost, Layer, Parameters

#: The frameworks have tests of their own.
LIBRARIES = tuple(
    mode.name for mode in MODES.values() if mode.name != "reference" and not mode.framework.in_all
)
EXAMPLES = Path(__file__).parent.parent / "examples"


def case(
    precision: str, hidden: str = "sigmoid", last: str = "identity", cost: str = "half_squared_error"
) -> Case:
    """A small ordinary case, with unequal widths, and targets that sum to 1."""
    rng = np.random.default_rng(3)
    architecture = Architecture(3, (Layer(4, hidden), Layer(2, last)), Cost(cost))
    draws = [rng.normal(0, 0.5, shape) for shape in ((4, 3), (2, 4), (4,), (2,), (2, 3))]
    W1, W2, b1, b2, x = (draw.astype(DTYPES[precision]) for draw in draws)
    y = np.array([[0.25, 0.75], [1, 0]], x.dtype)
    return Case(architecture, Parameters((W1, W2), (b1, b2)), x, y, precision)


def ask(name: str, *cases: Case) -> list[Answer]:
    with Worker(name, timeout=120) as worker:
        return [future.result() for future in [worker.submit(case) for case in cases]]


def agrees(case: Case, answer: Answer, cost: bool = True) -> bool:
    assert answer.gradients is not None, answer.message
    given = answer.gradients if cost else replace(answer.gradients, cost=None)
    return judge(case, given).verdict == Verdict.AGREES


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    try:
        registry.check(name)
    except MissingImplementationError as missing:
        pytest.skip(str(missing))
    if name.startswith("tinygrad") and shutil.which("clang") is None:
        pytest.skip("tinygrad compiles with clang, which is not installed")
    return name


class TestLibraries:
    def test_it_agrees_on_small_cases(self, library: str) -> None:
        # MLX's exponential is one for float32, whatever the array.
        precision = "float32" if library.startswith("mlx") else "float64"
        cases = [
            case(precision),
            case(precision, "relu", "softmax", "cross_entropy"),
            case(precision, "tanh", "sigmoid", "binary_cross_entropy"),
        ]
        answers = ask(library, *cases)
        assert all(agrees(*pair) for pair in zip(cases, answers, strict=True))
        assert {answer.implementation["name"] for answer in answers} == {library}

    def test_it_declines_with_a_reason_what_it_has_not(self, library: str) -> None:
        answers = ask(library, case("float16"), case("bfloat16"), case("float64", "gelu"))
        assert {answer.outcome for answer in answers} <= {"gradients", "unsupported"}
        assert all(answer.message for answer in answers if answer.outcome == "unsupported")

    def test_one_is_missing_or_has_a_version(self) -> None:
        listed = {listing.name: listing for listing in registry.available()}
        for name in LIBRARIES:
            extra = name.partition(":")[0]
            assert listed[name].version or f"gradparity[{extra}]" in str(listed[name].missing)


def javascript(folder: str) -> str:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    if not (EXAMPLES / folder / "node_modules").exists():
        pytest.skip(f"not installed: npm install --prefix examples/{folder}")
    return f"exec:node {EXAMPLES / folder / 'backprop.mjs'}"


def compiled(source: str, header: str, to: Path, *options: str) -> str:
    """Build an example as its first lines say, or skip where the compiler or the library's header is missing."""
    compiler, language = ("cc", "c") if source.endswith(".c") else ("c++", "c++")
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    include = [compiler, "-E", "-include", header, "-x", language, os.devnull]
    if subprocess.run(include, capture_output=True, check=False).returncode:
        pytest.skip(f"{header} is not installed")
    subprocess.run([compiler, EXAMPLES / source, "-o", to, *options], check=True)
    return f"exec:{to}"


class TestExamples:
    """The values of three costs are known to differ from what their gradients belong to, and are left out."""

    def test_tensorflow_js(self) -> None:
        name, cases = (
            javascript("tfjs"),
            [case("float32"), case("float32", "gelu", "softmax", "cross_entropy")],
        )
        assert all(agrees(*pair) for pair in zip(cases, ask(name, *cases), strict=True))

    def test_convnetjs(self) -> None:
        name, asked = javascript("convnetjs"), case("float64")
        fine, declined = ask(name, asked, case("float64", "gelu"))
        assert agrees(asked, fine, cost=False)
        assert (declined.outcome, declined.message) == ("unsupported", "ConvNetJS has no gelu")

    @pytest.mark.parametrize(
        ("precision", "options"), [("float64", ("-DDOUBLE", "-ldoublefann")), ("float32", ("-lfann",))]
    )
    def test_fann(self, precision: str, options: tuple[str, ...], tmp_path: Path) -> None:
        asked, name = (
            case(precision),
            compiled("fann/backprop.c", "fann.h", tmp_path / "fann", *options, "-lcjson", "-lm"),
        )
        fine, declined = ask(name, asked, case(precision, "gelu"))
        assert agrees(asked, fine, cost=False)
        assert (declined.outcome, declined.message) == ("unsupported", "FANN has no gelu")

    def test_dlib(self, tmp_path: Path) -> None:
        name = compiled("dlib/backprop.cpp", "dlib/dnn.h", tmp_path / "dlib", "-std=c++17", "-ldlib")
        asked = case("float32")
        fine, declined = ask(name, asked, case("float32", "selu"))
        assert agrees(asked, fine, cost=False)
        assert (declined.outcome, declined.message) == ("unsupported", "dlib has no selu")
