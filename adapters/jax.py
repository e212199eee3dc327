"""JAX: the network in jax.numpy and jax.nn, differentiated by jax.value_and_grad.

JAX itself has no costs, so all of them are written out here, most of them as optax writes them, and
summed over the batch; the mean over the batch divides that sum by m.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

# XLA reads its flags once, when it starts. Workers run side by side, a core each.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp

from ..reference.network import Architecture, Case, Gradients
from .implementation import Implementation

Tensor = Any
Tensors = Sequence[Tensor]

#: σ by name: which function is judged, and that function of z (m, n_l) and alpha.
ACTIVATIONS: dict[str, tuple[str, Callable[[Tensor, float | None], Tensor]]] = {
    "identity": ("jax.nn.identity", lambda z, _: jax.nn.identity(z)),
    "sigmoid": ("jax.nn.sigmoid", lambda z, _: jax.nn.sigmoid(z)),
    "tanh": ("jax.numpy.tanh", lambda z, _: jnp.tanh(z)),
    "relu": ("jax.nn.relu", lambda z, _: jax.nn.relu(z)),
    "relu6": ("jax.nn.relu6", lambda z, _: jax.nn.relu6(z)),
    "leaky_relu": ("jax.nn.leaky_relu", lambda z, alpha: jax.nn.leaky_relu(z, alpha)),
    "elu": ("jax.nn.elu", lambda z, alpha: jax.nn.elu(z, alpha)),
    "celu": ("jax.nn.celu", lambda z, alpha: jax.nn.celu(z, alpha)),
    "selu": ("jax.nn.selu", lambda z, _: jax.nn.selu(z)),
    "gelu": ("jax.nn.gelu(approximate=False)", lambda z, _: jax.nn.gelu(z, approximate=False)),
    "gelu_tanh": ("jax.nn.gelu(approximate=True)", lambda z, _: jax.nn.gelu(z, approximate=True)),
    "silu": ("jax.nn.silu", lambda z, _: jax.nn.silu(z)),
    "mish": ("jax.nn.mish", lambda z, _: jax.nn.mish(z)),
    "softplus": ("jax.nn.softplus", lambda z, _: jax.nn.softplus(z)),
    "softsign": ("jax.nn.soft_sign", lambda z, _: jax.nn.soft_sign(z)),
    "hardtanh": ("jax.nn.hard_tanh", lambda z, _: jax.nn.hard_tanh(z)),
    "hardsigmoid": ("jax.nn.hard_sigmoid", lambda z, _: jax.nn.hard_sigmoid(z)),
    "hardswish": ("jax.nn.hard_swish", lambda z, _: jax.nn.hard_swish(z)),
    "log_sigmoid": ("jax.nn.log_sigmoid", lambda z, _: jax.nn.log_sigmoid(z)),
    "softmax": ("jax.nn.softmax", lambda z, _: jax.nn.softmax(z, axis=-1)),
    "log_softmax": ("jax.nn.log_softmax", lambda z, _: jax.nn.log_softmax(z, axis=-1)),
}


def _huber(a: Tensor, y: Tensor, delta: float | None) -> Tensor:
    # As optax: the derivative is right also where minimum meets its tie.
    size = jnp.abs(a - y)
    quadratic = jnp.minimum(size, delta)
    return 0.5 * quadratic**2 + delta * (size - quadratic)


def _log_cosh(a: Tensor, y: Tensor, _: float | None) -> Tensor:
    r = a - y
    return jnp.logaddexp(r, -r) - np.log(2.0).astype(r.dtype)


def _plogq(p: Tensor, q: Tensor) -> Tensor:
    # The derivative of xlogy(p, q) is p / q: NaN where both are zero, as they are once a softmax underflows.
    return p * jnp.log(jnp.where(p == 0, 1.0, q))


def _binary_cross_entropy(a: Tensor, y: Tensor, _: float | None) -> Tensor:
    return -(_plogq(y, a) + (1 - y) * jnp.log1p(-jnp.where(y == 1, 0.0, a)))


#: C by name: which function is judged, and its terms (m, n_L) as a function of a^L, y and delta.
COSTS: dict[str, tuple[str, Callable[[Tensor, Tensor, float | None], Tensor]]] = {
    "half_squared_error": ("composed: ½ square(a - y)", lambda a, y, _: 0.5 * jnp.square(a - y)),
    "squared_error": ("composed: square(a - y)", lambda a, y, _: jnp.square(a - y)),
    "absolute_error": ("composed: abs(a - y)", lambda a, y, _: jnp.abs(a - y)),
    "huber": ("composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)", _huber),
    "log_cosh": ("composed: logaddexp(a - y, y - a) - log 2", _log_cosh),
    "hinge": ("composed: maximum(0, 1 - y a)", lambda a, y, _: jnp.maximum(0, 1 - y * a)),
    "squared_hinge": (
        "composed: square(maximum(0, 1 - y a))",
        lambda a, y, _: jnp.square(jnp.maximum(0, 1 - y * a)),
    ),
    "binary_cross_entropy": (
        "composed: -(y log(where(y = 0, 1, a)) + (1 - y) log1p(-where(y = 1, 0, a)))",
        _binary_cross_entropy,
    ),
    "binary_cross_entropy_with_logits": (
        "composed: -y jax.nn.log_sigmoid(a) - (1 - y) jax.nn.log_sigmoid(-a)",
        lambda a, y, _: -y * jax.nn.log_sigmoid(a) - (1 - y) * jax.nn.log_sigmoid(-a),
    ),
    "cross_entropy": ("composed: -y log(where(y = 0, 1, a))", lambda a, y, _: -_plogq(y, a)),
    "softmax_cross_entropy": (
        "composed: -y jax.nn.log_softmax(a)",
        lambda a, y, _: -y * jax.nn.log_softmax(a, axis=-1),
    ),
    "negative_log_likelihood": ("composed: -y a", lambda a, y, _: -y * a),
    "kl_divergence": (
        "composed: y (log(where(y = 0, 1, y)) - a)",
        lambda a, y, _: y * (jnp.log(jnp.where(y == 0, 1.0, y)) - a),
    ),
    "poisson": ("composed: exp(a) - y a", lambda a, y, _: jnp.exp(a) - y * a),
}


def network(
    architecture: Architecture, variables: tuple[Tensors, Tensors, Tensors], x: Tensor, y: Tensor
) -> tuple[Tensor, tuple[Tensors, Tensors]]:
    """Give the cost, and z^l and a^l, of the variables W^l, b^l and Δz^l.

    Δz^l (m, n_l) is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l.
    """
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
        z = jnp.matmul(a, W.T) + b + shift
        a = ACTIVATIONS[layer.activation][1](z, layer.alpha)
        zs.append(z)
        activations.append(a)
    total = jnp.sum(COSTS[architecture.cost.name][1](a, y, architecture.cost.delta))
    return total / x.shape[0] if architecture.reduction == "mean" else total, (zs, activations)


#: ((cost, (z, a)), (dW, db, δ)) as a function of ((W, b, Δz), x, y).
Answer = Callable[[tuple[Tensors, Tensors, Tensors], Tensor, Tensor], Any]


def _jit(architecture: Architecture) -> Answer:
    answer: Answer = jax.jit(jax.value_and_grad(partial(network, architecture), has_aux=True))
    return answer


#: How each mode makes, of an architecture, the function that answers its cases.
_DIFFERENTIATE: dict[str, Callable[[Architecture], Answer]] = {"jit": _jit}
MODES = tuple(_DIFFERENTIATE)


@dataclass(frozen=True)
class _Jax:
    """JAX in one mode. Keeps the functions of the architectures it met last: cases of one come together."""

    mode: str
    keep: int = 4
    language: str = "Python"
    _answers: dict[Architecture, Answer] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"jax:{self.mode}"

    @property
    def version(self) -> str:
        return str(jax.__version__)

    def functions(self) -> Mapping[str, str]:
        return {name: label for name, (label, _) in (ACTIVATIONS | COSTS).items()}

    def gradients(self, case: Case) -> Gradients:
        shifts = [np.zeros((case.batch, layer.width), case.dtype) for layer in case.architecture.layers]
        variables = (list(case.parameters.weights), list(case.parameters.biases), shifts)
        (cost, (z, a)), (dW, db, delta) = self._answer(case.architecture)(variables, case.x, case.y)
        return Gradients(*(jax.tree.map(np.asarray, given) for given in (dW, db, cost, delta, z, a)))

    def _answer(self, architecture: Architecture) -> Answer:
        if architecture not in self._answers:
            if len(self._answers) >= self.keep:
                self._answers.clear()
                jax.clear_caches()
            self._answers[architecture] = _DIFFERENTIATE[self.mode](architecture)
        return self._answers[architecture]


def load(mode: str) -> Implementation:
    """Start JAX in a mode, with float64 allowed."""
    jax.config.update("jax_enable_x64", True)
    return _Jax(mode)
