"""Activations, costs and the network, written out in the primitives that every array library has.

For libraries that differentiate but have few or no neural functions of their own. An adapter gives its library's
primitives, replaces every entry for which the library has a function, and differentiates ``network``. The formulas
are the usual ones, with two cares that automatic differentiation asks for: where a side is chosen, it is chosen by
``where``, since the derivative of ``abs`` or ``minimum`` at a tie is anybody's choice; and what would overflow on the
side that is not taken is replaced before it does, since 0 · inf is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..reference.network import Architecture
from .implementation import UnsupportedError

Tensor = Any
Tensors = Sequence[Tensor]
Function = Callable[..., Tensor]
#: By name: which function is judged, and that function.
Table = Mapping[str, tuple[str, Function]]

#: W^l (n_l, n_{l-1}), b^l (n_l,) and Δz^l (m, n_l), or the cost's derivatives by them: dW^l, db^l and δ^l.
Variables = tuple[Tensors, Tensors, Tensors]
#: The cost (a scalar), z^l and a^l.
Forward = tuple[Tensor, Tensors, Tensors]


@dataclass(frozen=True)
class Primitives:
    """A library's elementary functions; ``total`` adds up all of an array.

    ``erf`` is None where there is none. ``softplus`` need not be given: it is composed.
    """

    exp: Function
    expm1: Function
    log: Function
    log1p: Function
    tanh: Function
    sigmoid: Function
    erf: Function | None
    absolute: Function
    maximum: Function
    minimum: Function
    where: Function
    total: Function
    log_softmax: Function
    softplus: Function | None = None


@dataclass(frozen=True)
class Functions:
    """What a library answers with: σ and the terms of C by name, and its sum."""

    activations: Table
    costs: Table
    total: Function

    def own(self, **functions: tuple[str, Function]) -> Functions:
        """Replace what the library has functions of its own for."""
        costs = {name: functions.get(name, entry) for name, entry in self.costs.items()}
        activations = {name: functions.get(name, entry) for name, entry in self.activations.items()}
        return replace(self, activations=activations, costs=costs)

    def labels(self) -> Mapping[str, str]:
        """Say for every activation and cost which function is judged."""
        return {name: label for name, (label, _) in {**self.activations, **self.costs}.items()}

    def network(
        self, architecture: Architecture, variables: Variables, x: Tensor, y: Tensor, batch: int
    ) -> Forward:
        """Go forward; Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l.

        Raises UnsupportedError where the library cannot compose a function.
        """
        a, zs, activations = x, [], []
        for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
            z = a @ W.T + b + shift
            if layer.activation not in self.activations:
                raise UnsupportedError(f"nothing to compose {layer.activation} of")
            activation = self.activations[layer.activation][1]
            a = activation(z) if layer.alpha is None else activation(z, layer.alpha)
            zs.append(z)
            activations.append(a)
        cost, delta = self.costs[architecture.cost.name][1], architecture.cost.delta
        total = self.total(cost(a, y) if delta is None else cost(a, y, delta))
        return total / batch if architecture.reduction == "mean" else total, zs, activations


def functions(p: Primitives) -> Functions:
    """Compose all activations and costs of a library's primitives."""
    return Functions(_activations(p), _costs(p), p.total)


def _softplus(p: Primitives, z: Tensor) -> Tensor:
    if p.softplus is not None:
        return p.softplus(z)
    size = p.where(z > 0, z, -z)
    return p.where(z > 0, z, 0.0) + p.log1p(p.exp(-size))


