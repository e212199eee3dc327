"""The document, wire format version 1: one safetensors blob for a message, a vector and a bug report alike.

A document is 8 bytes little-endian header length, a JSON header and raw little-endian arrays. Strings ride
in ``__metadata__``: ``gradparity`` (the version), ``kind``, ``id``, and by kind ``architecture``,
``implementation`` or ``message``. The header says how long a document is, so a stream needs no other framing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import safetensors
from safetensors import TensorSpec

from ..reference.network import DTYPES, Architecture, Array, Case, Gradients, MalformedError, Parameters

VERSION = "1"

#: What 10,000 layers need, more than any header of ours; a longer one is no document but bytes read as a length.
LONGEST_HEADER = 4 * 2**20

#: What safetensors calls a precision when it reads and when it writes, and its numbers as they lie in a document and
#: as they lie in this machine.
_FORMATS = [
    (name, precision, DTYPES[precision].newbyteorder("<"), DTYPES[precision])
    for name, precision in (("F64", "float64"), ("F32", "float32"), ("BF16", "bfloat16"), ("F16", "float16"))
]
_READ = {name: (little, native) for name, _, little, native in _FORMATS}
_WRITTEN = {native: (name, little) for _, name, little, native in _FORMATS}


@dataclass(frozen=True)
class Document:
    """One document, taken apart: its kind, the case's id, all its metadata, and its arrays by name."""

    kind: str
    id: str
    metadata: Mapping[str, str]
    tensors: Mapping[str, Array]


def _write(kind: str, case_id: str, tensors: Mapping[str, Array], **metadata: str) -> bytes:
    strings = {"gradparity": VERSION, "kind": kind, "id": case_id, **metadata}
    arrays, specified = [], {}
    for name, given in tensors.items():
        array = np.asarray(given)
        if array.dtype not in _WRITTEN:
            raise MalformedError(f"{name} is {array.dtype}, which gradparity does not judge")
        dtype, little = _WRITTEN[array.dtype]
        # safetensors writes an array's memory as it lies: a transposed one would arrive with its values moved about.
        array = np.asarray(array, little, order="C")
        arrays.append(array)  # kept until it is written, as safetensors is given the address only
        specified[name] = TensorSpec(
            dtype=dtype, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes
        )
    return safetensors.serialize(specified, strings)


def write_case(case: Case) -> bytes:
    """Write a case."""
    note = {"regime": case.regime} if case.regime else {}
    return _write("case", case.id, case.tensors(), architecture=case.description(), **note)


def write_gradients(case_id: str, gradients: Gradients, implementation: Mapping[str, Any]) -> bytes:
    """Write an answer; ``implementation`` holds name, version, language and what the author wants shown."""
    return _write("gradients", case_id, gradients.tensors(), implementation=json.dumps(implementation))


def write_message(kind: str, case_id: str, message: str, implementation: Mapping[str, Any]) -> bytes:
    """Write an ``unsupported`` or an ``error``, with the reason for a person."""
    return _write(kind, case_id, {}, message=message, implementation=json.dumps(implementation))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON's pairs; of two with one name, readers would take different ones."""
    named = dict(pairs)
    if len(named) < len(pairs):
        raise MalformedError("not a document: its header names something twice")
    return named


_JSON = json.JSONDecoder(object_pairs_hook=_once)


@lru_cache(maxsize=1)  # read_one asks for it, and then read
def _header(text: bytes) -> dict[str, Any]:
    """Parse a header; raises MalformedError where it is none."""
    try:
        header = _JSON.decode(text.decode())
    except MalformedError:
        raise
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise MalformedError(f"not a document: its header is {text[:60]!r}")
    return header


