"""HIPS autograd: NumPy and SciPy's special functions, recorded on a tape and differentiated in reverse.

It has no neural functions: its users compose them, as its own examples do. The derivative of ``where`` is float64
whatever its arguments are, so that gradients in lower precision come back in float64; they are rounded here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import autograd
import autograd.numpy as np
from autograd.scipy.special import erf, expit, logsumexp
from autograd.tracer import getval

from ..reference.network import Array, Case, Gradients
from .composed import Primitives, Tensor, Tensors, Variables, functions
from .rows import Row


def _log_softmax(z: Tensor) -> Tensor:
    return z - logsumexp(z, axis=1, keepdims=True)


def _softmax(z: Tensor) -> Tensor:
    # Whatever is taken off, the derivative is the same: the maximum is a constant.
    shifted = np.exp(z - getval(z).max(axis=1, keepdims=True))
    return shifted / np.sum(shifted, axis=1, keepdims=True)


def _softplus(z: Tensor) -> Tensor:
    return np.logaddexp(0.0, z)


FUNCTIONS = functions(
    "autograd",
    Primitives(
        exp=np.exp,
        expm1=np.expm1,
        log=np.log,
        log1p=np.log1p,
        tanh=np.tanh,
        sigmoid=expit,
        erf=erf,
        absolute=np.abs,
        maximum=np.maximum,
        minimum=np.minimum,
        where=np.where,
        total=np.sum,
        log_softmax=_log_softmax,
        softplus=_softplus,
    ),
    {"np": "autograd.numpy", "expit": "autograd.scipy.special.expit", "row_softmax": _softmax},
    sigmoid=Row("expit(z)"),
    tanh=Row("np.tanh(z)"),
    softplus=Row("np.logaddexp(0.0, z)", "autograd.numpy.logaddexp(0, z)"),
    softmax=Row("row_softmax(z)", "composed: e^(z - max z) / Σ e^(z - max z)"),
    log_softmax=Row("log_softmax(z)", "composed: z - logsumexp(z)"),
)


class Autograd:
    """HIPS autograd in its one mode."""

    name = "autograd:tape"
    version = version("autograd")
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        values: dict[str, Tensors] = {}

        def cost(variables: Variables) -> Tensor:
            total, z, a = FUNCTIONS.network(case.architecture, variables, case.x, case.y, case.batch)
            values["z"], values["a"] = ([getval(one) for one in family] for family in (z, a))
            return total

        def arrays(tensors: Tensors) -> list[Array]:
            return [np.asarray(tensor, case.dtype) for tensor in tensors]

        shifts = [np.zeros((case.batch, layer.width), case.dtype) for layer in case.architecture.layers]
        variables = (case.parameters.weights, case.parameters.biases, tuple(shifts))
        total, (dW, db, delta) = autograd.value_and_grad(cost)(variables)
        z, a = values["z"], values["a"]
        return Gradients(arrays(dW), arrays(db), arrays([total])[0], arrays(delta), arrays(z), arrays(a))

    def functions(self) -> Mapping[str, str]:
        """Say which of autograd's functions is judged."""
        return FUNCTIONS.labels


def load(mode: str) -> Autograd:
    """Start autograd; what overflows is judged and not warned of."""
    np.seterr(all="ignore")
    return Autograd()
