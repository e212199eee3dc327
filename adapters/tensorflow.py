"""TensorFlow: the network in tf.nn and tf.math, without Keras, differentiated by GradientTape.

TensorFlow's own costs come per example or per output, or (tf.nn.l2_loss) as the sum of everything. All are
summed over outputs and batch here; the mean over the batch divides that sum by m.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

# TensorFlow decides what to log while it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from ..reference.network import Architecture, Array, Case, Gradients
from .idioms.tensorflow import TENSORFLOW
from .implementation import UnsupportedError, affordable, unspoilt
from .modes import in_forward_mode

Tensor = Any
Tensors = Sequence[Tensor]

#: σ by name, a function of z (m, n_l) and its parameters, and C, a function of a^L and y (m, n_L) and its parameters.
FUNCTIONS = TENSORFLOW.functions()

#: W^l (n_l, n_{l-1}), b^l (n_l,) and Δz^l (m, n_l), or the cost's derivatives by them: dW^l, db^l and δ^l.
Variables = tuple[Tensors, Tensors, Tensors]
#: The cost (a scalar), z^l and a^l.
Forward = tuple[Tensor, Tensors, Tensors]


def network(architecture: Architecture, variables: Variables, x: Tensor, y: Tensor) -> Forward:
    """Go forward; Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l."""
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
        z = tf.matmul(a, W, transpose_b=True) + b + shift
        a = FUNCTIONS[layer.activation](z, *layer.parameters)
        zs.append(z)
        activations.append(a)
    cost = architecture.cost
    total = FUNCTIONS[cost.name](a, y, *cost.parameters)
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
        return TENSORFLOW.labels()


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
