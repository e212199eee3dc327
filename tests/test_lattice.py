"""Is what a lattice calls certain really the same in every correct implementation, and nothing else?"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from gradparity.adapters.modes import MODES
from gradparity.adapters.reference import Reference
from gradparity.adapters.registry import available
from gradparity.harness.workers import Worker
from gradparity.property_tests.lattices import (
    APART,
    EXACT_ACTIVATIONS,
    EXACT_COSTS,
    TIED,
    LatticeStructure,
    lattice_case,
    lattice_structure_at,
    lattice_structures,
)
from gradparity.property_tests.regimes import BY_NAME, REGIMES, case
from gradparity.reference.activations import ACTIVATION_ROWS, Elementwise, activation
from gradparity.reference.backprop import backprop
from gradparity.reference.exact import exact_gradients
from gradparity.reference.network import (
    COSTS,
    DTYPES,
    Architecture,
    Array,
    Case,
    Cost,
    Layer,
    Parameters,
)
from gradparity.reference.number import Axes, Carried
from gradparity.reference.rounding.lattice import Grid, Lattice, lattice, quantum
from gradparity.reference.scalar import Scalar
from hypothesis import given, settings
from hypothesis import strategies as st

INSTALLED = [
    one.name
    for one in available()
    if one.missing is None and one.name != "reference" and not MODES[one.name].expensive
]
gate = settings(max_examples=25, deadline=None, database=None, derandomize=True)
precisions = pytest.mark.parametrize("precision", DTYPES)
PLAIN = Architecture(2, (Layer(2, "relu"), Layer(2, "identity")), Cost("half_squared_error"))


def grid(precision: str) -> Grid:
    return Grid.of(DTYPES[precision])


def row(precision: str, *values: float) -> Lattice:
    return Lattice.exact(grid(precision), np.array([values]))


def whole(found: dict[str, Lattice]) -> bool:
    return bool(found) and all(one.certain.all() for one in found.values())


def mismatches(found: dict[str, Lattice], answer: dict[str, Array]) -> list[str]:
    """Name the arrays of an answer in which a component that is certain is something else."""
    return [
        name
        for name, one in found.items()
        if name in answer
        and not np.array_equal(answer[name].astype(np.float64)[one.certain], one.value[one.certain])
    ]


# --------------------------------------------------------------------------------------------------- quanta


@gate
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_quantum_is_the_largest_power_of_two_that_divides(value: float) -> None:
    q = quantum(np.array([value]))[0]
    if value == 0:
        assert q == np.inf
    else:
        assert (Fraction(value) / Fraction(2) ** int(q)) % 2 == 1


@precisions
def test_a_precision_has_as_many_bits_as_its_type(precision: str) -> None:
    p, dtype = grid(precision).bits, DTYPES[precision].type
    assert float(dtype(2.0**p - 1)) == 2.0**p - 1
    if p < 53:
        assert float(dtype(2.0**p + 1)) != 2.0**p + 1
    assert row(precision, 2.0**p - 1, 1 + 2.0 ** (1 - p)).certain.all()
    assert p == 53 or not row(precision, 2.0**p + 1, 1 + 2.0**-p).certain.any()


# ------------------------------------------------------------------------------- certainty is refused when it must be


@precisions
def test_one_bit_more_is_not_certain(precision: str) -> None:
    p = grid(precision).bits
    most = row(precision, 2.0 ** (p - 1), 2.0 ** (p - 1) - 1)
    ones = row(precision, 1.0, 1.0)
    for fits in (most.sum(), most @ ones.mT, ones * most, row(precision, 2.0**p - 2) + 1):
        assert fits.certain.all()
    over = row(precision, 2.0 ** (p - 1), 2.0 ** (p - 1) - 1, 2)
    three = row(precision, 1.0, 1.0, 1.0)
    half = 2.0 ** ((p + 1) // 2) + 1  # whose square has more than p bits
    for one in (over.sum(), over @ three.mT, row(precision, 2.0**p - 1) + 2, row(precision, half) * half):
        assert not one.certain.any()


@precisions
def test_a_sum_that_only_some_order_gets_right_is_not_certain(precision: str) -> None:
    p = grid(precision).bits
    cancelling = row(precision, 2.0**p, 1.0, -(2.0**p))
    assert not cancelling.sum().certain.any()
    assert not (cancelling @ row(precision, 1, 1, 1).mT).certain.any()
    # The bias may be added at any place of the sum.
    product = row(precision, 2.0**p, -(2.0**p)) @ row(precision, 1, 1).mT
    assert product.certain.all()
    assert not (product + 1).certain.any()
    # And its terms may be finer than what is left of them.
    nothing = row(precision, 1, -1) @ row(precision, 1, 1).mT
    assert (nothing + 2.0 ** (p - 1)).certain.all()
    assert not (nothing + 2.0**p).certain.any()


@precisions
def test_a_quantum_below_the_smallest_normal_number_is_not_certain(precision: str) -> None:
    smallest = float(ml_dtypes.finfo(DTYPES[precision]).smallest_normal)
    assert row(precision, smallest, 3 * smallest).certain.all()
    assert not row(precision, smallest / 2, 1.5 * smallest).certain.any()
    assert not (row(precision, smallest) * 0.5).certain.any()
    assert not row(precision, smallest).divided(2).certain.any()
    assert (row(precision, smallest * 2).sum() + -2 * smallest).certain.all()


@precisions
def test_what_may_overflow_is_not_certain(precision: str) -> None:
    large = 2.0 ** (
        ml_dtypes.finfo(DTYPES[precision]).maxexp - 2
    )  # twice as much would be representable, just
    assert row(precision, large).certain.all()
    for one in (
        row(precision, large) * 2,
        row(precision, large, large, -large).sum(),
        row(precision, np.inf, np.nan),
    ):
        assert not one.certain.any()
        assert np.isinf(one.size).all()
    upstream = row(precision, large)
    assert not (upstream * 0.5).in_any_order(upstream, 2.0, np.full((1, 1), 4.0)).certain.any()


@precisions
def test_only_powers_of_two_divide_exactly(precision: str) -> None:
    six = row(precision, 6.0)
    assert [bool(six.divided(m).certain.all()) for m in (1, 2, 3, 4, 6, 8)] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]
    assert (six / 4).certain.all()
    assert (1 / row(precision, 4.0)).value == 0.25
    assert not (six / 3).certain.any()
    assert not (six / 0).certain.any()
    # A mean that was divided term by term has finer quanta than the sum that is divided at its end.
    smallest = float(ml_dtypes.finfo(DTYPES[precision]).smallest_normal)
    assert not row(precision, smallest, smallest).sum().divided(2).certain.any()


@precisions
def test_nothing_times_what_may_be_infinite_is_not_nothing(precision: str) -> None:
    unknown, zero = row(precision, 1.0).exp(), row(precision, 0.0)
    for one in (unknown * zero, zero * unknown, zero @ unknown, unknown @ zero):
        assert not one.certain.any()
    bounded = row(precision, 1.0) * Lattice.exact(grid(precision), np.array([[0.1]]))
    assert grid(precision).bits == 53 or not bounded.certain.any()
    assert (bounded * zero).certain.all()
    assert (bounded @ zero).certain.all()


#: σ, z, and whether the value and the slope are certain.
AT = [
    (Layer(1, "relu"), 0.0, True, False),
    (Layer(1, "relu"), 0.5, True, True),
    (Layer(1, "relu6"), 6.0, True, False),
    (Layer(1, "leaky_relu", 0.25), -3.0, True, True),
    (Layer(1, "leaky_relu", 0.25), 0.0, True, False),
    (Layer(1, "leaky_relu", 1.0), 0.0, True, True),
    (Layer(1, "leaky_relu", 0.01), -3.0, False, False),
    (Layer(1, "leaky_relu", 0.01), 3.0, True, True),
    (Layer(1, "hardtanh"), -1.0, True, False),
    (Layer(1, "hardtanh"), 7.0, True, True),
    (Layer(1, "hardsigmoid"), 1.0, False, False),
    (Layer(1, "hardsigmoid"), -4.0, True, True),
    (Layer(1, "elu"), -1.0, False, False),
    (Layer(1, "elu"), 2.0, True, True),
    (Layer(1, "selu"), 2.0, False, False),
    (Layer(1, "sigmoid"), 0.0, False, False),
    (Layer(1, "tanh"), 0.0, False, False),
    (Layer(1, "gelu"), 0.0, False, False),
    (Layer(1, "softmax"), 0.0, False, False),
]


@pytest.mark.parametrize(("layer", "z", "value", "steepness"), AT, ids=str)
def test_a_value_is_certain_on_a_kink_and_a_slope_beside_it(
    layer: Layer, z: float, value: bool, steepness: bool
) -> None:
    sigma, at = activation(layer), row("float32", z)
    assert bool(sigma.value(at).certain.all()) == value
    assert bool(sigma.vjp(row("float32", 1.0), at).certain.all()) == steepness
    if isinstance(sigma, Elementwise) and sigma.kinks and value:
        assert sigma.vjp(row("float32", 0.0), at).zero.all(), "nothing times either slope is nothing"


@precisions
def test_all_formulas_have_to_be_exact(precision: str) -> None:
    """Huber's slope within delta is r; or delta + (r - delta), which loses what is far below delta."""
    p, network = grid(precision).bits, Architecture(1, (Layer(1, "identity"),), Cost("huber"))
    for r, certain in ((2.0 ** (3 - p), True), (2.0 ** (-1 - p), False)):
        arrays = given_arrays(precision, [[1.0]], [0.0], [[r]], [[0.0]])
        assert bool(lattice(Case(network, *arrays, precision))["delta1"].certain.all()) == certain


