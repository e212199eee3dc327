"""The honest variants: a row for each, an operation done otherwise, as somebody does who is right.

By operation and kind: another order, precision, formula, fusion, recomputation, layout or reduction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gradparity import Case, Gradients, Layer
from gradparity.reference.premise import Premise

from . import sums
from .functions import (
    VALUES,
    erf,
    gelu_tanh,
    log_softmax,
    ndtr,
    sigmoid,
    softmax,
    softplus,
)
from .network import Operations, honest

Array = np.ndarray[Any, Any]

KINDS = ("order", "precision", "formula", "fusion", "recomputation", "layout", "reduction")


@dataclass(frozen=True)
class Variant:
    """One honest network: which operation it does otherwise, of what kind that is, and how."""

    operation: str
    kind: str
    name: str
    how: Operations
    #: The activation or the cost that it is about, which some layer must have; empty for any network.
    of: str = ""

    @property
    def premise(self) -> Premise:
        """Return what links are computed from: not from a, of whoever computes that once more for every layer."""
        return Premise.DELTA if self.kind == "recomputation" and not self.of else Premise.OWN

    def __str__(self) -> str:
        return f"{self.operation}: {self.name}"

    def __call__(self, case: Case) -> Gradients:
        """Answer a case."""
        return honest(case, self.how)


VARIANTS: list[Variant] = [Variant("all", "formula", "as its users write it", Operations())]


def _add(operation: str, kind: str, name: str, of: str = "", /, **how: Any) -> None:
    assert kind in KINDS
    VARIANTS.append(Variant(operation, kind, name, Operations(**how), of))


def value(of: str, kind: str, name: str, function: Callable[..., Array]) -> None:
    """Enter another way to an activation."""
    _add(of, kind, name, of, values={of: function})


def slope(of: str, kind: str, name: str, function: Callable[..., Array]) -> None:
    """Enter another way to what an activation makes of what comes from above."""
    _add(f"{of}'", kind, name, of, slopes={of: function})


def cost(of: str, kind: str, name: str, function: Callable[..., Array]) -> None:
    """Enter another way to a cost's terms."""
    _add(of, kind, name, of, costs={of: function})


def gradient(of: str, kind: str, name: str, function: Callable[..., Array]) -> None:
    """Enter another way to ∇_a C."""
    _add(f"∇ {of}", kind, name, of, gradients={of: function})


# ------------------------------------------------------------------------------------------------------- products, sums

for _name, _kind, _way in sums.WAYS:
    _add("product", _kind, _name, product=lambda a, W, way=_way: way(a, W.T))
    _add("δ W", _kind, _name, back=lambda delta, W, way=_way: way(delta, W))
    _add("BP4", _kind, _name, weights=lambda delta, a, way=_way: way(delta.T, a))
    _add(
        "BP3", _kind, _name,
        biases=lambda delta, way=_way: way(np.ones((1, len(delta)), delta.dtype), delta)[0],
    )  # fmt: skip
    _add("cost", _kind, f"its terms {_name}",
         total=lambda terms, way=_way: way(terms.reshape(1, -1), np.ones((terms.size, 1), terms.dtype))[0, 0],
    )  # fmt: skip

_add(
    "BP3",
    "layout",
    "numpy.add.reduce over columns",
    biases=lambda delta: np.add.reduce(delta.T.copy(), axis=1),
)
_add("BP4", "order", "outer products, example by example",
     weights=lambda delta, a: sum((np.outer(d, x) for d, x in zip(delta, a, strict=True)),
                                  np.zeros((delta.shape[1], a.shape[1]), a.dtype)))  # fmt: skip
_add("BP4", "order", "batches of three, added up",
     weights=lambda delta, a: sum((delta[i : i + 3].T @ a[i : i + 3] for i in range(0, len(a), 3)),
                                  np.zeros((delta.shape[1], a.shape[1]), a.dtype)))  # fmt: skip
