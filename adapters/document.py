"""The document, wire format version 1: one safetensors blob for a message, a vector and a bug report alike.

A document is 8 bytes little-endian header length, a JSON header and raw little-endian arrays. Strings ride
in ``__metadata__``: ``gradparity`` (the version), ``kind``, ``id``, and by kind ``architecture``,
``implementation`` or ``message``. The header says how long a document is, so a stream needs no other framing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from ..reference.network import DTYPES, Architecture, Array, Case, Gradients, MalformedError, Parameters

VERSION = "1"

#: No header of ours comes near this; a longer one is not a document but bytes read as a length.
LONGEST_HEADER = 16 * 2**20

_PRECISION_OF = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class Document:
    """One document, taken apart: its kind, the case's id, all its metadata, and its arrays by name."""

    kind: str
    id: str
    metadata: Mapping[str, str]
    tensors: Mapping[str, Array]


def _write(kind: str, case_id: str, tensors: Mapping[str, Array], **metadata: str) -> bytes:
    strings = {"gradparity": VERSION, "kind": kind, "id": case_id, **metadata}
    # safetensors writes an array's memory as it lies: a transposed one would arrive with its values moved about.
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return safetensors.numpy.save(arrays, metadata=strings)


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


def read(blob: bytes) -> Document:
    """Take one whole document apart; raises MalformedError with one sentence where it is not one."""
    try:
        length = int.from_bytes(blob[:8], "little")
        metadata = json.loads(blob[8 : 8 + length]).get("__metadata__") or {}
        arrays = safetensors.deserialize(blob)  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, ValueError, AttributeError, RecursionError) as error:
        raise MalformedError(f"not a safetensors document: {error}") from None
    if metadata.get("gradparity") != VERSION:
        raise MalformedError(f"not a gradparity document of version {VERSION}")
    if not metadata.get("kind") or "id" not in metadata:
        raise MalformedError("the document says neither its kind nor its id")
    return Document(
        metadata["kind"], metadata["id"], metadata, {name: _array(name, raw) for name, raw in arrays}
    )


def _array(name: str, raw: Mapping[str, Any]) -> Array:
    if raw["dtype"] not in _PRECISION_OF:
        raise MalformedError(f"{name} has dtype {raw['dtype']}, which gradparity does not judge")
    little = DTYPES[_PRECISION_OF[raw["dtype"]]].newbyteorder("<")
    try:
        array = np.frombuffer(raw["data"], little).reshape(raw["shape"])
    except ValueError as error:  # an empty array may claim dimensions that NumPy cannot have
        raise MalformedError(f"{name} has shape {raw['shape']}: {error}") from None
    return array.astype(little.newbyteorder("="), copy=False)


def read_case(blob: bytes) -> Case:
    """Read a case, whole; raises MalformedError where it is not one or its id is not its own."""
    document = read(blob)
    if document.kind != "case":
        raise MalformedError(f"the document is of kind {document.kind!r}, not a case")
    try:
        described = json.loads(document.metadata["architecture"])
        precision = str(described.pop("precision"))
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        raise MalformedError("the case does not say its architecture and precision") from None
    try:
        architecture, named = Architecture.from_json(described), document.tensors
    except OverflowError as error:  # JSON's integers may be longer than any float
        raise MalformedError(f"not an architecture: {error}") from None
    layers = range(1, architecture.depth + 1)
    try:
        parameters = Parameters(tuple(named[f"W{i}"] for i in layers), tuple(named[f"b{i}"] for i in layers))
        case = Case(
            architecture, parameters, named["x"], named["y"], precision, document.metadata.get("regime", "")
        )
    except KeyError as missing:
        raise MalformedError(f"the case lacks {missing.args[0]}") from None
    if case.id != document.id:
        raise MalformedError(f"the case says it is {document.id!r}, but its content is {case.id!r}")
    return case


def read_one(read_exactly: Callable[[int], bytes], longest: int) -> bytes | None:
    """Read one document's bytes from a stream, or None at the end of it.

    ``read_exactly(n)`` gives n bytes, or fewer at end of file. A document that claims to be longer than
    ``longest`` bytes is refused before it is read, so that a flood cannot fill the memory.
    """
    start = read_exactly(8)
    if not start:
        return None
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= LONGEST_HEADER:
        raise MalformedError(f"not a document: it begins with {start!r}")
    header = read_exactly(length)
    try:
        entries = json.loads(header)
        ends = [int(entry["data_offsets"][1]) for name, entry in entries.items() if name != "__metadata__"]
    except (ValueError, ArithmeticError, AttributeError, LookupError, TypeError, RecursionError):
        raise MalformedError(f"not a document: its header is {header[:60]!r}") from None
    size = max(ends, default=0)
    if not 0 <= size <= longest:
        raise MalformedError(
            f"the document claims {size} bytes, more than the {longest} that an answer may have"
        )
    body = read_exactly(size)
    if len(body) < size or len(header) < length:
        raise MalformedError("the document ends before its header says it does")
    return start + header + body
