"""Generators: the arrays that say how far each number moves with each symbol of a run.

They are (m, S, ...) for m rows, or matrices, of the first S symbols. So many ``positions`` of them one after the other
are an example's, and share its symbols; an example's symbols mean nothing to another's.
"""

from __future__ import annotations

import math

import numpy as np

from ..array import Array


class Symbols:
    """How many symbols a run has handed out so far."""

    count = 0


def added(one: Array, other: Array, shape: tuple[int, ...]) -> Array:
    """Add generators of the first few symbols of a run; whoever has fewer has zeros for the rest."""
    fewer, more = sorted((one, other), key=lambda generators: generators.shape[1])
    m, *case = shape
    total = np.broadcast_to(more, (m, more.shape[1], *case))
    if fewer.shape[1]:
        total = total.copy()
        total[:, : fewer.shape[1]] += fewer
    return total


def without_symbols(numbers: Array) -> Array:
    """Return the generators of numbers that have no symbols yet."""
    return np.zeros((len(numbers), 0, *numbers.shape[1:]))


def with_symbols(generators: Array, local: Array, symbols: Symbols, positions: int) -> Array:
    """Return the generators with one more symbol for each number, for its local error."""
    m, known, *case = generators.shape
    if not local.any():
        return generators
    n = math.prod(case)
    first, rows = symbols.count, np.arange(m)[:, None]
    symbols.count += positions * n
    found = np.zeros((m, first + positions * n, *case))
    found[:, :known] = generators
    each = np.arange(n)
    flat = found.reshape(m, first + positions * n, n)
    flat[rows, first + (rows % positions) * n + each, each] = local.reshape(m, n)
    return found


def by_example(generators: Array, rows: int) -> Array:
    """Return (m, S, rows, n) of (m rows, S, n)."""
    m, known, n = generators.shape
    return generators.reshape(m // rows, rows, known, n).swapaxes(1, 2)


def by_row(generators: Array) -> Array:
    """Return (m rows, S, n) of (m, S, rows, n)."""
    m, known, rows, n = generators.shape
    return generators.swapaxes(1, 2).reshape(m * rows, known, n)