_add("cost", "reduction", "examples first", total=lambda terms: terms.sum(axis=1).sum())
_add("cost", "reduction", "neurons first", total=lambda terms: terms.sum(axis=0).sum())
_add(
    "cost",
    "reduction",
    "the mean times the number",
    total=lambda terms: terms.mean() * terms.size if terms.size else terms.sum(),
)
_add(
    "cost",
    "reduction",
    "math.fsum",
    total=lambda terms: math.fsum(terms.flat) if np.isfinite(terms).all() else terms.sum(),
)


def _running_mean(terms: Array) -> Any:
    """Return the mean of the examples' costs, each of which moves it by its share, times their number."""
    mean = terms.dtype.type(0)
    for i, one in enumerate(terms.sum(axis=1), start=1):
        mean = mean + (one - mean) / terms.dtype.type(i)
    return mean * terms.dtype.type(len(terms))


_add("cost", "reduction", "a running mean", total=_running_mean)
_add("bias", "fusion", "first in the sum", affine=lambda a, W, b: sums.in_order(
    np.concatenate([np.ones((len(a), 1), a.dtype), a], axis=1), np.concatenate([b[None], W.T])))  # fmt: skip
_add("bias", "fusion", "a column of W", affine=lambda a, W, b: np.concatenate(
    [a, np.ones((len(a), 1), a.dtype)], axis=1) @ np.concatenate([W.T, b[None]]))  # fmt: skip
_add("bias", "fusion", "added in long double", affine=lambda a, W, b: (
    a.astype(np.longdouble) @ W.T.astype(np.longdouble) + b).astype(a.dtype))  # fmt: skip
_add("mean", "reduction", "after σ′", mean="error")
_add("mean", "reduction", "of the gradients, last", mean="result")
_add("mean", "reduction", "of every term of the cost", mean="terms")
_add(
    "mean",
    "formula",
    "times a rounded reciprocal",
    divided=lambda number, m: number * np.asarray(number).dtype.type(1 / m),
)
_add("mean", "formula", "last, times a rounded reciprocal", mean="result",
     divided=lambda number, m: number * np.asarray(number).dtype.type(1 / m))  # fmt: skip

# -------------------------------------------------------------------------------------------- precision, recomputation

_add("all", "precision", "in float64, each result rounded", computed_in=np.float64)
_add("all", "precision", "in long double, each result rounded", computed_in=np.longdouble)
_add(
    "all", "precision", "in float64, what is returned rounded once", computed_in=np.float64, rounds_once=True
)
_add(
    "all",
    "precision",
    "in long double, what is returned rounded once",
    computed_in=np.longdouble,
    rounds_once=True,
)


def _again(how: Operations, layer: Layer, z: Array, a: Array) -> tuple[Array, Array]:
    """Return z, and a by another kernel: in long double."""
    function = how.values.get(layer.activation, VALUES[layer.activation])
    return z, np.asarray(function(z.astype(np.longdouble), *layer.parameters)).astype(z.dtype)


def _row_by_row(how: Operations, layer: Layer, z: Array, a: Array) -> tuple[Array, Array]:
    """Return z, and a of each example by itself."""
    function = how.values.get(layer.activation, VALUES[layer.activation])
    return z, np.concatenate([function(row[None], *layer.parameters) for row in z])


_add("a on the way back", "recomputation", "in long double", kept=_again)
_add("a on the way back", "recomputation", "one example at a time", kept=_row_by_row)

# ---------------------------------------------------------------------------------------------------------- activations

