"""Portraits side by side: what implementations take where several answers are right, and how accurate they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Portraits = Mapping[str, Mapping[str, Any]]

_QUANTITIES = {"value": "value", "slope": "slope"}


@dataclass(frozen=True)
class Taken:
    """One point of one function: what each implementation returns, None where it does not answer."""

    precision: str
    function: str
    at: str
    kink: bool
    #: Whether somebody takes another convention than the others.
    differ: bool
    returned: Sequence[str | None]


@dataclass(frozen=True)
class Accuracy:
    """One function in one precision: what each implementation measures, and the table's K where there is one."""

    precision: str
    function: str
    quantity: str
    allowed: int | None
    measured: Sequence[Mapping[str, Any] | None]

    @property
    def worst(self) -> float:
        """Give the largest share of what is allowed."""
        return max((one["margin"] for one in self.measured if one), default=0.0)


def conventions(portraits: Portraits) -> list[Taken]:
    """Lay conventions side by side: every kink, and whatever is not the same for everybody; kinks first."""
    found = []
    for precision, function, at in _keys(portraits):
        returned = [_returned(one, precision, function, at) for one in portraits.values()]
        kink = any(at in one["kinks"].get(function.partition(",")[0], ()) for one in portraits.values())
        differ = len({one for one in returned if one is not None}) > 1
        if kink or differ or at in ("0", "inf", "-inf", "nan"):
            found.append(Taken(precision, function, at, kink, differ, returned))
    return sorted(found, key=lambda one: (not (one.kink and one.differ), not one.kink, not one.differ))


def _keys(portraits: Portraits) -> list[tuple[str, str, str]]:
    keys: dict[tuple[str, str, str], None] = {}
    for one in portraits.values():
        for precision, functions in one["conventions"].items():
            for function, points in functions.items():
                keys.update(dict.fromkeys((precision, function, at) for at in points))
    return list(keys)


def _returned(one: Mapping[str, Any], precision: str, function: str, at: str) -> str | None:
    found = one["conventions"].get(precision, {}).get(function, {}).get(at)
    return None if found is None else str(found)


def certificate(portraits: Portraits) -> tuple[list[Accuracy], list[Accuracy]]:
    """Give the elementary functions, which the table K is about, and the activations and costs; worst first."""
    keys: dict[tuple[str, str, str, int | None], None] = {}
    by_name = []
    for one in portraits.values():
        measured = {_key(each): each for each in one["measured"]}
        by_name.append(measured)
        keys.update(dict.fromkeys(measured))
    found = [Accuracy(*key, [measured.get(key) for measured in by_name]) for key in keys]
    found.sort(key=lambda one: -one.worst)
    return [one for one in found if one.allowed is not None], [one for one in found if one.allowed is None]


def _key(one: Mapping[str, Any]) -> tuple[str, str, str, int | None]:
    return one["precision"], one["function"], one["quantity"], one["allowed"]


def declined(portraits: Portraits) -> list[tuple[str, str, str]]:
    """Say who has not answered about which functions, and why."""
    said: dict[tuple[str, str], list[str]] = {}
    for name, one in portraits.items():
        for function, message in one["declined"].items():
            said.setdefault((name, message), []).append(function)
    return [(name, ", ".join(functions), message) for (name, message), functions in said.items()]
