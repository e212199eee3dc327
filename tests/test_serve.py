"""The worker loop, in this process on streams, and as the command that a parent starts."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, Parameters
from gradparity.adapters.document import Document, read, read_one, write_case
from gradparity.adapters.implementation import UnsupportedError
from gradparity.adapters.registry import command
from gradparity.adapters.serve import serve
from gradparity.harness.workers import Worker
from gradparity.reference.network import MalformedError

USER_MODULE = """
import ctypes, os, sys
from gradparity import Gradients

print("imported", flush=True)

def backprop(case):
    (W, b), = case.parameters
    print("a print() in user code")
    os.write(1, b"chatter from C++")
    assert sys.stdin.read() == ""
    delta = (case.x @ W.T + b - case.y) / case.batch
    return Gradients((delta.T @ case.x,), (delta.sum(axis=0),))

def from_c(case):
    library = ctypes.CDLL(None)
    library.printf(b"printf in a library\\n")  # stays in its buffer, until there is much of it or the end
    if case.x[0, 0]:
        library.fflush(None)
    return backprop(case)

def single(case):
    g = backprop(case)
    return Gradients((g.dW[0].astype("float32"),), g.db)

def nothing(case):
    return None

def leaves(case):
    sys.exit(7)

class Engine:
    @staticmethod
    def run(case):
        return backprop(case)

