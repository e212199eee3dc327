"""TensorFlow: the network in tf.nn and tf.math, differentiated by GradientTape. Keras is another implementation.

TensorFlow's own costs come per example or per output, or (tf.nn.l2_loss) as the sum of everything. All are
summed over outputs and batch here; the mean over the batch divides that sum by m.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

# TensorFlow decides what to log while it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from ..reference.network import Architecture, Array, Case, Gradients
from .implementation import Implementation

Tensor = Any
Tensors = Sequence[Tensor]


def _elu(z: Tensor, alpha: float | None) -> Tensor:
    # tf.nn.elu has no alpha; this is how Keras gives it one.
    return tf.nn.elu(z) if alpha == 1 else tf.where(z > 0, z, alpha * tf.nn.elu(z))


#: σ by name: which function is judged, and that function of z (m, n_l) and alpha.
ACTIVATIONS: dict[str, tuple[str, Callable[[Tensor, float | None], Tensor]]] = {
    "identity": ("tf.identity", lambda z, _: tf.identity(z)),
    "sigmoid": ("tf.nn.sigmoid", lambda z, _: tf.nn.sigmoid(z)),
    "tanh": ("tf.nn.tanh", lambda z, _: tf.nn.tanh(z)),
    "relu": ("tf.nn.relu", lambda z, _: tf.nn.relu(z)),
    "relu6": ("tf.nn.relu6", lambda z, _: tf.nn.relu6(z)),
    "leaky_relu": ("tf.nn.leaky_relu", lambda z, alpha: tf.nn.leaky_relu(z, alpha)),
    "elu": ("tf.nn.elu where alpha = 1; elsewhere where(z > 0, z, alpha tf.nn.elu(z))", _elu),
    "celu": (
        "composed: where(z > 0, z, alpha tf.nn.elu(z / alpha))",
        lambda z, alpha: tf.where(z > 0, z, alpha * tf.nn.elu(z / alpha)),
    ),
    "selu": ("tf.nn.selu", lambda z, _: tf.nn.selu(z)),
    "gelu": ("tf.nn.gelu(approximate=False)", lambda z, _: tf.nn.gelu(z, approximate=False)),
    "gelu_tanh": ("tf.nn.gelu(approximate=True)", lambda z, _: tf.nn.gelu(z, approximate=True)),
    "silu": ("tf.nn.silu", lambda z, _: tf.nn.silu(z)),
    "mish": ("composed: z tanh(tf.nn.softplus(z))", lambda z, _: z * tf.nn.tanh(tf.nn.softplus(z))),
    "softplus": ("tf.nn.softplus", lambda z, _: tf.nn.softplus(z)),
    "softsign": ("tf.nn.softsign", lambda z, _: tf.nn.softsign(z)),
    "hardtanh": ("composed: tf.clip_by_value(z, -1, 1)", lambda z, _: tf.clip_by_value(z, -1.0, 1.0)),
    "hardsigmoid": ("composed: tf.nn.relu6(z + 3) / 6", lambda z, _: tf.nn.relu6(z + 3.0) / 6.0),
    "hardswish": ("composed: z tf.nn.relu6(z + 3) / 6", lambda z, _: z * tf.nn.relu6(z + 3.0) / 6.0),
    "log_sigmoid": ("tf.math.log_sigmoid", lambda z, _: tf.math.log_sigmoid(z)),
    "softmax": ("tf.nn.softmax", lambda z, _: tf.nn.softmax(z, axis=-1)),
    "log_softmax": ("tf.nn.log_softmax", lambda z, _: tf.nn.log_softmax(z, axis=-1)),
}


def _huber(a: Tensor, y: Tensor, delta: float | None) -> Tensor:
    # The derivative is right also where minimum meets its tie.
    size = tf.abs(a - y)
    quadratic = tf.minimum(size, delta)
    return 0.5 * tf.square(quadratic) + delta * (size - quadratic)


def _log_cosh(a: Tensor, y: Tensor, _: float | None) -> Tensor:
    r = a - y
    return r + tf.nn.softplus(-2.0 * r) - tf.constant(np.log(2.0), r.dtype)


def _kl_divergence(a: Tensor, y: Tensor, _: float | None) -> Tensor:
    return y * (tf.math.log(tf.where(y == 0, tf.ones_like(y), y)) - a)


#: C by name: which function is judged, and that function of a^L and y (m, n_L) and delta, before it is summed.
COSTS: dict[str, tuple[str, Callable[[Tensor, Tensor, float | None], Tensor]]] = {
    "half_squared_error": ("tf.nn.l2_loss", lambda a, y, _: tf.nn.l2_loss(a - y)),
    "squared_error": ("tf.math.squared_difference", lambda a, y, _: tf.math.squared_difference(a, y)),
    "absolute_error": ("composed: abs(a - y)", lambda a, y, _: tf.abs(a - y)),
    "huber": ("composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)", _huber),
    "log_cosh": ("composed: r + tf.nn.softplus(-2 r) - log 2, r = a - y", _log_cosh),
    "hinge": ("composed: maximum(1 - y a, 0)", lambda a, y, _: tf.maximum(1.0 - y * a, 0.0)),
    "squared_hinge": (
        "composed: square(maximum(1 - y a, 0))",
        lambda a, y, _: tf.square(tf.maximum(1.0 - y * a, 0.0)),
    ),
    "binary_cross_entropy": (
        "composed: -tf.math.xlogy(y, a) - tf.math.xlog1py(1 - y, -a)",
        lambda a, y, _: -tf.math.xlogy(y, a) - tf.math.xlog1py(1.0 - y, -a),
    ),
    "binary_cross_entropy_with_logits": (
        "tf.nn.sigmoid_cross_entropy_with_logits",
        lambda a, y, _: tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=a),
    ),
    "cross_entropy": ("composed: -tf.math.xlogy(y, a)", lambda a, y, _: -tf.math.xlogy(y, a)),
    "softmax_cross_entropy": (
        "tf.nn.softmax_cross_entropy_with_logits",
        lambda a, y, _: tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=a),
    ),
    "negative_log_likelihood": ("composed: -y a", lambda a, y, _: -y * a),
    "kl_divergence": ("composed: y (log(where(y = 0, 1, y)) - a)", _kl_divergence),
    "poisson": ("tf.nn.log_poisson_loss", lambda a, y, _: tf.nn.log_poisson_loss(targets=y, log_input=a)),
}

#: The cost (a scalar), with z^l and a^l.
Forward = tuple[Tensor, Tensors, Tensors]
#: Forward, with the cost's derivatives by W^l, b^l and Δz^l.
Answer = tuple[Forward, tuple[Tensors, Tensors, Tensors]]


def network(
    architecture: Architecture, weights: Tensors, biases: Tensors, shifts: Tensors, x: Tensor, y: Tensor
) -> Forward:
    """Go forward; Δz^l (m, n_l) is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l."""
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, weights, biases, shifts, strict=True):
        z = tf.matmul(a, W, transpose_b=True) + b + shift
        a = ACTIVATIONS[layer.activation][1](z, layer.alpha)
        zs.append(z)
        activations.append(a)
    total = tf.reduce_sum(COSTS[architecture.cost.name][1](a, y, architecture.cost.delta))
    return total / x.shape[0] if architecture.reduction == "mean" else total, zs, activations


def _eager(
    architecture: Architecture, weights: Tensors, biases: Tensors, shifts: Tensors, x: Tensor, y: Tensor
) -> Answer:
    variables = (weights, biases, shifts)
    with tf.GradientTape() as tape:
        tape.watch(variables)
        forward = network(architecture, weights, biases, shifts, x, y)
    return forward, tape.gradient(forward[0], variables)


# Cases of one architecture come together; the older traces are let go, as there may be thousands.
@lru_cache(maxsize=4)
def _traced(architecture: Architecture, precision: str, batch: int) -> Callable[..., Answer]:
    """Make the function that is traced for one architecture, precision and batch size."""
    traced: Callable[..., Answer] = tf.function(partial(_eager, architecture))
    return traced


def _function(
    architecture: Architecture, weights: Tensors, biases: Tensors, shifts: Tensors, x: Tensor, y: Tensor
) -> Answer:
    return _traced(architecture, x.dtype.name, x.shape[0])(weights, biases, shifts, x, y)


#: How each mode differentiates the network.
_DIFFERENTIATE: dict[str, Callable[..., Answer]] = {"eager": _eager, "function": _function}
MODES = tuple(_DIFFERENTIATE)


@dataclass(frozen=True)
class _TensorFlow:
    """TensorFlow in one mode."""

    mode: str
    language: str = "Python"

    @property
    def name(self) -> str:
        return f"tensorflow:{self.mode}"

    @property
    def version(self) -> str:
        return str(tf.__version__)

    def functions(self) -> Mapping[str, str]:
        return {name: label for name, (label, _) in (ACTIVATIONS | COSTS).items()}

    def gradients(self, case: Case) -> Gradients:
        weights = [tf.constant(W) for W in case.parameters.weights]
        biases = [tf.constant(b) for b in case.parameters.biases]
        x, y = tf.constant(case.x), tf.constant(case.y)
        shifts = [tf.zeros((case.batch, layer.width), x.dtype) for layer in case.architecture.layers]
        differentiate = _DIFFERENTIATE[self.mode]
        (cost, z, a), (dW, db, delta) = differentiate(case.architecture, weights, biases, shifts, x, y)
        return Gradients(_arrays(dW), _arrays(db), np.asarray(cost), *map(_arrays, (delta, z, a)))


def _arrays(tensors: Tensors) -> list[Array]:
    return [np.asarray(tensor) for tensor in tensors]


def load(mode: str) -> Implementation:
    """Start TensorFlow in a mode, on one thread: workers run side by side, a core each."""
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    return _TensorFlow(mode)
