"""Activations that act on each neuron by itself, and the straight pieces that some of them are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..array import Array
from ..elementary import constant
from ..number import Number
from ..scalar import Piece, Scalar


@dataclass(frozen=True)
class Elementwise:
    """An activation that acts on each neuron by itself."""

    scalar: Scalar
    #: The largest product of factors of σ′ that a formula may multiply after the rest, which may have underflowed.
    amplification: Callable[[Array], Array | float] = lambda size: 2.0
    scale: float = 0.0
    #: The largest that it may multiply before the rest, so that an upstream may overflow; None: the same.
    growth: Callable[[Array], Array | float] | None = None

    @property
    def kinks(self) -> tuple[float, ...]:
        """The weighted inputs at which σ′ may jump."""
        return self.scalar.kinks

    def value(self, z: Any) -> Any:
        """σ(z)."""
        return self.scalar.value(z)

    def vjp(self, upstream: Any, z: Any) -> Any:
        """Multiply by the derivative: upstream ⊙ σ′(z)."""
        result = upstream * self.scalar.slope(z)
        if isinstance(z, np.ndarray):
            return result
        growth = self.growth or self.amplification
        return result.in_any_order(upstream, self.amplification(z.size), growth(z.size))


def zero(z: Number) -> Number:
    """0, of the kind and shape of z."""
    return constant(0, z)


def one(z: Number) -> Number:
    """1, of the kind and shape of z."""
    return constant(1, z)


def itself(z: Number) -> Number:
    """z."""
    return z


def product_rule(first: Number, second: Number) -> Number:
    """Add the two terms of a product's derivative.

    Automatic differentiation multiplies each by what comes from above before it adds them, and so rounds each once
    more: a product with 1 stands for it.
    """
    return one(first) * first + one(second) * second


def linear(slope: float, lo: float = -np.inf, hi: float = np.inf) -> Piece:
    """Make a straight piece through the origin."""
    return Piece([lambda z: slope * z], [lambda z: constant(slope, z)], zero, lo, hi)


def flat(value: float, lo: float = -np.inf, hi: float = np.inf) -> Piece:
    """Make a constant piece."""
    return Piece([lambda z: constant(value, z)], [zero], zero, lo, hi)


def line(lo: float = -np.inf, hi: float = np.inf) -> Piece:
    """Make a piece on which z is itself."""
    return Piece([itself], [one], zero, lo, hi)
