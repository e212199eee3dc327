"""Apple's MLX, on the CPU: mlx.nn's activations and losses, differentiated by mlx.core.value_and_grad."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import mlx.core as mx
import numpy as np
from mlx import nn

from ..reference.network import Array, Case, Gradients
from .composed import Forward, Primitives, Tensor, Tensors, Variables, functions
from .rows import Row

FUNCTIONS = functions(
    "mlx",
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
    ),
    {"nn": "mlx.nn"},
    sigmoid=Row("nn.sigmoid(z)"),
    tanh=Row("nn.tanh(z)"),
    relu=Row("nn.relu(z)"),
    relu6=Row("nn.relu6(z)"),
    leaky_relu=Row("nn.leaky_relu(z, alpha)"),
    elu=Row("nn.elu(z, alpha)"),
    celu=Row("nn.celu(z, alpha)"),
    selu=Row("nn.selu(z)"),
    gelu=Row("nn.gelu(z)"),
    gelu_tanh=Row("nn.gelu_approx(z)"),
    silu=Row("nn.silu(z)"),
    mish=Row("nn.mish(z)"),
    softplus=Row("nn.softplus(z)"),
    softsign=Row("nn.softsign(z)"),
    hardtanh=Row("nn.hard_tanh(z)"),
    hardswish=Row("nn.hardswish(z)"),
    log_sigmoid=Row("nn.log_sigmoid(z)"),
    softmax=Row("nn.softmax(z)"),
    log_softmax=Row("nn.log_softmax(z)"),
    half_squared_error=Row("0.5 * nn.losses.mse_loss(a, y, reduction='sum')", "½ mlx.nn.losses.mse_loss"),
    squared_error=Row("nn.losses.mse_loss(a, y, reduction='sum')"),
    absolute_error=Row("nn.losses.l1_loss(a, y, reduction='sum')"),
    huber=Row("nn.losses.huber_loss(a, y, delta, reduction='sum')"),
    smooth_l1=Row("nn.losses.smooth_l1_loss(a, y, beta, reduction='sum')"),
    log_cosh=Row("nn.losses.log_cosh_loss(a, y, reduction='sum')"),
    hinge=Row("nn.losses.hinge_loss(a, y, reduction='sum')"),
    binary_cross_entropy=Row("nn.losses.binary_cross_entropy(a, y, with_logits=False, reduction='sum')"),
    binary_cross_entropy_with_logits=Row(
        "nn.losses.binary_cross_entropy(a, y, with_logits=True, reduction='sum')"
    ),
    softmax_cross_entropy=Row("nn.losses.cross_entropy(a, y, reduction='sum')"),
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
        return FUNCTIONS.labels


def load(mode: str) -> MLX:
    """Start MLX on the CPU, where it has float64 as well."""
    mx.set_default_device(mx.cpu)
    return MLX()
