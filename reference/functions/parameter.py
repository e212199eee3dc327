"""The parameters of functions: which values they may have, and which they are tried with."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..malformed import MalformedError


@dataclass(frozen=True)
class Range:
    """The values that a parameter may have: lo < value <= hi, and how a message calls them."""

    lo: float
    hi: float
    words: str

    def __contains__(self, value: float) -> bool:
        return self.lo < value <= self.hi


POSITIVE = Range(0.0, sys.float_info.max, "positive, finite")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function, by the name that a document gives it, and the values that it is tried with."""

    name: str
    default: float
    #: What a campaign draws.
    drawn: tuple[float, ...]
    #: What cases without rounding draw: few bits. Empty where the function always rounds.
    exact: tuple[float, ...] = ()
    #: What the function is probed with by itself; the default where there is nothing better.
    probed: float | None = None
    #: What the function's own test vectors have.
    frozen: float | None = None
    allowed: Range = POSITIVE

    def checked(self, owner: str, value: Any) -> float:
        """Return the value, or the default for None; raises MalformedError where it is none that it may have."""
        if value is None:
            return self.default
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in self.allowed:
            raise MalformedError(f"{owner} needs a {self.allowed.words} {self.name}, got {value!r}")
        return float(value)


def names_of(parameters: Iterable[Sequence[Parameter]]) -> tuple[str, ...]:
    """Return each name once, in the order in which they come."""
    return tuple({one.name: None for own in parameters for one in own})


def refuse_others(named: Mapping[str, Any], known: Collection[str], caller: str) -> None:
    """Raise the TypeError that Python raises for an argument that nobody has."""
    for key in named:
        if key not in known:
            raise TypeError(f"{caller}.__init__() got an unexpected keyword argument {key!r}")


def in_order(
    owner: str, own: Sequence[Parameter], values: Sequence[Any], named: Mapping[str, Any]
) -> tuple[float, ...]:
    """Check values that are passed in their order or by name, and return one for each of a function's own parameters.

    Raises MalformedError where the function has no such parameter, or may not have such a value.
    """
    passed = {**_by_name(owner, own, values, named), **named} if values else named
    for key, value in passed.items():
        if value is not None and not any(key == one.name for one in own):
            raise MalformedError(f"{owner} takes no {key}")
    return tuple([one.checked(owner, passed.get(one.name)) for one in own])


def _by_name(
    owner: str, own: Sequence[Parameter], values: Sequence[Any], named: Mapping[str, Any]
) -> Mapping[str, Any]:
    names = [one.name for one in own] or ["parameter"]
    if len(values) > len(names):
        raise TypeError(f"{owner} takes {len(names)} parameter(s), got {len(values)}")
    if twice := named.keys() & names[: len(values)]:
        raise TypeError(f"{owner} got two values for {min(twice)}")
    return dict(zip(names, values, strict=False))
