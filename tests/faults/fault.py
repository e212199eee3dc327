"""What is known of a fault, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradparity import Architecture
from gradparity.harness.verdict import Verdict

from .network import Network

#: A fault in σ′ breaks BP1 where the layer is the last one, else BP2.
SIGMA_PRIME = ("BP1", "BP2")


@dataclass(frozen=True)
class Place:
    """The layers in which a fault can be."""

    text: str
    holds: Callable[[Architecture, int], bool]


ANY_LAYER = Place("any", lambda network, l: True)
FIRST_LAYER = Place("1", lambda network, l: l == 1)
LAST_LAYER = Place("L", lambda network, l: l == network.depth)


def layers_of(activation: str) -> Place:
    """Give the layers that have an activation."""
    return Place(activation, lambda network, l: network.layers[l - 1].activation == activation)


@dataclass(frozen=True)
class Fault:
    """One fault: its number in the project's list, why people make it, and what a verdict on it has to be."""

    number: int
    name: str
    why: str
    network: type[Network]
    #: What has to be blamed first: one of these. None where no answer can have a right shape.
    blamed: tuple[str, ...]
    #: What may be blamed besides, since the same mistake breaks it too.
    also: tuple[str, ...]
    #: Which layers may be blamed.
    place: Place
    exposed_by: str
    #: ``failed`` where shapes give the fault away before any number does.
    verdict: Verdict

    def __str__(self) -> str:
        return f"{self.number:02} {self.name}"


FAULTS: list[Fault] = []


def fault(
    number: int,
    name: str,
    blamed: str | tuple[str, ...],
    exposed_by: str,
    place: Place = ANY_LAYER,
    *,
    also: tuple[str, ...] = (),
    verdict: Verdict = Verdict.DIVERGES,
) -> Callable[[type[Network]], type[Network]]:
    """Enter a faulty network into the list; its docstring says why people make the fault."""

    def enter(network: type[Network]) -> type[Network]:
        why = " ".join((network.__doc__ or "").split())
        first = (blamed,) if isinstance(blamed, str) else blamed
        where = LAST_LAYER if first and set(first) <= {"cost", "BP1"} else place
        FAULTS.append(Fault(number, name, why, network, first, also, where, exposed_by, verdict))
        return network

    return enter