value("sigmoid", "formula", "1 / (1 + exp(-z))", lambda z: 1 / (1 + np.exp(-z)))
value("sigmoid", "formula", "exp(-softplus(-z))", lambda z: np.exp(-softplus(-z)))
value(
    "tanh",
    "formula",
    "by expm1",
    lambda z: np.sign(z) * -np.expm1(-2 * np.abs(z)) / (1 + np.exp(-2 * np.abs(z))),
)
value("relu", "formula", "0 where z <= 0", lambda z: np.where(z <= 0, 0, z))
value("relu", "formula", "(z + |z|) / 2", lambda z: (z + np.abs(z)) / 2)
value(
    "leaky_relu",
    "formula",
    "max(z, 0) + alpha min(z, 0)",
    lambda z, alpha: np.maximum(z, 0) + alpha * np.minimum(z, 0),
)
value(
    "leaky_relu",
    "formula",
    "max(z, alpha z)",
    lambda z, alpha: np.maximum(z, alpha * z) if alpha < 1 else np.where(z > 0, z, alpha * z),
)
value("elu", "formula", "max and min", lambda z, alpha: np.maximum(z, 0) + alpha * np.expm1(np.minimum(z, 0)))
value(
    "celu",
    "formula",
    "max and min",
    lambda z, alpha: np.maximum(z, 0) + np.minimum(0, alpha * np.expm1(np.minimum(z, 0) / alpha)),
)
value(
    "celu",
    "formula",
    "times a reciprocal",
    lambda z, alpha: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0) * z.dtype.type(1 / alpha))),
)
value(
    "gelu",
    "formula",
    "z / 2 (1 + erf(z / √2))",
    lambda z: (0.5 * z) * (1 + erf(z * z.dtype.type(math.sqrt(0.5))).astype(z.dtype)),
)
value(
    "gelu",
    "formula",
    "(z / 2 + z / 2 erf)",
    lambda z: 0.5 * z + (0.5 * z) * erf(z * z.dtype.type(math.sqrt(0.5))).astype(z.dtype),
)
value("gelu", "formula", "with its limit at -∞", lambda z: np.where(np.isneginf(z), 0, z * ndtr(z)))
value(
    "gelu_tanh",
    "formula",
    "z sigmoid(2 ..)",
    lambda z: z * sigmoid(2 * (z.dtype.type(math.sqrt(2 / math.pi)) * (z + z.dtype.type(0.044715) * z**3))),
)
value(
    "gelu_tanh",
    "formula",
    "z (1 + c z²) factored",
    lambda z: (
        0.5
        * z
        * (1 + np.tanh(z * z.dtype.type(math.sqrt(2 / math.pi)) * (1 + z.dtype.type(0.044715) * z * z)))
    ),
)
value("gelu_tanh", "formula", "with its limit at -∞", lambda z: np.where(np.isneginf(z), 0, gelu_tanh(z)))
value("silu", "formula", "z / (1 + exp(-z))", lambda z: z / (1 + np.exp(-z)))
value("silu", "formula", "z times a reciprocal", lambda z: z * (1 / (1 + np.exp(-z))))
value("silu", "formula", "with its limit at -∞", lambda z: np.where(np.isneginf(z), -0.0, z * sigmoid(z)))
value(
    "mish",
    "formula",
    "tanh of log1p(exp(z))",
    lambda z: z * np.tanh(np.where(z > 20, z, np.log1p(np.exp(np.minimum(z, 20))))),
)
value("mish", "formula", "a quotient of exponentials", lambda z: z * _mish_ratio(z))
value(
    "mish",
    "formula",
    "with its limit at -∞",
    lambda z: np.where(np.isneginf(z), -0.0, z * np.tanh(softplus(z))),
)
value("softplus", "formula", "logaddexp(z, 0)", lambda z: np.logaddexp(z, z.dtype.type(0)))
value(
    "softplus",
    "formula",
    "z - log σ(z) by sides",
    lambda z: np.where(z > 0, z + np.log1p(np.exp(-np.abs(z))), np.log1p(np.exp(np.minimum(z, 0)))),
)
value(
    "squareplus",
    "formula",
    "hypot(z, 2)",
    lambda z: np.where(z > 0, (z + np.hypot(z, z.dtype.type(2))) / 2, 2 / (np.hypot(z, z.dtype.type(2)) - z)),
)
value("softsign", "formula", "z times a reciprocal", lambda z: z * (1 / (1 + np.abs(z))))
value("hardtanh", "formula", "(|z + 1| - |z - 1|) / 2, near", lambda z: np.maximum(-1, np.minimum(z, 1)))
value("hardsigmoid", "formula", "relu6(z + 3) / 6", lambda z: np.minimum(np.maximum(z + 3, 0), 6) / 6)
value(
    "hardsigmoid", "formula", "times a rounded sixth", lambda z: np.clip(z * z.dtype.type(1 / 6) + 0.5, 0, 1)
)
value(
    "hardswish",
    "formula",
    "z relu6(z + 3) / 6",
    lambda z: np.where(z > 3, z, z * np.minimum(np.maximum(z + 3, 0), 6) / 6),
)
value("log_sigmoid", "formula", "-softplus(-z)", lambda z: -softplus(-z))
value("log_sigmoid", "formula", "-logaddexp(0, -z)", lambda z: -np.logaddexp(z.dtype.type(0), -z))
value("softmax", "formula", "exp of log_softmax", lambda z: np.exp(log_softmax(z)))
value(
    "softmax",
    "formula",
    "times a reciprocal",
    lambda z: _exponentials(z) * (1 / _exponentials(z).sum(axis=1, keepdims=True)),
)
value(
    "softmax",
    "order",
    "its sum term after term",
    lambda z: _exponentials(z) / np.add.accumulate(_exponentials(z), axis=1)[:, -1:],
)
value(
    "log_softmax",
    "formula",
    "z - (max + log Σ)",
    lambda z: z - (z.max(axis=1, keepdims=True) + np.log(_exponentials(z).sum(axis=1, keepdims=True))),
)


