"""Activations, costs and the network, written out in the primitives that every array library has.

For libraries that differentiate but have few or no neural functions of their own. An adapter gives its library's
primitives, replaces every entry for which the library has a function, and differentiates ``network``. The formulas
are the usual ones, with two cares that automatic differentiation asks for: where a side is chosen, it is chosen by
``where``, since the derivative of ``abs`` or ``minimum`` at a tie is anybody's choice; and what would overflow on the
side that is not taken is replaced before it does, since 0 · inf is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..reference.network import Architecture
from .implementation import UnsupportedError
from .rows import Function, Names, Row, Text, compiled, labels

Tensor = Any
Tensors = Sequence[Tensor]

#: W^l (n_l, n_{l-1}), b^l (n_l,) and Δz^l (m, n_l), or the cost's derivatives by them: dW^l, db^l and δ^l.
Variables = tuple[Tensors, Tensors, Tensors]
#: The cost (a scalar), z^l and a^l.
Forward = tuple[Tensor, Tensors, Tensors]


@dataclass(frozen=True)
class Primitives:
    """A library's elementary functions; ``total`` adds up all of an array.

    ``erf`` is None where there is none: what needs it is then declined. ``softplus`` need not be given: it is composed.
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

    def names(self) -> dict[str, Function | None]:
        """Return what the texts of ROWS name: the primitives, None for those that are lacking, and what they make."""
        return {**vars(self), "softplus": self._softplus, "square": _square, "plogq": self._plogq}

    def _softplus(self, z: Tensor) -> Tensor:
        if self.softplus is not None:
            return self.softplus(z)
        size = self.where(z > 0, z, -z)
        return self.where(z > 0, z, 0.0) + self.log1p(self.exp(-size))

    def _plogq(self, p: Tensor, q: Tensor) -> Tensor:
        # The derivative is p / q: NaN where both are zero, as they are once a softmax underflows.
        # It is p ≠ 0, for libraries where == compares objects.
        return p * self.log(self.where(self.absolute(p) > 0, q, 1.0))


def _square(r: Tensor) -> Tensor:
    return r * r


