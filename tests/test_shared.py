"""Between gradparity and a worker of its own: nothing that the worker does to what they share harms another case."""

import mmap
import os
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from gradparity import Case, Gradients
from gradparity.adapters import memory as shared_memory
from gradparity.adapters import shared
from gradparity.adapters.memory import LINE, PLACES, ROOMS, SLOT, Memory, Shelf, offered
from gradparity.adapters.reference import Reference
from gradparity.adapters.shared import VARIABLE, Borrower, Lender, Parts
from gradparity.harness import workers
from gradparity.harness.workers import Answer, Worker, crew, full_answer, longest_answer
from gradparity.property_tests.regimes import BY_NAME
from gradparity.property_tests.regimes import case as draw
from gradparity.reference.network import DTYPES, Architecture, Cost, Layer
from gradparity.tests.test_workers import gone, make_case, reason, right

SCRIPT = Path(__file__).with_name("misbehaving_own.py")
STARTUP = 20.0


def large(first: float, inputs: int = 300) -> Case:
    """A case whose arrays, and whose answer's, go through the memory."""
    return make_case(first, width=60, inputs=inputs, batch=50)


def answered(case: Case) -> Parts:
    """An answer, whatever its values are."""
    (W, b), z = next(iter(case.parameters)), case.y
    return Parts.of("gradients", "", "{}", Gradients((W,), (b,), delta=(z,), z=(z,), a=(z,)).tensors())


LUCKY, UNLUCKY = [large(first) for first in range(6)], large(13.0)
CASES = [*LUCKY[:2], UNLUCKY, *LUCKY[2:]]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start misbehaving_own.py MODE as if it were the implementation MODE."""
    monkeypatch.setattr(workers, "command", lambda mode: [sys.executable, str(SCRIPT), mode])


def ask(mode: str, cases: list[Case] = CASES) -> list[Answer]:
    with Worker(mode, 5.0, STARTUP) as worker:
        futures = [worker.submit(case) for case in cases]
        answers = [future.result(timeout=60) for future in futures]
    assert worker.pid is not None
    gone(worker.pid)
    return answers


@pytest.mark.usefixtures("own")
class TestMisbehaviour:
    @pytest.mark.parametrize("mode", ["fine", "elsewhere", "shrinks", "grows"])
    def test_what_harms_nobody(self, mode: str) -> None:
        for case, answer in zip(CASES, ask(mode), strict=True):
            right(answer, case)

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("number", "not the answer to the case in front: it begins with b'\\x03\\x00"),
            ("header-without-end", "not the answer to the case in front: it begins with b'\\x02\\x00"),
            ("garbage", "not the answer to the case in front: it begins with b'loss: 0.69"),
            (
                "claims-more-than-lent",
                f"the answer claims {answered(UNLUCKY).size + 2**16} bytes of memory, of which",
            ),
            (
                "claims-more-than-any",
                f"the answer claims {answered(UNLUCKY).size + 2**40} bytes, more than the",
            ),
            ("cut", "the process ended with exit status 3, having written b'"),
            ("dies-amid-its-arrays", "the process was killed by SIGKILL"),
        ],
    )
    def test_only_the_case_in_front_fails_and_says_why(self, mode: str, expected: str) -> None:
        answers = ask(mode)
        for i, (case, answer) in enumerate(zip(CASES, answers, strict=True)):
            if i != 2:
                right(answer, case)
        assert answers[2].outcome == "failed"
        assert reason(answers[2]).startswith(expected)

    def test_a_second_answer_is_taken_for_the_next_case_s(self) -> None:
        answers = ask("twice")
        assert reason(answers[3]).startswith("not the answer to the case in front: ")
        for i in (0, 1, 2, 4, 5, 6):
            right(answers[i], CASES[i])

    def test_an_answer_does_not_change_once_it_was_taken(self) -> None:
        cases = LUCKY[:3]
        with Worker("scribbles", 5.0, STARTUP) as worker:
            answers = [worker.submit(case).result(timeout=60) for case in cases]
            last = worker.submit(UNLUCKY).result(timeout=60)
            assert last.outcome == "gradients"  # what its values are is its own affair
            for _ in range(20):  # while the memory is overwritten
                for case, answer in zip(cases, answers, strict=True):
                    right(answer, case)
                time.sleep(0.01)


def test_a_stranger_is_offered_nothing() -> None:
    script = f"import os, sys; sys.exit(str('{VARIABLE}' in os.environ))"
    with Worker(f'exec:{sys.executable} -c "{script}"', 5.0, STARTUP) as worker:
        assert worker.submit(LUCKY[0]).result(timeout=60).message.endswith("False")


# ------------------------------------------------------------------------------------ what implementations see

MODULE = """
import os, time
from gradparity import Gradients

