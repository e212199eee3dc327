"""Test vectors: frozen cases with their intervals and exact values as documents, for use without gradparity.

index.json                    every vector in the order in which it is asked, and what each flag means
index.schema.json             the index's JSON Schema
cases/ID.safetensors          what a program is asked, byte for byte
expected/ID.safetensors       for every array of an answer NAME, the exact value; NAME.low and NAME.high, the interval
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..adapters.document import VERSION, write_case
from ..reference.backprop import flow
from ..reference.enclosure import enclose
from ..reference.exact import BITS, MOST_BITS, exact_gradients
from ..reference.interval import Interval
from ..reference.network import Array, Case
from ..reference.shapes import shapes
from .vector_cases import VECTORS, Vector
from .vector_flags import FLAGS, Asked, flags_of

_FOLDERS = {"case": "cases", "expected": "expected"}

#: Of index.json and of the documents under expected/.
FORMAT = 1

#: What a checker has to know; written into the index, so that a folder explains itself.
RULES = (
    "A program reads case documents from standard input and writes one answer document for each to standard output.",
    "Vectors are asked in the order of this list, in one process: some show only what is kept from the vector before. "
    "Any of them may be asked again at any time, and the answer has to be right again.",
    "An array NAME of an answer is right where NAME.low <= it <= NAME.high in every component, each number converted "
    "to float64, which is exact. It has to have the dtype of the case's own arrays.",
    "NAME is the exact value of a component, rounded to float64. It is NaN where there is none: on a kink, where every "
    "slope between the one-sided ones is right.",
    "Where nothing is known of a component, its low is -inf and its high +inf, and any value is right there, NaN too. "
    "Everywhere else NaN is wrong.",
    "An answer has dW1.. and db1..; what else it has of cost, delta1.., z1.. and a1.. is judged as well. An answer of "
    "kind unsupported declines the vector, and is not held against anybody.",
)


class VectorsError(Exception):
    """A set of vectors that cannot be written; the message is one sentence for a person."""


def write_vectors(folder: Path, vectors: Iterable[Vector] = VECTORS) -> Mapping[str, Any]:
    """Write the frozen set and give its index. Raises VectorsError, and then nothing is written.

    The set is written beside the folder and renamed, so that it is whole wherever it is.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VectorsError(f"{folder} is there already and is not empty; name another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            written = Path(beside) / "vectors"
            index = _write(written, vectors)
            if not folder.exists():
                written.rename(folder)
                return index
            # It may be somebody's working directory, which stays where it is. The index comes last, as a closing mark.
            for name in ("cases", "expected", "index.schema.json", "index.json"):
                os.replace(written / name, folder / name)
    except OSError as error:
        raise VectorsError(f"{folder} cannot be written: {error.strerror}") from None
    return index


def _write(folder: Path, vectors: Iterable[Vector]) -> Mapping[str, Any]:
    entries, before = list[Mapping[str, Any]](), None
    for vector in vectors:
        case = vector.case()
        if case.id != vector.id:
            raise VectorsError(
                f"with NumPy {np.__version__} the vector {vector.id} comes out as {case.id}, which is not the frozen "
                "one; install the versions in constraints.txt"
            )
        documents = {"case": write_case(case), "expected": expected(case)}
        entries.append(
            {
                "id": case.id,
                "summary": summary(case),
                "precision": case.precision,
                "architecture": case.architecture.to_json(),
                "batch": case.batch,
                "values": case.regime,
                "flags": flags_of(Asked(case, before)),
                "arrays": in_order(case),
                **{kind: _file(folder, f"{_FOLDERS[kind]}/{case.id}.safetensors", canonical(document))
                   for kind, document in documents.items()},
            }
        )  # fmt: skip
        before = case
    index = {
        "format": FORMAT,
        "gradparity": metadata.version("gradparity"),
        "rules": RULES,
        "flags": {flag.name: flag.to_json() for flag in FLAGS},
        "vectors": entries,
    }
    _file(folder, "index.schema.json", Path(__file__).with_name("vectors.schema.json").read_bytes())
    _file(folder, "index.json", json.dumps(index, indent=1, ensure_ascii=False).encode())
    return index


def _file(folder: Path, name: str, content: bytes) -> Mapping[str, str]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest()}


