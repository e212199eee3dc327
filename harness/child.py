"""The child process of a worker: its start, its three pipes, what it left unsaid, and its end.

Nothing that it started outlives it, nor us. Its process group is killed; what has left the group, as a daemon does, is
found by a mark in the environment that it inherited (where there is /proc; a process that was started with another
environment escapes). And should we be killed ourselves, a guardian kills the group.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path

from . import memory

#: How many bytes of its standard error, from the end, a failure shows.
TAIL = 2000

#: How many seconds a child that has closed its output, or whose input was closed, gets to exit by itself.
GRACE = 2.0

#: How many bytes one read of standard error asks for, and how many of documents wait to be written: a small pipe's.
CHUNK = 2**16

#: How many bytes the pipes of the documents hold, where they can be made so large: each time one is full or empty,
#: somebody waits to be woken.
PIPE = 2**20

#: How many documents one call writes; systems allow 1024.
MOST_AT_ONCE = 64

#: One thread a child, unless the user has said otherwise: several workers share the machine, the cases are
#: far too small to be worth sharing out, and a sum that is split among threads may round differently each
#: time.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

#: How much less a child gets than we do of a processor that both want, as nice(1) counts. It has cases before it; we
#: are whom all of them wait for. Linux shares time out among sessions first, so that three children would have three
#: times what we have: at 3 x 1024 neurons a case of three frameworks took 122 ms, and takes 107 with this.
NICE = 10

#: The variable that every process of a child's inherits, with a value of the child's own.
MARK = "GRADPARITY_WORKER"

#: A shell whose standard input ends with us, however we end: then it kills the group. The kernel's own signal at a
#: parent's death would need Python code between fork and exec, which is not safe beside other threads.
GUARDIAN = 'read -r _; kill -s KILL -- "-$0"'

_PAGE = os.sysconf("SC_PAGE_SIZE")
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class BrokenError(Exception):
    """The connection cannot go on; the message is the reason, one sentence."""


class Child:
    """One process, the leader of its own group, and its three pipes, none of which ever blocks.

    It finds ``variables`` in its environment, and may use ``descriptors``, under their numbers. Raises BrokenError
    where it cannot be started.
    """

    def __init__(
        self, argv: list[str], variables: Mapping[str, str] | None = None, descriptors: Collection[int] = ()
    ) -> None:
        self._mark = f"{MARK}={secrets.token_hex(8)}"
        defaults = {**dict.fromkeys(ONE_THREAD, "1"), **memory.VARIABLES}
        environment = {**defaults, **os.environ, **(variables or {}), MARK: self._mark.partition("=")[2]}
        self.process = _started(argv, subprocess.PIPE, environment, descriptors)
        try:
            guardian = ["/bin/sh", "-c", GUARDIAN, str(self.process.pid)]
            self._guardian = _started(guardian, subprocess.DEVNULL, os.environ)
        except BrokenError:
            self.process.kill()
            self.process.wait()
            raise
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin = self.process.stdin.fileno()
        self.stdout = self.process.stdout.fileno()
        self.stderr = self.process.stderr.fileno()
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(descriptor, False)
        for descriptor in (self.stdin, self.stdout):
            with contextlib.suppress(OSError, AttributeError):  # beyond what a user may have; not on Linux
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE)
        self.fresh = True  # it has answered nothing yet
        self._unsent = deque[memoryview]()  # of the documents that are being written
        self.backlog = 0  # how many bytes they have
        self._buffer = bytearray(PIPE)  # what came on standard output lies in it, from here to there
        self._begin = self._end = 0
        self.tail = b""  # of standard error
        self.deaf = self.silent = self.mute = False  # it closed its input, its output, its standard error

    def give_way(self) -> None:
        """Have it leave the processor to us, where the system can be told, and is not asked too often."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.process.pid}/autogroup").write_text(str(NICE))

    def send(self, document: bytes) -> None:
        """Have a document written, once those before it are."""
        self._unsent.append(memoryview(document))
        self.backlog += len(document)

    def write(self) -> None:
        """Write what its standard input takes; one call into the kernel carries many small documents."""
        try:
            written = os.writev(self.stdin, list(islice(self._unsent, MOST_AT_ONCE)))
        except BlockingIOError:
            return
        except BrokenPipeError:  # it may still answer what it has read
            self.deaf = True
            return
        self.backlog -= written
        while written:
            first = self._unsent.popleft()
            if written < len(first):
                self._unsent.appendleft(first[written:])
            written -= min(written, len(first))

    @property
    def unread(self) -> memoryview:
        """What came on standard output and has not been taken; good until more is read."""
        return memoryview(self._buffer)[self._begin : self._end]

    def take(self, n: int) -> memoryview:
        """Take n bytes of it."""
        taken = self.unread[:n]
        self._begin += n
        return taken

    def make_room(self, n: int) -> None:
        """Let n bytes be unread at once; the memory is kept, as the next answer needs as much."""
        if self._begin + n > len(self._buffer):
            rest = self.unread
            into = self._buffer if n <= len(self._buffer) else bytearray(n)
            into[: len(rest)] = rest
            self._buffer, self._begin, self._end = into, 0, len(rest)

    def read_stdout(self) -> None:
        """Read what is there and there is room for, and learn whether it is the end."""
        if self._begin == self._end:
            self._begin = self._end = 0
        with contextlib.suppress(BlockingIOError):
            came = os.readv(self.stdout, [memoryview(self._buffer)[self._end :]])
            self._end += came
            self.silent = not came

    def read_stderr(self) -> bool:
        """Read what is there, keep the tail, and say whether there was any."""
        try:
            chunk = os.read(self.stderr, CHUNK)
        except BlockingIOError:
            return False
        self.tail = (self.tail + chunk)[-TAIL:]
        self.mute = not chunk
        return not self.mute

    def drain(self) -> None:
        """Read the standard error that is there already, but not for ever: some child may go on writing."""
        for _ in range(16):
            if not self.read_stderr():
                break

    def resident(self) -> int:
        """Give the bytes of memory that it occupies itself, or 0 where the system does not say."""
        try:
            with open(f"/proc/{self.process.pid}/statm", "rb") as pages:
                return int(pages.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0

    def ending(self) -> str:
        """Say how it ended, now that its output has; waits for its exit, but not for long."""
        self._wait(GRACE)
        status = self.process.returncode
        if status is None:
            return f"the process closed its standard output and went on{self.fragment()}"
        if status < 0:
            return f"the process was killed by {_signal_name(-status)}{self.fragment()}"
        early = " before it answered every case" if status == 0 else ""
        return f"the process ended with exit status {status}{early}{self.fragment()}"

    def fragment(self) -> str:
        """Show what it wrote that is no document, if anything."""
        return f", having written {bytes(self.unread[:60])!r}" if len(self.unread) else ""

    def last_words(self) -> str:
        """Give the end of its standard error, as the lines that follow a reason."""
        words = printable(self.tail.decode(errors="replace")).strip()
        return f"\nIts standard error ends with:\n{words}" if words else ""

    def end(self, grace: float) -> None:
        """Close its input, let it exit for ``grace`` seconds, then kill it and all that it started."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if grace:
            self._wait(grace)
        # Also where it exited by itself: it may have left others in its group. Its number cannot have gone to
        # a stranger's group meanwhile unless the group was empty and every other number was used up.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until = time.monotonic() + GRACE
        while (left := _marked(self._mark)) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)  # it takes a moment to die, and each may have forked before it did
        self._guardian.kill()
        self._guardian.wait()
        self.drain()
        for stream in (self.process.stdout, self.process.stderr, self._guardian.stdin):
            assert stream is not None
            stream.close()

    def _wait(self, seconds: float) -> None:
        """Wait for its exit, draining standard error, on which it might otherwise be stuck."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            poll = select.poll()
            if not self.mute:
                poll.register(self.stderr, select.POLLIN)
            if poll.poll(5):
                self.read_stderr()


def _started(
    argv: list[str], output: int, environment: Mapping[str, str], descriptors: Collection[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own; raises BrokenError where it cannot be."""
    try:
        return subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            pass_fds=descriptors,
        )
    except FileNotFoundError:
        raise BrokenError(f"cannot be started: no command is called {argv[0]!r}") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in an argument
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BrokenError(f"cannot be started: {argv[0]!r}: {reason}") from None


def _marked(mark: str) -> list[int]:
    """Find the processes with this in their environment, where the system shows it."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if name.isdigit():
                with open(f"/proc/{name}/environ", "rb") as environment:
                    found += [int(name)] if mark.encode() in environment.read().split(b"\0") else []
    return found


def printable(text: str) -> str:
    """Strip from what a stranger wrote whatever could harm a terminal or a report; lines stay lines."""
    text = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return "".join(character for character in text if character.isprintable() or character == "\n")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
