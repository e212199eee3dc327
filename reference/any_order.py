"""Bounds for whoever multiplies the chain rule out in another order than backpropagation, as forward mode does.

Backpropagation adds up before it goes on: what cancels in δ^{l+1} is gone, and is not rounded again. Forward mode
carries each factor of a gradient to the cost, and nothing cancels before the last sum. But the product along one path
through the network passes as many roundings in either direction. So the equations are run once more on absolute values,
where nothing ever cancels, and their radii hold for every order; what forward mode adds up at its end is added here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from . import names
from .costs import cost_function
from .names import Name
from .network import Architecture, Array
from .rounding.balls import OF_A_CASE, Ball
from .rounding.uncancelled import Uncancelled
from .steps import Flow, Step


def radii(network: Architecture, steps: Flow, found: Mapping[Name, Ball]) -> Mapping[Name, Array]:
    """Bound δ^l, ∂C/∂b^l and ∂C/∂W^l around what ``found`` has of them, and of everything before them, in Balls."""
    x, outputs = found[names.X], network.widths[-1]
    m, model = x.shape[-2], x.model
    unknown = _overflowing(network, steps, found)
    backward = _uncancelled(network, steps, found)
    bounds, lost = dict[Name, Array](), np.zeros((*x.shape[:-1], 1))
    for l in range(network.depth, 0, -1):
        reaching, error = backward[names.g(l)], backward[names.delta(l)]
        # What underflows on the way is multiplied by what is left of it; and the last sum is over the outputs, for
        # what all examples share over those of all examples.
        tiny = 4 * model.eta + network.widths[l - 1] * (model.accumulator or model).eta
        lost = lost + tiny * (reaching.size + error.size).sum(axis=-1, keepdims=True)
        together = lost.sum(axis=-2, keepdims=True)
        for name, terms, absolute in (
            (names.delta(l), outputs, lost),
            (names.db(l), m * outputs, together[..., 0]),
            (names.dW(l), m * outputs, together),
        ):
            rad = backward[name].rad + model.gamma(terms) * backward[name].size + absolute
            bounds[name] = np.where(unknown.reshape(-1, *[1] * (rad.ndim - 1)), np.inf, rad)
    return bounds


def _uncancelled(network: Architecture, steps: Flow, found: Mapping[Name, Ball]) -> Mapping[Name, Ball]:
    """Run the equations backwards on absolute values, from z and a as they are."""

    def without_signs(step: Step) -> Callable[..., Uncancelled] | None:
        if step.makes.kind != "nabla":
            return None
        return lambda *taken: Uncancelled.of(step.does(*taken))

    targets = found[names.Y]
    if cost_function(network.cost).coupled:
        targets = Uncancelled.of(targets)
    known = {**found, names.Y: targets}
    return steps.replaced(without_signs).run(known, ("BP1", "BP2", "BP3", "BP4"))


def _overflowing(network: Architecture, steps: Flow, found: Mapping[Name, Ball]) -> Array:
    """Tell, for each case of a stack, whether a factor may overflow on its way to the cost."""
    x = found[names.X]
    reach, unknown = np.zeros(x.shape), np.zeros(len(x.mid), bool)
    for l in range(1, network.depth + 1):
        # It sets out here, as 1 or as what a weight is multiplied by, or comes from further down.
        own = np.maximum(1.0, found[names.a(l - 1)].size.max(axis=-1, keepdims=True, initial=0.0))
        arriving = np.maximum(steps[names.p(l)].does(reach, found[names.W(l)].size), own)
        passed = steps[names.delta(l)].does(
            Uncancelled(x.model, arriving, np.zeros(arriving.shape)), found[names.z(l)]
        )
        reach = 2 * passed.size  # a softmax subtracts what is no larger
        unknown |= ~(np.maximum(reach, arriving) <= x.model.largest).all(axis=OF_A_CASE)
    return unknown
