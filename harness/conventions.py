"""Conventions: what an implementation takes where several answers are right, as on a kink, or nobody has promised one.

They are recorded, and never judged.

    python -m gradparity.harness.conventions [IMPLEMENTATION ...]

prints them as docs/conventions.md has them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from ..adapters.modes import defaults
from ..adapters.registry import available
from ..property_tests.probes import IDENTITY, LINEAR, one_layer, probed_cost, probed_layer
from ..reference.activations import ACTIVATION_ROWS, activation
from ..reference.costs import COST_ROWS
from ..reference.network import DTYPES, Case, Cost, Gradients
from .platform import Ask, returned
from .workers import Worker


@dataclass(frozen=True)
class Convention:
    """What an implementation returns exactly at one point: the z it says it was at, σ(z) and σ′(z), or ∇C.

    All as Python writes floats (nan, inf, -0.0); empty where the answer does not hold it.
    """

    function: str
    precision: str
    at: str
    z: str
    value: str
    slope: str


@dataclass(frozen=True, eq=False)
class Points:
    """A function at points that have names: a case of one example, with a neuron for each."""

    function: str
    precision: str
    case: Case
    names: tuple[str, ...]


def kinks_of(function: str) -> tuple[float, ...]:
    """Return where an activation's slope jumps, or a cost's as a function of a, for the target it is tried with."""
    if function in ACTIVATION_ROWS:
        return activation(probed_layer(function, 1)).kinks
    row = COST_ROWS.get(function)
    return row.kinks(*row.probed) if row else ()


def _name(point: float) -> str:
    return f"{point:g}"


def all_points(precision: str) -> Iterator[Points]:
    """Return the points of every elementwise activation and every elementwise cost."""
    for activation_row in ACTIVATION_ROWS.values():
        if not activation_row.coupled:  # or its neurons would not be by themselves
            yield _points(activation_row.name, precision, activation_row.name, LINEAR, -1.0)
    for row in COST_ROWS.values():
        if not row.coupled:
            for y in row.tried_with:
                name = f"{row.name}, y = {y:g}" if len(row.tried_with) > 1 else row.name
                yield _points(name, precision, IDENTITY, probed_cost(row.name), y)


def _points(function: str, precision: str, layer: str, cost: Cost, y: float) -> Points:
    info: Any = ml_dtypes.finfo(DTYPES[precision])
    named = {_name(kink): kink for kink in kinks_of(function) if kink != 0} | {"0": 0.0, "-0": -0.0}
    named["smallest subnormal"] = float(info.smallest_subnormal)
    named["below the smallest normal"] = float(info.smallest_normal) - float(info.smallest_subnormal)
    if COST_ROWS[cost.name].on_probabilities:
        named["1"] = 1.0
    else:
        named |= {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
    z = np.array([list(named.values())]).astype(DTYPES[precision])
    case = one_layer(probed_layer(layer, z.shape[1]), cost, z, np.full(z.shape, y))
    return Points(function, precision, case, tuple(named))


def conventions(ask: Ask, precisions: Sequence[str]) -> Iterator[Convention]:
    """Write down what comes back at every point that has a name; nothing of whom does not answer."""
    asked = [(points, ask(points.case)) for precision in precisions for points in all_points(precision)]
    for points, future in asked:
        answer = future.result()
        if answer.gradients is not None:
            yield from conventions_of(points, answer.gradients)


def conventions_of(points: Points, answer: Gradients) -> Iterator[Convention]:
    """Write down what came back at each point."""
    slope = returned(answer, "slope")
    value = returned(answer, "value") if points.function in ACTIVATION_ROWS else None
    z = None if answer.z is None else np.asarray(answer.z[0])
    for i, name in enumerate(points.names):
        shown = ["" if array is None else repr(float(array[0, i])) for array in (z, value, slope)]
        yield Convention(points.function, points.precision, name, *shown)


# ------------------------------------------------------------------------------------------------ docs/conventions.md

#: What is written down in docs/conventions.md.
DOCUMENTED = ("float64", "float32")

_TITLE = """# Conventions