def _exponentials(z: Array) -> Array:
    return np.asarray(np.exp(z - z.max(axis=1, keepdims=True)))


def _mish_ratio(z: Array) -> Array:
    """Return tanh(log(1 + e^z)) as a quotient: ((1 + e^z)² - 1) / ((1 + e^z)² + 1), without cancelling."""
    e = np.exp(np.minimum(z, 20))
    return np.asarray(np.where(z > 20, 1, e * (e + 2) / (e * (e + 2) + 2)))


slope("sigmoid", "formula", "σ(z) σ(-z)", lambda g, z, a: g * (sigmoid(z) * sigmoid(-z)))
slope("sigmoid", "formula", "(g a) (1 - a)", lambda g, z, a: (g * (1 - a)) * a)
slope("sigmoid", "formula", "a - a²", lambda g, z, a: g * (a * (1 - a)))
slope("sigmoid", "recomputation", "a from z", lambda g, z, a: g * sigmoid(z) * (1 - sigmoid(z)))
slope("tanh", "formula", "(1 - a) (1 + a)", lambda g, z, a: g * ((1 - a) * (1 + a)))
slope("tanh", "formula", "g - g a²", lambda g, z, a: g * (1 - a**2))
slope("tanh", "recomputation", "a from z", lambda g, z, a: g * (1 - np.tanh(z) ** 2))
slope("relu", "formula", "a mask", lambda g, z, a: np.where(z > 0, g, 0))
slope("relu", "formula", "from a", lambda g, z, a: g * (a > 0))
slope("relu", "formula", "1 at 0", lambda g, z, a: np.where(z >= 0, g, 0))
slope("relu6", "formula", "a mask", lambda g, z, a: np.where((z > 0) & (z < 6), g, 0))
slope("leaky_relu", "formula", "a mask", lambda g, z, a, alpha: np.where(z > 0, g, alpha * g))
slope(
    "elu",
    "formula",
    "a + alpha",
    lambda g, z, a, alpha: np.where(z > 0, g, g * (alpha * np.expm1(np.minimum(z, 0)) + alpha)),
)
slope(
    "elu",
    "fusion",
    "g alpha first",
    lambda g, z, a, alpha: np.where(z > 0, g, (g * alpha) * np.exp(np.minimum(z, 0))),
)
slope(
    "celu",
    "formula",
    "expm1 + 1",
    lambda g, z, a, alpha: np.where(z > 0, g, g * (np.expm1(np.minimum(z, 0) / alpha) + 1)),
)
slope(
    "selu",
    "formula",
    "from a",
    lambda g, z, a: (
        g
        * np.where(
            z > 0,
            z.dtype.type(1.0507009873554805),
            z.dtype.type(1.7580993408473768) * np.expm1(np.minimum(z, 0)) + z.dtype.type(1.7580993408473768),
        )
    ),
)
slope(
    "gelu",
    "fusion",
    "two products with g",
    lambda g, z, a: g * ndtr(z) + (g * z) * (np.exp(-(z * z) / 2) * z.dtype.type(1 / math.sqrt(2 * math.pi))),
)
slope(
    "silu", "formula", "s + z s (1 - s)", lambda g, z, a: g * (sigmoid(z) + z * sigmoid(z) * (1 - sigmoid(z)))
)
slope("silu", "formula", "s (1 + z σ(-z))", lambda g, z, a: g * (sigmoid(z) * (1 + z * sigmoid(-z))))
slope(
    "silu",
    "fusion",
    "two products with g",
    lambda g, z, a: g * sigmoid(z) + (g * z) * (sigmoid(z) * (1 - sigmoid(z))),
)
slope(
    "silu",
    "formula",
    "from a: a + s (1 - a)",
    lambda g, z, a: g * (z * sigmoid(z) + sigmoid(z) * (1 - z * sigmoid(z))),
)
slope(
    "mish",
    "fusion",
    "two products with g",
    lambda g, z, a: g * np.tanh(softplus(z)) + (g * z) * ((1 - np.tanh(softplus(z)) ** 2) * sigmoid(z)),
)
slope(
    "softplus",
    "formula",
    "exp(z - softplus(z))",
    lambda g, z, a: g * np.exp(z - a),
)
slope("softplus", "formula", "g / (1 + exp(-z))", lambda g, z, a: g / (1 + np.exp(-z)))
slope("softplus", "formula", "1 - exp(-a)", lambda g, z, a: g * -np.expm1(-a))
slope("squareplus", "formula", "by hypot", lambda g, z, a: g * ((1 + z / np.hypot(z, z.dtype.type(2))) / 2))
slope("softsign", "formula", "two quotients", lambda g, z, a: g / (1 + np.abs(z)) / (1 + np.abs(z)))
slope("softsign", "formula", "a reciprocal squared", lambda g, z, a: g * (1 / (1 + np.abs(z))) ** 2)
slope("softsign", "formula", "(1 - |a|)²", lambda g, z, a: g * (1 / (1 + np.abs(z)) ** 2))
slope("hardtanh", "formula", "a mask", lambda g, z, a: np.where(np.abs(z) < 1, g, 0))
slope("hardsigmoid", "formula", "g / 6", lambda g, z, a: np.where(np.abs(z) < 3, g / 6, 0))
slope(
    "hardsigmoid",
    "formula",
    "times a rounded sixth",
    lambda g, z, a: np.where(np.abs(z) < 3, g * z.dtype.type(1 / 6), 0),
)
slope(
    "hardswish",
    "formula",
    "(2 z + 3) / 6",
    lambda g, z, a: np.where(z <= -3, 0, np.where(z >= 3, g, g * ((2 * z + 3) / 6))),
)
slope("log_sigmoid", "formula", "1 / (1 + exp(z))", lambda g, z, a: g / (1 + np.exp(z)))
slope("log_sigmoid", "formula", "1 - σ(z)", lambda g, z, a: g * (1 - sigmoid(z)))
slope("log_sigmoid", "formula", "1 - exp(a)", lambda g, z, a: g * -np.expm1(a))
slope("softmax", "formula", "the Jacobian written out", lambda g, z, a: _with_jacobian(g, a))
slope("softmax", "formula", "s g - s Σ", lambda g, z, a: a * g - a * (g * a).sum(axis=1, keepdims=True))
slope(
    "softmax",
    "recomputation",
    "s from z",
    lambda g, z, a: softmax(z) * (g - (g * softmax(z)).sum(axis=1, keepdims=True)),
)
slope("softmax", "order", "its sum by einsum", lambda g, z, a: a * (g - np.einsum("ij,ij->i", g, a)[:, None]))
slope(
    "log_softmax",
    "formula",
    "exp(a) for the softmax",
    lambda g, z, a: g - np.exp(a) * g.sum(axis=1, keepdims=True),
)
slope(
    "log_softmax",
    "formula",
    "the Jacobian written out",
    lambda g, z, a: np.einsum(
        "ij,ijk->ik", g, np.eye(z.shape[1], dtype=z.dtype)[None] - softmax(z)[:, None, :]
    ),
)


