"""Faults of the gradients that are made of the errors, and of what is kept between cases: BP3 and BP4."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from gradparity.harness.verdict import Verdict
from gradparity.reference.network import Array

from .fault import FIRST_LAYER, LAST_LAYER, fault
from .network import Network


@fault(2, "∂C/∂W transposed", "BP4", "n_in and n_out > 1")
class TransposedGradient(Network):
    """Optimisers take all gradients as one flat vector, in which a transposed one has no shape to betray it."""

    def weight_gradient(self, l: int) -> Array:
        flat = super().weight_gradient(l).T.ravel()
        return flat.reshape(self.W[l].shape)


@fault(4, "1/m applied twice", "BP3", "a mean; m > 1", also=("BP4",))
class AveragedTwice(Network):
    """The cost's gradient has the 1/m, and the texts that have it in BP3 and BP4 instead are copied too."""

    def bias_gradient(self, l: int) -> Array:
        return self.averaged(super().bias_gradient(l))

    def weight_gradient(self, l: int) -> Array:
        return self.averaged(super().weight_gradient(l))


@fault(6, "bias gradient not summed over the batch", "BP3", "m > 1")
class LastExampleOnly(Network):
    """In a loop over the examples, = where += should stand: the last example is all that stays."""

    def bias_gradient(self, l: int) -> Array:
        return np.asarray(self.delta[l][-1])


@fault(7, "bias gradient averaged under a summed cost", "BP3", "a sum; m > 1")
class AveragedBias(Network):
    """δ.mean(axis=0) was right until the cost's reduction could be chosen."""

    def bias_gradient(self, l: int) -> Array:
        db = super().bias_gradient(l)
        return db / self.m if self.case.architecture.reduction == "sum" else db


@fault(8, "bias gradient summed over the wrong axis", "BP3", "m ≠ n_l", verdict=Verdict.FAILED)
class SummedOverNeurons(Network):
    """axis=1 is right where examples are columns. There are m numbers then, where n_l should be."""

    def bias_gradient(self, l: int) -> Array:
        return np.asarray(self.delta[l].sum(axis=1))


@fault(14, "first unit skipped (off by one)", "BP4", "anything, looked at component by component")
class SkipsFirstUnit(Network):
    """A loop over units was translated from a language that counts from 1."""

    def weight_gradient(self, l: int) -> Array:
        dW = super().weight_gradient(l)
        dW[0] = 0
        return dW


class SkipsLayer(Network):
    """A loop over the layers with one end off by one: that layer's gradients stay as they were made."""

    skipped: int

    def gradients(self) -> None:
        super().gradients()
        l = list(self.layer)[self.skipped]
        self.db[l], self.dW[l] = np.zeros_like(self.b[l]), np.zeros_like(self.W[l])


@fault(15, "first layer skipped", "BP3", "anything", FIRST_LAYER, also=("BP4",))
class SkipsFirstLayer(SkipsLayer):
    """range(L, 1, -1) ends before 1."""

    skipped = 0


@fault(15, "last layer skipped", "BP3", "anything", LAST_LAYER, also=("BP4",))
class SkipsLastLayer(SkipsLayer):
    """range(1, L) ends before L."""

    skipped = -1


@fault(17, "stale activation cache", "BP4", "two cases of one architecture in a row")
class StaleActivations(Network):
    """What the backward pass needs is kept under the layer's name and shape, and is not replaced the next time."""

    def __init__(self) -> None:
        self.kept: dict[Hashable, Array] = {}

    def weight_gradient(self, l: int) -> Array:
        a = self.kept.setdefault((l, self.a[l - 1].shape, self.case.architecture), self.a[l - 1])
        return np.asarray(self.delta[l].T @ a)


@fault(19, "gradient buffers shared between layers", "BP3", "two layers of equal width", also=("BP4",))
class SharedBuffers(Network):
    """One buffer for each shape saves memory, and a layer of the same shape takes it before it was read."""

    def gradients(self) -> None:
        super().gradients()
        buffers: dict[tuple[int, ...], Array] = {}
        for family in (self.db, self.dW):
            for l, gradient in family.items():
                family[l] = buffers.setdefault(gradient.shape, np.empty_like(gradient))
                family[l][...] = gradient


class KeepsBuffers(Network):
    """Gradients are written into buffers that are made once for an architecture, as a model's own are."""

    def __init__(self) -> None:
        self.kept: dict[Hashable, Array] = {}

    def buffer(self, name: str, l: int, like: Array) -> Array:
        return self.kept.setdefault((name, l, self.case.architecture), np.zeros_like(like))


@fault(
    20, "gradients accumulated and not zeroed", "BP3", "two cases of one architecture in a row", also=("BP4",)
)
class NeverZeroed(KeepsBuffers):
    """Gradients add up over parts of a batch, and zero_grad() is for the caller to remember."""

    def gradients(self) -> None:
        super().gradients()
        for name, family in (("db", self.db), ("dW", self.dW)):
            for l, gradient in family.items():
                family[l] = self.buffer(name, l, gradient)
                family[l] += gradient


@fault(32, "low-precision accumulator", "BP3", "m > 1")
class AccumulatesInFloat32(Network):
    """The sum's type is chosen for speed, apart from the type of what is summed; here float32 for float64."""

    def bias_gradient(self, l: int) -> Array:
        return np.asarray(self.delta[l].sum(axis=0, dtype=np.float32), self.case.dtype)


@fault(
    38,
    "gradient skipped where it is exactly 0",
    "BP4",
    "a neuron that is dead in one case and was not in the last",
)
class SkipsDeadNeurons(KeepsBuffers):
    """Rows of zeros need no product; what the buffer held before is then taken for the gradient."""

    def weight_gradient(self, l: int) -> Array:
        alive = self.delta[l].any(axis=0)
        dW = self.buffer("dW", l, self.W[l])
        dW[alive] = super().weight_gradient(l)[alive]
        return dW


@fault(39, "one component changed", "BP4", "anything, looked at component by component", LAST_LAYER)
class OneBadWeight(Network):
    """The tolerance of the test was on the norm of all gradients, in which one weight off by 1e-6 is lost."""

    def weight_gradient(self, l: int) -> Array:
        dW = super().weight_gradient(l)
        if l == self.L:
            dW[-1, -1] *= 1 + 1e-6
        return dW
