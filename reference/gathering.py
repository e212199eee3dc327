"""Gathering: an index says which numbers each position sees, and who saw a number adds up what was said about it.

An index (P, K) is of positions and of what each sees: whole numbers from 0, and -1 for a zero that is not there, as
beside an image's edge. What is done here rearranges and does not compute, so that it is exact for arrays of anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .array import Array


def gathered(array: Array, index: Array, nothing: Any = 0.0) -> Array:
    """Return (..., m P, K) of an array (..., m, n): for every example and position the K numbers that it sees."""
    if array.shape[-1] <= index.max(initial=-1) or index.min(initial=0) < -1:
        raise IndexError(f"an index from {index.min()} to {index.max()} is not of {array.shape[-1]} numbers")
    if index.min(initial=0) < 0:  # -1 is the last
        beside = np.full((*array.shape[:-1], 1), nothing, array.dtype)
        array = np.concatenate([array, beside.view(type(array))], axis=-1)
    found: Array = array[..., index]
    positions, seen = index.shape
    return found.reshape(*array.shape[:-2], array.shape[-2] * positions, seen)


def matrices(array: Array, rows: int) -> Array:
    """Return (..., m, rows, n) of an array (..., m rows, n)."""
    return array.reshape(*array.shape[:-2], array.shape[-2] // rows, rows, array.shape[-1])


def rows_of(array: Array) -> Array:
    """Return (..., m rows, n) of an array (..., m, rows, n)."""
    *before, m, rows, n = array.shape
    return array.reshape(*before, m * rows, n)


@dataclass(frozen=True, eq=False)
class Uses:
    """Where each of n numbers is seen: ``places`` (n, k) in the flattened index, -1 where there are fewer than k."""

    positions: int
    places: Array

    @property
    def most(self) -> int:
        """How often the number is seen that is seen most often; 1 or less rearranges, and adds up nothing."""
        return int(self.places.shape[1])

    @property
    def somewhere(self) -> Array:
        """Which of the numbers are seen at all."""
        return np.asarray(self.places[:, 0] >= 0)

    def terms(self, array: Array, nothing: Any = 0.0) -> Array:
        """Return (..., m, n, k) of an array (..., m P, K): all that is said about each number."""
        *before, rows, seen = array.shape
        examples = rows // self.positions if self.positions else 0
        flat = array.reshape(*before, examples, self.positions * seen)
        return gathered(flat, self.places, nothing).reshape(*before, examples, *self.places.shape)


def uses(index: Array, n: int) -> Uses:
    """Find where each of n numbers is seen."""
    return _uses(np.ascontiguousarray(index, np.int64).tobytes(), index.shape, n)


@lru_cache(maxsize=64)  # cases of one architecture come together
def _uses(index: bytes, shape: tuple[int, int], n: int) -> Uses:
    seen = np.frombuffer(index, np.int64)
    if seen.max(initial=-1) >= n or seen.min(initial=0) < -1:
        raise IndexError(f"an index from {seen.min()} to {seen.max()} is not of {n} numbers")
    order = np.argsort(seen, kind="stable")[np.count_nonzero(seen < 0) :]
    counts = np.bincount(seen[order], minlength=n)
    starts = np.cumsum(counts) - counts
    places = np.full((n, max(1, int(counts.max(initial=0)))), -1)
    places[seen[order], np.arange(len(order)) - starts[seen[order]]] = order
    return Uses(shape[0], places)
