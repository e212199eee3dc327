"""Workers: whatever a child process does, its case fails with a reason and no other, and it is gone."""

import contextlib
import os
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Layer, Parameters
from gradparity.adapters.registry import UnknownImplementationError
from gradparity.harness import workers
from gradparity.harness.workers import FAILURES_AT_FIRST, Answer, Worker, longest_answer

SCRIPT = Path(__file__).with_name("misbehaving.py")
TIMEOUT, STARTUP = 1.5, 20.0


def name(mode: str) -> str:
    return f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(SCRIPT))} {mode}"


def make_case(first: float, width: int = 2, inputs: int = 3, batch: int = 4) -> Case:
    x = np.arange(batch * inputs, dtype=float).reshape(batch, inputs)
    x[0, 0] = first
    architecture = Architecture(inputs, (Layer(width, "identity"),), Cost("half_squared_error"))
    return Case(
        architecture, Parameters((np.ones((width, inputs)),), (np.ones(width),)), x, np.zeros((batch, width))
    )


LUCKY = [make_case(first) for first in range(5)]
UNLUCKY = make_case(13.0)
CASES = [LUCKY[0], LUCKY[1], UNLUCKY, LUCKY[2], LUCKY[3]]


def ask(
    mode: str, cases: list[Case] = CASES, timeout: float = TIMEOUT, startup: float = STARTUP
) -> list[Answer]:
    """Ask for the cases all at once; check that nothing is left of any process there was."""
    pids = set()
    with Worker(name(mode), timeout, startup) as worker:
        futures = [worker.submit(case) for case in cases]
        answers = []
        for future in futures:
            answers.append(future.result(timeout=60))
            pids.add(worker.pid)
    for pid in pids:
        if pid is not None:
            gone(pid)
    return answers


def gone(pid: int) -> None:
    """Assert that no process of the group is left."""
    for _ in range(400):
        with contextlib.suppress(FileNotFoundError):
            alive = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _in_group(p, pid)]
            if not alive:
                return
        time.sleep(0.005)
    raise AssertionError(f"processes are left in the group {pid}: {alive}")


def _in_group(process: Path, pid: int) -> bool:
    try:
        state, _, group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return False
    # An orphan is a zombie until init has looked after it; the child itself is ours to look after.
    return int(group) == pid and (state != "Z" or process.name == str(pid))


def right(answer: Answer, case: Case) -> None:
    assert answer.outcome == "gradients", answer.message
    assert answer.gradients is not None
    a = case.x @ case.parameters.weights[0].T + case.parameters.biases[0]
    np.testing.assert_allclose(answer.gradients.dW[0], (a - case.y).T @ case.x / case.batch)
    np.testing.assert_allclose(answer.gradients.db[0], (a - case.y).mean(axis=0))
    assert answer.implementation == {"name": "misbehaving", "version": "13", "language": "Python"}
    assert answer.message == ""
    assert 0 < answer.seconds < TIMEOUT + STARTUP


def only_the_unlucky_fails(mode: str) -> Answer:
    answers = ask(mode)
    for case, answer in zip(CASES, answers, strict=True):
        if case is not UNLUCKY:
            right(answer, case)
    bad = answers[2]
    assert bad.outcome == "failed"
    assert bad.gradients is None
    return bad


def reason(answer: Answer) -> str:
    return answer.message.partition("\n")[0]


@pytest.mark.parametrize("mode", ["fine", "slow"])
def test_a_worker_that_behaves_answers_everything(mode: str) -> None:
    for case, answer in zip(CASES, ask(mode), strict=True):
        right(answer, case)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("crash", "the process ended with exit status 3"),
        ("killed", "the process was killed by SIGKILL"),
        ("exit-early", "the process ended with exit status 0 before it answered every case"),
        ("garbage", "not a document: it begins with b'loss: 0.'"),
        ("garbage-header", f"not a document: its header is {bytes([255] * 40)!r}"),
        (
            "flood-claimed",
            f"the document claims {2**43} bytes, "
            f"more than the {longest_answer(UNLUCKY)} that an answer may have",
        ),
        ("flood", "not a document: it begins with b'spam spa'"),
        ("hang", f"no answer within {TIMEOUT:g} s"),
        ("shape", "dW1 has shape (3, 2), but should have (2, 3)"),
        ("dtype", "dW1 is float32, but should be float64"),
        ("half", "dW1 is float16, but should be float64"),
        ("missing", "the answer lacks db1"),
        ("extra", "the answer holds 'dW2', which this case does not ask for"),
        ("version", "not a gradparity document of version 1"),
        ("kind", "answered with a document of kind 'gradience'"),
        ("about", "what the answer says of its implementation is no JSON object"),
        ("wrong-id", f"answered the case '{'0' * 16}' where '{UNLUCKY.id}' was asked"),
        ("error", "ValueError: boom"),
        ("close-stdout", "the process closed its standard output and went on"),
    ],
)
def test_only_the_case_in_front_fails_and_says_why(mode: str, expected: str) -> None:
    assert reason(only_the_unlucky_fails(mode)) == expected


