"""PyTensor (once Theano): a symbolic graph, differentiated, rewritten, and run by its NumPy linker.

Its rewrites are part of what is judged: they put stable functions in the place of what would overflow or cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.tensor.special import log_softmax

from ..reference.network import Architecture, Array, Case, Gradients
from .composed import Primitives, Tensor, functions
from .implementation import UnsupportedError
from .rows import Row


def _log_softmax(z: Tensor) -> Tensor:
    return log_softmax(z, axis=1)


FUNCTIONS = functions(
    "pytensor",
    Primitives(
        exp=pt.exp,
        expm1=pt.expm1,
        log=pt.log,
        log1p=pt.log1p,
        tanh=pt.tanh,
        sigmoid=pt.sigmoid,
        erf=pt.erf,
        absolute=pt.abs,
        maximum=pt.maximum,
        minimum=pt.minimum,
        where=pt.where,
        total=pt.sum,
        log_softmax=_log_softmax,
        softplus=pt.softplus,
    ),
    {"pt": "pytensor.tensor", "special": "pytensor.tensor.special"},
    sigmoid=Row("pt.sigmoid(z)"),
    tanh=Row("pt.tanh(z)"),
    softplus=Row("pt.softplus(z)"),
    softmax=Row("special.softmax(z, axis=1)"),
    log_softmax=Row("special.log_softmax(z, axis=1)"),
)
#: Fused operations would be run one number at a time.
_MODE = Mode(linker="py", optimizer="fast_run").excluding("fusion")


# Cases of one architecture come together.
@lru_cache(maxsize=4)
def _compiled(architecture: Architecture, precision: str, batch: int) -> Callable[..., Sequence[Any]]:
    """Make a function of x, y, W^l, b^l and Δz^l: the cost, z^l, a^l, dW^l, db^l and δ^l."""
    # A Python number is floatX, and would promote what is less.
    with pytensor.config.change_flags(floatX=precision):
        x, y = pt.matrix("x", dtype=precision), pt.matrix("y", dtype=precision)
        layers = range(1, architecture.depth + 1)
        weights = [pt.matrix(f"W{i}", dtype=precision) for i in layers]
        biases = [pt.vector(f"b{i}", dtype=precision) for i in layers]
        shifts = [pt.matrix(f"shift{i}", dtype=precision) for i in layers]
        cost, z, a = FUNCTIONS.network(architecture, (weights, biases, shifts), x, y, batch)
        variables = [*weights, *biases, *shifts]
        gradients = pytensor.grad(cost, variables)
        compiled: Callable[..., Sequence[Any]] = pytensor.function(
            [x, y, *variables], [cost, *z, *a, *gradients], mode=_MODE, on_unused_input="ignore"
        )
        return compiled


class PyTensor:
    """PyTensor's compiled functions."""

    name = "pytensor:function"
    version = str(pytensor.__version__)
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        if case.precision not in ("float64", "float32"):
            raise UnsupportedError("PyTensor's floatX is float64 or float32")
        architecture, parameters = case.architecture, case.parameters
        shifts = [np.zeros((case.batch, layer.width), case.dtype) for layer in architecture.layers]
        given = (case.x, case.y, *parameters.weights, *parameters.biases, *shifts)
        answer = _compiled(architecture, case.precision, case.batch)(*given)
        cost, *rest = (np.asarray(one) for one in answer)
        L = architecture.depth
        families: list[list[Array]] = [rest[i * L : (i + 1) * L] for i in range(5)]
        z, a, dW, db, delta = families
        return Gradients(dW, db, cost, delta, z, a)

    def functions(self) -> Mapping[str, str]:
        """Say which of PyTensor's functions is judged."""
        return FUNCTIONS.labels


def load(mode: str) -> PyTensor:
    """Start PyTensor; what overflows is judged and not warned of."""
    np.seterr(all="ignore")
    return PyTensor()
