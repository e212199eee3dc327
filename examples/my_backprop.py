"""Backpropagation as the book has it, for sigmoid networks, and how gradparity checks it in two lines."""

import numpy as np
from gradparity import Case, Gradients, check


def sigmoid(z: np.ndarray) -> np.ndarray:
    a: np.ndarray = 1 / (1 + np.exp(-z))
    return a


def my_backprop(case: Case) -> Gradients:
    activations = [case.x]
    for W, b in case.parameters:
        activations.append(sigmoid(activations[-1] @ W.T + b))
    delta = activations[-1] - case.y
    if case.architecture.reduction == "mean":
        delta = delta / case.batch
    dW: list[np.ndarray] = []
    db: list[np.ndarray] = []
    for layer in reversed(range(case.architecture.depth)):
        delta = delta * activations[layer + 1] * (1 - activations[layer + 1])
        dW.insert(0, delta.T @ activations[layer])
        db.insert(0, delta.sum(axis=0))
        delta = delta @ case.parameters.weights[layer]
    return Gradients(dW, db)


if __name__ == "__main__":
    judged = check(my_backprop, cases=200, only=("sigmoid", "half_squared_error"))
    print(f"{judged} cases judged: every gradient lies in its enclosure.")
