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


def _own(name: str, **options: object) -> tuple[str, partial[Tensor]]:
    label = "".join(f", {key}={value!r}" for key, value in options.items())
    return f"paddle.nn.functional.{name}{label}", partial(getattr(functional, name), **options)


def _summed(name: str, **options: object) -> tuple[str, partial[Tensor]]:
    return f"paddle.nn.functional.{name}", partial(getattr(functional, name), reduction="sum", **options)


def _half(a: Tensor, y: Tensor) -> Tensor:
    return 0.5 * functional.mse_loss(a, y, reduction="sum")


def _huber(a: Tensor, y: Tensor, delta: float) -> Tensor:
    return functional.smooth_l1_loss(a, y, reduction="sum", delta=delta)


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
    gelu=_own("gelu"),
    gelu_tanh=_own("gelu", approximate=True),
    silu=_own("silu"),
    mish=_own("mish"),
    softplus=_own("softplus"),
    softsign=_own("softsign"),
    hardtanh=_own("hardtanh"),
    hardsigmoid=_own("hardsigmoid"),
    hardswish=_own("hardswish"),
    log_sigmoid=_own("log_sigmoid"),
    softmax=_own("softmax"),
    log_softmax=_own("log_softmax"),
    half_squared_error=("½ paddle.nn.functional.mse_loss", _half),
    squared_error=_summed("mse_loss"),
    absolute_error=_summed("l1_loss"),
    huber=("paddle.nn.functional.smooth_l1_loss", _huber),
    binary_cross_entropy=_summed("binary_cross_entropy"),
    binary_cross_entropy_with_logits=_summed("binary_cross_entropy_with_logits"),
    softmax_cross_entropy=_summed("cross_entropy", soft_label=True),
    kl_divergence=_summed("kl_div"),
    poisson=_summed("poisson_nll_loss", log_input=True, full=False),
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
        return FUNCTIONS.labels()


def load(mode: str) -> Paddle:
    """Start PaddlePaddle on the CPU, on one thread: workers run side by side, a core each."""
    paddle.set_device("cpu")
    return Paddle()
