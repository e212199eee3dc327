"""PyTorch: the network in torch.nn.functional, differentiated by autograd.

PyTorch's own mean divides by the width as well as by the batch. Every cost is therefore taken with
``reduction="sum"`` and divided by m here where the case asks for the mean over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..reference.network import Architecture, Array, Case, Gradients
from .implementation import Implementation, UnsupportedError

#: σ by name: which function is judged, and that function of z (m, n_l) and alpha.
ACTIVATIONS: dict[str, tuple[str, Callable[[Tensor, float | None], Tensor]]] = {
    "identity": ("composed: z", lambda z, _: z),
    "sigmoid": ("torch.sigmoid", lambda z, _: torch.sigmoid(z)),
    "tanh": ("torch.tanh", lambda z, _: torch.tanh(z)),
    "relu": ("torch.nn.functional.relu", lambda z, _: F.relu(z)),
    "relu6": ("torch.nn.functional.relu6", lambda z, _: F.relu6(z)),
    "leaky_relu": ("torch.nn.functional.leaky_relu", lambda z, alpha: F.leaky_relu(z, alpha)),
    "elu": ("torch.nn.functional.elu", lambda z, alpha: F.elu(z, alpha)),
    "celu": ("torch.nn.functional.celu", lambda z, alpha: F.celu(z, alpha)),
    "selu": ("torch.nn.functional.selu", lambda z, _: F.selu(z)),
    "gelu": ("torch.nn.functional.gelu", lambda z, _: F.gelu(z)),
    "gelu_tanh": ("torch.nn.functional.gelu(approximate='tanh')", lambda z, _: F.gelu(z, approximate="tanh")),
    "silu": ("torch.nn.functional.silu", lambda z, _: F.silu(z)),
    "mish": ("torch.nn.functional.mish", lambda z, _: F.mish(z)),
    "softplus": ("torch.nn.functional.softplus", lambda z, _: F.softplus(z)),
    "softsign": ("torch.nn.functional.softsign", lambda z, _: F.softsign(z)),
    "hardtanh": ("torch.nn.functional.hardtanh", lambda z, _: F.hardtanh(z)),
    "hardsigmoid": ("torch.nn.functional.hardsigmoid", lambda z, _: F.hardsigmoid(z)),
    "hardswish": ("torch.nn.functional.hardswish", lambda z, _: F.hardswish(z)),
    "log_sigmoid": ("torch.nn.functional.logsigmoid", lambda z, _: F.logsigmoid(z)),
    "softmax": ("torch.nn.functional.softmax", lambda z, _: F.softmax(z, dim=-1)),
    "log_softmax": ("torch.nn.functional.log_softmax", lambda z, _: F.log_softmax(z, dim=-1)),
}


def _log_cosh(a: Tensor, y: Tensor) -> Tensor:
    r = a - y
    return (torch.logaddexp(r, -r) - math.log(2.0)).sum()


def _binary_cross_entropy(a: Tensor, y: Tensor) -> Tensor:
    try:
        return F.binary_cross_entropy(a, y, reduction="sum")
    except RuntimeError as error:
        raise UnsupportedError(f"torch.nn.functional.binary_cross_entropy declines: {error}") from None


def _cross_entropy(a: Tensor, y: Tensor) -> Tensor:
    # The derivative of xlogy(y, a) is y / a: NaN where both are zero, as they are once a softmax underflows.
    return -(y * torch.log(torch.where(y == 0, 1.0, a))).sum()


def _negative_log_likelihood(a: Tensor, y: Tensor) -> Tensor:
    return -(y * a).sum() if y.is_floating_point() else F.nll_loss(a, y, reduction="sum")


#: C by name: which function is judged, and that function of a^L and y (m, n_L) and delta, summed over both axes.
COSTS: dict[str, tuple[str, Callable[[Tensor, Tensor, float | None], Tensor]]] = {
    "half_squared_error": (
        "torch.nn.functional.mse_loss, halved",
        lambda a, y, _: 0.5 * F.mse_loss(a, y, reduction="sum"),
    ),
    "squared_error": ("torch.nn.functional.mse_loss", lambda a, y, _: F.mse_loss(a, y, reduction="sum")),
    "absolute_error": ("torch.nn.functional.l1_loss", lambda a, y, _: F.l1_loss(a, y, reduction="sum")),
    "huber": (
        "torch.nn.functional.huber_loss",
        lambda a, y, delta: F.huber_loss(a, y, reduction="sum", delta=delta),
    ),
    "log_cosh": ("composed: Σ torch.logaddexp(a - y, y - a) - log 2", lambda a, y, _: _log_cosh(a, y)),
    "hinge": ("composed: Σ relu(1 - y a)", lambda a, y, _: F.relu(1 - y * a).sum()),
    "squared_hinge": ("composed: Σ relu(1 - y a)²", lambda a, y, _: F.relu(1 - y * a).square().sum()),
    "binary_cross_entropy": (
        "torch.nn.functional.binary_cross_entropy",
        lambda a, y, _: _binary_cross_entropy(a, y),
    ),
    "binary_cross_entropy_with_logits": (
        "torch.nn.functional.binary_cross_entropy_with_logits",
        lambda a, y, _: F.binary_cross_entropy_with_logits(a, y, reduction="sum"),
    ),
    "cross_entropy": ("composed: -Σ y log(where(y = 0, 1, a))", lambda a, y, _: _cross_entropy(a, y)),
    "softmax_cross_entropy": (
        "torch.nn.functional.cross_entropy, y as probabilities",
        lambda a, y, _: F.cross_entropy(a, y, reduction="sum"),
    ),
    "negative_log_likelihood": (
        "torch.nn.functional.nll_loss where every y is one-hot; elsewhere -Σ y a",
        lambda a, y, _: _negative_log_likelihood(a, y),
    ),
    "kl_divergence": ("torch.nn.functional.kl_div", lambda a, y, _: F.kl_div(a, y, reduction="sum")),
    "poisson": (
        "torch.nn.functional.poisson_nll_loss",
        lambda a, y, _: F.poisson_nll_loss(a, y, log_input=True, full=False, reduction="sum"),
    ),
}

Tensors = Sequence[Tensor]
#: The cost (a scalar); its derivatives by W^l, b^l and Δz^l; z^l; a^l.
Answer = tuple[Tensor, tuple[Tensors, Tensors, Tensors], Tensors, Tensors]


def network(
    architecture: Architecture, weights: Tensors, biases: Tensors, shifts: Tensors, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensors, Tensors]:
    """Give the cost, z^l and a^l; Δz^l (m, n_l) is added to z^l, so that ∂C/∂Δz^l is δ^l."""
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, weights, biases, shifts, strict=True):
        z = F.linear(a, W, b) + shift
        a = ACTIVATIONS[layer.activation][1](z, layer.alpha)
        zs.append(z)
        activations.append(a)
    total = COSTS[architecture.cost.name][1](a, y, architecture.cost.delta)
    return total / x.shape[0] if architecture.reduction == "mean" else total, zs, activations


def _eager(
    architecture: Architecture, weights: Tensors, biases: Tensors, shifts: Tensors, x: Tensor, y: Tensor
) -> Answer:
    variables = [tensor.requires_grad_() for tensor in (*weights, *biases, *shifts)]
    cost, z, a = network(architecture, weights, biases, shifts, x, y)
    gradients, L = torch.autograd.grad(cost, variables), architecture.depth
    return cost, (gradients[:L], gradients[L : 2 * L], gradients[2 * L :]), z, a


#: How each mode differentiates the network.
_DIFFERENTIATE: dict[str, Callable[..., Answer]] = {"eager": _eager}
MODES = tuple(_DIFFERENTIATE)


def _targets(case: Case) -> Tensor:
    """Give y, or for a negative log-likelihood of one-hot targets their class indices, which is what it takes."""
    y = case.y
    if case.architecture.cost.name == "negative_log_likelihood":
        classes = y.argmax(axis=1)
        if np.array_equal(y, np.eye(y.shape[1])[classes]):
            return torch.tensor(classes)
    return torch.tensor(y)


@dataclass(frozen=True)
class _Torch:
    """PyTorch in one mode."""

    mode: str
    language: str = "Python"

    @property
    def name(self) -> str:
        return f"torch:{self.mode}"

    @property
    def version(self) -> str:
        return str(torch.__version__)

    def functions(self) -> Mapping[str, str]:
        return {name: label for name, (label, _) in (ACTIVATIONS | COSTS).items()}

    def gradients(self, case: Case) -> Gradients:
        weights = [torch.tensor(W) for W in case.parameters.weights]
        biases = [torch.tensor(b) for b in case.parameters.biases]
        x, y = torch.tensor(case.x), _targets(case)
        shifts = [x.new_zeros(case.batch, layer.width) for layer in case.architecture.layers]
        differentiate = _DIFFERENTIATE[self.mode]
        cost, (dW, db, delta), z, a = differentiate(case.architecture, weights, biases, shifts, x, y)
        return Gradients(_arrays(dW), _arrays(db), cost.detach().numpy(), *map(_arrays, (delta, z, a)))


def _arrays(tensors: Tensors) -> list[Array]:
    return [tensor.detach().numpy() for tensor in tensors]


def load(mode: str) -> Implementation:
    """Start PyTorch in a mode, on one thread: workers run side by side, a core each."""
    torch.set_num_threads(1)
    return _Torch(mode)
