"""A worker that answers one-layer linear cases correctly, except for an unlucky one: ``misbehaving.py MODE``.

A case whose first input is 13 is unlucky. Every mode but ``fine`` does something to it that a worker may not
do, or, where the mode's name says so, at the start. With ``-slowly`` behind it each case takes a moment; ``bursts``
holds its answers back until there are twenty.
"""

import json
import os
import signal
import sys
import time
from dataclasses import replace

UNLUCKY = 13.0


def at_start(mode: str) -> None:  # noqa: PLR0912
    if mode == "crash-at-start":
        print("no such device: \x1b[31mframework\x07 0\x1b[0m", file=sys.stderr)
        sys.exit(3)
    if mode == "hang-at-start":
        time.sleep(600)
    if mode == "exit-at-start":
        sys.exit(0)
    if mode == "print-at-start":
        print("Welcome to MyFramework 1.0!", flush=True)
    if mode == "leaves-a-child" and os.fork() == 0:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        time.sleep(600)
    if (
        mode == "leaves-a-daemon" and os.fork() == 0
    ):  # as a daemon does it: another session, and an orphan in it
        os.setsid()
        if os.fork() == 0:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            time.sleep(600)
        os._exit(0)
    if mode == "leaves-a-successor" and os.fork() > 0:  # which keeps the pipes, and says nothing
        os._exit(0)
    if mode == "leaves-a-successor":
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


def rewritten(mode: str, good: bytes) -> bytes:
    """Let the header of an answer lie about its arrays."""
    length = int.from_bytes(good[:8], "little")
    header, body = json.loads(good[8 : 8 + length]), good[8 + length :]
    if mode == "truncated":
        first, last = header["dW1"]["data_offsets"]
        header["dW1"]["data_offsets"] = [first, last - 8]
    if mode == "overlapping":
        header["z1"]["data_offsets"] = header["a1"]["data_offsets"]
    if mode == "gap":
        return blob(
            {**header, "dW1": {**header["dW1"], "data_offsets": [10**4, 10**4 + 48]}}, body + bytes(10**4)
        )
    if mode == "stray":
        header["loss"] = header.pop("delta1")
    if mode == "twice-named":
        again = json.dumps({"dW1": header["dW1"]}).encode()[1:]
        return blob(json.dumps(header).encode()[:-1] + b"," + again, body)
    return blob(header, body)


def unlucky(mode: str, case: Case, good: bytes) -> bytes:  # noqa: PLR0912, PLR0915
    """Give the bytes to write for the unlucky case, or end, or never return."""
    g = backprop(case)
    if mode == "crash":
        print("about to crash", file=sys.stderr, flush=True)
        os._exit(3)
    if mode == "crash-amid":  # the header and half an array
        sys.stdout.buffer.write(good[:-20])
        sys.stdout.buffer.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "crash-after":
        sys.stdout.buffer.write(good)
        sys.stdout.buffer.flush()
        os._exit(3)
    if mode == "abort":
        os.abort()
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "hang":
        time.sleep(600)
    if mode == "stops":
        os.kill(os.getpid(), signal.SIGSTOP)
    if mode == "shouts":  # and never answers
        while True:
            os.write(2, b"deprecated! " * 1000)
    if mode == "hoards":  # within bounds, lest a test that fails takes the machine with it
        hoard = [b"x" * 2**24 for _ in range(64)]
        time.sleep(600)
        del hoard
    if mode == "deaf":
        sys.stdout.buffer.write(good)
        sys.stdout.buffer.flush()
        os.close(0)
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
    if mode == "flood-after":
        sys.stdout.buffer.write(good)
        while True:
            sys.stdout.buffer.write(b"spam " * 10_000)
    if mode == "header-without-end":
        return (2**63).to_bytes(8, "little") + good[8:]
    if mode == "header-awaited":
        return (2**20).to_bytes(8, "little") + good[8:]
    if mode == "cut":
        return good[:-8]
    if mode in ("truncated", "overlapping", "twice-named", "stray", "gap"):
        return rewritten(mode, good)
    if mode == "big-endian":
        return write_gradients(case.id, replace(g, dW=(g.dW[0].byteswap(),), db=(g.db[0].byteswap(),)), ABOUT)
    if mode == "nan":
        return write_gradients(case.id, replace(g, dW=(g.dW[0] * float("nan"),)), ABOUT)
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
    if mode == "colourful":
        return write_gradients(case.id, g, {**ABOUT, "version": "\x1b[31m13\ud800\0\n", "flags": ["-O3"]})
    if mode == "wrong-id":
        return write_gradients("0" * 16, g, ABOUT)
    if mode == "twice":
        return good + good
    if mode == "out-of-order":
        following = read_one(sys.stdin.buffer.read, 2**30)
        assert following is not None
        following_case = read_case(following)
        return write_gradients(following_case.id, backprop(following_case), ABOUT) + good
    if mode == "unsupported":
        return write_message("unsupported", case.id, "no such\nfunction \x1b[1mhere", ABOUT)
    if mode == "error":
        print("Traceback: deep down", file=sys.stderr, flush=True)
        return write_message("error", case.id, "ValueError: boom", ABOUT)
    return good


def main(mode: str) -> None:
    held = []
    while (asked := read_one(sys.stdin.buffer.read, 2**30)) is not None:
        case = read_case(asked)
        answer = write_gradients(case.id, backprop(case), ABOUT)
        if "DIARY" in os.environ:
            with open(os.environ["DIARY"], "a") as diary:
                print(os.getpid(), case.id, file=diary)
        if case.x[0, 0] == UNLUCKY:
            answer = unlucky(mode.removesuffix("-slowly"), case, answer)
        if mode.endswith("-slowly"):
            time.sleep(0.02)
        held.append(answer)
        if mode != "bursts" or len(held) == 20:
            sys.stdout.buffer.write(b"".join(held))
            sys.stdout.buffer.flush()
            held.clear()


if __name__ == "__main__":
    main(sys.argv[1])
