"""PyTorch: the network in torch.nn.functional, differentiated by autograd.

PyTorch's own mean divides by the width as well as by the batch. Every cost is therefore taken as a sum,
and divided by m where the case asks for the mean over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import checkpoint

from ..reference.network import DTYPES, Architecture, Array, Case, Gradients, Layer
from .idioms.torch import TORCH
from .implementation import UnsupportedError, affordable, unspoilt
from .modes import in_forward_mode

#: σ by name, a function of z (m, n_l) and its parameters, and C, a function of a^L and y (m, n_L) and its parameters.
FUNCTIONS = TORCH.functions()
#: C by name, where y are class indices (m,).
FUNCTIONS_OF_CLASSES = TORCH.functions_of_classes()

Tensors = Sequence[Tensor]
#: W^l (n_l, n_{l-1}), b^l (n_l,) and Δz^l (m, n_l), or the cost's derivatives by them: dW^l, db^l and δ^l.
Variables = tuple[Tensors, Tensors, Tensors]
#: The cost (a scalar), z^l and a^l.
Forward = tuple[Tensor, Tensors, Tensors]
#: One layer: z^l and a^l, of a^{l-1}, W^l, b^l and Δz^l.
Step = Callable[[Layer, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _layer(layer: Layer, a: Tensor, W: Tensor, b: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    z = functional.linear(a, W, b) + shift
    return z, FUNCTIONS[layer.activation](z, *layer.parameters)


def network(
    architecture: Architecture, variables: Variables, x: Tensor, y: Tensor, step: Step = _layer
) -> Forward:
    """Go forward; Δz^l is zero and is added to z^l, so that ∂C/∂Δz^l is δ^l."""
    a, zs, activations = x, [], []
    for layer, W, b, shift in zip(architecture.layers, *variables, strict=True):
        z, a = step(layer, a, W, b, shift)
        zs.append(z)
        activations.append(a)
    cost, functions = architecture.cost, FUNCTIONS if y.is_floating_point() else FUNCTIONS_OF_CLASSES
    total = functions[cost.name](a, y, *cost.parameters)
    return total / x.shape[0] if architecture.reduction == "mean" else total, zs, activations


#: Of the variables, x and y: the way forward.
Network = Callable[[Variables, Tensor, Tensor], Forward]
#: Of the variables, x and y: the way forward, and the derivatives.
Answer = Callable[[Variables, Tensor, Tensor], tuple[Forward, Variables]]


def reverse(network: Network) -> Answer:
    """Differentiate by autograd's graph of what ran."""

    def answer(variables: Variables, x: Tensor, y: Tensor) -> tuple[Forward, Variables]:
        leaves = [tensor.requires_grad_() for family in variables for tensor in family]
        forward = network(variables, x, y)
        return forward, _families(torch.autograd.grad(forward[0], leaves))

    return answer


def _func(network: Network) -> Answer:
    def cost(*arguments: Any) -> tuple[Tensor, Forward]:
        forward = network(*arguments)
        return forward[0], forward

    def answer(variables: Variables, x: Tensor, y: Tensor) -> tuple[Forward, Variables]:
        derivatives, forward = torch.func.grad(cost, has_aux=True)(variables, x, y)
        return forward, derivatives

    return answer


def _forward(network: Network) -> Answer:
    """Differentiate by one component at a time; vectorised, low precision takes minutes."""

    def answer(variables: Variables, x: Tensor, y: Tensor) -> tuple[Forward, Variables]:
        leaves = [tensor for family in variables for tensor in family]

        def derivative(place: int) -> Tensor:
            leaf = leaves[place]

            def cost(moved: Tensor) -> Tensor:
                return network(_families([*leaves[:place], moved, *leaves[place + 1 :]]), x, y)[0]

            columns = torch.eye(leaf.numel(), dtype=leaf.dtype).view(-1, *leaf.shape)
            found = torch.stack([torch.func.jvp(cost, (leaf,), (one,))[1] for one in columns])
            # The derivative of 0.5 C comes in float64, whatever C is in.
            return found.view_as(leaf).to(leaf.dtype)

        return network(variables, x, y), _families([derivative(place) for place in range(len(leaves))])

    return answer


def _families(tensors: Tensors) -> Variables:
    depth = len(tensors) // 3
    return tensors[:depth], tensors[depth : 2 * depth], tensors[2 * depth :]


