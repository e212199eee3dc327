"""Each activation and cost against its definition and against itself, in 300-bit arithmetic.

The value is what the formula says that people read; the slope is the derivative of the value and the curvature that of
the slope; the formulas of one list say the same; pieces meet where they should. A central difference is off by
c h² + O(h⁴): at h it is three times nearer to the derivative than to the difference at 2h.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import flint
import numpy as np
import pytest
from flint import arb
from gradparity import Architecture, Case, Gradients, Parameters, judge
from gradparity.reference.activations import ACTIVATION_ROWS, Elementwise, activation
from gradparity.reference.costs import COST_ROWS, cost_function
from gradparity.reference.coupled import Coupled
from gradparity.reference.functions.formula import mathml, slope_mathml
from gradparity.reference.functions.row import CostRow, Row, Targets
from gradparity.reference.network import DTYPES, Cost, Layer
from gradparity.reference.scalar import Formula, Piece, Scalar

from .formulas import evaluated

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
    """Return a central difference, and how far it may be from the derivative."""
    near, far = ((function(at + h) - function(at - h)) / (2 * h) for h in (STEP, 2 * STEP))
    return near, abs(near - far) + DIGITS * (1 + abs(near))


def is_derivative(slope: Any, function: Callable[[Any], Any], at: Any) -> bool:
    near, off = derivative(function, at)
    return not abs(slope - near) > off


# ------------------------------------------------------------------------------------------- the scalar functions


def drawn(row: Row) -> list[tuple[float, ...]]:
    """Return the values that a campaign draws for a function's parameters."""
    return list(itertools.product(*(one.drawn for one in row.parameters)))


LAYERS = [Layer(1, name, *values) for name, row in ACTIVATION_ROWS.items() for values in drawn(row)]
ELEMENTWISE = [layer for layer in LAYERS if not ACTIVATION_ROWS[layer.activation].coupled]
ALL_COSTS = [Cost(name, *values) for name, row in COST_ROWS.items() for values in drawn(row)]


class Function(NamedTuple):
    """A scalar function, the row and the parameters that it is made from, and the targets that its formulas take."""

    row: Row
    parameters: tuple[float, ...]
    scalar: Scalar
    targets: tuple[float, ...] = ()


def scalars(cost: Cost) -> list[Scalar]:
    """Return the scalar functions that a cost is made of."""
    cells = cost_function(cost).value.__closure__ or ()
    return [cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Scalar)]


def functions() -> Iterator[Function]:
    for layer in ELEMENTWISE:
        sigma = activation(layer)
        assert isinstance(sigma, Elementwise)
        yield Function(ACTIVATION_ROWS[layer.activation], layer.parameters, sigma.scalar)
    for cost in ALL_COSTS:
        row = COST_ROWS[cost.name]
        mixed = row.targets is Targets.PROBABILITIES  # these are no functions of a residual or of a margin
        for scalar in scalars(cost):
            for targets in ((0.0,), (0.25,), (1.0,)) if mixed else ((),):
                yield Function(row, cost.parameters, scalar, targets)


FUNCTIONS = {" ".join(map(str, (one.row.name, *one.parameters, *one.targets))): one for one in functions()}


def points(piece: Piece, name: str) -> list[float]:
    """Points inside a piece: near its ends, in the middle, and far out."""
    row = FUNCTIONS[name].row
    lo, hi = (0.0, 1.0) if isinstance(row, CostRow) and row.on_probabilities else (-np.inf, np.inf)
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
    function = FUNCTIONS[name]
    for piece in function.scalar.pieces:
        for point in points(piece, name):
            yield piece, arrays(point), [arrays(y) for y in function.targets]


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

_SIXTH = "0.16666666666666666666666666666666666667"
_SELU = ("1.7580993408473768599402175208123", "1.0507009873554804934193349852946")

