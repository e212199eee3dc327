"""TensorFlow: the network in tf.nn and tf.math, without Keras, differentiated by GradientTape.

TensorFlow's own costs come per example or per output, or (tf.nn.l2_loss) as the sum of everything. All are
summed over outputs and batch here; the mean over the batch divides that sum by m.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

# TensorFlow decides what to log while it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from ..reference.network import Architecture, Array, Case, Gradients
from .implementation import UnsupportedError, affordable, unspoilt
from .modes import in_forward_mode

Tensor = Any
Tensors = Sequence[Tensor]


def _elu(z: Tensor, alpha: float) -> Tensor:
    # tf.nn.elu has no alpha; this is how Keras gives it one.
    return tf.nn.elu(z) if alpha == 1 else tf.where(z > 0, z, alpha * tf.nn.elu(z))


#: σ by name: which function is judged, and that function of z (m, n_l), and of alpha where there is one.
ACTIVATIONS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "identity": ("tf.identity", tf.identity),
    "sigmoid": ("tf.nn.sigmoid", tf.nn.sigmoid),
    "tanh": ("tf.nn.tanh", tf.nn.tanh),
    "relu": ("tf.nn.relu", tf.nn.relu),
    "relu6": ("tf.nn.relu6", tf.nn.relu6),
    "leaky_relu": ("tf.nn.leaky_relu", tf.nn.leaky_relu),
    "elu": ("tf.nn.elu where alpha = 1; elsewhere where(z > 0, z, alpha tf.nn.elu(z))", _elu),
    "celu": (
        "composed: where(z > 0, z, alpha tf.nn.elu(z / alpha))",
        lambda z, alpha: tf.where(z > 0, z, alpha * tf.nn.elu(z / alpha)),
    ),
    "selu": ("tf.nn.selu", tf.nn.selu),
    "gelu": ("tf.nn.gelu, approximate=False", partial(tf.nn.gelu, approximate=False)),
    "gelu_tanh": ("tf.nn.gelu, approximate=True", partial(tf.nn.gelu, approximate=True)),
    "silu": ("tf.nn.silu", tf.nn.silu),
    "mish": ("composed: z tanh(tf.nn.softplus(z))", lambda z: z * tf.nn.tanh(tf.nn.softplus(z))),
    "softplus": ("tf.nn.softplus", tf.nn.softplus),
    "softsign": ("tf.nn.softsign", tf.nn.softsign),
    "hardtanh": ("composed: tf.clip_by_value(z, -1, 1)", lambda z: tf.clip_by_value(z, -1.0, 1.0)),
    "hardsigmoid": ("composed: tf.nn.relu6(z + 3) / 6", lambda z: tf.nn.relu6(z + 3.0) / 6.0),
    "hardswish": ("composed: z tf.nn.relu6(z + 3) / 6", lambda z: z * tf.nn.relu6(z + 3.0) / 6.0),
    "log_sigmoid": ("tf.math.log_sigmoid", tf.math.log_sigmoid),
    "softmax": ("tf.nn.softmax", partial(tf.nn.softmax, axis=-1)),
    "log_softmax": ("tf.nn.log_softmax", partial(tf.nn.log_softmax, axis=-1)),
}


def _huber(a: Tensor, y: Tensor, delta: float) -> Tensor:
    # The derivative is right also where minimum meets its tie.
    size = tf.abs(a - y)
    quadratic = tf.minimum(size, delta)
    return 0.5 * tf.square(quadratic) + delta * (size - quadratic)


def _log_cosh(a: Tensor, y: Tensor) -> Tensor:
    r = a - y
    return r + tf.nn.softplus(-2.0 * r) - math.log(2.0)


def _kl_divergence(a: Tensor, y: Tensor) -> Tensor:
    return y * (tf.math.log(tf.where(y == 0, tf.ones_like(y), y)) - a)


#: C by name: which function is judged, and that function of a^L and y (m, n_L), and of delta
#: where there is one, before it is summed.
COSTS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "half_squared_error": ("tf.nn.l2_loss", lambda a, y: tf.nn.l2_loss(a - y)),
    "squared_error": ("tf.math.squared_difference", tf.math.squared_difference),
    "absolute_error": ("composed: abs(a - y)", lambda a, y: tf.abs(a - y)),
    "huber": ("composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)", _huber),
    "log_cosh": ("composed: r + tf.nn.softplus(-2 r) - log 2, r = a - y", _log_cosh),
    "hinge": ("composed: maximum(1 - y a, 0)", lambda a, y: tf.maximum(1.0 - y * a, 0.0)),
    "squared_hinge": (
        "composed: square(maximum(1 - y a, 0))",
        lambda a, y: tf.square(tf.maximum(1.0 - y * a, 0.0)),
    ),
    "binary_cross_entropy": (
        "composed: -tf.math.xlogy(y, a) - tf.math.xlog1py(1 - y, -a)",
        lambda a, y: -tf.math.xlogy(y, a) - tf.math.xlog1py(1.0 - y, -a),
    ),
    "binary_cross_entropy_with_logits": (
        "tf.nn.sigmoid_cross_entropy_with_logits",
        lambda a, y: tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=a),
    ),
    "cross_entropy": ("composed: -tf.math.xlogy(y, a)", lambda a, y: -tf.math.xlogy(y, a)),
    "softmax_cross_entropy": (
        "tf.nn.softmax_cross_entropy_with_logits",
        lambda a, y: tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=a),
    ),
    "negative_log_likelihood": ("composed: -y a", lambda a, y: -y * a),
    "kl_divergence": ("composed: y (log(where(y = 0, 1, y)) - a)", _kl_divergence),
    "poisson": ("tf.nn.log_poisson_loss", lambda a, y: tf.nn.log_poisson_loss(targets=y, log_input=a)),
}

#: W^l (n_l, n_{l-1}), b^l (n_l,) and Δz^l (m, n_l), or the cost's derivatives by them: dW^l, db^l and δ^l.
Variables = tuple[Tensors, Tensors, Tensors]
#: The cost (a scalar), z^l and a^l.
Forward = tuple[Tensor, Tensors, Tensors]


def network(architecture: Architecture, variables: Variables, x: Tensor, y: Tensor) -> Forward:
    """Go forward; Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l."""
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
        z = tf.matmul(a, W, transpose_b=True) + b + shift
        activation = ACTIVATIONS[layer.activation][1]
        a = activation(z) if layer.alpha is None else activation(z, layer.alpha)
        zs.append(z)
        activations.append(a)
    cost, delta = COSTS[architecture.cost.name][1], architecture.cost.delta
    total = tf.reduce_sum(cost(a, y) if delta is None else cost(a, y, delta))
    return total / x.shape[0] if architecture.reduction == "mean" else total, zs, activations


#: Of the variables, x and y: the way forward.
Network = Callable[[Variables, Tensor, Tensor], Forward]
#: Of the variables, x and y: the way forward, and the derivatives.
Answer = Callable[[Variables, Tensor, Tensor], tuple[Forward, Variables]]


def reverse(network: Network) -> Answer:
    """Differentiate by a tape of what ran."""

    def answer(variables: Variables, x: Tensor, y: Tensor) -> tuple[Forward, Variables]:
        with tf.GradientTape() as tape:
            tape.watch(variables)
            forward = network(variables, x, y)
        return forward, tape.gradient(forward[0], variables)

    return answer


def _forward(network: Network) -> Answer:
    """Differentiate by one component at a time."""

    def along_one(variables: Variables, along: Variables, x: Tensor, y: Tensor) -> Tensor:
        with tf.autodiff.ForwardAccumulator(variables, along) as accumulator:
            cost = network(variables, x, y)[0]
        return accumulator.jvp(cost)

    # Without AutoGraph, which would wrap what is raised.
    derivative = tf.function(along_one, autograph=False)

    def answer(variables: Variables, x: Tensor, y: Tensor) -> tuple[Forward, Variables]:
        leaves = tf.nest.flatten(variables)
        zeros = [tf.zeros_like(leaf) for leaf in leaves]

        def derivatives(place: int) -> Tensor:
            leaf = leaves[place]
            found = []
            for column in tf.eye(leaf.shape.num_elements(), dtype=leaf.dtype):
                along = [*zeros[:place], tf.reshape(column, leaf.shape), *zeros[place + 1 :]]
                found.append(derivative(variables, tf.nest.pack_sequence_as(variables, along), x, y))
            return tf.reshape(tf.stack(found), leaf.shape)

        found = [derivatives(place) for place in range(len(leaves))]
        return network(variables, x, y), tf.nest.pack_sequence_as(variables, found)

    return answer


#: How each mode makes, of an architecture, what answers its cases.
DIFFERENTIATE: dict[str, Callable[[Architecture], Answer]] = {
    "eager": lambda architecture: reverse(partial(network, architecture)),
    "function": lambda architecture: tf.function(reverse(partial(network, architecture))),
    "xla": lambda architecture: tf.function(reverse(partial(network, architecture)), jit_compile=True),
    "forward": lambda architecture: _forward(partial(network, architecture)),
}


#: What TensorFlow says, eagerly and in a function, where an operation has no kernel for a precision.
_NO_KERNEL = ("Could not find device for node", "No OpKernel was registered")


def _arrays(tensors: Tensors) -> list[Array]:
    return [np.asarray(tensor.numpy()) for tensor in tensors]  # a scalar in bfloat16 is no array by itself


class TensorFlow:
    """TensorFlow in one mode."""

    version = str(tf.__version__)
    language = "Python"

    def __init__(
        self, name: str, differentiate: Callable[[Architecture], Answer], device: str = "cpu"
    ) -> None:
        self.name, self._device = name, device.upper()
        self._missing = not tf.config.list_logical_devices(self._device.partition(":")[0])

        # Cases of one architecture come together; older traces are let go, as there may be thousands.
        @lru_cache(maxsize=4)
        def answer(architecture: Architecture, precision: str, batch: int) -> Answer:
            return differentiate(architecture)

        self._answer = answer

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        if self._missing:
            raise UnsupportedError(f"TensorFlow sees no device {self._device!r} here")
        with tf.device(self._device):
            return self._gradients(case)

    def _gradients(self, case: Case) -> Gradients:
        if in_forward_mode(self.name):
            affordable(case)
        x, y = tf.constant(case.x), tf.constant(case.y)
        weights = [tf.constant(W) for W in case.parameters.weights]
        biases = [tf.constant(b) for b in case.parameters.biases]
        shifts = [tf.zeros((case.batch, layer.width), x.dtype) for layer in case.architecture.layers]
        answer = self._answer(case.architecture, case.precision, case.batch)
        try:
            (cost, z, a), (dW, db, delta) = answer((weights, biases, shifts), x, y)
        except LookupError as error:  # forward mode needs the derivative of the derivative's own operation
            if "gradient registry" not in str(error):
                raise
            raise UnsupportedError(f"TensorFlow declines: {error}") from None
        except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
            if not any(reason in error.message for reason in _NO_KERNEL):
                raise
            raise UnsupportedError(f"TensorFlow declines: {error.message.splitlines()[0]}") from None
        gradients = Gradients(
            _arrays(dW), _arrays(db), _arrays([cost])[0], _arrays(delta), _arrays(z), _arrays(a)
        )
        return unspoilt(gradients) if in_forward_mode(self.name) else gradients

    def functions(self) -> Mapping[str, str]:
        """Say which of TensorFlow's functions is judged."""
        return {name: label for name, (label, _) in (ACTIVATIONS | COSTS).items()}


def load(mode: str) -> TensorFlow:
    """Start TensorFlow in a mode, on a device where one is named after it, as in ``eager@gpu``."""
    base, _, device = mode.partition("@")
    return start(f"tensorflow:{mode}", DIFFERENTIATE[base], device or "cpu")


def start(name: str, differentiate: Callable[[Architecture], Answer], device: str = "cpu") -> TensorFlow:
    """Start TensorFlow on one thread: workers run side by side, a core each."""
    # It warns of a loop that traces many functions, which is what we do.
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    # A product in float32 is judged as one in float32, on devices that have less as well.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return TensorFlow(name, differentiate, device)
