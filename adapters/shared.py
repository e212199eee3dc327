"""What gradparity and a worker of its own say to each other: messages whose arrays lie in memory that both see.

A worker that gradparity has started from its own ``serve`` need not be sent documents, as a stranger is, which either
end would copy three times and hash. A message is five numbers, a header (MessagePack), and the arrays, each from a
multiple of 64 bytes on, as this machine has them; where they are many, they are not in the pipe but in the memory.

    number   the how manieth case of this process; an answer repeats it, so that nobody needs to hash a case
    place    where the arrays lie, a case's among the cases and an answer's in the room, or -1: they follow the header
    room     in a case: where in the worker's own memory the arrays of its answer may be left, or -1, and
    length   how many bytes of them
    header   how many bytes the header has

The parent alone lends memory, and takes it back with the answer: so long may the case's arrays be looked at. Cases lie
where all its workers read them, and none can write; the room of an answer is in memory of that worker alone. The parent
copies what is in the room before it looks at it, and never asks there for more than it lent: whatever a child writes,
and whenever, it harms its own answer only.
"""

from __future__ import annotations

import math
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from ..reference.network import DTYPES, Array, Case, MalformedError
from .document import LONGEST_HEADER, Document, case_of
from .memory import LINE, ROOMS, SLOT, Memory, Shelf, padded

#: The variable in which a worker finds the descriptors of the cases' memory and of its own, or nothing where there is
#: none; without the variable, it was started by somebody else.
VARIABLE = "GRADPARITY_MEMORY"

#: The five numbers.
_HEAD = struct.Struct("<QqqQQ")

#: Arrays of at most so many bytes go through a pipe as fast as around it.
SMALL = 2**15


Dimension = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class Header(msgspec.Struct, array_like=True, frozen=True):
    """What a message says beside its arrays: a document's kind, and its strings; of a case, architecture and regime."""

    kind: Literal["case", "gradients", "unsupported", "error"]
    text: str
    note: str
    #: The name, precision and shape of each array, in the order in which they lie.
    arrays: tuple[
        tuple[str, Literal["float64", "float32", "bfloat16", "float16"], tuple[Dimension, ...]], ...
    ]


_ENCODER, _DECODER = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Header)
_PRECISIONS = {dtype: precision for precision, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Laid:
    """A header that was read, where each array begins, and how many bytes they have with what is between them."""

    header: Header
    begins: tuple[int, ...]
    size: int

    def document(self, body: bytes | Array) -> Document:
        """Give the document, whose arrays are views of these bytes. Raises MalformedError where they cannot be."""
        header, arrays = self.header, dict[str, Array]()
        for (name, precision, shape), begin in zip(header.arrays, self.begins, strict=True):
            try:
                arrays[name] = np.ndarray(shape, DTYPES[precision], body, begin)
            except (ValueError, TypeError) as error:
                # An empty array may claim dimensions that NumPy cannot have.
                raise MalformedError(f"{name} has shape {list(shape)}: {error}") from None
        if len(arrays) < len(header.arrays):
            raise MalformedError("the answer names an array twice")
        names = ("architecture", "regime") if header.kind == "case" else ("message", "implementation")
        return Document(header.kind, "", dict(zip(names, (header.text, header.note), strict=True)), arrays)


@lru_cache(maxsize=32)  # cases of one architecture have one header, and so have their answers
def laid(header: bytes) -> Laid:
    """Read a header; raises MalformedError where it is none."""
    try:
        found = _DECODER.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"not a message: {error}") from None
    begins, end = list[int](), 0
    for _, precision, shape in found.arrays:
        begins.append(end)
        end += padded(math.prod(shape) * DTYPES[precision].itemsize)
    return Laid(found, tuple(begins), end)


@dataclass(frozen=True)
class Parts:
    """A message that has not been put together: its header, and its arrays, of ``size`` bytes."""

    header: bytes
    size: int
    arrays: list[Array]

    @classmethod
    def of(cls, kind: str, text: str, note: str, named: Mapping[str, Array]) -> Parts:
        """Lay out a message. Raises MalformedError where an array is of a type that is not judged."""
        arrays = [np.asarray(array, order="C") for array in named.values()]
        header = _encoded(
            kind, text, note, tuple(named), tuple([(array.dtype, array.shape) for array in arrays])
        )
        return cls(header, laid(header).size, arrays)


@lru_cache(maxsize=32)
def _encoded(
    kind: Any, text: str, note: str, names: tuple[str, ...], arrays: tuple[tuple[Any, tuple[int, ...]], ...]
) -> bytes:
    for name, (dtype, _) in zip(names, arrays, strict=True):
        if dtype not in _PRECISIONS:
            raise MalformedError(f"{name} is {dtype}, which gradparity does not judge")
    described = tuple(
        (str(name), _PRECISIONS[dtype], shape) for name, (dtype, shape) in zip(names, arrays, strict=True)
    )
    return _ENCODER.encode(Header(kind, text, note, described))  # type: ignore[arg-type]


def _message(number: int, parts: Parts, place: int, room: int, length: int) -> bytes:
    pieces = [_HEAD.pack(number, place, room, length, len(parts.header)), parts.header]
    for array in parts.arrays if place < 0 else ():
        pieces += [array.tobytes(), b"\0" * (-array.nbytes % LINE)]
    return b"".join(pieces)


