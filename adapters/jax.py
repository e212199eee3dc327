"""JAX: the network in jax.numpy and jax.nn, differentiated by JAX's transforms.

JAX itself has no costs, so all of them are written out here, most of them as optax writes them, and
summed over the batch; the mean over the batch divides that sum by m.
"""

from __future__ import annotations

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
from .idioms.jax import JAX
from .implementation import UnsupportedError, affordable, unspoilt
from .modes import in_forward_mode

Tensor = Any
Tensors = Sequence[Tensor]

#: σ by name, a function of z (m, n_l) and its parameters, and C, a function of a^L and y (m, n_L) and its parameters.
FUNCTIONS = JAX.functions()

#: W^l (n_l, n_{l-1}), b^l (n_l,) and Δz^l (m, n_l), or the cost's derivatives by them: dW^l, db^l and δ^l.
Variables = tuple[Tensors, Tensors, Tensors]


#: The cost (a scalar), and z^l and a^l.
Forward = tuple[Tensor, tuple[Tensors, Tensors]]
#: One layer: z^l and a^l, of a^{l-1}, W^l, b^l and Δz^l.
Step = Callable[[Layer, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _layer(layer: Layer, a: Tensor, W: Tensor, b: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    z = jnp.matmul(a, W.T) + b + shift
    return z, FUNCTIONS[layer.activation](z, *layer.parameters)


def network(
    architecture: Architecture, variables: Variables, x: Tensor, y: Tensor, step: Step = _layer
) -> Forward:
    """Go forward; Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l."""
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
        z, a = step(layer, a, W, b, shift)
        zs.append(z)
        activations.append(a)
    cost = architecture.cost
    total = FUNCTIONS[cost.name](a, y, *cost.parameters)
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
        return JAX.labels()


def load(mode: str) -> Jax:
    """Start JAX in a mode, on a platform where one is named after it, as in ``jit@gpu``."""
    base, _, device = mode.partition("@")
    return start(f"jax:{mode}", DIFFERENTIATE[base], device or "cpu")


def start(name: str, differentiate: Callable[[Architecture], Answer], device: str = "cpu") -> Jax:
    """Start JAX with float64 allowed, and products in their own precision on devices that would rather have less."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    return Jax(name, differentiate, device)