#: The one-sided slopes at every kink, by the parameters; everywhere else that pieces meet, the slopes must meet too.
JUMPS: dict[str, Callable[..., dict[float, tuple[float | str, float | str]]]] = {
    "relu": lambda: {0: (0, 1)},
    "relu6": lambda: {0: (0, 1), 6: (1, 0)},
    "leaky_relu": lambda alpha: {0: (alpha, 1)},
    "elu": lambda alpha: {0: (alpha, 1)},
    "selu": lambda: {0: _SELU},
    "hardtanh": lambda: {-1: (0, 1), 1: (1, 0)},
    "hardsigmoid": lambda: {-3: (0, _SIXTH), 3: (_SIXTH, 0)},
    "hardswish": lambda: {-3: (0, -0.5), 3: (1.5, 1)},
    "absolute_error": lambda: {0: (-1, 1)},
    "hinge": lambda: {1: (-1, 0)},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pieces_cover_the_line_are_continuous_and_jump_where_they_should(name: str) -> None:
    row, parameters, function, targets = FUNCTIONS[name]
    exact = [arrays(y) for y in targets]
    assert (function.pieces[0].lo, function.pieces[-1].hi) == (-np.inf, np.inf)
    assert function.kinks == tuple(piece.hi for piece in function.pieces[:-1])
    jumps = JUMPS[row.name](*parameters) if row.name in JUMPS else {}
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
    _, _, function, targets = FUNCTIONS[name]
    exact = [np.array([y]) for y in targets]
    for piece in function.pieces:
        for point in (*points(piece, name), *([piece.hi] if np.isfinite(piece.hi) else [])):
            at = np.array([float(point)])
            assert function.value(at, *exact) == piece.value[0](at, *exact)
            assert function.slope(at, *exact) == piece.slope[0](at, *exact)


# ------------------------------------------------------------------------------------------------------ definitions


def near(given: Any, defined: Any) -> bool:
    return all(
        abs(one - other) <= DIGITS * (1 + abs(other))
        for one, other in zip(np.ravel(given), np.ravel(defined), strict=True)
    )


AWAY_FROM_KINKS = (-37.0, -6.5, -3.25, -2.0, -0.75, -(2.0**-30), 2.0**-30, 0.75, 2.0, 3.25, 6.5, 37.0)


@pytest.mark.parametrize("layer", ELEMENTWISE, ids=str)
def test_an_activation_is_what_its_formula_says(layer: Layer) -> None:
    row, z = ACTIVATION_ROWS[layer.activation], arrays(*AWAY_FROM_KINKS)
    sigma = activation(layer)
    assert near(sigma.value(z), evaluated(row.formula, row, layer.parameters, z=z) + 0 * z)
    if row.slope:
        assert near(sigma.vjp(1, z), evaluated(row.slope, row, layer.parameters, z=z) + 0 * z)


_PROBABLE = [[0.125, 0.75, 0.5], [0.9, 2.0**-20, 0.25]]
_REAL = [[-0.75, 2.5, 0.3], [1.75, -6.0, -0.0625]]
_SHARES = [[0.0, 0.75, 0.5], [1.0, 0.25, 0.0]]  # of a distribution, but not summing to 1
_TARGETS = {
    Targets.SIGNS: [[1, -1, 1], [-1, -1, 1]],
    Targets.PROBABILITIES: _SHARES,
    Targets.DISTRIBUTIONS: _SHARES,
}


def outputs_and_targets(cost: str) -> tuple[Any, Any]:
    row = COST_ROWS[cost]
    outputs = _PROBABLE if row.on_probabilities else _REAL
    return matrix(outputs), matrix(_TARGETS.get(row.targets, [[0.5, -1.0, 0.25], [2.0, 0.0, 3.0]]))


@pytest.mark.parametrize("cost", ALL_COSTS, ids=str)
def test_a_cost_is_what_its_formula_says(cost: Cost) -> None:
    (a, y), row, function = outputs_and_targets(cost.name), COST_ROWS[cost.name], cost_function(cost)
    defined = sum(
        evaluated(row.formula, row, cost.parameters, a=one, y=of_it) for one, of_it in zip(a, y, strict=True)
    )
    assert near(function.value(a, y), defined)
    for one, of_it in zip(a, y, strict=True) if row.slope else ():
        slope = evaluated(row.slope, row, cost.parameters, a=one, y=of_it)
        assert near(function.gradient(one[None], of_it[None]), slope + 0 * one)


def test_a_wrong_formula_would_be_noticed() -> None:
    row, z = ACTIVATION_ROWS["elu"], arrays(*AWAY_FROM_KINKS)
    assert not near(
        activation(Layer(1, "elu", 0.25)).value(z), evaluated("z if z > 0 else exp(z) - 1", row, (0.25,), z=z)
    )


@pytest.mark.parametrize("row", [*ACTIVATION_ROWS.values(), *COST_ROWS.values()], ids=lambda row: row.name)
def test_what_people_read_is_a_sentence_and_mathml(row: Row) -> None:
    assert re.fullmatch(r"[A-Za-z][^\n]*\.", row.says)
    for written in filter(None, (mathml(row), slope_mathml(row))):
        assert ElementTree.fromstring(written).tag == "{http://www.w3.org/1998/Math/MathML}math"


def test_a_formula_is_written_as_people_write_it() -> None:
    """Parentheses where they are needed and nowhere else, and an index of its own for each sum."""
    read = {name: "".join(ElementTree.fromstring(mathml(COST_ROWS[name])).itertext()) for name in COST_ROWS}
    assert read["poisson"] == "C=∑j(eaj-yj\u2062aj)"
    assert read["softmax_cross_entropy"] == "C=-∑jyj\u2062log\u2061(eaj∑keak)"
    assert read["huber"] == "C=∑j{12\u2062(aj-yj)2if |aj-yj|≤δδ\u2062(|aj-yj|-12\u2062δ)otherwise"


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


COUPLED = [name for name, row in ACTIVATION_ROWS.items() if row.coupled]


@pytest.mark.parametrize("name", COUPLED)
def test_a_coupled_activation_is_what_its_formula_says(name: str) -> None:
    z, row = matrix([[0.3, -1.5, 2.0], [-40.0, 0.0, 30.0]]), ACTIVATION_ROWS[name]
    for given, one in zip(activation(Layer(3, name)).value(z), z, strict=True):
        assert near(given, evaluated(row.formula, row, row.defaults, z=one))


@pytest.mark.parametrize("name", COUPLED)
def test_the_vjp_of_a_coupled_activation_is_a_derivative(name: str) -> None:
    sigma = activation(Layer(3, name))
    assert isinstance(sigma, Coupled)
    z, upstream = matrix([[0.3, -1.5, 2.0], [-4.0, 0.0, 3.0]]), matrix([[1.0, -0.5, 2.0], [0.0, 3.0, -1.0]])

    def weighted(there: Any) -> Any:
        return (upstream * sigma.value(there)).sum()

    assert not_derivatives(weighted, sigma.vjp(upstream, z), z) == []
    diagonal = upstream * (sigma.value(z) * (1 - sigma.value(z)))  # a favourite mistake
    assert not_derivatives(weighted, diagonal, z) != []


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("beta", [0.21, 0.42, 0.77, 1.345, 7.1])
def test_smooth_l1_may_be_huber_over_beta(beta: float, precision: str) -> None:
    """Then its slope beyond beta is 1 / beta times beta, which is not always 1."""
    rng, dtype = np.random.default_rng(int(100 * beta)), DTYPES[precision]
    r = (rng.uniform(-3, 3, (1, 256)) * beta).astype(dtype)  # a power of two, so that nothing need be rounded
    network = Architecture(1, (Layer(256, "identity"),), Cost("smooth_l1", beta), "sum")
    parameters = Parameters((np.ascontiguousarray(r.T),), (np.zeros(256, dtype),))
    asked = Case(network, parameters, np.ones((1, 1), dtype), np.zeros((1, 256), dtype), precision)
    b = dtype.type(beta)
    slope = np.clip(r, -b, b) * (dtype.type(1) / b)
    assert not judge(asked, Gradients([slope.T.copy()], [slope[0]], None, [slope], [r], [r])).blamed
    wrong = slope * dtype.type(1 + 64 * np.finfo(dtype).eps)
    assert judge(asked, Gradients([wrong.T.copy()], [wrong[0]], None, [wrong], [r], [r])).blamed