What the implementations return exactly on each kink, at zero, below the smallest normal number, at infinity and for
NaN: value, slope for an activation, and the slope for a cost (as a function of a, with the target 0, or 1 for the
hinges). gradparity records this and judges none of it. {parameters}.
Numbers are shown to six digits: accuracy is another matter, and is certified.

Listed is every kink, and where somebody differs from the reference. Most adapters add a Δz of zero to z, and -0 + 0 is
0, so that -0 does not arrive. What comes back at infinity and for NaN may depend on the machine's vector instructions;
these are of x86-64 with AVX-512. The rest is held to what is written here by property_tests/test_platform.py.

    python -m gradparity.harness.conventions > docs/conventions.md
"""


def _parameters() -> str:
    """Say which functions have which parameters here."""
    groups: dict[float, list[tuple[str, str]]] = {}
    for row in (*ACTIVATION_ROWS.values(), *COST_ROWS.values()):
        for name, value in row.named(row.probed).items():
            groups.setdefault(value, []).append((row.name, name))
    said = []
    for value, members in groups.items():
        *others, last = [function for function, _ in members]
        functions = f"{', '.join(others)} and {last} have" if others else f"{last} has"
        names = {name for _, name in members}
        said.append(f"{functions} {f'{names.pop()} = ' if len(names) == 1 else ''}{value:g}")
    return ", ".join(said)


def cells(found: Iterable[Convention], precision: str) -> dict[tuple[str, str], str]:
    """Return what the document shows of each function and point."""
    return {
        (one.function, one.at): ", ".join(f"{float(text):.6g}" for text in (one.value, one.slope) if text)
        for one in found
        if one.precision == precision
    }


#: The document's tables: what they show, and the points of which they do.
TABLES: dict[str, Callable[[str], bool]] = {
    "kinks and zeros": lambda at: "normal" not in at and math.isfinite(float(at)),
    "underflow": lambda at: "normal" in at,
    "infinity and NaN": lambda at: "normal" not in at and not math.isfinite(float(at)),
}


def markdown(found: Mapping[str, Sequence[Convention]], versions: Mapping[str, str]) -> str:
    """Write the document; the first implementation is the one that others are compared with."""
    lines = [
        _TITLE.format(parameters=_parameters()),
        "Measured: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
    ]
    for precision in DOCUMENTED:
        columns = [cells(conventions, precision) for conventions in found.values()]
        for title, shows in TABLES.items():
            lines += ["", f"## {precision}: {title}", "", f"| function | at | {' | '.join(found)} |"]
            lines += ["| --- " * (2 + len(found)) + "|"]
            for function, at in columns[0]:
                row = [column.get((function, at), "") for column in columns]
                kink = at in [_name(kink) for kink in kinks_of(function)]
                if shows(at) and (kink or len(set(row)) > 1):
                    lines.append(f"| {function} | {at} | {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def written(document: str, implementation: str, precision: str, table: str) -> dict[tuple[str, str], str]:
    """Read what a table of the document says of an implementation; empty where it says nothing."""
    _, _, rest = document.partition(f"## {precision}: {table}\n")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("## ")[0].splitlines() if "|" in line]
    if not rows or implementation not in rows[0]:
        return {}
    column = rows[0].index(implementation)
    return {(row[0], row[1]): row[column] for row in rows[2:]}


def main(names: Sequence[str]) -> None:
    """Print the conventions of these implementations, or of all that are installed."""
    installed = {one.name: one.version for one in available() if one.version}
    chosen = names or ["reference", *(name for name in defaults() if name in installed)]
    found: dict[str, Sequence[Convention]] = {}
    for name in chosen:
        with Worker(name, timeout=60) as worker:
            found[name] = list(conventions(worker.submit, DOCUMENTED))
    print(markdown(found, {name: installed.get(name) or "" for name in chosen}), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