def _with_jacobian(g: Array, s: Array) -> Array:
    """Return g (diag(s) - s s^T), the matrices of all examples written out."""
    jacobian = s[:, :, None] * np.eye(s.shape[1], dtype=s.dtype) - s[:, :, None] * s[:, None, :]
    return np.asarray(np.einsum("ij,ijk->ik", g, jacobian))


# ---------------------------------------------------------------------------------------------------------------- costs

cost(
    "half_squared_error",
    "formula",
    "the square of a norm",
    lambda a, y: 0.5 * np.linalg.norm(a - y, axis=1) ** 2,
)
cost("half_squared_error", "formula", "r² / 2", lambda a, y: (a - y) * (a - y) / 2)
cost("squared_error", "formula", "the square of a norm", lambda a, y: np.linalg.norm(a - y, axis=1) ** 2)
cost("absolute_error", "formula", "max(r, -r)", lambda a, y: np.maximum(a - y, y - a))
cost(
    "huber",
    "formula",
    "½ q² + δ (|r| - q)",
    lambda a, y, delta: (
        0.5 * np.minimum(np.abs(a - y), delta) ** 2
        + delta * (np.abs(a - y) - np.minimum(np.abs(a - y), delta))
    ),
)
cost(
    "log_cosh",
    "formula",
    "r + softplus(-2 r) - log 2",
    lambda a, y: (a - y) + softplus(-2 * (a - y)) - a.dtype.type(math.log(2)),
)
cost(
    "log_cosh",
    "formula",
    "logaddexp(r, -r) - log 2",
    lambda a, y: np.logaddexp(a - y, y - a) - a.dtype.type(math.log(2)),
)
cost("hinge", "formula", "max over a pair", lambda a, y: np.where(y * a < 1, 1 - y * a, 0))
cost(
    "squared_hinge",
    "formula",
    "a product with itself",
    lambda a, y: np.maximum(0, 1 - y * a) * np.maximum(0, 1 - y * a),
)
cost(
    "binary_cross_entropy",
    "formula",
    "log(1 - a)",
    lambda a, y: -(np.where(y == 0, 0, y * np.log(a)) + np.where(y == 1, 0, (1 - y) * np.log(1 - a))),
)
cost("binary_cross_entropy_with_logits", "formula", "softplus(a) - y a", lambda a, y: softplus(a) - y * a)
cost(
    "binary_cross_entropy_with_logits",
    "formula",
    "logaddexp(0, a) - y a",
    lambda a, y: np.logaddexp(a.dtype.type(0), a) - y * a,
)
cost(
    "binary_cross_entropy_with_logits",
    "formula",
    "(1 - y) a + softplus(-a)",
    lambda a, y: (1 - y) * a + softplus(-a),
)
cost(
    "binary_cross_entropy_with_logits",
    "formula",
    "two logarithms of sigmoids",
    lambda a, y: y * softplus(-a) + (1 - y) * softplus(a),
)
cost(
    "softmax_cross_entropy",
    "formula",
    "Σ y (log Σ e^a - a)",
    lambda a, y: (
        y * (np.log(_exponentials(a).sum(axis=1, keepdims=True)) - (a - a.max(axis=1, keepdims=True)))
    ),
)
cost("poisson", "formula", "e^a - a y", lambda a, y: -(y * a - np.exp(a)))

