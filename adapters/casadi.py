"""CasADi: a symbolic graph of matrix operations, differentiated in reverse by source transformation, in float64.

It broadcasts numbers only, so that biases, and what a softmax shares within a row, are repeated. It has no neural
functions; the largest of a row, which any constant could stand for, is hidden from differentiation by its stop_diff.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, reduce

import casadi
import numpy as np
from casadi import MX

from ..reference.network import Architecture, Array, Case, Gradients
from .composed import Primitives, Tensor, functions
from .implementation import UnsupportedError
from .rows import Row


def _shifted(z: Tensor) -> Tensor:
    largest = casadi.stop_diff(reduce(casadi.fmax, casadi.horzsplit(z)), 1)
    return z - casadi.repmat(largest, 1, z.shape[1])


def _rows(z: Tensor) -> Tensor:
    """Add up every row, and repeat it."""
    return casadi.repmat(casadi.sum2(z), 1, z.shape[1])


def _log_softmax(z: Tensor) -> Tensor:
    shifted = _shifted(z)
    return shifted - casadi.log(_rows(casadi.exp(shifted)))


def _softmax(z: Tensor) -> Tensor:
    exponential = casadi.exp(_shifted(z))
    return exponential / _rows(exponential)


def _sigmoid(z: Tensor) -> Tensor:
    # With one e^-abs(z) for both sides, so that it cannot overflow.
    small = casadi.exp(-casadi.if_else(z > 0, z, -z))
    return casadi.if_else(z > 0, 1 / (1 + small), small / (1 + small))


FUNCTIONS = functions(
    "casadi",
    Primitives(
        exp=casadi.exp,
        expm1=casadi.expm1,
        log=casadi.log,
        log1p=casadi.log1p,
        tanh=casadi.tanh,
        sigmoid=_sigmoid,
        erf=casadi.erf,
        absolute=casadi.fabs,
        maximum=casadi.fmax,
        minimum=casadi.fmin,
        where=casadi.if_else,
        total=lambda terms: casadi.sum1(casadi.sum2(terms)),
        log_softmax=_log_softmax,
    ),
    {"casadi": "casadi", "row_softmax": _softmax},
    sigmoid=Row("sigmoid(z)", "composed: if_else(z > 0, 1 / (1 + e), e / (1 + e)), e = exp(-abs(z))"),
    tanh=Row("casadi.tanh(z)"),
    softmax=Row("row_softmax(z)", "composed: e^(z - max z) / Σ e^(z - max z)"),
    log_softmax=Row("log_softmax(z)", "composed: s - log(Σ exp(s)), s = z - max z"),
)


# Cases of one architecture come together.
@lru_cache(maxsize=4)
def _compiled(architecture: Architecture, batch: int) -> Callable[..., Sequence[Tensor]]:
    """Make a function of x, y, W^l and b^l: the cost, z^l, a^l, dW^l, db^l and δ^l."""
    widths = architecture.widths
    x, y = MX.sym("x", batch, widths[0]), MX.sym("y", batch, widths[-1])
    weights = [MX.sym(f"W{i}", *shape) for i, shape in enumerate(zip(widths[1:], widths, strict=False), 1)]
    biases = [MX.sym(f"b{i}", width) for i, width in enumerate(widths[1:], 1)]
    shifts = [MX.sym(f"shift{i}", batch, width) for i, width in enumerate(widths[1:], 1)]
    rows = [casadi.repmat(b.T, batch, 1) for b in biases]
    cost, z, a = FUNCTIONS.network(architecture, (weights, rows, shifts), x, y, batch)
    gradients = [casadi.gradient(cost, variable) for variable in (*weights, *biases, *shifts)]
    compiled: Callable[..., Sequence[Tensor]] = casadi.Function(
        "backprop", [x, y, *weights, *biases, *shifts], [cost, *z, *a, *gradients]
    )
    return compiled


class CasADi:
    """CasADi's MX graphs."""

    name = "casadi:mx"
    version = str(casadi.__version__)
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in float64."""
        if case.precision != "float64":
            raise UnsupportedError("CasADi computes in float64 only")
        architecture, parameters = case.architecture, case.parameters
        shifts = [np.zeros((case.batch, layer.width)) for layer in architecture.layers]
        given = (case.x, case.y, *parameters.weights, *parameters.biases, *shifts)
        cost, *rest = (np.array(one) for one in _compiled(architecture, case.batch)(*given))
        L = architecture.depth
        z, a, dW, db, delta = (rest[i * L : (i + 1) * L] for i in range(5))
        columns: list[Array] = [one[:, 0] for one in db]
        return Gradients(dW, columns, cost.reshape(()), delta, z, a)

    def functions(self) -> Mapping[str, str]:
        """Say which of CasADi's functions is judged."""
        return FUNCTIONS.labels


def load(mode: str) -> CasADi:
    """Start CasADi."""
    return CasADi()