@precisions
def test_a_mean_over_the_outputs_on_the_way_may_underflow_or_overflow(precision: str) -> None:
    narrow, wide = (Grid.of(DTYPES[precision], *sizes) for sizes in ((4, 8), (1, 1)))
    assert narrow.least == wide.least + 3
    assert narrow.largest == wide.largest / 32


@precisions
def test_what_is_not_certain_is_bounded(precision: str) -> None:
    third = 1.5 * (row(precision, 2.0**-20 if precision != "float16" else 2.0**-6) / 3)
    assert 0 < third.size.item() < 1
    lost = row(precision, 2.0 ** grid(precision).bits) + 1
    assert not lost.certain.any()
    assert lost.size.item() > 2.0 ** grid(precision).bits + 1


@precisions
def test_a_constant_that_has_to_be_rounded_is_not_certain(precision: str) -> None:
    """Nor is what depends on a z that is not."""
    selu, relu = activation(Layer(1, "selu")), activation(Layer(1, "relu"))
    assert isinstance(selu, Elementwise)
    assert isinstance(relu, Elementwise)
    assert not selu.scalar.slope(row(precision, 2.0)).certain.any()
    assert row(precision, 1.0).constant(0.75, 0.0).certain.all()
    rounded = row(precision, 1.0) / 3
    assert np.isfinite(rounded.size).all()
    for one in (relu.scalar.slope(rounded), relu.value(rounded)):
        assert not one.certain.any()
        assert np.isinf(one.size).all()


