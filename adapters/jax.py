"""JAX: the network in jax.numpy and jax.nn, differentiated by JAX's transforms.

JAX itself has no costs, so all of them are written out here, most of them as optax writes them, and
summed over the batch; the mean over the batch divides that sum by m.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

# XLA reads its flags once, when it starts. Workers run side by side, a core each.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("PJRT_NPROC", "1")

import jax
import jax.numpy as jnp

from ..reference.network import Architecture, Array, Case, Gradients, Layer
from .implementation import UnsupportedError, affordable, unspoilt
from .modes import in_forward_mode

Tensor = Any
Tensors = Sequence[Tensor]

#: σ by name: which function is judged, and that function of z (m, n_l), and of alpha where there is one.
ACTIVATIONS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "identity": ("jax.nn.identity", jax.nn.identity),
    "sigmoid": ("jax.nn.sigmoid", jax.nn.sigmoid),
    "tanh": ("jax.numpy.tanh", jnp.tanh),
    "relu": ("jax.nn.relu", jax.nn.relu),
    "relu6": ("jax.nn.relu6", jax.nn.relu6),
    "leaky_relu": ("jax.nn.leaky_relu", jax.nn.leaky_relu),
    "elu": ("jax.nn.elu", jax.nn.elu),
    "celu": ("jax.nn.celu", jax.nn.celu),
    "selu": ("jax.nn.selu", jax.nn.selu),
    "gelu": ("jax.nn.gelu, approximate=False", partial(jax.nn.gelu, approximate=False)),
    "gelu_tanh": ("jax.nn.gelu, approximate=True", partial(jax.nn.gelu, approximate=True)),
    "silu": ("jax.nn.silu", jax.nn.silu),
    "mish": ("jax.nn.mish", jax.nn.mish),
    "softplus": ("jax.nn.softplus", jax.nn.softplus),
    "softsign": ("jax.nn.soft_sign", jax.nn.soft_sign),
    "hardtanh": ("jax.nn.hard_tanh", jax.nn.hard_tanh),
    "hardsigmoid": ("jax.nn.hard_sigmoid", jax.nn.hard_sigmoid),
    "hardswish": ("jax.nn.hard_swish", jax.nn.hard_swish),
    "log_sigmoid": ("jax.nn.log_sigmoid", jax.nn.log_sigmoid),
    "softmax": ("jax.nn.softmax", partial(jax.nn.softmax, axis=-1)),
    "log_softmax": ("jax.nn.log_softmax", partial(jax.nn.log_softmax, axis=-1)),
}


def _huber(a: Tensor, y: Tensor, delta: float) -> Tensor:
    # As optax: the derivative is right also where minimum meets its tie.
    size = jnp.abs(a - y)
    quadratic = jnp.minimum(size, delta)
    return 0.5 * quadratic**2 + delta * (size - quadratic)


def _log_cosh(a: Tensor, y: Tensor) -> Tensor:
    r = a - y
    return jnp.logaddexp(r, -r) - math.log(2.0)


def _plogq(p: Tensor, q: Tensor) -> Tensor:
    # The derivative of xlogy(p, q) is p / q: NaN where both are zero, as they are once a softmax underflows.
    return p * jnp.log(jnp.where(p == 0, 1.0, q))


def _binary_cross_entropy(a: Tensor, y: Tensor) -> Tensor:
    return -(_plogq(y, a) + (1 - y) * jnp.log1p(-jnp.where(y == 1, 0.0, a)))


#: C by name: which function is judged, and its terms (m, n_L) as a function of a^L, of y, and of delta
#: where there is one.
COSTS: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "half_squared_error": ("composed: ½ square(a - y)", lambda a, y: 0.5 * jnp.square(a - y)),
    "squared_error": ("composed: square(a - y)", lambda a, y: jnp.square(a - y)),
    "absolute_error": ("composed: abs(a - y)", lambda a, y: jnp.abs(a - y)),
    "huber": ("composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)", _huber),
    "log_cosh": ("composed: logaddexp(a - y, y - a) - log 2", _log_cosh),
    "hinge": ("composed: maximum(0, 1 - y a)", lambda a, y: jnp.maximum(0, 1 - y * a)),
    "squared_hinge": (
        "composed: square(maximum(0, 1 - y a))",
        lambda a, y: jnp.square(jnp.maximum(0, 1 - y * a)),
    ),
    "binary_cross_entropy": (
        "composed: -(y log(where(y = 0, 1, a)) + (1 - y) log1p(-where(y = 1, 0, a)))",
        _binary_cross_entropy,
    ),
    "binary_cross_entropy_with_logits": (
        "composed: -y jax.nn.log_sigmoid(a) - (1 - y) jax.nn.log_sigmoid(-a)",
        lambda a, y: -y * jax.nn.log_sigmoid(a) - (1 - y) * jax.nn.log_sigmoid(-a),
    ),
    "cross_entropy": ("composed: -y log(where(y = 0, 1, a))", lambda a, y: -_plogq(y, a)),
    "softmax_cross_entropy": (
        "composed: -y jax.nn.log_softmax(a)",
        lambda a, y: -y * jax.nn.log_softmax(a, axis=-1),
    ),
    "negative_log_likelihood": ("composed: -y a", lambda a, y: -y * a),
    "kl_divergence": (
        "composed: y (log(where(y = 0, 1, y)) - a)",
        lambda a, y: y * (jnp.log(jnp.where(y == 0, 1.0, y)) - a),
    ),
    "poisson": ("composed: exp(a) - y a", lambda a, y: jnp.exp(a) - y * a),
}


#: W^l (n_l, n_{l-1}), b^l (n_l,) and Δz^l (m, n_l), or the cost's derivatives by them: dW^l, db^l and δ^l.
Variables = tuple[Tensors, Tensors, Tensors]


#: The cost (a scalar), and z^l and a^l.
Forward = tuple[Tensor, tuple[Tensors, Tensors]]
#: One layer: z^l and a^l, of a^{l-1}, W^l, b^l and Δz^l.
Step = Callable[[Layer, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _layer(layer: Layer, a: Tensor, W: Tensor, b: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    z = jnp.matmul(a, W.T) + b + shift
    activation = ACTIVATIONS[layer.activation][1]
    return z, activation(z) if layer.alpha is None else activation(z, layer.alpha)


def network(
    architecture: Architecture, variables: Variables, x: Tensor, y: Tensor, step: Step = _layer
) -> Forward:
    """Go forward; Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l."""
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
        z, a = step(layer, a, W, b, shift)
        zs.append(z)
        activations.append(a)
    cost, delta = COSTS[architecture.cost.name][1], architecture.cost.delta
    total = jnp.sum(cost(a, y) if delta is None else cost(a, y, delta))
    return total / x.shape[0] if architecture.reduction == "mean" else total, (zs, activations)


#: Of the variables, x and y: the way forward.
Network = Callable[[Variables, Tensor, Tensor], Forward]
#: Of the variables, x and y: the way forward, and the derivatives.
Answer = Callable[[Variables, Tensor, Tensor], tuple[Forward, Variables]]


def reverse(network: Network) -> Answer:
    """Differentiate by what JAX recorded on the way forward."""
    answer: Answer = jax.value_and_grad(network, has_aux=True)
    return answer


def _forward(network: Network) -> Answer:
    """Differentiate by all components at once, a column each."""

    def cost(*arguments: Any) -> tuple[Tensor, Forward]:
        forward = network(*arguments)
        return forward[0], forward

    def answer(variables: Variables, x: Tensor, y: Tensor) -> tuple[Forward, Variables]:
        derivatives, forward = jax.jacfwd(cost, has_aux=True)(variables, x, y)
        return forward, derivatives

    return answer


def _by_example(network: Network, mean: bool) -> Answer:
    """Differentiate each example's share of the cost by itself, and add up the gradients."""

    def share(W: Tensors, b: Tensors, shift: Tensors, x: Tensor, y: Tensor, m: int) -> Forward:
        rows = [one[None] for one in shift]
        cost, (z, a) = network((W, b, rows), x[None], y[None])
        return cost / m if mean else cost, ([one[0] for one in z], [one[0] for one in a])

    def answer(variables: Variables, x: Tensor, y: Tensor) -> tuple[Forward, Variables]:
        one = jax.value_and_grad(partial(share, m=x.shape[0]), argnums=(0, 1, 2), has_aux=True)
        mapped = jax.vmap(one, in_axes=(None, None, 0, 0, 0))
        (costs, outputs), (dW, db, delta) = mapped(*variables, x, y)
        total = partial(jax.tree.map, partial(jnp.sum, axis=0))
        return (total(costs), outputs), (total(dW), total(db), delta)

    return answer


