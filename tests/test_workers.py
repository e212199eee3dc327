"""Workers: whatever a child process does, its case fails with a reason and no other, and it is gone."""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Layer, Parameters
from gradparity.adapters.implementation import UnknownImplementationError
from gradparity.harness import workers
from gradparity.harness.child import GRACE, NICE
from gradparity.harness.judgement import judge
from gradparity.harness.verdict import Verdict
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


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Whatever a test does, no process that it started is left, in whatever session, and no temporary file."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    yield
    assert not list(temporary.iterdir())
    for _ in range(400):
        left = [process for process in processes() if started_with(process, f"TMPDIR={temporary}")]
        if not left:
            return
        time.sleep(0.005)
    raise AssertionError(f"processes are left: {left}")


def processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def started_with(process: Path, variable: str) -> bool:
    try:
        return variable.encode() in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended; or, while it ends, it may not be looked at
        return False


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


def until(done: Callable[[], bool]) -> None:
    for _ in range(2000):
        if done():
            return
        time.sleep(0.005)
    raise AssertionError("it never came about")


def gone(pid: int) -> None:
    """Assert that no process of the group is left."""
    for _ in range(400):
        with contextlib.suppress(FileNotFoundError):
            alive = [p for p in processes() if _in_group(p, pid)]
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


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="sessions do not share time here")
@pytest.mark.skipif(
    os.geteuid() != 0, reason="others may say so ten times a second, and it may be the eleventh"
)
def test_a_worker_leaves_the_processor_to_whom_all_wait_for() -> None:
    with Worker(name("fine"), TIMEOUT, STARTUP) as worker:
        worker.submit(LUCKY[0]).result(timeout=60)
        group = Path(f"/proc/{worker.pid}/autogroup").read_text()
        assert group.split()[-2:] == ["nice", str(NICE)]


@pytest.mark.parametrize("mode", ["fine", "slow"])
def test_a_worker_that_behaves_answers_everything(mode: str) -> None:
    for case, answer in zip(CASES, ask(mode), strict=True):
        right(answer, case)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("crash", "the process ended with exit status 3"),
        ("abort", "the process was killed by SIGABRT"),
        ("killed", "the process was killed by SIGKILL"),
        ("exit-early", "the process ended with exit status 0 before it answered every case"),
        ("garbage", "not a document: it begins with b'loss: 0.'"),
        ("garbage-header", f"not a document: its header is {bytes([255] * 40)!r}"),
        ("header-without-end", "not a document: it begins with b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80'"),
        ("truncated", "not a document: its arrays do not follow one another without gaps"),
        ("overlapping", "not a document: its arrays do not follow one another without gaps"),
        ("gap", "not a document: its arrays do not follow one another without gaps"),
        ("twice-named", "not a document: its header names something twice"),
        (
            "flood-claimed",
            f"the document claims {2**43} bytes, "
            f"more than the {longest_answer(UNLUCKY)} that an answer may have",
        ),
        ("flood", "not a document: it begins with b'spam spa'"),
        ("hang", f"no answer within {TIMEOUT:g} s"),
        ("stops", f"no answer within {TIMEOUT:g} s"),
        ("shouts", f"no answer within {TIMEOUT:g} s"),
        ("shape", "dW1 has shape (3, 2), but should have (2, 3)"),
        ("dtype", "dW1 is float32, but should be float64"),
        ("half", "dW1 is float16, but should be float64"),
        ("missing", "the answer lacks db1"),
        ("extra", "the answer holds 'dW2', which this case does not ask for"),
        ("stray", "the answer holds 'loss', which this case does not ask for"),
        ("version", "not a gradparity document of version 1"),
        ("kind", "answered with a document of kind 'gradience'"),
        ("about", "what the answer says of its implementation is no JSON object"),
        ("out-of-order", f"answered the case '{LUCKY[2].id}' where '{UNLUCKY.id}' was asked"),
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


