"""Fuzzed documents at both ends: a reader reads them or raises MalformedError, soon, and keeps nothing of them.

    pytest tests/test_fuzz.py               a few thousand
    python tests/test_fuzz.py 100000        as many as you like, from a seed that may follow

Documents that are right are mutated: their bytes, their header's JSON, the JSON within that, and their arrays. A case
that was changed gets the id that it has now, or its id would be the only thing that is ever checked.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, Parameters
from gradparity.adapters import document
from gradparity.adapters.document import (
    Document,
    read,
    read_case,
    read_one,
    write_case,
    write_gradients,
    write_message,
)
from gradparity.adapters.memory import LINE, ROOMS, Shelf, offered
from gradparity.adapters.reference import Reference
from gradparity.adapters.serve import serve
from gradparity.adapters.shared import Lender, Parts
from gradparity.harness import workers
from gradparity.harness.child import BrokenError, Child
from gradparity.harness.workers import Answer, Worker, full_answer
from gradparity.reference.network import MalformedError

#: No document takes longer than this, in seconds, nor do all together keep this many bytes.
SLOWEST, KEPT = 5.0, 2**25


@dataclass(frozen=True)
class Exchange:
    """A case, its document, and the documents that may answer it."""

    case: Case
    asked: bytes
    answers: tuple[bytes, ...]


def exchange(architecture: Architecture, batch: int, precision: str) -> Exchange:
    drawn, widths = np.random.default_rng(batch), architecture.widths

    def draw(*shape: int) -> np.ndarray:
        return drawn.normal(size=shape).astype(precision)

    W = tuple(draw(n, before) for n, before in zip(widths[1:], widths[:-1], strict=True))
    case = Case(
        architecture,
        Parameters(W, tuple(map(draw, widths[1:]))),
        draw(batch, widths[0]),
        draw(batch, widths[-1]),
        precision,
    )
    full, about = Reference().gradients(case), {"name": "fuzzed", "version": "1", "language": "Python"}
    answers = (
        write_gradients(case.id, full, about),
        write_gradients(case.id, Gradients(full.dW, full.db), about),
        write_message("unsupported", case.id, "no such function", about),
        write_message("error", case.id, "ValueError: boom", about),
    )
    return Exchange(case, write_case(case), answers)


EXCHANGES = (
    exchange(Architecture(2, (Layer(1, "sigmoid"),), Cost("half_squared_error")), 1, "float64"),
    exchange(
        Architecture(3, (Layer(4, "elu"), Layer(2, "softmax")), Cost("cross_entropy"), "sum"), 5, "float32"
    ),
    exchange(Architecture(4, (Layer(3, "leaky_relu", 0.2),) * 3, Cost("huber", 0.5)), 2, "bfloat16"),
    exchange(Architecture(1, (Layer(2, "tanh"), Layer(3, "mish")), Cost("squared_error")), 3, "float16"),
)

# ------------------------------------------------------------------------------------------------ the mutations

HOSTILE: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 8, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", "1", "x", "W1", "F64", "F32", "BF16", "F8_E4M3", "I64", "float64",
    "bfloat16", "case", "gradients", "error", "sigmoid", "softmax", "elu", "huber", "sum", "\ud800", "\0", "\x1b[2J",
    "9" * 5000, [], [0], [0, 0], [0, 8], [8, 0], [-8, 0], [0, 2**62], [2**32, 2**32], [0, 2**62, 2**62], [1] * 100,
    ["a", "b"], [[]], {}, {"name": "huber"}, {"name": "huber", "delta": float("nan")}, {"dtype": "F64"},
    {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]},
    {"dtype": "F64", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}, {"width": 0, "activation": "sigmoid"},
    {"width": 1, "activation": "elu", "alpha": -1}, {"width": 10**9, "activation": "sigmoid", "self": 1},
)  # fmt: skip
LENGTHS = (
    0,
    1,
    2,
    7,
    8,
    255,
    2**16,
    2**20,
    2**22,
    2**22 + 1,
    2**31,
    2**32,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
)

Mutation = Callable[[random.Random, bytes, bytes], bytes]


def taken_apart(blob: bytes) -> tuple[Any, bytes]:
    """Give the header and the body of a document, or nothing where it is none any more."""
    length = int.from_bytes(blob[:8], "little")
    try:
        return json.loads(blob[8 : 8 + length]), blob[8 + length :]
    except (ValueError, RecursionError):
        return None, b""


def put_together(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def bits(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    changed = bytearray(blob)
    for _ in range(chance.randint(1, 8)) if changed else ():
        changed[chance.randrange(min(len(changed), chance.choice((8, 600, len(changed)))))] ^= (
            1 << chance.randrange(8)
        )
    return bytes(changed)


def truncation(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    return blob[: chance.randint(0, len(blob))]


def repetition(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    i, j, k = sorted(chance.randint(0, len(blob)) for _ in range(3))
    return blob[:j] + blob[i:j] + blob[j:] if chance.random() < 0.5 else blob[:i] + blob[k:]


def splice(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    i, j = (sorted(chance.randint(0, len(each)) for _ in range(2)) for each in (blob, other))
    return blob[: i[0]] + other[j[0] : j[1]] + blob[i[1] :]


def appendix(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    return blob + chance.choice((b"\0", b"loss: 0.69\n", blob, other, bytes(300)))


def length(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    near = int.from_bytes(blob[:8], "little") + chance.randint(-9, 9)
    return (chance.choice((*LENGTHS, near)) % 2**64).to_bytes(8, "little") + blob[8:]


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a tree of JSON, as what holds it and the key under which it does."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from places(tree[key])


def edited(chance: random.Random, tree: Any) -> Any:
    """Change a tree of JSON at one place: another value, none, one more, a wrapped or a renamed one."""
    found = list(places(tree))
    if not found or chance.random() < 0.1:
        return chance.choice(HOSTILE)
    holder, key = chance.choice(found)
    value = holder[key]
    kind = chance.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = [value]
    elif kind == 2 and isinstance(holder, dict):
        added = chance.choice(("extra", "x", "alpha", "delta", "W2", "dW9", "__metadata__", "cost"))
        holder[added] = chance.choice((value, chance.choice(HOSTILE)))
    elif kind == 3:
        holder[key] = chance.choice(found)[0]
    elif isinstance(value, int) and not isinstance(value, bool) and kind == 4:
        holder[key] = value + chance.choice((-8, -1, 1, 8))
    else:
        holder[key] = chance.choice(HOSTILE)
    return tree


def without_cycles(tree: Any) -> Any:
    try:
        return json.loads(json.dumps(tree))
    except (ValueError, RecursionError):
        return None


def header(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    tree, body = taken_apart(blob)
    return put_together(without_cycles(edited(chance, tree)), body)


def inner(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    """Change the JSON within the header: the architecture, or what is said of the implementation."""
    tree, body = taken_apart(blob)
    try:
        key = next(key for key in ("architecture", "implementation") if key in tree["__metadata__"])
        within = json.dumps(edited(chance, json.loads(tree["__metadata__"][key])))
        tree["__metadata__"][key] = within if chance.random() < 0.9 else chance.choice(("[", '{"a":')) * 2000
    except (LookupError, StopIteration, TypeError, ValueError, RecursionError):
        return blob
    return put_together(tree, body)


def text(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    """Put something into the header's text: what no serializer would write."""
    tree, body = taken_apart(blob)
    if not isinstance(tree, dict) or not tree:
        return blob
    written, name = json.dumps(tree).encode(), chance.choice(list(tree))
    again = json.dumps({name: tree[name]}).encode()[1:-1]
    nested = chance.choice((b"[", b'{"a":')) * chance.choice((10, 500, 1000, 100_000))
    closed = b"[" * 900 + b"]" * 900
    piece = chance.choice(
        (b"\xff\xfe", b"NaN", b"-Infinity", b"1e999", b"\0", b"\xed\xa0\x80", b"  ", closed, nested)
    )
    where = chance.choice([at.end() for at in re.finditer(rb"[:,{\[]", written)])
    changed = (
        b"{" + again + b"," + written[1:],
        written[:-1] + b"," + again + b"}",
        written.replace(b'"__metadata__"', b'"__meta\\u0064ata__"'),
        chance.choice((b" ", b"\xef\xbb\xbf")) + written,
        written.decode().encode(chance.choice(("utf-16", "utf-32-le"))),
    )
    if chance.random() < 0.5:
        return put_together(written[:where] + piece + written[where:], body)
    return put_together(chance.choice(changed), body)


