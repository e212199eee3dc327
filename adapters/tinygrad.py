"""tinygrad on the CPU: its Tensor's methods, differentiated by Tensor.gradient, every kernel compiled by clang."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version

# tinygrad reads its device once, when it starts.
os.environ.setdefault("DEV", "CPU")

import numpy as np
from tinygrad import Tensor, dtypes

from ..reference.network import Array, Case, Gradients
from .composed import Primitives, Tensors, functions
from .implementation import UnsupportedError
from .rows import Row


def _log1p(z: Tensor) -> Tensor:
    return (1 + z).log()


def _where(condition: Tensor, one: Tensor | float, other: Tensor | float) -> Tensor:
    return condition.where(one, other)


FUNCTIONS = functions(
    "tinygrad",
    Primitives(
        exp=Tensor.exp,
        expm1=lambda z: z.exp() - 1,
        log=Tensor.log,
        log1p=_log1p,
        tanh=Tensor.tanh,
        sigmoid=Tensor.sigmoid,
        erf=Tensor.erf,
        absolute=Tensor.abs,
        maximum=Tensor.maximum,
        minimum=Tensor.minimum,
        where=_where,
        total=Tensor.sum,
        log_softmax=Tensor.log_softmax,
        softplus=Tensor.softplus,
    ),
    {"Tensor": "tinygrad.Tensor"},
    sigmoid=Row("Tensor.sigmoid(z)"),
    tanh=Row("Tensor.tanh(z)"),
    relu=Row("Tensor.relu(z)"),
    relu6=Row("Tensor.relu6(z)"),
    leaky_relu=Row("Tensor.leaky_relu(z, alpha)"),
    elu=Row("Tensor.elu(z, alpha)"),
    celu=Row("Tensor.celu(z, alpha)"),
    selu=Row("Tensor.selu(z)"),
    gelu_tanh=Row("Tensor.gelu(z)"),
    silu=Row("Tensor.silu(z)"),
    mish=Row("Tensor.mish(z)"),
    softplus=Row("Tensor.softplus(z)"),
    softsign=Row("Tensor.softsign(z)"),
    hardtanh=Row("Tensor.hardtanh(z)"),
    hardsigmoid=Row("Tensor.hardsigmoid(z)"),
    hardswish=Row("Tensor.hardswish(z)"),
    log_sigmoid=Row("Tensor.logsigmoid(z)"),
    softmax=Row("Tensor.softmax(z)"),
    log_softmax=Row("Tensor.log_softmax(z)"),
    binary_cross_entropy=Row("Tensor.binary_crossentropy(a, y, reduction='sum')"),
    binary_cross_entropy_with_logits=Row("Tensor.binary_crossentropy_logits(a, y, reduction='sum')"),
    softmax_cross_entropy=Row("Tensor.cross_entropy(a, y, reduction='sum')"),
)


class TinyGrad:
    """tinygrad in its one mode."""

    name = "tinygrad:eager"
    version = version("tinygrad")
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        if case.precision not in ("float64", "float32"):
            raise UnsupportedError(f"tinygrad's {case.precision} depends on the compiler that it finds")
        dtype = getattr(dtypes, case.precision)

        def tensor(array: Array) -> Tensor:
            return Tensor(array.copy(), dtype=dtype)

        def arrays(tensors: Tensors) -> list[Array]:
            return [np.asarray(one.numpy(), case.dtype) for one in tensors]

        x, y = tensor(case.x), tensor(case.y)
        weights, biases = ([tensor(one) for one in family] for family in zip(*case.parameters, strict=True))
        shifts = [tensor(np.zeros((case.batch, one.width), case.dtype)) for one in case.architecture.layers]
        variables, L = (weights, biases, shifts), case.architecture.depth
        cost, z, a = FUNCTIONS.network(case.architecture, variables, x, y, case.batch)
        gradients = cost.gradient(*weights, *biases, *shifts)
        Tensor.realize(cost, *z, *a, *gradients)
        dW, db, delta = (arrays(gradients[i * L : (i + 1) * L]) for i in range(3))
        return Gradients(dW, db, arrays([cost])[0], delta, arrays(z), arrays(a))

    def functions(self) -> Mapping[str, str]:
        """Say which of tinygrad's functions is judged."""
        return FUNCTIONS.labels


def load(mode: str) -> TinyGrad:
    """Start tinygrad."""
    return TinyGrad()
