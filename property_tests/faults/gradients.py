"""Faults of the gradients that are made of the errors, and of what is kept between cases: BP3 and BP4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...reference.backprop import averaged
from ...reference.elementary import constant
from ...reference.names import name
from ...reference.number import Number
from ...reference.steps import Step
from .fault import FIRST_LAYER, LAST_LAYER, Site, fault, floats, plain

Does = Callable[..., Any]


@fault(2, "∂C/∂W transposed", "BP4", "n_in and n_out > 1", at="dW")
def transposed_gradient(right: Step, site: Site) -> Does:
    """Optimisers take all gradients as one flat vector, in which a transposed one has no shape to betray it."""

    def transposed(delta: Number, a: Number) -> Number:
        found = plain(right.does(delta, a))
        return found.mT.reshape(found.shape)

    return transposed


@fault(4, "1/m applied twice", "BP3", "a mean; m > 1", at=("db", "dW"), also=("BP4",))
def averaged_twice(right: Step, site: Site) -> Does:
    """The cost's gradient has the 1/m, and the texts that have it in BP3 and BP4 instead are copied too."""
    return lambda *taken: averaged(right.does(*taken), site.m if site.mean else 1)


@fault(6, "bias gradient not summed over the batch", "BP3", "m > 1", at="db")
def last_example_only(right: Step, site: Site) -> Does:
    """In a loop over the examples, = where += should stand: the last example is all that stays."""
    return lambda delta: plain(delta)[..., -1, :]


@fault(7, "bias gradient averaged under a summed cost", "BP3", "a sum; m > 1", at="db")
def averaged_bias(right: Step, site: Site) -> Does:
    """δ.mean(axis=0) was right until the cost's reduction could be chosen."""
    return lambda delta: averaged(right.does(delta), 1 if site.mean else site.m)


@fault(8, "bias gradient summed over the wrong axis", "BP3", "m ≠ n_l", at="db", fails=True)
def summed_over_neurons(right: Step, site: Site) -> Does:
    """axis=1 is right where examples are columns. There are m numbers then, where n_l should be."""
    return lambda delta: delta.sum(axis=-1)


@fault(14, "first unit skipped (off by one)", "BP4", "anything, looked at component by component", at="dW")
def skips_first_unit(right: Step, site: Site) -> Does:
    """A loop over units was translated from a language that counts from 1."""

    def skipped(delta: Number, a: Number) -> Number:
        found = plain(right.does(delta, a)).copy()
        found[..., 0, :] = constant(0, found[..., 0, :])
        return found

    return skipped


def _never_made(right: Step, of: int) -> Does | None:
    """Leave a layer's gradients as they were made: full of zeros."""
    return (lambda *taken: constant(0, plain(right.does(*taken)))) if right.makes.layer == of else None


@fault(15, "first layer skipped", "BP3", "anything", FIRST_LAYER, at=("db", "dW"), also=("BP4",))
def skips_first_layer(right: Step, site: Site) -> Does | None:
    """range(L, 1, -1) ends before 1."""
    return _never_made(right, 1)


@fault(15, "last layer skipped", "BP3", "anything", LAST_LAYER, at=("db", "dW"), also=("BP4",))
def skips_last_layer(right: Step, site: Site) -> Does | None:
    """range(1, L) ends before L."""
    return _never_made(right, site.network.depth)


@fault(17, "stale activation cache", "BP4", "two cases of one architecture in a row", at="dW", stateful=True)
def stale_activations(right: Step, site: Site) -> Does:
    """What the backward pass needs is kept under the layer's name and shape, and is not replaced the next time."""
    return lambda delta, a: right.does(delta, site.keep((right.takes[1], a.shape), a))


@fault(
    19, "gradient buffers shared between layers", "BP3", "two layers of equal width",
    at=("db", "dW"), also=("BP4",),
)  # fmt: skip
def shared_buffers(right: Step, site: Site) -> Step | None:
    """One buffer for each shape saves memory, and a layer of the same shape takes it before it was read."""
    network, made = site.network, right.makes

    def shape(l: int) -> tuple[int, ...]:
        return network.weight_shape(l)[: 1 if made.kind == "db" else 2]

    last = next(l for l in range(1, network.depth + 1) if shape(l) == shape(made.layer))
    if last == made.layer:
        return None
    return replace(right, takes=site.steps[name(made.kind, last)].takes)


@fault(
    20, "gradients accumulated and not zeroed", "BP3", "two cases of one architecture in a row",
    at=("db", "dW"), also=("BP4",), stateful=True,
)  # fmt: skip
def never_zeroed(right: Step, site: Site) -> Does:
    """Gradients add up over parts of a batch, and zero_grad() is for the caller to remember."""

    def accumulated(*taken: Number) -> Number:
        found = plain(right.does(*taken))
        buffer = site.keep(right.makes, plain(constant(0, found)))
        buffer += found
        return buffer

    return accumulated


@fault(32, "low-precision accumulator", "BP3", "m > 1", at="db")
def accumulates_in_float32(right: Step, site: Site) -> Does:
    """The sum's type is chosen for speed, apart from the type of what is summed; here float32 for float64."""
    return lambda delta: floats(delta).sum(axis=-2, dtype=np.float32).astype(delta.dtype)


@fault(
    38, "gradient skipped where it is exactly 0", "BP4", "a neuron that is dead in one case and was not in the last",
    at="dW", stateful=True,
)  # fmt: skip
def skips_dead_neurons(right: Step, site: Site) -> Does:
    """Rows of zeros need no product; what the buffer held before is then taken for the gradient."""

    def alive_only(delta: Number, a: Number) -> Number:
        found, alive = plain(right.does(delta, a)), plain(delta).any(axis=-2)
        buffer = site.keep(right.makes, plain(constant(0, found)))
        buffer[alive] = found[alive]
        return buffer

    return alive_only


@fault(39, "one component changed", "BP4", "anything, looked at component by component", LAST_LAYER, at="dW")
def one_bad_weight(right: Step, site: Site) -> Does | None:
    """The tolerance of the test was on the norm of all gradients, in which one weight off by 1e-6 is lost."""
    if right.makes.layer != site.network.depth:
        return None

    def spoilt(delta: Number, a: Number) -> Number:
        found = plain(right.does(delta, a)).copy()
        found[..., -1, -1] *= 1 + 1e-6
        return found

    return spoilt
