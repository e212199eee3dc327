"""Shapes: that of every array of an answer, read from the steps by running them on arrays that have nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from .array import Array
from .backprop import flow, named
from .network import Architecture, Parameters
from .number import Axes, Carried, Operand
from .scalar import Scalar


class Shape(Carried):
    """An array of which only the shape is known."""

    #: What amplifies an underflow needs a size; here nothing underflows.
    size = 0.0

    def __init__(self, *shape: int) -> None:
        self._shape = shape

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of every axis."""
        return self._shape

    @property
    def mT(self) -> Shape:
        """The transpose of every matrix."""
        *stack, rows, columns = self.shape
        return Shape(*stack, columns, rows)

    def _beside(self, other: Operand, /) -> Shape:
        return Shape(*np.broadcast_shapes(self.shape, () if isinstance(other, float | int) else other.shape))

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _beside

    def __matmul__(self, other: Operand, /) -> Shape:
        assert not isinstance(other, float | int)
        return Shape(*self.shape[:-1], other.shape[-1])

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Shape:
        """Sum along an axis, or over the whole of a case."""
        axes = (-2, -1) if axis is None else axis
        return Shape(*np.empty(self.shape, bool).sum(axes, keepdims=keepdims).shape)

    def _same(self) -> Shape:
        return self

    __neg__ = softmax = log_softmax = xlogx = _same

    def divided(self, m: int) -> Shape:
        """A mean has the shape of the sum."""
        return self

    def apply(self, function: Scalar, order: int, exact: Sequence[object]) -> Shape:
        """A function acts on each number by itself."""
        return self

    def in_any_order(self, upstream: object, amplification: Array | float, growth: Array | float) -> Shape:
        """The order of multiplications changes no shape."""
        return self


@lru_cache(maxsize=128)
def shapes(network: Architecture, batch: int) -> Mapping[str, tuple[int, ...]]:
    """Return the shape of every array that an answer to a batch of that size may hold, in the order of the steps."""
    weights = tuple(Shape(*network.weight_shape(l)) for l in range(1, network.depth + 1))
    parameters = Parameters(weights, tuple(Shape(layer.width) for layer in network.layers))
    x, y = Shape(batch, network.inputs), Shape(batch, network.widths[-1])
    steps = flow(network, batch)
    found = steps.run(named(parameters, x, y))
    return {name: found[name].shape for name in steps.answered}
