"""A worker of gradparity's own that has gone wrong: ``misbehaving_own.py MODE``.

It does to the memory and to the messages what only a worker can that was offered them. A case whose first input
is 13 is unlucky, as in misbehaving.py, whose network this is.
"""

import json
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator

import msgspec
import numpy as np
from gradparity.adapters.memory import ROOMS, SLOT
from gradparity.adapters.shared import VARIABLE, Asked, Parts, borrowed
from gradparity.tests.misbehaving import ABOUT, UNLUCKY, backprop

HEAD = struct.Struct("<QqqQQ")


def redone(message: bytes, **changes: int) -> bytes:
    """Change numbers before the document."""
    names = ("number", "place", "room", "length", "header")
    numbers = dict(zip(names, HEAD.unpack_from(message), strict=True)) | changes
    return HEAD.pack(*(numbers[name] for name in names)) + message[HEAD.size :]


def longer(message: bytes, by: int) -> bytes:
    """Let the header claim an array more, of so many bytes."""
    header = msgspec.msgpack.decode(message[HEAD.size :][: HEAD.unpack_from(message)[4]])
    header[3].append(["zz", "float64", [by // 8]])
    text = msgspec.msgpack.encode(header)
    return redone(message[: HEAD.size], header=len(text)) + text


def unlucky(mode: str, descriptor: int, asked: Asked, message: bytes, memory: np.ndarray) -> Iterator[bytes]:  # noqa: PLR0912
    """Give what to write for the unlucky case."""
    if mode == "number":
        yield redone(message, number=asked.number + 1)
    elif mode == "elsewhere":  # these numbers of an answer, nobody reads
        yield redone(message, place=2**62, room=-5, length=2**63)
    elif mode == "header-without-end":
        yield redone(message, header=2**63)
    elif mode == "claims-more-than-lent":
        yield longer(message, 2**16)
    elif mode == "claims-more-than-any":
        yield longer(message, 2**40)
    elif mode == "garbage":
        yield b"loss: 0.6931471805599453\n" * 9
    elif mode == "cut":
        yield message[:-9]
        os._exit(3)
    elif mode == "dies-amid-its-arrays":
        memory[asked.room : asked.room + asked.length // 2] = 255
        os.kill(os.getpid(), signal.SIGKILL)
    elif mode == "twice":
        yield message + message
    elif mode == "shrinks":
        try:
            os.ftruncate(descriptor, 0)
        except PermissionError:
            yield message
    elif mode == "grows":
        try:
            os.ftruncate(descriptor, 2**40)
        except PermissionError:
            yield message
    elif mode == "scribbles":  # over everything, from the case on that comes after others have been answered
        if os.fork() == 0:
            until = time.monotonic() + 3
            while time.monotonic() < until:
                for slot in range(ROOMS):
                    memory[slot * SLOT : slot * SLOT + 2**21] = 255
            os._exit(0)
        yield message
    else:
        yield message


def main(mode: str) -> None:
    _, descriptor = (os.dup(int(one)) for one in os.environ[VARIABLE].split())
    end = borrowed()
    assert end is not None
    assert end._rooms is not None
    for asked in end.cases(sys.stdin.buffer.read):
        parts = Parts.of("gradients", "", json.dumps(ABOUT), backprop(asked.case).tensors())
        message = end.answer(asked, parts)
        said = [message]
        if asked.case.x[0, 0] == UNLUCKY:
            for piece in unlucky(mode, descriptor, asked, message, end._rooms._bytes):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            said = []
        sys.stdout.buffer.write(b"".join(said))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