@precisions
def test_beside_a_kink_an_implementation_may_round_across_it(precision: str) -> None:
    """It may compare z/6 + 1/2 with 1, say; what lies within 4 units of u of a kink is in both pieces."""
    p, hardtanh = grid(precision).bits, activation(Layer(1, "hardtanh"))
    assert not hardtanh.value(row(precision, 1 - 2.0**-p)).certain.any()
    assert hardtanh.value(row(precision, 1 - 2.0 ** (3 - p))).certain.all()


def test_pieces_that_meet_smoothly_are_certain_where_they_do() -> None:
    """Huber's and the squared hinge's slopes have no step; the absolute error's does."""
    y = np.array([[1.0]])
    for cost, a, certain in (("huber", 2.0, True), ("squared_hinge", 1.0, True), ("hinge", 1.0, False),
                             ("absolute_error", 1.0, False), ("absolute_error", 2.0, True)):  # fmt: skip
        network = Architecture(1, (Layer(1, "identity"),), Cost(cost))
        found = lattice(Case(network, Parameters((y,), (0 * y[0],)), np.array([[a]]), y))
        assert bool(found["delta1"].certain.all()) == certain, cost
        assert found["cost"].certain.all()


@precisions
@pytest.mark.parametrize("spoil", ["batch", "outputs", "bits"])
def test_a_whole_case_is_refused_where_it_must_be(spoil: str, precision: str) -> None:
    def asked(m: int, outputs: int, x: float) -> dict[str, Lattice]:
        network = Architecture(1, (Layer(outputs, "identity"),), Cost("half_squared_error"))
        arrays = (np.ones((outputs, 1)), np.ones(outputs), np.full((m, 1), x), np.zeros((m, outputs)))
        W, b, x_, y = (array.astype(DTYPES[precision]) for array in arrays)
        return lattice(Case(network, Parameters((W,), (b,)), x_, y, precision))

    assert whole(asked(2, 2, 2.0))
    if spoil == "bits":
        assert asked(2, 2, 2.0 ** grid(precision).bits) == {}
        return
    spoilt = asked(3, 2, 2.0) if spoil == "batch" else asked(2, 3, 2.0)
    assert spoilt["a1"].certain.all()
    for name in ("delta1", "dW1", "db1", "cost"):
        assert not spoilt[name].certain.any()