def test_an_end_amid_an_answer_shows_what_came() -> None:
    message = reason(only_the_unlucky_fails("crash-amid"))
    assert message.startswith("the process was killed by SIGSEGV")


def test_a_hang_amid_an_answer_shows_what_came() -> None:
    message = reason(only_the_unlucky_fails("hang-amid"))
    assert message.startswith(f"no answer within {TIMEOUT:g} s, having written b'")


def test_an_answer_too_many_is_taken_for_the_next_case_s() -> None:
    answers = ask("twice")
    for i in (0, 1, 2, 4):
        right(answers[i], CASES[i])
    assert answers[3].outcome == "failed"
    assert reason(answers[3]) == f"answered the case '{UNLUCKY.id}' where '{CASES[3].id}' was asked"


@pytest.mark.parametrize("mode", ["shape", "dtype", "half", "missing", "version", "kind", "error"])
def test_a_bad_answer_costs_no_process(mode: str) -> None:
    with Worker(name(mode), TIMEOUT, STARTUP) as worker:
        pids = []
        for case in CASES:
            worker.submit(case).result(timeout=60)
            pids.append(worker.pid)
    assert len(set(pids)) == 1


@pytest.mark.parametrize("mode", ["crash", "wrong-id", "garbage"])
def test_a_broken_connection_costs_one_process(mode: str) -> None:
    with Worker(name(mode), TIMEOUT, STARTUP) as worker:
        pids = []
        for case in CASES:
            worker.submit(case).result(timeout=60)
            pids.append(worker.pid)
    assert pids[0] == pids[1] == pids[2] != pids[3] == pids[4]


def test_unsupported_is_no_failure() -> None:
    answer = ask("unsupported")[2]
    assert (answer.outcome, answer.message) == ("unsupported", "no such function here")
    assert answer.implementation["name"] == "misbehaving"


def test_the_last_words_follow_the_reason() -> None:
    assert (
        only_the_unlucky_fails("crash").message
        == "the process ended with exit status 3\nIts standard error ends with:\nabout to crash"
    )
    assert only_the_unlucky_fails("error").message.endswith("ends with:\nTraceback: deep down")


def test_a_worker_that_cannot_start_is_given_up() -> None:
    answers = ask("crash-at-start", LUCKY)
    assert [answer.outcome for answer in answers] == ["failed"] * 5
    for answer in answers[:FAILURES_AT_FIRST]:
        assert answer.message == (
            "the process ended with exit status 3\nIts standard error ends with:\nno such device: framework 0"
        )
    for answer in answers[FAILURES_AT_FIRST:]:
        assert answer.message == "given up after 3 failures in a row: the process ended with exit status 3"


def test_a_good_answer_between_forgives() -> None:
    answers = ask("crash", [LUCKY[0], UNLUCKY, UNLUCKY, LUCKY[1], UNLUCKY, UNLUCKY, LUCKY[2]])
    good = [answer.outcome == "gradients" for answer in answers]
    assert good == [True, False, False, True, False, False, True]


def test_one_that_has_answered_may_die_of_a_whole_group_of_cases() -> None:
    answers = ask("crash", [LUCKY[0], UNLUCKY, UNLUCKY, UNLUCKY, UNLUCKY, LUCKY[1]])
    assert answers[-1].outcome == "gradients"


def test_too_many_deaths_in_a_row_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FAILURES_IN_A_ROW", 4)
    answers = ask("crash", [LUCKY[0], UNLUCKY, UNLUCKY, UNLUCKY, UNLUCKY, LUCKY[1]])
    assert answers[0].outcome == "gradients"
    assert reason(answers[5]) == "given up after 4 failures in a row: the process ended with exit status 3"


def test_a_start_has_its_own_time() -> None:
    began = time.monotonic()
    answers = ask("hang-at-start", LUCKY, timeout=0.2, startup=0.3)
    assert {reason(answer) for answer in answers[:3]} == {"no answer within 0.5 s"}
    assert reason(answers[3]) == "given up after 3 failures in a row: no answer within 0.5 s"
    assert 1.5 < time.monotonic() - began < 10


def test_a_greeting_on_standard_output_is_shown() -> None:
    answers = ask("print-at-start", LUCKY[:1])
    assert reason(answers[0]) == "not a document: it begins with b'Welcome '"


def test_endless_standard_error_neither_blocks_nor_grows() -> None:
    with Worker(name("flood-stderr"), TIMEOUT, STARTUP) as worker:
        for case in LUCKY:
            right(worker.submit(case).result(timeout=60), case)
        time.sleep(0.2)
        assert worker._child is not None
        assert len(worker._child.tail) <= 2000
    assert worker.pid is not None
    gone(worker.pid)


