"""Faults of the error on its way back: σ′, the weights it goes through, the order of things. BP1 and BP2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...reference.activations import activation
from ...reference.coupled import Coupled, softmax
from ...reference.elementary import constant, exp, sigmoid, tanh
from ...reference.functions.elementwise import zero
from ...reference.names import dW, z
from ...reference.number import Number
from ...reference.scalar import Formula, Piece, Scalar
from ...reference.steps import Step
from .fault import SIGMA_PRIME, Site, fault

Does = Callable[..., Any]


def slope(*pieces: tuple[Formula, Formula], ends: tuple[float, ...] = ()) -> Does:
    """Make a step upstream ⊙ f(z) of a wrong slope f: in each piece f and its derivative; pieces meet at ``ends``."""
    between = zip(pieces, (-np.inf, *ends), (*ends, np.inf), strict=True)
    # No curvature of it is ever asked for.
    wrong = Scalar(tuple(Piece([f], [derivative], derivative, lo, hi) for (f, derivative), lo, hi in between))
    return lambda upstream, z: upstream * wrong.value(z)


def level(value: float) -> tuple[Formula, Formula]:
    """Make a piece on which a slope is constant."""
    return lambda z: constant(value, z), zero


@fault(1, "Wδ for Wᵀδ", "BP2", "depth >= 2; unequal widths", at="said", fails=True)
def weights_not_transposed(right: Step, site: Site) -> Does:
    """Rows or columns for examples, (n_in, n_out) or (n_out, n_in) for W: texts have all four conventions.

    Where widths differ, it crashes.
    """
    return lambda delta, W: delta @ W.mT


@fault(9, "σ′ left out", "BP2", "a hidden layer that is not linear", at="delta")
def no_slope(right: Step, site: Site) -> Does | None:
    """δ^L = a - y, without σ′, is right for the matching cost; the hidden layers are then written alike."""
    return (lambda upstream, z: upstream) if right.equation == "BP2" else None


@fault(10, "σ′(a) for σ′(z)", SIGMA_PRIME, "sigmoid", at="delta", of="sigmoid")
def slope_of_activation(right: Step, site: Site) -> Does:
    """sigmoid_prime takes z in one text and a in the next."""
    sigma = activation(site.network.layers[right.makes.layer - 1])
    return lambda upstream, z: right.does(upstream, sigma.value(z))


@fault(11, "a(1 - a) used for tanh", SIGMA_PRIME, "tanh", at="delta", of="tanh")
def sigmoid_slope_of_tanh(right: Step, site: Site) -> Does:
    """The activation was changed from sigmoid to tanh, its derivative was not."""
    return slope((lambda z: tanh(z) * (1 - tanh(z)), lambda z: (1 - tanh(z) * tanh(z)) * (1 - 2 * tanh(z))))


@fault(12, "neighbouring layer's z in σ′", "BP2", "depth >= 2; distinct widths", at="delta", fails=True)
def neighbours_z(right: Step, site: Site) -> Step | None:
    """Lists of z, a and δ begin at different layers, so one index is off by one.

    Where widths differ, it crashes.
    """
    if right.equation != "BP2":
        return None
    return replace(right, takes=(right.takes[0], z(right.makes.layer + 1)))


@fault(13, "last layer's σ′ used for all layers", "BP2", "mixed activations", at="delta")
def last_slope_for_all(right: Step, site: Site) -> Does | None:
    """One activation for the whole network, until the output got one of its own."""
    return activation(site.network.layers[-1]).vjp if right.equation == "BP2" else None


@fault(16, "δ propagated through updated weights", "BP2", "depth >= 2", at="said")
def updates_too_early(right: Step, site: Site) -> Step:
    """Each layer's weights are updated as soon as their gradient is known, which saves keeping it."""

    def through_updated(delta: Number, W: Number, dW: Number) -> Number:
        moved: Number = right.does(delta, W - 0.01 * dW)
        return moved

    return replace(right, does=through_updated, takes=(*right.takes, dW(right.takes[0].layer)))


@fault(23, "softmax Jacobian taken as diagonal", SIGMA_PRIME, "softmax", at="delta", of="softmax")
def diagonal_jacobian(right: Step, site: Site) -> Does:
    """s(1 - s), as for the sigmoid: the other outputs are forgotten."""

    def diagonal(upstream: Number, z: Number) -> Number:
        s: Number = softmax(z)
        return upstream * s * (1 - s)

    return diagonal


@fault(27, "overflow in a naive sigmoid", SIGMA_PRIME, "sigmoid; z below -355", at="delta", of="sigmoid")
def naive_sigmoid(right: Step, site: Site) -> Does:
    """σ′ as calculus gives it, e^-z / (1 + e^-z)²: infinity by infinity."""
    return slope((
        lambda z: exp(-z) / ((1 + exp(-z)) * (1 + exp(-z))),
        lambda z: sigmoid(z) * sigmoid(-z) * (1 - 2 * sigmoid(z)),
    ))  # fmt: skip


@fault(29, "leaky slope swapped", SIGMA_PRIME, "leaky_relu", at="delta", of="leaky_relu")
def swapped_slope(right: Step, site: Site) -> Does:
    """where(z > 0, alpha, 1): the condition or the branches are turned."""
    (alpha,) = site.network.layers[right.makes.layer - 1].parameters
    return slope(level(1), level(alpha), ends=(0.0,))


@fault(29, "leaky slope left out", SIGMA_PRIME, "leaky_relu; z < 0", at="delta", of="leaky_relu")
def missing_slope(right: Step, site: Site) -> Does:
    """The ReLU's derivative was kept."""
    return slope(level(0), level(1), ends=(0.0,))


@fault(30, "ELU alpha ignored", SIGMA_PRIME, "elu with alpha ≠ 1; z < 0", at="delta", of="elu")
def elu_without_alpha(right: Step, site: Site) -> Does:
    """alpha is 1 wherever one looks it up, and e^z is the derivative there."""
    return slope((exp, exp), level(1), ends=(0.0,))


@fault(
    33,
    "float64 constant stored as float32",
    SIGMA_PRIME,
    "hardsigmoid; -3 < z < 3",
    at="delta",
    of="hardsigmoid",
)
def constant_in_float32(right: Step, site: Site) -> Does:
    """1.0f / 6 in a kernel that is compiled for both precisions."""
    sixth = float(np.float32(1 / 6))
    return slope(level(0), level(sixth), level(0), ends=(-3.0, 3.0))


@fault(40, "σ′ + 1e-9", SIGMA_PRIME, "any elementwise activation", at="delta")
def never_quite_dead(right: Step, site: Site) -> Does | None:
    """An ε in every slope, so that no neuron can die."""
    sigma = activation(site.network.layers[right.makes.layer - 1])
    if isinstance(sigma, Coupled):
        return None
    return lambda upstream, z: upstream * (sigma.scalar.slope(z) + 1e-9)
