"""The flags of test vectors: what is hard about a vector, which mistake that catches, and where it was met.

A flag is a property of the case's numbers and is tested for, so that no vector can carry a wrong one or lack one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..property_tests.probes import IDENTITY
from ..reference.activations import ACTIVATION_ROWS, activation
from ..reference.backprop import backprop
from ..reference.costs import COST_ROWS
from ..reference.coupled import Coupled
from ..reference.functions.row import ActivationRow, CostRow, Hard, Targets
from ..reference.network import Array, Case, Gradients, Layer, Parameters
from ..reference.rounding.lattice import lattice

_DIVERGENCES = "docs/divergences.md"
_OTHERS = "docs/conformance_others.md"

#: Beyond this batch size a sum of equal terms that is added up in the precision itself stops growing: 2^p for p bits.
LONG_BATCH = {"bfloat16": 256, "float16": 2048}

#: Where e^-z, or its square, overflows in a sigmoid that is written as calculus gives it.
_NAIVE_SIGMOID = {"float64": -355.0, "float32": -44.5, "bfloat16": -44.5, "float16": -11.1}

#: Where e^z overflows, and by how much z may differ before the smaller softmax underflows to zero.
_LARGEST_LOG = {"float64": 709.8, "float32": 88.8, "bfloat16": 88.8, "float16": 11.1}
_SMALLEST_LOG = {"float64": 745.2, "float32": 103.3, "bfloat16": 92.2, "float16": 17.4}


@dataclass(frozen=True)
class Asked:
    """A vector's case with the one that is asked before it, and what flags are tested on, in float64."""

    case: Case
    before: Case | None = None

    @cached_property
    def answer(self) -> Gradients:
        """Return every array of the answer in float64."""

        def widened(array: Array) -> Array:
            return array.astype(np.float64)

        case = self.case
        parameters = Parameters(
            tuple(map(widened, case.parameters.weights)), tuple(map(widened, case.parameters.biases))
        )
        with np.errstate(all="ignore"):
            return backprop(case.architecture, parameters, widened(case.x), widened(case.y))

    @property
    def cost(self) -> CostRow:
        """What is known of the cost."""
        return COST_ROWS[self.case.architecture.cost.name]

    @property
    def mean(self) -> bool:
        """Whether something is divided by m > 1."""
        return self.case.architecture.reduction == "mean" and self.case.batch > 1

    @property
    def layers(self) -> Iterator[tuple[ActivationRow, Array]]:
        """What is known of each layer's activation, and the layer's z."""
        for layer, z in zip(self.case.architecture.layers, self.answer.z or (), strict=True):
            yield ACTIVATION_ROWS[layer.activation], z

    def z_where(self, hard: Hard) -> Iterator[Array]:
        """Return z of the layers whose activation has this difficulty."""
        return (z for row, z in self.layers if hard in row.hard)

    @property
    def output(self) -> Array:
        """The last layer's activations a^L."""
        return np.asarray((self.answer.a or ())[-1])

    @property
    def targets(self) -> Array:
        """The targets y."""
        return np.asarray(self.case.y, np.float64)


