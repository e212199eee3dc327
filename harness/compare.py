"""Two runs of the same cases: what diverges that did not, what was mended, and how far the rest moved.

A row is one array of one implementation's answer to one case. Rows are matched by their names; what either run alone
has is counted and not compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from ..reference.names import AXES, name
from ..reference.network import DTYPES, Array
from .run import read
from .shards import RunFolderError, read_shards
from .verdict import SMALLEST, SMALLEST_FUNCTIONS, Verdict

if TYPE_CHECKING:
    import pyarrow

_KEY = ("case", "implementation", "array")
_ROW = (*_KEY, "precision", "equation", "layer", "activation", "cost", "verdict", "expected", "margin", "link_margin",
        "bits", "message")  # fmt: skip


@dataclass(frozen=True)
class Version:
    """One implementation in both runs."""

    name: str
    old: str
    new: str


@dataclass
class Change:
    """Rows whose verdict changed in the same way: whose, where, how many, and the one that is farthest out."""

    implementation: str
    precision: str
    equation: str
    function: str
    old: str
    new: str
    expected: bool
    rows: int
    margin: float
    case: str
    message: str

    @property
    def regression(self) -> bool:
        """Whether this is worse than before, and nobody expects it."""
        return self.new in (Verdict.DIVERGES, Verdict.FAILED) and not self.expected


@dataclass
class Drift:
    """Rows with the same verdict, of one implementation, precision, equation and activation."""

    implementation: str
    precision: str
    equation: str
    activation: str
    rows: int
    #: How many are the same to the last bit.
    equal: int
    #: The farthest that a component moved: in units in the last place of its array's largest number, where both runs
    #: kept their answers (else None); and the largest change of a row's worst margin, in radii.
    ulps: float | None
    radii: float
    case: str
    array: str


@dataclass
class Comparison:
    """What became of the rows of two runs."""

    old: Path
    new: Path
    versions: list[Version]
    rows: int
    only_old: int
    only_new: int
    equal: int
    changes: list[Change] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    #: Whether both runs kept their answers.
    answers: bool = False

    @property
    def regressions(self) -> list[Change]:
        """Give what is worse than before."""
        return [one for one in self.changes if one.regression]


def compare(old: Path, new: Path) -> Comparison:
    """Compare two finished runs. Raises RunFolderError where one is none, or where they share no row."""
    contents, tables = (read(old), read(new)), (_rows(old), _rows(new))
    joined, only_old, only_new = _joined(*tables)
    if not joined:
        raise RunFolderError(
            f"{old} and {new} share no case: runs are compared that have the same --seed, --only and implementations"
        )
    versions = [
        {str(one.get("name")): str(one.get("version")) for one in content["implementations"]}
        for content in contents
    ]
    comparison = Comparison(
        old, new,
        [Version(name, v, versions[1][name]) for name, v in versions[0].items() if name in versions[1]],
        len(joined), only_old, only_new, sum(_same(a, b) for a, b in joined),
    )  # fmt: skip
    comparison.changes = _changes(joined)
    comparison.answers = (old / "answers").is_dir() and (new / "answers").is_dir()
    moved = [(a, b) for a, b in joined if not _same(a, b) and a["verdict"] == b["verdict"]]
    ulps = _ulps(old, new, moved) if comparison.answers else {}
    comparison.drift = _drift([(a, b) for a, b in joined if a["verdict"] == b["verdict"]], ulps)
    return comparison


Pair = tuple[dict[str, Any], dict[str, Any]]


def _rows(folder: Path) -> pyarrow.Table:
    return read_shards(folder / "verdicts", _ROW)


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["case"], row["implementation"], row["array"]


def _joined(old: pyarrow.Table, new: pyarrow.Table) -> tuple[list[Pair], int, int]:
    """Match rows; an answer that failed, or was declined, is matched with all the rows that it has in the other run."""
    before: dict[tuple[str, str, str], dict[str, Any]] = {_key(row): row for row in old.to_pylist()}
    after: dict[tuple[str, str, str], dict[str, Any]] = {_key(row): row for row in new.to_pylist()}
    pairs = [(row, after[key]) for key, row in before.items() if key in after]
    silent = {key[:2]: row for key, row in after.items() if not key[2]}
    spoke = {key[:2]: row for key, row in before.items() if not key[2]}
    only_old = [key for key in before if key not in after]
    only_new = [key for key in after if key not in before]
    pairs += [
        (before[key], {**before[key], **_silence(silent[key[:2]])}) for key in only_old if key[:2] in silent
    ]
    pairs += [
        ({**after[key], **_silence(spoke[key[:2]])}, after[key]) for key in only_new if key[:2] in spoke
    ]
    answered_old = sum(key[:2] not in silent and bool(key[2]) for key in only_old)
    answered_new = sum(key[:2] not in spoke and bool(key[2]) for key in only_new)
    return pairs, answered_old, answered_new


def _silence(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("verdict", "expected", "margin", "link_margin", "bits", "message")}


def _same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return bool(old["verdict"] == new["verdict"] and old["bits"] == new["bits"])


#: By equation and kind of array: the columns of a row that name what it goes through.
_THROUGH = {
    (SMALLEST[name].equation, name.kind): [
        column for column, function in SMALLEST_FUNCTIONS.items() if function in SMALLEST.functions(name)
    ]
    for name in SMALLEST.answered
}


def _function(row: dict[str, Any]) -> str:
    """Name what the row's equation goes through."""
    kind = next((kind for kind in AXES if row["array"] == name(kind, row["layer"])), "")
    return ", ".join(str(row[column]) for column in _THROUGH.get((row["equation"], kind), ()))


