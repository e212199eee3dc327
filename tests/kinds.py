"""Numbers of every kind that carries its error, for tests: drawn with what they may stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from flint import arb
from gradparity.reference.exact import ExactArray
from gradparity.reference.interval import INFLATION
from gradparity.reference.network import DTYPES, Array
from gradparity.reference.number import Carried, Number
from gradparity.reference.rounding.affine import Affine
from gradparity.reference.rounding.balls import Ball
from gradparity.reference.rounding.generators import Symbols
from gradparity.reference.rounding.given import given
from gradparity.reference.rounding.lattice import Grid, Lattice
from gradparity.reference.rounding.leading import Leading
from gradparity.reference.rounding.model import model
from gradparity.reference.rounding.spans import Span
from gradparity.reference.rounding.uncancelled import Uncancelled

from .adversary import exactly

#: Whether an error of a number shall be large, so that what is not linear shows.
WIDE = 2.0**-6


def _share(array: Array, share: float) -> Array:
    size = np.abs(array).astype(np.float64) * share
    return np.asarray(
        np.where(size > 0, size, np.sign(share) * np.nextafter(0.0, 1.0))
    )  # of a subnormal it is one


def ball(array: Array, precision: str, share: float = 0.0) -> Ball:
    m = model(precision)
    return Ball(m, array.astype(m.midpoint), _share(array, share))


def affine(array: Array, precision: str, share: float = 0.0) -> Affine:
    """Make a form whose error is half that of a symbol which all share, and half each number's own."""
    m, size = model(precision), _share(array, share / 2)
    symbols = Symbols()
    symbols.count = 1
    return Affine(m, symbols, array.astype(m.midpoint), size[:, None], size)


def known(array: Array, precision: str, share: float = 0.0) -> Ball:
    """Make what everybody is given, of which nothing is off; otherwise a ball."""
    return ball(array, precision, share) if share else given(model(precision), array)


HOLDING: dict[str, Callable[..., Ball | Affine]] = {"ball": ball, "given": known, "affine": affine}


def lattice(array: Array, precision: str = "float32") -> Lattice:
    return Lattice.exact(Grid.of(DTYPES[precision]), array)


#: One of every kind there is.
KINDS: dict[str, Callable[[Array], Carried]] = {
    "ball": lambda array: ball(array, "float32"),
    "given": lambda array: known(array, "float32"),
    "affine": lambda array: affine(array, "float32"),
    "lattice": lattice,
    "leading": lambda array: Leading(known(array, "float32")),
    "uncancelled": lambda array: Uncancelled.of(ball(array, "float32")),
    "span": lambda array: Span(model("float32"), array, array),
}


def hard(rng: np.random.Generator, shape: tuple[int, ...], precision: str) -> Array:
    """Draw ordinary numbers, and between them zeros, ties, subnormals and numbers beside the largest."""
    info = ml_dtypes.finfo(DTYPES[precision])
    values = rng.normal(size=shape)
    ties = rng.choice([0.0, 1.0, -1.0, 0.5], shape)
    extreme = rng.choice(
        [float(info.smallest_subnormal), float(info.smallest_normal), float(info.max) / 64], shape
    )
    choice = rng.integers(0, 8, shape)
    drawn = np.where(choice < 5, values, np.where(choice < 7, ties, extreme))
    return np.asarray(drawn.astype(DTYPES[precision]))


def exact(array: Array) -> Array:
    found = np.empty(array.shape, dtype=object).view(ExactArray)
    found.flat[:] = [arb(float(value)) for value in array.flat]
    return found


def pair(kind: str, one: Array, other: Array, precision: str, share: float = 0.0) -> tuple[Any, Any]:
    """Make two numbers, in one run where they have symbols."""
    here, there = (HOLDING[kind](array, precision, share) for array in (one, other))
    if isinstance(here, Affine) and isinstance(there, Affine):
        there.symbols = here.symbols
    return here, there


def within(array: Array, share: float, rng: np.random.Generator, together: float | None = None) -> Array:
    """Move numbers to anywhere within their share: half together, half each for itself."""
    found = exact(array)
    together = rng.choice([-1.0, 1.0]) if together is None else together
    for i, value in enumerate(found.flat):
        found.flat[i] = value + abs(value) * arb(share) * (arb(together) + arb(rng.uniform(-1, 1))) / 2
    return found


def outside(number: Number, values: Array, narrowed: float = 1.0) -> int:
    """Count the values that leave a number; where nothing is known, none does."""
    assert isinstance(number, Ball | Affine)
    assert number.shape == np.shape(values)
    count = 0
    triples = zip(
        np.ravel(number.mid), np.ravel(number.rad), np.ravel(np.asarray(values, object)), strict=True
    )
    for mid, rad, value in triples:
        held = value if isinstance(value, arb) else exactly(value)
        bound = arb(float(rad)) * arb(INFLATION * narrowed) if math.isfinite(rad) else None
        count += bound is not None and not (held.is_finite() and not abs(held - exactly(mid)) > bound)
    return count


def finite(number: Number) -> float:
    """Tell of how much of it something is known."""
    assert isinstance(number, Ball | Affine)
    return float(np.isfinite(number.rad).mean())