@dataclass(frozen=True)
class Flag:
    """A name, why such a vector is there, which mistake it catches, and a source where one is known."""

    name: str
    why: str
    catches: str
    holds: Callable[[Asked], bool]
    source: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the flag as the index writes it."""
        told = {"why": self.why, "catches": self.catches}
        return {**told, "source": self.source} if self.source else told


def _unequal_widths(asked: Asked) -> bool:
    sizes = (*asked.case.architecture.widths, asked.case.batch)
    return len(set(sizes)) == len(sizes) > 3 and min(sizes) > 1


def _equal_widths(asked: Asked) -> bool:
    network = asked.case.architecture
    return {asked.case.batch} == set(network.widths) and network.depth > 1 < network.inputs


def _mixed(asked: Asked) -> bool:
    names = [layer.activation for layer in asked.case.architecture.layers]
    return len(set(names)) > 1 and set(names[:-1]) != {IDENTITY}


def _same_shape_again(asked: Asked) -> bool:
    now, before = asked.case, asked.before
    return before is not None and (before.architecture, before.batch, before.precision) == (
        now.architecture,
        now.batch,
        now.precision,
    )


def _dead(delta: Array) -> Array:
    return np.asarray(~delta.any(axis=0))


def _dies(asked: Asked) -> bool:
    if not _same_shape_again(asked) or asked.before is None:
        return False
    now, before = asked.answer.delta or (), Asked(asked.before).answer.delta or ()
    return any(bool((_dead(d) & ~_dead(b)).any()) for d, b in zip(now, before, strict=True))


def _logits_apart(asked: Asked) -> bool:
    least = _SMALLEST_LOG[asked.case.precision]
    return any(float(np.ptp(z, axis=1).max()) > least for z in asked.z_where(Hard.LOGARITHM_OF_SOFTMAX))


def _at_a_kink(asked: Asked) -> bool:
    layers = zip(asked.case.architecture.layers, asked.answer.z or (), strict=True)
    return any(bool(np.isin(z, _corners(layer)).any()) for layer, z in layers)


def _corners(layer: Layer) -> list[float]:
    """Return the kinks at which the slope does jump; at others only its formula changes, as softplus' does at 0."""
    sigma = activation(layer)
    if isinstance(sigma, Coupled):
        return []
    below, above = (sigma.scalar.slope(np.array(sigma.kinks) + side * 1e-9) for side in (-1, 1))
    return [kink for kink, jump in zip(sigma.kinks, np.abs(above - below), strict=True) if jump > 1e-6]


def _far_out(asked: Asked) -> bool:
    far = _LARGEST_LOG[asked.case.precision]
    return any(z.min() < -far and z.max() > far for row, z in asked.layers if not row.coupled)


def _not_default(asked: Asked) -> bool:
    layers = asked.case.architecture.layers
    return any(layer.parameters != ACTIVATION_ROWS[layer.activation].defaults for layer in layers)


def _residual(asked: Asked) -> Array:
    return np.asarray(np.abs(asked.output - asked.targets))


def _not_rounded(asked: Asked) -> bool:
    points = lattice(asked.case)
    return bool(points) and all(bool(array.certain.all()) for array in points.values())


def _has_logarithm(asked: Asked) -> bool:
    return asked.cost.targets is Targets.DISTRIBUTIONS or asked.cost.on_probabilities


def _far_residual(asked: Asked) -> bool:
    cost = asked.case.architecture.cost
    return (
        Hard.SLOPE_BEYOND in asked.cost.hard
        and cost.parameters != asked.cost.defaults
        and bool((_residual(asked) > max(cost.parameters)).any())
    )


def _residual_at_kink(asked: Asked) -> bool:
    kinks = asked.cost.kinks(*asked.case.architecture.cost.parameters)
    return asked.cost.targets is Targets.ANY and 0.0 in kinks and bool((_residual(asked) == 0).any())


def _within(low: float, high: float, hard: Hard) -> Callable[[Asked], bool]:
    return lambda asked: any(bool(((low < z) & (z < high)).any()) for z in asked.z_where(hard))