#: A layer that keeps its inputs only, and is gone through once more on the way back.
_checkpoint = jax.checkpoint(_layer, static_argnums=0)

#: How each mode makes, of an architecture, what answers its cases.
DIFFERENTIATE: dict[str, Callable[[Architecture], Answer]] = {
    "jit": lambda architecture: jax.jit(reverse(partial(network, architecture))),
    "eager": lambda architecture: reverse(partial(network, architecture)),
    "forward": lambda architecture: jax.jit(_forward(partial(network, architecture))),
    "vmap": lambda architecture: jax.jit(
        _by_example(partial(network, architecture), architecture.reduction == "mean")
    ),
    "checkpoint": lambda architecture: jax.jit(reverse(partial(network, architecture, step=_checkpoint))),
}

#: How many compiled architectures are kept. Cases of one come together, and there may be thousands.
_KEPT = 4


def _arrays(tensors: Tensors) -> list[Array]:
    return [np.asarray(tensor) for tensor in tensors]


class Jax:
    """JAX in one mode."""

    version = str(jax.__version__)
    language = "Python"

    def __init__(
        self, name: str, differentiate: Callable[[Architecture], Answer], device: str = "cpu"
    ) -> None:
        self.name = name
        try:
            self._device, self._missing = jax.devices(device)[0], ""
        except RuntimeError as error:
            self._missing = f"JAX cannot use the platform {device!r} here: {str(error).splitlines()[0]}"
        self._differentiate = differentiate
        self._answers: dict[tuple[Architecture, str], Answer] = {}

    def _answer(self, architecture: Architecture, precision: str) -> Answer:
        if (architecture, precision) not in self._answers:
            if len(self._answers) == _KEPT:
                # JAX holds on to what it traced and compiled until it is told not to.
                self._answers.clear()
                jax.clear_caches()
            self._answers[architecture, precision] = self._differentiate(architecture)
        return self._answers[architecture, precision]

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        if self._missing:
            raise UnsupportedError(self._missing)
        with jax.default_device(self._device):
            return self._gradients(case)

    def _gradients(self, case: Case) -> Gradients:
        if in_forward_mode(self.name):
            affordable(case)
        shifts = [np.zeros((case.batch, layer.width), case.dtype) for layer in case.architecture.layers]
        answer = self._answer(case.architecture, case.precision)
        variables = (case.parameters.weights, case.parameters.biases, shifts)
        try:
            (cost, (z, a)), (dW, db, delta) = answer(variables, case.x, case.y)
        except NotImplementedError as error:  # no kernel for this precision
            raise UnsupportedError(f"JAX declines: {error}") from None
        gradients = Gradients(_arrays(dW), _arrays(db), np.asarray(cost), *map(_arrays, (delta, z, a)))
        return unspoilt(gradients) if in_forward_mode(self.name) else gradients

    def functions(self) -> Mapping[str, str]:
        """Say which of JAX's functions is judged."""
        return {name: label for name, (label, _) in (ACTIVATIONS | COSTS).items()}


def load(mode: str) -> Jax:
    """Start JAX in a mode, on a platform where one is named after it, as in ``jit@gpu``."""
    base, _, device = mode.partition("@")
    return start(f"jax:{mode}", DIFFERENTIATE[base], device or "cpu")


def start(name: str, differentiate: Callable[[Architecture], Answer], device: str = "cpu") -> Jax:
    """Start JAX with float64 allowed, and products in their own precision on devices that would rather have less."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    return Jax(name, differentiate, device)
