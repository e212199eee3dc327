"""Faults as replaced steps: one row is an implementation, and an enclosure and an exact value of what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import flint
import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer
from gradparity.adapters.reference import Reference
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.property_tests.faults import FAULTS, Fault
from gradparity.property_tests.faults.fault import Site
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.backprop import named
from gradparity.reference.exact import exact_array
from gradparity.reference.interval import INFLATION
from gradparity.reference.names import GIVEN
from gradparity.reference.network import Array
from gradparity.reference.number import UnknownError
from gradparity.reference.rounding.balls import Ball
from gradparity.reference.rounding.model import model

#: Faults that move numbers about one by one, ask which is larger, or look at the bits: a Ball cannot follow.
ONE_BY_ONE = {
    "02 ∂C/∂W transposed", "06 bias gradient not summed over the batch", "14 first unit skipped (off by one)",
    "15 first layer skipped", "15 last layer skipped", "20 gradients accumulated and not zeroed",
    "25 softmax without subtracting the maximum", "26 clip that kills the gradient", "26 log of a softmax that is 0",
    "30 SELU scale applied twice", "31 Huber: constant branch wrong", "32 low-precision accumulator",
    "35 batch of one squeezed away", "36 inputs shuffled and targets not", "37 strides ignored",
    "38 gradient skipped where it is exactly 0", "39 one component changed",
}  # fmt: skip
#: What arbitrary precision cannot follow: a sum that is added up in float32.
OF_FLOATS = {"32 low-precision accumulator"}


@cache
def cases() -> list[Case]:
    """A square one, one with every function that a fault is about, and some of a campaign's, in float64."""
    names = ("tanh", "sigmoid", "leaky_relu", "elu", "selu", "hardsigmoid", "softmax", "log_softmax")
    every = [
        case(
            Architecture(3, (*(Layer(3, one) for one in names), Layer(3, last)), Cost(cost)),
            3, BY_NAME["ordinary"], 1, "float64",
        )
        for last, cost in (("sigmoid", "binary_cross_entropy"), ("softmax", "cross_entropy"), ("tanh", "huber"),
                           ("identity", "softmax_cross_entropy"), ("identity", "half_squared_error"))
    ]  # fmt: skip
    drawn = (one for one in draw_cases(Settings((), 48, 4, ("float64",))) if one.regime == "ordinary")
    return [*every, *(one for one in drawn if sum(one.architecture.widths) < 120)]


def ran(fault: Fault, one: Case, kind: Callable[[Array], Any]) -> Mapping[str, Any]:
    """Run a fault's steps on some kind of number; nothing where a shape gives it away."""
    steps = fault.steps(Site(one.architecture, one.batch))
    try:
        with np.errstate(all="ignore"):
            found = steps.run(
                {name: kind(array) for name, array in named(one.parameters, one.x, one.y).items()}
            )
    except ValueError:
        return {}
    return {name: found[name] for name in steps.answered if name.kind not in GIVEN}


def ball(array: Array) -> Ball:
    return Ball.exact(model("float64"), array[None])


def arb(array: Array) -> Array:
    return exact_array(array)


def inside(answer: Gradients, balls: Mapping[str, Ball]) -> bool:
    """Whether what was answered is held by the balls that the same steps give."""
    for name, array in answer.tensors().items():
        one = balls[name]
        mid, rad = (
            np.asarray(one.mid, np.float64).reshape(array.shape),
            one.rad.reshape(array.shape) * INFLATION,
        )
        if not np.all(np.abs(array - mid) <= rad * (1 + 1e-9)):
            return False
    return True


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_an_enclosure_of_the_fault_holds_what_it_answers(fault: Fault) -> None:
    if str(fault) in ONE_BY_ONE:
        with pytest.raises(UnknownError):
            _ = [ran(fault, one, ball) for one in cases()]
        return
    tried = 0
    for one in cases():
        balls = ran(fault, one, ball)
        if balls:
            try:
                answer = fault.implementation()(one)
            except ValueError:
                continue
            assert inside(answer, balls), one.id
            tried += 1
    assert tried


def test_an_enclosure_of_another_fault_does_not() -> None:
    sign, twice = (next(fault for fault in FAULTS if fault.number == number) for number in (21, 22))
    one = next(one for one in cases() if one.architecture.cost.name == "half_squared_error")
    assert not inside(sign.implementation()(one), ran(twice, one, ball))
    assert not inside(Reference().gradients(one), ran(sign, one, ball))


def gaps(answer: Gradients, exact: Mapping[str, Array]) -> float:
    """The largest distance from the exact value, in units of the array's largest number.

    Where that is zero or next to it, as a sum over a softmax's errors is, of a millionth of the answer's largest.
    """
    tensors = answer.tensors()
    worst, least = 0.0, 1e-6 * max(float(np.abs(array).max(initial=0.0)) for array in tensors.values())
    for name, array in tensors.items():
        values = np.array([float(value.mid()) for value in np.ravel(exact[name])]).reshape(array.shape)
        size = np.abs(values).max(initial=least)
        worst = max(worst, float(np.abs(array - values).max(initial=0.0) / size))
    return worst


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_fault_is_the_same_in_arbitrary_precision(fault: Fault) -> None:
    """So that a wrong number can be told to be exactly what this mistake makes of right ones."""
    with flint.ctx.workprec(192):
        if str(fault) in OF_FLOATS:
            with pytest.raises(UnknownError):
                ran(fault, cases()[0], arb)
            return
        for one in cases()[:5]:
            exact = ran(fault, one, arb)
            if exact:
                assert gaps(fault.implementation()(one), exact) < 1e-9, one.id


def test_the_exact_fault_is_not_the_exact_truth() -> None:
    """Every fault that does not need more than one case, or special numbers, shows in these."""
    with flint.ctx.workprec(192):
        shown = set()
        for fault in FAULTS:
            for one in cases()[:5]:
                if str(fault) not in OF_FLOATS and (exact := ran(fault, one, arb)):
                    right = Reference().gradients(one).tensors()
                    same_shapes = all(np.shape(exact[name]) == array.shape for name, array in right.items())
                    if not same_shapes or gaps(Gradients.from_tensors(right, one), exact) > 1e-13:
                        shown.add(str(fault))
    stateful = {str(fault) for fault in FAULTS if fault.stateful}
    assert not shown & stateful
    assert len(shown) >= 35, shown
