"""An equation with a case's numbers in it: what one component is made of, as far as a person wants to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from ..reference.activations import activation
from ..reference.backprop import reduced
from ..reference.costs import cost_function
from ..reference.coupled import Coupled
from ..reference.exact import exact_gradients
from ..reference.network import Array, Case

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
        self.case, self.exact = case, exact_gradients(case)
        self.layers = case.architecture.layers

    def __call__(self, array: str, index: tuple[int, ...]) -> Numbers:
        kind = array.rstrip("0123456789")
        layer = int(array.removeprefix(kind) or 0)
        found: dict[str, Any] = getattr(self, f"_{kind}")(layer, *index)
        return Numbers(_SYMBOLS[kind], layer, index, written(self.exact[array][index]), **found)

    def _before(self, layer: int) -> Array:
        return self.exact[f"a{layer - 1}"] if layer > 1 else np.asarray(self.case.x)

    def _z(self, l: int, i: int, j: int) -> dict[str, Any]:
        W, b = self.case.parameters.weights[l - 1], self.case.parameters.biases[l - 1]
        return {**_sum(self._before(l)[i], W[j]), "plus": written(b[j])}

    def _a(self, l: int, i: int, j: int) -> dict[str, Any]:
        if isinstance(activation(self.layers[l - 1]), Coupled):
            return {}  # of the whole layer's z
        return {"function": self.layers[l - 1].activation, "argument": written(self.exact[f"z{l}"][i, j])}

    def _delta(self, l: int, i: int, j: int) -> dict[str, Any]:
        if isinstance(activation(self.layers[l - 1]), Coupled):
            return {}
        through = {**self._a(l, i, j), "slope": True}
        if l < len(self.layers):
            return {**_sum(self.exact[f"delta{l + 1}"][i], self.case.parameters.weights[l][:, j]), **through}
        network = self.case.architecture
        y = np.vectorize(lambda value: flint.arb(float(value)), otypes=[object])(self.case.y)
        gradient = cost_function(network.cost).gradient(self.exact[f"a{l}"], y)
        divisor = self.case.batch if network.reduction == "mean" else 1
        return {"gradient": written(reduced(gradient, divisor)[i, j]), **through}

    def _db(self, l: int, j: int) -> dict[str, Any]:
        return _sum(self.exact[f"delta{l}"][:, j])

    def _dW(self, l: int, j: int, k: int) -> dict[str, Any]:
        return _sum(self.exact[f"delta{l}"][:, j], self._before(l)[:, k])

    def _cost(self, _: int) -> dict[str, Any]:
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
