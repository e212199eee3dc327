"""Perfect answers: what nobody could do better, to hold the bounds against.

A certificate shows that the exact value lies in an interval and a result does not. That the interval holds whatever a
correct implementation may return is the claim of the model of rounding, and these answers test it: one has every array
exact and then rounded once, the other every array computed exactly from the *rounded* arrays before it. Whoever is
accused of one of them is accused of being right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import flint
import numpy as np

from .backprop import flow, named
from .exact import BITS, exact_array, exact_gradients, precise
from .interval import Interval
from .names import Name
from .network import Array, Case, Gradients

#: An arb whose radius is no more than this share of it, or than next to nothing, is one number.
KNOWN, TINY = 2.0**-100, 2.0**-1074


def rounded_once(case: Case, bits: int = BITS) -> Gradients | None:
    """Return the answer whose every array is exact, and rounded once to the case's precision.

    None where there is no one such answer: on a kink, or where something given is not finite.
    """
    if not all(np.isfinite(array).all() for array in case.tensors().values()):
        return None
    found = exact_gradients(case, bits)
    if not all(_known(value) for array in found.values() for value in array.flat):
        return None
    return Gradients.from_tensors({name: _rounded(array, case) for name, array in found.items()}, case)


def step_by_step(case: Case, bits: int = BITS) -> Gradients:
    """Return the answer whose every array follows exactly from the rounded arrays before it, and is rounded once."""
    steps = flow(case.architecture, case.batch)
    known: dict[Name, Array] = named(case.parameters, case.x, case.y)
    with precise(bits):
        for name in steps.answered:
            found = steps.link(name, lambda taken: exact_array(known[taken]) if taken in known else None)
            assert found is not None  # since all before it are known
            known[name] = _rounded(np.asarray(found, object), case)
    return Gradients.from_tensors({str(name): known[name] for name in steps.answered}, case)


def perfect(case: Case, enclosure: Mapping[str, Interval]) -> Iterator[Gradients]:
    """Yield both answers to a case, where they are any.

    Where nothing need be rounded, as the case's ``enclosure`` says by points, what follows from rounded numbers is no
    correct answer.
    """
    if (answer := rounded_once(case)) is not None:
        yield answer
    if not any(np.any(one.rad == 0) for one in enclosure.values()):
        yield step_by_step(case)


def _known(value: flint.arb) -> bool:
    """Tell whether an arb is one number, but for digits that no precision has."""
    return bool(value.is_finite()) and float(value.rad()) <= KNOWN * abs(float(value.mid())) + TINY


def _rounded(exact: Array, case: Case) -> Array:
    """Round the middles of arbs, which are known to many more digits, to the case's precision; a NaN where none is."""
    values = np.array([_middle(value) for value in exact.flat], np.longdouble).reshape(exact.shape)
    with np.errstate(over="ignore"):
        return values.astype(np.float64).astype(case.dtype)


def _middle(value: flint.arb) -> float:
    return float(value.mid()) if value.is_finite() else float("nan")
