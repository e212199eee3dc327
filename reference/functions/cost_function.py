"""A cost as the suite knows it: C summed over a batch, and ∇_a C of every example.

a and y are (m, n_L). ``value`` returns a scalar, ``gradient`` (m, n_L). Elementwise parts with several sane formulas or
with kinks are Scalars, as in an activation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..scalar import Scalar


@dataclass(frozen=True)
class CostFunction:
    """C and ∇_a C, for outputs a and targets y."""

    value: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], Any]
    #: What a gradient's error is compared with where the gradient itself vanishes, in units of the largest target.
    scale: float = 0.0
    #: Whether a NaN among the outputs may choose a side of the gradient, and not spoil it.
    masks: bool = False
    #: Whether the gradient adds up targets of one example, so that they may cancel.
    coupled: bool = False


def of_residual(scalar: Scalar) -> CostFunction:
    """Make Σ f(a - y)."""
    return CostFunction(
        lambda a, y: scalar.value(a - y).sum(), lambda a, y: scalar.slope(a - y), masks=scalar.masks
    )


def of_output(scalar: Scalar) -> CostFunction:
    """Make Σ f(a; y), for an f whose formulas mix a and y."""
    return CostFunction(lambda a, y: scalar.value(a, y).sum(), scalar.slope)


def of_margin(scalar: Scalar) -> CostFunction:
    """Make Σ f(y a), where y a is how far an output is on the right side."""
    return CostFunction(
        lambda a, y: scalar.value(y * a).sum(), lambda a, y: y * scalar.slope(y * a), masks=scalar.masks
    )
