"""Faults of the cost, of its gradient and of its average over the batch: BP1."""

from __future__ import annotations

import numpy as np
from gradparity.reference.costs import COST_ROWS, cost_function
from gradparity.reference.functions.row import Targets
from gradparity.reference.network import Array

from .fault import fault
from .network import Network

#: The costs of a - y: the targets of all others are of some kind.
_OF_RESIDUALS = [name for name, row in COST_ROWS.items() if row.targets is Targets.ANY]


@fault(3, "1/m missing", "BP1", "a mean; m > 1")
class NotAveraged(Network):
    """The equations are derived for one example; the average is in the cost and easily forgotten in its gradient."""

    def output_error(self) -> Array:
        return self.through(self.layer[self.L], self.cost_gradient(), self.z[self.L])


@fault(5, "divides by m·n_L", "BP1", "a mean; n_L > 1")
class AveragesOutputsToo(Network):
    """np.mean of a whole array is the mean over the outputs as well, and so are the frameworks' own means."""

    def cost_gradient(self) -> Array:
        gradient = super().cost_gradient()
        return gradient / gradient.shape[1] if self.case.architecture.reduction == "mean" else gradient


@fault(21, "sign", "BP1", "anything")
class WrongSign(Network):
    """Desired minus actual is how people think of an error, and the update then adds instead of subtracting."""

    def cost_gradient(self) -> Array:
        return -super().cost_gradient()


@fault(22, "factor 2 in the quadratic cost", "BP1", "half_squared_error")
class TwiceTheResidual(Network):
    """Two costs are called quadratic, and only one of them has the ½."""

    def cost_gradient(self) -> Array:
        gradient = super().cost_gradient()
        return 2 * gradient if self.case.architecture.cost.name == "half_squared_error" else gradient


@fault(26, "clip that kills the gradient", "BP1", "binary_cross_entropy of outputs near 0 or 1")
class ClipsProbabilities(Network):
    """A clip at 1e-7 keeps log away from 0; beyond the clip nothing depends on the output any more."""

    def cost_gradient(self) -> Array:
        gradient, a = super().cost_gradient(), self.a[self.L]
        clipped = self.case.architecture.cost.name == "binary_cross_entropy"
        return np.where((a < 1e-7) | (a > 1 - 1e-7), 0, gradient) if clipped else gradient


@fault(28, "targets assumed to sum to 1", "BP1", "softmax_cross_entropy; targets that do not sum to 1")
class AssumesDistribution(Network):
    """softmax(a) - y is in every text; that it stands for softmax(a) Σ y - y is in few."""

    def cost_gradient(self) -> Array:
        if self.case.architecture.cost.name != "softmax_cross_entropy":
            return super().cost_gradient()
        return self.softmax(self.a[self.L]) - self.case.y


@fault(31, "Huber: constant branch wrong", "BP1", "huber with delta ≠ 1; residuals beyond delta")
class HuberWithoutDelta(Network):
    """The far branch is remembered as the sign of the residual, which it is for delta = 1."""

    def cost_gradient(self) -> Array:
        cost, residual = self.case.architecture.cost, self.a[self.L] - self.case.y
        far = np.abs(residual) > (cost.delta or np.inf)
        return np.where(far, np.sign(residual), super().cost_gradient())


@fault(34, "(m,) minus (m,1) broadcast", "cost", "a cost of a - y; n_L = 1; m > 1", also=("BP1",))
class BroadcastsResidual(Network):
    """A library that drops the axis of a single output meets targets that kept it: a - y is (m, m)."""

    def _every_pair(self) -> Array | None:
        concerned = self.case.architecture.cost.name in _OF_RESIDUALS and self.case.y.shape[1] == 1
        return self.a[self.L][:, 0] - self.case.y if concerned else None

    def cost_value(self) -> Array:
        pairs = self._every_pair()
        if pairs is None:
            return super().cost_value()
        value = cost_function(self.case.architecture.cost).value(pairs, np.zeros_like(pairs))
        return self.averaged(np.asarray(value))  # once more: a mean is over m² numbers now

    def cost_gradient(self) -> Array:
        pairs = self._every_pair()
        if pairs is None:
            return super().cost_gradient()
        gradient = cost_function(self.case.architecture.cost).gradient(pairs, np.zeros_like(pairs))
        return self.averaged(gradient.sum(axis=0)[:, None])


class StableDivision(Network):
    """A mean over m + ε examples: nobody divides by zero then."""

    epsilon: float

    def averaged(self, total: Array) -> Array:
        mean = self.case.architecture.reduction == "mean"
        return np.asarray(total / (self.m + self.epsilon)) if mean else total


@fault(40, "1/(m + 1e-6)", ("cost", "BP1"), "a mean", also=("BP1",))
class DividesByOneMillionthMore(StableDivision):
    """Every division gets its ε, for fear of dividing by zero, and this is a division."""

    epsilon = 1e-6


@fault(40, "1/(m + 1e-9)", ("cost", "BP1"), "a mean", also=("BP1",))
class DividesByOneBillionthMore(StableDivision):
    """A smaller ε looks more careful."""

    epsilon = 1e-9


@fault(40, "1/(m + 1e-12)", ("cost", "BP1"), "a mean; small m and few layers", also=("BP1",))
class DividesByOneTrillionthMore(StableDivision):
    """Chosen so that float32 tests cannot see it."""

    epsilon = 1e-12


class StableLogarithm(Network):
    """log(a + ε) in a cross entropy."""

    epsilon: float

    def cost_value(self) -> Array:
        if self.case.architecture.cost.name != "cross_entropy":
            return super().cost_value()
        return np.asarray(-(self.case.y * np.log(self.a[self.L] + self.epsilon)).sum())

    def cost_gradient(self) -> Array:
        if self.case.architecture.cost.name != "cross_entropy":
            return super().cost_gradient()
        return np.asarray(-self.case.y / (self.a[self.L] + self.epsilon))


@fault(40, "log(a + 1e-6)", ("cost", "BP1"), "cross_entropy", also=("BP1",))
class LogOfOneMillionthMore(StableLogarithm):
    """log(0) is -inf, and ε is the first cure that comes to mind."""

    epsilon = 1e-6


@fault(40, "log(a + 1e-9)", ("cost", "BP1"), "cross_entropy", also=("BP1",))
class LogOfOneBillionthMore(StableLogarithm):
    """A smaller ε looks more careful."""

    epsilon = 1e-9


@fault(40, "log(a + 1e-12)", ("cost", "BP1"), "cross_entropy", also=("BP1",))
class LogOfOneTrillionthMore(StableLogarithm):
    """Chosen so that float32 tests cannot see it."""

    epsilon = 1e-12
