"""Faults of the forward pass: weighted inputs, activations, what is fed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...reference.coupled import softmax
from ...reference.elementary import exp, log
from ...reference.names import a
from ...reference.number import Number
from ...reference.steps import Step
from .fault import FIRST_LAYER, SIGMA_PRIME, Site, fault, plain

Does = Callable[..., Any]


@fault(
    18, "activation overwrites z in place", SIGMA_PRIME, "any σ for which σ′(σ(z)) is not σ′(z)",
    at="delta", withholds=("z", "a"),
)  # fmt: skip
def overwrites_z(right: Step, site: Site) -> Step:
    """Working in place halves the memory, and is harmless for the ReLU it was first written for.

    Its z is lost, so it has none to answer with.
    """
    return replace(right, takes=(right.takes[0], a(right.makes.layer)))


def through_softmax(right: Step, wrong: Callable[[Number], Number]) -> Does:
    """Make a wrong softmax's value, or its Jacobian's product, of the wrong softmax."""

    def vjp(upstream: Number, z: Number) -> Number:
        s = wrong(z)
        return s * (upstream - (upstream * s).sum(axis=-1, keepdims=True))

    return wrong if right.makes.kind == "a" else vjp


@fault(
    24, "softmax over the wrong axis", "forward", "softmax; m > 1 or n_l > 1",
    at=("a", "delta"), of="softmax", also=SIGMA_PRIME,
)  # fmt: skip
def softmax_over_batch(right: Step, site: Site) -> Does:
    """axis=0 is right for one example, and for texts whose examples are columns."""
    return through_softmax(right, lambda z: softmax(z.mT).mT)


@fault(
    25, "softmax without subtracting the maximum", "forward", "softmax; z above 709",
    at=("a", "delta"), of="softmax", also=SIGMA_PRIME,
)  # fmt: skip
def unshifted_softmax(right: Step, site: Site) -> Does:
    """The formula as it stands in the book overflows long before its result does."""

    def unshifted(z: Number) -> Number:
        e = exp(plain(z))
        shares: Number = e / e.sum(axis=-1, keepdims=True)
        return shares

    return through_softmax(right, unshifted)


@fault(
    26, "log of a softmax that is 0", "forward", "log_softmax; z that differ by more than 745",
    at="a", of="log_softmax",
)  # fmt: skip
def log_of_softmax(right: Step, site: Site) -> Does:
    """The name says it: first the softmax, then its logarithm."""
    return lambda z: log(softmax(plain(z)))


@fault(30, "SELU scale applied twice", "forward", "selu; z < 0", at="a", of="selu")
def selu_scaled_twice(right: Step, site: Site) -> Does:
    """The constants are found both as scale and alpha and as scale and scale·alpha."""

    def value(z: Number) -> Number:
        once = plain(right.does(z))
        return np.where((plain(z) < 0).astype(bool), 1.0507009873554805 * once, once)

    return value


@fault(35, "batch of one squeezed away", (), "m = 1", at="z", fails=True)
def squeezes_batch(right: Step, site: Site) -> Does:
    """squeeze() is there for the outputs of width 1, and removes every axis of length 1.

    What it answers has the wrong shape, or it crashes: no number of it can be judged.
    """
    return lambda p, b: plain(right.does(p, b)).squeeze()


@fault(
    36,
    "inputs shuffled and targets not",
    "forward",
    "rows that differ",
    FIRST_LAYER,
    at=("p", "dW"),
    also=("BP4",),
)
def shuffles_inputs(right: Step, site: Site) -> Does | None:
    """Two arrays, two calls of shuffle. z^1 then holds the rows of other examples."""
    if right.makes.layer > 1:
        return None
    order = np.random.default_rng(0).permutation(site.m)
    if right.makes.kind == "p":
        return lambda x, W: right.does(plain(x)[order], W)
    return lambda delta, x: right.does(delta, plain(x)[order])


@fault(37, "strides ignored", "forward", "W^l that is neither a row nor a column", at="p")
def ignores_strides(right: Step, site: Site) -> Does:
    """A kernel takes a pointer and a shape; a transposed view has the same pointer as what it is a view of."""

    def product(a: Number, W: Number) -> Number:
        as_it_lies: Number = plain(W).reshape(W.mT.shape)
        return a @ as_it_lies

    return product
