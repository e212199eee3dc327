"""scikit-learn: the hand-written backpropagation of its multi-layer perceptrons, ``_backprop``.

A perceptron has one activation for all hidden layers, and a cost that goes with its last one. Weights and biases are
put in place instead of being fitted, with no penalty on them. Its δ is that of the sum over the batch, and is divided
by m at the end. Its value of the squared error is the mean over the outputs as well, though its gradient is not: the
value is multiplied by their number here. With ``poisson`` the exponential is part of the last activation, and the
value has terms in y alone: neither is given then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from ..reference.network import Array, Case, Gradients
from .implementation import UnsupportedError

#: Our name of a hidden activation, and scikit-learn's.
HIDDEN = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
#: By cost and last activation: the estimator, its own last activation, and its loss.
OUTPUTS: dict[tuple[str, str], tuple[type[Any], str, str]] = {
    ("half_squared_error", "identity"): (MLPRegressor, "identity", "squared_error"),
    ("poisson", "identity"): (MLPRegressor, "exp", "poisson"),
    ("binary_cross_entropy", "sigmoid"): (MLPClassifier, "logistic", "log_loss"),
    ("cross_entropy", "softmax"): (MLPClassifier, "softmax", "log_loss"),
}


def _perceptron(case: Case) -> Any:
    """Make an estimator of the case's architecture and parameters; raises UnsupportedError where there is none."""
    *hidden, last = (layer.activation for layer in case.architecture.layers)
    cost = case.architecture.cost.name
    if case.precision not in ("float64", "float32"):
        raise UnsupportedError("scikit-learn's perceptrons take float64 and float32")
    if case.architecture.reduction == "sum" and case.batch > 1:
        raise UnsupportedError("scikit-learn's perceptrons take the mean over the batch")
    if (cost, last) not in OUTPUTS or (last == "softmax" and case.architecture.widths[-1] == 1):
        raise UnsupportedError(f"scikit-learn's perceptrons have no {cost} of {last}")
    if len(set(hidden)) > 1 or not set(hidden) <= set(HIDDEN):
        raise UnsupportedError(
            f"scikit-learn's perceptrons have one hidden activation of {', '.join(HIDDEN.values())}"
        )
    estimator, output, loss = OUTPUTS[cost, last]
    perceptron = estimator(activation=HIDDEN[hidden[0]] if hidden else "identity", alpha=0.0)
    perceptron.loss, perceptron.out_activation_ = loss, output
    perceptron.n_layers_ = case.architecture.depth + 1
    perceptron.coefs_ = [W.T for W in case.parameters.weights]
    perceptron.intercepts_ = list(case.parameters.biases)
    return perceptron


class ScikitLearn:
    """scikit-learn's perceptrons."""

    name = "sklearn:backprop"
    version = str(sklearn.__version__)
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        perceptron = _perceptron(case)
        depth = case.architecture.depth

        def arrays(tensors: Any) -> list[Array]:
            return [np.asarray(tensor, case.dtype) for tensor in tensors]

        a: list[Any] = [case.x, *[None] * depth]
        deltas: list[Any] = [None] * depth
        dW: list[Any] = [None] * depth
        db: list[Any] = [None] * depth
        cost, dW, db = perceptron._backprop(case.x, case.y, None, a, deltas, dW, db)
        delta = [one / case.batch for one in deltas]
        dW = [one.T for one in dW]
        if perceptron.loss == "poisson":
            return Gradients(arrays(dW), arrays(db), delta=arrays(delta))
        cost *= case.architecture.widths[-1] if perceptron.loss == "squared_error" else 1
        return Gradients(arrays(dW), arrays(db), np.asarray(cost, case.dtype), arrays(delta), a=arrays(a[1:]))

    def functions(self) -> Mapping[str, str]:
        """Say which of scikit-learn's functions is judged."""
        hidden = {name: f"sklearn.neural_network, activation={own!r}" for name, own in HIDDEN.items()}
        costs = {
            cost: f"{estimator.__name__}._backprop, loss={loss!r}, out_activation_={output!r}"
            for (cost, _), (estimator, output, loss) in OUTPUTS.items()
        }
        return {**hidden, "softmax": "sklearn.neural_network, out_activation_='softmax'", **costs}


def load(mode: str) -> ScikitLearn:
    """Start scikit-learn; what overflows is judged and not warned of."""
    np.seterr(all="ignore")
    return ScikitLearn()
