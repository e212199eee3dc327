"""Bounds for whoever multiplies the chain rule out in another order than backpropagation, as forward mode does.

Backpropagation adds up before it goes on: what cancels in δ^{l+1} is gone, and is not rounded again. Forward mode
carries each factor of a gradient to the cost, and nothing cancels before the last sum. But the product along one path
through the network passes as many roundings in either direction. So the equations are run once more on absolute values,
where nothing ever cancels, and their radii hold for every order; what forward mode adds up at its end is added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .activations import activation
from .backprop import bp3, bp4, reduced
from .costs import cost_function
from .network import Architecture, Array, Gradients, Parameters
from .rounding.balls import OF_A_CASE
from .rounding.uncancelled import Uncancelled


def radii(
    network: Architecture, parameters: Parameters, found: Gradients, x: Any, y: Any
) -> Mapping[str, Array]:
    """Bound δ^l, ∂C/∂b^l and ∂C/∂W^l, by their names in the document, around what ``found`` has of them in Balls."""
    assert found.z is not None
    assert found.a is not None
    m, outputs, model = x.shape[-2], network.widths[-1], x.model
    cost = cost_function(network.cost)
    targets = Uncancelled.of(y) if cost.coupled else y
    reaching = reduced(
        Uncancelled.of(cost.gradient(found.a[-1], targets)), m if network.reduction == "mean" else 1
    )
    unknown = _overflowing(network, parameters, found, x)
    bounds, lost = dict[str, Array](), np.zeros((*x.shape[:-1], 1))
    for l, before in reversed(list(enumerate([x, *found.a[:-1]], start=1))):
        error = activation(network.layers[l - 1]).vjp(reaching, found.z[l - 1])
        # What underflows on the way is multiplied by what is left of it; and the last sum is over the outputs, for
        # what all examples share over those of all examples.
        tiny = 4 * model.eta + network.widths[l - 1] * (model.accumulator or model).eta
        lost = lost + tiny * (reaching.size + error.size).sum(axis=-1, keepdims=True)
        together = lost.sum(axis=-2, keepdims=True)
        for name, one, terms, absolute in (
            (f"delta{l}", error, outputs, lost),
            (f"db{l}", bp3(error), m * outputs, together[..., 0]),
            (f"dW{l}", bp4(error, before), m * outputs, together),
        ):
            rad = one.rad + model.gamma(terms) * one.size + absolute
            bounds[name] = np.where(unknown.reshape(-1, *[1] * (rad.ndim - 1)), np.inf, rad)
        reaching = error @ parameters.weights[l - 1]
    return bounds


def _overflowing(network: Architecture, parameters: Parameters, found: Gradients, x: Any) -> Array:
    """Tell, for each case of a stack, whether a factor may overflow on its way to the cost."""
    assert found.z is not None
    assert found.a is not None
    reach, unknown = np.zeros(x.shape), np.zeros(len(x.mid), bool)
    for layer, W, before, z in zip(
        network.layers, parameters.weights, [x, *found.a[:-1]], found.z, strict=True
    ):
        # It sets out here, as 1 or as what a weight is multiplied by, or comes from further down.
        own = np.maximum(1.0, before.size.max(axis=-1, keepdims=True, initial=0.0))
        arriving = np.maximum(reach @ W.size.mT, own)
        passed = activation(layer).vjp(Uncancelled(x.model, arriving, np.zeros(arriving.shape)), z)
        reach = 2 * passed.size  # a softmax subtracts what is no larger
        unknown |= ~(np.maximum(reach, arriving) <= x.model.largest).all(axis=OF_A_CASE)
    return unknown