FLAGS = (
    Flag(
        "UnequalWidths", "every width differs from every other and from the batch size",
        "Wδ for Wᵀδ, a transposed ∂C/∂W, a sum over the wrong axis: the shape is wrong", _unequal_widths,
    ),
    Flag(
        "EqualWidths", "all widths are equal, and so many examples: no shape betrays a wrong axis, only numbers do",
        "Wδ for Wᵀδ, ∂C/∂W transposed, the neighbouring layer's z, a buffer shared by layers of one shape",
        _equal_widths,
    ),
    Flag(
        "ThreeLayers", "there are a first layer, a last one, and one between them",
        "loops over the layers that begin or end one too early", lambda asked: asked.case.architecture.depth > 2,
    ),
    Flag(
        "BatchOfOne", "one example", "a squeeze() that was meant for outputs of width 1 removes the batch",
        lambda asked: asked.case.batch == 1,
    ),
    Flag(
        "SeveralExamples", "several examples, no two alike",
        "a bias gradient that is not summed over the batch, and inputs shuffled while targets are not",
        lambda asked: len(np.unique(asked.case.x.astype(np.float64), axis=0)) == asked.case.batch > 1,
    ),
    Flag(
        "OneOutput", "one output and several examples, where (m,) and (m, 1) are confused",
        "(m,) minus (m, 1) is (m, m)",
        lambda asked: asked.case.y.shape[1] == 1 < asked.case.batch,
    ),
    Flag(
        "MeanOverBatch", "the cost is a mean over several examples",
        "1/m left out, or in the cost's gradient and in BP3 and BP4 as well", lambda asked: asked.mean,
    ),
    Flag(
        "MeanOfSeveralOutputs", "a mean over several examples of several outputs",
        "a framework's own mean, which divides by m·n_L; the definition divides by m",
        lambda asked: asked.mean and asked.case.y.shape[1] > 1,
    ),
    Flag(
        "SumOverBatch", "the cost is a sum over several examples", "a bias gradient that is averaged all the same",
        lambda asked: asked.case.architecture.reduction == "sum" and asked.case.batch > 1,
    ),
    Flag(
        "MixedActivations", "the hidden layers and the last one have different activations",
        "the last layer's σ′ used for all layers, and σ′ left out of the hidden ones", _mixed,
    ),
    Flag(
        "SameShapeAgain", "the vector before it has the same architecture and batch size, and other numbers",
        "gradients that are accumulated and not zeroed, a stale cache of activations", _same_shape_again,
    ),
    Flag(
        "NeuronDies", "a neuron whose error is exactly 0 here, and was not in the vector before",
        "rows of zeros that are skipped, so that the buffer's old contents are taken for the gradient", _dies,
    ),
    Flag(
        "SaturatedSigmoid", "a sigmoid so far below zero that e^-z or its square overflows",
        "the naive formulas 1 / (1 + e^-z) and e^-z / (1 + e^-z)²",
        lambda asked: any(
            z.min() < _NAIVE_SIGMOID[asked.case.precision] for z in asked.z_where(Hard.NAIVE_EXPONENTIAL)
        ),
        source=f"{_DIVERGENCES}: JAX's sigmoid in float16",
    ),
    Flag(
        "LargeLogits", "a softmax of weighted inputs so large that e^z overflows",
        "a softmax that does not subtract the maximum first",
        lambda asked: any(
            z.max() > _LARGEST_LOG[asked.case.precision] for row, z in asked.layers if row.coupled
        ),
    ),
    Flag(
        "LogitsFarApart", "weighted inputs so far apart that the smaller softmax is 0, and its logarithm is not -inf",
        "log(softmax(z)), and a z - max z that is cut off", _logits_apart,
        source=f"{_OTHERS}: PaddlePaddle's log_softmax",
    ),
    Flag(
        "SoftmaxJacobian", "a softmax below another cost than the cross-entropy that cancels it",
        "a Jacobian taken as diagonal, s(1 - s), and a softmax over the wrong axis",
        lambda asked: any(True for _ in asked.z_where(Hard.FULL_JACOBIAN))
        and Hard.CANCELS_THE_JACOBIAN not in asked.cost.hard,
    ),
    Flag(
        "SoftTargets", "targets of a distribution that do not sum to 1, as the definition allows",
        "softmax(a) - y where it should be softmax(a) Σy - y",
        lambda asked: Hard.UNNORMALISED_TARGETS in asked.cost.hard
        and bool((np.abs(asked.targets.sum(axis=1) - 1) > 0.01).any()),
        source=f"{_DIVERGENCES}: TensorFlow's softmax_cross_entropy",
    ),
    Flag(
        "ZeroTargets", "targets that are exactly 0 in a cost with logarithms", "0 log 0, which is 0 and not NaN",
        lambda asked: _has_logarithm(asked) and bool((asked.targets == 0).any()),
    ),
    Flag(
        "SmallProbability", "a probability below a thousandth whose target is not 0",
        "log(a + ε), and a clip beyond which nothing depends on the output any more",
        lambda asked: asked.cost.on_probabilities and bool(((asked.output < 1e-3) & (asked.targets > 0)).any()),
        source=f"{_DIVERGENCES}: PyTorch's binary_cross_entropy",
    ),
    Flag(
        "LargeResidual", "residuals beyond a huber delta that is not 1",
        "the far branch remembered as the sign of the residual", _far_residual,
    ),
    Flag(
        "AlphaNotDefault", "an activation with a parameter that is not the usual one",
        "an alpha ignored, applied on the wrong side, or stored in float32", _not_default,
        source=f"{_DIVERGENCES}: PyTorch's celu, TensorFlow's leaky_relu",
    ),
    Flag(
        "Float64Constant", "float64, and a function with a constant that float32 does not hold",
        "a constant stored as float32, such as hardsigmoid's sixth",
        lambda asked: asked.case.precision == "float64"
        and _within(-2.9, 2.9, Hard.LONG_CONSTANT)(asked),
        source=f"{_DIVERGENCES}: PyTorch's hardsigmoid, TensorFlow's gelu",
    ),
    Flag(
        "BelowZeroByAHair", "elu, celu or selu of a number so little below zero that e^z rounds to 1",
        "exp(z) - 1 where it should be expm1(z)", _within(-(2.0**-54), 0, Hard.EXPM1),
        source="https://github.com/tensorflow/tensorflow/issues/116943",
    ),
    Flag(
        "SoftplusTail", "softplus so far above zero that float32 takes it for z, and float64 does not",
        "a threshold beyond which softplus is linear",
        lambda asked: asked.case.precision == "float64" and _within(20, 30, Hard.LINEAR_TAIL)(asked),
        source=f"{_DIVERGENCES}: PyTorch's softplus",
    ),
    Flag(
        "FarOut", "an elementwise activation so far from zero, on both sides, that e^z overflows",
        "intermediates that overflow where the result does not: NaN, or a clip", _far_out,
        source=f"{_OTHERS}: ConvNetJS' tanh, FANN's clip",
    ),
    Flag(
        "KinkExactlyHit", "a weighted input exactly on a kink: any slope between the one-sided ones is right",
        "a slope outside them, twice one of them, or NaN", _at_a_kink,
        source=f"{_OTHERS}: MyGrad's leaky_relu, MLX's celu",
    ),
    Flag(
        "ResidualExactlyZero", "an output exactly on its target, where absolute_error has its kink",
        "sign(0) or 0/0 taken for a slope outside -1 to 1", _residual_at_kink,
    ),
    Flag(
        "NoRounding", "small integers times powers of two: any order of evaluation is exact, every interval a point",
        "anything at all, however small, such as 1/(m + 1e-12)", _not_rounded,
    ),
    Flag(
        "LongBatchLowPrecision", "more examples than the precision can count",
        "a sum over the batch that is added up in bfloat16 or float16",
        lambda asked: asked.case.batch > LONG_BATCH.get(asked.case.precision, np.inf),
        source=f"{_DIVERGENCES}: JAX's sums over a batch, TensorFlow's reduce_sum",
    ),
)  # fmt: skip


def flags_of(asked: Asked) -> list[str]:
    """Name the flags that hold of a vector."""
    with np.errstate(all="ignore"):
        return [flag.name for flag in FLAGS if flag.holds(asked)]
