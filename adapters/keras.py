"""Keras 3: layers, activations and losses of Keras, differentiated by its backend; a mode is a backend.

Keras averages a loss over the last axis. Every output is given an axis of its own, over which that divides by 1;
then all are added up, and divided by m where the case asks for the mean over the batch. What Keras does not have,
or has as another function, is declined and not composed: TensorFlow, PyTorch and JAX are judged by themselves.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from ..reference.network import Architecture, Case, Gradients
from .implementation import Implementation, UnsupportedError
from .rows import Function, Row, compiled, labels

Tensor = Any
Tensors = Sequence[Tensor]
Variables = tuple[Tensors, Tensors, Tensors]


def _loss(name: str, options: str = "") -> Row:
    """Use a loss of Keras, with an axis for every output; add up what it makes of each."""
    home = f"keras.losses.{name}"
    return Row(f"keras.ops.sum({home}(y[..., None], a[..., None]{options}))", home + options)


#: σ, a function of z and its parameters, and C, a function of a^L and y and its parameters.
ROWS = {
    "identity": Row("keras.activations.linear(z)"),
    "sigmoid": Row("keras.activations.sigmoid(z)"),
    "tanh": Row("keras.activations.tanh(z)"),
    "relu": Row("keras.activations.relu(z)"),
    "relu6": Row("keras.activations.relu6(z)"),
    "leaky_relu": Row("keras.activations.leaky_relu(z, negative_slope=alpha)"),
    "elu": Row("keras.activations.elu(z, alpha=alpha)"),
    "celu": Row("keras.activations.celu(z, alpha=alpha)"),
    "selu": Row("keras.activations.selu(z)"),
    "gelu": Row("keras.activations.gelu(z, approximate=False)", "keras.activations.gelu, approximate=False"),
    "gelu_tanh": Row(
        "keras.activations.gelu(z, approximate=True)", "keras.activations.gelu, approximate=True"
    ),
    "silu": Row("keras.activations.silu(z)"),
    "mish": Row("keras.activations.mish(z)"),
    "softplus": Row("keras.activations.softplus(z)"),
    "squareplus": Row("keras.activations.squareplus(z)"),
    "softsign": Row("keras.activations.softsign(z)"),
    "hardtanh": Row("keras.activations.hard_tanh(z)"),
    "hardsigmoid": Row("keras.activations.hard_sigmoid(z)"),
    "hardswish": Row("keras.activations.hard_silu(z)"),
    "log_sigmoid": Row("keras.activations.log_sigmoid(z)"),
    "softmax": Row("keras.activations.softmax(z, axis=-1)", "keras.activations.softmax, axis=-1"),
    "log_softmax": Row("keras.activations.log_softmax(z, axis=-1)", "keras.activations.log_softmax, axis=-1"),
    "half_squared_error": Row(
        "0.5 * keras.ops.sum(keras.losses.mean_squared_error(y[..., None], a[..., None]))",
        "½ keras.losses.mean_squared_error",
    ),
    "squared_error": _loss("mean_squared_error"),
    "absolute_error": _loss("mean_absolute_error"),
    "huber": Row(
        "keras.ops.sum(keras.losses.huber(y[..., None], a[..., None], delta=delta))", "keras.losses.huber"
    ),
    "log_cosh": _loss("log_cosh"),
    "hinge": _loss("hinge"),
    "squared_hinge": _loss("squared_hinge"),
    "binary_cross_entropy": _loss("binary_crossentropy"),
    "binary_cross_entropy_with_logits": _loss("binary_crossentropy", ", from_logits=True"),
    "softmax_cross_entropy": Row(
        "keras.ops.sum(keras.losses.categorical_crossentropy(y, a, from_logits=True))",
        "keras.losses.categorical_crossentropy, from_logits=True",
    ),
}

#: The costs that Keras does not have, and why what comes near is another function.
DECLINED = {
    "smooth_l1": "Keras has no loss with a beta: keras.losses.huber is beta times as large",
    "cross_entropy": "keras.losses.categorical_crossentropy divides a by its sum",
    "negative_log_likelihood": "Keras has no loss on log-probabilities",
    "kl_divergence": "keras.losses.kl_divergence takes probabilities and not their logarithms",
    "poisson": "keras.losses.poisson takes the rate and not its logarithm",
}


NAMES = {"keras": "keras"}


@cache
def _functions() -> Mapping[str, Function]:
    """Compile ROWS; Keras itself may not be imported before its backend is chosen."""
    return compiled(ROWS, NAMES, "keras")


def network(architecture: Architecture) -> Any:
    """Build the layers, in Keras's present floatx; gives the way forward as a function of the variables, x and y."""
    import keras

    cost, precision, functions = architecture.cost, keras.config.floatx(), _functions()
    if cost.name in DECLINED:
        raise UnsupportedError(f"Keras declines {cost.name}: {DECLINED[cost.name]}")
    layers = []
    for n, layer in zip(architecture.widths, architecture.layers, strict=False):
        # The policy of layers is decided once, by the first floatx; each is told the present one.
        dense = keras.layers.Dense(layer.width, dtype=precision)
        dense.build((None, n))
        layers.append((dense, functions[layer.activation], layer.parameters))
    loss = functions[cost.name]

    def forward(variables: Variables, x: Tensor, y: Tensor) -> tuple[Tensor, Tensors, Tensors]:
        a, zs, activations = x, [], []
        for (dense, activation, parameters), W, b, shift in zip(layers, *variables, strict=True):
            # Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l.
            z = dense.stateless_call([keras.ops.transpose(W), b], [], a)[0] + shift
            a = activation(z, *parameters)
            zs.append(z)
            activations.append(a)
        # Not every loss answers in the precision that it was asked in.
        total = keras.ops.cast(loss(a, y, *cost.parameters), precision)
        return total / x.shape[0] if architecture.reduction == "mean" else total, zs, activations

    return forward


