"""The activations: a row for each, with all that the project knows of it, in the order in which they are drawn.

σ acts elementwise, but for softmax and log_softmax, which couple the neurons of a layer (coupled.py). The formulas
stand in functions/, by family. In every list the first formula is the reference's own; the others are what sane
implementations use instead, and are there because they round differently. Formulas are written in elementary.py's
functions, for any kind of number.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from .coupled import LOG_SOFTMAX, SOFTMAX, Coupled
from .functions import gated, linear_units, piecewise, sigmoidal
from .functions.elementwise import Elementwise
from .functions.parameter import Parameter
from .functions.row import ActivationRow, Hard, Shows, above_zero, below_zero

if TYPE_CHECKING:
    from .network import Layer

__all__ = ["ACTIVATION_ROWS", "Activation", "Elementwise", "activation"]

Activation = Elementwise | Coupled


def _alpha(default: float, probed: float, frozen: float, exact: tuple[float, ...] = ()) -> Parameter:
    return Parameter("alpha", default, (default, 0.25, 0.3, 1.5), exact, probed, frozen)


_ROWS = (
    ActivationRow(
        name="identity",
        make=piecewise.identity,
        says="The weighted input as it is: a linear layer, and what stands below a cost that takes logits.",
        formula="z",
        slope="1",
        exact=True,
    ),
    ActivationRow(
        name="sigmoid",
        make=sigmoidal.logistic,
        says="The logistic function, which makes a probability of any number.",
        formula="1 / (1 + exp(-z))",
        slope="sigmoid(z) * (1 - sigmoid(z))",
        hard=frozenset({Hard.NAIVE_EXPONENTIAL}),
        shows=Shows("sigmoid", "value"),
    ),
    ActivationRow(
        name="tanh",
        make=sigmoidal.hyperbolic_tangent,
        says="The hyperbolic tangent, which bends the line towards -1 and 1.",
        formula="(exp(z) - exp(-z)) / (exp(z) + exp(-z))",
        slope="1 - tanh(z)**2",
        shows=Shows("tanh", "value"),
    ),
    ActivationRow(
        name="relu",
        make=piecewise.relu,
        says="z where it is positive, and 0 elsewhere.",
        formula="max(0, z)",
        slope="1 if z > 0 else 0",
        exact=True,
    ),
    ActivationRow(
        name="relu6",
        make=piecewise.relu6,
        says="relu that goes no higher than 6.",
        formula="min(max(0, z), 6)",
        slope="1 if 0 < z < 6 else 0",
        exact=True,
    ),
    ActivationRow(
        name="leaky_relu",
        make=piecewise.leaky_relu,
        says="z where it is positive, and alpha times z elsewhere, so that no neuron is ever silent for good.",
        formula="z if z > 0 else alpha * z",
        slope="1 if z > 0 else alpha",
        parameters=(_alpha(0.01, probed=0.3, frozen=0.3, exact=(0.25, 0.5)),),
        exact=True,
    ),
    ActivationRow(
        name="elu",
        make=linear_units.elu,
        says="z where it is positive, and below zero an exponential that levels off at -alpha.",
        formula="z if z > 0 else alpha * (exp(z) - 1)",
        slope="1 if z > 0 else alpha * exp(z)",
        parameters=(_alpha(1.0, probed=1.0, frozen=1.5),),
        hard=frozenset({Hard.EXPM1}),
        shows=Shows("expm1", "value", where=below_zero),
    ),
    ActivationRow(
        name="celu",
        make=linear_units.celu,
        says="elu whose exponential is stretched by alpha, so that its slope does not jump at zero.",
        formula="z if z > 0 else alpha * (exp(z / alpha) - 1)",
        slope="1 if z > 0 else exp(z / alpha)",
        parameters=(_alpha(1.0, probed=0.3, frozen=0.3),),
        hard=frozenset({Hard.EXPM1}),
    ),
    ActivationRow(
        name="selu",
        make=linear_units.selu,
        says="elu with two constants that keep mean 0 and variance 1 from layer to layer.",
        formula="1.0507009873554804934193349852946 * z if z > 0 else "
        "1.0507009873554804934193349852946 * 1.6732632423543772848170429916717 * (exp(z) - 1)",
        hard=frozenset({Hard.EXPM1, Hard.LONG_CONSTANT}),
    ),
    ActivationRow(
        name="gelu",
        make=gated.gelu,
        says="z times the probability that a normal variable is below z.",
        formula="z * (1 + erf(z / sqrt(2))) / 2",
        slope="(1 + erf(z / sqrt(2))) / 2 + z * exp(-z**2 / 2) / sqrt(2 * pi)",
        hard=frozenset({Hard.LONG_CONSTANT}),
        shows=Shows("ndtr", "value", 2, above_zero),  # accurate there, since nothing cancels
    ),
    ActivationRow(
        name="gelu_tanh",
        make=gated.gelu_tanh,
        says="An approximation of gelu that needs a tanh only; its slope is its own, and not gelu's.",
        formula="z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z**3)))",
        hard=frozenset({Hard.LONG_CONSTANT}),
    ),
    ActivationRow(
        name="silu",
        make=gated.silu,
        says="z times its sigmoid, which is also called swish.",
        formula="z / (1 + exp(-z))",
        slope="sigmoid(z) * (1 + z * (1 - sigmoid(z)))",
        hard=frozenset({Hard.NAIVE_EXPONENTIAL}),
    ),
    ActivationRow(
        name="mish",
        make=gated.mish,
        says="z times the tanh of its softplus: smooth, with a shallow dip below zero.",
        formula="z * tanh(log(1 + exp(z)))",
    ),
    ActivationRow(
        name="softplus",
        make=sigmoidal.softplus,
        says="A relu without a corner; its slope is the sigmoid.",
        formula="log(1 + exp(z))",
        slope="sigmoid(z)",
        hard=frozenset({Hard.LINEAR_TAIL}),
    ),
    ActivationRow(
        name="squareplus",
        make=sigmoidal.squareplus,
        says="A relu without a corner that needs no exponential: half of z and the root of z² + 4.",
        formula="(z + sqrt(z**2 + 4)) / 2",
        slope="(1 + z / sqrt(z**2 + 4)) / 2",
    ),
    ActivationRow(
        name="softsign",
        make=sigmoidal.softsign,
        says="z divided by 1 plus its size: like tanh, with longer tails and no exponential.",
        formula="z / (1 + abs(z))",
        slope="1 / (1 + abs(z))**2",
    ),
    ActivationRow(
        name="hardtanh",
        make=piecewise.hardtanh,
        says="z held between -1 and 1.",
        formula="min(max(-1, z), 1)",
        slope="1 if -1 < z < 1 else 0",
        exact=True,
    ),
    ActivationRow(
        name="hardsigmoid",
        make=piecewise.hardsigmoid,
        says="A straight ramp from 0 at z = -3 to 1 at z = 3, in place of the sigmoid.",
        formula="min(max(0, z / 6 + 1 / 2), 1)",
        slope="1 / 6 if -3 < z < 3 else 0",
        hard=frozenset({Hard.LONG_CONSTANT}),
    ),
    ActivationRow(
        name="hardswish",
        make=piecewise.hardswish,
        says="z times its hardsigmoid: silu without an exponential.",
        formula="z * min(max(0, z + 3), 6) / 6",
        slope="0 if z < -3 else (2 * z + 3) / 6 if z < 3 else 1",
        hard=frozenset({Hard.LONG_CONSTANT}),
    ),
    ActivationRow(
        name="log_sigmoid",
        make=sigmoidal.log_sigmoid,
        says="The logarithm of the sigmoid: a log-probability, for costs that take one.",
        formula="-log(1 + exp(-z))",
        slope="sigmoid(-z)",
    ),
    ActivationRow(
        name="softmax",
        make=lambda: SOFTMAX,
        says="Makes a probability distribution of all weighted inputs of a layer.",
        formula="exp(z) / sum(exp(z))",
        hard=frozenset({Hard.FULL_JACOBIAN}),
    ),
    ActivationRow(
        name="log_softmax",
        make=lambda: LOG_SOFTMAX,
        says="The logarithm of the softmax, which does not underflow where the softmax does.",
        formula="z - log(sum(exp(z)))",
        hard=frozenset({Hard.LOGARITHM_OF_SOFTMAX}),
    ),
)

#: By name, in the order in which they take turns.
ACTIVATION_ROWS: Mapping[str, ActivationRow] = {row.name: row for row in _ROWS}


@lru_cache(maxsize=128)  # cases of one architecture come together; and there is no end to alphas
def activation(layer: Layer) -> Activation:
    """Return the activation σ of a layer."""
    return ACTIVATION_ROWS[layer.activation].make(*layer.parameters)
