"""PaddlePaddle: paddle.nn.functional, eagerly, differentiated by paddle.grad.

Its own mean divides by the width as well as by the batch. Every cost is therefore taken as a sum, and divided by m
where the case asks for the mean over the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import paddle
from paddle.nn import functional

from ..reference.network import Array, Case, Gradients
from .composed import Primitives, Tensor, Tensors, functions
from .implementation import UnsupportedError
from .rows import Row


def _where(condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    # It takes tensors of one dtype.
    like = one if isinstance(one, paddle.Tensor) else other
    sides = (
        side if isinstance(side, paddle.Tensor) else paddle.full_like(like, side) for side in (one, other)
    )
    return paddle.where(condition, *sides)


def _bounded(z: Tensor, bound: float, function: str) -> Tensor:
    return getattr(paddle, function)(z, paddle.full_like(z, bound))


FUNCTIONS = functions(
    "paddle",
    Primitives(
        exp=paddle.exp,
        expm1=paddle.expm1,
        log=paddle.log,
        log1p=paddle.log1p,
        tanh=paddle.tanh,
        sigmoid=functional.sigmoid,
        erf=paddle.erf,
        absolute=paddle.abs,
        maximum=partial(_bounded, function="maximum"),
        minimum=partial(_bounded, function="minimum"),
        where=_where,
        total=paddle.sum,
        log_softmax=functional.log_softmax,
        softplus=functional.softplus,
    ),
    {"F": "paddle.nn.functional"},
    sigmoid=Row("F.sigmoid(z)"),
    tanh=Row("F.tanh(z)"),
    relu=Row("F.relu(z)"),
    relu6=Row("F.relu6(z)"),
    leaky_relu=Row("F.leaky_relu(z, alpha)"),
    elu=Row("F.elu(z, alpha)"),
    celu=Row("F.celu(z, alpha)"),
    selu=Row("F.selu(z)"),
    gelu=Row("F.gelu(z)"),
    gelu_tanh=Row("F.gelu(z, approximate=True)", "paddle.nn.functional.gelu, approximate=True"),
    silu=Row("F.silu(z)"),
    mish=Row("F.mish(z)"),
    softplus=Row("F.softplus(z)"),
    softsign=Row("F.softsign(z)"),
    hardtanh=Row("F.hardtanh(z)"),
    hardsigmoid=Row("F.hardsigmoid(z)"),
    hardswish=Row("F.hardswish(z)"),
    log_sigmoid=Row("F.log_sigmoid(z)"),
    softmax=Row("F.softmax(z)"),
    log_softmax=Row("F.log_softmax(z)"),
    half_squared_error=Row("0.5 * F.mse_loss(a, y, reduction='sum')", "½ paddle.nn.functional.mse_loss"),
    squared_error=Row("F.mse_loss(a, y, reduction='sum')"),
    absolute_error=Row("F.l1_loss(a, y, reduction='sum')"),
    huber=Row("F.smooth_l1_loss(a, y, reduction='sum', delta=delta)"),
    binary_cross_entropy=Row("F.binary_cross_entropy(a, y, reduction='sum')"),
    binary_cross_entropy_with_logits=Row("F.binary_cross_entropy_with_logits(a, y, reduction='sum')"),
    softmax_cross_entropy=Row("F.cross_entropy(a, y, soft_label=True, reduction='sum')"),
    kl_divergence=Row("F.kl_div(a, y, reduction='sum')"),
    poisson=Row("F.poisson_nll_loss(a, y, log_input=True, full=False, reduction='sum')"),
)


class Paddle:
    """PaddlePaddle in its one mode."""

    name = "paddle:eager"
    version = str(paddle.__version__)
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        if case.precision not in ("float64", "float32"):
            raise UnsupportedError(f"PaddlePaddle has few operations in {case.precision} on a CPU")

        def variable(array: Array) -> Tensor:
            return paddle.to_tensor(array.copy(), stop_gradient=False)

        def arrays(tensors: Tensors) -> list[Array]:
            return [np.asarray(one.numpy()) for one in tensors]

        x, y = paddle.to_tensor(case.x.copy()), paddle.to_tensor(case.y.copy())
        weights, biases = ([variable(one) for one in family] for family in zip(*case.parameters, strict=True))
        shifts = [variable(np.zeros((case.batch, one.width), case.dtype)) for one in case.architecture.layers]
        variables, L = (weights, biases, shifts), case.architecture.depth
        cost, z, a = FUNCTIONS.network(case.architecture, variables, x, y, case.batch)
        gradients = arrays(paddle.grad(cost, [*weights, *biases, *shifts]))
        dW, db, delta = gradients[:L], gradients[L : 2 * L], gradients[2 * L :]
        return Gradients(dW, db, arrays([cost])[0], delta, arrays(z), arrays(a))

    def functions(self) -> Mapping[str, str]:
        """Say which of PaddlePaddle's functions is judged."""
        return FUNCTIONS.labels


def load(mode: str) -> Paddle:
    """Start PaddlePaddle on the CPU, on one thread: workers run side by side, a core each."""
    paddle.set_device("cpu")
    return Paddle()
