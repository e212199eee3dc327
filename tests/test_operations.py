"""Gather, scatter-add, sums and maxima of every kind of number: sound against arbitrary precision, and sharp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flint
import numpy as np
import pytest
from gradparity.adapters.reference import in_its_precision
from gradparity.reference.elementary import constant, gather, in_matrices, in_rows, largest, scatter_add
from gradparity.reference.network import DTYPES, Array
from gradparity.reference.number import Number
from gradparity.reference.rounding.affine import Affine
from gradparity.reference.rounding.balls import Ball
from gradparity.reference.rounding.generators import Symbols
from gradparity.reference.rounding.given import Given
from gradparity.reference.rounding.lattice import Lattice
from gradparity.reference.rounding.leading import Leading
from gradparity.reference.rounding.model import model
from gradparity.reference.rounding.uncancelled import Uncancelled

from .kinds import HOLDING, WIDE, affine, ball, exact, finite, hard, known, lattice, outside, within

precisions = pytest.mark.parametrize("precision", DTYPES)
kinds = pytest.mark.parametrize("kind", HOLDING)
shares = pytest.mark.parametrize("share", [0.0, WIDE])

#: Windows of 3 over 6 numbers and a zero at either end: an inner number is seen three times.
WINDOWS = np.array([[i - 1, i, i + 1 if i < 5 else -1] for i in range(6)])
#: Channels and positions changing places.
TURNED = np.arange(6).reshape(2, 3).T
REPEATED = np.array([[0, 0, 0], [4, -1, 0], [0, 4, 5]])
indices = pytest.mark.parametrize("index", [WINDOWS, TURNED, REPEATED], ids=["windows", "turned", "repeated"])


@pytest.fixture(autouse=True)
def _in_high_precision() -> Iterator[None]:
    with flint.ctx.workprec(400), np.errstate(all="ignore"):
        yield


# ------------------------------------------------------------------------------------------------------ rearrangements


@indices
def test_scatter_add_is_the_adjoint_of_gather(index: Array) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, (4, 6)).astype(float)
    g = rng.integers(-9, 9, (4 * len(index), index.shape[1])).astype(float)
    assert np.vdot(gather(x, index), g) == np.vdot(x, scatter_add(g, index, 6))
    assert np.vdot(gather(x, index), g) != np.vdot(x, scatter_add(g[::-1], index, 6))


def test_gather_is_what_its_name_says() -> None:
    x = np.array([[1.0, 2, 3], [4, 5, 6]])
    index = np.array([[0, -1], [2, 2]])
    assert np.array_equal(np.asarray(gather(x, index)), [[1, 0], [3, 3], [4, 0], [6, 6]])
    stack = np.asarray(gather(np.stack([x, 2 * x]), index))
    assert np.array_equal(stack[1], 2 * stack[0])
    for wrong in (np.array([[3]]), np.array([[-2]])):
        with pytest.raises(IndexError):
            gather(x, wrong)
        with pytest.raises(IndexError):
            scatter_add(x, wrong, 3)


@kinds
@precisions
@shares
@indices
def test_they_hold_the_truth_and_whatever_order_a_machine_sums_in(
    kind: str, precision: str, share: float, index: Array
) -> None:
    rng, dtype = np.random.default_rng(1), DTYPES[precision]
    judged = 0.0
    for _ in range(6):
        x = hard(rng, (3, 6), precision)
        picked = gather(HOLDING[kind](x, precision, share), index)
        found = scatter_add(picked, index, 6)
        moved = within(x, share, rng)
        assert outside(picked, np.asarray(gather(moved, index))) == 0
        assert outside(found, np.asarray(scatter_add(gather(moved, index), index, 6))) == 0
        judged += finite(found)
        if not share:
            for computed in in_every_order(np.asarray(gather(x, index)), index, dtype):
                assert outside(found, computed) == 0
    assert judged > 3


def in_every_order(rows: Array, index: Array, dtype: np.dtype[Any]) -> Iterator[Array]:
    """Scatter in the order of the index, backwards and by chance, and by NumPy's own sum."""
    yield np.asarray(scatter_add(in_its_precision(rows), index, 6))
    places = [(p, k) for p in range(len(index)) for k in range(index.shape[1]) if index[p, k] >= 0]
    rng = np.random.default_rng(2)
    accumulator = np.float32 if dtype.itemsize == 2 else dtype
    for order in (places, places[::-1], [places[i] for i in rng.permutation(len(places))]):
        sums = np.zeros((len(rows) // len(index), 6), accumulator)
        for p, k in order:
            sums[:, index[p, k]] += rows.reshape(len(sums), len(index), -1)[:, p, k].astype(accumulator)
        yield sums.astype(dtype)


@pytest.mark.parametrize("kind", ["ball", "affine"])
def test_a_sum_of_two_reaches_the_edge_and_not_beyond(kind: str) -> None:
    """A tie rounds by u: a bound that is a little narrower would accuse it, and one a little further out is wrong."""
    u = 2.0**-24
    index = np.array([[0, 0]])
    found = scatter_add(HOLDING[kind](np.array([[1.0, u]], np.float32), "float32"), index, 1)
    assert outside(found, np.array([[1.0]])) == 0
    assert outside(found, np.array([[1.0]]), narrowed=0.99) == 1
    assert outside(found, np.array([[1 + 2.5 * u]])) == 1


@kinds
@precisions
def test_rearranging_rounds_nothing(kind: str, precision: str) -> None:
    x = hard(np.random.default_rng(3), (2, 6), precision)
    number = HOLDING[kind](x, precision, WIDE)
    there = gather(number, TURNED)
    back = scatter_add(there, TURNED, 6)
    matrices = in_matrices(there, 3)
    assert isinstance(back, Ball | Affine) and isinstance(matrices, Ball | Affine)
    again = in_rows(matrices)
    assert isinstance(again, Ball | Affine) and isinstance(there, Ball | Affine)
    assert matrices.shape == (2, 3, 2)
    for one, other in ((back, number), (again, there)):
        assert np.array_equal(one.mid, other.mid)
        assert np.array_equal(one.rad, other.rad)


def test_what_nobody_speaks_of_is_zero() -> None:
    for kind, make in HOLDING.items():
        found = scatter_add(make(np.ones((1, 3), np.float32), "bfloat16"), np.array([[0, 0, 2]]), 3)
        assert isinstance(found, Ball | Affine), kind
        assert (found.mid[0, 1], found.rad[0, 1]) == (0, 0)
        assert found.rad[0, 0] > 0


def test_what_is_given_stays_so() -> None:
    one = known(np.ones((2, 6), np.float32), "float32")
    assert isinstance(one, Given)
    assert isinstance(one.gather(WINDOWS), Given)
    assert isinstance(one.gather(WINDOWS).in_matrices(6).in_rows(), Given)
    subnormal = known(np.full((2, 6), 1e-40, np.float32), "float32").gather(WINDOWS)
    assert np.all(subnormal.rad[1] > 0)


def test_a_case_is_bounded_as_it_is_by_itself() -> None:
    """One case of a stack has subnormals, which may be flushed: that is so of it alone."""
    cases = np.ones((2, 4, 6), np.float32)
    cases[1, :, 2] = 1e-40
    stacked = known(cases, "float32")
    assert isinstance(stacked, Given)
    operations: list[Callable[[Ball], Ball]] = [
        lambda x: x.gather(WINDOWS),
        lambda x: x.in_matrices(2),
        lambda x: x.in_matrices(2).in_rows(),
        lambda x: x.in_matrices(2) @ x.in_matrices(2).mT,
        lambda x: x.in_matrices(2).in_rows() @ x.mT,
        lambda x: x.in_matrices(2).sqrt(),
        lambda x: x.in_matrices(2).in_rows().sqrt(),
    ]
    for operation in operations:
        together = operation(stacked)
        for i, case in enumerate(cases):
            assert np.array_equal(together.rad[i], operation(known(case[None], "float32")).rad[0])
        assert not np.array_equal(together.rad[1], together.rad[0])


def test_a_kink_belongs_to_its_case() -> None:
    stack = ball(np.ones((3, 4, 2)), "float32")
    stack.kinked = np.array([False, True, False])
    for one in (
        stack.gather(np.array([[0, 1], [1, -1]])),
        stack.in_matrices(2),
        stack.in_matrices(2).in_rows(),
    ):
        assert np.array_equal(
            np.broadcast_to(np.asarray(one.kinked).reshape(3, -1)[:, 0], 3), [False, True, False]
        )


# --------------------------------------------------------------------------------------------------------- sharpness


def test_symbols_go_through_gather_and_scatter_add() -> None:
    """Each number is seen twice, once with the opposite sign: what it is off cancels, and a ball forgets that."""
    index, signed = np.array([[0, 1], [0, 1]]), np.array([[1.0, 1.0], [-1.0, -1.0]])
    x = np.array([[3.0, 5.0]])
    forms = [
        scatter_add(gather(make(x, "float32", WIDE), index) * signed, index, 2) for make in (affine, ball)
    ]
    form, round_one = (one for one in forms if isinstance(one, Ball | Affine))
    assert np.all(form.rad < 1e-5)
    assert np.all(round_one.rad > 0.05)
    linear = scatter_add(affine(x, "float32", WIDE).gather(index) @ np.eye(2) * signed, index, 2)
    assert isinstance(linear, Affine) and np.all(linear.rad < 1e-5)


def test_rows_of_one_example_do_not_share_the_errors_they_made_themselves() -> None:
    """Two rows' own errors have different symbols: they may not cancel, and the sum holds both."""
    here, nothing = np.ones((2, 1)), np.zeros((2, 0, 1))
    rows = Affine(model("float32"), Symbols(), here, nothing, here / 2, positions=2)._named
    apart = rows * np.array([[1.0], [-1.0]])
    assert np.all(apart.scatter_add(np.array([[0], [0]]), 1).rad >= 1)


def test_symbols_of_other_examples_mean_something_else() -> None:
    """Rows that never were one example's are added up as if nothing were known of them together."""
    x = affine(np.array([[1.0], [1.0]]), "float32", WIDE) * np.array([[1.0], [-1.0]])
    found = scatter_add(x, np.array([[0], [0]]), 1)
    assert isinstance(found, Affine) and found.rad >= 2 * WIDE
    matrix = in_matrices(x, 2)
    assert isinstance(matrix, Affine) and matrix.sum(axis=-2).rad >= 2 * WIDE
    there, here = (
        affine(np.ones((2, 1)), "float32", WIDE),
        affine(np.ones((1, 1)), "float32", WIDE).gather(np.array([[0], [0]])),
    )
    for both in (there - here, there + -here, there * here - here, here / there - 1):
        assert np.all(both.rad >= 1.9 * WIDE)
    # Neither what is exact, nor what the two of them become, makes two examples one.
    plain = Affine.exact(there.model, there.symbols, np.ones((1, 1))).gather(np.array([[0], [0]]))
    matrices = plain.in_matrices(1)._times(there.in_matrices(1)).in_rows()
    for together in (plain + there, there + plain, plain * there, matrices):
        signed = together * np.array([[1.0], [-1.0]])
        assert np.all(signed.scatter_add(np.array([[0], [0]]), 1).rad >= 2 * WIDE)


# ------------------------------------------------------------------------------------------------------------ lattices


@precisions
def test_whole_numbers_are_certain_through_all_of_it(precision: str) -> None:
    x = np.random.default_rng(4).integers(-3, 4, (2, 6)).astype(DTYPES[precision])
    for index in (WINDOWS, TURNED, REPEATED):
        found = scatter_add(gather(lattice(x, precision), index), index, 6)
        assert isinstance(found, Lattice) and found.certain.all()
        for computed in in_every_order(np.asarray(gather(x, index)), index, x.dtype):
            assert np.array_equal(found.value, computed)
    form = in_matrices(lattice(x, precision), 2)
    assert isinstance(form, Lattice)
    product = form @ form.mT
    assert product.certain.all() and np.array_equal(product.value, form.value @ form.value.mT)
    assert in_rows(product).certain.all()  # type: ignore[attr-defined]


def test_a_sum_that_needs_one_bit_more_is_not_certain() -> None:
    index = np.array([[0, 0]])
    for last, certain in ((2.0**24 - 2, True), (2.0**24 + 2, False)):
        found = lattice(np.array([[1.0, last]])).scatter_add(index, 1)
        assert found.certain.all() == certain


def test_a_maximum_is_certain_where_no_other_number_can_be_larger() -> None:
    unsure = Lattice(
        lattice(np.zeros((1, 1))).model,
        *map(np.array, ([[3.0, 0.0]], [[3.0, 1.0]], [[0.0, 0.0]], [[True, False]])),
    )
    assert unsure.size[0, 1] == 2
    assert largest(unsure).certain.all() and largest(unsure).value == 3  # type: ignore[attr-defined]
    assert not largest(unsure * 0.5 - 2).certain.any()  # type: ignore[attr-defined]
    sure = lattice(np.array([[1.0, 1.0], [0.0, -1.0]]))
    assert np.array_equal(sure.largest(None).value, 1)
    assert np.array_equal(sure.largest(-2, keepdims=True).value, [[1, 1]])


# -------------------------------------------------------------------------------------------------- sums and maxima

AXES = [-1, -2, (-1, -2), None]


@kinds
@precisions
@shares
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("what", ["sum", "largest"])
def test_over_any_axes_the_truth_is_inside(
    what: str, kind: str, precision: str, share: float, axis: int | tuple[int, ...] | None
) -> None:
    function: Callable[[Any], Number] = (
        (lambda x: x.sum(axis=axis)) if what == "sum" else (lambda x: largest(x, axis))
    )
    rng, judged = np.random.default_rng(5), 0.0
    for _ in range(6):
        x = hard(rng, (3, 4), precision)
        found = function(HOLDING[kind](x, precision, share))
        assert outside(found, np.asarray(function(within(x, share, rng)))) == 0
        judged += finite(found)
        if not share:
            assert outside(found, np.asarray(function(in_its_precision(x)))) == 0
            if isinstance(axis, int):
                assert outside(found, np.asarray(function(in_its_precision(np.flip(x, axis))))) == 0
    assert judged > 1


@kinds
def test_a_sum_over_two_axes_may_be_rounded_between_them(kind: str) -> None:
    """In bfloat16, 256 times 1 + u and more: each row's sum is rounded, and then theirs, by up to u each."""
    rng, farther = np.random.default_rng(8), 0
    for _ in range(200):
        x = rng.uniform(1, 2, (2, 2)).astype(DTYPES["bfloat16"])
        found = HOLDING[kind](x, "bfloat16").sum(axis=(-1, -2))
        between = np.asarray(in_its_precision(x).sum(axis=-1).sum(axis=-1))
        assert outside(found, between) == 0
        once = model("bfloat16").unit * float(np.abs(x.astype(float)).sum())
        farther += abs(float(between) - float(found.mid)) > once
    assert farther > 0


@kinds
def test_a_maximum_moves_no_further_than_what_may_be_the_largest(kind: str) -> None:
    x = np.array([[1.0, 0.5, 1.0 - WIDE, -8.0]])
    found = largest(HOLDING[kind](x, "float32", WIDE), -1, keepdims=True)
    assert outside(found, np.array([[1 + WIDE]])) == outside(found, np.array([[1 - WIDE]])) == 0
    assert outside(found, np.array([[1 + 1.01 * WIDE]])) == 1


def test_a_maximum_that_is_sure_keeps_its_symbols() -> None:
    x = affine(np.array([[4.0, 1.0]]), "float32", WIDE)
    shared = Affine(x.model, Symbols(), x.mid, x.gen, 0 * x.loc)
    sure = shared.largest(keepdims=True) - shared.gather(np.array([[0]]))
    assert np.all(sure.rad < 1e-5)
    near = Affine(x.model, Symbols(), np.array([[4.0, 3.99]]), shared.gen, 0 * x.loc)
    assert np.all((near.largest(keepdims=True) - near.gather(np.array([[0]]))).rad > WIDE)


# ------------------------------------------------------------------------------------------- leading and uncancelled


def test_the_leading_error_lies_within_the_ball() -> None:
    x = np.random.default_rng(6).normal(size=(1, 5, 6)).astype(np.float32)
    full = known(x, "float32")
    strict, link = Leading(full).gather(WINDOWS), full.gather(WINDOWS)
    assert np.array_equal(strict.ball.mid, link.mid)
    summed, wide = strict.scatter_add(WINDOWS, 6), link.scatter_add(WINDOWS, 6)
    assert np.all(summed.rad <= wide.rad) and np.all(summed.rad > 0.9 * wide.rad)


def test_nothing_cancels_in_what_is_uncancelled() -> None:
    index, signed = np.array([[0, 1], [0, 1]]), np.array([[1.0, 1.0], [-1.0, -1.0]])
    one = Uncancelled.of(ball(np.array([[3.0, -5.0]]), "float32"))
    found = (one.gather(index) * signed).scatter_add(index, 2)
    assert isinstance(found, Uncancelled) and np.array_equal(found.mid, [[6, 10]])


def test_a_constant_is_held_as_each_kind_holds_it() -> None:
    for make in HOLDING.values():
        number = make(np.ones((2, 3)), "float32")
        for value, off in ((0.5, 0.0), ("0.1", 0.1 * model("float32").unit)):
            found = constant(value, number)
            assert isinstance(found, Ball | Affine)
            assert np.allclose(found.rad, off, rtol=1e-12) and found.shape == (2, 3)
            assert outside(found, np.full((2, 3), np.float32(value))) == 0
    assert exact(np.ones(1))[0] == 1
