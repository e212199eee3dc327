"""Apple's MLX, on the CPU: mlx.nn's activations and losses, differentiated by mlx.core.value_and_grad."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version

import mlx.core as mx
import numpy as np
from mlx import nn

from ..reference.network import Array, Case, Gradients
from .composed import Forward, Primitives, Tensor, Tensors, Variables, functions

losses = nn.losses


def _summed(name: str, **options: object) -> tuple[str, partial[Tensor]]:
    return f"mlx.nn.losses.{name}", partial(getattr(losses, name), reduction="sum", **options)


def _half(a: Tensor, y: Tensor) -> Tensor:
    return 0.5 * losses.mse_loss(a, y, reduction="sum")


def _own(name: str) -> tuple[str, Tensor]:
    return f"mlx.nn.{name}", getattr(nn, name)


FUNCTIONS = functions(
    Primitives(
        exp=mx.exp,
        expm1=mx.expm1,
        log=mx.log,
        log1p=mx.log1p,
        tanh=mx.tanh,
        sigmoid=mx.sigmoid,
        erf=mx.erf,
        absolute=mx.abs,
        maximum=mx.maximum,
        minimum=mx.minimum,
        where=mx.where,
        total=mx.sum,
        log_softmax=nn.log_softmax,
        softplus=nn.softplus,
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
    gelu_tanh=_own("gelu_approx"),
    silu=_own("silu"),
    mish=_own("mish"),
    softplus=_own("softplus"),
    softsign=_own("softsign"),
    hardtanh=_own("hard_tanh"),
    hardswish=_own("hardswish"),
    log_sigmoid=_own("log_sigmoid"),
    softmax=_own("softmax"),
    log_softmax=_own("log_softmax"),
    half_squared_error=("½ mlx.nn.losses.mse_loss", _half),
    squared_error=_summed("mse_loss"),
    absolute_error=_summed("l1_loss"),
    huber=("mlx.nn.losses.huber_loss", lambda a, y, delta: losses.huber_loss(a, y, delta, "sum")),
    log_cosh=_summed("log_cosh_loss"),
    hinge=_summed("hinge_loss"),
    binary_cross_entropy=_summed("binary_cross_entropy", with_logits=False),
    binary_cross_entropy_with_logits=_summed("binary_cross_entropy", with_logits=True),
    softmax_cross_entropy=_summed("cross_entropy"),
)


class MLX:
    """MLX in its one mode."""

    name = "mlx:eager"
    version = version("mlx")
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        dtype = getattr(mx, case.precision)

        def tensor(array: Array) -> Tensor:
            # NumPy's bfloat16 is an extension that MLX does not know; float32 holds it exactly.
            known = array if array.dtype.itemsize > 2 else array.astype(np.float32)
            return mx.array(known, dtype)

        def array(one: Tensor) -> Array:
            known = one if case.dtype.itemsize > 2 else one.astype(mx.float32)
            return np.array(known).astype(case.dtype)

        def arrays(tensors: Tensors) -> list[Array]:
            return [array(one) for one in tensors]

        def cost(variables: Variables) -> Forward:
            return FUNCTIONS.network(case.architecture, variables, x, y, case.batch)

        x, y = tensor(case.x), tensor(case.y)
        shifts = [mx.zeros((case.batch, layer.width), dtype) for layer in case.architecture.layers]
        weights, biases = ([tensor(one) for one in family] for family in zip(*case.parameters, strict=True))
        (total, z, a), (dW, db, delta) = mx.value_and_grad(cost)((weights, biases, shifts))
        return Gradients(arrays(dW), arrays(db), array(total), arrays(delta), arrays(z), arrays(a))

    def functions(self) -> Mapping[str, str]:
        """Say which of MLX's functions is judged."""
        return FUNCTIONS.labels()


def load(mode: str) -> MLX:
    """Start MLX on the CPU, where it has float64 as well."""
    mx.set_default_device(mx.cpu)
    return MLX()
