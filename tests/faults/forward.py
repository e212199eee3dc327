"""Faults of the forward pass: weighted inputs, activations, what is fed in."""

from __future__ import annotations

import numpy as np
from gradparity import Case, Gradients, Layer
from gradparity.harness.verdict import Verdict
from gradparity.reference.network import Array

from .fault import FIRST_LAYER, SIGMA_PRIME, fault, layers_of
from .network import Network


@fault(18, "activation overwrites z in place", SIGMA_PRIME, "any σ for which σ′(σ(z)) is not σ′(z)")
class OverwritesZ(Network):
    """Working in place halves the memory, and is harmless for the ReLU it was first written for.

    Its z is lost, so it has none to answer with.
    """

    def feedforward(self) -> None:
        for l in self.layer:
            self.z[l] = self.a[l] = self.weighted_input(l)
            self.z[l][...] = self.value(self.layer[l], self.z[l])

    def answer(self) -> Gradients:
        whole = super().answer()
        return Gradients(whole.dW, whole.db, whole.cost, whole.delta)


@fault(
    24,
    "softmax over the wrong axis",
    "forward",
    "softmax; m > 1 or n_l > 1",
    layers_of("softmax"),
    also=SIGMA_PRIME,
)
class SoftmaxOverBatch(Network):
    """axis=0 is right for one example, and for texts whose examples are columns."""

    def softmax(self, z: Array) -> Array:
        return super().softmax(z.T).T


@fault(
    25,
    "softmax without subtracting the maximum",
    "forward",
    "softmax; z above 709",
    layers_of("softmax"),
    also=SIGMA_PRIME,
)
class UnshiftedSoftmax(Network):
    """The formula as it stands in the book overflows long before its result does."""

    def softmax(self, z: Array) -> Array:
        e = np.exp(z)
        return np.asarray(e / e.sum(axis=1, keepdims=True))


@fault(
    26,
    "log of a softmax that is 0",
    "forward",
    "log_softmax; z that differ by more than 745",
    layers_of("log_softmax"),
)
class LogOfSoftmax(Network):
    """The name says it: first the softmax, then its logarithm."""

    def log_softmax(self, z: Array) -> Array:
        return np.asarray(np.log(self.softmax(z)))


@fault(30, "SELU scale applied twice", "forward", "selu; z < 0", layers_of("selu"))
class SeluScaledTwice(Network):
    """The constants are found both as scale and alpha and as scale and scale·alpha."""

    def value(self, layer: Layer, z: Array) -> Array:
        a = super().value(layer, z)
        return np.where(z < 0, 1.0507009873554805 * a, a) if layer.activation == "selu" else a


@fault(35, "batch of one squeezed away", (), "m = 1", verdict=Verdict.FAILED)
class SqueezesBatch(Network):
    """squeeze() is there for the outputs of width 1, and removes every axis of length 1.

    What it answers has the wrong shape, or it crashes: no number of it can be judged.
    """

    def weighted_input(self, l: int) -> Array:
        return super().weighted_input(l).squeeze()


@fault(36, "inputs shuffled and targets not", "forward", "rows that differ", FIRST_LAYER, also=("BP4",))
class ShufflesInputs(Network):
    """Two arrays, two calls of shuffle. z^1 then holds the rows of other examples."""

    def receive(self, case: Case) -> None:
        super().receive(case)
        self.a[0] = np.random.default_rng(0).permutation(case.x)


@fault(37, "strides ignored", "forward", "W^l that is neither a row nor a column")
class IgnoresStrides(Network):
    """A kernel takes a pointer and a shape; a transposed view has the same pointer as what it is a view of."""

    def weighted_input(self, l: int) -> Array:
        view = self.W[l].T
        memory = view.ravel(order="K")  # the numbers as they lie there
        return np.asarray(self.a[l - 1] @ memory.reshape(view.shape) + self.b[l])
