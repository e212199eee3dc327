"""Faults of the cost, of its gradient and of its average over the batch: BP1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...reference.backprop import averaged
from ...reference.costs import COST_ROWS
from ...reference.coupled import softmax
from ...reference.elementary import constant, log
from ...reference.functions.row import Targets
from ...reference.number import Number
from ...reference.scalar import smooth
from ...reference.steps import Step
from .fault import Change, Site, fault, plain

Does = Callable[..., Any]

#: The costs of a - y: the targets of all others are of some kind.
_OF_RESIDUALS = [name for name, row in COST_ROWS.items() if row.targets is Targets.ANY]


@fault(3, "1/m missing", "BP1", "a mean; m > 1", at="g")
def not_averaged(right: Step, site: Site) -> Does | None:
    """The equations are derived for one example; the average is in the cost and easily forgotten in its gradient."""
    return (lambda nabla: nabla) if right.equation == "BP1" else None


@fault(5, "divides by m·n_L", "BP1", "a mean; n_L > 1", at="nabla")
def averages_outputs_too(right: Step, site: Site) -> Does:
    """np.mean of a whole array is the mean over the outputs as well, and so are the frameworks' own means."""
    n_L = site.network.widths[-1] if site.mean else 1
    return lambda a, y: averaged(right.does(a, y), n_L)


@fault(21, "sign", "BP1", "anything", at="nabla")
def wrong_sign(right: Step, site: Site) -> Does:
    """Desired minus actual is how people think of an error, and the update then adds instead of subtracting."""
    return lambda a, y: -right.does(a, y)


@fault(22, "factor 2 in the quadratic cost", "BP1", "half_squared_error", at="nabla", of="half_squared_error")
def twice_the_residual(right: Step, site: Site) -> Does:
    """Two costs are called quadratic, and only one of them has the ½."""
    return lambda a, y: 2.0 * right.does(a, y)


@fault(
    26, "clip that kills the gradient", "BP1", "binary_cross_entropy of outputs near 0 or 1",
    at="nabla", of="binary_cross_entropy",
)  # fmt: skip
def clips_probabilities(right: Step, site: Site) -> Does:
    """A clip at 1e-7 keeps log away from 0; beyond the clip nothing depends on the output any more."""

    def clipped(a: Number, y: Number) -> Number:
        outside, gradient = (plain(a) < 1e-7) | (plain(a) > 1 - 1e-7), plain(right.does(a, y))
        return np.where(outside.astype(bool), plain(constant(0, gradient)), gradient)

    return clipped


@fault(
    28, "targets assumed to sum to 1", "BP1", "softmax_cross_entropy; targets that do not sum to 1",
    at="nabla", of="softmax_cross_entropy",
)  # fmt: skip
def assumes_distribution(right: Step, site: Site) -> Does:
    """softmax(a) - y is in every text; that it stands for softmax(a) Σ y - y is in few."""
    return lambda a, y: softmax(a) - y


@fault(
    31,
    "Huber: constant branch wrong",
    "BP1",
    "huber with delta ≠ 1; residuals beyond delta",
    at="nabla",
    of="huber",
)
def huber_without_delta(right: Step, site: Site) -> Does:
    """The far branch is remembered as the sign of the residual, which it is for delta = 1."""
    (delta,) = site.network.cost.parameters

    def gradient(a: Number, y: Number) -> Number:
        residual = plain(a - y)
        one = plain(constant(1, residual))
        sign = np.where((residual > 0).astype(bool), one, -one)
        return np.where((abs(residual) > delta).astype(bool), sign, plain(right.does(a, y)))

    return gradient


@fault(
    34,
    "(m,) minus (m,1) broadcast",
    ("cost", "BP1"),
    "a cost of a - y; n_L = 1; m > 1",
    at=("total", "nabla"),
    also=("BP1",),
)
def broadcasts_residual(right: Step, site: Site) -> Does | None:
    """A library that drops the axis of a single output meets targets that kept it: a - y is (m, m)."""
    if site.network.cost.name not in _OF_RESIDUALS or site.network.widths[-1] != 1:
        return None
    m = site.m if site.mean else 1

    def of_every_pair(a: Number, y: Number) -> Number:
        pairs = a.mT - y
        found = right.does(pairs, pairs - pairs)
        # Once more: a mean is over m² numbers now.
        return averaged(found if right.makes.kind == "total" else found.sum(axis=-2, keepdims=True).mT, m)

    return of_every_pair


def divides_by_more(epsilon: float) -> Change:
    """Divide by m + ε in the mean's two places."""

    def change(right: Step, site: Site) -> Does | None:
        concerned = site.mean and right.equation in ("cost", "BP1")
        return (lambda total: total / (site.m + epsilon)) if concerned else None

    return change


def logarithm_of_more(epsilon: float) -> Change:
    """Take log(a + ε) in the cost, and its derivative."""
    logarithm = smooth(
        [lambda a: log(a + epsilon)],
        [lambda a: 1 / (a + epsilon)],
        lambda a: -1 / ((a + epsilon) * (a + epsilon)),
    )

    def change(right: Step, site: Site) -> Does:
        if right.makes.kind == "total":
            return lambda a, y: -(y * logarithm.value(a)).sum()
        return lambda a, y: -(y * logarithm.slope(a))

    return change


_FEAR = {  # what people think at each ε, of a mean and of a logarithm
    "1e-6": ("Every division gets its ε, for fear of dividing by zero, and this is a division.",
             "log(0) is -inf, and ε is the first cure that comes to mind."),
    "1e-9": ("A smaller ε looks more careful.",) * 2,
    "1e-12": ("Chosen so that float32 tests cannot see it.",) * 2,
}  # fmt: skip
for epsilon, (why, _) in _FEAR.items():
    wrong = divides_by_more(float(epsilon))
    wrong.__doc__ = why
    exposed = "a mean; small m and few layers" if epsilon == "1e-12" else "a mean"
    fault(40, f"1/(m + {epsilon})", ("cost", "BP1"), exposed, at=("cost", "g"), also=("BP1",))(wrong)
for epsilon, (_, why) in _FEAR.items():
    wrong = logarithm_of_more(float(epsilon))
    wrong.__doc__ = why
    fault(
        40, f"log(a + {epsilon})", ("cost", "BP1"), "cross_entropy",
        at=("total", "nabla"), of="cross_entropy", also=("BP1",),
    )(wrong)  # fmt: skip
