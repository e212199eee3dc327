"""Lattices: arrays on which some components are the same in every correct implementation, to the last bit.

Where all terms of a sum are multiples of a quantum 2^q and their absolute values add up to less than 2^(p + q), with p
the significand bits of the precision, every partial sum in whatever order is a whole number of quanta below 2^p: the
precision holds it, and so does any wider accumulator. Nothing is rounded anywhere, so the tolerance is zero.

A Lattice behaves as an array does, so that backprop.py runs on it unchanged, and knows of each component whether it is
``certain``. Like a Ball it allows for everything that a sane implementation may do: all of an activation's formulas
must agree, sums run in any order, the mean is taken anywhere, and at a kink either slope is right, so that the slope
is not certain there, though nothing times it is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import ml_dtypes
import numpy as np

from ..backprop import backprop
from ..gathering import gathered, matrices, rows_of, uses
from ..network import Array, Case, Parameters
from ..number import Axes, Carried, Operand
from ..scalar import Piece, Scalar
from ..stack import Stack
from .balls import axes_of

#: NumPy holds certain values exactly: no precision that is judged has more bits than float64.
_BITS = 53


@dataclass(frozen=True)
class Grid:
    """What a precision holds exactly: ``bits`` of a significand, quanta from 2^least, numbers up to ``largest``.

    ``least`` is of the smallest *normal* number: frameworks may flush what is below to zero.
    """

    bits: int
    least: float
    largest: float
    #: What a constant of decimal digits is off by, in units of itself: it is rounded, and so never certain.
    unit: float = 1.0

    def constant_error(self, value: float) -> float:
        """A number is exactly itself; whether the precision holds it is seen as for any other value."""
        return 0.0

    @classmethod
    def of(cls, dtype: np.dtype[Any], divisor: int = 1, outputs: int = 1) -> Grid:
        """Return the grid of a NumPy type, for costs that are divided by ``divisor`` and of so many ``outputs``.

        An implementation may divide last where we divide first, square before it takes the half, and take the mean
        over the outputs on its way: its numbers may be as many times larger, or smaller, than ours.
        """
        info: Any = ml_dtypes.finfo(dtype)
        return cls(
            info.nmant + 1,
            info.minexp + math.log2(outputs),
            float(info.max) / (2 * divisor * outputs),
        )


class Lattice(Carried):
    """Values (float64), elementwise ``certain`` or not, in a grid.

    ``value`` is 0 where it is not certain. ``size`` is abs(value) where it is, and elsewhere what bounds every correct
    result, infinite where nothing does. ``terms`` and ``grain`` are of the sum that the array came from, the sum of its
    terms' absolute values and their common quantum's exponent: where more is added or the mean is taken, that may
    happen inside of it.
    """

    model: Grid

    def __init__(self, grid: Grid, value: Array, terms: Array, grain: Array, known: Array) -> None:
        with np.errstate(all="ignore"):
            fits = (np.frexp(terms)[1] <= grid.bits + grain) & (grain >= grid.least)
            self.certain = np.asarray(known & (fits | (terms == 0)) & (terms <= grid.largest))
            # What is rounded is off by less than its terms' sum again.
            bound = np.where(2 * terms <= grid.largest, 2 * terms, np.inf)
        self.model, self.terms, self.grain = grid, terms, grain
        self.value = np.where(self.certain, value, 0.0)
        self._size = np.where(self.certain, np.abs(self.value), bound)

    @classmethod
    def exact(cls, grid: Grid, array: Operand) -> Lattice:
        """An array that everybody is given; its quanta are the largest that fit its values."""
        given = np.asarray(array).astype(np.float64)
        finite = np.isfinite(given)
        value = np.where(finite, given, 0.0)
        return cls(grid, value, np.where(finite, np.abs(value), np.inf), quantum(value), finite)

    def _lift(self, other: Operand) -> Lattice:
        return other if isinstance(other, Lattice) else Lattice.exact(self.model, other)

    def constant(self, value: float, err: float) -> Lattice:
        """Return a constant of the same shape; one that had to be rounded is not certain."""
        full = np.full(self.shape, value)
        return Lattice(self.model, full, np.abs(full), quantum(full), np.full(self.shape, err == 0))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of every one of its arrays."""
        return self.value.shape

    @property
    def size(self) -> Array:
        """What bounds the absolute value."""
        return self._size

    @cached_property
    def quantum(self) -> Array:
        """The exponent of each value's own quantum; infinite for 0, which is a multiple of everything."""
        return quantum(self.value)

    @property
    def zero(self) -> Array:
        """Where it is 0 for certain."""
        return np.asarray(self.certain & (self.value == 0))

    @property
    def mT(self) -> Lattice:
        """The transpose of every matrix."""
        return Lattice(self.model, self.value.mT, self.terms.mT, self.grain.mT, self.certain.mT)

    def of(self, case: int) -> Lattice:
        """Return one case's of a stack's."""
        return self._rearranged(lambda array, _: array[case])

    def _rearranged(self, how: Callable[[Array, float], Array]) -> Lattice:
        """Rearrange all that is known; beside an edge it is zero, without terms, for certain."""
        value, terms, grain, certain = (
            how(array, nothing)
            for array, nothing in (
                (self.value, 0.0), (self.terms, 0.0), (self.grain, math.inf), (self.certain, True)
            )
        )  # fmt: skip
        return Lattice(self.model, value, terms, grain, certain)

    def __neg__(self) -> Lattice:
        return Lattice(self.model, -self.value, self.terms, self.grain, self.certain)

    def __add__(self, other: Operand) -> Lattice:
        o = self._lift(other)
        grain = np.minimum(self.grain, o.grain)
        return Lattice(
            self.model, self.value + o.value, self.terms + o.terms, grain, self.certain & o.certain
        )

    def __sub__(self, other: Operand) -> Lattice:
        return self + -self._lift(other)

    def __mul__(self, other: Operand) -> Lattice:
        o = self._lift(other)
        known = (self.certain & o.certain) | self.zero | o.zero
        with np.errstate(all="ignore"):  # 0 times what may be infinite is NaN, and not certain
            value, size = self.value * o.value, self._size * o._size
        return Lattice(self.model, value, size, self.quantum + o.quantum, known)

    def __truediv__(self, other: Operand) -> Lattice:
        """Divide; certain by a power of two only, since some machines multiply by the reciprocal."""
        o = self._lift(other)
        known = self.certain & o.certain & (np.abs(np.frexp(o.value)[0]) == 0.5)
        with np.errstate(all="ignore"):
            value = np.where(known, self.value / o.value, 0.0)
            size = np.where(o.certain, self.size / np.abs(o.value), np.inf)
        return Lattice(self.model, value, size, quantum(value), known)

    def __matmul__(self, other: Operand) -> Lattice:
        o = self._lift(other)
        with np.errstate(all="ignore"):
            value, size = self.value @ o.value, self.size @ o.size
        grain = (
            self.quantum.min(axis=-1, initial=np.inf)[..., None]
            + o.quantum.min(axis=-2, initial=np.inf)[..., None, :]
        )
        return Lattice(self.model, value, size, grain, self._doubts(o) == 0)

    def _doubts(self, other: Lattice) -> Array:
        """Count the terms of each component of a matrix product that are not certain."""
        mine, others = ((~one.certain).astype(np.float64) for one in (self, other))
        return np.asarray(mine @ (~other.zero).astype(np.float64) + (~self.zero).astype(np.float64) @ others)

    def __radd__(self, other: Operand) -> Lattice:
        return self._lift(other) + self

    def __rsub__(self, other: Operand) -> Lattice:
        return self._lift(other) - self

    def __rmul__(self, other: Operand) -> Lattice:
        return self._lift(other) * self

    def __rtruediv__(self, other: Operand) -> Lattice:
        return self._lift(other) / self

    def __rmatmul__(self, other: Operand) -> Lattice:
        return self._lift(other) @ self

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Lattice:
        """Sum in any order; without an axis, over the whole of each case."""
        axes = axes_of(axis)
        value, size = (np.asarray(np.sum(one, axes, keepdims=keepdims)) for one in (self.value, self.size))
        grain = np.asarray(np.min(self.quantum, axes, keepdims=keepdims, initial=np.inf))
        return Lattice(
            self.model, value, size, grain, np.asarray(np.all(self.certain, axes, keepdims=keepdims))
        )

    def largest(self, axis: Axes | None = -1, keepdims: bool = False) -> Lattice:
        """The maximum: certain where nothing that is not certain can be larger than what is."""
        axes = axes_of(axis)
        known = np.where(self.certain, self.value, -np.inf)
        most = known.max(axis=axes, keepdims=True)
        certain = (self.certain | (self.size <= most)).all(axis=axes, keepdims=True)
        value = np.where(certain, most, 0.0)
        size = np.where(certain, np.abs(value), self.size.max(axis=axes, keepdims=True))
        if not keepdims:
            value, size, certain = (one.squeeze(axes) for one in (value, size, certain))
        return Lattice(self.model, value, size, quantum(value), certain)

    def gather(self, index: Array) -> Lattice:
        """Pick numbers by an index: what is certain stays so."""
        return self._rearranged(lambda array, nothing: gathered(array, index, nothing))

    def scatter_add(self, index: Array, n: int) -> Lattice:
        """Add up what an index says about n numbers, in any order."""
        found = uses(index, n)
        if found.most <= 1:
            return self._rearranged(lambda array, nothing: found.terms(array, nothing)[..., 0])
        value, size = (found.terms(one).sum(axis=-1) for one in (self.value, self.size))
        grain = found.terms(self.quantum, math.inf).min(axis=-1)
        known = np.asarray(found.terms(self.certain, True).all(axis=-1))
        return Lattice(self.model, value, size, grain, known)

    def in_matrices(self, rows: int) -> Lattice:
        """Take every so many rows as a matrix of their own."""
        return self._rearranged(lambda array, _: matrices(array, rows))

    def in_rows(self) -> Lattice:
        """Undo ``in_matrices``."""
        return self._rearranged(lambda array, _: rows_of(array))

    def divided(self, m: int) -> Lattice:
        """Divide by the batch size, before or after the sum; certain where m is a power of two."""
        known = self.certain & is_power_of_two(m)
        return Lattice(self.model, self.value / m, self.terms / m, self.grain - math.log2(m), known)

    def in_any_order(self, upstream: Lattice, amplification: Array | float, growth: Array | float) -> Lattice:
        """Allow this product upstream ⊙ σ′ to be multiplied factor by factor, in any order.

        A factor of an exact product has no more bits than the product; but it may overflow.
        """
        with np.errstate(all="ignore"):
            known = self.certain & (upstream.size * growth <= self.model.largest)
        return Lattice(self.model, self.value, self.terms, self.grain, known)

    def apply(self, function: Scalar, order: int, exact: Sequence[Any]) -> Lattice:
        """Evaluate a scalar function's derivative of that order: certain where all formulas of all pieces agree."""
        value, size = np.zeros(self.shape), np.zeros(self.shape)
        known, seen = self.certain, np.zeros(self.shape, bool)
        for piece in function.pieces:
            met = self._meets(piece)
            for formula in piece.formulas(order):
                found = formula(self, *exact)
                known = known & (~met | found.certain & (~seen | (found.value == value)))
                value = np.where(met, found.value, value)
                size = np.where(met, np.maximum(size, found.size), size)
                seen = seen | met
        size = np.where(self.certain, size, np.inf)
        return Lattice(self.model, value, size, quantum(value), known)

    def _meets(self, piece: Piece) -> Array:
        """Whether an implementation may take a value for one in the piece: it may round before it compares."""
        slack = 4 * 2.0**-self.model.bits
        starts = piece.lo - slack * abs(piece.lo) if math.isfinite(piece.lo) else piece.lo
        ends = piece.hi + slack * abs(piece.hi) if math.isfinite(piece.hi) else piece.hi
        return np.asarray((self.value >= starts) & (self.value <= ends))

    def unknown(self) -> Lattice:
        """Return what is certain of no component: no two platforms agree to the last bit on any of these.

        A square root is no exception, exact as it may be: whoever takes it for a power, or for x times 1/sqrt(x), is
        allowed to round twice (model.ROOT_ROUNDINGS).
        """
        nothing = np.full(self.shape, np.inf)
        return Lattice(self.model, self.value, nothing, nothing, np.zeros(self.shape, bool))

    exp = expm1 = log = log1p = sqrt = tanh = sigmoid = erf = ndtr = softmax = log_softmax = xlogx = unknown