@pytest.mark.parametrize("mode", ["hang-amid", "header-awaited"])
def test_a_hang_amid_an_answer_shows_what_came(mode: str) -> None:
    message = reason(only_the_unlucky_fails(mode))
    assert message.startswith(f"no answer within {TIMEOUT:g} s, having written b'")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("twice", f"answered the case '{UNLUCKY.id}' where '{CASES[3].id}' was asked"),
        ("crash-after", "the process ended with exit status 3"),
        ("flood-after", "not a document: it begins with b'spam spa'"),
        ("deaf", f"no answer within {TIMEOUT:g} s"),
    ],
)
def test_what_follows_an_answer_is_taken_for_the_next_case_s(mode: str, expected: str) -> None:
    answers = ask(mode)
    for i in (0, 1, 2, 4):
        right(answers[i], CASES[i])
    assert answers[3].outcome == "failed"
    assert reason(answers[3]) == expected


@pytest.mark.parametrize("mode", ["big-endian", "nan", "cut"])
def test_values_that_are_wrong_are_the_judge_s_business(mode: str) -> None:
    answers = ask(mode)
    for i in (0, 1, 4):
        right(answers[i], CASES[i])
    assert answers[2].gradients is not None
    assert judge(UNLUCKY, answers[2].gradients).verdict is Verdict.DIVERGES
    if mode == "cut":  # its last number was the length of the next answer's header, which misses it
        assert reason(answers[3]).startswith("not a document: it begins with b'{\"__meta")
    else:
        right(answers[3], CASES[3])


def test_a_hoard_of_memory_is_found_before_the_machine_is_full() -> None:
    with Worker(name("hoards"), 30.0, STARTUP, memory=2**29) as worker:
        futures = [worker.submit(case) for case in CASES]
        answers = [future.result(timeout=60) for future in futures]
    assert [answer.outcome for answer in answers] == ["gradients"] * 2 + ["failed"] + ["gradients"] * 2
    assert reason(answers[2]) == "used more than 0.5 GiB of memory"


def test_as_much_memory_as_is_allowed_is_no_failure() -> None:
    with Worker(name("hoards"), 1.0, STARTUP, memory=2**31) as worker:
        worker.submit(LUCKY[0])
        answer = worker.submit(UNLUCKY).result(timeout=60)
    assert reason(answer) == "no answer within 1 s"


def test_what_was_answered_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    monkeypatch.setenv("DIARY", str(diary))
    again = make_case(13.0, batch=3)
    cases = [LUCKY[0], LUCKY[1], UNLUCKY, LUCKY[2], again, LUCKY[3], LUCKY[4], make_case(5.0)]
    answers = ask("crash-slowly", cases)
    assert [answer.outcome == "gradients" for answer in answers] == [
        case not in (UNLUCKY, again) for case in cases
    ]
    asked = [line.split() for line in diary.read_text().splitlines()]
    assert Counter(case for _, case in asked) == {case.id: 1 for case in cases}
    assert len({pid for pid, _ in asked}) == 3  # one for each that died, and the last


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


def test_what_an_answer_says_of_its_author_can_be_shown_anywhere() -> None:
    answer = ask("colourful")[2]
    assert answer.implementation == {
        "name": "misbehaving",
        "version": "13",
        "language": "Python",
        "flags": "['-O3']",
    }


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


def test_one_that_ends_silently_is_given_up() -> None:
    answers = ask("exit-at-start", LUCKY)
    silently = "the process ended with exit status 0 before it answered every case"
    given_up = f"given up after 3 failures in a row: {silently}"
    assert [reason(answer) for answer in answers] == [silently] * FAILURES_AT_FIRST + [given_up] * 2


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


@pytest.mark.parametrize(
    "inputs", [300, 3000]
)  # several answers in what a pipe holds, and several pipes in one
def test_answers_that_come_at_once_are_told_apart(inputs: int) -> None:
    cases = [make_case(i, width=60, inputs=inputs, batch=20) for i in range(20)]
    with Worker(name("bursts"), 20.0, STARTUP) as worker:
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
        assert sum(_in_group(p, pid) for p in processes()) == 2
    gone(pid)


