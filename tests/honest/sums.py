"""Ways to add up: products and sums of the same terms in other orders, precisions and layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: Contracts (m, k) with (k, n).
Contract = Callable[[Array, Array], Array]


def _terms(A: Array, B: Array) -> list[Array]:
    """Return the k outer products that A B is the sum of."""
    return [A[:, k, None] * B[None, k, :] for k in range(A.shape[1])]


def _none(A: Array, B: Array) -> Array:
    return np.zeros((A.shape[0], B.shape[1]), A.dtype)


def _added(terms: Iterable[Array], start: Array) -> Array:
    return reduce(lambda total, term: total + term, terms, start)


def in_order(A: Array, B: Array) -> Array:
    """Term after term, as the textbook's innermost loop."""
    return _added(_terms(A, B), _none(A, B))


def backwards(A: Array, B: Array) -> Array:
    """The last term first."""
    return _added(_terms(A, B)[::-1], _none(A, B))


def from_both_ends(A: Array, B: Array) -> Array:
    """The first and the last term, the second and the last but one, .."""
    terms = _terms(A, B)
    return _added((terms[i // 2 if i % 2 == 0 else -(i // 2) - 1] for i in range(len(terms))), _none(A, B))


def pairwise(A: Array, B: Array) -> Array:
    """Halves of halves, as numpy.sum has it."""
    terms = _terms(A, B) or [_none(A, B)]
    while len(terms) > 1:
        ends = terms[len(terms) // 2 * 2 :]
        terms = [one + other for one, other in zip(terms[::2], terms[1::2], strict=False)] + ends
    return terms[0]


def in_lanes(A: Array, B: Array) -> Array:
    """Eight running sums side by side, added up in the end: what vector units do."""
    terms = _terms(A, B)
    return _added((_added(terms[lane::8], _none(A, B)) for lane in range(8)), _none(A, B))


def in_blocks(A: Array, B: Array) -> Array:
    """Products of blocks of five, added up: split-K in the precision that sums are added up in."""
    blocks = (A[:, k : k + 5] @ B[k : k + 5] for k in range(0, A.shape[1], 5))
    return _added(blocks, _none(A, B))


def compensated(A: Array, B: Array) -> Array:
    """Kahan's sum, which carries what every addition lost."""
    total, lost = _none(A, B), _none(A, B)
    for term in _terms(A, B):
        term = term - lost
        new = total + term
        lost = np.where(np.isfinite(new), (new - total) - term, 0).astype(A.dtype)
        total = new
    return total


def wide(A: Array, B: Array) -> Array:
    """In long double, rounded once."""
    return np.asarray((A.astype(np.longdouble) @ B.astype(np.longdouble)).astype(A.dtype))


def fused(A: Array, B: Array) -> Array:
    """Every product exact and every sum rounded once, as fused multiply-add has it (of float32, in float64)."""
    better = np.float64 if A.dtype == np.float32 else np.longdouble
    total = _none(A, B)
    for k in range(A.shape[1]):
        exact = A[:, k, None].astype(better) * B[None, k, :].astype(better)
        total = (total.astype(better) + exact).astype(A.dtype)
    return total


def row_by_row(A: Array, B: Array) -> Array:
    """One example at a time, each a product of a vector with a matrix."""
    return np.stack([row @ B for row in A]) if len(A) else _none(A, B)


def column_by_column(A: Array, B: Array) -> Array:
    """One neuron at a time."""
    return np.stack([A @ column for column in B.T], axis=1)


def einsum(A: Array, B: Array) -> Array:
    """numpy.einsum, whose kernel is its own."""
    return np.asarray(np.einsum("ik,kj->ij", A, B))


def in_fortran_order(A: Array, B: Array) -> Array:
    """Columns for rows in memory, so that BLAS takes another kernel."""
    return np.asarray(np.asfortranarray(A) @ np.asfortranarray(B))


def strided(A: Array, B: Array) -> Array:
    """Every other number of arrays twice as long."""
    twice = np.repeat(A, 2, axis=1)[:, ::2]
    return np.asarray(twice @ np.repeat(B, 2, axis=1)[:, ::2])


def transposed(A: Array, B: Array) -> Array:
    """(B^T A^T)^T: columns for examples."""
    return (B.T @ A.T).T


def padded(A: Array, B: Array) -> Array:
    """Padded with zeros to a multiple of 16, as kernels pad their tiles."""
    k = -A.shape[1] % 16
    return np.asarray(np.pad(A, ((0, 0), (0, k))) @ np.pad(B, ((0, k), (0, 0))))


def without_zeros(A: Array, B: Array) -> Array:
    """Terms whose left factor is 0 left out, as sparse kernels and some BLAS do: 0 times infinity adds nothing."""
    terms = (np.where(A[:, k, None] == 0, 0, A[:, k, None] * B[None, k, :]) for k in range(A.shape[1]))
    return _added(terms, _none(A, B)).astype(A.dtype)


#: Name, kind and way.
WAYS: list[tuple[str, str, Contract]] = [
    ("term after term", "order", in_order),
    ("the last term first", "order", backwards),
    ("from both ends", "order", from_both_ends),
    ("pairwise", "order", pairwise),
    ("in eight lanes", "order", in_lanes),
    ("in blocks of five", "order", in_blocks),
    ("with Kahan's compensation", "precision", compensated),
    ("in long double", "precision", wide),
    ("with fused multiply-add", "fusion", fused),
    ("one example at a time", "layout", row_by_row),
    ("one neuron at a time", "layout", column_by_column),
    ("by einsum", "layout", einsum),
    ("in Fortran order", "layout", in_fortran_order),
    ("from strided arrays", "layout", strided),
    ("with columns for examples", "layout", transposed),
    ("padded with zeros", "layout", padded),
    ("without terms of zeros", "formula", without_zeros),
]
