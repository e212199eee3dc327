"""Chains: each array of an answer computed from the implementation's own numbers before it, in any kind of number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .activations import activation
from .backprop import bp1, bp2, bp3, bp4, reduced
from .costs import cost_function
from .interval import Interval
from .network import Array, Case, Gradients
from .stack import Stack


@dataclass(frozen=True)
class Chain:
    """An implementation's answer as a chain of links, in any kind of number; or the stacked answers to a stack.

    ``given`` makes such a number of what everybody is given, ``returned`` of what the implementation answered
    (with its kind, z, a or delta, and its layer), and ``enclosed`` of the interval that stands in for what it did not.
    """

    case: Case | Stack
    own: Gradients
    given: Callable[[Array], Any]
    returned: Callable[[str, int, Array], Any]
    enclosed: Callable[[Interval], Any]
    enclosure: Mapping[str, Interval] | None = None
    _made: dict[tuple[str, int], Any] = field(default_factory=dict)

    def link(self, name: str) -> Any | None:
        """Compute one array of the answer from those before it; None where one of them cannot be had."""
        network = self.case.architecture
        if name == "cost":
            a = self.array("a", network.depth)
            cost = cost_function(network.cost)
            return None if a is None else reduced(cost.value(a, self.given(self.case.y)), self.divisor)
        kind, l = name.rstrip("0123456789"), int(name.lstrip("abdeltzW"))
        before = self.array("a", l - 1)
        if kind == "z":
            b = self.given(self.case.parameters.biases[l - 1])
            return None if before is None else before @ self._weights(l).mT + b
        if kind == "a":
            z = self.array("z", l)
            return None if z is None else activation(network.layers[l - 1]).value(z)
        if kind == "delta" or (kind == "db" and self.own.delta is None):
            # Without δ, one example's ∂C/∂b is δ, and proves nothing of itself.
            error = self._error(l) if kind == "delta" or self.case.batch == 1 else None
            return error if error is None or kind == "delta" else bp3(error)
        delta = self.array("delta", l)
        if kind == "db":
            return None if delta is None else bp3(delta)
        return None if delta is None or before is None else bp4(delta, before)

    def _error(self, l: int) -> Any | None:
        network, z = self.case.architecture, self.array("z", l)
        sigma = activation(network.layers[l - 1])
        if l == network.depth:
            a, cost = self.array("a", l), cost_function(network.cost)
            if z is None or a is None:
                return None
            return bp1(cost, sigma, z, a, self.given(self.case.y), self.divisor)
        delta = self.array("delta", l + 1)
        if z is None or delta is None:
            return None
        return bp2(delta, self._weights(l + 1), sigma, z)

    def array(self, kind: str, l: int) -> Any | None:
        """Give z^l, a^l or δ^l: the implementation's own, or what stands in for it."""
        if (kind, l) not in self._made:
            self._made[kind, l] = self._make(kind, l)
        return self._made[kind, l]

    def _weights(self, l: int) -> Any:
        if ("W", l) not in self._made:
            self._made["W", l] = self.given(self.case.parameters.weights[l - 1])
        return self._made["W", l]

    def _make(self, kind: str, l: int) -> Any | None:
        if (kind, l) == ("a", 0):
            return self.given(self.case.x)
        family = getattr(self.own, kind)
        if family is not None:
            return self.returned(kind, l, family[l - 1])
        if kind == "delta":
            db = self.own.db[l - 1]
            return self.returned(kind, l, db[..., None, :]) if self.case.batch == 1 else None
        return None if self.enclosure is None else self.enclosed(self.enclosure[f"{kind}{l}"])

    @property
    def divisor(self) -> int:
        """What the cost is divided by: the batch size, or nothing."""
        return self.case.batch if self.case.architecture.reduction == "mean" else 1
