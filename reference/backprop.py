"""Backpropagation: the forward pass and the four equations, each written down once.

M. Nielsen, Neural Networks and Deep Learning, ch. 2, for a whole batch: the rows of z^l, a^l and δ^l are
examples, so W stands transposed (W.mT, as NumPy writes it) where the book, whose examples are columns, has it
plain. C is the reduced cost of the batch. The same lines run on plain floats, on arrays that carry their rounding
error (rounding/), on a stack of cases at once (stack.py), and in arbitrary precision (exact.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial

from . import names
from .activations import activation
from .costs import cost_function
from .names import Name, W, Y, a, b, cost, db, delta, dW, g, nabla, p, said, total, z
from .network import Architecture, Gradients, Parameters
from .number import Carried, Number
from .steps import Flow, N, Step


def product(a_previous: Number, W: Number) -> Number:
    """Weigh the activations:  a^{l-1} (W^l)^T."""
    return a_previous @ W.mT


def weighted_input(product: Number, b: Number) -> Number:
    """z^l = a^{l-1} (W^l)^T + b^l."""
    return product + b


def moved_back(delta_next: Number, W_next: Number) -> Number:
    """Move an error back through the weights, which is the sum in BP2:  δ^{l+1} W^{l+1}."""
    return delta_next @ W_next


def bp3(delta: Number) -> Number:
    """BP3, for the biases:  ∂C/∂b^l = Σ over the batch of δ^l."""
    return delta.sum(axis=-2)


def bp4(delta: Number, a_previous: Number) -> Number:
    """BP4, for the weights:  ∂C/∂W^l = (δ^l)^T a^{l-1}."""
    return delta.mT @ a_previous


def added(first: Number, *others: Number) -> Number:
    """Add up what all layers that read a^l say of it; in a plain chain of layers one does."""
    return sum(others, start=first)


def averaged(total: Number, m: int) -> Number:
    """Divide by the number of examples where the batch's cost is their mean; a sum has m = 1."""
    if m == 1:
        return total
    return total.divided(m) if isinstance(total, Carried) else total / m


def steps(network: Architecture, batch: int) -> Iterator[Step]:
    """Yield the steps of a whole answer. z(l) is the name of z^l, and so on: names.py has the list."""
    L, m = network.depth, batch if network.reduction == "mean" else 1
    C, layers = cost_function(network.cost), dict(enumerate(network.layers, start=1))
    readers = {l: [l + 1] for l in range(1, L)}

    for l, layer in layers.items():
        yield Step(p(l), "forward", product, (a(l - 1), W(l)), adjoint=moved_back)
        yield Step(z(l), "forward", weighted_input, (p(l), b(l)))
        yield Step(a(l), "forward", activation(layer).value, (z(l),), layer.activation)  # a^l = σ(z^l)
    yield Step(total(L), "cost", C.value, (a(L), Y), network.cost.name)
    yield Step(cost(L), "cost", partial(averaged, m=m), (total(L),))

    yield Step(nabla(L), "BP1", C.gradient, (a(L), Y), network.cost.name)
    yield Step(g(L), "BP1", partial(averaged, m=m), (nabla(L),))  # ∇_a C
    for l in range(L, 0, -1):
        if l < L:
            for k in readers[l]:
                yield Step(said(l, k), "BP2", moved_back, (delta(k), W(k)), adjoint=product)
            yield Step(g(l), "BP2", added, tuple(said(l, k) for k in readers[l]))
        # BP1: δ^L = ∇_a C ⊙ σ′(z^L).    BP2: δ^l = (δ^{l+1} W^{l+1}) ⊙ σ′(z^l).
        sigma = layers[l].activation
        yield Step(delta(l), "BP2" if l < L else "BP1", activation(layers[l]).vjp, (g(l), z(l)), sigma)
        yield Step(db(l), "BP3", bp3, (delta(l),))
        yield Step(dW(l), "BP4", bp4, (delta(l), a(l - 1)))


@lru_cache(maxsize=128)  # cases of one architecture come together
def flow(network: Architecture, batch: int) -> Flow:
    """Return the steps of a network for batches of that size."""
    return Flow(steps(network, batch))


def named(parameters: Parameters, x: N, y: N) -> dict[Name, N]:
    """Name what everybody is given."""
    found = {names.X: x, names.Y: y}
    for l, (weights, biases) in enumerate(parameters, start=1):
        found[W(l)], found[b(l)] = weights, biases
    return found


def backprop(network: Architecture, parameters: Parameters, x: Number, y: Number) -> Gradients:
    """Run the network forwards, then the error backwards; z^l and a^l are kept, so one pass each way is enough."""
    return Gradients.named(flow(network, x.shape[-2]).run(named(parameters, x, y)), network.depth)


def feedforward(
    network: Architecture, parameters: Parameters, x: Number
) -> tuple[list[Number], list[Number]]:
    """Run the forward steps alone; return z^1..z^L and a^0..a^L."""
    found = flow(network, x.shape[-2]).run(named(parameters, x, x), ("forward",))
    layers = range(1, network.depth + 1)
    return [found[z(l)] for l in layers], [x, *(found[a(l)] for l in layers)]
