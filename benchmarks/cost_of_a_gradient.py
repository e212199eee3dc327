"""Lesson 11: a backward pass costs a small constant times a forward pass; finite differences cost one a parameter.

Run it with

    python benchmarks/cost_of_a_gradient.py
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial

import numpy as np
from gradparity import Architecture, Case, Cost, Layer, Parameters
from gradparity.reference.backprop import backprop, feedforward
from rich.console import Console
from rich.table import Table


def sigmoid_network(width: int, depth: int = 3, batch: int = 8) -> Case:
    rng = np.random.default_rng(0)
    layers = tuple(Layer(width, "sigmoid") for _ in range(depth))
    network = Architecture(width, layers, Cost("half_squared_error"))
    parameters = Parameters(
        tuple(rng.normal(0, width**-0.5, (width, width)) for _ in layers),
        tuple(rng.normal(0, 1, width) for _ in layers),
    )
    return Case(network, parameters, rng.normal(size=(batch, width)), rng.uniform(size=(batch, width)))


def seconds(function: Callable[[], object]) -> float:
    """The fastest of several, since whatever else the machine does can only make it slower."""
    number, _ = timeit.Timer(function).autorange()
    return min(timeit.repeat(function, number=number, repeat=3)) / number


def main() -> None:
    table = Table(
        "width", "parameters", "forward pass", "forward and backward", "ratio", "finite differences"
    )
    for width in (4, 16, 64, 256):
        case = sigmoid_network(width)
        given = (case.architecture, case.parameters, case.x)
        parameters = sum(W.size + b.size for W, b in case.parameters)
        forward = seconds(partial(feedforward, *given))
        both = seconds(partial(backprop, *given, case.y))
        table.add_row(
            str(width),
            f"{parameters:,}",
            f"{forward * 1e6:,.0f} µs",
            f"{both * 1e6:,.0f} µs",
            f"{both / forward:.1f}",
            f"{2 * parameters * forward:,.3f} s",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
