"""What every judged implementation is to gradparity: a name, a version, a language, and an answer to a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ..reference.network import Case, Gradients


class UnsupportedError(Exception):
    """The implementation declines a case; the message says why, for a person."""


class ChangedCaseError(Exception):
    """The implementation wrote into the arrays of the case that it was asked about; the message says into which."""


def unchanged(case: Case, before: Case, name: str) -> None:
    """Raise ChangedCaseError where an implementation of that name changed the case that it was asked about."""
    if changed := case.changed(before):
        raise ChangedCaseError(
            f"{name} changed {' and '.join(changed)} of the case while it answered; what comes next would be asked "
            "about other numbers, so work on copies"
        )


class UnknownImplementationError(ValueError):
    """A name that nothing answers to; the message says what is wrong and what to do."""


class MissingImplementationError(ValueError):
    """A known implementation whose framework is not installed here; the message says how to install it."""


#: How many numbers a forward mode differentiates by: each takes a pass through the network of its own.
MOST_COLUMNS = 512


_ZEROS = "forward mode multiplies by zeros"


def columns(case: Case) -> int:
    """Count what a forward mode differentiates by: every component of W, b and Δz."""
    return sum(W.size + b.size + case.batch * b.size for W, b in case.parameters)


def affordable(case: Case) -> None:
    """Decline what forward mode cannot do: too many passes, or numbers that spoil what they do not reach."""
    if columns(case) > MOST_COLUMNS:
        raise UnsupportedError(
            f"forward mode takes a pass for each number, and is asked for {MOST_COLUMNS} at most"
        )
    if not all(np.isfinite(array).all() for array in case.tensors().values()):
        raise UnsupportedError(f"{_ZEROS}, and zero times NaN or infinity is NaN everywhere")


def unspoilt(answer: Gradients) -> Gradients:
    """Give a forward mode's answer; decline where something overflowed on the way, and NaN came of it."""
    forward = [answer.cost, *(answer.z or ()), *(answer.a or ())]
    overflowed = not all(np.isfinite(array).all() for array in forward if array is not None)
    if overflowed and any(np.isnan(array).any() for array in answer.tensors().values()):
        raise UnsupportedError(f"{_ZEROS}, and zero times what overflowed here is NaN everywhere")
    return answer


class Implementation(Protocol):
    """Answers cases with gradients. An adapter file offers ``load(mode) -> Implementation``.

    One whose framework has several modes keeps a dictionary of them, ``DIFFERENTIATE``, with the modes of modes.py.
    """

    #: As the command line calls it, for example ``torch:eager``.
    name: str
    #: Of the software that is judged, for example ``2.13.0+cpu``.
    version: str
    #: In which its user programs it.
    language: str

    def gradients(self, case: Case) -> Gradients:
        """Answer a case; raises UnsupportedError where the implementation has no such function."""

    def functions(self) -> Mapping[str, str]:
        """Say, for every activation and cost, which of the implementation's functions is judged.

        An entry beginning with ``composed:`` has no function of its own there and is written out in the
        framework's primitives, as its users do.
        """
