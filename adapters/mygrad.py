"""MyGrad: NumPy with a tape, its neural functions hand-written, in float64.

Its two losses on class indices take the mean over the batch, so they are judged where a case asks for that and its
targets are one-hot.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

import mygrad as mg
import numpy as np
from mygrad import nnet
from mygrad.nnet import losses

from ..reference.network import Array, Case, Gradients
from .composed import Primitives, Tensor, Tensors, functions
from .implementation import UnsupportedError
from .rows import Row


def _softplus(z: Tensor) -> Tensor:
    return mg.logaddexp(0.0, z)


FUNCTIONS = functions(
    "mygrad",
    Primitives(
        exp=mg.exp,
        expm1=mg.expm1,
        log=mg.log,
        log1p=mg.log1p,
        tanh=mg.tanh,
        sigmoid=nnet.activations.sigmoid,
        erf=None,
        absolute=mg.absolute,
        maximum=mg.maximum,
        minimum=mg.minimum,
        where=mg.where,
        total=mg.sum,
        log_softmax=nnet.activations.logsoftmax,
        softplus=_softplus,
    ),
    {"mygrad": "mygrad", "nnet": "mygrad.nnet"},
    sigmoid=Row("nnet.activations.sigmoid(z)"),
    tanh=Row("mygrad.tanh(z)"),
    relu=Row("nnet.activations.relu(z)"),
    leaky_relu=Row("nnet.activations.leaky_relu(z, alpha)"),
    elu=Row("nnet.activations.elu(z, alpha)"),
    selu=Row("nnet.activations.selu(z)"),
    softplus=Row("mygrad.logaddexp(0.0, z)", "mygrad.logaddexp(0, z)"),
    softsign=Row("nnet.activations.soft_sign(z)"),
    hardtanh=Row("nnet.activations.hard_tanh(z)"),
    softmax=Row("nnet.activations.softmax(z)"),
    log_softmax=Row("nnet.activations.logsoftmax(z)"),
)
#: The library's own losses, of a^L and of the class of each example, and their names.
LOSSES = {
    "softmax_cross_entropy": ("softmax_crossentropy", losses.softmax_crossentropy),
    "negative_log_likelihood": ("negative_log_likelihood", losses.negative_log_likelihood),
}


def _loss(case: Case, a: Tensor) -> Tensor | None:
    """Give the library's own loss, where it has the one that the case asks for."""
    name, classes = case.architecture.cost.name, case.y.argmax(axis=1)
    one_hot = np.array_equal(case.y, np.eye(case.y.shape[1])[classes])
    if name in LOSSES and case.architecture.reduction == "mean" and one_hot:
        return LOSSES[name][1](a, classes)
    return None


class MyGrad:
    """MyGrad in its one mode."""

    name = "mygrad:tape"
    version = version("mygrad")
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in float64."""
        if case.precision != "float64":
            raise UnsupportedError("MyGrad makes float64 arrays of Python's numbers, and all that they meet")

        def arrays(tensors: Tensors) -> list[Array]:
            return [np.asarray(tensor.data, case.dtype) for tensor in tensors]

        def derivatives(tensors: Tensors) -> list[Array]:
            # A constant cost has no derivatives at all: they are 0.
            none = (np.zeros(tensor.shape) if tensor.grad is None else tensor.grad for tensor in tensors)
            return [np.asarray(grad, case.dtype) for grad in none]

        # MyGrad guards the memory of arrays, and takes it that another array owns it; here bytes do.
        x, y = np.array(case.x), np.array(case.y)
        weights = [mg.tensor(np.array(W)) for W in case.parameters.weights]
        biases = [mg.tensor(np.array(b)) for b in case.parameters.biases]
        shifts = [
            mg.tensor(np.zeros((case.batch, layer.width), case.dtype)) for layer in case.architecture.layers
        ]
        variables = (weights, biases, shifts)
        cost, z, a = FUNCTIONS.network(case.architecture, variables, x, y, case.batch)
        own = _loss(case, a[-1])
        cost = cost if own is None else own
        cost.backward()
        dW, db, delta = (derivatives(family) for family in variables)
        return Gradients(dW, db, arrays([cost])[0], delta, arrays(z), arrays(a))

    def functions(self) -> Mapping[str, str]:
        """Say which of MyGrad's functions is judged."""
        one_hot = {
            name: f"mygrad.nnet.losses.{loss} where y is one-hot and C the mean; elsewhere "
            for name, (loss, _) in LOSSES.items()
        }
        return {name: one_hot.get(name, "") + label for name, label in FUNCTIONS.labels.items()}


def load(mode: str) -> MyGrad:
    """Start MyGrad; what overflows is judged and not warned of."""
    np.seterr(all="ignore")
    return MyGrad()
