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
from .composed import Function, Primitives, Tensors, functions
from .implementation import UnsupportedError


def _log1p(z: Tensor) -> Tensor:
    return (1 + z).log()


def _own(name: str) -> tuple[str, Function]:
    return f"tinygrad.Tensor.{name}", getattr(Tensor, name)


def _cross_entropy(a: Tensor, y: Tensor) -> Tensor:
    return a.cross_entropy(y, reduction="sum")


def _binary_cross_entropy(a: Tensor, y: Tensor) -> Tensor:
    return a.binary_crossentropy(y, reduction="sum")


def _binary_cross_entropy_with_logits(a: Tensor, y: Tensor) -> Tensor:
    return a.binary_crossentropy_logits(y, reduction="sum")


def _where(condition: Tensor, one: Tensor | float, other: Tensor | float) -> Tensor:
    return condition.where(one, other)


FUNCTIONS = functions(
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
    )
).own(
    sigmoid=_own("sigmoid"),
    tanh=_own("tanh"),
    relu=_own("relu"),
    relu6=_own("relu6"),
    leaky_relu=_own("leaky_relu"),
    elu=_own("elu"),
    celu=_own("celu"),
    selu=_own("selu"),
    gelu_tanh=_own("gelu"),
    silu=_own("silu"),
    mish=_own("mish"),
    softplus=_own("softplus"),
    softsign=_own("softsign"),
    hardtanh=_own("hardtanh"),
    hardsigmoid=_own("hardsigmoid"),
    hardswish=_own("hardswish"),
    log_sigmoid=_own("logsigmoid"),
    softmax=_own("softmax"),
    log_softmax=_own("log_softmax"),
    binary_cross_entropy=("tinygrad.Tensor.binary_crossentropy", _binary_cross_entropy),
    binary_cross_entropy_with_logits=(
        "tinygrad.Tensor.binary_crossentropy_logits",
        _binary_cross_entropy_with_logits,
    ),
    softmax_cross_entropy=("tinygrad.Tensor.cross_entropy", _cross_entropy),
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
        return FUNCTIONS.labels()


def load(mode: str) -> TinyGrad:
    """Start tinygrad."""
    return TinyGrad()
