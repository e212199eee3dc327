"""Faults of the error on its way back: σ′, the weights it goes through, the order of things. BP1 and BP2."""

from __future__ import annotations

import numpy as np
from gradparity import Layer
from gradparity.harness.verdict import Verdict
from gradparity.reference.network import Array

from .fault import SIGMA_PRIME, fault, layers_of
from .network import Network


@fault(1, "Wδ for Wᵀδ", "BP2", "depth >= 2; unequal widths", verdict=Verdict.FAILED)
class WeightsNotTransposed(Network):
    """Rows or columns for examples, (n_in, n_out) or (n_out, n_in) for W: texts have all four conventions.

    Where widths differ, it crashes.
    """

    def error(self, l: int) -> Array:
        return self.through(self.layer[l], self.delta[l + 1] @ self.W[l + 1].T, self.z[l])


@fault(9, "σ′ left out", "BP2", "a hidden layer that is not linear")
class NoSlope(Network):
    """δ^L = a - y, without σ′, is right for the matching cost; the hidden layers are then written alike."""

    def error(self, l: int) -> Array:
        return np.asarray(self.delta[l + 1] @ self.W[l + 1])


@fault(10, "σ′(a) for σ′(z)", SIGMA_PRIME, "sigmoid", layers_of("sigmoid"))
class SlopeOfActivation(Network):
    """sigmoid_prime takes z in one text and a in the next."""

    def slope(self, layer: Layer, z: Array) -> Array:
        if layer.activation != "sigmoid":
            return super().slope(layer, z)
        return super().slope(layer, self.value(layer, z))


@fault(11, "a(1 - a) used for tanh", SIGMA_PRIME, "tanh", layers_of("tanh"))
class SigmoidSlopeOfTanh(Network):
    """The activation was changed from sigmoid to tanh, its derivative was not."""

    def slope(self, layer: Layer, z: Array) -> Array:
        if layer.activation != "tanh":
            return super().slope(layer, z)
        a = np.tanh(z)
        return np.asarray(a * (1 - a))


@fault(12, "neighbouring layer's z in σ′", "BP2", "depth >= 2; distinct widths", verdict=Verdict.FAILED)
class NeighboursZ(Network):
    """Lists of z, a and δ begin at different layers, so one index is off by one.

    Where widths differ, it crashes.
    """

    def error(self, l: int) -> Array:
        return self.through(self.layer[l], self.delta[l + 1] @ self.W[l + 1], self.z[l + 1])


@fault(13, "last layer's σ′ used for all layers", "BP2", "mixed activations")
class LastSlopeForAll(Network):
    """One activation for the whole network, until the output got one of its own."""

    def error(self, l: int) -> Array:
        return self.through(self.layer[self.L], self.delta[l + 1] @ self.W[l + 1], self.z[l])


@fault(16, "δ propagated through updated weights", "BP2", "depth >= 2")
class UpdatesTooEarly(Network):
    """Each layer's weights are updated as soon as their gradient is known, which saves keeping it."""

    def error(self, l: int) -> Array:
        self.W[l + 1] = self.W[l + 1] - 0.01 * self.delta[l + 1].T @ self.a[l]
        return super().error(l)


@fault(23, "softmax Jacobian taken as diagonal", SIGMA_PRIME, "softmax", layers_of("softmax"))
class DiagonalJacobian(Network):
    """s(1 - s), as for the sigmoid: the other outputs are forgotten."""

    def through(self, layer: Layer, upstream: Array, z: Array) -> Array:
        if layer.activation != "softmax":
            return super().through(layer, upstream, z)
        s = self.softmax(z)
        return np.asarray(upstream * s * (1 - s))


@fault(27, "overflow in a naive sigmoid", SIGMA_PRIME, "sigmoid; z below -355", layers_of("sigmoid"))
class NaiveSigmoid(Network):
    """σ′ as calculus gives it, e^-z / (1 + e^-z)²: infinity by infinity."""

    def slope(self, layer: Layer, z: Array) -> Array:
        if layer.activation != "sigmoid":
            return super().slope(layer, z)
        return np.asarray(np.exp(-z) / (1 + np.exp(-z)) ** 2)


@fault(29, "leaky slope swapped", SIGMA_PRIME, "leaky_relu", layers_of("leaky_relu"))
class SwappedSlope(Network):
    """where(z > 0, alpha, 1): the condition or the branches are turned."""

    def slope(self, layer: Layer, z: Array) -> Array:
        if layer.activation != "leaky_relu":
            return super().slope(layer, z)
        return np.where(z > 0, np.asarray(layer.alpha, z.dtype), 1)


@fault(29, "leaky slope left out", SIGMA_PRIME, "leaky_relu; z < 0", layers_of("leaky_relu"))
class MissingSlope(Network):
    """The ReLU's derivative was kept."""

    def slope(self, layer: Layer, z: Array) -> Array:
        return (z > 0).astype(z.dtype) if layer.activation == "leaky_relu" else super().slope(layer, z)


@fault(30, "ELU alpha ignored", SIGMA_PRIME, "elu with alpha ≠ 1; z < 0", layers_of("elu"))
class EluWithoutAlpha(Network):
    """alpha is 1 wherever one looks it up, and e^z is the derivative there."""

    def slope(self, layer: Layer, z: Array) -> Array:
        return np.exp(np.minimum(z, 0)) if layer.activation == "elu" else super().slope(layer, z)


@fault(
    33, "float64 constant stored as float32", SIGMA_PRIME, "hardsigmoid; -3 < z < 3", layers_of("hardsigmoid")
)
class ConstantInFloat32(Network):
    """1.0f / 6 in a kernel that is compiled for both precisions."""

    def slope(self, layer: Layer, z: Array) -> Array:
        if layer.activation != "hardsigmoid":
            return super().slope(layer, z)
        return np.where(np.abs(z) < 3, z.dtype.type(np.float32(1 / 6)), 0)


@fault(40, "σ′ + 1e-9", SIGMA_PRIME, "any elementwise activation")
class NeverQuiteDead(Network):
    """An ε in every slope, so that no neuron can die."""

    def slope(self, layer: Layer, z: Array) -> Array:
        return super().slope(layer, z) + 1e-9
