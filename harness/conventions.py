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
from ..property_tests.probes import ON_PROBABILITIES, one_layer, probed_layer
from ..reference.activations import activation
from ..reference.coupled import Coupled
from ..reference.network import ACTIVATIONS, COSTS, DTYPES, Case, Cost, Gradients
from .platform import Ask, returned
from .workers import Worker

#: Where a cost's slope jumps as a function of a, for the target it is tried with.
COST_KINKS = {"absolute_error": (0.0,), "huber": (-1.0, 1.0), "hinge": (1.0,), "squared_hinge": (1.0,)}

#: Costs whose conventions depend on the target: it is tried with both.
_BOTH_TARGETS = (*ON_PROBABILITIES, "binary_cross_entropy_with_logits")


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
    """Give where the slope of an activation jumps, or a cost's as a function of a, for the target it is tried with."""
    if function in ACTIVATIONS:
        return activation(probed_layer(function, 1)).kinks
    return COST_KINKS.get(function, ())


def _name(point: float) -> str:
    return f"{point:g}"


def all_points(precision: str) -> Iterator[Points]:
    """Give the points of every elementwise activation and every elementwise cost."""
    for name in ACTIVATIONS:
        if not isinstance(
            activation(probed_layer(name, 1)), Coupled
        ):  # its neurons would not be by themselves
            yield _points(name, precision, name, Cost("negative_log_likelihood"), -1.0)
    for name in COSTS:
        if name in _BOTH_TARGETS:
            for y in (0.0, 1.0):
                yield _points(f"{name}, y = {y:g}", precision, "identity", Cost(name), y)
        elif name != "softmax_cross_entropy":
            yield _points(name, precision, "identity", Cost(name), 1.0 if "hinge" in name else 0.0)


def _points(function: str, precision: str, layer: str, cost: Cost, y: float) -> Points:
    info: Any = ml_dtypes.finfo(DTYPES[precision])
    named = {_name(kink): kink for kink in kinks_of(function) if kink != 0} | {"0": 0.0, "-0": -0.0}
    named["smallest subnormal"] = float(info.smallest_subnormal)
    named["below the smallest normal"] = float(info.smallest_normal) - float(info.smallest_subnormal)
    if cost.name in ON_PROBABILITIES:
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
    value = returned(answer, "value") if points.function in ACTIVATIONS else None
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
hinges). gradparity records this and judges none of it. leaky_relu and celu have alpha = 0.3, elu and huber have 1.
Numbers are shown to six digits: accuracy is another matter, and is certified.

Listed is every kink, and where somebody differs from the reference. Most adapters add a Δz of zero to z, and -0 + 0 is
0, so that -0 does not arrive. What comes back at infinity and for NaN may depend on the machine's vector instructions;
these are of x86-64 with AVX-512. The rest is held to what is written here by property_tests/test_platform.py.

    python -m gradparity.harness.conventions > docs/conventions.md
"""


def cells(found: Iterable[Convention], precision: str) -> dict[tuple[str, str], str]:
    """Give what the document shows of each function and point."""
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
        _TITLE,
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