@precisions
@pytest.mark.parametrize(
    "regime", [one.name for one in REGIMES if one.name not in ("kinks", "zeros", "integers")]
)
def test_random_numbers_are_given_up_at_once(regime: str, precision: str) -> None:
    network = Architecture(9, (Layer(9, "relu"),) * 3, Cost("half_squared_error"))
    assert lattice(case(network, 8, BY_NAME[regime], 1, precision)) == {}


# ------------------------------------------------------------------------------------- certain values are the truth


@precisions
@gate
@given(structure=lattice_structures(), index=st.integers(0, 7))
def test_what_is_certain_is_what_arbitrary_precision_says(
    structure: LatticeStructure, index: int, precision: str
) -> None:
    asked = next(itertools.islice(structure.cases(precision), index, None))
    exact = exact_gradients(asked)
    for name, one in lattice(asked).items():
        for value, truth in zip(one.value[one.certain], np.asarray(exact[name])[one.certain], strict=True):
            assert truth.is_exact() and truth == float(value), name


class Careless(Carried):
    """An array whose every operation rounds to the precision, in whatever order and form the dice say."""

    rng: np.random.Generator
    model = Grid(0, 0, 0)  # only so that a constant may be asked for

    def __init__(self, value: Array, products: list[Array] | None = None) -> None:
        self.value, self.products = value, products

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def size(self) -> Array:
        return np.abs(self.value).astype(np.float64)

    @property
    def mT(self) -> Careless:
        return type(self)(self.value.T)

    def _of(self, other: Any) -> Array:
        return other.value if isinstance(other, Careless) else np.asarray(other).astype(self.dtype)

    def _added(self, terms: list[Array]) -> Array:
        """Add terms up: shuffled, in blocks, each block in the precision itself or in a wider accumulator."""
        order: list[Array] = [terms[i] for i in self.rng.permutation(len(terms))]
        if len(order) == 1:
            return order[0]
        if self.rng.random() < 0.3:
            cut = int(self.rng.integers(1, len(order)))
            return np.asarray(self._added(order[:cut]) + self._added(order[cut:]))
        wider = np.dtype(np.float32 if self.dtype.itemsize < 4 else np.float64)
        wide = self.dtype if self.rng.random() < 0.5 else wider
        total = order[0].astype(wide)
        for term in order[1:]:
            total = total + term.astype(wide)
        return total.astype(self.dtype)

    def __neg__(self) -> Careless:
        return type(self)(-self.value)

    def __add__(self, other: Any) -> Careless:
        o = self._of(other)
        if self.products is None:
            return type(self)(self.value + o)
        return type(self)(self._added([*self.products, np.broadcast_to(o, self.shape)]))

    def __sub__(self, other: Any) -> Careless:
        return type(self)(self.value - self._of(other))

    def __rsub__(self, other: Any) -> Careless:
        return type(self)(self._of(other) - self.value)

    def __mul__(self, other: Any) -> Careless:
        return type(self)(self.value * self._of(other))

    def __truediv__(self, other: Any) -> Careless:
        return type(self)(self.value / self._of(other))

    __radd__, __rmul__ = __add__, __mul__

    def __matmul__(self, other: Any) -> Careless:
        o = self._of(other)
        products = [self.value[:, k : k + 1] * o[None, k] for k in range(o.shape[0])]
        return type(self)(self._added(products), products)

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Careless:
        terms = list(self.value.ravel() if axis is None else np.moveaxis(self.value, axis, 0))
        total = np.asarray(self._added(terms))
        return type(self)(np.expand_dims(total, axis) if keepdims and axis is not None else total)

    def divided(self, m: int) -> Careless:
        by = self.dtype.type(m)
        return type(self)(
            self.value / by if self.rng.random() < 0.5 else self.value * (self.dtype.type(1) / by)
        )

    def in_any_order(
        self, upstream: Careless, amplification: Array | float, growth: Array | float
    ) -> Careless:
        return self

    def constant(self, value: float, err: float) -> Careless:
        return type(self)(np.full(self.shape, value).astype(self.dtype))

    def apply(self, function: Scalar, order: int, exact: Any) -> Careless:
        """Take any formula of any piece; on a kink, anything between the two slopes."""
        result = np.full(self.shape, np.nan).astype(self.dtype)
        for piece in function.pieces:
            formulas = piece.formulas(order)
            found = formulas[int(self.rng.integers(len(formulas)))](self, *exact).value
            met = (self.value >= piece.lo) & (self.value <= piece.hi)
            second = met & ~np.isnan(result.astype(np.float64))
            choice = self.rng.choice([0.0, 0.5, 1.0], self.shape).astype(self.dtype)
            mixed = np.where(
                found == result, found, found * choice + result * (1 - choice).astype(self.dtype)
            )
            result = np.where(second, mixed, np.where(met, found, result))
        return type(self)(result)


