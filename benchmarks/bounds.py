"""How sharp the bounds are, and what they cost.

Run it with

    python benchmarks/bounds.py [NETWORKS]

Sharpness: the smallest relative error of a single component that is caught, whichever way it goes. The component is the
one that shows it best, in a random network of up to 12 layers of up to 64 neurons; the median over the networks is
given, and the 90th percentile. End to end over all of ∂C/∂W and ∂C/∂b; by links for z, ∂C/∂b and ∂C/∂W, in units of
n u, where n is the number of terms in the sum that makes the component. In float64 and float32 each figure is tried: an
answer that is off by 1 % more is judged, and has to diverge; lower precisions have no numbers 1 % apart.

Cost: the median of interleaved runs, in units of one plain NumPy backprop of the same case.

It prints two tables and writes bounds.json beside itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import ml_dtypes
import numpy as np
from gradparity import Architecture, Case, Cost, Gradients, Layer, judge
from gradparity.adapters.reference import Reference
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference import enclosure
from gradparity.reference.enclosure import affine, enclose
from gradparity.reference.exact import exact_gradients
from gradparity.reference.interval import Interval
from gradparity.reference.links import links
from gradparity.reference.network import ACTIVATIONS, DTYPES
from rich.console import Console
from rich.progress import track
from rich.table import Table

DEEPEST, WIDEST, LARGEST_BATCH = 12, 64, 16

Smallest = tuple[float, str, tuple[int, ...]]


# -------------------------------------------------------------------------------------------------- how sharp they are


def random_network(seed: int, precision: str) -> Case:
    """A case as after initialisation, of any activations; the last layer and the cost fit each other."""
    rng = np.random.default_rng(seed)
    names = [str(rng.choice(ACTIVATIONS)) for _ in range(int(rng.integers(1, DEEPEST + 1)))]
    layers = tuple(Layer(int(rng.integers(1, WIDEST + 1)), name) for name in names)
    network = Architecture(int(rng.integers(1, WIDEST + 1)), layers, Cost("half_squared_error"))
    return case(network, int(rng.integers(1, LARGEST_BATCH + 1)), BY_NAME["ordinary"], seed, precision)


def smallest_caught(
    own: Gradients, bounds: dict[str, Interval], names: list[str], precision: str
) -> Smallest:
    """Give the smallest relative error of one component that leaves its interval, up or down; and which."""
    found: Smallest = (np.inf, "", ())
    normal = float(ml_dtypes.finfo(DTYPES[precision]).smallest_normal)
    for name in names:
        result, bound = np.asarray(own.tensors()[name]).astype(np.longdouble), bounds[name]
        with np.errstate(all="ignore"):
            error = (bound.rad + np.abs(result - bound.mid)) / np.abs(result)
        error = np.where(np.abs(result) > normal, error, np.inf)
        index = np.unravel_index(int(np.argmin(error)), error.shape)
        if error[index] < found[0]:
            found = (float(error[index]), name, tuple(int(i) for i in index))
    return found


def tried(asked: Case, own: Gradients, smallest: Smallest, chain: bool) -> bool:
    """Whether an answer that is off by 1 % more than that diverges, and is named."""
    error, name, index = smallest
    arrays = {key: np.array(array) for key, array in own.tensors().items()}
    value = arrays[name].astype(np.longdouble)
    off = asked.dtype.type(value[index] * (1 + 1.01 * error))
    spacing = abs(float(np.spacing(arrays[name][index]))) if asked.dtype.itemsize > 2 else 0.0
    if abs(float(off) - float(value[index])) < 1.01 * error * abs(float(value[index])):  # rounded inwards
        off = asked.dtype.type(float(off) + np.sign(float(value[index])) * spacing)
    arrays[name][index] = off
    judged = judge(asked, Gradients.from_tensors(arrays, asked), chain=chain)
    return str(judged.verdict) == "diverges"


def terms(asked: Case, name: str) -> int:
    """Count the terms of the sum that makes a component of z, ∂C/∂b or ∂C/∂W."""
    kind = name.rstrip("0123456789")
    return asked.architecture.widths[int(name[len(kind) :]) - 1] + 1 if kind == "z" else asked.batch


def sharpness(precision: str, networks: int) -> dict[str, Any]:
    unit = float(ml_dtypes.finfo(DTYPES[precision]).eps) / 2
    end_to_end, by_kind, failed = list[float](), dict[str, list[float]](), 0
    for seed in track(range(networks), f"sharpness in {precision}"):
        asked = random_network(seed, precision)
        own = Reference().gradients(asked)
        with np.errstate(all="ignore"):
            chain, link = enclose(asked), links(asked, own)
        gradients = [name for name in own.tensors() if name.startswith("d") and not name.startswith("delta")]
        found = smallest_caught(own, chain, gradients, precision)
        end_to_end.append(found[0])
        if np.isfinite(found[0]) and DTYPES[precision].itemsize > 2:
            failed += not tried(asked, own, found, chain=True)
        for kind in ("z", "db", "dW"):
            names = [name for name in own.tensors() if name.rstrip("0123456789") == kind]
            units = min(
                smallest_caught(own, link, [name], precision)[0] / unit / terms(asked, name) for name in names
            )
            by_kind.setdefault(kind, []).append(units)
        found = smallest_caught(own, link, gradients, precision)
        if np.isfinite(found[0]) and DTYPES[precision].itemsize > 2:
            failed += not tried(asked, own, found, chain=False)
    return {
        "precision": precision,
        "networks": networks,
        "end_to_end": {"median": median(end_to_end), "90 %": quantiles(end_to_end, n=10)[-1]},
        "links_in_n_u": {
            kind: {"median": median(units), "90 %": quantiles(units, n=10)[-1]}
            for kind, units in by_kind.items()
        },
        "not_caught": failed,
    }


# ---------------------------------------------------------------------------------------------------- what they cost


def sigmoid_network(width: int, depth: int, batch: int) -> Case:
    network = Architecture(width, (Layer(width, "sigmoid"),) * depth, Cost("half_squared_error"))
    return case(network, batch, BY_NAME["ordinary"], 0, "float64")


def balls(asked: Case) -> object:
    """The enclosure by balls alone."""
    affordable, enclosure.AFFORDABLE = enclosure.AFFORDABLE, -1
    try:
        return enclose(asked)
    finally:
        enclosure.AFFORDABLE = affordable


def seconds(functions: dict[str, Callable[[], object]], budget: float) -> dict[str, float]:
    """Run all of them in turns for some seconds, each at least once; the median of each."""
    spent: dict[str, list[float]] = {name: [] for name in functions}
    while min(map(len, spent.values())) < 3 or sum(map(sum, spent.values())) < budget:
        for name, function in functions.items():
            if spent[name] and sum(spent[name]) > budget / 3:
                continue  # so that the slow ones leave time for the others
            start = time.perf_counter()
            function()
            spent[name].append(time.perf_counter() - start)
        if all(sum(times) > budget / 10 for times in spent.values()):
            break
    return {name: median(times) for name, times in spent.items()}


def costs() -> Iterator[dict[str, Any]]:
    for width, depth, batch in ((32, 3, 32), (64, 3, 32), (256, 3, 32), (1024, 3, 32), (64, 6, 8)):
        asked = sigmoid_network(width, depth, batch)
        own = Reference().gradients(asked)
        functions: dict[str, Callable[[], object]] = {
            "plain": partial(Reference().gradients, asked),
            "links": partial(links, asked, own),
            "ball": partial(balls, asked),
        }
        if width <= 64:
            functions |= {"affine": partial(affine, asked), "arb": partial(exact_gradients, asked)}
        found = seconds(functions, 20.0)
        yield {
            "width": width,
            "depth": depth,
            "batch": batch,
            "plain_ms": 1e3 * found["plain"],
            "backprops": {name: found[name] / found["plain"] for name in functions if name != "plain"},
        }


# ----------------------------------------------------------------------------------------------------------- all of it


def main() -> None:
    """Measure, print, and write the JSON."""
    networks = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    console = Console(width=130)
    expensive = list(costs())
    table = Table(
        "width", "depth", "batch", "plain", "links", "ball", "affine", "arb", title="in plain backprops"
    )
    for one in expensive:
        shown = [
            f"{one['backprops'][name]:,.1f}" if name in one["backprops"] else ""
            for name in ("links", "ball", "affine", "arb")
        ]
        sizes = (str(one[key]) for key in ("width", "depth", "batch"))
        table.add_row(*sizes, f"{one['plain_ms']:.2f} ms", *shown)
    console.print(table)

    sharp = [sharpness(precision, networks) for precision in DTYPES]
    table = Table("precision", "end to end", "90 %", *(f"{kind} / n u" for kind in ("z", "db", "dW")), "not caught",
                  title="smallest relative error that is caught: medians")  # fmt: skip
    for one in sharp:
        units = (f"{one['links_in_n_u'][kind]['median']:.2f}" for kind in ("z", "db", "dW"))
        both = (f"{one['end_to_end'][which]:.1e}" for which in ("median", "90 %"))
        table.add_row(one["precision"], *both, *units, str(one["not_caught"]))
    console.print(table)
    Path(__file__).with_suffix(".json").write_text(
        json.dumps({"costs": expensive, "sharpness": sharp}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
