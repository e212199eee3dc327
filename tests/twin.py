"""The twin: backpropagation once more, written apart from the reference, one method a step.

It is right. A fault is a subclass that replaces one step, so that nothing but the fault tells them apart. One
instance answers case after case, as a worker does. Layers are counted 1..L, so that ``self.a[0]`` is x.
"""

from __future__ import annotations

import numpy as np
from gradparity import Case, Gradients, Layer
from gradparity.reference.activations import activation
from gradparity.reference.costs import cost_function
from gradparity.reference.coupled import Coupled
from gradparity.reference.network import Array


class Network:
    """A function Case -> Gradients. What it holds belongs to the case it is at work on."""

    case: Case
    layer: dict[int, Layer]
    W: dict[int, Array]
    b: dict[int, Array]
    z: dict[int, Array]
    a: dict[int, Array]
    delta: dict[int, Array]
    dW: dict[int, Array]
    db: dict[int, Array]

    def __call__(self, case: Case) -> Gradients:
        with np.errstate(all="ignore"):
            self.receive(case)
            self.feedforward()
            self.backward()
            self.gradients()
            return self.answer()

    # ------------------------------------------------------------------------------------- from start to end

    def receive(self, case: Case) -> None:
        self.case = case
        self.layer = dict(enumerate(case.architecture.layers, start=1))
        self.W = dict(enumerate(case.parameters.weights, start=1))
        self.b = dict(enumerate(case.parameters.biases, start=1))
        self.z, self.a, self.delta, self.dW, self.db = {}, {0: case.x}, {}, {}, {}

    def feedforward(self) -> None:
        for l in self.layer:
            self.z[l] = self.weighted_input(l)
            self.a[l] = self.value(self.layer[l], self.z[l])

    def backward(self) -> None:
        self.delta[self.L] = self.output_error()
        for l in reversed(range(1, self.L)):
            self.delta[l] = self.error(l)

    def gradients(self) -> None:
        for l in reversed(self.layer):
            self.db[l] = self.bias_gradient(l)
            self.dW[l] = self.weight_gradient(l)

    def answer(self) -> Gradients:
        dW, db, delta, z, a = (
            [family[l] for l in self.layer] for family in (self.dW, self.db, self.delta, self.z, self.a)
        )
        return Gradients(dW, db, self.averaged(self.cost_value()), delta, z, a)

    @property
    def L(self) -> int:
        return len(self.layer)

    @property
    def m(self) -> int:
        return len(self.case.x)

    # --------------------------------------------------------------------------------------------- forwards

    def weighted_input(self, l: int) -> Array:
        return np.asarray(self.a[l - 1] @ self.W[l].T + self.b[l])

    def value(self, layer: Layer, z: Array) -> Array:
        """σ(z)."""
        if layer.activation == "softmax":
            return self.softmax(z)
        if layer.activation == "log_softmax":
            return self.log_softmax(z)
        return np.asarray(activation(layer).value(z))

    def softmax(self, z: Array) -> Array:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    def log_softmax(self, z: Array) -> Array:
        shifted = z - z.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    # --------------------------------------------------------------------------------------------- the cost

    def cost_value(self) -> Array:
        """C, summed over the batch."""
        return np.asarray(cost_function(self.case.architecture.cost).value(self.a[self.L], self.case.y))

    def cost_gradient(self) -> Array:
        """∇_a C of every example."""
        return np.asarray(cost_function(self.case.architecture.cost).gradient(self.a[self.L], self.case.y))

    def averaged(self, total: Array) -> Array:
        """Make the batch's cost of the sum over its examples, or a gradient of that of a gradient of this."""
        return np.asarray(total / self.m) if self.case.architecture.reduction == "mean" else total

    # -------------------------------------------------------------------------------------------- backwards

    def output_error(self) -> Array:
        """BP1."""
        return self.through(self.layer[self.L], self.averaged(self.cost_gradient()), self.z[self.L])

    def error(self, l: int) -> Array:
        """BP2."""
        return self.through(self.layer[l], self.delta[l + 1] @ self.W[l + 1], self.z[l])

    def through(self, layer: Layer, upstream: Array, z: Array) -> Array:
        """Carry an error back through σ: upstream ⊙ σ′(z), or upstream times the Jacobian."""
        if layer.activation == "softmax":
            s = self.softmax(z)
            return np.asarray(s * (upstream - (upstream * s).sum(axis=1, keepdims=True)))
        if layer.activation == "log_softmax":
            return np.asarray(upstream - np.exp(self.log_softmax(z)) * upstream.sum(axis=1, keepdims=True))
        return np.asarray(upstream * self.slope(layer, z))

    def slope(self, layer: Layer, z: Array) -> Array:
        """σ′(z), where σ acts on each neuron by itself."""
        sigma = activation(layer)
        assert not isinstance(sigma, Coupled)
        return np.asarray(sigma.scalar.slope(z))

    # -------------------------------------------------------------------------------------------- gradients

    def bias_gradient(self, l: int) -> Array:
        """BP3."""
        return np.asarray(self.delta[l].sum(axis=0))

    def weight_gradient(self, l: int) -> Array:
        """BP4."""
        return np.asarray(self.delta[l].T @ self.a[l - 1])