gradient("squared_error", "formula", "(a - y) + (a - y)", lambda a, y: (a - y) + (a - y))
gradient("absolute_error", "formula", "a choice", lambda a, y: np.where(a > y, 1, np.where(a < y, -1, 0)))
gradient(
    "huber",
    "formula",
    "where",
    lambda a, y, delta: np.where(np.abs(a - y) <= delta, a - y, delta * np.sign(a - y)),
)
gradient("smooth_l1", "formula", "a clip", lambda a, y, beta: np.clip((a - y) / beta, -1, 1))
gradient(
    "smooth_l1",
    "formula",
    "times a reciprocal",
    lambda a, y, beta: np.clip((a - y) * a.dtype.type(1 / beta), -1, 1),
)
gradient("log_cosh", "formula", "1 - 2 σ(-2 r)", lambda a, y: 1 - 2 * sigmoid(-2 * (a - y)))
gradient("hinge", "formula", "-y at the kink", lambda a, y: np.where(y * a <= 1, -y, 0))
gradient("squared_hinge", "formula", "where", lambda a, y: np.where(y * a < 1, -(2 * (1 - y * a)) * y, 0))
gradient(
    "binary_cross_entropy", "formula", "(1 - y) / (1 - a) - y / a", lambda a, y: (1 - y) / (1 - a) - y / a
)
gradient("binary_cross_entropy", "formula", "two quotients", lambda a, y: (a - y) / a / (1 - a))
gradient(
    "binary_cross_entropy", "formula", "times reciprocals", lambda a, y: (1 - y) * (1 / (1 - a)) - y * (1 / a)
)
gradient("binary_cross_entropy_with_logits", "formula", "(1 - y) - σ(-a)", lambda a, y: (1 - y) - sigmoid(-a))
gradient(
    "binary_cross_entropy_with_logits",
    "formula",
    "1 / (1 + exp(-a)) - y",
    lambda a, y: 1 / (1 + np.exp(-a)) - y,
)
gradient("cross_entropy", "formula", "times a reciprocal", lambda a, y: -(y * (1 / a)))
gradient(
    "softmax_cross_entropy",
    "formula",
    "through log_softmax's Jacobian",
    lambda a, y: np.exp(log_softmax(a)) * y.sum(axis=1, keepdims=True) - y,
)
gradient(
    "softmax_cross_entropy",
    "formula",
    "-y + Σ y s",
    lambda a, y: -(y - y.sum(axis=1, keepdims=True) * softmax(a)),
)
gradient("poisson", "formula", "-(y - e^a)", lambda a, y: -(y - np.exp(a)))

