"""The square root as a scalar function: what arrays that carry their rounding error know of it."""

from __future__ import annotations

from ..elementary import sqrt
from ..number import Number
from ..scalar import smooth


def _slope(x: Number) -> Number:
    return 0.5 / sqrt(x)


def _curvature(x: Number) -> Number:
    return -0.25 / (x * sqrt(x))


ROOT = smooth([sqrt], [_slope], _curvature)
