"""A worker that answers one-layer linear cases correctly, except for an unlucky one: ``misbehaving.py MODE``.

A case whose first input is 13 is unlucky. Every mode but ``fine`` does something to it that a worker may not
do, or, where the mode's name says so, at the start.
"""

import json
import os
import signal
import sys
import time

UNLUCKY = 13.0


def at_start(mode: str) -> None:
    if mode == "crash-at-start":
        print("no such device: \x1b[31mframework\x07 0\x1b[0m", file=sys.stderr)
        sys.exit(3)
    if mode == "hang-at-start":
        time.sleep(600)
    if mode == "print-at-start":
        print("Welcome to MyFramework 1.0!", flush=True)
    if mode == "leaves-a-child" and os.fork() == 0:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        time.sleep(600)
    if mode == "flood-stderr" and os.fork() == 0:  # never stops, whatever is asked
        while True:
            os.write(2, b"deprecated! " * 1000)


at_start(sys.argv[1])

from gradparity import Case, Gradients  # noqa: E402  (what happens at the start should happen at once)
from gradparity.adapters.document import (  # noqa: E402
    read_case,
    read_one,
    write_gradients,
    write_message,
)

ABOUT = {"name": "misbehaving", "version": "13", "language": "Python"}


def backprop(case: Case) -> Gradients:
    """Half the squared error behind one linear layer: the only network that the tests of workers need."""
    (W, b), m = next(iter(case.parameters)), case.batch
    a = case.x @ W.T + b
    scale = 1 / m if case.architecture.reduction == "mean" else 1.0
    delta = ((a - case.y) * scale).astype(case.dtype)
    return Gradients((delta.T @ case.x,), (delta.sum(axis=0),), delta=(delta,), z=(a,), a=(a,))


def blob(header: object, body: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + body


def unlucky(mode: str, case: Case, good: bytes) -> bytes:  # noqa: PLR0912
    """Give the bytes to write for the unlucky case, or end, or never return."""
    g = backprop(case)
    if mode == "crash":
        print("about to crash", file=sys.stderr, flush=True)
        os._exit(3)
    if mode == "crash-amid":  # the header and half an array
        sys.stdout.buffer.write(good[:-20])
        sys.stdout.buffer.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "hang":
        time.sleep(600)
    if mode == "hang-amid":
        sys.stdout.buffer.write(good[:5])
        sys.stdout.buffer.flush()
        time.sleep(600)
    if mode == "close-stdout":
        os.close(1)
        time.sleep(600)
    if mode == "exit-early":
        sys.exit(0)
    if mode == "slow":
        time.sleep(0.5)
    if mode == "garbage":
        return b"loss: 0.6931471805599453\n"
    if mode == "garbage-header":
        return blob(b"\xff" * 40)
    if mode == "flood-claimed":
        return blob({"dW1": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}})
    if mode == "flood":
        while True:
            sys.stdout.buffer.write(b"spam " * 10_000)
    if mode == "shape":
        return write_gradients(case.id, Gradients((g.dW[0].T.copy(),), g.db), ABOUT)
    if mode == "dtype":
        return write_gradients(case.id, Gradients((g.dW[0].astype("float32"),), g.db), ABOUT)
    if mode == "half":
        return write_gradients(case.id, Gradients((g.dW[0].astype("float16"),), g.db), ABOUT)
    if mode == "missing":
        return write_gradients(case.id, Gradients(g.dW, ()), ABOUT)
    if mode == "extra":
        return write_gradients(case.id, Gradients((*g.dW, g.dW[0]), g.db), ABOUT)
    if mode == "version":
        return good.replace(b'"gradparity":"1"', b'"gradparity":"2"')
    if mode == "kind":
        return good.replace(b'"kind":"gradients"', b'"kind":"gradience"')
    if mode == "about":
        return write_gradients(case.id, g, ["a", "list"])  # type: ignore[arg-type]  # the mistake that is tested
    if mode == "wrong-id":
        return write_gradients("0" * 16, g, ABOUT)
    if mode == "twice":
        return good + good
    if mode == "unsupported":
        return write_message("unsupported", case.id, "no such\nfunction \x1b[1mhere", ABOUT)
    if mode == "error":
        print("Traceback: deep down", file=sys.stderr, flush=True)
        return write_message("error", case.id, "ValueError: boom", ABOUT)
    return good


def main(mode: str) -> None:
    while (asked := read_one(sys.stdin.buffer.read, 2**30)) is not None:
        case = read_case(asked)
        answer = write_gradients(case.id, backprop(case), ABOUT)
        if case.x[0, 0] == UNLUCKY:
            answer = unlucky(mode, case, answer)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