# -------------------------------------------------------------------------------------------------- fused with the cost


def _fused(operation: str, name: str, both: tuple[str, str], **how: Callable[..., Array]) -> None:
    _add(operation, "fusion", name, both[1], **{key: {both: function} for key, function in how.items()})


_fused(
    "∇ C and σ′", "a - y for sigmoid", ("sigmoid", "binary_cross_entropy"), fused_errors=lambda z, a, y: a - y
)
_fused(
    "∇ C and σ′",
    "σ(z) - y, from z",
    ("sigmoid", "binary_cross_entropy"),
    fused_errors=lambda z, a, y: sigmoid(z) - y,
)
_fused(
    "∇ C and σ′",
    "s Σ y - y for softmax",
    ("softmax", "cross_entropy"),
    fused_errors=lambda z, a, y: a * y.sum(axis=1, keepdims=True) - y,
)
_fused(
    "∇ C and σ′",
    "y (a - 1) for sigmoid",
    ("sigmoid", "cross_entropy"),
    fused_errors=lambda z, a, y: y * (a - 1),
)
_fused(
    "∇ C and σ′",
    "s Σ y - y for log_softmax",
    ("log_softmax", "negative_log_likelihood"),
    fused_errors=lambda z, a, y: softmax(z) * y.sum(axis=1, keepdims=True) - y,
)
_fused(
    "∇ C and σ′",
    "s Σ y - y for log_softmax, again",
    ("log_softmax", "kl_divergence"),
    fused_errors=lambda z, a, y: softmax(z) * y.sum(axis=1, keepdims=True) - y,
)
_fused(
    "C",
    "from the logit, for sigmoid",
    ("sigmoid", "binary_cross_entropy"),
    fused_costs=lambda z, a, y: np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))),
)
_fused(
    "C",
    "log_softmax inside, for softmax",
    ("softmax", "cross_entropy"),
    fused_costs=lambda z, a, y: -(y * log_softmax(z)),
)
_fused(
    "C",
    "log_sigmoid inside, for sigmoid",
    ("sigmoid", "cross_entropy"),
    fused_costs=lambda z, a, y: y * softplus(-z),
)
_fused("C and ∇ C", "both from the logit, for sigmoid", ("sigmoid", "binary_cross_entropy"),
       fused_costs=lambda z, a, y: softplus(z) - y * z, fused_errors=lambda z, a, y: sigmoid(z) - y)  # fmt: skip
