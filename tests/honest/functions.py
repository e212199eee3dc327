"""The activations and costs as their users write them in NumPy, apart from the reference: one formula each.

A value takes z and the layer's parameters; a slope takes what comes from above, z, a and the parameters, and gives
their product with σ′. A cost takes a, y and its parameters and gives its terms; a gradient the same, and gives ∇_a C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z), each side by the exponential that does not overflow."""
    fall = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1 / (1 + fall), fall / (1 + fall)))


def softplus(z: Array) -> Array:
    """log(1 + e^z)."""
    return np.asarray(np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))))


def softmax(z: Array) -> Array:
    """e^z over its sum."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def log_softmax(z: Array) -> Array:
    """z less the logarithm of the sum of e^z."""
    shifted = z - z.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def ndtr(z: Array) -> Array:
    """The normal distribution function."""
    return np.asarray((0.5 * (1 + erf(z / z.dtype.type(math.sqrt(2))))).astype(z.dtype))


def _phi(z: Array) -> Array:
    return np.asarray(np.exp(-(z * z) / 2) * z.dtype.type(1 / math.sqrt(2 * math.pi)))


_SCALE, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
_ROOT, _CUBE = math.sqrt(2 / math.pi), 0.044715


def _inner(z: Array) -> Array:
    return np.asarray(z.dtype.type(_ROOT) * (z + z.dtype.type(_CUBE) * z * z * z))


def gelu_tanh(z: Array) -> Array:
    """Half of z times 1 + tanh of a cubic."""
    return np.asarray(0.5 * z * (1 + np.tanh(_inner(z))))


def gelu_tanh_slope(g: Array, z: Array, a: Array) -> Array:
    """Its derivative, with the square of z held where the tanh is 1 long before."""
    t = np.tanh(_inner(z))
    near = np.clip(z, -20, 20)
    bend = z.dtype.type(_ROOT) * (1 + z.dtype.type(3 * _CUBE) * near * near)
    return np.asarray(g * (0.5 * (1 + t) + 0.5 * near * (1 - t * t) * bend))


def mish_slope(g: Array, z: Array, a: Array) -> Array:
    """tanh(s) + z (1 - tanh(s)²) σ(z), s being softplus(z)."""
    t = np.tanh(softplus(z))
    return np.asarray(g * (t + z * (1 - t * t) * sigmoid(z)))


def _xlogy(x: Array, y: Array) -> Array:
    return np.asarray(np.where(x == 0, 0, x * np.log(y)))


VALUES: dict[str, Callable[..., Array]] = {
    "identity": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "relu6": lambda z: np.minimum(np.maximum(z, 0), 6),
    "leaky_relu": lambda z, alpha: np.where(z > 0, z, alpha * z),
    "elu": lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))),
    "celu": lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0) / alpha)),
    "selu": lambda z: np.where(
        z > 0, z.dtype.type(_SCALE) * z, z.dtype.type(_SCALE * _ALPHA) * np.expm1(np.minimum(z, 0))
    ),
    "gelu": lambda z: z * ndtr(z),
    "gelu_tanh": gelu_tanh,
    "silu": lambda z: z * sigmoid(z),
    "mish": lambda z: z * np.tanh(softplus(z)),
    "softplus": softplus,
    "squareplus": lambda z: np.where(z > 0, (z + np.sqrt(z * z + 4)) / 2, 2 / (np.sqrt(z * z + 4) - z)),
    "softsign": lambda z: z / (1 + np.abs(z)),
    "hardtanh": lambda z: np.clip(z, -1, 1),
    "hardsigmoid": lambda z: np.clip(z / 6 + 0.5, 0, 1),
    "hardswish": lambda z: np.where(z > 3, z, z * np.clip((z + 3) / 6, 0, 1)),
    "log_sigmoid": lambda z: np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z))),
    "softmax": softmax,
    "log_softmax": log_softmax,
}

SLOPES: dict[str, Callable[..., Array]] = {
    "identity": lambda g, z, a: g,
    "sigmoid": lambda g, z, a: g * a * (1 - a),
    "tanh": lambda g, z, a: g * (1 - a * a),
    "relu": lambda g, z, a: g * (z > 0),
    "relu6": lambda g, z, a: g * ((z > 0) & (z < 6)),
    "leaky_relu": lambda g, z, a, alpha: g * np.where(z > 0, 1, z.dtype.type(alpha)),
    "elu": lambda g, z, a, alpha: g * np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0))),
    "celu": lambda g, z, a, alpha: g * np.where(z > 0, 1, np.exp(np.minimum(z, 0) / alpha)),
    "selu": lambda g, z, a: (
        g * np.where(z > 0, z.dtype.type(_SCALE), z.dtype.type(_SCALE * _ALPHA) * np.exp(np.minimum(z, 0)))
    ),
    "gelu": lambda g, z, a: g * (ndtr(z) + z * _phi(z)),
    "gelu_tanh": gelu_tanh_slope,
    "silu": lambda g, z, a: g * sigmoid(z) * (1 + z * (1 - sigmoid(z))),
    "mish": mish_slope,
    "softplus": lambda g, z, a: g * sigmoid(z),
    "squareplus": lambda g, z, a: g * ((1 + z / np.sqrt(z * z + 4)) / 2),
    "softsign": lambda g, z, a: g / ((1 + np.abs(z)) * (1 + np.abs(z))),
    "hardtanh": lambda g, z, a: g * ((z > -1) & (z < 1)),
    "hardsigmoid": lambda g, z, a: g * np.where((z > -3) & (z < 3), z.dtype.type(1) / 6, 0),
    "hardswish": lambda g, z, a: g * np.where(z <= -3, 0, np.where(z >= 3, 1, z / 3 + 0.5)),
    "log_sigmoid": lambda g, z, a: g * sigmoid(-z),
    "softmax": lambda g, z, a: a * (g - (g * a).sum(axis=1, keepdims=True)),
    "log_softmax": lambda g, z, a: g - softmax(z) * g.sum(axis=1, keepdims=True),
}

COSTS: dict[str, Callable[..., Array]] = {
    "half_squared_error": lambda a, y: 0.5 * (a - y) ** 2,
    "squared_error": lambda a, y: (a - y) ** 2,
    "absolute_error": lambda a, y: np.abs(a - y),
    "huber": lambda a, y, delta: np.where(
        np.abs(a - y) <= delta, 0.5 * (a - y) ** 2, delta * (np.abs(a - y) - 0.5 * delta)
    ),
    "smooth_l1": lambda a, y, beta: np.where(
        np.abs(a - y) < beta, 0.5 * (a - y) ** 2 / beta, np.abs(a - y) - 0.5 * beta
    ),
    "log_cosh": lambda a, y: np.abs(a - y) + np.log1p(np.exp(-2 * np.abs(a - y))) - a.dtype.type(math.log(2)),
    "hinge": lambda a, y: np.maximum(0, 1 - y * a),
    "squared_hinge": lambda a, y: np.maximum(0, 1 - y * a) ** 2,
    "binary_cross_entropy": lambda a, y: -(_xlogy(y, a) + np.where(y == 1, 0, (1 - y) * np.log1p(-a))),
    "binary_cross_entropy_with_logits": lambda a, y: np.maximum(a, 0) - a * y + np.log1p(np.exp(-np.abs(a))),
    "cross_entropy": lambda a, y: -_xlogy(y, a),
    "softmax_cross_entropy": lambda a, y: -(y * log_softmax(a)),
    "negative_log_likelihood": lambda a, y: -(y * a),
    "kl_divergence": lambda a, y: np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0) - y * a,
    "poisson": lambda a, y: np.exp(a) - y * a,
}

GRADIENTS: dict[str, Callable[..., Array]] = {
    "half_squared_error": lambda a, y: a - y,
    "squared_error": lambda a, y: 2 * (a - y),
    "absolute_error": lambda a, y: np.sign(a - y),
    "huber": lambda a, y, delta: np.clip(a - y, -delta, delta),
    "smooth_l1": lambda a, y, beta: np.where(np.abs(a - y) < beta, (a - y) / beta, np.sign(a - y)),
    "log_cosh": lambda a, y: np.tanh(a - y),
    "hinge": lambda a, y: np.where(y * a < 1, -y, 0),
    "squared_hinge": lambda a, y: -2 * y * np.maximum(0, 1 - y * a),
    "binary_cross_entropy": lambda a, y: (a - y) / (a * (1 - a)),
    "binary_cross_entropy_with_logits": lambda a, y: sigmoid(a) - y,
    "cross_entropy": lambda a, y: -y / a,
    "softmax_cross_entropy": lambda a, y: softmax(a) * y.sum(axis=1, keepdims=True) - y,
    "negative_log_likelihood": lambda a, y: -y,
    "kl_divergence": lambda a, y: -y,
    "poisson": lambda a, y: np.exp(a) - y,
}
