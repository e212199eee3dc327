"""What is not allowed: ways that people take, and what each loses, so that it leaves the bounds.

docs/bounds.md has the table. A row here is a variant like the honest ones, and a test holds that each is accused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from gradparity import Case, Gradients

from .functions import sigmoid, softplus
from .network import Operations, honest

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Forbidden:
    """One way that is not allowed: the operation, what is done, and what is lost by it."""

    operation: str
    name: str
    loses: str
    how: Operations
    #: The function whose cases show it, and the precision.
    of: str
    precision: str = "float32"

    def __str__(self) -> str:
        return f"{self.operation}: {self.name}"

    def __call__(self, case: Case) -> Gradients:
        """Answer a case."""
        return honest(case, self.how)


def _strassen(A: Array, B: Array) -> Array:
    """Multiply by Strassen's seven products, once, where the sizes are even; else as always."""
    (m, k), n = A.shape, B.shape[1]
    if m % 2 or k % 2 or n % 2:
        return np.asarray(A @ B)
    (a, b), (c, d) = ((row[:, : k // 2], row[:, k // 2 :]) for row in (A[: m // 2], A[m // 2 :]))
    (e, f), (g, h) = ((row[:, : n // 2], row[:, n // 2 :]) for row in (B[: k // 2], B[k // 2 :]))
    p1, p2, p3, p4 = a @ (f - h), (a + b) @ h, (c + d) @ e, d @ (g - e)
    p5, p6, p7 = (a + d) @ (e + h), (b - d) @ (g + h), (a - c) @ (e + f)
    return np.block([[p5 + p4 - p2 + p6, p1 + p2], [p3 + p4, p1 + p5 - p3 - p7]])


def _rounded(array: Array, bits: int) -> Array:
    """Round float32 to so many bits of significand."""
    shift = 24 - bits
    whole = array.astype(np.float32).view(np.uint32)
    half = np.uint32((1 << (shift - 1)) - 1) + ((whole >> np.uint32(shift)) & np.uint32(1))
    kept = (whole + half) & np.uint32((0xFFFFFFFF << shift) & 0xFFFFFFFF)
    return np.where(np.isfinite(array), kept.view(np.float32), array).astype(array.dtype)


def _split_in_bfloat16(A: Array, B: Array) -> Array:
    """Add up blocks of four terms, each of which was rounded to bfloat16."""
    total = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    for k in range(0, A.shape[1], 4):
        total = _rounded(total + _rounded(A[:, k : k + 4] @ B[k : k + 4], 8), 8)
    return total


def _scaled(array: Array) -> Array:
    """Multiply by 2^16, which overflows, and divide again."""
    return np.asarray((array * 65536.0).astype(np.float16).astype(array.dtype) / 65536.0)


FORBIDDEN = [
    Forbidden(
        "product",
        "Strassen's algorithm",
        "small sums beside large ones: the bound has the sizes of a row and a column, and this mixes several",
        Operations(product=lambda a, W: _strassen(a, W.T)),
        "",
    ),
    Forbidden(
        "product",
        "partial sums rounded to bfloat16",
        "up to a unit of the last place for every block",
        Operations(product=lambda a, W: _split_in_bfloat16(a, W.T)),
        "",
        "bfloat16",
    ),
    Forbidden(
        "δ",
        "loss scaling by 2^16",
        "everything that overflows on the way",
        Operations(back=lambda delta, W: _scaled(delta) @ W),
        "",
        "float16",
    ),
    Forbidden(
        "sigmoid",
        "(1 + tanh(z / 2)) / 2",
        "every digit below z = -17 in float32, and -37 in float64",
        Operations(values={"sigmoid": lambda z: 0.5 * (1 + np.tanh(0.5 * z))}),
        "sigmoid",
    ),
    Forbidden(
        "silu",
        "z / 2 (1 + tanh(z / 2))",
        "the same",
        Operations(values={"silu": lambda z: 0.5 * z * (1 + np.tanh(0.5 * z))}),
        "silu",
    ),
    Forbidden(
        "tanh",
        "(e^2z - 1) / (e^2z + 1)",
        "digits near 0, and everything where e^2z overflows",
        Operations(values={"tanh": lambda z: (np.exp(2 * z) - 1) / (np.exp(2 * z) + 1)}),
        "tanh",
    ),
    Forbidden(
        "exp",
        "exp2(z · log2 e)",
        "abs(z) u, since the product is rounded",
        Operations(
            values={
                "elu": lambda z, alpha: np.where(
                    z > 0, z, alpha * (np.exp2(z * np.float32(1 / math.log(2))) - 1)
                )
            },
            slopes={
                "elu": lambda g, z, a, alpha: (
                    g * np.where(z > 0, 1, alpha * np.exp2(z * np.float32(1 / math.log(2))))
                )
            },
        ),
        "elu",
    ),
    Forbidden(
        "elu",
        "e^z - 1",
        "every digit near 0, where expm1 costs no more",
        Operations(values={"elu": lambda z, alpha: np.where(z > 0, z, alpha * (np.exp(z) - 1))}),
        "elu",
    ),
    Forbidden(
        "softplus",
        "log(1 + e^z)",
        "every digit below z = -17, and everything above 88",
        Operations(values={"softplus": lambda z: np.log(1 + np.exp(z))}),
        "softplus",
    ),
    Forbidden(
        "log_sigmoid",
        "log(sigmoid(z))",
        "every digit above 17; -∞ below -104",
        Operations(values={"log_sigmoid": lambda z: np.log(sigmoid(z))}),
        "log_sigmoid",
    ),
    Forbidden(
        "softmax",
        "exp(z - log Σ e^z)",
        "abs(z) u, since the logarithm is as large as z",
        Operations(values={"softmax": lambda z: np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))}),
        "softmax",
    ),
    Forbidden(
        "softmax",
        "without the maximum taken off",
        "everything where e^z overflows",
        Operations(values={"softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)}),
        "softmax",
    ),
    Forbidden(
        "log_cosh",
        "log(cosh(r))",
        "digits near 0, and everything where cosh overflows",
        Operations(costs={"log_cosh": lambda a, y: np.log(np.cosh(a - y))}),
        "log_cosh",
    ),
    Forbidden(
        "binary_cross_entropy_with_logits",
        "through log(sigmoid(a))",
        "every digit of large logits",
        Operations(
            costs={
                "binary_cross_entropy_with_logits": lambda a, y: (
                    -(y * np.log(sigmoid(a)) + (1 - y) * np.log(1 - sigmoid(a)))
                )
            }
        ),
        "binary_cross_entropy_with_logits",
    ),
    Forbidden(
        "mish",
        "its softplus through log(1 + e^z)",
        "every digit below z = -17",
        Operations(values={"mish": lambda z: z * np.tanh(np.log(1 + np.exp(z)))}),
        "mish",
    ),
    Forbidden(
        "constants",
        "in float32, for float64",
        "half of the digits",
        Operations(
            slopes={"softplus": lambda g, z, a: g * sigmoid(z.astype(np.float32)).astype(z.dtype)},
            values={"softplus": lambda z: softplus(z.astype(np.float32)).astype(z.dtype)},
        ),
        "softplus",
        "float64",
    ),
]
