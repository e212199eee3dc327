"""Arbitrary precision: the same backprop run on flint's ``arb`` numbers, for certificates.

An arb is an interval with a midpoint of any number of bits that is proven to hold the exact value (F.
Johansson, Arb: efficient arbitrary-precision midpoint-radius interval arithmetic, 2017). Where a weighted
input lies on a kink, an arb holds every value of the subdifferential.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from .backprop import flow, named
from .chain import Chain
from .interval import Interval
from .names import Name
from .network import Array, Case, Gradients

#: Bits to begin with, and beyond which an undecided component stays undecided.
BITS, MOST_BITS = 192, 12288


class ExactArray(np.ndarray[Any, Any]):
    """An object array of arb numbers, whose matrix product is flint's own."""

    def __matmul__(self, other: Any) -> ExactArray:
        if self.ndim == 2 == other.ndim:
            product = _matrix(self) * _matrix(other)
            return _array(product.entries(), (product.nrows(), product.ncols()))
        cases = np.broadcast_shapes(self.shape[:-2], other.shape[:-2])
        one, two = (np.broadcast_to(a, (*cases, *a.shape[-2:]), subok=True) for a in (self, other))
        result = np.empty((*cases, self.shape[-2], other.shape[-1]), dtype=object).view(ExactArray)
        for case in np.ndindex(cases):
            result[case] = one[case] @ two[case]
        return result


def _matrix(array: Array) -> Any:
    return flint.arb_mat(*array.shape, list(array.flat))


def _array(entries: list[Any], shape: tuple[int, ...]) -> ExactArray:
    result = np.empty(shape, dtype=object).view(ExactArray)
    result.flat[:] = entries
    return result


def exact_array(array: Array) -> ExactArray:
    """Return an array of floats as arbs."""
    return _array([flint.arb(float(value)) for value in array.flat], array.shape)


@contextmanager
def precise(bits: int) -> Iterator[None]:
    """Compute with so many bits within; what the caller's precision was is left as it is."""
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


def exact_gradients(case: Case, bits: int = BITS) -> dict[str, Array]:
    """Return every array of the answer to a case, by its name in the document, as arb numbers."""
    found = exact_arrays(case, bits)
    return {name: found[name] for name in flow(case.architecture, case.batch).answered}


def exact_arrays(case: Case, bits: int = BITS) -> dict[Name, Array]:
    """Return everything that is given, answered or made on the way, by its name, as arb numbers."""
    given = named(case.parameters, case.x, case.y)
    with precise(bits):
        found = flow(case.architecture, case.batch).run(
            {name: exact_array(array) for name, array in given.items()}
        )
    return {name: np.asarray(array, dtype=object) for name, array in found.items()}


@dataclass(frozen=True)
class Certificate:
    """What arbitrary precision says of one divergent component.

    ``holds``: the exact value lies in the enclosure and the result does not. ``sound`` is False where the exact
    value lies outside the enclosure: then the bound is wrong, and nobody is to be accused. Neither where so many
    bits would be needed that it stays open.
    """

    exact: str
    holds: bool
    sound: bool

    @property
    def doubt(self) -> str:
        """Why a divergence is not certified, for a person; empty where it is."""
        if self.holds:
            return ""
        why = (
            "lies outside the enclosure, which is a defect of gradparity"
            if not self.sound
            else "leaves it open"
        )
        return f"not certified: the exact value {self.exact} {why}"


class Certifier:
    """Decides who is right about one case; each arbitrary-precision run is made once and shared.

    Given an implementation's ``own`` answer, it is the links of that answer that are computed exactly, each from
    the numbers that the implementation itself had there.
    """

    def __init__(
        self, case: Case, own: Gradients | None = None, enclosure: Mapping[str, Interval] | None = None
    ) -> None:
        self._case, self._own, self._enclosure = case, own, enclosure
        self._known: dict[tuple[str, int], Array] = {}

    def _exactly(self, name: str, bits: int) -> Array:
        if (name, bits) not in self._known:
            if self._own is None:
                arrays = exact_gradients(self._case, bits)
                self._known |= {(other, bits): array for other, array in arrays.items()}
            else:
                self._known[name, bits] = _exact_link(self._case, self._own, self._enclosure, name, bits)
        return self._known[name, bits]

    def certify(self, name: str, index: tuple[int, ...], result: float, enclosure: Interval) -> Certificate:
        """Hold a result, and the enclosure it left, against the exact component."""
        radius, bits, before = float(enclosure.rad[index]), BITS, np.inf
        mid = np.asarray(enclosure.mid)[index]
        while True:
            value = self._exactly(name, bits)[index]
            spread = float(value.rad()) if value.is_finite() else np.inf
            # More bits make it as small as one likes, but where it holds a range: a kink's subdifferential, or the
            # interval that stands for a number which the implementation kept to itself.
            stays = (
                (enclosure.kinked or self._own is not None) and np.isfinite(spread) and spread > before / 2
            )
            if spread <= radius * 2.0**-20 or stays or bits >= MOST_BITS:
                break
            before, bits = spread, bits * 4
        with precise(bits):
            # Long double to arb without loss: the double nearest to it, and what that leaves.
            head = float(mid)
            centre = flint.arb(head) + flint.arb(float(mid - head))
            # Comparisons of arbs are true where they hold for certain.
            inside = bool(value.is_finite()) and bool(abs(value - centre) <= flint.arb(radius))
            wrong = bool(abs(value - centre) > flint.arb(radius))
            outside = not np.isfinite(result) or bool(abs(flint.arb(result) - centre) > flint.arb(radius))
            return Certificate(value.str(30), inside and outside, not wrong)


def _exact_link(
    case: Case, own: Gradients, enclosure: Mapping[str, Interval] | None, name: str, bits: int
) -> Array:
    def exactly(_name: Name, array: Array) -> ExactArray:
        return exact_array(array)

    def enclosed(interval: Interval) -> ExactArray:
        mids, rads = np.ravel(interval.mid), np.ravel(interval.rad)
        values = [
            flint.arb(float(mid), float(rad) + abs(float(mid)) * 2.0**-53)
            for mid, rad in zip(mids, rads, strict=True)
        ]
        return _array(values, interval.mid.shape)

    with precise(bits):
        return np.asarray(
            Chain(case, own, exactly, exactly, enclosed, enclosure).link(name),
            dtype=object,
        )