constant = 3
"""


def make_case(first: float = 0.0) -> Case:
    x = np.array([[first, 1.0], [2.0, 3.0]])
    architecture = Architecture(2, (Layer(1, "identity"),), Cost("half_squared_error"))
    return Case(architecture, Parameters((np.ones((1, 2)),), (np.ones(1),)), x, np.zeros((2, 1)))


class Fake:
    name, version, language = "fake", "0", "Python"

    def gradients(self, case: Case) -> Gradients:
        first = case.x[0, 0]
        if first == 1:
            raise UnsupportedError("no half_squared_error\nhere")
        if first == 2:
            raise ZeroDivisionError("a file called \udcff")
        if first == 3:
            return None  # type: ignore[return-value]  # the mistake that is tested
        return Gradients((np.ones((1, 2)),), (np.ones(1),))

    def functions(self) -> dict[str, str]:
        return {}


def answers_to(*cases: Case) -> list[Document]:
    sink = io.BytesIO()
    serve(Fake(), io.BytesIO(b"".join(write_case(case) for case in cases)), sink)
    sink.seek(0)
    return [read(blob) for blob in iter(lambda: read_one(sink.read, 10**6), None)]


class TestLoop:
    def test_one_answer_a_case_in_order_whatever_happens(self, capfd: pytest.CaptureFixture[str]) -> None:
        cases = [make_case(first) for first in range(5)]
        answers = answers_to(*cases)
        assert [a.id for a in answers] == [case.id for case in cases]
        assert [a.kind for a in answers] == ["gradients", "unsupported", "error", "error", "gradients"]
        assert answers[1].metadata["message"] == "no half_squared_error here"
        assert answers[2].metadata["message"] == "ZeroDivisionError: a file called ?"
        assert answers[3].metadata["message"].startswith("AttributeError: 'NoneType'")
        for answer in answers:
            about = json.loads(answer.metadata["implementation"])
            assert about == {"name": "fake", "version": "0", "language": "Python"}
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("Traceback") == 2

    def test_the_end_of_the_cases_is_the_end(self) -> None:
        assert answers_to() == []

    def test_every_answer_is_flushed(self) -> None:
        class Sink(io.BytesIO):
            flushed = 0

            def flush(self) -> None:
                self.flushed += 1

        sink = Sink()
        serve(Fake(), io.BytesIO(write_case(make_case()) * 3), sink)
        assert sink.flushed == 3

    def test_what_is_no_case_ends_it(self) -> None:
        with pytest.raises(MalformedError):
            serve(Fake(), io.BytesIO(b"hello, world"), io.BytesIO())


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)


def run(name: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(name), input=given, capture_output=True, timeout=60, check=False)


@pytest.mark.usefixtures("user_module")
class TestCommand:
    @pytest.mark.parametrize("function", ["backprop", "Engine.run"])
    def test_prints_cannot_corrupt_the_stream(self, function: str) -> None:
        case = make_case()
        with Worker(f"mine:{function}", 20.0) as worker:
            answers = [worker.submit(case).result(timeout=60) for _ in range(3)]
        for answer in answers:
            assert answer.outcome == "gradients", answer.message
            assert answer.gradients is not None
            # a = (2, 6), and half of it is δ
            assert answer.gradients.dW[0].tolist() == [[6.0, 10.0]]
            assert answer.gradients.db[0].tolist() == [4.0]
        assert answers[0].implementation == {
            "name": f"mine:{function}",
            "version": "unknown",
            "language": "Python",
        }

    def test_prints_go_to_standard_error(self) -> None:
        ended = run("mine:backprop", write_case(make_case()))
        assert ended.returncode == 0
        assert read(ended.stdout).kind == "gradients"
        assert {b"imported", b"a print() in user code"} < set(ended.stderr.splitlines())
        assert b"chatter from C++" in ended.stderr

    @pytest.mark.parametrize("flushed", [0.0, 1.0])
    def test_what_a_library_prints_from_c_goes_there_too(self, flushed: float) -> None:
        ended = run("mine:from_c", write_case(make_case(flushed)) * 2)
        assert ended.returncode == 0
        stream = io.BytesIO(ended.stdout)
        answers = [read(blob) for blob in iter(lambda: read_one(stream.read, 10**6), None)]
        assert [answer.kind for answer in answers] == ["gradients"] * 2
        assert ended.stderr.count(b"printf in a library\n") == 2

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            ("single", "MalformedError: dW1 is float32, but should be float64"),
            ("nothing", "MalformedError: mine:nothing returned NoneType, but should return Gradients"),
        ],
    )
    def test_a_result_that_is_no_answer(self, function: str, message: str) -> None:
        with Worker(f"mine:{function}", 20.0) as worker:
            answer = worker.submit(make_case()).result(timeout=60)
        assert answer.outcome == "failed"
        assert answer.message.startswith(message + "\n")
        assert "Traceback (most recent call last):" in answer.message

    def test_a_function_that_leaves(self) -> None:
        with Worker("mine:leaves", 20.0) as worker:
            answer = worker.submit(make_case()).result(timeout=60)
        assert answer.message.startswith("the process ended with exit status 7\n")

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("mine:constant", "mine has no callable 'constant'; name a function of a Case"),
            ("mine:absent.run", "mine has no callable 'absent.run'; name a function of a Case"),
            ("yours:backprop", "no module is called 'yours'; run gradparity from where it can be imported"),
            (
                "torch:lazy",
                "'torch:lazy' is not an implementation; say torch:eager or torch:compile or torch:func or "
                "torch:forward or torch:checkpoint or torch:strided",
            ),
        ],
    )
    def test_a_name_that_cannot_be_served(self, name: str, sentence: str) -> None:
        ended = run(name, b"")
        assert ended.returncode == 2
        assert ended.stderr.decode().splitlines()[-1] == f"gradparity serve: {sentence}"
        assert ended.stdout == b""

    def test_a_module_that_does_not_import_shows_why(self, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("1 / 0")
        with Worker("broken:run", 20.0) as worker:
            answer = worker.submit(make_case()).result(timeout=60)
        assert answer.message.startswith("the process ended with exit status 1\n")
        assert answer.message.endswith("ZeroDivisionError: division by zero")

    @pytest.mark.parametrize("given", [b"hello, world", write_case(make_case())[:-1], b"\xff" * 9])
    def test_malformed_input_is_one_sentence_and_status_2(self, given: bytes) -> None:
        ended = run("mine:backprop", given)
        assert ended.returncode == 2
        imported, sentence = ended.stderr.decode().splitlines()
        assert imported == "imported"
        assert sentence.startswith("gradparity serve: ")

    def test_nobody_reads_the_answers(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with subprocess.Popen(
            command("mine:backprop"), stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE
        ) as process:
            os.close(writer)
            _, err = process.communicate(write_case(make_case()), timeout=60)
        assert process.returncode == 0
        assert b"Error" not in err

    def test_wrong_usage(self) -> None:
        ended = subprocess.run(
            [sys.executable, "-m", "gradparity.adapters.serve"], capture_output=True, timeout=60, check=False
        )
        assert ended.returncode != 0
        assert ended.stderr == b"usage: python -m gradparity.adapters.serve IMPLEMENTATION\n"
