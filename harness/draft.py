"""A draft of expectations: what a run found, as a file in which only the reasons are missing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec
import tomlkit

from ..adapters.document import write_case
from ..reference.network import ACTIVATIONS
from .expectations import Expectation, Expectations
from .findings import Finding
from .recheck import Standing
from .verdict import functions_at_fault

#: Above every draft.
HEAD = "What is known to diverge. Entries with an empty reason are refused: say why each is accepted."


def write_draft(
    path: Path, expectations: Expectations, findings: Iterable[Finding], standings: Iterable[Standing]
) -> None:
    """Write what still holds, or may elsewhere, as it was, and what nobody expected without a reason.

    Cases lie beside the file. Their folder is called as the file is.
    """
    entries = list[tuple[dict[str, object], str]]()
    held = dict.fromkeys(one.expectation for one in standings if one.holds or one.expectation.not_everywhere)
    for one in held:
        kept = _kept(path, expectations, one)
        entries.append(({**msgspec.structs.asdict(one), "cases": kept}, ""))
    for finding in findings:
        if finding.expectation is None:
            entries.append((_drafted(path, finding), finding.sentence))
    path.write_text(toml(entries), encoding="utf-8")


#: The equations that a wrong slope of an activation breaks: in the last layer, and in the others.
SLOPE = ("BP1", "BP2")


def _drafted(path: Path, finding: Finding) -> dict[str, object]:
    case, broken = finding.smallest.case, finding.smallest.blamed
    functions = functions_at_fault(case.architecture, broken)
    function = next((name for name in finding.function.split(" or ") if name in functions), "")
    mark = re.sub(r"[^A-Za-z0-9]+", "-", f"{finding.implementation}-{function or finding.equation}").strip(
        "-"
    )
    return {
        "implementation": (finding.implementation,),
        "function": function,
        # A slope is in both; and who has a wrong slope may still have the right value.
        "equation": SLOPE if function in ACTIVATIONS and finding.equation in SLOPE else finding.equation,
        # z's, alone, since the equation is also that of a, and so of every function.
        "array": broken.kind if broken.kind == "z" else "",
        "precision": (finding.precision,),
        "reason": "",
        "cases": (_written(path, f"{mark[-60:]}-{case.id}.safetensors", write_case(case)),),
    }


def _kept(path: Path, expectations: Expectations, one: Expectation) -> tuple[str, ...]:
    return tuple(
        _written(path, Path(name).name, (expectations.path.parent / name).read_bytes()) for name in one.cases
    )


def _written(path: Path, name: str, document: bytes) -> str:
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(document)
    return f"{folder.name}/{name}"


def _array(name: str, value: tuple[object, ...]) -> tomlkit.items.Array:
    array = tomlkit.array()
    array.extend(value)
    return array.multiline(name == "cases" and len(value) > 1)


def toml(entries: Iterable[tuple[dict[str, object], str]], head: str = HEAD) -> str:
    """Give entries as TOML, each under its comment; what is as it would be anyway is left out."""
    document, listed = tomlkit.document(), tomlkit.aot()
    document.add(tomlkit.comment(head))
    for given, comment in entries:
        table = tomlkit.table()
        if comment:
            table.add(tomlkit.comment(" ".join(comment.split())))
        for name, value in given.items():
            if name == "reason" or value not in ("", (), False, (-math.inf, math.inf)):
                table.add(name, _array(name, value) if isinstance(value, tuple) else value)
        listed.append(table)
    document.add("expect", listed)
    return tomlkit.dumps(document)
