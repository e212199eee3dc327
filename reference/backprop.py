"""Backpropagation: the forward pass and the four equations, each written down once.

M. Nielsen, Neural Networks and Deep Learning, ch. 2, for a whole batch: the rows of z^l, a^l and δ^l are
examples, so W stands transposed (W.mT, as NumPy writes it) where the book, whose examples are columns, has it
plain. C is the reduced cost of the batch. The same lines run on plain floats, on arrays that carry their rounding
error (rounding/), on a stack of cases at once (stack.py), and in arbitrary precision (exact.py).
"""

from __future__ import annotations

from typing import Any

from .activations import Activation, activation
from .costs import CostFunction, cost_function
from .network import Architecture, Gradients, Parameters


def feedforward(network: Architecture, parameters: Parameters, x: Any) -> tuple[list[Any], list[Any]]:
    """z^l = a^{l-1} (W^l)^T + b^l  and  a^l = σ(z^l), with a^0 = x. Gives z^1..z^L and a^0..a^L."""
    z, a = [], [x]
    for layer, (W, b) in zip(network.layers, parameters, strict=True):
        z.append(a[-1] @ W.mT + b)
        a.append(activation(layer).value(z[-1]))
    return z, a


def bp1(cost: CostFunction, sigma: Activation, z: Any, a: Any, y: Any, divisor: int) -> Any:
    """BP1, the error in the output layer:  δ^L = ∇_a C ⊙ σ′(z^L)."""
    return sigma.vjp(reduced(cost.gradient(a, y), divisor), z)


def bp2(delta_next: Any, W_next: Any, sigma: Activation, z: Any) -> Any:
    """BP2, the error in terms of the next layer's:  δ^l = (δ^{l+1} W^{l+1}) ⊙ σ′(z^l)."""
    return sigma.vjp(delta_next @ W_next, z)


def bp3(delta: Any) -> Any:
    """BP3, for the biases:  ∂C/∂b^l = Σ over the batch of δ^l."""
    return delta.sum(axis=-2)


def bp4(delta: Any, a_previous: Any) -> Any:
    """BP4, for the weights:  ∂C/∂W^l = (δ^l)^T a^{l-1}."""
    return delta.mT @ a_previous


def reduced(total: Any, divisor: int) -> Any:
    """Divide by the number of examples where the batch's cost is their mean; a sum has divisor 1."""
    if divisor == 1:
        return total
    return total.divided(divisor) if hasattr(total, "divided") else total / divisor


def backprop(network: Architecture, parameters: Parameters, x: Any, y: Any) -> Gradients:
    """Run the network forwards, then the error backwards; z^l and a^l are kept, so one pass each way is enough."""
    m = x.shape[-2] if network.reduction == "mean" else 1
    cost, sigma = cost_function(network.cost), [activation(layer) for layer in network.layers]
    W = parameters.weights

    z, a = feedforward(network, parameters, x)
    delta = [bp1(cost, sigma[-1], z[-1], a[-1], y, m)]
    for l in reversed(range(network.depth - 1)):
        delta.insert(0, bp2(delta[0], W[l + 1], sigma[l], z[l]))

    return Gradients(
        dW=[bp4(d, a_previous) for d, a_previous in zip(delta, a, strict=False)],
        db=[bp3(d) for d in delta],
        cost=reduced(cost.value(a[-1], y), m),
        delta=delta,
        z=z,
        a=a[1:],
    )
