"""One finding with all that a person needs to believe it and to see it again: values, picture, program, document."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..adapters.document import read_case
from ..reference.network import Case, MalformedError
from .baseline import Baseline
from .causes import apart, held, number, power, short, told
from .numbers import Numbers, substituted
from .picture import Picture, picture
from .script import IDIOMS, ScriptError, script

#: A case document or a program of more bytes is left in the run's folder.
MOST_EMBEDDED = 6_000

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """What one implementation gives at the component, and how far off that is."""

    implementation: str
    value: str
    radii: str
    ulps: str
    #: How many characters are those of the exact value.
    shared: int
    blamed: bool = False


@dataclass(frozen=True)
class Evidence:
    """A finding as it is shown; ``number`` is its place in run.json, which its case file and the terminal share."""

    number: int
    open: bool
    data: Content
    told: str
    share: float
    #: The exact value and how surely it is known, to thirty digits; how many of them the result has.
    exact: str
    certainty: str
    shared: int
    relative: str
    #: The result first, then what others give.
    values: Sequence[Value]
    since: str
    picture: Picture
    numbers: Numbers | None
    #: The case document's own name, and itself as an address; empty where it is large or is not there.
    file: str
    document: str
    replay: str
    program: str
    #: Whose idiom the program is in.
    idiom: str


def evidence(
    number_: int,
    data: Content,
    content: Content,
    folder: Path | None,
    baseline: Baseline | None,
    is_open: bool,
) -> Evidence:
    """Put together what is shown of a finding; with the run's folder, what its case document tells."""
    exact, _, certainty = data["exact"].strip("[]").partition(" +/- ")
    asked = next(
        (one["cases"] for one in content["implementations"] if one["name"] == data["implementation"]), 1
    )
    blob = _document(folder, data["case"])
    case = _case(blob)
    file = PurePosixPath(data["case"]).name
    idiom = data["implementation"].partition("@")[0].partition(":")[0]
    program = _program(case, idiom, data, exact)
    values = [_value(data, data["implementation"], data["result"], exact, blamed=True)]
    values += [
        _value(data, one["implementation"], str(one["result"]), exact) for one in data.get("others") or ()
    ]
    return Evidence(
        number_, is_open, data, told(data), data["cases"] / max(1, asked), exact, certainty,
        values[0].shared, _relative(data), values, baseline.since(data) if baseline else "",
        picture(data), substituted(case, data["array"], data["index"]) if case else None, file,
        _address(blob) if case else "", f"gradparity replay {shlex.quote(file)} {shlex.quote(data['implementation'])}",
        program, idiom if program else "",
    )  # fmt: skip


def _document(folder: Path | None, file: str) -> bytes:
    """Read a case document of the run's folder; nothing where the name leads elsewhere, or to nothing."""
    if folder is None or PurePosixPath(file).parent.name != "findings" or ".." in PurePosixPath(file).parts:
        return b""
    try:
        return (folder / "findings" / PurePosixPath(file).name).read_bytes()
    except (OSError, ValueError):
        return b""


def _case(blob: bytes) -> Case | None:
    try:
        return read_case(blob) if blob else None
    except MalformedError:
        return None


def _address(blob: bytes) -> str:
    if not 0 < len(blob) <= MOST_EMBEDDED:
        return ""
    return f"data:application/octet-stream;base64,{base64.b64encode(blob).decode()}"


def _program(case: Case | None, framework: str, data: Content, exact: str) -> str:
    if case is None or framework not in IDIOMS:
        return ""
    why = f"{data['implementation']}, {data['precision']}, case {case.id}\n"
    why += f"{data['equation']} at layer {data['layer']} is wrong"
    try:
        written = script(case, framework, [(data["array"], tuple(data["index"]), exact)], why)
    except (ScriptError, LookupError):
        return ""
    return written if len(written) <= MOST_EMBEDDED else ""


def _value(data: Content, name: str, value: str, exact: str, *, blamed: bool = False) -> Value:
    off = apart(value, exact, data["precision"])
    return Value(name, value, _radii(data, value, blamed), "–" if off is None else short(off),
                 _shared_prefix(exact, value) if _alike(value, exact) else 0, blamed)  # fmt: skip


def _radii(data: Content, value: str, blamed: bool) -> str:
    if blamed:
        return short(data["margin"])
    given, mid, rad = held(value), held(data["mid"]), held(data["rad"])
    if (
        given is None
        or mid is None
        or rad is None
        or not (given.is_finite() and mid.is_finite() and rad.is_finite())
    ):
        return "–"
    return short(float(abs(given - mid) / rad)) if rad else "0" if given == mid else "infinitely many"


def _alike(one: str, other: str) -> bool:
    """Whether two values are of the same size, so that digits at the same place mean the same."""
    a, b = number(one), number(other)
    if a is None or b is None or not (a.is_finite() and b.is_finite()):
        return False
    return a.adjusted() == b.adjusted() and ("e" in one) == ("e" in other)


def _shared_prefix(one: str, other: str) -> int:
    """Count the characters with which both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _relative(data: Content) -> str:
    result, exact = held(data["result"]), number(data["exact"])
    if result is None or not exact or not (result.is_finite() and exact.is_finite()):
        return "not defined"
    try:
        return power(float(abs((result - exact) / exact)))
    except (ArithmeticError, OverflowError):
        return "not defined"
