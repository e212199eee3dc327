"""How close to the edge is what agrees: margins as tables, and packed for the page's charts."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .aggregates import BINS_A_DECADE, LOWEST, Aggregates, Grouped

#: Shares of the verdicts, at which a margin is told.
_SHARES = (0.5, 0.9, 0.99)

Whose = tuple[str, str]


@dataclass(frozen=True)
class Spread:
    """The margins of one implementation in one precision: how many, and what the given shares stay below."""

    implementation: str
    precision: str
    rows: int
    #: Of verdicts that are exact, or nearly: no margin that a chart could show.
    exact: float
    below: Sequence[float]
    worst: float


@dataclass(frozen=True)
class Table:
    """Worst margins by something, a row for each implementation and precision; None where nothing was judged."""

    columns: Sequence[Any]
    rows: Sequence[tuple[str, str, Sequence[float | None]]]


@dataclass(frozen=True)
class Agreement:
    """What the view shows: tables for everybody, and the data of the charts, compressed."""

    spreads: Sequence[Spread]
    depths: Table
    widths: Table
    activations: Sequence[str]
    costs: Sequence[str]
    #: By activation and cost, the worst of everybody's margins.
    heat: Mapping[str, Sequence[float | None]]
    packed: str


def agreement(found: Aggregates, settings: Mapping[str, Any]) -> Agreement:
    """Arrange what the rows come to."""
    order = {name: place for place, name in enumerate(settings["implementations"])}
    whose = sorted(
        {(one["implementation"], one["precision"]) for one in found.margins},
        key=lambda one: (order.get(one[0], len(order)), settings["precisions"].index(one[1])),
    )
    curves: dict[Whose, list[tuple[int, int, float]]] = defaultdict(list)
    for one in found.margins:
        curves[one["implementation"], one["precision"]].append((one["bin"], one["rows"], one["margin"]))
    activations = [
        name for name in settings["activations"] if any(one["activation"] == name for one in found.pairs)
    ]
    costs = [name for name in settings["costs"] if any(one["cost"] == name for one in found.pairs)]
    heats = {key: _heat(found.pairs, key, activations, costs) for key in whose}
    everybody = _heat(found.pairs, None, activations, costs)
    depths, widths = _table(found.depths, "depth", whose), _table(found.widths, "width", whose)
    packed = {
        "whose": whose,
        "lowest": LOWEST / BINS_A_DECADE,
        "curves": [_curve(curves[key]) for key in whose],
        "depths": {"columns": depths.columns, "rows": [row[2] for row in depths.rows]},
        "widths": {"columns": widths.columns, "rows": [row[2] for row in widths.rows]},
        "activations": activations,
        "costs": costs,
        "heats": [[margin for row in heats[key] for margin in row] for key in whose],
    }
    return Agreement(
        [_spread(key, sorted(curves[key])) for key in whose], depths, widths, activations, costs,
        dict(zip(activations, everybody, strict=True)), pack(packed),
    )  # fmt: skip


def pack(data: object) -> str:
    """Compress data for the page; base64 has no character that HTML takes for its own."""
    written = json.dumps(data, separators=(",", ":"), allow_nan=False).encode(errors="replace")
    return base64.b64encode(gzip.compress(written, mtime=0)).decode()


def _curve(bins: list[tuple[int, int, float]]) -> list[tuple[float, float]]:
    """Give the empirical distribution: the logarithm of a margin, and the share of verdicts that is at most that."""
    total, below, points = sum(rows for _, rows, _ in bins), 0, []
    for place, rows, _ in sorted(bins):
        below += rows
        points.append((place / BINS_A_DECADE, round(below / total, 5)))
    return points


def _spread(key: Whose, bins: list[tuple[int, int, float]]) -> Spread:
    total, worst = sum(rows for _, rows, _ in bins), max(margin for _, _, margin in bins)

    def at(share: float) -> float:
        below = 0
        for _, rows, margin in bins:
            below += rows
            if below >= share * total:
                return margin
        return worst

    exact = sum(rows for place, rows, _ in bins if place == LOWEST) / total
    return Spread(*key, total, exact, [at(share) for share in _SHARES], worst)


def _table(grouped: Grouped, key: str, whose: Sequence[Whose]) -> Table:
    columns = sorted({one[key] for one in grouped})
    worst = {(one["implementation"], one["precision"], one[key]): _three(one["margin"]) for one in grouped}
    return Table(columns, [(*one, [worst.get((*one, column)) for column in columns]) for one in whose])


def _heat(
    pairs: Grouped, key: Whose | None, activations: Sequence[str], costs: Sequence[str]
) -> list[list[float | None]]:
    worst: dict[tuple[str, str], float] = {}
    for one in pairs:
        if key in (None, (one["implementation"], one["precision"])):
            place = (one["activation"], one["cost"])
            worst[place] = max(worst.get(place, 0.0), _three(one["margin"]))
    return [[worst.get((activation, cost)) for cost in costs] for activation in activations]


def _three(margin: float) -> float:
    """Round down, so that 1 is the edge itself."""
    return math.floor(margin * 1000) / 1000
