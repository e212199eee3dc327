"""The parent's side of the wire: one child process an implementation, cases in, answers out, and it may die.

The life of a connection, and what each step that fails makes of the case in front (the oldest that has no
answer). Every one of these is an Answer with outcome ``failed``; none of them is an exception, and none stops
the run:

    start the command          no such command, not executable               -> "cannot be started: ..."
    write the case             (a child that does not read is found out below, by time or by its end)
    wait for the answer        time is up                                    -> "no answer within ..."
                               it takes all the memory                       -> "used more than ..."
                               end of file: exit, signal, closed output      -> "the process ended with ..."
    read one document          first bytes are no length, header no JSON     -> "not a document: ..."
                               more bytes than an answer can have            -> "the document claims ..."
    match it to the case       it echoes another id: a stray or second answer -> "answered the case ..."
    ------------------------------------------------------------------------------------------------------
    take the document apart    not safetensors, other version, unjudged dtype -> the MalformedError's sentence
    take the answer apart      a name, a shape, a dtype; a kind no answer has -> the MalformedError's sentence
    read its kind              ``error``: the implementation raised          -> its own message

Above the line the stream can no longer be trusted: the whole process group is killed, the case in front
fails, and the cases behind it are sent again to a fresh process. Below the line only the answer is bad: the
process stays. After FAILURES_IN_A_ROW deaths without a good answer between them (FAILURES_AT_FIRST where there
never was one), every remaining case fails at once.

One thread a worker does everything that follows ``submit`` in one loop over poll(2). It writes only what the
child's pipe takes, reads no more than a pipe holds beyond the answer in front, and always drains standard error,
so neither side can block the other and no child can fill the parent's memory. The child itself is child.py. A program
is sent documents; gradparity's own ``serve`` is sent what shared.py says, which costs less, and fails likewise.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, Self

from ..adapters.document import Document, read, read_one, write_case
from ..adapters.memory import ROOMS, Shelf, offered, padded
from ..adapters.registry import EXEC, command
from ..adapters.shared import VARIABLE, Lender
from ..reference.network import Architecture, Case, Gradients, MalformedError
from ..reference.premise import premise_named
from .child import CHUNK, GRACE, TAIL, BrokenError, Child, printable
from .memory import keep_memory

#: Deaths in a row, with no good answer between, after which a worker is given up that has never answered, and
#: one that has. A start costs seconds; but a campaign's cases come in groups with one architecture, and an
#: implementation that dies of one activation dies of every case of a group or two, and is fine after that.
FAILURES_AT_FIRST = 3
FAILURES_IN_A_ROW = 24

#: How many bytes of memory a child may occupy: half of what the machine has. A limit on addresses, which the
#: kernel would enforce, is none on memory: frameworks and drivers reserve far more than they use.
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

#: How often, in seconds, its memory is looked at while it has a case in front.
LOOK = 0.1

#: How many cases a child has before it that will keep it busy until somebody looks after it again.
ENOUGH = 8

#: How many times as long as the first start a later one may take, on a machine that has become busy.
STARTS_VARY = 5


@dataclass(frozen=True)
class Answer:
    """What became of one case.

    ``gradients`` is there where the outcome is ``gradients``. ``message`` says why otherwise: its first line
    is the reason in one sentence; for ``failed``, the end of the child's standard error may follow it.
    ``seconds`` is how long the worker had this case in front; the first of a process includes its start.
    ``implementation`` is what the answer said of its author: name, version, language, and a premise if it declared one.
    """

    outcome: Literal["gradients", "unsupported", "failed"]
    gradients: Gradients | None = None
    message: str = ""
    seconds: float = 0.0
    implementation: Mapping[str, str] = field(default_factory=dict)


class _ClosedError(Exception):
    """The worker is being closed."""


class Worker:
    """One implementation in a child process, asked one case after another.

    ``timeout`` is how many seconds a case may be in front; the first of a fresh process has ``startup`` more,
    for its imports, or less once a first answer has shown how long they take. At most ``window`` cases are
    without an answer at once: ``submit`` waits beyond that. The process may occupy ``memory`` bytes, where the system
    tells. Workers that are asked the same cases do well to read them from one ``shelf``. Use it as a context manager;
    leaving it leaves no process behind. Raises UnknownImplementationError at once where the name gives no command.
    """

    def __init__(
        self,
        name: str,
        timeout: float,
        startup: float = 60.0,
        window: int = 64,
        memory: int = MEMORY,
        shelf: Shelf | None = None,
    ) -> None:
        keep_memory()  # of its answers too
        self.name = name
        self._argv = command(name)
        self._timeout, self._startup, self._memory = timeout, startup, memory
        self._window = window
        self._waiting: deque[tuple[Case, Future[Answer]]] = deque()
        self._sent = 0  # how many of the waiting, from the front, this process was given
        self._child: Child | None = None
        self._lender: Lender | None = None  # where the child is gradparity's own
        self._shelf: Shelf | None = shelf
        self._pid: int | None = None
        self._look = 0.0  # when its memory is looked at next
        self._failures, self._answered = 0, False
        self._ahead = False  # whether the child is to start before it has a case
        self._born = 0.0
        self._last_reason = ""
        self._closing = False
        # Between submit and the end: no case may slip in after the last. Notified where there is room again.
        self._lock = threading.Condition(threading.Lock())
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._wake, False)
        self._thread = threading.Thread(target=self._supervise, name=f"worker {name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process id of the child, or of the last there was; it leads its own process group."""
        return self._pid

    def start(self) -> None:
        """Start the child before there is a case for it: its imports take a while, and so do ours.

        One that cannot be started fails its first case.
        """
        with self._lock:
            self._ahead = True
            if not self._closing:
                self._notify()

    def submit(self, case: Case) -> Future[Answer]:
        """Ask for a case; the futures resolve in order, always with an Answer.

        Waits while ``window`` cases have none yet, so do not call it from a future's callback. Raises
        RuntimeError after ``close``.
        """
        with self._lock:
            # Then until half of them are answered, since to wake takes a while.
            if len(self._waiting) >= self._window:
                self._lock.wait_for(lambda: self._closing or len(self._waiting) <= self._window // 2)
            if self._closing:
                raise RuntimeError(f"the worker {self.name} is closed")
            future: Future[Answer] = Future()
            future.set_running_or_notify_cancel()  # it is on its way and cannot be cancelled
            self._waiting.append((case, future))
            if self._sent < ENOUGH:  # else the next answer will wake the supervisor soon enough
                self._notify()
        return future

    def close(self) -> None:
        """End the child: at once where cases are unanswered (they fail), else it may first exit by itself."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------- the supervising thread

    def _supervise(self) -> None:
        reason = "the worker was closed before it answered"
        try:
            while True:
                if not self._waiting:
                    if self._ahead and self._child is None:
                        self._ahead = False
                        with contextlib.suppress(BrokenError):
                            self._start()
                    self._poll(None)
                    continue
                began = time.monotonic()
                answer = self._ask(self._waiting[0][0], began)
                self._resolve(answer, time.monotonic() - began)
        except _ClosedError:
            pass
        except BaseException as error:
            reason = f"the worker's supervisor failed: {error!r}"
            raise
        finally:
            if self._child is not None:
                self._child.end(0.0 if self._waiting or self._child.fresh else GRACE)
            self._return_loans()
            self._shelf = None
            with self._lock:
                self._closing = True
                self._lock.notify_all()
                os.close(self._wake)
                os.close(self._waker)
            while self._waiting:
                self._resolve(Answer("failed", message=reason), 0.0)

    def _resolve(self, answer: Answer, seconds: float) -> None:
        _, future = self._waiting.popleft()
        self._sent = max(self._sent - 1, 0)
        if len(self._waiting) <= self._window // 2:
            with self._lock:
                self._lock.notify_all()
        future.set_result(replace(answer, seconds=seconds))

    def _ask(self, case: Case, began: float) -> Answer:
        """Get the answer to the case in front, whatever happens."""
        if self._failures >= (FAILURES_IN_A_ROW if self._answered else FAILURES_AT_FIRST):
            reason = f"given up after {self._failures} failures in a row: {self._last_reason}"
            return Answer("failed", message=reason)
        try:
            child = self._child or self._start()
            document = self._receive(child, case, began)
            if isinstance(document, Document):
                answer = _judge(document, case)
            else:
                answer = Answer("failed", message=_line(str(document)))
        except BrokenError as broken:
            self._failures += 1
            self._last_reason = _line(str(broken))
            return Answer("failed", message=self._last_reason + self._stop())
        if child.fresh:  # the next start will not take much longer, so a hang is found sooner
            self._startup = min(self._startup, STARTS_VARY * (time.monotonic() - self._born) + 1)
            child.give_way()
        child.fresh = False
        if answer.outcome == "failed":
            child.drain()
            return replace(answer, message=answer.message + child.last_words())
        self._failures, self._answered = 0, True
        return answer

    def _receive(self, child: Child, case: Case, began: float) -> Document | MalformedError:
        """Read the document that answers the case, or why what came in its place cannot be taken apart."""
        limit = self._timeout + (self._startup if child.fresh else 0.0)

        def exactly(n: int) -> memoryview:
            child.make_room(n)
            while len(child.unread) < n:
                if child.silent:
                    raise BrokenError(child.ending())
                now = time.monotonic()
                if now >= began + limit:
                    raise BrokenError(f"no answer within {round(limit, 2):g} s{child.fragment()}")
                if now >= self._look:
                    self._look = now + LOOK
                    if child.resident() > self._memory:
                        raise BrokenError(f"used more than {self._memory / 2**30:.3g} GiB of memory")
                self._poll(min(began + limit, self._look), reading=True)
            return child.take(n)

        try:
            if self._lender is not None:
                return self._lender.answer(exactly, longest_answer(case))
            blob = read_one(exactly, longest_answer(case))
        except MalformedError as error:
            raise BrokenError(str(error)) from None
        assert blob is not None  # the end of its output is an error above
        try:
            document = read(blob)
        except MalformedError as error:
            return error
        if document.id != case.id:
            raise BrokenError(f"answered the case {document.id!r} where {case.id!r} was asked")
        return document

    def _start(self) -> Child:
        self._sent, self._born = 0, time.monotonic()
        if self.name.startswith(EXEC):
            self._child = Child(self._argv)
        else:
            shelf = self._shelf = self._shelf or Shelf()
            rooms = offered(ROOMS, write=True)
            if shelf.descriptor is None or rooms is None:
                self._child, self._lender = Child(self._argv, {VARIABLE: ""}), Lender(shelf, None)
            else:
                inherited = shelf.descriptor, rooms.descriptor
                self._child = Child(self._argv, {VARIABLE: " ".join(map(str, inherited))}, inherited)
                self._lender = Lender(shelf, rooms.memory)
        self._pid = self._child.process.pid
        return self._child

    def _stop(self) -> str:
        """End the child, if there is one, and give its last words."""
        child, self._child, self._sent = self._child, None, 0
        if child is None:
            return ""
        child.end(0.0)
        self._return_loans()
        return child.last_words()

    def _return_loans(self) -> None:
        if self._lender is not None:
            self._lender.close()
        self._lender = None

    def _poll(self, deadline: float | None, reading: bool = False) -> None:
        """Sleep until something can be done or the deadline is over, and do it: wake, write, drain, read.

        It leaves standard output alone where no answer is missing, so that a flood stays in its pipe.
        """
        child = self._child
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if child is not None:
            self._feed(child)
            if child.backlog and not child.deaf:
                poll.register(child.stdin, select.POLLOUT)
            if reading and not child.silent:
                poll.register(child.stdout, select.POLLIN)
            if not child.mute:
                poll.register(child.stderr, select.POLLIN)
        # At most an hour at once: poll counts milliseconds in an int.
        wait = None if deadline is None else min(max(deadline - time.monotonic(), 0.0), 3600.0) * 1000 + 1
        ready = {descriptor for descriptor, _ in poll.poll(wait)}
        if self._wake in ready:
            os.read(self._wake, CHUNK)
        if self._closing:
            raise _ClosedError
        if child is None:
            return
        if child.stderr in ready:
            child.read_stderr()
        if child.stdin in ready:
            child.write()
        if child.stdout in ready:
            child.read_stdout()

    def _feed(self, child: Child) -> None:
        """Keep a pipe's worth of documents ready, so that one write carries many small ones.

        Each call into the kernel gives the interpreter's lock away, and a parent that is busy computing may
        be slow to give it back.
        """
        while child.backlog < CHUNK and self._sent < len(self._waiting):
            case = self._waiting[self._sent][0]
            asked = write_case(case) if self._lender is None else self._lender.ask(case, full_answer(case))
            if asked is None:
                return
            child.send(asked)
            self._sent += 1

    def _notify(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._waker, b"\0")


def crew(names: Iterable[str], timeout: float) -> Iterator[Worker]:
    """Make a worker of each implementation; they are asked the same cases, and read them from one shelf."""
    shelf = Shelf()
    for name in names:
        yield Worker(name, timeout, shelf=shelf)


def full_answer(case: Case) -> int:
    """How many bytes of arrays a full answer to the case has, as a message lays them out."""
    return _full_answer(case.architecture, case.batch, case.dtype.itemsize)


@lru_cache(maxsize=8)  # cases of one architecture come together
def _full_answer(architecture: Architecture, batch: int, size: int) -> int:
    """The same, for numbers of a size: the cost, and of each layer dW, db, δ, z and a."""
    arrays = [1]
    for before, n in itertools.pairwise(architecture.widths):
        arrays += [n * before, n, *[n * batch] * 3]
    return sum(padded(one * size) for one in arrays)


def longest_answer(case: Case) -> int:
    """How many bytes of arrays an answer to the case may claim.

    Four times what a full answer has, so that a wrong dtype or a few arrays too many are read and named, and a
    mebibyte for small cases.
    """
    return 4 * full_answer(case) + 2**20


def _line(text: str) -> str:
    """Make one printable line of bounded length."""
    return printable(" ".join(text.split()))[:TAIL]


def _judge(document: Document, case: Case) -> Answer:
    """Make an Answer of a document that echoes the case's id."""
    try:
        implementation = _implementation(document.metadata.get("implementation", "{}"))
        if document.kind == "gradients":
            gradients = Gradients.from_tensors(document.tensors, case)
            return Answer("gradients", gradients, implementation=implementation)
    except MalformedError as error:
        return Answer("failed", message=_line(str(error)))
    message = _line(document.metadata.get("message", "")) or "gave no reason"
    if document.kind == "unsupported":
        return Answer("unsupported", message=message, implementation=implementation)
    if document.kind == "error":
        return Answer("failed", message=message, implementation=implementation)
    return Answer("failed", message=_line(f"answered with a document of kind {document.kind!r}"))


@lru_cache(maxsize=8)  # it is the same in every answer
def _implementation(given: str) -> Mapping[str, str]:
    """Read what an answer says of its author, as lines that can be shown anywhere."""
    try:
        said = json.loads(given)
        found = {_line(key): _line(str(value)) for key, value in said.items() if key not in _ABILITIES}
        abilities = said.get("abilities")
    except (ValueError, AttributeError, RecursionError):
        raise MalformedError("what the answer says of its implementation is no JSON object") from None
    premise = abilities.get("premise") if isinstance(abilities, dict) else None
    return found if premise is None else {**found, "premise": str(premise_named(premise))}


#: What an implementation says that it can do, and what of it is understood today.
_ABILITIES = ("abilities", "premise")
