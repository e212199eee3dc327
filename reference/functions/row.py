"""What the project knows of a function: a row for each activation and each cost, and nothing else lists them.

The rows stand in activations.py and costs.py. Whoever draws a case or measures a function reads them, so that a
function that is added there is drawn, bounded, certified and judged. Sentences and formulas are for people; tests hold
them against what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Literal

import numpy as np

from ..array import Array
from ..coupled import Coupled
from .cost_function import CostFunction
from .elementwise import Elementwise
from .parameter import Parameter

Quantity = Literal["value", "slope"]


class Targets(Enum):
    """What a cost's targets are meant to be."""

    ANY = "any number"
    SIGNS = "-1 or 1"
    PROBABILITIES = "from 0 to 1, each by itself"
    DISTRIBUTIONS = "from 0 to 1, and the targets of an example may have to sum to 1"
    COUNTS = "0, 1, 2, .."


class Hard(Enum):
    """What is hard about a function at some of its points; test vectors are flagged with it."""

    NAIVE_EXPONENTIAL = "written as calculus has it, e^-z or its square overflows far below zero"
    EXPM1 = "just below zero e^z - 1 cancels"
    LONG_CONSTANT = "between its kinks it has a constant that float32 does not hold"
    LINEAR_TAIL = "above 20 it is z in float32 and is not in float64"
    LOGARITHM_OF_SOFTMAX = "where the softmax underflows its logarithm does not"
    FULL_JACOBIAN = "its Jacobian is not diagonal"
    CANCELS_THE_JACOBIAN = "behind a softmax, the Jacobian times its gradient is a difference"
    UNNORMALISED_TARGETS = "targets need not sum to 1"
    SLOPE_BEYOND = "beyond its parameter the slope is the parameter, and not 1"


def everywhere(z: Array) -> Array:
    """Take every point."""
    return np.ones(z.shape, bool)


def below_zero(z: Array) -> Array:
    """Take the points below zero."""
    return z < 0


def above_zero(z: Array) -> Array:
    """Take the points above zero."""
    return z > 0


@dataclass(frozen=True)
class Shows:
    """An elementary function that can be seen through another: in which quantity, where, and what rounds in between."""

    function: str
    quantity: Quantity
    roundings: int = 0
    where: Callable[[Array], Array] = everywhere


@dataclass(frozen=True, kw_only=True)
class CostShows(Shows):
    """The same through a cost, which shows it with one target; in its value, at one output of one example at a time."""

    target: float
    #: What is seen of an output a.
    exact: Callable[[Array], Array]
    #: Between which outputs it is looked at, for a value.
    between: tuple[float, float] = (0.0, 1.0)
    #: Whether it is looked at over all binary exponents below 1 as well.
    down_to_nothing: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of any function. Its formulas for people are in the notation of formula.py."""

    name: str
    #: One sentence for people: what it is, and what it is for.
    says: str
    #: σ(z), or the cost C of one example.
    formula: str
    #: σ′(z), or ∂C/∂a; empty where it is no shorter than the sentence that says how to get it.
    slope: str = ""
    parameters: tuple[Parameter, ...] = ()
    #: Whether nothing is rounded where its arguments and its slopes have few bits.
    exact: bool = False
    hard: frozenset[Hard] = frozenset()
    #: The elementary function that can be seen through this one, if any.
    shows: Shows | None = None

    @cached_property
    def defaults(self) -> tuple[float, ...]:
        """The parameters' values where none are given."""
        return tuple(one.default for one in self.parameters)

    @cached_property
    def probed(self) -> tuple[float, ...]:
        """The parameters' values where the function is probed by itself."""
        return tuple(one.default if one.probed is None else one.probed for one in self.parameters)

    @cached_property
    def frozen(self) -> tuple[float, ...]:
        """The parameters' values in the function's own test vectors."""
        return tuple(one.default if one.frozen is None else one.frozen for one in self.parameters)

    def named(self, values: tuple[float, ...]) -> Mapping[str, float]:
        """Name the values of the parameters as a document does."""
        return dict(zip(self._names, values, strict=True)) if values else {}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.parameters)


@dataclass(frozen=True, kw_only=True)
class ActivationRow(Row):
    """What is known of an activation."""

    #: Makes the function; takes the parameters in their order.
    make: Callable[..., Elementwise | Coupled]

    @cached_property
    def coupled(self) -> bool:
        """Whether an output depends on all of a layer's weighted inputs."""
        return isinstance(self.make(*self.defaults), Coupled)


def _nowhere(*_: float) -> tuple[float, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class CostRow(Row):
    """What is known of a cost."""

    #: Makes the function; takes the parameters in their order.
    make: Callable[..., CostFunction]
    targets: Targets = Targets.ANY
    #: Which activations the last layer may have, the plainest first; empty where any will do.
    last: tuple[str, ...] = ()
    #: Whether its outputs are probabilities, so that it is not defined beyond 0 and 1.
    on_probabilities: bool = False
    #: Where the formula of its slope changes as a function of a, for the first target that it is tried with; takes the
    #: parameters in their order.
    kinks: Callable[..., tuple[float, ...]] = _nowhere
    #: The targets with which its conventions are tried.
    tried_with: tuple[float, ...] = (0.0,)
    shows: CostShows | None = None

    @cached_property
    def coupled(self) -> bool:
        """Whether a gradient depends on all outputs of an example."""
        return self.make(*self.defaults).coupled

    def below(self, preferred: str) -> str:
        """Return an activation for the last layer: the preferred one where the cost takes it, or else the plainest."""
        return preferred if not self.last or preferred in self.last else self.last[0]
