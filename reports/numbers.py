"""An equation with a case's numbers in it: what one component is made of, as far as a person wants to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint

from ..reference.activations import activation
from ..reference.backprop import flow
from ..reference.coupled import Coupled
from ..reference.exact import exact_arrays
from ..reference.network import Array, Case
from ..reference.steps import Step

#: Terms of a sum that are written out; of more, the first are and the rest is counted.
MOST_TERMS = 3

#: Beyond so many numbers exact values take long, and nobody follows them by hand.
MOST_NUMBERS = 2_000

#: A number as it is set: digits, and the power of ten that follows them, if any.
Written = tuple[str, str]


@dataclass(frozen=True)
class Numbers:
    """One component: a sum of products, plus something, times a function's slope, or a function's value."""

    #: What it is: z, a, δ, ∂C/∂b, ∂C/∂W or C, in which layer, and where in the array.
    symbol: str
    layer: int
    index: Sequence[int]
    value: Written
    #: Products of a sum; the second factor is missing where it is a sum of single numbers.
    terms: Sequence[tuple[Written, Written | None]] = ()
    left_out: int = 0
    plus: Written | None = None
    #: ∇_a C at the component, which the slope is multiplied with.
    gradient: Written | None = None
    function: str = ""
    argument: Written | None = None
    slope: bool = False


_SYMBOLS = {"z": "z", "a": "a", "delta": "δ", "db": "b", "dW": "W", "cost": "C"}


def substituted(case: Case, array: str, index: Sequence[int]) -> Numbers | None:
    """Put a small case's exact numbers into the equation of one component; None where the case is large."""
    if sum(one.size for one in case.tensors().values()) > MOST_NUMBERS:
        return None
    try:
        return _Substitution(case)(array, tuple(index))
    except (ArithmeticError, ValueError, IndexError):  # of a NaN, or of a function with no number there
        return None


class _Substitution:
    def __init__(self, case: Case) -> None:
        self.case, self.exact = case, exact_arrays(case)
        self.steps = flow(case.architecture, case.batch)

    def __call__(self, array: str, index: tuple[int, ...]) -> Numbers:
        name, found = self.steps[array].makes, dict[str, Any]()
        coupled = isinstance(activation(self.case.architecture.layers[name.layer - 1]), Coupled)
        if not (coupled and name.kind in ("a", "delta")):  # which would be of the whole layer's z
            for step in self.steps.inside(name):
                found |= self._told(step, index)
        return Numbers(_SYMBOLS[name.kind], name.layer, index, written(self.exact[name][index]), **found)

    def _told(self, step: Step, index: tuple[int, ...]) -> dict[str, Any]:
        """Put numbers into one step of a component's equation."""
        first, *rest = (self.exact[name] for name in step.takes)
        match step.makes.kind:
            case "p":
                return _sum(first[index[0]], rest[0][index[1]])
            case "z":
                return {"plus": written(rest[0][index[1]])}
            case "a":
                return {"function": step.function, "argument": written(first[index])}
            case "said":
                return _sum(first[index[0]], rest[0][:, index[1]])
            case "g" if len(step.takes) == 1 and step.takes[0].kind == "nabla":
                return {"gradient": written(self.exact[step.makes][index])}
            case "delta":
                return {"function": step.function, "argument": written(rest[0][index]), "slope": True}
            case "db":
                return _sum(first[:, index[0]])
            case "dW":
                return _sum(first[:, index[0]], rest[0][:, index[1]])
        return {}


def _sum(first: Array, second: Array | None = None) -> dict[str, Any]:
    terms = [
        (written(first[k]), None if second is None else written(second[k]))
        for k in range(min(len(first), MOST_TERMS))
    ]
    return {"terms": terms, "left_out": max(0, len(first) - MOST_TERMS)}


def written(value: Any) -> Written:
    """Write a number with seven digits, its power of ten apart."""
    digits, _, exponent = f"{float(value.mid() if isinstance(value, flint.arb) else value):.7g}".partition(
        "e"
    )
    return digits.replace("-", "−"), str(int(exponent)).replace("-", "−") if exponent else ""
