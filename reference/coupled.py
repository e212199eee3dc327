"""The activations that couple a layer's neurons: softmax and log_softmax, each with its Jacobian's product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .array import Array
from .elementary import exp


@dataclass(frozen=True)
class Coupled:
    """An activation whose every output depends on all of the layer's weighted inputs; it has no kinks."""

    value: Callable[[Any], Any]
    #: (upstream, z) -> upstream times the Jacobian ∂a/∂z.
    vjp: Callable[[Any, Any], Any]
    kinks: tuple[float, ...] = ()
    #: What an output's error is compared with where the output itself vanishes.
    scale: float = 0.0


def softmax(z: Any) -> Any:
    """e^(z_i) / Σ_j e^(z_j) over a layer; the maximum is taken off first, so that nothing overflows."""
    if not isinstance(z, np.ndarray):
        return z.softmax()
    shifted = exp(z - _largest(z))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def log_softmax(z: Any) -> Any:
    """z_i - log Σ_j e^(z_j) over a layer."""
    if not isinstance(z, np.ndarray):
        return z.log_softmax()
    shifted = z - _largest(z)
    return shifted - np.log(exp(shifted).sum(axis=-1, keepdims=True))


def _largest(z: Array) -> Array:
    # Any shift is exact in arbitrary precision, where comparing overlapping balls would not be.
    return np.zeros_like(z[..., :1]) if z.dtype == object else z.max(axis=-1, keepdims=True)


def _softmax_vjp(upstream: Any, z: Any) -> Any:
    """s ⊙ (g - Σ_j g_j s_j), which is the Jacobian diag(s) - s sᵀ applied to g."""
    s = softmax(z)
    weighted = (upstream * s).sum(axis=-1, keepdims=True)
    return s * (upstream - weighted)


def _log_softmax_vjp(upstream: Any, z: Any) -> Any:
    """g - softmax(z) Σ_j g_j."""
    return upstream - softmax(z) * upstream.sum(axis=-1, keepdims=True)


SOFTMAX = Coupled(softmax, _softmax_vjp)
LOG_SOFTMAX = Coupled(log_softmax, _log_softmax_vjp, scale=1.0)
