"""The child process of a worker: its start, its three pipes, what it left unsaid, and its end."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time

#: How many bytes of its standard error, from the end, a failure shows.
TAIL = 2000

#: How many seconds a child that has closed its output, or whose input was closed, gets to exit by itself.
GRACE = 2.0

#: How many bytes one read asks for: what a Linux pipe holds.
CHUNK = 2**16

#: One thread a child, unless the user has said otherwise: several workers share the machine, the cases are
#: far too small to be worth sharing out, and a sum that is split among threads may round differently each
#: time.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class BrokenError(Exception):
    """The connection cannot go on; the message is the reason, one sentence."""


class Child:
    """One process, the leader of its own group, and its three pipes, none of which ever blocks.

    Raises BrokenError where it cannot be started.
    """

    def __init__(self, argv: list[str]) -> None:
        environment = {**dict.fromkeys(ONE_THREAD, "1"), **os.environ}
        try:
            self.process = subprocess.Popen(
                argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise BrokenError(f"cannot be started: no command is called {argv[0]!r}") from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in an argument
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise BrokenError(f"cannot be started: {argv[0]!r}: {reason}") from None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin = self.process.stdin.fileno()
        self.stdout = self.process.stdout.fileno()
        self.stderr = self.process.stderr.fileno()
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(descriptor, False)
        self.fresh = True  # it has answered nothing yet
        self.unsent = bytearray()  # of the documents that are being written
        self.unread = bytearray()  # came on standard output and is no document yet
        self.tail = b""  # of standard error
        self.deaf = self.silent = self.mute = False  # it closed its input, its output, its standard error

    def write(self) -> None:
        """Write what its standard input takes."""
        try:
            del self.unsent[: os.write(self.stdin, self.unsent)]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it may still answer what it has read
            self.deaf = True

    def read_stdout(self) -> None:
        """Read what is there, a chunk at most, and learn whether it is the end."""
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(self.stdout, CHUNK)
            self.unread += chunk
            self.silent = not chunk

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
        return f", having written {bytes(self.unread[:60])!r}" if self.unread else ""

    def last_words(self) -> str:
        """Give the end of its standard error, as the lines that follow a reason."""
        words = printable(self.tail.decode(errors="replace")).strip()
        return f"\nIts standard error ends with:\n{words}" if words else ""

    def end(self, grace: float) -> None:
        """Close its input, let it exit for ``grace`` seconds, then kill its group; nothing is left behind."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if grace:
            self._wait(grace)
        # Also where it exited by itself: it may have left others in its group. Its number cannot have gone to
        # a stranger's group meanwhile unless the group was empty and every other number was used up.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.drain()
        for stream in (self.process.stdout, self.process.stderr):
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


def printable(text: str) -> str:
    """Strip from what a stranger wrote whatever could harm a terminal or a report; lines stay lines."""
    text = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    return "".join(character for character in text if character.isprintable() or character == "\n")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
