"""One honest network, written apart from the reference: backpropagation as its users write it, in NumPy.

Every operation is a field of ``Operations``, so that a variant replaces one of them and is otherwise the same. An
operation is computed in the case's precision, or in float32 where that has 16 bits; its result is rounded to the case's
precision, as a framework's kernel does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gradparity import Case, Gradients, Layer
from gradparity.reference.network import Cost

from .functions import COSTS, GRADIENTS, SLOPES, VALUES

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Operations:
    """What the network is made of. Arrays are (m, n), weights (n_out, n_in)."""

    #: a W^T, and δ W.
    product: Callable[[Array, Array], Array] = lambda a, W: a @ W.T
    back: Callable[[Array, Array], Array] = lambda delta, W: delta @ W
    #: The bias added to a W^T; or both at once, where that is given.
    bias: Callable[[Array, Array], Array] = lambda p, b: p + b
    affine: Callable[[Array, Array, Array], Array] | None = None
    #: By name of the activation: its value, and what it makes of ∂C/∂a: (g, z, a, *parameters).
    values: Mapping[str, Callable[..., Array]] = field(default_factory=dict)
    slopes: Mapping[str, Callable[..., Array]] = field(default_factory=dict)
    #: By name of the cost: its terms, which are added up, and ∇_a C: (a, y, *parameters).
    costs: Mapping[str, Callable[..., Array]] = field(default_factory=dict)
    gradients: Mapping[str, Callable[..., Array]] = field(default_factory=dict)
    #: By names of the last activation and the cost: the cost's terms, and δ^L, from z^L, a^L and y.
    fused_costs: Mapping[tuple[str, str], Callable[..., Array]] = field(default_factory=dict)
    fused_errors: Mapping[tuple[str, str], Callable[..., Array]] = field(default_factory=dict)
    #: The sum of a cost's terms, Σ over the batch of δ, and δ^T a.
    total: Callable[[Array], Any] = lambda terms: terms.sum()
    biases: Callable[[Array], Array] = lambda delta: delta.sum(axis=0)
    weights: Callable[[Array, Array], Array] = lambda delta, a: delta.T @ a
    #: Where the mean's division happens: "gradient", "error", "result" or "terms", and how.
    mean: str = "gradient"
    divided: Callable[[Any, int], Any] = lambda number, m: number / m
    #: What a layer keeps of a and z for the way back; by default what was answered.
    kept: Callable[[Operations, Layer, Array, Array], tuple[Array, Array]] | None = None
    #: The type in which everything is computed; None for the case's own, or float32.
    computed_in: type[np.floating[Any]] | None = None
    #: Whether what was not yet rounded is passed on: one rounding at the end, of what is answered.
    rounds_once: bool = False


def honest(case: Case, how: Operations) -> Gradients:
    """Answer a case."""
    with np.errstate(all="ignore"):
        return _answered(case, how)


def _answered(case: Case, how: Operations) -> Gradients:
    own = np.float32 if case.dtype.itemsize < 4 else case.dtype.type
    work = how.computed_in or own

    def kept(array: Any) -> Array:
        """Round to the case's precision, and go on."""
        found = np.asarray(array, work)
        return found if how.rounds_once else found.astype(case.dtype).astype(work)

    def answered(array: Any) -> Array:
        return np.asarray(array).astype(case.dtype)

    network, m = case.architecture, case.batch
    W, b = ([one.astype(work) for one in some] for some in (case.parameters.weights, case.parameters.biases))
    x, y = case.x.astype(work), case.y.astype(work)
    divisor = m if network.reduction == "mean" else 1
    a, z = [x], list[Array]()
    for l, layer in enumerate(network.layers):
        affine = how.affine
        z.append(
            kept(affine(a[-1], W[l], b[l]) if affine else how.bias(kept(how.product(a[-1], W[l])), b[l]))
        )
        a.append(kept(_value(how, layer)(z[-1])))

    cost = _cost(how, case, kept, z[-1], a[-1], y, divisor)
    delta = _last_error(how, case, kept, z[-1], a[-1], y, divisor)
    errors = [delta]
    for l in range(network.depth - 1, 0, -1):
        layer = network.layers[l - 1]
        z_kept, a_kept = how.kept(how, layer, z[l - 1], a[l]) if how.kept else (z[l - 1], a[l])
        delta = kept(_slope(how, layer)(kept(how.back(delta, W[l])), z_kept, a_kept))
        errors.insert(0, delta)
    last = divisor if how.mean == "result" else 1
    dW, db = list[Array](), list[Array]()
    for l in range(network.depth):
        _, before = how.kept(how, network.layers[l - 1], z[l - 1], a[l]) if how.kept and l else (x, a[l])
        dW.append(kept(how.weights(errors[l], before)))
        db.append(kept(how.biases(errors[l])))
    if last > 1:
        dW, db, errors = ([kept(how.divided(one, last)) for one in some] for some in (dW, db, errors))
    return Gradients(
        [answered(one) for one in dW],
        [answered(one) for one in db],
        answered(cost),
        [answered(one) for one in errors],
        [answered(one) for one in z],
        [answered(one) for one in a[1:]],
    )


def _value(how: Operations, layer: Layer) -> Callable[[Array], Array]:
    function = how.values.get(layer.activation, VALUES[layer.activation])
    return lambda z: function(z, *layer.parameters)


def _slope(how: Operations, layer: Layer) -> Callable[[Array, Array, Array], Array]:
    function = how.slopes.get(layer.activation, SLOPES[layer.activation])
    return lambda g, z, a: function(g, z, a, *layer.parameters)


def _cost(
    how: Operations,
    case: Case,
    kept: Callable[[Any], Array],
    z: Array,
    a: Array,
    y: Array,
    divisor: int,
) -> Array:
    cost: Cost = case.architecture.cost
    both = (case.architecture.layers[-1].activation, cost.name)
    if both in how.fused_costs:
        terms = kept(how.fused_costs[both](z, a, y))
    else:
        terms = kept(how.costs.get(cost.name, COSTS[cost.name])(a, y, *cost.parameters))
    if how.mean == "terms" and divisor > 1:
        return kept(how.total(kept(how.divided(terms, divisor))))
    total = kept(how.total(terms))
    return kept(how.divided(total, divisor)) if divisor > 1 else total


def _last_error(
    how: Operations,
    case: Case,
    kept: Callable[[Any], Array],
    z: Array,
    a: Array,
    y: Array,
    divisor: int,
) -> Array:
    cost, layer = case.architecture.cost, case.architecture.layers[-1]
    both = (layer.activation, cost.name)
    if both in how.fused_errors:
        delta = kept(how.fused_errors[both](z, a, y))
        return kept(how.divided(delta, divisor)) if divisor > 1 and how.mean != "result" else delta
    gradient = kept(how.gradients.get(cost.name, GRADIENTS[cost.name])(a, y, *cost.parameters))
    if how.mean in ("gradient", "terms") and divisor > 1:
        gradient = kept(how.divided(gradient, divisor))
    delta = kept(_slope(how, layer)(gradient, z, a))
    return kept(how.divided(delta, divisor)) if how.mean == "error" and divisor > 1 else delta
