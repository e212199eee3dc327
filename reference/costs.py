"""The costs: a row for each, with all that the project knows of it, in the order in which they are drawn.

A cost is C summed over a batch and ∇_a C of every example, before the mean or sum over the batch. The formulas stand in
functions/, by family.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .functions import likelihoods, margins, residuals
from .functions.cost_function import CostFunction
from .functions.parameter import Parameter
from .functions.row import CostRow, CostShows, Hard, Targets

if TYPE_CHECKING:
    from .network import Cost

__all__ = ["COST_ROWS", "CostFunction", "cost_function"]

_ROWS = (
    CostRow(
        name="half_squared_error",
        make=residuals.half_squared_error,
        says="Half of the squared distance between outputs and targets, so that the gradient is their difference.",
        formula="1 / 2 * sum((a - y)**2)",
        slope="a - y",
        exact=True,
    ),
    CostRow(
        name="squared_error",
        make=residuals.squared_error,
        says="The squared distance between outputs and targets.",
        formula="sum((a - y)**2)",
        slope="2 * (a - y)",
        exact=True,
    ),
    CostRow(
        name="absolute_error",
        make=residuals.absolute_error,
        says="The sum of the distances between outputs and targets, which outliers pull at no harder than anybody.",
        formula="sum(abs(a - y))",
        slope="1 if a > y else -1",
        kinks=lambda: (0.0,),
        exact=True,
    ),
    CostRow(
        name="huber",
        make=residuals.huber,
        says="Squared for residuals up to delta, and straight beyond, with slope delta.",
        formula="sum(1 / 2 * (a - y)**2 if abs(a - y) <= delta else delta * (abs(a - y) - 1 / 2 * delta))",
        slope="min(max(-delta, a - y), delta)",
        parameters=(Parameter("delta", 1.0, drawn=(0.5, 1.0, 1.345), exact=(0.5, 1.0)),),
        kinks=lambda delta: (-delta, delta),
        exact=True,
        hard=frozenset({Hard.SLOPE_BEYOND}),
    ),
    CostRow(
        name="smooth_l1",
        make=residuals.smooth_l1,
        says="huber divided by its parameter: straight with slope 1 beyond beta, and rounded off within.",
        formula="sum(1 / 2 * (a - y)**2 / beta if abs(a - y) < beta else abs(a - y) - 1 / 2 * beta)",
        slope="min(max(-1, (a - y) / beta), 1)",
        parameters=(Parameter("beta", 1.0, drawn=(0.5, 1.0, 1.345), exact=(0.5, 1.0)),),
        kinks=lambda beta: (-beta, beta),
        exact=True,
    ),
    CostRow(
        name="log_cosh",
        make=residuals.log_cosh,
        says="Nearly half of the square for small residuals, and nearly the distance for large ones.",
        formula="sum(log(cosh(a - y)))",
        slope="tanh(a - y)",
    ),
    CostRow(
        name="hinge",
        make=margins.hinge,
        says="How far an output falls short of being 1 on its target's side.",
        formula="sum(max(0, 1 - y * a))",
        slope="-y if y * a < 1 else 0",
        targets=Targets.SIGNS,
        kinks=lambda: (1.0,),
        tried_with=(1.0,),
        exact=True,
    ),
    CostRow(
        name="squared_hinge",
        make=margins.squared_hinge,
        says="The square of what hinge sums, so that its slope does not jump.",
        formula="sum(max(0, 1 - y * a)**2)",
        slope="-(2 * y * max(0, 1 - y * a))",
        targets=Targets.SIGNS,
        kinks=lambda: (1.0,),
        tried_with=(1.0,),
        exact=True,
    ),
    CostRow(
        name="binary_cross_entropy",
        make=likelihoods.binary_cross_entropy,
        says="The surprise at each yes or no, where the outputs are the probabilities of yes.",
        formula="-sum(y * log(a) + (1 - y) * log(1 - a))",
        slope="(a - y) / (a * (1 - a))",
        targets=Targets.PROBABILITIES,
        last=("sigmoid", "softmax"),
        on_probabilities=True,
        tried_with=(0.0, 1.0),
        # There it does not matter whether it is log1p(-a) or log(1 - a).
        shows=CostShows("log1p", "value", 3, target=0.0, exact=lambda a: -np.log(1 - a), between=(0.3, 0.6)),
    ),
    CostRow(
        name="binary_cross_entropy_with_logits",
        make=likelihoods.binary_cross_entropy_with_logits,
        says="The binary cross-entropy of the sigmoid of each output.",
        formula="-sum(y * log(sigmoid(a)) + (1 - y) * log(1 - sigmoid(a)))",
        slope="sigmoid(a) - y",
        targets=Targets.PROBABILITIES,
        tried_with=(0.0, 1.0),
    ),
    CostRow(
        name="cross_entropy",
        make=likelihoods.cross_entropy,
        says="The surprise at the targets, where the outputs are a distribution.",
        formula="-sum(y * log(a))",
        slope="-y / a",
        targets=Targets.DISTRIBUTIONS,
        last=("softmax", "sigmoid"),
        on_probabilities=True,
        tried_with=(0.0, 1.0),
        hard=frozenset({Hard.CANCELS_THE_JACOBIAN}),
        shows=CostShows(
            "log", "value", target=1.0, exact=lambda a: -np.log(a), between=(0.01, 0.99), down_to_nothing=True
        ),
    ),
    CostRow(
        name="softmax_cross_entropy",
        make=likelihoods.softmax_cross_entropy,
        says="The cross-entropy of the softmax of the outputs; the targets of an example need not sum to 1.",
        formula="-sum(y * log(exp(a) / sum(exp(a))))",
        slope="-y + exp(a) / sum(exp(a)) * sum(y)",
        targets=Targets.DISTRIBUTIONS,
        hard=frozenset({Hard.UNNORMALISED_TARGETS}),
    ),
    CostRow(
        name="negative_log_likelihood",
        make=likelihoods.negative_log_likelihood,
        says="The surprise at the targets, where the outputs are log-probabilities; it is linear in them.",
        formula="-sum(y * a)",
        slope="-y",
        targets=Targets.DISTRIBUTIONS,
        last=("log_softmax", "log_sigmoid"),
        exact=True,
    ),
    CostRow(
        name="kl_divergence",
        make=likelihoods.kl_divergence,
        says="How far the outputs, which are log-probabilities, are from the targets' distribution; 0 log 0 is 0.",
        formula="sum(y * (log(y) - a))",
        slope="-y",
        targets=Targets.DISTRIBUTIONS,
        last=("log_softmax", "log_sigmoid"),
    ),
    CostRow(
        name="poisson",
        make=likelihoods.poisson,
        says="The surprise at counts whose mean is e to the output, up to a constant.",
        formula="sum(exp(a) - y * a)",
        slope="exp(a) - y",
        targets=Targets.COUNTS,
        shows=CostShows("exp", "slope", target=0.0, exact=np.exp),
    ),
)

#: By name, in the order in which they take turns.
COST_ROWS: Mapping[str, CostRow] = {row.name: row for row in _ROWS}


@lru_cache(maxsize=128)  # there is no end to deltas
def cost_function(cost: Cost) -> CostFunction:
    """Return C and ∇_a C of a cost."""
    return COST_ROWS[cost.name].make(*cost.parameters)