def _checkpoint(layer: Layer, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    """Keep a layer's inputs only, and go through it once more on the way back."""
    answer: tuple[Tensor, Tensor] = checkpoint.checkpoint(_layer, layer, *tensors, use_reentrant=False)
    return answer


def _compiled(network: Network) -> Answer:
    torch.compiler.reset()  # or what is compiled of a function stays, up to a limit, for ever
    # Workers run side by side, a core each: without this, as many compilers start as there are cores.
    torch._inductor.config.compile_threads = 1
    return reverse(torch.compile(network, fullgraph=True, dynamic=False))


#: How each mode makes, of an architecture, what answers its cases.
DIFFERENTIATE: dict[str, Callable[[Architecture], Answer]] = {
    "eager": lambda architecture: reverse(partial(network, architecture)),
    "compile": lambda architecture: _compiled(partial(network, architecture)),
    "func": lambda architecture: _func(partial(network, architecture)),
    "forward": lambda architecture: _forward(partial(network, architecture)),
    "checkpoint": lambda architecture: reverse(partial(network, architecture, step=_checkpoint)),
    "strided": lambda architecture: reverse(partial(network, architecture)),
}


def _strided(array: Tensor) -> Tensor:
    """Give the tensor as a view of another, as users do who transpose and slice; between its numbers lies NaN.

    Two dimensions become every other column of a transposed one, one becomes every third of a longer one.
    """
    if array.ndim == 2:
        wide = array.new_full((2 * array.shape[1], array.shape[0]), math.nan)
        wide[::2] = array.T
        return wide.T[:, ::2]
    long = array.new_full((3 * array.shape[0],), math.nan)
    long[1::3] = array
    return long[1::3]


#: NumPy's bfloat16 is an extension that PyTorch does not know, and the other way round: its bits pass as integers.
_BITS = np.dtype(np.int16), torch.int16


def _tensor(array: Array) -> Tensor:
    if array.dtype == DTYPES["bfloat16"]:
        return torch.tensor(array.view(_BITS[0])).view(torch.bfloat16)
    return torch.tensor(array)


def _array(tensor: Tensor) -> Array:
    detached = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        bits: Array = detached.view(_BITS[1]).numpy()
        return bits.view(DTYPES["bfloat16"])
    plain: Array = detached.numpy()
    return plain


def _targets(case: Case) -> Tensor:
    """Return y (m, n_L), or class indices (m,) where the cost takes them."""
    classes = TORCH.rows[case.architecture.cost.name].classes_of(case.y)
    return _tensor(case.y) if classes is None else torch.tensor(classes)


def _arrays(tensors: Tensors) -> list[Array]:
    return [_array(tensor) for tensor in tensors]


class Torch:
    """PyTorch in one mode."""

    version = str(torch.__version__)
    language = "Python"

    def __init__(
        self, name: str, differentiate: Callable[[Architecture], Answer], device: str = "cpu"
    ) -> None:
        self.name, self._device, self._missing = name, device, _missing(device)
        self._laid_out = _strided if name.partition("@")[0] == "torch:strided" else lambda tensor: tensor

        # Cases of one architecture come together.
        @lru_cache(maxsize=1)
        def answer(architecture: Architecture, precision: str, batch: int) -> Answer:
            return differentiate(architecture)

        self._answer = answer

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        if in_forward_mode(self.name):
            affordable(case)
        if self._missing:
            raise UnsupportedError(self._missing)
        x, y = self._given(_tensor(case.x)), self._given(_targets(case))
        weights = [self._given(_tensor(W)) for W in case.parameters.weights]
        biases = [self._given(_tensor(b)) for b in case.parameters.biases]
        shifts = [x.new_zeros(case.batch, layer.width) for layer in case.architecture.layers]
        answer = self._answer(case.architecture, case.precision, case.batch)
        try:
            (cost, z, a), (dW, db, delta) = answer((weights, biases, shifts), x, y)
        except NotImplementedError as error:  # no kernel for this precision
            raise UnsupportedError(f"PyTorch declines: {error}") from None
        except RuntimeError as error:
            if "between 0 and 1" not in str(error):
                raise
            raise UnsupportedError(f"torch.nn.functional.binary_cross_entropy declines: {error}") from None
        gradients = Gradients(_arrays(dW), _arrays(db), _array(cost), *map(_arrays, (delta, z, a)))
        return unspoilt(gradients) if in_forward_mode(self.name) else gradients

    def _given(self, tensor: Tensor) -> Tensor:
        placed = tensor.to(self._device)
        return self._laid_out(placed) if placed.is_floating_point() else placed

    def functions(self) -> Mapping[str, str]:
        """Say which of PyTorch's functions is judged."""
        return TORCH.labels()


def load(mode: str) -> Torch:
    """Start PyTorch in a mode, on a device where one is named after it, as in ``eager@cuda``."""
    base, _, device = mode.partition("@")
    return start(f"torch:{mode}", DIFFERENTIATE[base], device or "cpu")


def start(name: str, differentiate: Callable[[Architecture], Answer], device: str = "cpu") -> Torch:
    """Start PyTorch on one thread: workers run side by side, a core each."""
    torch.set_num_threads(1)
    # A product in float32 is judged as one in float32: no TF32, and no sums in less than float32 for low precision.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    return Torch(name, differentiate, device)


def _missing(device: str) -> str:
    """Say why a device cannot be used here; nothing where it can."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return f"PyTorch cannot use the device {device!r} here: {str(error).splitlines()[0]}"
    return ""
