"""Keras 3: layers, activations and losses of Keras, differentiated by its backend; a mode is a backend.

Keras averages a loss over the last axis. Every output is given an axis of its own, over which that divides by 1;
then all are added up, and divided by m where the case asks for the mean over the batch. What Keras does not have,
or has as another function, is declined and not composed: TensorFlow, PyTorch and JAX are judged by themselves.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..reference.network import Architecture, Case, Gradients
from .implementation import Implementation, UnsupportedError

Tensor = Any
Tensors = Sequence[Tensor]
Variables = tuple[Tensors, Tensors, Tensors]
Options = Mapping[str, Any]

#: σ by name: which function of keras.activations is judged, and with what besides z. Keras itself may not be
#: imported before the backend is chosen.
ACTIVATIONS: dict[str, tuple[str, Options]] = {
    "identity": ("linear", {}),
    "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}),
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "leaky_relu": ("leaky_relu", {}),
    "elu": ("elu", {}),
    "celu": ("celu", {}),
    "selu": ("selu", {}),
    "gelu": ("gelu", {"approximate": False}),
    "gelu_tanh": ("gelu", {"approximate": True}),
    "silu": ("silu", {}),
    "mish": ("mish", {}),
    "softplus": ("softplus", {}),
    "softsign": ("softsign", {}),
    "hardtanh": ("hard_tanh", {}),
    "hardsigmoid": ("hard_sigmoid", {}),
    "hardswish": ("hard_silu", {}),
    "log_sigmoid": ("log_sigmoid", {}),
    "softmax": ("softmax", {"axis": -1}),
    "log_softmax": ("log_softmax", {"axis": -1}),
}

#: C by name: which function of keras.losses is judged, with what besides y and a^L, and by what it is multiplied.
COSTS: dict[str, tuple[str, Options, float]] = {
    "half_squared_error": ("mean_squared_error", {}, 0.5),
    "squared_error": ("mean_squared_error", {}, 1.0),
    "absolute_error": ("mean_absolute_error", {}, 1.0),
    "huber": ("huber", {}, 1.0),
    "log_cosh": ("log_cosh", {}, 1.0),
    "hinge": ("hinge", {}, 1.0),
    "squared_hinge": ("squared_hinge", {}, 1.0),
    "binary_cross_entropy": ("binary_crossentropy", {}, 1.0),
    "binary_cross_entropy_with_logits": ("binary_crossentropy", {"from_logits": True}, 1.0),
    "softmax_cross_entropy": ("categorical_crossentropy", {"from_logits": True}, 1.0),
}

#: The costs that Keras does not have, and why what comes near is another function.
DECLINED = {
    "cross_entropy": "keras.losses.categorical_crossentropy divides a by its sum",
    "negative_log_likelihood": "Keras has no loss on log-probabilities",
    "kl_divergence": "keras.losses.kl_divergence takes probabilities and not their logarithms",
    "poisson": "keras.losses.poisson takes the rate and not its logarithm",
}


def network(architecture: Architecture) -> Any:
    """Build the layers, in Keras's present floatx; gives the way forward as a function of the variables, x and y."""
    import keras

    cost, precision = architecture.cost, keras.config.floatx()
    if cost.name in DECLINED:
        raise UnsupportedError(f"Keras declines {cost.name}: {DECLINED[cost.name]}")
    layers = []
    for n, layer in zip(architecture.widths, architecture.layers, strict=False):
        # The policy of layers is decided once, by the first floatx; each is told the present one.
        dense = keras.layers.Dense(layer.width, dtype=precision)
        dense.build((None, n))
        name, options = ACTIVATIONS[layer.activation]
        if layer.alpha is not None:
            options = {"negative_slope" if name == "leaky_relu" else "alpha": layer.alpha}
        layers.append((dense, getattr(keras.activations, name), options))
    name, options, factor = COSTS[cost.name]
    if cost.delta is not None:
        options = {"delta": cost.delta}
    loss = getattr(keras.losses, name)

    def forward(variables: Variables, x: Tensor, y: Tensor) -> tuple[Tensor, Tensors, Tensors]:
        a, zs, activations = x, [], []
        for (dense, activation, chosen), W, b, shift in zip(layers, *variables, strict=True):
            # Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l.
            z = dense.stateless_call([keras.ops.transpose(W), b], [], a)[0] + shift
            a = activation(z, **chosen)
            zs.append(z)
            activations.append(a)
        outputs = (y, a) if name == "categorical_crossentropy" else (y[..., None], a[..., None])
        # Not every loss answers in the precision that it was asked in.
        total = keras.ops.cast(factor * keras.ops.sum(loss(*outputs, **options)), precision)
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
        try:
            return self._backend.gradients(case)
        except RuntimeError as error:
            if "between 0 and 1" not in str(error):
                raise
            raise UnsupportedError(f"torch.nn.functional.binary_cross_entropy declines: {error}") from None

    def functions(self) -> Mapping[str, str]:
        """Say which of Keras's functions is judged."""

        def label(home: str, function: str, options: Options) -> str:
            return ", ".join(
                [f"keras.{home}.{function}", *(f"{key}={value}" for key, value in options.items())]
            )

        activations = {name: label("activations", *entry) for name, entry in ACTIVATIONS.items()}
        costs = {name: label("losses", *entry[:2]) for name, entry in COSTS.items()}
        return {**activations, **costs, **{name: f"declined: {why}" for name, why in DECLINED.items()}}


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
