"""What was drawn and what was not, and where nothing could be said: so that nobody takes silence for agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..property_tests.lattices import APART, TIED
from ..property_tests.regimes import BY_NAME
from ..reference.network import ACTIVATIONS, COSTS, DTYPES
from .aggregates import Aggregates

Content = Mapping[str, Any]

#: Name, number, and share of the largest.
Bar = tuple[str, float, float]

_VERDICTS = ("agrees", "diverges", "inconclusive", "unsupported", "failed")


@dataclass(frozen=True)
class Kind:
    """One kind of what is drawn: how often each was, and which could have been and were not."""

    title: str
    bars: Sequence[Bar]
    never: Sequence[str]
    unit: str = "cases"


@dataclass(frozen=True)
class Spoken:
    """How the verdicts on cases of one kind came out, those first of which least could be said."""

    title: str
    rows: Sequence[tuple[str, Mapping[str, int], float]]


def coverage(content: Content, found: Aggregates | None) -> list[Kind]:
    """Give what was drawn of each kind."""
    drawn = content["drawn"]
    kinds = [
        _kind("activation", drawn["activation"], ACTIVATIONS),
        _kind("cost", drawn["cost"], COSTS),
        _kind("regime", drawn["regime"], (*BY_NAME, APART, TIED)),
        _kind("depth", drawn["depth"], map(str, range(1, 9))),
    ]
    if found is None:
        return kinds
    kinds.append(_kind("precision", found.precisions, DTYPES))
    kinds.append(Kind("batch size", bars(_in_powers(found.batches)), ()))
    kinds.append(Kind("width", bars(_in_powers(found.layer_widths)), (), "layers"))
    return kinds


def _kind(title: str, counted: Mapping[str, int], all_there_are: Any) -> Kind:
    return Kind(title, bars(counted), [name for name in all_there_are if not counted.get(name)])


def _in_powers(counted: Mapping[int, int]) -> dict[str, int]:
    """Put numbers together from one power of two to the next."""
    found: dict[str, int] = {}
    for number, times in sorted(counted.items()):
        if number:
            high = 1 << (number - 1).bit_length()
            name = str(high) if high < 3 else f"{high // 2 + 1}–{high}"
            found[name] = found.get(name, 0) + times
    return found


def bars(counted: Mapping[str, float]) -> list[Bar]:
    """Give name, number and share of the largest; numbers in their own order, names by how often they were drawn."""
    numeric = all(name[:1].isdecimal() for name in counted)
    names = sorted(counted, key=lambda name: int(name.split("–")[0]) if numeric else -counted[name])
    return [(name, counted[name], counted[name] / (max(counted.values()) or 1)) for name in names]


def pairs(found: Aggregates, settings: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Give, for each cost, the activations that never stood below it in the output layer."""
    return [
        (cost, [name for name in settings["activations"] if (name, cost) not in found.outputs])
        for cost in settings["costs"]
    ]


def spoken(found: Aggregates) -> list[Spoken]:
    """Give how much could be said, by regime, cost and activation."""
    tables = []
    for kind, grouped in found.verdicts.items():
        counted: dict[str, dict[str, int]] = {}
        for one in grouped:
            if one["name"]:
                counted.setdefault(one["name"], dict.fromkeys(_VERDICTS, 0))[one["verdict"]] = one["rows"]
        rows = [(name, number, _silent(number)) for name, number in counted.items() if _silent(number)]
        tables.append(Spoken(kind, sorted(rows, key=lambda row: -row[2])))
    return [one for one in tables if one.rows]


def _silent(counted: Mapping[str, int]) -> float:
    return 1 - (counted["agrees"] + counted["diverges"]) / max(1, sum(counted.values()))
