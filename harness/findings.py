"""Findings: divergences with one cause, told as a person would.

A broken link of the chain names its own function, except BP1, where the cost's gradient and the last layer's
derivative meet: there the fewest functions that explain all divergences are taken, the commonest first.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..reference.network import Case
from .campaign import Divergence
from .expectations import Expectation
from .workers import Worker

#: What breaks when an equation does, apart from the functions in it.
_PRODUCTS = {"z": "the matrix product", "db": "the sum over the batch", "dW": "the matrix product"}

Key = tuple[str, str, str, str, str, str]


@dataclass
class Group:
    """Divergences alike in everything that is recorded; the smallest case is kept, the others are counted."""

    smallest: Divergence
    cases: int
    largest_margin: float
    lowest_z: float
    highest_z: float

    def add(self, other: Group) -> None:
        """Take in a group with the same cause."""
        if _weight(other.smallest.case) < _weight(self.smallest.case):
            self.smallest = other.smallest
        self.cases += other.cases
        self.largest_margin = max(self.largest_margin, other.largest_margin)
        self.lowest_z, self.highest_z = (
            min(self.lowest_z, other.lowest_z),
            max(self.highest_z, other.highest_z),
        )


@dataclass(frozen=True)
class Finding:
    """Divergences with one cause: whose, in which equation and function, where in the input range."""

    implementation: str
    precision: str
    equation: str
    #: The function at fault: an activation, a cost, or the product or sum of the equation.
    function: str
    activation: str
    cost: str
    where: str
    cases: int
    largest_margin: float
    smallest: Divergence
    #: What expects it; None where nobody does.
    expectation: Expectation | None = None
    #: What other implementations give for the same component of the same case, where they were asked.
    others: Sequence[tuple[str, float]] = ()

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        d = self.smallest
        off = abs(d.blamed.result - d.blamed.mid)
        size = f"{off:.2g} off" if math.isfinite(off) else f"gives {d.blamed.result}"
        return (
            f"{self.implementation}, {self.precision}: {d.blamed.suspects} is wrong through {self.function}: "
            f"{size} where {d.blamed.rad:.2g} is allowed; {self.where}"
        )


class Collector:
    """Collects divergences in bounded memory and gives the findings in the end, all of one expectation or of none.

    ``groups`` is where they are collected.
    """

    def __init__(
        self, groups: dict[Key, Group] | None = None, expectation: Expectation | None = None
    ) -> None:
        self._groups = {} if groups is None else groups
        self._expectation = expectation

    def add(self, divergence: Divergence) -> None:
        """Take in one divergence."""
        blamed, case = divergence.blamed, divergence.case
        kind = blamed.kind
        of_a_neuron = kind == "a" or blamed.equation in ("BP1", "BP2")
        activation = case.architecture.layers[blamed.layer - 1].activation if of_a_neuron else ""
        cost = case.architecture.cost.name if blamed.equation in ("BP1", "cost") else ""
        key = (divergence.implementation, case.precision, blamed.equation, kind, activation, cost)
        z = blamed.z
        group = Group(
            divergence, 1, blamed.margin, math.inf if z is None else z, -math.inf if z is None else z
        )
        self.add_group(key, group)

    def add_group(self, key: Key, group: Group) -> None:
        """Take in divergences with the same cause."""
        if key in self._groups:
            self._groups[key].add(group)
        else:
            self._groups[key] = group

    def findings(self) -> list[Finding]:
        """Give the findings, one a cause, most cases first."""
        merged: dict[Key, Group] = {}
        for (name, precision, equation, kind, activation, cost), group in self._explained():
            function = " or ".join(filter(None, (cost, activation))) or _PRODUCTS[kind]
            key = (name, precision, equation, function, activation, cost)
            if key in merged:
                merged[key].add(group)
            else:
                merged[key] = replace(group)  # not to change what is collected
        found = [
            Finding(name, precision, equation, function, activation, cost, _where(group), group.cases,
                    group.largest_margin, group.smallest, self._expectation)
            for (name, precision, equation, function, activation, cost), group in merged.items()
        ]  # fmt: skip
        return sorted(found, key=lambda finding: (finding.implementation, finding.precision, -finding.cases))

    def _explained(self) -> Iterable[tuple[Key, Group]]:
        """Leave one function in each key: for BP1, the one that explains most of what is left."""
        known = {(*key[:2], key[4]) for key in self._groups if key[2] == "BP2" and key[4]}
        uncertain: dict[tuple[str, str], dict[Key, Group]] = defaultdict(dict)
        for key, group in self._groups.items():
            if key[2] == "cost":
                yield (*key[:4], "", key[5]), group
            elif key[2] != "BP1":
                yield key, group
            elif (*key[:2], key[4]) in known:  # the same derivative was caught by itself elsewhere
                yield (*key[:5], ""), group
            else:
                uncertain[key[:2]][key] = group
        for left in uncertain.values():
            while left:
                votes: Counter[tuple[int, str]] = Counter()
                for key, group in left.items():
                    votes[4, key[4]] += group.cases
                    votes[5, key[5]] += group.cases
                # More distinct companions speak for a function; then more cases.
                place, function = max(votes, key=lambda v: (_companions(left, *v), votes[v], v))
                alone = _companions(left, place, function) == 1
                for key in [key for key in left if key[place] == function]:
                    if alone:  # one cost on one activation: nothing tells which of them it is
                        yield key, left.pop(key)
                    else:
                        yield (*key[:4], "", function) if place == 5 else (*key[:5], ""), left.pop(key)


def _companions(groups: Iterable[Key], place: int, function: str) -> int:
    return len({key[9 - place] for key in groups if key[place] == function})


def _weight(case: Case) -> tuple[int, int]:
    """How much a person has to look at: parameters, then examples."""
    return sum(W.size + b.size for W, b in case.parameters), case.batch


def _where(group: Group) -> str:
    """Say where in the input range the group's components lie, and in how many cases."""
    cases = f"{group.cases} case" + "s" * (group.cases > 1)
    if group.lowest_z > group.highest_z:
        return cases
    if group.lowest_z == group.highest_z:
        return f"z = {group.lowest_z:.6g}, {cases}"
    return f"z from {group.lowest_z:.6g} to {group.highest_z:.6g}, {cases}"


def with_others(finding: Finding, workers: Mapping[str, Worker]) -> Finding:
    """Ask everybody else for the component that a finding shows."""
    smallest = finding.smallest
    asked = {name: worker.submit(smallest.case) for name, worker in workers.items()}
    given = {
        name: future.result().gradients for name, future in asked.items() if name != finding.implementation
    }
    name, index = smallest.blamed.name, smallest.blamed.index
    tensors = {other: answer.tensors() for other, answer in given.items() if answer is not None}
    others = [(other, float(arrays[name][index])) for other, arrays in tensors.items() if name in arrays]
    return replace(finding, others=others)
