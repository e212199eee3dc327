"""Costs of the margin y a, how far an output is on the right side: hinge and squared_hinge."""

from __future__ import annotations

from ..elementary import constant
from ..scalar import Piece, Scalar
from .cost_function import CostFunction, of_margin
from .elementwise import zero


def hinge() -> CostFunction:
    """Make Σ max(0, 1 - y a)."""
    falling = Piece([lambda s: 1 - s], [lambda s: constant(-1, s)], zero, hi=1)
    satisfied = Piece([zero], [zero], zero, lo=1)
    return of_margin(Scalar((falling, satisfied)))


def squared_hinge() -> CostFunction:
    """Make Σ max(0, 1 - y a)²."""
    falling = Piece([lambda s: (1 - s) * (1 - s)], [lambda s: -2 * (1 - s)], lambda s: constant(2, s), hi=1)
    satisfied = Piece([zero], [zero], zero, lo=1)
    return of_margin(Scalar((falling, satisfied)))
