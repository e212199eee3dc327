"""Chains: each array of an answer computed from the implementation's own numbers before it, in any kind of number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic

from . import names
from .backprop import flow, named
from .interval import Interval
from .names import GIVEN, Name
from .network import Array, Case, Gradients
from .stack import Stack
from .steps import Flow, N


@dataclass(frozen=True)
class Chain(Generic[N]):
    """An implementation's answer as a chain of links, in any kind of number; or the stacked answers to a stack.

    ``given`` makes such a number of an array that everybody is given, ``returned`` of one that the implementation
    answered, and ``enclosed`` of the interval that stands in for one that it did not.
    """

    case: Case | Stack
    own: Gradients
    given: Callable[[Name, Array], N]
    returned: Callable[[Name, Array], N]
    enclosed: Callable[[Interval], N]
    enclosure: Mapping[str, Interval] | None = None
    _made: dict[Name, N | None] = field(default_factory=dict)

    @cached_property
    def flow(self) -> Flow:
        """The steps from which an array's link is read."""
        return flow(self.case.architecture, self.case.batch)

    @cached_property
    def _given(self) -> Mapping[Name, Array]:
        return named(self.case.parameters, self.case.x, self.case.y)

    @cached_property
    def _own(self) -> Mapping[str, Array]:
        return self.own.tensors()

    def link(self, name: str) -> N | None:
        """Compute one array of the answer from those before it; None where one of them cannot be had."""
        linked = self.flow[name].makes

        def supply(taken: Name) -> N | None:
            if linked.kind == "db" and taken.kind == "delta" and taken not in self._own:
                # Without δ, one example's ∂C/∂b is δ, and proves nothing of itself: δ is computed, too.
                return self.link(taken) if self.case.batch == 1 else None
            return self.array(taken)

        return self.flow.link(linked, supply)

    def array(self, name: Name) -> N | None:
        """Return an array as its readers take it: the implementation's own, or what stands in for it.

        None where nothing does, and for the inner results of a link, which are no part of an answer.
        """
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: Name) -> N | None:
        if name.kind in GIVEN:
            return self.given(name, self._given[name])
        if name in self._own:
            return self.returned(name, self._own[name])
        if name.kind == "delta":
            db = self._own[names.db(name.layer)]
            return self.returned(name, db[..., None, :]) if self.case.batch == 1 else None
        return (
            None
            if self.enclosure is None or name.kind not in ("z", "a")
            else self.enclosed(self.enclosure[name])
        )