@dataclass(frozen=True)
class _Loan:
    """A case that was asked: its number, where it lies, and where how many bytes of its answer may; or -1."""

    number: int
    place: int
    room: int
    length: int


class Lender:
    """The parent's end: it asks cases, and takes the answers in turn."""

    def __init__(self, shelf: Shelf, rooms: Memory | None) -> None:
        self._shelf, self._rooms = shelf, rooms
        # How many cases were asked; how many of them had a room, and how many have one now.
        self._number = self._given = self._lent = 0
        self._loans = deque[_Loan]()

    def ask(self, case: Case, room: int) -> bytes | None:
        """Give the message for a case whose answer's arrays have ``room`` bytes, or nothing where it should wait.

        It never needs to wait for anything but an answer.
        """
        parts = Parts.of("case", case.description(), case.regime, case.tensors())
        place, answers, length = -1, -1, 0
        if self._rooms is not None and SMALL < max(parts.size, room) <= SLOT:
            if self._lent == ROOMS:
                return None
            lent = self._shelf.lend(case, parts.arrays)
            if lent is None and any(loan.place >= 0 for loan in self._loans):
                return None
            # Where other workers have all the cases' memory, there is the pipe.
            place = -1 if lent is None else lent
            answers, length = self._given % ROOMS * SLOT, room
            self._given, self._lent = self._given + 1, self._lent + 1
        self._loans.append(_Loan(self._number, place, answers, length))
        self._number += 1
        return _message(self._loans[-1].number, parts, place, answers, length)

    def close(self) -> None:
        """Take all back, once the child has ended."""
        while self._loans:
            self._take_back(self._loans.popleft())

    def _take_back(self, loan: _Loan) -> None:
        self._lent -= loan.room >= 0
        if loan.place >= 0:
            self._shelf.take_back(loan.place)

    def answer(self, read_exactly: Callable[[int], bytes | memoryview], longest: int) -> Document:
        """Take the answer to the oldest case that has none, and back what was lent with it.

        The document's arrays are the parent's own. Raises MalformedError where it is no answer to that case, or
        claims more than ``longest`` bytes; then nothing more can be read.
        """
        head = bytes(read_exactly(_HEAD.size))
        number, place, _, _, length = _HEAD.unpack(head)
        loan = self._loans[0] if self._loans else None
        if loan is None or number != loan.number or not 2 <= length <= LONGEST_HEADER:
            raise MalformedError(f"not the answer to the case in front: it begins with {head!r}")
        answer = laid(bytes(read_exactly(length)))
        if answer.size > longest:
            raise MalformedError(
                f"the answer claims {answer.size} bytes, more than the {longest} that an answer may have"
            )
        if place < 0:
            body: bytes | Array = bytes(read_exactly(answer.size))
        elif self._rooms is not None and answer.size <= loan.length:
            body = self._rooms.copy(loan.room, answer.size)
        else:
            raise MalformedError(
                f"the answer claims {answer.size} bytes of memory, of which {loan.length} were lent"
            )
        self._take_back(self._loans.popleft())
        return answer.document(body)


@dataclass(frozen=True)
class Asked:
    """A case that the parent asks, and what it says of the answer. Its arrays last until the answer was sent."""

    case: Case
    number: int
    room: int
    length: int


class Borrower:
    """The worker's end."""

    def __init__(self, cases: Memory | None, rooms: Memory | None) -> None:
        self._cases, self._rooms = cases, rooms

    def cases(self, read_exactly: Callable[[int], bytes]) -> Iterator[Asked]:
        """Read cases until end of file, also one amid a message: then the parent has died."""
        while len(head := read_exactly(_HEAD.size)) == _HEAD.size:
            number, place, room, length, header = _HEAD.unpack(head)
            text = read_exactly(header)
            if len(text) < header:
                return
            message = laid(text)
            if place >= 0 and self._cases is not None:
                document = message.document(self._cases.view(place, message.size))
            else:
                body = read_exactly(message.size)
                if len(body) < message.size:
                    return
                document = message.document(body)
            yield Asked(case_of(document), number, room, length)

    def answer(self, asked: Asked, parts: Parts) -> bytes:
        """Leave an answer's arrays in the room, where they are many and fit, and give the message."""
        if self._rooms is None or not SMALL < parts.size <= asked.length:
            return _message(asked.number, parts, -1, -1, 0)
        self._rooms.put(parts.arrays, asked.room)
        return _message(asked.number, parts, asked.room, asked.room, parts.size)


def borrowed() -> Borrower | None:
    """Give the end of a worker whose parent is gradparity, or nothing in any other process.

    Once: what the worker starts itself is nobody's worker.
    """
    given = os.environ.pop(VARIABLE, None)
    if given is None:
        return None
    descriptors = [int(one) for one in given.split()]
    if not descriptors:
        return Borrower(None, None)
    cases, rooms = descriptors
    end = Borrower(Memory(cases, write=False), Memory(rooms))
    for descriptor in descriptors:
        os.close(descriptor)
    return end
