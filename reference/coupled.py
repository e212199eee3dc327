"""The activations that couple a layer's neurons: softmax and log_softmax, each with its Jacobian's product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from .array import Array
from .number import Number, carried


@dataclass(frozen=True)
class Coupled:
    """An activation whose every output depends on all of the layer's weighted inputs; it has no kinks."""

    value: Callable[[Any], Any]
    #: (upstream, z) -> upstream times the Jacobian ∂a/∂z.
    vjp: Callable[[Any, Any], Any]
    kinks: tuple[float, ...] = ()
    #: What an output's error is compared with where the output itself vanishes.
    scale: float = 0.0


@overload
def softmax(z: Array) -> Array: ...
@overload
def softmax(z: Number) -> Number: ...
def softmax(z: Number) -> Number:
    """e^(z_i) / Σ_j e^(z_j) over a layer; the maximum is taken off first, so that nothing overflows."""
    if not isinstance(z, np.ndarray):
        return carried(z).softmax()
    shifted = np.exp(z - _largest(z))
    found: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return found


@overload
def log_softmax(z: Array) -> Array: ...
@overload
def log_softmax(z: Number) -> Number: ...
def log_softmax(z: Number) -> Number:
    """z_i - log Σ_j e^(z_j) over a layer."""
    if not isinstance(z, np.ndarray):
        return carried(z).log_softmax()
    shifted: Array = z - _largest(z)
    found: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def _largest(z: Array) -> Array:
    # Any shift is exact in arbitrary precision, where comparing overlapping balls would not be.
    return np.zeros_like(z[..., :1]) if z.dtype == object else z.max(axis=-1, keepdims=True)


def _softmax_vjp(upstream: Number, z: Number) -> Number:
    """s ⊙ (g - Σ_j g_j s_j), which is the Jacobian diag(s) - s sᵀ applied to g."""
    s = softmax(z)
    weighted = (upstream * s).sum(axis=-1, keepdims=True)
    return s * (upstream - weighted)


def _log_softmax_vjp(upstream: Number, z: Number) -> Number:
    """g - softmax(z) Σ_j g_j."""
    g = upstream
    if not isinstance(g, np.ndarray):
        # With the Jacobian written out g is a sum, too: of all g_j times 1 or 0, less what follows.
        g = carried(g) @ np.eye(g.shape[-1])
    return g - softmax(z) * upstream.sum(axis=-1, keepdims=True)


SOFTMAX = Coupled(softmax, _softmax_vjp)
LOG_SOFTMAX = Coupled(log_softmax, _log_softmax_vjp, scale=1.0)