def arrays(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    """Exchange arrays, or their values, with those of another document."""
    (tree, body), (others, foreign) = taken_apart(blob), taken_apart(other)
    if not isinstance(tree, dict) or not isinstance(others, dict):
        return blob
    kind = chance.randrange(3)
    if kind == 0:
        return put_together(tree, (foreign * len(body))[: len(body)] if foreign else body)
    if kind == 1:
        return put_together({**others, "__metadata__": tree.get("__metadata__")}, foreign)
    values = chance.choice(
        (b"\0", b"\xff", b"\0\x7c", b"\0\0\x80\x7f", b"\0\0\0\0\0\0\xf0\x7f", bytes(7) + b"\x80")
    )
    return put_together(tree, (values * len(body))[: len(body)])


MUTATIONS: tuple[Mutation, ...] = (
    bits, truncation, repetition, splice, appendix, length, header, inner, text, arrays,
    header, inner, header, inner,  # which go deepest
)  # fmt: skip


def signed(blob: bytes) -> bytes:
    """Give a case the id that it should have, if that is all it lacks."""
    try:
        read_case(blob)
    except Exception as error:  # what should not be raised is for the end to show
        own = re.search(r"but its content is '(\w{16})'", str(error))
        if own is not None:
            tree, body = taken_apart(blob)
            tree["__metadata__"]["id"] = own[1]
            return put_together(tree, body)
    return blob


def mutated(chance: random.Random, blob: bytes, other: bytes) -> bytes:
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        blob = chance.choice(MUTATIONS)(chance, blob, other)
    return signed(blob) if chance.random() < 0.9 else blob


# ----------------------------------------------------------------------------------------------------- the ends


class Received(Child):
    """A child that has written this much and then closed its output."""

    def __init__(self, blob: bytes) -> None:
        self._buffer, self._begin, self._end = bytearray(blob), 0, len(blob)
        self.silent, self.fresh = True, False

    def ending(self) -> str:
        return "the process ended"


def asking() -> Worker:
    """A worker without a process; what it receives is given to it."""
    worker = object.__new__(Worker)
    worker._timeout = worker._startup = 60.0
    worker._lender = None
    return worker


WORKER = asking()


def answered(one: Exchange, blob: bytes) -> str:
    """What a worker makes of an answer: in the protocol everything has its sentence."""
    child, case = Received(blob), one.case
    try:
        received = WORKER._receive(child, case, time.monotonic())
    except BrokenError as broken:
        return str(broken)
    if isinstance(received, MalformedError):
        return str(received)
    answer = workers._judge(received, case)
    assert isinstance(answer, Answer)
    assert (answer.outcome == "gradients") == (answer.gradients is not None)
    assert answer.message.isprintable()
    assert all(said.isprintable() for pair in answer.implementation.items() for said in pair)
    return answer.message


def read_apart(one: Exchange, blob: bytes) -> str:
    """What the reader makes of an answer that it has whole, as from a file."""
    try:
        Gradients.from_tensors(read(blob).tensors, one.case)
    except MalformedError as error:
        return str(error)
    return ""


def lent(one: Exchange, blob: bytes) -> str:
    """What a worker makes of a message from a child of its own kind, changed as the document would be."""
    chance = random.Random(blob)
    rooms = offered(ROOMS, write=True)
    assert rooms is not None
    lender = Lender(Shelf(), rooms.memory)
    lender.ask(one.case, full_answer(one.case))
    parts = Parts.of("gradients", "", "{}", read(one.answers[chance.randrange(2)]).tensors)
    tree, body = (
        msgspec.msgpack.decode(parts.header),
        b"".join(array.tobytes() + bytes(-array.nbytes % LINE) for array in parts.arrays),
    )
    text = parts.header
    if chance.random() < 0.6:
        with suppress(
            OverflowError, RecursionError, TypeError, UnicodeEncodeError
        ):  # what MessagePack cannot say
            text = msgspec.msgpack.encode(edited(chance, tree))
    place = chance.choice((-1, -1, 0, 2**62))
    numbers = (chance.choice((-1, 0, 2**62, -(2**63))), chance.choice((0, 1, 2**64 - 1)))
    head = struct.pack("<QqqQQ", chance.choice((*[0] * 20, 1, 2**63)), place, *numbers, len(text))
    message = head + text + body
    for _ in range(chance.choice((0, 0, 1, 2))):
        message = chance.choice((bits, truncation, repetition, splice, appendix))(chance, message, blob)
    worker = asking()
    worker._lender = lender
    try:
        received = worker._receive(Received(message), one.case, time.monotonic())
    except BrokenError as broken:
        return str(broken)
    assert isinstance(received, Document)
    return workers._judge(received, one.case).message


def asked(one: Exchange, blob: bytes) -> str:
    """What a reader makes of a case; what it takes is a case, and is written as it was read."""
    try:
        case = read_case(blob)
    except MalformedError as error:
        return str(error)
    assert read_case(write_case(case)).id == case.id
    return ""


def served(one: Exchange, blob: bytes) -> str:
    """What the worker loop makes of its input: documents that answer, and MalformedError where there is no case."""
    sink, refused = io.BytesIO(), ""
    try:
        with redirect_stderr(io.StringIO()):  # tracebacks of what the implementation makes of it
            serve(Reference(), io.BytesIO(one.asked + blob), sink)
    except MalformedError as error:
        refused = str(error)
    sink.seek(0)
    documents = [read(whole) for whole in iter(lambda: read_one(sink.read, 2**30), None)]
    assert documents[0].id == one.case.id
    assert {each.kind for each in documents} <= {"gradients", "unsupported", "error"}
    return refused


def worked(one: Exchange, blob: bytes) -> str:
    """What a whole worker makes of a program that writes this, whatever it is asked."""
    with tempfile.NamedTemporaryFile() as program:
        program.write(blob)
        program.flush()
        with Worker(f"exec:cat {program.name}", timeout=60.0) as worker:
            answer = worker.submit(one.case).result(timeout=120)
    assert (answer.outcome == "gradients") == (answer.gradients is not None)
    return answer.message


#: What is made of a document at one end.
End = Callable[[Exchange, bytes], str]
#: Each end, what comes to it, and one in how many documents.
ENDS: dict[str, tuple[End, str, int]] = {
    "answered": (answered, "answer", 1),
    "read_apart": (read_apart, "answer", 1),
    "lent": (lent, "answer", 1),
    "worked": (worked, "answer", 40),
    "asked": (asked, "case", 1),
    "served": (served, "case", 1),
}


# --------------------------------------------------------------------------------------------------- the fuzzer


@dataclass
class Report:
    """What came of it: how many documents, in what time, how slow the slowest, how many bytes stayed."""

    documents: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    kept: int = 0
    #: How many were taken, and how many refused, by the first words of the sentence.
    sentences: Counter[str] = field(default_factory=Counter)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fuzz(end: End, kind: str, n: int, seed: int = 0) -> Report:
    """Give n mutated documents to an end; raises AssertionError with the first that it does not bear."""
    report, chance, before, began = Report(), random.Random(seed), 0, time.perf_counter()
    for i in range(n):
        if i == n // 4:  # caches are full, and the allocator has what it needs
            before = resident()
        one, another = chance.choice(EXCHANGES), chance.choice(EXCHANGES)
        blob, other = (
            (one.asked, another.asked)
            if kind == "case"
            else map(chance.choice, (one.answers, another.answers))
        )
        blob, since = mutated(chance, blob, other), time.perf_counter()
        try:
            sentence = end(one, blob)
        except Exception as escaped:
            raise AssertionError(
                f"{end.__name__}, seed {seed}, document {i}: {escaped!r}: {blob!r}"
            ) from escaped
        report.slowest = max(report.slowest, time.perf_counter() - since)
        report.sentences[" ".join(sentence.split()[:3]) or "taken"] += 1
    report.documents, report.seconds, report.kept = n, time.perf_counter() - began, resident() - before
    assert report.slowest < SLOWEST, f"{end.__name__}, seed {seed}: {report.slowest:.1f} s for one document"
    assert report.kept < KEPT, f"{end.__name__}, seed {seed}: {report.kept} bytes stayed"
    return report


@pytest.mark.parametrize("name", ENDS)
def test_an_end_bears_whatever_comes(name: str) -> None:
    end, kind, share = ENDS[name]
    report = fuzz(end, kind, 2000 // share)
    assert report.documents == 2000 // share
    # What comes is neither all refused nor all for one reason, or little would have been tried.
    assert report.sentences["taken"] > report.documents / 20
    assert len(report.sentences) > 5
    assert max(report.sentences.values()) < 0.9 * report.documents


def test_the_fuzzer_finds_what_lets_another_exception_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(name: str, raw: dict[str, Any]) -> np.ndarray:
        return np.frombuffer(raw["data"], {"F64": "<f8", "F32": "<f4"}[raw["dtype"]]).reshape(raw["shape"])

    monkeypatch.setattr(document, "_array", careless)
    for name in ("answered", "read_apart", "asked", "served"):
        end, kind, _ = ENDS[name]
        with pytest.raises(AssertionError, match=f"{name}, seed 0, document .* KeyError"):
            fuzz(end, kind, 1000)


def test_the_fuzzer_finds_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SLOWEST", 0.05)

    def slow(one: Exchange, blob: bytes) -> str:
        time.sleep(0.06 if b"1e999" in blob else 0)
        return read_apart(one, blob)

    fuzz(read_apart, "answer", 1000)
    with pytest.raises(AssertionError, match=r"slow, seed 0: 0\.1 s for one document"):
        fuzz(slow, "answer", 1000)


def test_the_fuzzer_finds_what_keeps_documents() -> None:
    kept = []

    def hoarding(one: Exchange, blob: bytes) -> str:
        kept.append(bytes(range(256)) * 2000)  # more than a process may have had free before
        return read_apart(one, blob)

    with pytest.raises(AssertionError, match=r"hoarding, seed 0: .* bytes stayed"):
        fuzz(hoarding, "answer", 1000)


def test_the_fuzzer_repeats_itself() -> None:
    first, second, other = (fuzz(read_apart, "answer", 300, seed) for seed in (5, 5, 6))
    assert first.sentences == second.sentences != other.sentences


def main(n: int, seed: int) -> None:
    for name, (end, kind, share) in ENDS.items():
        report = fuzz(end, kind, n // share, seed)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(
            f"{name}: {report.documents} documents in {report.seconds:.0f} s, the slowest in "
            f"{report.slowest * 1e3:.0f} ms; {report.kept / 2**20:.1f} MiB stayed, {peak:.0f} MiB at most; "
            f"{report.sentences['taken']} taken, {len(report.sentences)} ways to be refused"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