def _changes(joined: list[Pair]) -> list[Change]:
    found: dict[tuple[Any, ...], Change] = {}
    for old, new in joined:
        if old["verdict"] == new["verdict"] and old["expected"] == new["expected"]:
            continue
        margin = max(new["margin"], new["link_margin"])
        key = (new["implementation"], new["precision"], new["equation"], _function(new), old["verdict"], new["verdict"],
               bool(new["expected"]))  # fmt: skip
        if key not in found:
            found[key] = Change(*key, 0, -math.inf, "", "")
        one = found[key]
        one.rows += 1
        if margin > one.margin:
            one.margin, one.case, one.message = margin, new["case"], new["message"]
    return sorted(found.values(), key=lambda one: (not one.regression, -one.rows))


def _drift(joined: list[Pair], ulps: dict[tuple[str, str, str], float]) -> list[Drift]:
    found: dict[tuple[str, str, str, str], Drift] = {}
    for old, new in joined:
        if not new["array"]:
            continue
        key = (new["implementation"], new["precision"], new["equation"], new["activation"])
        if key not in found:
            found[key] = Drift(*key, 0, 0, None, 0.0, "", "")
        one = found[key]
        one.rows += 1
        if _same(old, new):
            one.equal += 1
            continue
        radii = max(_between(old[name], new[name]) for name in ("margin", "link_margin"))
        far = ulps.get(_key(new))
        if (far if far is not None else radii) >= (
            one.ulps if one.ulps is not None else one.radii
        ) or not one.case:
            one.case, one.array = new["case"], new["array"]
        one.radii = max(one.radii, radii)
        one.ulps = far if one.ulps is None else max(one.ulps, far or 0.0)
    return sorted(found.values(), key=lambda one: (-one.radii, -(one.ulps or 0.0), one.equal - one.rows))


def _between(old: float, new: float) -> float:
    return 0.0 if old == new else abs(new - old)


def _ulps(old: Path, new: Path, moved: list[Pair]) -> dict[tuple[str, str, str], float]:
    """Say how far the farthest component of each array moved, in units in the last place of its precision."""
    wanted = {_key(row): row["precision"] for _, row in moved}
    columns = (*_KEY, "values")
    before, after = (
        {
            _key(row): row["values"]
            for row in read_shards(folder / "answers", columns).to_pylist()
            if _key(row) in wanted
        }
        for folder in (old, new)
    )
    return {
        key: units_apart(np.array(before[key]), np.array(after[key]), precision)
        for key, precision in wanted.items()
        if key in before and key in after and len(before[key]) == len(after[key])
    }


def _kept(folder: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = read_shards(folder / "answers", columns).to_pylist()
    return kept


def units_apart(one: Array, other: Array, precision: str) -> float:
    """Say how far two arrays (float64, of numbers of a precision) lie apart: in units in the last place of the largest.

    Of the largest, and not of each component: what cancels to nearly nothing has no digits that could be kept.
    Infinite where only one of two components is finite, or they are different infinities.
    """
    with np.errstate(all="ignore"):
        alike = (one == other) | (np.isnan(one) & np.isnan(other))
        if not np.all(alike | (np.isfinite(one) & np.isfinite(other))):
            return math.inf
        off = np.where(alike, 0.0, np.abs(one - other)).max()
        size = np.where(np.isfinite(one), np.maximum(np.abs(one), np.abs(other)), 0.0).max()
    finfo = ml_dtypes.finfo(DTYPES[precision])
    unit = max(math.ldexp(float(finfo.eps), math.frexp(float(size))[1] - 1), float(finfo.smallest_subnormal))
    return float(off) / unit