#: Activations, and the terms of costs, in terms of the primitives.
ROWS = {
    "identity": Row("z", "composed: z"),
    "sigmoid": Row("sigmoid(z)"),
    "tanh": Row("tanh(z)"),
    "relu": Row("maximum(z, 0.0)", "composed: maximum(z, 0)"),
    "relu6": Row("minimum(maximum(z, 0.0), 6.0)", "composed: minimum(maximum(z, 0), 6)"),
    "leaky_relu": Row("where(z > 0, z, alpha * z)", "composed: where(z > 0, z, alpha z)"),
    "elu": Row(
        "where(z > 0, z, alpha * expm1(where(z > 0, 0.0, z)))", "composed: where(z > 0, z, alpha expm1(z))"
    ),
    "celu": Row(
        "where(z > 0, z, alpha * expm1(where(z > 0, 0.0, z) / alpha))",
        "composed: where(z > 0, z, alpha expm1(z / alpha))",
    ),
    "selu": Row(
        "1.0507009873554804935 * where(z > 0, z, 1.6732632423543772848 * expm1(where(z > 0, 0.0, z)))",
        "composed: scale elu(z, alpha)",
    ),
    "gelu": Row("0.5 * z * (1.0 + erf(z * math.sqrt(0.5)))", "composed: ½ z (1 + erf(z / √2))"),
    "gelu_tanh": Row(
        "0.5 * z * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * (z * z * z))))",
        "composed: ½ z (1 + tanh(√(2/π) (z + 0.044715 z³)))",
    ),
    "silu": Row("z * sigmoid(z)", "composed: z sigmoid(z)"),
    "mish": Row("z * tanh(softplus(z))", "composed: z tanh(softplus(z))"),
    "softplus": Row("softplus(z)", "composed: where(z > 0, z, 0) + log1p(exp(-abs(z)))"),
    "squareplus": Row("(z + (z * z + 4.0) ** 0.5) / 2.0", "composed: (z + (z² + 4)^½) / 2"),
    "softsign": Row("z / (1.0 + absolute(z))", "composed: z / (1 + abs(z))"),
    "hardtanh": Row("minimum(maximum(z, -1.0), 1.0)", "composed: minimum(maximum(z, -1), 1)"),
    "hardsigmoid": Row(
        "minimum(maximum(z + 3.0, 0.0), 6.0) / 6.0", "composed: minimum(maximum(z + 3, 0), 6) / 6"
    ),
    "hardswish": Row(
        "z * minimum(maximum(z + 3.0, 0.0), 6.0) / 6.0", "composed: z minimum(maximum(z + 3, 0), 6) / 6"
    ),
    "log_sigmoid": Row("-softplus(-z)", "composed: -softplus(-z)"),
    "softmax": Row("exp(log_softmax(z))", "composed: exp(log_softmax(z))"),
    "log_softmax": Row("log_softmax(z)"),
    "half_squared_error": Row("0.5 * square(a - y)", "composed: ½ (a - y)²"),
    "squared_error": Row("square(a - y)", "composed: (a - y)²"),
    "absolute_error": Row("absolute(a - y)", "composed: abs(a - y)"),
    "huber": Row(
        """
        def huber(a, y, delta):
            size = absolute(a - y)
            quadratic = minimum(size, delta)
            return 0.5 * square(quadratic) + delta * (size - quadratic)
        """,
        "composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)",
    ),
    "smooth_l1": Row(
        """
        def smooth_l1(a, y, beta):
            size = absolute(a - y)
            return where(size < beta, 0.5 * square(size) / beta, size - 0.5 * beta)
        """,
        "composed: r = abs(a - y); where(r < beta, ½ r² / beta, r - ½ beta)",
    ),
    "log_cosh": Row(
        "(a - y) + softplus(-2.0 * (a - y)) - math.log(2.0)",
        "composed: r + softplus(-2 r) - log 2, r = a - y",
    ),
    "hinge": Row("maximum(1.0 - y * a, 0.0)", "composed: maximum(1 - y a, 0)"),
    "squared_hinge": Row("square(maximum(1.0 - y * a, 0.0))", "composed: maximum(1 - y a, 0)²"),
    "binary_cross_entropy": Row(
        "-(plogq(y, a) + (1.0 - y) * log1p(-where(absolute(1.0 - y) > 0, a, 0.0)))",
        "composed: -(y log(where(y = 0, 1, a)) + (1 - y) log1p(-where(y = 1, 0, a)))",
    ),
    "binary_cross_entropy_with_logits": Row("softplus(a) - y * a", "composed: softplus(a) - y a"),
    "cross_entropy": Row("-plogq(y, a)", "composed: -y log(where(y = 0, 1, a))"),
    "softmax_cross_entropy": Row("-(y * log_softmax(a))", "composed: -y log_softmax(a)"),
    "negative_log_likelihood": Row("-(y * a)", "composed: -y a"),
    "kl_divergence": Row("plogq(y, y) - y * a", "composed: y (log(where(y = 0, 1, y)) - a)"),
    "poisson": Row("exp(a) - y * a", "composed: exp(a) - y a"),
}


@dataclass(frozen=True)
class Functions:
    """What a library answers with: σ and the terms of C by name, which function each is, and the sum of the terms."""

    compiled: Mapping[str, Function]
    labels: Mapping[str, str]
    total: Function

    def network(
        self, architecture: Architecture, variables: Variables, x: Tensor, y: Tensor, batch: int
    ) -> Forward:
        """Go forward; Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l.

        Raises UnsupportedError where the library cannot compose a function.
        """
        a, zs, activations = x, [], []
        for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
            z = a @ W.T + b + shift
            if layer.activation not in self.compiled:
                raise UnsupportedError(f"nothing to compose {layer.activation} of")
            a = self.compiled[layer.activation](z, *layer.parameters)
            zs.append(z)
            activations.append(a)
        cost = architecture.cost
        total = self.total(self.compiled[cost.name](a, y, *cost.parameters))
        return total / batch if architecture.reduction == "mean" else total, zs, activations


def functions(library: str, primitives: Primitives, names: Names, **own: Row) -> Functions:
    """Compose all activations and costs of a library's primitives, but for those that it has functions of its own for.

    Texts of ``own`` name primitives, or what ``names`` says.
    """
    given = {**primitives.names(), "math": "math"}
    known = {name: one for name, one in given.items() if one is not None}
    rows = {
        name: row
        for name, row in ROWS.items()
        if name not in own and known.keys() >= given.keys() & Text(name, row.text).names
    }
    named = {**known, **names}
    return Functions(
        {**compiled(rows, known, library), **compiled(own, named, library)},
        {**labels(rows, known), **labels(own, named)},
        primitives.total,
    )