def canonical(document: bytes) -> bytes:
    """Order a document's header; the safetensors library writes metadata in another order every time."""
    length = int.from_bytes(document[:8], "little")
    header = json.loads(document[8 : 8 + length])
    strings = dict(sorted(header.pop("__metadata__").items()))
    arrays = dict(sorted(header.items(), key=lambda entry: entry[1]["data_offsets"]))
    text = json.dumps({"__metadata__": strings, **arrays}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned, as the library has them
    return len(text).to_bytes(8, "little") + text + document[8 + length :]


def summary(case: Case) -> str:
    """Tell a case in one line."""
    network = case.architecture
    layers = "".join(f" -> {layer.width} {layer.activation}" for layer in network.layers)
    examples = f"{case.batch} example{'s' * (case.batch > 1)}"
    return (
        f"{network.inputs}{layers}, {network.cost.name} ({network.reduction}), {examples}, {case.precision}"
    )


def in_order(case: Case) -> dict[str, list[int]]:
    """Return the shape of every array of an answer, in an order of a computation: the first that is wrong says most.

    Errors come before all gradients, so that a wrong error is met where it is made.
    """
    place = case.architecture, case.batch
    order = sorted(flow(*place).answered, key=lambda name: name.kind in ("db", "dW"))
    return {name: list(shapes(*place)[name]) for name in order}


def expected(case: Case) -> bytes:
    """Write the document with the exact values and the intervals of a case.

    Raises VectorsError where an exact value lies outside its interval, which would be a defect of gradparity.
    """
    arrays: dict[str, Array] = {}
    exact = exact_bounds(case)
    for name, interval in enclose(case).items():
        low, high = outward(interval)
        least, most = exact[name]
        if np.any(least > high) or np.any(most < low):
            raise VectorsError(f"the exact {name} of case {case.id} lies outside its interval")
        arrays |= {name: np.where(least == most, least, np.nan), f"{name}.low": low, f"{name}.high": high}
    strings = {"gradparity": VERSION, "kind": "expected", "id": case.id, "precision": case.precision}
    return safetensors.numpy.save(
        {name: np.asarray(array, np.float64, order="C") for name, array in arrays.items()}, metadata=strings
    )


def outward(interval: Interval) -> tuple[Array, Array]:
    """Give the ends in float64, rounded so that the interval never shrinks; infinite where nothing is known."""
    ends = [
        _ends(Fraction(*mid.as_integer_ratio()), Fraction(*rad.as_integer_ratio()))
        if np.isfinite(mid) and np.isfinite(rad)
        else (-math.inf, math.inf)
        for mid, rad in zip(np.ravel(interval.mid), np.ravel(interval.rad), strict=True)
    ]
    low, high = np.array(ends, np.float64).reshape(-1, 2).T
    return low.reshape(np.shape(interval.mid)), high.reshape(np.shape(interval.mid))


def _ends(mid: Fraction, rad: Fraction) -> tuple[float, float]:
    low, high = nearest(mid - rad), nearest(mid + rad)
    if low > mid - rad:
        low = math.nextafter(low, -math.inf)
    if high < mid + rad:
        high = math.nextafter(high, math.inf)
    return low, high


def nearest(exact: Fraction) -> float:
    """Round to float64, and to an infinity beyond it."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def exact_bounds(case: Case) -> dict[str, tuple[Array, Array]]:
    """Give the least and the most that every component can be, by arbitrary precision, each rounded to float64.

    They are equal once enough bits were spent, but not on a kink, where the exact value is a range.
    """
    bits, before = BITS, np.array(np.nan)
    while True:
        bounds = {
            name: (_rounded(balls, -1), _rounded(balls, 1))
            for name, balls in exact_gradients(case, bits).items()
        }
        gaps = np.concatenate([np.ravel(_gap(least, most)) for least, most in bounds.values()])
        if np.all((gaps == 0) | (gaps >= before / 2)) or bits >= MOST_BITS:
            return bounds
        bits, before = bits * 4, gaps


def _gap(least: Array, most: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(least == most, 0.0, most - least)


def _rounded(balls: Array, side: int) -> Array:
    """Round one end of every ball to the nearest float64; an end of a ball that is not finite is infinite."""
    ends = [
        nearest(_dyadic(ball.mid()) + side * _dyadic(ball.rad())) if ball.is_finite() else side * math.inf
        for ball in np.ravel(balls)
    ]
    return np.array(ends, np.float64).reshape(np.shape(balls))


def _dyadic(exact: Any) -> Fraction:
    mantissa, exponent = (int(part) for part in exact.man_exp())
    return mantissa * Fraction(2) ** exponent
