"""Each activation and cost against its definition and against itself, in 300-bit arithmetic.

The value is what DESIGN.md says; the slope is the derivative of the value and the curvature that of the slope;
the formulas of one list say the same; pieces meet where they should. A central difference is off by
c h² + O(h⁴): at h it is three times nearer to the derivative than to the difference at 2h.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb
from gradparity.reference.activations import Elementwise, activation
from gradparity.reference.costs import cost_function
from gradparity.reference.coupled import Coupled
from gradparity.reference.network import ACTIVATIONS, COSTS, Cost, Layer
from gradparity.reference.scalar import Formula, Piece, Scalar

STEP = arb(2) ** -80
#: The constants in the formulas are written to at least this many digits.
DIGITS = arb(10) ** -30


@pytest.fixture(autouse=True)
def _in_high_precision() -> Iterator[None]:
    with flint.ctx.workprec(300):
        yield


def arrays(*values: Any) -> Any:
    result = np.empty(len(values), dtype=object)
    result[:] = [arb(value) for value in values]
    return result


def matrix(rows: Any) -> Any:
    return np.array([arrays(*row) for row in rows], dtype=object)


def derivative(function: Callable[[Any], Any], at: Any) -> tuple[Any, Any]:
    """Give a central difference, and how far it may be from the derivative."""
    near, far = ((function(at + h) - function(at - h)) / (2 * h) for h in (STEP, 2 * STEP))
    return near, abs(near - far) + DIGITS * (1 + abs(near))


def is_derivative(slope: Any, function: Callable[[Any], Any], at: Any) -> bool:
    near, off = derivative(function, at)
    return not abs(slope - near) > off


# ------------------------------------------------------------------------------------------- the scalar functions

ALPHAS = {"leaky_relu": (0.01, 0.3), "elu": (1.0, 0.25), "celu": (1.0, 1.5)}
LAYERS = [Layer(1, name, alpha) for name in ACTIVATIONS for alpha in ALPHAS.get(name, (None,))]
ELEMENTWISE = [layer for layer in LAYERS if isinstance(activation(layer), Elementwise)]


def scalars(cost: Cost) -> list[Scalar]:
    """Give the scalar functions that a cost is made of."""
    cells = cost_function(cost).value.__closure__ or ()
    return [cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Scalar)]


#: name -> (function, the targets that its formulas take)
FUNCTIONS: dict[str, tuple[Scalar, tuple[float, ...]]] = {
    f"{layer.activation} {layer.alpha or ''}": (activation(layer).scalar, ())  # type: ignore[union-attr]
    for layer in ELEMENTWISE
}
_ON_OUTPUTS = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
for _cost in (*map(Cost, COSTS), Cost("huber", 1.345)):
    for _scalar in scalars(_cost):
        for _y in (0.0, 0.25, 1.0) if _cost.name in _ON_OUTPUTS else (None,):
            FUNCTIONS[f"{_cost.name} {_cost.delta or ''} {'' if _y is None else _y}"] = (
                _scalar,
                () if _y is None else (_y,),
            )
#: Where a function is defined on part of the line only.
DOMAINS = {"binary_cross_entropy ": (0.0, 1.0), "cross_entropy": (0.0, np.inf)}


def points(piece: Piece, name: str) -> list[float]:
    """Points inside a piece: near its ends, in the middle, and far out."""
    lo, hi = next((domain for key, domain in DOMAINS.items() if name.startswith(key)), (-np.inf, np.inf))
    lo, hi = max(lo, piece.lo), min(hi, piece.hi)
    if np.isfinite(lo) and np.isfinite(hi):
        return [lo + share * (hi - lo) for share in (2.0**-20, 0.1, 0.4375, 0.8, 1 - 2.0**-20)]
    steps = [2.0**-20, 0.3, 1.1, 5.0, 33.0]
    if np.isfinite(lo):
        return [lo + step for step in steps]
    if np.isfinite(hi):
        return [hi - step for step in steps]
    return [*steps, *(-step for step in steps), 0.0]


def everywhere(name: str) -> Iterator[tuple[Piece, Any, list[Any]]]:
    function, targets = FUNCTIONS[name]
    for piece in function.pieces:
        for point in points(piece, name):
            yield piece, arrays(point), [arrays(y) for y in targets]


def inconsistencies(piece: Piece, at: Any, exact: list[Any]) -> list[str]:
    """Say what is not the derivative of what, or which formula does not say what the first does."""
    wrong = []

    def follows(higher: Formula, lower: Formula) -> bool:
        return is_derivative(higher(at, *exact)[0], lambda z: lower(arrays(z), *exact)[0], at[0])

    if not follows(piece.slope[0], piece.value[0]):
        wrong.append(f"the slope at {at[0]} is not the value's derivative")
    if not follows(piece.curvature, piece.slope[0]):
        wrong.append(f"the curvature at {at[0]} is not the slope's derivative")
    for order in (0, 1):
        first, *others = (formula(at, *exact)[0] for formula in piece.formulas(order))
        for i, other in enumerate(others, start=1):
            # Rounded constants are multiplied by z³ at most.
            if abs(other - first) > DIGITS * (1 + abs(at[0])) ** 3:
                wrong.append(f"formula {i} of order {order} at {at[0]} gives {other}, and the first {first}")
    return wrong


@pytest.mark.parametrize("name", FUNCTIONS)
def test_slopes_and_curvatures_are_derivatives_and_formulas_agree(name: str) -> None:
    assert [
        wrong for piece, at, exact in everywhere(name) for wrong in inconsistencies(piece, at, exact)
    ] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_smallest_error_in_a_formula_is_seen(name: str) -> None:
    """A billionth more, in any one place."""
    eps = arb(10) ** -9

    def more(formula: Formula) -> Formula:
        return lambda z, *exact: formula(z, *exact) + eps * z

    for piece, at, exact in everywhere(name):
        values, slopes = list(piece.value), list(piece.slope)
        spoilt = [
            replace(piece, value=[more(values[0]), *values[1:]]),
            replace(piece, curvature=more(piece.curvature)),
        ]
        spoilt += [
            replace(piece, slope=[*slopes[:i], more(slopes[i]), *slopes[i + 1 :]]) for i in range(len(slopes))
        ]
        spoilt += [
            replace(piece, value=[*values[:i], more(values[i]), *values[i + 1 :]])
            for i in range(1, len(values))
        ]
        if at[0] != 0:
            assert all(inconsistencies(bad, at, exact) for bad in spoilt)


# ------------------------------------------------------------------------------------------------------------ kinks

#: The one-sided slopes at every kink; everywhere else that pieces meet, the slopes must meet as well.
JUMPS: dict[str, dict[float, tuple[float | str, float | str]]] = {
    "relu ": {0: (0, 1)},
    "relu6 ": {0: (0, 1), 6: (1, 0)},
    "leaky_relu 0.01": {0: (0.01, 1)},
    "leaky_relu 0.3": {0: (0.3, 1)},
    "elu 0.25": {0: (0.25, 1)},
    "selu ": {0: ("1.7580993408473768599402175208123", "1.0507009873554804934193349852946")},
    "hardtanh ": {-1: (0, 1), 1: (1, 0)},
    "hardsigmoid ": {-3: (0, "0.16666666666666666666666666666666666667"),
                     3: ("0.16666666666666666666666666666666666667", 0)},
    "hardswish ": {-3: (0, -0.5), 3: (1.5, 1)},
    "absolute_error  ": {0: (-1, 1)},
    "hinge  ": {1: (-1, 0)},
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pieces_cover_the_line_are_continuous_and_jump_where_they_should(name: str) -> None:
    function, targets = FUNCTIONS[name]
    exact = [arrays(y) for y in targets]
    assert (function.pieces[0].lo, function.pieces[-1].hi) == (-np.inf, np.inf)
    assert function.kinks == tuple(piece.hi for piece in function.pieces[:-1])
    jumps = dict(JUMPS.get(name, {}))
    for left, right in itertools.pairwise(function.pieces):
        kink = arrays(left.hi)
        before, after = (piece.value[0](kink, *exact)[0] for piece in (left, right))
        assert abs(before - after) < DIGITS
        slopes = [piece.slope[0](kink, *exact)[0] for piece in (left, right)]
        if left.hi in jumps:
            assert all(
                abs(s - arb(known)) < DIGITS for s, known in zip(slopes, jumps.pop(left.hi), strict=True)
            )
        else:
            assert abs(slopes[0] - slopes[1]) < DIGITS
    assert not jumps


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_floats_the_piece_is_found_and_a_kink_goes_to_the_left(name: str) -> None:
    function, targets = FUNCTIONS[name]
    exact = [np.array([y]) for y in targets]
    for piece in function.pieces:
        for point in (*points(piece, name), *([piece.hi] if np.isfinite(piece.hi) else [])):
            at = np.array([float(point)])
            assert function.value(at, *exact) == piece.value[0](at, *exact)
            assert function.slope(at, *exact) == piece.slope[0](at, *exact)


# ------------------------------------------------------------------------------------------------------ definitions


def _clip(z: Any, lo: Any, hi: Any) -> Any:
    return min(max(z, arb(lo)), arb(hi))


def _log_sum_exp(z: Any) -> Any:
    return sum(x.exp() for x in z).log()


def _logistic(z: Any) -> Any:
    return 1 / (1 + (-z).exp())


def _softplus(z: Any) -> Any:
    return (1 + z.exp()).log()


_SELU_SCALE, _SELU_ALPHA = "1.0507009873554804934193349852946", "1.6732632423543772848170429916717"

#: What DESIGN.md and the literature say that σ is.
DEFINITIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda z: z,
    "sigmoid": _logistic,
    "tanh": lambda z: (z.exp() - (-z).exp()) / (z.exp() + (-z).exp()),
    "relu": lambda z: max(z, arb(0)),
    "relu6": lambda z: _clip(z, 0, 6),
    "leaky_relu": lambda z, alpha: z if z > 0 else alpha * z,
    "elu": lambda z, alpha: z if z > 0 else alpha * (z.exp() - 1),
    "celu": lambda z, alpha: max(z, arb(0)) + min(arb(0), alpha * ((z / alpha).exp() - 1)),
    "selu": lambda z: arb(_SELU_SCALE) * (z if z > 0 else arb(_SELU_ALPHA) * (z.exp() - 1)),
    "gelu": lambda z: z * (1 + (z / arb(2).sqrt()).erf()) / 2,
    "gelu_tanh": lambda z: z / 2 * (1 + ((2 / arb.pi()).sqrt() * (z + arb("0.044715") * z**3)).tanh()),
    "silu": lambda z: z * _logistic(z),
    "mish": lambda z: z * _softplus(z).tanh(),
    "softplus": _softplus,
    "softsign": lambda z: z / (1 + abs(z)),
    "hardtanh": lambda z: _clip(z, -1, 1),
    "hardsigmoid": lambda z: _clip(z / 6 + arb("0.5"), 0, 1),
    "hardswish": lambda z: z * _clip(z + 3, 0, 6) / 6,
    "log_sigmoid": lambda z: _logistic(z).log(),
}


@pytest.mark.parametrize("layer", ELEMENTWISE, ids=str)
def test_an_activation_is_what_it_is_called(layer: Layer) -> None:
    for z in (-37.0, -6.5, -3.25, -2.0, -0.75, -(2.0**-30), 2.0**-30, 0.75, 2.0, 3.25, 6.5, 37.0):
        parameter = () if layer.alpha is None else (arb(layer.alpha),)
        defined = DEFINITIONS[layer.activation](arb(z), *parameter)
        given = activation(layer).value(arrays(z))[0]
        assert abs(given - defined) <= DIGITS * (1 + abs(defined))


def _xlogx(y: Any) -> Any:
    return y * y.log() if y > 0 else arb(0)


def _huber(r: Any, delta: Any) -> Any:
    return r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)


def _of_pairs(term: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, y, *delta: sum(term(a_j, y_j, *delta) for a_j, y_j in zip(a, y, strict=True))


#: The table of costs in DESIGN.md, for one example.
COST_DEFINITIONS: dict[str, Callable[..., Any]] = {
    "half_squared_error": _of_pairs(lambda a, y: (a - y) ** 2 / 2),
    "squared_error": _of_pairs(lambda a, y: (a - y) ** 2),
    "absolute_error": _of_pairs(lambda a, y: abs(a - y)),
    "huber": _of_pairs(lambda a, y, delta: _huber(a - y, delta)),
    "log_cosh": _of_pairs(lambda a, y: (a - y).cosh().log()),
    "hinge": _of_pairs(lambda a, y: max(arb(0), 1 - y * a)),
    "squared_hinge": _of_pairs(lambda a, y: max(arb(0), 1 - y * a) ** 2),
    "binary_cross_entropy": _of_pairs(lambda a, y: -(y * a.log() + (1 - y) * (1 - a).log())),
    "binary_cross_entropy_with_logits": _of_pairs(
        lambda a, y: -(y * _logistic(a).log() + (1 - y) * (1 - _logistic(a)).log())
    ),
    "cross_entropy": _of_pairs(lambda a, y: -y * a.log()),
    "softmax_cross_entropy": lambda a, y: (
        -sum(y_j * (a_j - _log_sum_exp(a)) for a_j, y_j in zip(a, y, strict=True))
    ),
    "negative_log_likelihood": _of_pairs(lambda a, y: -y * a),
    "kl_divergence": _of_pairs(lambda a, y: _xlogx(y) - y * a),
    "poisson": _of_pairs(lambda a, y: a.exp() - y * a),
}

_PROBABLE = [[0.125, 0.75, 0.5], [0.9, 2.0**-20, 0.25]]
_REAL = [[-0.75, 2.5, 0.3], [1.75, -6.0, -0.0625]]
_SHARES = [[0.0, 0.75, 0.5], [1.0, 0.25, 0.0]]  # of a distribution, but not summing to 1
_TARGETS = {"hinge": [[1, -1, 1], [-1, -1, 1]], "squared_hinge": [[1, -1, 1], [-1, -1, 1]]} | {
    name: _SHARES
    for name in COSTS
    if "entropy" in name or name in ("negative_log_likelihood", "kl_divergence")
}


def outputs_and_targets(cost: str) -> tuple[Any, Any]:
    outputs = _PROBABLE if cost in ("binary_cross_entropy", "cross_entropy") else _REAL
    return matrix(outputs), matrix(_TARGETS.get(cost, [[0.5, -1.0, 0.25], [2.0, 0.0, 3.0]]))


ALL_COSTS = [*map(Cost, COSTS), Cost("huber", 0.5)]


@pytest.mark.parametrize("cost", ALL_COSTS, ids=str)
def test_a_cost_is_what_it_is_called(cost: Cost) -> None:
    a, y = outputs_and_targets(cost.name)
    parameter = () if cost.delta is None else (arb(cost.delta),)
    defined = sum(COST_DEFINITIONS[cost.name](*rows, *parameter) for rows in zip(a, y, strict=True))
    assert abs(cost_function(cost).value(a, y) - defined) <= DIGITS * (1 + abs(defined))


def not_derivatives(value: Callable[[Any], Any], gradient: Any, at: Any) -> list[tuple[int, ...]]:
    """Where a gradient is not the derivative of the value."""

    def moved(index: tuple[int, ...], x: Any) -> Any:
        there = at.copy()
        there[index] = x
        return value(there)

    return [
        index
        for index in np.ndindex(*at.shape)
        if not is_derivative(gradient[index], lambda x, index=index: moved(index, x), at[index])  # type: ignore[misc]
    ]


@pytest.mark.parametrize("cost", ALL_COSTS, ids=str)
def test_the_gradient_of_a_cost_is_its_derivative(cost: Cost) -> None:
    a, y = outputs_and_targets(cost.name)
    function = cost_function(cost)
    gradient = function.gradient(a, y)
    assert not_derivatives(lambda outputs: function.value(outputs, y), gradient, a) == []
    wrong = not_derivatives(lambda outputs: function.value(outputs, y), -gradient + arb(10) ** -9, a)
    assert len(wrong) == a.size


# ---------------------------------------------------------------------------------- the activations that are coupled


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_coupled_activation_is_what_it_is_called(name: str) -> None:
    z = matrix([[0.3, -1.5, 2.0], [-40.0, 0.0, 30.0]])
    given = activation(Layer(3, name)).value(z)
    for i, j in np.ndindex(*z.shape):
        log_softmax = z[i, j] - _log_sum_exp(z[i])
        assert given[i, j].overlaps(log_softmax if name == "log_softmax" else log_softmax.exp())


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_the_vjp_of_a_coupled_activation_is_a_derivative(name: str) -> None:
    sigma = activation(Layer(3, name))
    assert isinstance(sigma, Coupled)
    z, upstream = matrix([[0.3, -1.5, 2.0], [-4.0, 0.0, 3.0]]), matrix([[1.0, -0.5, 2.0], [0.0, 3.0, -1.0]])

    def weighted(there: Any) -> Any:
        return (upstream * sigma.value(there)).sum()

    assert not_derivatives(weighted, sigma.vjp(upstream, z), z) == []
    diagonal = upstream * (sigma.value(z) * (1 - sigma.value(z)))  # a favourite mistake
    assert not_derivatives(weighted, diagonal, z) != []
