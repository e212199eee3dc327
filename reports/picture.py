"""A network as a picture: neurons in columns, the cost behind them, and what a finding blames marked in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

#: Neurons of a layer that are drawn; of a wider one the first are, and a sign that there are more.
MOST_NEURONS = 5

_ROW, _TOP, _RADIUS, _CHARACTER, _NARROWEST = 30, 40, 9, 6.7, 104


@dataclass(frozen=True)
class Column:
    """The input, a layer or the cost: its neurons from the top, and what is written below them."""

    x: float
    neurons: Sequence[float]
    #: Where the sign stands that there are more neurons; None where there are not.
    more: float | None
    words: Sequence[str]
    #: Its neurons are blamed; those at these places are the component.
    blamed: bool = False
    worst: Sequence[int] = ()


@dataclass(frozen=True)
class Picture:
    """What is drawn: columns, and between each and the next the lines as an SVG path."""

    width: float
    height: float
    columns: Sequence[Column]
    lines: Sequence[tuple[str, bool]]
    #: Where the words "wrong here" stand, and the same as a sentence for whoever does not see it.
    here: float
    spoken: str
    #: Where the first words below the columns stand.
    words: float
    radius: int = _RADIUS


def picture(finding: Mapping[str, Any]) -> Picture:
    """Draw the network of a finding's case."""
    network, layers = finding["architecture"], finding["architecture"]["layers"]
    kind, l = finding["array"].rstrip("0123456789"), finding["layer"]
    of_cost = bool(finding["cost"]) or kind == "cost"
    product = not (finding["activation"] or of_cost or kind == "db")
    # Lines are numbered as the column they begin in: those of W^l in l - 1, and δ^l comes back along those of W^{l+1}.
    line = (l if kind == "delta" else l - 1) if product else -1
    entries = [("input", network["inputs"], ["input", f"{network['inputs']} wide"])]
    for number, layer in enumerate(layers, start=1):
        entries.append(
            (layer["activation"], layer["width"], _words(layer, f"layer {number}, {layer['width']} wide"))
        )
    cost = network["cost"]
    about = f"cost, {network['reduction']} of {finding['batch']}"
    entries.append((cost["name"], 1, [cost["name"], about, *_parameters(cost, "name")]))
    tallest = min(MOST_NEURONS, max(width for _, width, _ in entries)) * _ROW
    x, columns = 0.0, list[Column]()
    for place, (_, width, words) in enumerate(entries):
        room = max(_NARROWEST, _CHARACTER * max(map(len, words)) + 16)
        blamed = place == len(entries) - 1 if of_cost else place == l and not product
        columns.append(
            _column(x + room / 2, width, tallest, words, blamed, _worst(finding, kind) if blamed else ())
        )
        x += room
    lines = [(_path(one, other), place == line) for place, (one, other) in enumerate(pairwise(columns))]
    here = next(
        (one.x for one in columns if one.blamed),
        (columns[line].x + columns[line + 1].x) / 2 if product else x / 2,
    )
    height = _TOP + tallest + 18 * max(len(words) for _, _, words in entries) + 8
    return Picture(
        x, height, columns, lines, here, _spoken(entries, finding, of_cost, line), _TOP + tallest + 18
    )


def _words(layer: Mapping[str, Any], place: str) -> list[str]:
    return [layer["activation"], place, *_parameters(layer, "width", "activation")]


def _parameters(given: Mapping[str, Any], *but: str) -> list[str]:
    return [f"{key} = {value}" for key, value in given.items() if key not in but]


def _column(
    x: float, width: int, tallest: float, words: Sequence[str], blamed: bool, worst: Sequence[int]
) -> Column:
    shown = min(width, MOST_NEURONS if width <= MOST_NEURONS else MOST_NEURONS - 1)
    top = _TOP + (tallest - min(width, MOST_NEURONS) * _ROW) / 2 + _ROW / 2
    more = top + shown * _ROW if shown < width else None
    return Column(x, [top + i * _ROW for i in range(shown)], more, words, blamed, worst)


def _worst(finding: Mapping[str, Any], kind: str) -> Sequence[int]:
    """Give the place of the component's neuron in its layer."""
    index = finding["index"]
    return index[-1:] if kind in ("z", "a", "delta", "db") else index[:1] if kind == "dW" else [0]


def _path(one: Column, other: Column) -> str:
    left, right = one.x + _RADIUS, other.x - _RADIUS
    return "".join(f"M{left:.0f} {a:.0f}L{right:.0f} {b:.0f}" for a in one.neurons for b in other.neurons)


def _spoken(
    entries: Sequence[tuple[str, int, Sequence[str]]], finding: Mapping[str, Any], of_cost: bool, line: int
) -> str:
    said = []
    for place, (_, _, words) in enumerate(entries):
        wrong = place == len(entries) - 1 if of_cost else line < 0 and place == finding["layer"]
        said.append(", ".join(words) + (" (wrong here)" if wrong else ""))
        if place == line:
            said.append("the weights in between (wrong here)")
    return "The network of the case: " + "; then ".join(said)
