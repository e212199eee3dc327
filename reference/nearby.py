"""Nearby: the reference's own answer to a wide case, whose matrix products serve every answer that is close to it.

A link of an honest answer multiplies numbers A and B that differ from the reference's A₀ and B₀ by rounding only, and

    A B = A₀ B₀ + (A - A₀) B + A₀ (B - B₀),

of which the last two are small: by Cauchy and Schwarz no component of a product is larger than the norms of a row and a
column multiplied (rounding/given.py). So the reference takes its products once for a case, and an answer that is
judged by them takes none. One that is not close, a wrong one above all, is judged by products of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backprop import backprop
from .network import Array, Parameters
from .rounding.model import Model
from .stack import Stack


@dataclass(frozen=True)
class Near:
    """An array of the reference's own answer, and what it made of it.

    ``product`` is that of the array with what the next link multiplies it by, and ``turned`` that of its transpose:
    a^l (W^{l+1})^T; δ^l W^l and (δ^l)^T a^{l-1}.
    """

    array: Array
    product: Array | None = None
    turned: Array | None = None

    @property
    def mT(self) -> Near:
        """The transpose of every matrix."""
        return Near(self.array.mT, self.turned)


class _Noted:
    """Weights that note down every product they are in."""

    __array_ufunc__ = None  # so that ndarray @ _Noted asks it

    def __init__(self, weights: Array, products: list[Array]) -> None:
        self.weights, self.products = weights, products

    @property
    def mT(self) -> _Noted:
        return _Noted(self.weights.mT, self.products)

    def __rmatmul__(self, other: Array) -> Array:
        self.products.append(other @ self.weights)
        return self.products[-1]


def nearby(stack: Stack, arithmetic: Model) -> dict[str, Near]:
    """Answer a stack of cases in the precision of the midpoints: x as a0, a1.. and delta1.. by their names."""
    products, depth = list[Array](), stack.architecture.depth

    def better(array: Array) -> Array:
        return array.astype(arithmetic.midpoint, copy=False)

    parameters = Parameters(
        tuple(_Noted(better(W), products) for W in stack.parameters.weights),
        tuple(better(b) for b in stack.parameters.biases),
    )
    x = better(stack.x)
    with np.errstate(all="ignore"):
        own = backprop(stack.architecture, parameters, x, better(stack.y))
    assert own.a is not None
    assert own.delta is not None
    forward, back = products[:depth], products[depth:]
    found = {
        f"a{l}": Near(a, product) for l, (a, product) in enumerate(zip([x, *own.a], forward, strict=False))
    }
    for l, (delta, dW) in enumerate(zip(own.delta, own.dW, strict=True), start=1):
        found[f"delta{l}"] = Near(delta, back[depth - l] if l > 1 else None, dW)
    return found