def test_what_a_child_started_elsewhere_ends_with_it() -> None:
    with Worker(name("leaves-a-daemon"), TIMEOUT, STARTUP) as worker:
        right(worker.submit(LUCKY[0]).result(timeout=60), LUCKY[0])
        assert worker._child is not None
        mark = worker._child._mark
        carriers = [p for p in processes() if started_with(p, mark)]
        assert sum(_in_group(p, worker.pid or 0) for p in carriers) == 1
        assert len(carriers) == 2  # the child, and the daemon in a session of its own
    assert not [p for p in processes() if started_with(p, mark)]


def test_a_successor_that_keeps_the_pipes_is_no_way_out() -> None:
    answer = ask("leaves-a-successor", LUCKY[:1], timeout=0.2, startup=0.3)[0]
    assert reason(answer) == "no answer within 0.5 s"


PARENT = """
import sys, time
from gradparity.harness.workers import Worker
from gradparity.tests.test_workers import UNLUCKY, name
worker = Worker(name("hang"), 600.0)
worker.submit(UNLUCKY)
while worker.pid is None:
    time.sleep(0.01)
time.sleep(float(sys.argv[1]))
print(worker.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("after", [0, 1])  # while it starts; when it hangs
def test_a_child_does_not_outlive_a_parent_that_is_killed(after: int) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(after)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)  # it is there
        parent.kill()
    gone(pid)


def test_a_worker_that_was_asked_nothing_starts_nothing() -> None:
    with Worker(name("fine"), TIMEOUT) as worker:
        pass
    assert worker.pid is None


def test_a_worker_may_start_before_it_is_asked() -> None:
    with Worker(name("fine"), TIMEOUT, STARTUP) as worker:
        worker.start()
        until(lambda: worker.pid is not None)
        began = worker.pid
        for case in LUCKY:
            right(worker.submit(case).result(timeout=60), case)
        assert worker.pid == began
    gone(began or 0)


def test_one_that_started_and_was_asked_nothing_ends_at_once() -> None:
    began = time.monotonic()
    with Worker(name("hang-at-start"), TIMEOUT, STARTUP) as worker:
        worker.start()
        until(lambda: worker.pid is not None)
    assert time.monotonic() - began < GRACE
    gone(worker.pid or 0)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("exec:/no/such/program", "cannot be started: no command is called '/no/such/program'"),
        (name("crash-at-start"), "the process ended with exit status 3"),
    ],
)
def test_one_that_cannot_start_before_it_is_asked_says_so_then(program: str, expected: str) -> None:
    with Worker(program, TIMEOUT, STARTUP) as worker:
        worker.start()
        time.sleep(0.3)
        answers = [worker.submit(case).result(timeout=60) for case in LUCKY]
    assert [reason(answer) for answer in answers[:FAILURES_AT_FIRST]] == [expected] * FAILURES_AT_FIRST
    assert reason(answers[3]) == f"given up after 3 failures in a row: {expected}"


def test_a_worker_that_was_closed_does_not_start() -> None:
    worker = Worker(name("fine"), TIMEOUT)
    worker.close()
    worker.start()
    assert worker.pid is None


def test_children_get_one_thread_and_keep_their_memory_unless_the_user_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
    monkeypatch.setenv(names[0], "4")
    monkeypatch.delenv(names[1], raising=False)
    monkeypatch.setenv(names[2], "7")
    monkeypatch.delenv(names[3], raising=False)
    script = f"import os, sys; sys.exit(' '.join(os.environ[name] for name in {names}))"
    with Worker(f"exec:{shlex.quote(sys.executable)} -c {shlex.quote(script)}", TIMEOUT, STARTUP) as worker:
        answer = worker.submit(LUCKY[0]).result(timeout=60)
    assert answer.message.endswith(f"ends with:\n4 1 7 {2**25}")


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