#: How each backend, which is a mode, makes of an architecture what answers its cases. TensorFlow and JAX compile, as
#: Keras does when it trains; PyTorch does not.
DIFFERENTIATE: dict[str, Callable[[Any, Architecture], Any]] = {
    "tensorflow": lambda backend, one: backend.tf.function(backend.reverse(network(one))),
    "torch": lambda backend, one: backend.reverse(network(one)),
    "jax": lambda backend, one: backend.jax.jit(backend.reverse(_paired(one))),
}


class Keras:
    """Keras on one backend; ``backend`` converts, differentiates, and keeps what it has traced."""

    language = "Python"

    def __init__(self, mode: str, backend: Implementation) -> None:
        import keras

        self.name, self.version = f"keras:{mode}", str(keras.__version__)
        self._backend, self._keras = backend, keras

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        kept = self._keras.backend.result_type(case.precision, case.precision)
        if (
            kept != case.precision
        ):  # float64, except on TensorFlow: matmul, mean and more would answer in float32
            raise UnsupportedError(
                f"Keras declines {case.precision}: on {self.name[6:]} it computes in {kept}"
            )
        self._keras.config.set_floatx(case.precision)
        return self._backend.gradients(case)

    def functions(self) -> Mapping[str, str]:
        """Say which of Keras's functions is judged."""
        return labels(ROWS, NAMES) | {name: f"declined: {why}" for name, why in DECLINED.items()}


def load(mode: str) -> Keras:
    """Start Keras on a backend, which it chooses while it is imported."""
    os.environ["KERAS_BACKEND"] = mode
    backend = importlib.import_module(f".{mode}", __package__)
    return Keras(mode, backend.start(f"keras:{mode}", partial(DIFFERENTIATE[mode], backend)))


def _paired(architecture: Architecture) -> Any:
    """Give the way forward as JAX takes it: the cost, and everything else in one."""
    forward = network(architecture)

    def paired(*arguments: Any) -> tuple[Tensor, tuple[Tensors, Tensors]]:
        cost, z, a = forward(*arguments)
        return cost, (z, a)

    return paired
