"""The model of floating-point arithmetic: what one elementary operation may add to the truth.

Every operation gives (exact)(1 + d) + e with abs(d) <= u and abs(e) <= eta. Frameworks may flush subnormals
to zero, so eta is a small multiple of the smallest *normal* number. A sum or dot product of n terms, in any
order, blocked or not, with or without fused multiply-add, is off by at most gamma_n = n u / (1 - n u) times
the sum of its terms' absolute values (Higham, Accuracy and Stability of Numerical Algorithms, ch. 3).

In bfloat16 and float16, sums and matrix products are added up in float32 and rounded once, at the end: every
framework says so, and a sum of 4,096 equal terms would end at 256 if it were added up in bfloat16. Everything else
may be rounded at every operation, as if each were a kernel of its own, or not before the end of a fused one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import ml_dtypes
import numpy as np

from ..network import DTYPES, Array

#: How far, in units of u and relative to the result, a platform's elementary function may be from the truth.
#: This table is the one assumption in the chain. ``benchmarks/elementary_functions.py`` measures torch,
#: TensorFlow and JAX against arbitrary precision, and ``benchmarks/elementary_functions.json`` is its result;
#: an entry is about twice the largest figure there that is no defect.
K = {"exp": 6, "log": 5, "log1p": 8, "expm1": 14, "tanh": 16, "sigmoid": 12, "erf": 14, "ndtr": 14}

#: The same in bfloat16 and float16, where most kernels compute in float32 and round once. Over all arguments there are,
#: 1 is measured; but 2.5 for TensorFlow's sigmoid and 2.8 for JAX's expm1, which round every operation, and 1.9 for
#: what gelu makes of ndtr. torch.erf is far outside in small arguments, and is meant to be; its gelu is not.
K_LOW = {"exp": 2, "log": 2, "log1p": 2, "expm1": 6, "tanh": 2, "sigmoid": 5, "erf": 2, "ndtr": 4}

#: Dividing a cost by m may happen anywhere, as a division or as a rounded reciprocal, once or in two steps.
REDUCTION_ROUNDINGS = 4

#: A quotient of two carried numbers may be a division, or a product with a reciprocal that was rounded.
DIVISION_ROUNDINGS = 2

#: In units of u, how far a square root may be off: 1.15 is measured for PyTorch, which rounds some wrongly, and 1 for
#: the others (``benchmarks/elementary_functions.json``); about twice that is allowed. x times a rounded 1/sqrt(x) may
#: be a little more: of two million arguments in float32, 169 were beyond, by 5 % at most.
ROOT_ROUNDINGS = 2


@dataclass(frozen=True)
class Model:
    """One precision's arithmetic, and the better arithmetic in which midpoints are computed.

    ``unit`` is u of the precision plus u of the midpoints: a midpoint is itself the result of a correct
    implementation in its own arithmetic, and a bound that is linear in u holds both errors when it is
    computed with their sum. Where the platform's long double is no better than double (u_mid = 2^-53), this
    doubles the radius for float64; on x86-64 (2^-64) it adds 2^-11 of it.
    """

    precision: str
    unit: float
    eta: float
    #: From which absolute value on numbers are rounded as ``unit`` says, and none is flushed.
    normal: float
    largest: float
    midpoint: np.dtype[Any]
    #: By name of the function, how many units of u it may be off.
    K: Mapping[str, int]
    #: The better arithmetic in which sums are added up before they are rounded; None where it is no other.
    accumulator: Model | None = None
    #: Whether sums of products are bounded by the product of two norms, as Cauchy and Schwarz do, which needs no
    #: matrix product of its own.
    by_norms: bool = False

    @property
    def excess(self) -> float:
        """How far, relatively, the numbers an implementation used may lie from the numbers it returned, for any array.

        A compiler may keep in float32 what it returns in bfloat16. What it computes in float32 or float64 it keeps as
        it is, but for the digits of a product in a fused multiply-add, for which links allow by themselves (links.py).
        """
        return self.unit if self.accumulator else 0.0

    def gamma(self, n: int) -> float:
        """Bound the relative error of an n-term sum or dot product, against the sum of absolute values."""
        unit = (self.accumulator or self).unit
        return n * unit / (1 - n * unit)

    def summed(self, terms: int, products: int, size: Array) -> Array:
        """Bound how far a sum is off before it is rounded to the precision, if it was not added up in that.

        ``size`` is the sum of the absolute values of its terms, which pass through ``terms`` roundings; and
        ``products`` operations may underflow.
        """
        return self.gamma(terms) * size + products * (self.accumulator or self).eta

    def closing(self, mid: Array, rad: Array, results: int = 1) -> Array | float:
        """Bound what rounding a finished sum mid ± rad adds, where it was added up in a better precision.

        Or several ``results``, whose absolute values sum to mid at most.
        """
        if self.accumulator is None:
            return 0.0
        return self.unit * (np.abs(mid).astype(np.float64) + rad) + results * self.eta

    def several(self, roundings: int) -> float:
        """Bound the relative error of several roundings in a row."""
        return roundings * self.unit / (1 - roundings * self.unit)

    @cached_property
    def without_midpoints(self) -> Model:
        """The same, but for how far midpoints are off: what is narrower by that may be around any of those."""
        return replace(self, unit=self.unit - float(np.finfo(self.midpoint).eps) / 2)

    def constant_error(self, value: float) -> float:
        """Bound the rounding of a constant: 0 where the precision holds it exactly, else relative u."""
        held = float(DTYPES[self.precision].type(value))
        return 0.0 if held == value else self.unit * abs(value)


def model(precision: str) -> Model:
    """Return the model of a precision."""
    return _model(precision, np.longdouble if precision == "float64" else np.float64)


def quick(precision: str) -> Model:
    """Return the model with midpoints in float64, which are fast; for float64 that doubles the radius."""
    return _model(precision, np.float64)


def rough(precision: str) -> Model:
    """Return the model whose matrix products cost no more than an implementation's own.

    Midpoints are no better than the precision, which doubles the radius. For random numbers norms add half of it.
    """
    return _model(precision, np.float64 if precision == "float64" else np.float32, by_norms=True)


@cache
def _model(precision: str, better: type[np.floating[Any]], by_norms: bool = False) -> Model:
    info, midpoint = ml_dtypes.finfo(DTYPES[precision]), np.dtype(better)
    accumulator = None
    if info.bits < 32:
        accumulator = rough("float32") if by_norms else model("float32")
    # Frameworks flush the subnormal numbers of what they compute in, so 4 times its smallest normal number: an
    # operation's inputs and its result may each be flushed. At 1 times, TensorFlow and JAX raised false alarms on
    # subnormal inputs. Those of float16 are normal in float32, and nobody flushes them: there it is rounding alone.
    computed_in = ml_dtypes.finfo(DTYPES[accumulator.precision]) if accumulator else info
    return Model(
        precision,
        float(info.eps) / 2 + float(np.finfo(midpoint).eps) / 2,
        max(4 * float(computed_in.smallest_normal), float(info.smallest_subnormal)),
        max(4 * float(computed_in.smallest_normal), float(info.smallest_normal)),
        float(info.max),
        midpoint,
        K_LOW if accumulator else K,
        accumulator,
        by_norms,
    )


def flushed(model: Model, array: Array) -> Array:
    """Return what is lost of every number of an array where subnormals are taken for zero."""
    size = np.abs(array).astype(np.float64)
    return np.where(size < model.eta / 4, size, 0.0)  # eta is 4 times the smallest normal number


def coarse(model: Model, size: Array, off: int) -> Array:
    """Bound what ``off`` roundings of numbers of such absolute values leave open beyond ``unit``, and flushing them.

    Below the smallest normal number all are rounded alike; what was returned as one of float16's subnormals, or as
    zero, may have been used in float32.
    """
    rounded = np.where(size < model.normal, off * model.eta / 2, 0.0) if model.accumulator else 0.0
    return flushed(model, size) + rounded


def finite_or_infinite(radius: Array) -> Array:
    """Turn NaN (an infinity met a zero or another infinity) into an infinite radius: nothing is known."""
    return np.where(np.isnan(radius), np.inf, radius)