def careless_answer(asked: Case, seed: int) -> dict[str, Array]:
    adversary = type("Adversary", (Careless,), {"rng": np.random.default_rng(seed)})
    W, b = (tuple(map(adversary, family)) for family in (asked.parameters.weights, asked.parameters.biases))
    with np.errstate(all="ignore"):
        answer = backprop(asked.architecture, Parameters(W, b), adversary(asked.x), adversary(asked.y))
    return {name: np.asarray(array.value) for name, array in answer.tensors().items()}


@precisions
@gate
@given(structure=lattice_structures(), seed=st.integers(0, 2**32 - 1))
def test_who_adds_in_any_order_and_takes_any_side_of_a_kink_gets_the_same(
    structure: LatticeStructure, seed: int, precision: str
) -> None:
    for asked in structure.cases(precision):
        found = lattice(asked)
        for index in range(3):
            answer = careless_answer(asked, seed + index)
            assert answer["z1"].dtype == DTYPES[precision]
            assert mismatches(found, answer) == []


@precisions
def test_that_adversary_differs_where_nothing_is_certain(precision: str) -> None:
    """On random numbers, and on a kink: its dice are not loaded."""
    network = Architecture(9, (Layer(9, "relu"), Layer(2, "identity")), Cost("half_squared_error"))
    asked = case(network, 9, BY_NAME["ordinary"], 1, precision)
    answers = [careless_answer(asked, seed) for seed in range(9)]
    for name in ("z1", "delta1", "dW1", "db1"):
        assert any(not np.array_equal(one[name], answers[0][name]) for one in answers), name
    tied = Case(
        Architecture(1, (Layer(1, "relu"),), Cost("half_squared_error")),
        *given_arrays(precision, [[1.0]], [-2.0], [[2.0]], [[1.0]]),
        precision,
    )
    assert {float(careless_answer(tied, seed)["delta1"].item()) for seed in range(40)} == {0.0, -0.5, -1.0}
    assert not lattice(tied)["delta1"].certain.any()


def given_arrays(precision: str, W: Any, b: Any, x: Any, y: Any) -> tuple[Parameters, Array, Array]:
    W, b, x, y = (np.array(values).astype(DTYPES[precision]) for values in (W, b, x, y))
    return Parameters((W,), (b,)), x, y


# ---------------------------------------------------------------------------------------------------- the generator


@cache
def structures(count: int) -> list[LatticeStructure]:
    found = [lattice_structure_at(0, index) for index in range(count)]
    return [one for one in found if one is not None]


@precisions
def test_most_draws_are_certain_altogether(precision: str) -> None:
    """Measured, of 400 without ties: 399, 399, 385 and 365 in float64, float32, float16 and bfloat16."""
    count: Counter[tuple[str, bool]] = Counter()
    for structure in structures(50):
        for asked in structure.cases(precision):
            count[asked.regime, whole(lattice(asked))] += 1
    assert count[APART, True] > 0.85 * 200
    assert count[TIED, True] > 0.65 * 200
    assert count[APART, True] + count[APART, False] == count[TIED, True] + count[TIED, False] == 200


def test_without_ties_no_weighted_input_lies_on_a_kink() -> None:
    tied: Counter[str] = Counter()
    for structure in structures(40):
        for asked in structure.cases("float32"):
            answer = Reference().gradients(asked)
            for layer, z in zip(asked.architecture.layers, answer.z or (), strict=True):
                tied[asked.regime] += int(np.isin(z, activation(layer).kinks).sum())
    assert tied[APART] < 0.05 * tied[TIED]