def quantum(value: Array) -> Array:
    """Return q such that the value is an odd number times 2^q; infinite for 0. The values must be finite."""
    fraction, exponent = np.frexp(value)
    odd = np.abs(np.ldexp(fraction, _BITS)).astype(
        np.int64
    )  # times a power of two: its lowest bit that is set
    lowest = np.frexp((odd & -odd).astype(np.float64))[1] - 1
    return np.where(value == 0, np.inf, exponent - _BITS + lowest)


def is_power_of_two(n: int) -> bool:
    """Whether a positive number is 1, 2, 4, ..."""
    return n & (n - 1) == 0


def lattice(case: Case) -> dict[str, Lattice]:
    """Find what is certain of an answer to a case, by its name in the document; empty where nothing can be."""
    return {name: one.of(0) for name, one in lattice_all(Stack([case]))[1].items()}


def lattice_all(stack: Stack) -> tuple[list[int], dict[str, Lattice]]:
    """Find what is certain of the answers to a stack's cases: for which of them, and the arrays of those, stacked.

    The weighted inputs of the first example decide whether it is worth while: where none of them is certain, as with
    random numbers, nothing after them is. Implementations may divide by m n_L on their way; where that is no power of
    two, only the forward pass can be certain.
    """
    network, m = stack.architecture, stack.batch if stack.architecture.reduction == "mean" else 1
    outputs = network.widths[-1]
    given = partial(Lattice.exact, Grid.of(stack.cases[0].dtype, max(m, 1), outputs))
    first = given(stack.x[:, :1]) @ given(stack.parameters.weights[0]).mT + given(stack.parameters.biases[0])
    places = [i for i, certain in enumerate(first.certain) if certain.any()]
    if not places:
        return [], {}
    some = Stack([stack.cases[i] for i in places])
    W, b = (tuple(map(given, family)) for family in (some.parameters.weights, some.parameters.biases))
    y = given(some.y)
    answer = backprop(
        network, Parameters(W, b), given(some.x), y if is_power_of_two(outputs) else y.unknown()
    )
    return places, answer.tensors()