def _activations(p: Primitives) -> Table:
    def celu(z: Tensor, alpha: float) -> Tensor:
        return p.where(z > 0, z, alpha * p.expm1(p.where(z > 0, 0.0, z) / alpha))

    def elu(z: Tensor, alpha: float) -> Tensor:
        return p.where(z > 0, z, alpha * p.expm1(p.where(z > 0, 0.0, z)))

    def ramp(z: Tensor) -> Tensor:
        return p.minimum(p.maximum(z + 3.0, 0.0), 6.0)

    def gelu_tanh(z: Tensor) -> Tensor:
        return 0.5 * z * (1.0 + p.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * (z * z * z))))

    gelu: Table = {}
    if (erf := p.erf) is not None:
        gelu = {
            "gelu": ("composed: ½ z (1 + erf(z / √2))", lambda z: 0.5 * z * (1.0 + erf(z * math.sqrt(0.5))))
        }
    return {
        **gelu,
        "identity": ("composed: z", lambda z: z),
        "sigmoid": ("sigmoid", p.sigmoid),
        "tanh": ("tanh", p.tanh),
        "relu": ("composed: maximum(z, 0)", lambda z: p.maximum(z, 0.0)),
        "relu6": ("composed: minimum(maximum(z, 0), 6)", lambda z: p.minimum(p.maximum(z, 0.0), 6.0)),
        "leaky_relu": ("composed: where(z > 0, z, alpha z)", lambda z, alpha: p.where(z > 0, z, alpha * z)),
        "elu": ("composed: where(z > 0, z, alpha expm1(z))", elu),
        "celu": ("composed: where(z > 0, z, alpha expm1(z / alpha))", celu),
        "selu": (
            "composed: scale elu(z, alpha)",
            lambda z: 1.0507009873554804935 * elu(z, 1.6732632423543772848),
        ),
        "gelu_tanh": ("composed: ½ z (1 + tanh(√(2/π) (z + 0.044715 z³)))", gelu_tanh),
        "silu": ("composed: z sigmoid(z)", lambda z: z * p.sigmoid(z)),
        "mish": ("composed: z tanh(softplus(z))", lambda z: z * p.tanh(_softplus(p, z))),
        "softplus": ("composed: where(z > 0, z, 0) + log1p(exp(-abs(z)))", lambda z: _softplus(p, z)),
        "softsign": ("composed: z / (1 + abs(z))", lambda z: z / (1.0 + p.absolute(z))),
        "hardtanh": (
            "composed: minimum(maximum(z, -1), 1)",
            lambda z: p.minimum(p.maximum(z, -1.0), 1.0),
        ),
        "hardsigmoid": ("composed: minimum(maximum(z + 3, 0), 6) / 6", lambda z: ramp(z) / 6.0),
        "hardswish": ("composed: z minimum(maximum(z + 3, 0), 6) / 6", lambda z: z * ramp(z) / 6.0),
        "log_sigmoid": ("composed: -softplus(-z)", lambda z: -_softplus(p, -z)),
        "softmax": ("composed: exp(log_softmax(z))", lambda z: p.exp(p.log_softmax(z))),
        "log_softmax": ("log_softmax", p.log_softmax),
    }


def _costs(p: Primitives) -> Table:
    def plogq(y: Tensor, q: Tensor) -> Tensor:
        # The derivative is y / q: NaN where both are zero, as they are once a softmax underflows.
        # It is y ≠ 0, for libraries where == compares objects.
        return y * p.log(p.where(p.absolute(y) > 0, q, 1.0))

    def binary_cross_entropy(a: Tensor, y: Tensor) -> Tensor:
        return -(plogq(y, a) + (1.0 - y) * p.log1p(-p.where(p.absolute(1.0 - y) > 0, a, 0.0)))

    def huber(a: Tensor, y: Tensor, delta: float) -> Tensor:
        size = p.absolute(a - y)
        quadratic = p.minimum(size, delta)
        return 0.5 * (quadratic * quadratic) + delta * (size - quadratic)

    def squared(r: Tensor) -> Tensor:
        return r * r

    return {
        "half_squared_error": ("composed: ½ (a - y)²", lambda a, y: 0.5 * squared(a - y)),
        "squared_error": ("composed: (a - y)²", lambda a, y: squared(a - y)),
        "absolute_error": ("composed: abs(a - y)", lambda a, y: p.absolute(a - y)),
        "huber": ("composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)", huber),
        "log_cosh": (
            "composed: r + softplus(-2 r) - log 2, r = a - y",
            lambda a, y: (a - y) + _softplus(p, -2.0 * (a - y)) - math.log(2.0),
        ),
        "hinge": ("composed: maximum(1 - y a, 0)", lambda a, y: p.maximum(1.0 - y * a, 0.0)),
        "squared_hinge": (
            "composed: maximum(1 - y a, 0)²",
            lambda a, y: squared(p.maximum(1.0 - y * a, 0.0)),
        ),
        "binary_cross_entropy": (
            "composed: -(y log(where(y = 0, 1, a)) + (1 - y) log1p(-where(y = 1, 0, a)))",
            binary_cross_entropy,
        ),
        "binary_cross_entropy_with_logits": (
            "composed: softplus(a) - y a",
            lambda a, y: _softplus(p, a) - y * a,
        ),
        "cross_entropy": ("composed: -y log(where(y = 0, 1, a))", lambda a, y: -plogq(y, a)),
        "softmax_cross_entropy": (
            "composed: -y log_softmax(a)",
            lambda a, y: -(y * p.log_softmax(a)),
        ),
        "negative_log_likelihood": ("composed: -y a", lambda a, y: -(y * a)),
        "kl_divergence": (
            "composed: y (log(where(y = 0, 1, y)) - a)",
            lambda a, y: plogq(y, y) - y * a,
        ),
        "poisson": ("composed: exp(a) - y a", lambda a, y: p.exp(a) - y * a),
    }