def of(case):
    (W, b), m = next(iter(case.parameters)), case.batch
    delta = (case.x @ W.T + b - case.y) / m
    return Gradients((delta.T @ case.x,), (delta.sum(axis=0),), delta=(delta,), a=(delta,))

def patient(case):
    before = [array.copy() for array in case.tensors().values()]
    time.sleep(0.05)
    assert all((a == b).all() for a, b in zip(before, case.tensors().values())), "a case changed"
    return of(case)

def writes(case):
    try:
        case.x.setflags(write=True)
    except ValueError:
        return of(case)
    raise AssertionError("a case could be written to")

def inherits(case):
    assert "GRADPARITY_MEMORY" not in os.environ
    return of(case)

def views(case):
    answer = of(case)
    return Gradients((case.parameters.weights[0],), (case.parameters.biases[0],), delta=answer.delta)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("module")
class TestImplementations:
    @pytest.mark.parametrize("function", ["of", "patient", "writes", "inherits"])
    def test_a_case_is_its_own_while_it_is_answered(self, function: str) -> None:
        cases = [large(first) for first in range(12)] + [make_case(1.0), large(2.0), make_case(3.0)]
        with Worker(f"mine:{function}", 10.0, STARTUP) as worker:
            futures = [worker.submit(case) for case in cases]
            for case, future in zip(cases, futures, strict=True):
                answer = future.result(timeout=60)
                assert answer.gradients is not None, answer.message
                delta = (case.x @ case.parameters.weights[0].T + case.parameters.biases[0]) / case.batch
                np.testing.assert_allclose(answer.gradients.dW[0], delta.T @ case.x)
                assert not any(array.flags.writeable for array in answer.gradients.tensors().values())

    def test_an_answer_may_be_a_view_of_the_case(self) -> None:
        cases = [large(first) for first in range(8)]
        with Worker("mine:views", 10.0, STARTUP) as worker:
            futures = [worker.submit(case) for case in cases]
            for case, future in zip(cases, futures, strict=True):
                gradients = future.result(timeout=60).gradients
                assert gradients is not None
                assert np.array_equal(gradients.dW[0], case.parameters.weights[0])

    @pytest.mark.parametrize("without", ["memory", "large enough slots"])
    def test_it_goes_through_the_pipes_as_well(self, without: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if without == "memory":
            monkeypatch.delattr(os, "memfd_create", raising=False)
        else:
            for module in (shared, shared_memory):
                monkeypatch.setattr(module, "SLOT", 2**17)
        self.test_a_case_is_its_own_while_it_is_answered("of")

    def test_no_descriptor_and_no_memory_is_left(self) -> None:
        def memory() -> int:
            return Path("/proc/self/maps").read_text().count("memfd:gradparity")

        before, others = len(os.listdir("/proc/self/fd")), memory()
        for _ in range(3):
            with Worker("mine:of", 10.0, STARTUP) as worker:
                assert worker.submit(LUCKY[0]).result(timeout=60).outcome == "gradients"
                assert memory() == others + 2  # the cases, and the room of its answers
                assert worker._child is not None
                held = Path(f"/proc/{worker.pid}/fd")
                assert sum("memfd:gradparity" in os.readlink(fd) for fd in held.iterdir()) <= 2
            assert memory() == others
        assert len(os.listdir("/proc/self/fd")) == before

    def test_nothing_is_left_of_the_memory_when_the_parent_is_killed(self) -> None:
        script = (
            "import time; from gradparity.harness.workers import Worker\n"
            "from gradparity.tests.test_shared import LUCKY\n"
            "worker = Worker('mine:of', 60.0); worker.submit(LUCKY[0]).result(); print(worker.pid, flush=True)\n"
            "time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert "memfd:gradparity" in Path(f"/proc/{pid}/maps").read_text()
            parent.kill()
        gone(pid)


# ------------------------------------------------------------------------------------------ both ends, in here


def looked_at(shelf: Shelf) -> Memory:
    assert shelf.descriptor is not None
    return Memory(shelf.descriptor, write=False)


def memory_of_its_own() -> Memory:
    rooms = offered(ROOMS, write=True)
    assert rooms is not None
    return rooms.memory


def ends() -> tuple[Lender, Borrower]:
    shelf, rooms = Shelf(), offered(ROOMS, write=True)
    assert rooms is not None
    return Lender(shelf, rooms.memory), Borrower(looked_at(shelf), Memory(rooms.descriptor))


def place(message: bytes | None) -> int:
    """Where the case of a message lies."""
    assert message is not None
    return int(struct.unpack_from("<Qq", message)[1])


class Pipe:
    """Bytes that are written and read."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    def read(self, n: int) -> bytes:
        taken, self.content = self.content[:n], self.content[n:]
        return taken


def test_slots_are_given_again_once_the_answer_was_taken() -> None:
    lender, borrower = ends()
    pipe = Pipe()
    cases = borrower.cases(pipe.read)
    for case in LUCKY[:ROOMS]:
        message = lender.ask(case, full_answer(case))
        assert message is not None
        assert len(message) < 2000
        pipe.content += message
    assert lender.ask(UNLUCKY, full_answer(UNLUCKY)) is None
    small = lender.ask(make_case(1.0), 10)  # needs no slot
    assert small is not None
    asked = next(cases)
    assert asked.case.id == LUCKY[0].id
    answers = Pipe(borrower.answer(asked, answered(asked.case)))
    assert len(answers.content) < 2000
    assert lender.answer(answers.read, longest_answer(LUCKY[0])).tensors["dW1"].shape == (60, 300)
    assert lender.ask(UNLUCKY, full_answer(UNLUCKY)) is not None


def test_a_case_is_put_on_the_shelf_once_and_lies_there_while_somebody_looks() -> None:
    shelf = Shelf()
    lenders = [Lender(shelf, rooms) for rooms in (memory_of_its_own(), memory_of_its_own())]
    borrower = Borrower(looked_at(shelf), None)
    for case in LUCKY[:ROOMS]:
        asked = [message for lender in lenders if (message := lender.ask(case, full_answer(case)))]
        places = {place(message) for message in asked}
        assert len(asked) == 2
        assert len(places) == 1
        (found,) = borrower.cases(Pipe(asked[0]).read)
        assert found.case.id == case.id
    # A third lender's cases take what is left, and what is lent stays what it is.
    other = Lender(shelf, memory_of_its_own())
    for case in LUCKY[ROOMS:]:
        assert other.ask(case, full_answer(case)) is not None
    third = Lender(shelf, memory_of_its_own())
    assert place(third.ask(LUCKY[0], full_answer(LUCKY[0]))) == 0
    assert {place(third.ask(LUCKY[i], full_answer(LUCKY[i]))) for i in (1, 2)} == {SLOT, 2 * SLOT}
    for lender in (*lenders, third):
        lender.close()
    fourth = Lender(shelf, memory_of_its_own())
    assert place(fourth.ask(LUCKY[1], full_answer(LUCKY[1]))) == SLOT  # it lies there still
    # and another goes where nobody has looked for the longest time.
    assert place(fourth.ask(UNLUCKY, full_answer(UNLUCKY))) == 0
    assert other.ask(UNLUCKY, full_answer(UNLUCKY)) is None


def test_who_finds_the_shelf_full_waits_for_an_answer_or_takes_the_pipe() -> None:
    shelf = Shelf()
    hoarders = [Lender(shelf, memory_of_its_own()) for _ in range(PLACES // ROOMS)]
    for hoarder in hoarders:
        for case in [large(first) for first in range(ROOMS)]:
            assert place(hoarder.ask(case, full_answer(case))) >= 0
    late = Lender(shelf, memory_of_its_own())
    message = late.ask(UNLUCKY, full_answer(UNLUCKY))  # it has nothing to wait for
    assert message is not None
    assert place(message) == -1
    (asked,) = Borrower(None, None).cases(Pipe(message).read)
    assert asked.case.id == UNLUCKY.id
    hoarders[0].close()
    assert place(late.ask(LUCKY[0], full_answer(LUCKY[0]))) >= 0
    more = Lender(shelf, memory_of_its_own())
    for case in LUCKY[1:ROOMS]:
        assert place(more.ask(case, full_answer(case))) >= 0
    assert more.ask(UNLUCKY, full_answer(UNLUCKY)) is None


def test_nobody_else_can_write_to_the_shelf() -> None:
    shelf = Shelf()
    assert shelf.descriptor is not None
    with pytest.raises(PermissionError):
        mmap.mmap(shelf.descriptor, 0)
    with pytest.raises(PermissionError):
        os.write(shelf.descriptor, b"1")
    again = os.open(f"/proc/self/fd/{shelf.descriptor}", os.O_RDWR)
    with pytest.raises(PermissionError):
        os.pwrite(again, b"1", 0)
    os.close(again)


def test_workers_that_are_asked_the_same_read_it_from_one_shelf(module: None) -> None:
    before = Path("/proc/self/maps").read_text().count("memfd:gradparity")
    with ExitStack() as stack:
        workers = [stack.enter_context(one) for one in crew(["mine:of", "mine:patient", "mine:views"], 10.0)]
        cases = [large(first) for first in range(9)]
        futures = {one.name: [one.submit(case) for case in cases] for one in workers}
        for name, some in futures.items():
            for case, future in zip(cases, some, strict=True):
                gradients = future.result(timeout=60).gradients
                assert gradients is not None, name
                if name == "mine:views":
                    assert np.array_equal(gradients.dW[0], case.parameters.weights[0])
        assert Path("/proc/self/maps").read_text().count("memfd:gradparity") == before + 1 + len(workers)


def test_an_answer_that_does_not_fit_its_room_goes_through_the_pipe() -> None:
    lender, borrower = ends()
    message = lender.ask(LUCKY[0], 10)
    assert message is not None
    (asked,) = borrower.cases(Pipe(message).read)
    answers = Pipe(borrower.answer(asked, answered(asked.case)))
    assert len(answers.content) > answered(LUCKY[0]).size
    assert lender.answer(answers.read, longest_answer(LUCKY[0])).kind == "gradients"


@pytest.mark.parametrize("precision", DTYPES)
def test_a_full_answer_fits_its_room(precision: str) -> None:
    # Its cost, a few bytes, is padded as every array is: once it was not counted so, and whole answers took the pipe.
    network = Architecture(301, (Layer(61, "identity"), Layer(37, "tanh")), Cost("half_squared_error"))
    case = draw(network, 51, BY_NAME["ordinary"], 0, precision)
    parts = Parts.of("gradients", "", "{}", Reference().gradients(case).tensors())
    assert parts.size == full_answer(case)
    lender, borrower = ends()
    message = lender.ask(case, full_answer(case))
    assert message is not None
    (asked,) = borrower.cases(Pipe(message).read)
    assert len(borrower.answer(asked, parts)) < 2000


def test_arrays_begin_where_frameworks_take_them_without_a_copy() -> None:
    lender, borrower = ends()
    message = lender.ask(LUCKY[0], full_answer(LUCKY[0]))
    assert message is not None
    (asked,) = borrower.cases(Pipe(message).read)
    assert [array.ctypes.data % LINE for array in asked.case.tensors().values()] == [0] * 4


def test_a_message_instead_of_an_answer_needs_no_room() -> None:
    lender, borrower = ends()
    message = lender.ask(LUCKY[0], full_answer(LUCKY[0]))
    assert message is not None
    (asked,) = borrower.cases(Pipe(message).read)
    answers = Pipe(borrower.answer(asked, Parts.of("error", "ValueError: boom", "{}", {})))
    assert lender.answer(answers.read, 10**6).metadata["message"] == "ValueError: boom"


@pytest.mark.parametrize("cut", [1, 39, 40, 41, 500, 2000])
def test_the_end_of_the_parent_amid_a_message_is_the_end(cut: int) -> None:
    lender = Lender(Shelf(), None)
    message = lender.ask(make_case(1.0, inputs=300), 10)
    assert message is not None
    assert len(message) > 2000
    assert list(Borrower(None, None).cases(Pipe(message[:cut]).read)) == []


def test_workers_in_several_threads_do_not_share_memory(module: None) -> None:
    def work(answers: list[Answer]) -> None:
        with Worker("mine:of", 10.0, STARTUP) as worker:
            answers += [future.result(timeout=60) for future in [worker.submit(case) for case in LUCKY]]

    answers: list[list[Answer]] = [[], [], []]
    threads = [threading.Thread(target=work, args=(each,)) for each in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in answers:
        for case, answer in zip(LUCKY, each, strict=True):
            assert answer.gradients is not None
            delta = (case.x @ case.parameters.weights[0].T + case.parameters.biases[0]) / case.batch
            np.testing.assert_allclose(answer.gradients.dW[0], delta.T @ case.x)