def test_a_draw_depends_on_its_arguments_alone_and_all_costs_come() -> None:
    assert [lattice_structure_at(5, i) for i in range(3)] == [lattice_structure_at(5, i) for i in range(3)]
    costs = {one.architecture.cost.name for one in structures(len(EXACT_COSTS))}
    assert costs == set(EXACT_COSTS)
    assert {layer.activation for one in structures(40) for layer in one.architecture.layers} == set(
        EXACT_ACTIVATIONS
    )
    a, b = (next(structures(1)[0].cases("float32")).id for _ in range(2))
    assert a == b


def test_where_nothing_exact_is_asked_for_there_is_no_draw() -> None:
    assert lattice_structure_at(0, 0, activations=("tanh",)) is None
    assert lattice_structure_at(0, 0, costs=("poisson",)) is None
    only = lattice_structure_at(0, 3, ("tanh", "relu"), ("hinge", "poisson"))
    assert only is not None
    assert {layer.activation for layer in only.architecture.layers} == {"relu"}
    assert only.architecture.cost.name == "hinge"


def test_the_lists_of_what_is_exact_are_complete() -> None:
    """Whatever else there is, no whole answer with it is certain."""

    def certain(layer: Layer, cost: str, y: float = 1.0) -> bool:
        network = Architecture(1, (layer,), Cost(cost))
        arrays = given_arrays("float64", [[1.0]], [0.0], [[-0.75]], [[y]])
        return whole(lattice(Case(network, *arrays, "float64")))

    activations = {
        name
        for name, row in ACTIVATION_ROWS.items()
        if certain(
            Layer(1, name, *[(*one.exact, one.default)[0] for one in row.parameters]), "half_squared_error"
        )
    }
    assert activations == set(EXACT_ACTIVATIONS)
    assert {cost for cost in COSTS if certain(Layer(1, "identity"), cost)} == set(EXACT_COSTS)


# ------------------------------------------------------------------------------------------ a unit in the last place


def whole_case(precision: str, network: Architecture = PLAIN) -> Case:
    drawn = (lattice_case(network, 2, APART, seed, precision) for seed in itertools.count())
    return next(one for one in drawn if whole(lattice(one)) and np.all(lattice(one)["cost"].value != 0))


@precisions
def test_an_answer_one_unit_in_the_last_place_off_anywhere_is_seen(precision: str) -> None:
    asked = whole_case(precision)
    found, answer = lattice(asked), Reference().gradients(asked).tensors()
    assert mismatches(found, answer) == []
    for name, array in answer.items():
        for index in np.ndindex(array.shape):
            for towards in (-np.inf, np.inf):
                spoilt = array.copy()
                spoilt[index] = np.nextafter(array[index], np.array(towards).astype(array.dtype))
                assert mismatches(found, {**answer, name: spoilt}) == [name]


@precisions
def test_the_sign_of_a_zero_is_no_difference(precision: str) -> None:
    asked = whole_case(precision)
    found, answer = lattice(asked), Reference().gradients(asked).tensors()
    assert any((array == 0).any() for array in answer.values())
    signs = {name: np.where(array == 0, -array, array) for name, array in answer.items()}
    assert mismatches(found, signs) == []


# ------------------------------------------------------------------------------------------------------- frameworks


@pytest.fixture(scope="module", params=INSTALLED)
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with Worker(request.param, timeout=60) as started:
        yield started


@cache
def asked_of_everybody(precision: str) -> list[tuple[Case, dict[str, Lattice]]]:
    return [(one, lattice(one)) for structure in structures(7) for one in structure.cases(precision)]


@precisions
def test_frameworks_agree_to_the_last_bit(worker: Worker, precision: str) -> None:
    answers = [worker.submit(one) for one, _ in asked_of_everybody(precision)]
    wrong: list[tuple[str, list[str]]] = []
    compared = 0
    for (one, found), future in zip(asked_of_everybody(precision), answers, strict=True):
        answer = future.result()
        if answer.outcome == "unsupported":
            continue
        assert answer.gradients is not None, answer.message
        compared += sum(int(part.certain.sum()) for part in found.values())
        off = mismatches(found, answer.gradients.tensors())
        if off:
            wrong.append((one.description(), off))
    assert wrong == []
    if compared == 0:
        pytest.skip(f"{worker.name} has no {precision}")
    assert compared > 1000
