"""The model of floating-point arithmetic: what one elementary operation may add to the truth.

Every operation gives (exact)(1 + d) + e with abs(d) <= u and abs(e) <= eta. Frameworks may flush subnormals
to zero, so eta is a small multiple of the smallest *normal* number. A sum or dot product of n terms, in any
order, blocked or not, with or without fused multiply-add, is off by at most gamma_n = n u / (1 - n u) times
the sum of its terms' absolute values (Higham, Accuracy and Stability of Numerical Algorithms, ch. 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..network import Array

#: How far, in units of u and relative to the result, a platform's elementary function may be from the truth.
#: This table is the one assumption in the chain. ``benchmarks/elementary_functions.py`` measures torch,
#: TensorFlow and JAX against arbitrary precision, and ``benchmarks/elementary_functions.json`` is its result;
#: an entry is about twice the largest figure there that is no defect.
K = {"exp": 6, "log": 5, "log1p": 8, "expm1": 14, "tanh": 16, "sigmoid": 12, "erf": 14, "ndtr": 14}

#: Dividing a cost by m may happen anywhere, as a division or as a rounded reciprocal, once or in two steps.
REDUCTION_ROUNDINGS = 4


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
    largest: float
    midpoint: np.dtype[Any]

    def gamma(self, n: int) -> float:
        """Bound the relative error of an n-term sum or dot product, against the sum of absolute values."""
        return n * self.unit / (1 - n * self.unit)

    def constant_error(self, value: float) -> float:
        """Bound the rounding of a constant: 0 where the precision holds it exactly, else relative u."""
        held = float(np.dtype(self.precision).type(value))
        return 0.0 if held == value else self.unit * abs(value)


@cache
def model(precision: str) -> Model:
    """Give the model of a precision: float64 or float32."""
    info: np.finfo[Any] = np.finfo(np.float64 if precision == "float64" else np.float32)
    midpoint: np.dtype[Any] = np.dtype(np.longdouble if precision == "float64" else np.float64)
    # 4 times the smallest normal number: an operation's inputs and its result may each be flushed to zero.
    # At 1 times, TensorFlow and JAX raised false alarms on subnormal inputs.
    return Model(
        precision,
        float(info.eps) / 2 + float(np.finfo(midpoint).eps) / 2,
        4 * float(info.smallest_normal),
        float(info.max),
        midpoint,
    )


def finite_or_infinite(radius: Array) -> Array:
    """Turn NaN (an infinity met a zero or another infinity) into an infinite radius: nothing is known."""
    return np.where(np.isnan(radius), np.inf, radius)
