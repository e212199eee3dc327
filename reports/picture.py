"""A network as a picture: neurons in columns, the cost behind them, and what a finding blames marked in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..reference.backprop import flow
from ..reference.names import AXES
from ..reference.network import Architecture
from ..reference.steps import Flow, Step

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


def steps(finding: Mapping[str, Any]) -> Flow:
    """Return the steps of the network of a finding's case."""
    return flow(Architecture.from_json(finding["architecture"]), finding["batch"])


def blamed(finding: Mapping[str, Any]) -> Step:
    """Return the step that makes the array which a finding blames."""
    return steps(finding)[finding["array"]]


def picture(finding: Mapping[str, Any]) -> Picture:
    """Draw the network of a finding's case."""
    network, layers, here = finding["architecture"], finding["architecture"]["layers"], blamed(finding)
    kind, l = here.makes.kind, finding["layer"]
    of_cost = bool(finding["cost"]) or here.equation == "cost"
    product = not (finding["activation"] or of_cost or kind == "db")
    # The weights that are blamed lead from the column before their layer to it; a column's place is its layer.
    weights = _weights(steps(finding), here) if product else None
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
        wrong = place == len(entries) - 1 if of_cost else place == l and not product
        columns.append(
            _column(x + room / 2, width, tallest, words, wrong, _worst(finding, kind) if wrong else ())
        )
        x += room
    pairs = _read(steps(finding))
    lines = [(_path(columns[one], columns[other]), other == weights) for one, other in pairs]
    marked = next((one.x for one in columns if one.blamed), None)
    if marked is None:
        marked = sum(columns[place].x for place in next(pair for pair in pairs if pair[1] == weights)) / 2
    height = _TOP + tallest + 18 * max(len(words) for _, _, words in entries) + 8
    return Picture(
        x, height, columns, lines, marked, _spoken(entries, finding, of_cost, weights), _TOP + tallest + 18
    )


def _weights(flow: Flow, here: Step) -> int:
    """Return the layer of the weights that are in a product, or that it is the gradient of."""
    taken = (name.layer for step in flow.inside(here.makes) for name in step.takes if name.kind == "W")
    return next(taken, here.makes.layer)


def _read(flow: Flow) -> list[tuple[int, int]]:
    """Return which columns are read by which: layers by layers, and the last of them by the cost."""
    products = [flow[name] for name in flow if name.kind == "p"]
    return [
        *((step.takes[0].layer, step.makes.layer) for step in products),
        (len(products), len(products) + 1),
    ]


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
    """Return the place of the component's neuron in its layer."""
    axes = AXES[kind]
    return [finding["index"][axes.index("neuron")]] if "neuron" in axes else [0]


def _path(one: Column, other: Column) -> str:
    left, right = one.x + _RADIUS, other.x - _RADIUS
    return "".join(f"M{left:.0f} {a:.0f}L{right:.0f} {b:.0f}" for a in one.neurons for b in other.neurons)


def _spoken(
    entries: Sequence[tuple[str, int, Sequence[str]]],
    finding: Mapping[str, Any],
    of_cost: bool,
    weights: int | None,
) -> str:
    said = []
    for place, (_, _, words) in enumerate(entries):
        if place == weights:
            said.append("the weights in between (wrong here)")
        wrong = place == len(entries) - 1 if of_cost else weights is None and place == finding["layer"]
        said.append(", ".join(words) + (" (wrong here)" if wrong else ""))
    return "The network of the case: " + "; then ".join(said)