def test_no_such_command() -> None:
    with Worker("exec:/no/such/program --fast", TIMEOUT) as worker:
        answers = [worker.submit(case).result(timeout=60) for case in LUCKY]
    first = "cannot be started: no command is called '/no/such/program'"
    assert [answer.message for answer in answers] == [first] * 3 + [
        f"given up after 3 failures in a row: {first}"
    ] * 2
    assert worker.pid is None


def test_a_command_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a program")
    with Worker(f"exec:{tmp_path / 'notes.txt'}", TIMEOUT) as worker:
        answer = worker.submit(LUCKY[0]).result(timeout=60)
    assert answer.message == f"cannot be started: '{tmp_path / 'notes.txt'}': Permission denied"


def test_a_name_without_a_command_is_wrong_usage() -> None:
    with pytest.raises(UnknownImplementationError, match="give the command after the colon"):
        Worker("exec:", TIMEOUT)


def test_a_program_that_echoes_its_input() -> None:
    with Worker("exec:cat", TIMEOUT) as worker:
        answers = [worker.submit(case).result(timeout=60) for case in LUCKY]
    assert {answer.message for answer in answers} == {"answered with a document of kind 'case'"}


def test_large_documents_both_ways_and_more_cases_than_the_window() -> None:
    cases = [make_case(i, width=60, inputs=300, batch=50) for i in range(20)]
    with Worker(name("fine"), 10.0, window=4) as worker:
        futures = [worker.submit(case) for case in cases]
        for case, future in zip(cases, futures, strict=True):
            right(future.result(timeout=60), case)


def test_the_window_holds_submit_back() -> None:
    with Worker(name("hang"), 1.0, STARTUP, window=2) as worker:
        right(worker.submit(LUCKY[0]).result(timeout=60), LUCKY[0])
        began = time.monotonic()
        futures = [worker.submit(case) for case in (UNLUCKY, LUCKY[1], LUCKY[2])]
        assert time.monotonic() - began > 0.9
        outcomes = [future.result(timeout=60).outcome for future in futures]
    assert outcomes == ["failed", "gradients", "gradients"]


def test_the_time_is_counted_from_the_front() -> None:
    cases = [LUCKY[0], *[make_case(13.0, batch=m) for m in range(1, 6)]]  # 0.5 s each, 2.5 s together
    answers = ask("slow", cases)
    assert [answer.outcome for answer in answers] == ["gradients"] * 6
    assert all(0.4 < answer.seconds < TIMEOUT for answer in answers[1:])


def test_leaving_early_fails_what_is_unanswered_and_leaves_nothing() -> None:
    with contextlib.suppress(KeyboardInterrupt), Worker(name("hang"), 60.0) as worker:
        first, second, third = (worker.submit(case) for case in (LUCKY[0], UNLUCKY, LUCKY[1]))
        right(first.result(timeout=60), LUCKY[0])
        began = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - began < 2
    assert {second.result(0).message, third.result(0).message} == {"the worker was closed before it answered"}
    assert worker.pid is not None
    gone(worker.pid)
    with pytest.raises(RuntimeError, match="is closed"):
        worker.submit(LUCKY[2])
    worker.close()  # once more does no harm


def test_what_a_child_started_ends_with_it() -> None:
    with Worker(name("leaves-a-child"), TIMEOUT, STARTUP) as worker:
        right(worker.submit(LUCKY[0]).result(timeout=60), LUCKY[0])
        pid = worker.pid
        assert pid is not None
        assert sum(_in_group(p, pid) for p in Path("/proc").iterdir() if p.name.isdigit()) == 2
    gone(pid)


def test_a_worker_that_was_asked_nothing_starts_nothing() -> None:
    with Worker(name("fine"), TIMEOUT) as worker:
        pass
    assert worker.pid is None


def test_children_get_one_thread_unless_the_user_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    script = "import os, sys; sys.exit(os.environ['OMP_NUM_THREADS'] + os.environ['MKL_NUM_THREADS'])"
    with Worker(f"exec:{shlex.quote(sys.executable)} -c {shlex.quote(script)}", TIMEOUT, STARTUP) as worker:
        answer = worker.submit(LUCKY[0]).result(timeout=60)
    assert answer.message.endswith("ends with:\n41")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_our_own_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(case: Case) -> bytes:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("gradparity.harness.workers.write_case", mistaken)
    with Worker(name("fine"), TIMEOUT, STARTUP) as worker:
        answer = worker.submit(LUCKY[0]).result(timeout=60)
    assert answer.message == "the worker's supervisor failed: ZeroDivisionError('a mistake')"
    assert worker.pid is not None
    gone(worker.pid)


def test_no_descriptors_are_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for mode in ("fine", "crash", "crash-at-start"):
        ask(mode, CASES[:3])
    assert len(os.listdir("/proc/self/fd")) == before