def read(blob: bytes) -> Document:
    """Take one whole document apart; raises MalformedError with one sentence where it is not one."""
    try:
        arrays = safetensors.deserialize(blob)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise MalformedError(f"not a safetensors document: {error}") from None
    metadata = _header(blob[8 : 8 + int.from_bytes(blob[:8], "little")]).get("__metadata__") or {}
    if metadata.get("gradparity") != VERSION:
        raise MalformedError(f"not a gradparity document of version {VERSION}")
    if not metadata.get("kind") or "id" not in metadata:
        raise MalformedError("the document says neither its kind nor its id")
    # safetensors gives them in an order of chance; what is said of the first that is wrong should not change.
    tensors = {name: _array(name, raw) for name, raw in sorted(arrays)}
    return Document(metadata["kind"], metadata["id"], metadata, tensors)


def _array(name: str, raw: Mapping[str, Any]) -> Array:
    if raw["dtype"] not in _READ:
        raise MalformedError(f"{name} has dtype {raw['dtype']}, which gradparity does not judge")
    little, native = _READ[raw["dtype"]]
    try:
        array: Array = np.ndarray(raw["shape"], little, raw["data"])
    except ValueError as error:  # an empty array may claim dimensions that NumPy cannot have
        raise MalformedError(f"{name} has shape {raw['shape']}: {error}") from None
    array = array.astype(native, copy=False)
    array.setflags(write=False)  # nobody else holds these bytes, so that nobody needs to copy them
    return array


def read_case(blob: bytes) -> Case:
    """Read a case, whole; raises MalformedError where it is not one or its id is not its own."""
    document = read(blob)
    case = case_of(document)
    if case.id != document.id:
        raise MalformedError(f"the case says it is {document.id!r}, but its content is {case.id!r}")
    return case


def case_of(document: Document) -> Case:
    """Make a case of its document; raises MalformedError where it is none. The id is not looked at."""
    if document.kind != "case":
        raise MalformedError(f"the document is of kind {document.kind!r}, not a case")
    architecture, precision = _described(document.metadata.get("architecture", ""))
    named = document.tensors
    try:
        parameters = Parameters.named(named, architecture.depth)
        return Case(
            architecture, parameters, named["x"], named["y"], precision, document.metadata.get("regime", "")
        )
    except KeyError as missing:
        raise MalformedError(f"the case lacks {missing.args[0]}") from None


@lru_cache(maxsize=8)  # cases of one architecture come together
def _described(description: str) -> tuple[Architecture, str]:
    """Read what ``Case.description`` wrote: an architecture and a precision."""
    try:
        described = _JSON.decode(description)
        precision = str(described.pop("precision"))
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        raise MalformedError("the case does not say its architecture and precision") from None
    try:
        return Architecture.from_json(described), precision
    except OverflowError as error:  # JSON's integers may be longer than any float
        raise MalformedError(f"not an architecture: {error}") from None


def read_one(read_exactly: Callable[[int], bytes | memoryview], longest: int) -> bytes | None:
    """Read one document's bytes from a stream, or None at the end of it.

    ``read_exactly(n)`` gives n bytes, or fewer at end of file, which need to last until its next call only. A
    document that claims to be longer than ``longest`` bytes is refused before it is read, so that a flood cannot
    fill the memory.
    """
    start = bytes(read_exactly(8))
    if not start:
        return None
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= LONGEST_HEADER:
        raise MalformedError(f"not a document: it begins with {start!r}")
    header = bytes(read_exactly(length))
    size = _size(_header(header))
    if size > longest:
        raise MalformedError(
            f"the document claims {size} bytes, more than the {longest} that an answer may have"
        )
    body = read_exactly(size)
    if len(body) < size or len(header) < length:
        raise MalformedError("the document ends before its header says it does")
    return b"".join((start, header, body))


def _size(header: Mapping[str, Any]) -> int:
    """Give the bytes of all arrays together; raises MalformedError unless each begins where another ends.

    A header that is wrong about one place is not to be believed about where the document ends.
    """
    try:
        places = sorted(
            tuple(entry["data_offsets"]) for name, entry in header.items() if name != "__metadata__"
        )
        size = 0
        for begin, end in places:
            if begin != size or type(end) is not int or end < begin:
                raise ValueError
            size = end
    except (ValueError, LookupError, TypeError):
        raise MalformedError("not a document: its arrays do not follow one another without gaps") from None
    return size
