"""Premises: which of an implementation's own arrays the others are taken to be computed from."""

from __future__ import annotations

from enum import StrEnum

from .malformed import MalformedError


class Premise(StrEnum):
    """What links start from, the sharpest first."""

    #: Its own z, a and δ: every array was computed from the arrays that were answered.
    OWN = "own"
    #: Its own δ, and z and a as the chain has them: they were computed again on the way back, or apart.
    DELTA = "delta"
    #: The chain alone: no array was computed from another that was answered.
    CHAIN = "chain"

    @property
    def says(self) -> str:
        """What it says, for a person."""
        return _SAYS[self]


_SAYS = {
    Premise.OWN: "each equation is judged on its own z, a and δ",
    Premise.DELTA: "each equation is judged on its own δ, and on z and a as the chain encloses them",
    Premise.CHAIN: "each array is judged by the chain alone",
}


def premise_named(given: object) -> Premise:
    """Read a premise that somebody declared. Raises MalformedError where it is none."""
    if not isinstance(given, str) or given not in list(Premise):
        raise MalformedError(f"{given!r} is no premise; say one of {', '.join(Premise)}")
    return Premise(given)
