"""Quotients, roots, products and matrix products of two numbers that carry their errors, and what no kind knows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import flint
import numpy as np
import pytest
from gradparity.adapters.reference import in_its_precision
from gradparity.reference import elementary
from gradparity.reference.coupled import log_softmax, softmax
from gradparity.reference.elementary import constant, gather, in_matrices, in_rows, largest, scatter_add, sqrt
from gradparity.reference.network import DTYPES, Array
from gradparity.reference.number import Carried, Number, UnknownError
from gradparity.reference.rounding.affine import Affine
from gradparity.reference.rounding.balls import Ball
from gradparity.reference.rounding.generators import Symbols
from gradparity.reference.rounding.lattice import Lattice
from gradparity.reference.rounding.model import model
from gradparity.reference.rounding.spans import Span
from gradparity.reference.rounding.uncancelled import Uncancelled

from .kinds import (
    HOLDING,
    KINDS,
    WIDE,
    affine,
    ball,
    exact,
    finite,
    hard,
    known,
    lattice,
    outside,
    pair,
    within,
)

precisions = pytest.mark.parametrize("precision", DTYPES)
kinds = pytest.mark.parametrize("kind", HOLDING)
shares = pytest.mark.parametrize("share", [0.0, WIDE])
Binary = Callable[[Any, Any], Any]


@pytest.fixture(autouse=True)
def _in_high_precision() -> Iterator[None]:
    with flint.ctx.workprec(400), np.errstate(all="ignore"):
        yield


def by_the_reciprocal(a: Any, b: Any) -> Any:
    return a * (1 / b)


COMPUTED: dict[str, tuple[Binary, ...]] = {
    "truediv": (operator.truediv, by_the_reciprocal),
    "mul": (operator.mul,),
    "add": (operator.add,),
    "sub": (operator.sub,),
}


@kinds
@precisions
@shares
@pytest.mark.parametrize("name", COMPUTED)
def test_two_carried_numbers_hold_the_truth_and_what_machines_compute(
    name: str, kind: str, precision: str, share: float
) -> None:
    function, rng, judged = getattr(operator, name), np.random.default_rng(0), 0.0
    for _ in range(12):
        x, y = hard(rng, (3, 4), precision), hard(rng, (3, 4), precision)
        found = function(*pair(kind, x, y, precision, share))
        known_there = np.isfinite(found.rad)
        truth = exact(np.ones((3, 4)))
        together = rng.choice([-1.0, 1.0])
        one, two = (within(each, share, rng, together) for each in (x, y))
        for at in zip(*np.nonzero(known_there), strict=True):
            truth[at] = function(one[at], two[at])
        assert outside(found, truth) == 0
        judged += finite(found)
        if not share:
            for computed in COMPUTED[name]:
                assert outside(found, computed(in_its_precision(x), in_its_precision(y))) == 0
    assert judged > 4


@pytest.mark.parametrize("kind", ["ball", "affine"])
@precisions
def test_a_quotient_may_be_rounded_twice_and_no_more(kind: str, precision: str) -> None:
    """Over many quotients the worst reciprocal comes near the bound; three roundings leave it."""
    rng, dtype, u = np.random.default_rng(1), DTYPES[precision].type, model(precision).unit
    x, y = (np.asarray(rng.uniform(1, 2, (2, 2000)).astype(dtype)) for _ in range(2))
    found = operator.truediv(*pair(kind, x, y, precision))
    computed = by_the_reciprocal(in_its_precision(x), in_its_precision(y))
    assert outside(found, computed) == 0
    assert outside(found, computed, narrowed=0.6) > 0
    truth = x.astype(np.longdouble) / y.astype(np.longdouble)
    assert outside(found, np.asarray(truth * (np.longdouble(1) + 2.5 * u))) > 0.9 * x.size


def test_a_quotient_holds_the_corners_of_what_may_be_divided() -> None:
    above, below = np.array([[1.0]]), np.array([[-1.0]])
    loose = (affine(each, "float32", 0.5)._forgetful for each in (above, below))
    for one, two in ((ball(above, "float32", 0.5), ball(below, "float32", 0.5)), loose):
        for a in (0.5, 1.0, 1.5):
            for b in (-0.5, -1.5):
                assert outside(one / two, np.array([[a / b]])) == 0
        assert outside(one / two, np.array([[-3.01]])) == 1


def test_a_divisor_that_may_vanish_leaves_nothing_known() -> None:
    one = np.ones((1, 1))
    for make in (ball, affine):
        for divisor in (make(0 * one, "float32"), make(one, "float32", 1.0), make(1e-39 * one, "float32")):
            assert np.isinf((make(one, "float32") / divisor).rad).all()
        assert np.isfinite((1 / make(one, "float32", 0.5)).rad).all()
    tiny = ball(1e38 * one, "float32") / ball(3e38 * one, "float32")  # its reciprocal may be flushed to zero
    assert outside(tiny, 0 * one) == 0


def test_a_number_divided_by_itself_is_one() -> None:
    x = affine(np.array([[3.0, -5.0]]), "float32", WIDE)._named
    assert np.all((x / x).rad < 1e-5)
    assert np.all((x.ball / x.ball).rad > 0.01)
    scaled = (2.0 * x) / (x + x)
    assert outside(scaled, np.ones((1, 2))) == 0 and np.all(scaled.rad < 1e-5)


# --------------------------------------------------------------------------------------------------------------- roots


@kinds
@precisions
@shares
def test_a_root_holds_the_truth_and_what_machines_compute(kind: str, precision: str, share: float) -> None:
    rng, judged = np.random.default_rng(2), 0.0
    for _ in range(8):
        x = np.abs(hard(rng, (3, 4), precision))
        found = sqrt(HOLDING[kind](x, precision, share))
        assert outside(found, np.asarray(sqrt(within(x, share, rng)))) == 0
        judged += finite(found)
        if not share:
            assert outside(found, np.asarray(sqrt(in_its_precision(x)))) == 0
            smallest = np.finfo(np.float32 if x.dtype.itemsize < 4 else precision).smallest_normal
            flushed = np.where(x < smallest, 0, x).astype(x.dtype)
            assert outside(found, np.asarray(sqrt(in_its_precision(flushed)))) == 0
    assert judged > 5


@kinds
@precisions
def test_a_root_may_be_two_units_off_and_no_more(kind: str, precision: str) -> None:
    x = np.random.default_rng(3).uniform(1, 4, (2, 50)).astype(DTYPES[precision])
    found, truth = sqrt(HOLDING[kind](x, precision)), np.sqrt(x.astype(np.longdouble))
    u = model(precision).unit
    assert outside(found, np.asarray(truth * (np.longdouble(1) + 1.98 * u))) == 0
    assert outside(found, np.asarray(truth * (np.longdouble(1) + 2.1 * u))) == x.size


def test_of_the_root_of_what_may_be_negative_nothing_is_known() -> None:
    for make in (ball, affine):
        for x in (make(np.array([[-1.0]]), "float32"), make(np.array([[1.0]]), "float32", 1.5)):
            assert np.isinf(sqrt(x).rad).all()  # type: ignore[attr-defined]
    assert not np.asarray(sqrt(exact(-np.ones(1))))[0].is_finite()


def test_a_root_carries_its_symbols() -> None:
    x = affine(np.array([[4.0]]), "float32", WIDE)._named
    root = x.sqrt()
    assert np.all((root * root - x).rad < 0.1 * x.rad)
    assert np.all((root.ball * root.ball - x.ball).rad > 1.5 * x.rad)


def test_a_span_holds_the_root_of_a_range() -> None:
    m = model("float32")
    span = Span(m, np.array([1.0]), np.array([4.0]), 0.5).sqrt()
    assert (span.lo[0], span.hi[0]) == (1, 2)
    assert float(span.err[0]) >= 1 - np.sqrt(0.5)  # type: ignore[index]
    assert np.isinf(Span(m, np.array([0.25]), np.array([4.0]), 0.5).sqrt().err).all()
    subnormal = Span(m, np.array([1e-40]), np.array([1e-40])).sqrt()
    assert np.all(subnormal.err >= 1e-20)


def test_no_root_is_certain() -> None:
    assert not sqrt(lattice(np.array([[4.0, 1.0]]))).certain.any()  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------------- matrix products


@kinds
@precisions
@shares
def test_products_of_two_carried_matrices_hold_every_order(kind: str, precision: str, share: float) -> None:
    rng, dtype, judged = np.random.default_rng(4), DTYPES[precision], 0.0
    for _ in range(6):
        q, k = hard(rng, (4, 5), precision), hard(rng, (4, 5), precision)
        one, two = (in_matrices(x, 2) for x in pair(kind, q, k, precision, share))
        found = one @ two.mT
        moved, moved_too = (in_matrices(within(x, share, rng), 2) for x in (q, k))
        truth = moved @ moved_too.mT
        assert outside(found, np.asarray(truth)) == 0
        judged += finite(found)
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]) if not share else ():
            total = np.zeros((2, 2, 2), np.float32 if dtype.itemsize == 2 else dtype)
            for i in order:
                a, b = (x.reshape(2, 2, 5)[..., i].astype(total.dtype) for x in (q, k))
                total = total + a[:, :, None] * b[:, None, :]
            assert outside(found, np.asarray(total.astype(dtype))) == 0
    assert judged > 1


def test_a_matrix_product_knows_what_its_factors_share() -> None:
    """The symbol of all of x cancels in x y - x y, and in a product with its own reciprocal."""
    x = in_matrices(affine(np.arange(1.0, 9).reshape(4, 2), "float32").gather(np.array([[0, 1]])), 2)
    assert isinstance(x, Affine)
    wide = Affine(x.model, Symbols(), x.mid, x.gen, WIDE * np.abs(x.mid).astype(np.float64))._named
    product = wide @ wide.mT
    assert isinstance(product, Affine)
    again = wide @ wide.mT
    assert np.all((product - again).rad < 0.1 * (product.ball - again.ball).rad)
    apart = np.abs(np.asarray(wide.mid, np.float64)) * (1 + WIDE)
    assert outside(product, apart @ apart.mT) == 0
    flat = in_matrices(affine(np.ones((4, 2)), "float32", WIDE), 2)
    assert isinstance(flat, Affine | Ball) and np.all((flat @ flat.mT).rad > WIDE)


def test_batches_of_exact_matrices_are_multiplied_one_by_one() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(-9, 9, (3, 2, 4)).astype(float), rng.integers(-9, 9, (3, 4, 2)).astype(float)
    product = exact(a) @ exact(b)
    assert product.shape == (3, 2, 2)
    assert np.array_equal(product.astype(float), a @ b)
    assert np.array_equal((exact(a) @ exact(b[0])).astype(float), a @ b[0])


# -------------------------------------------------------------------------------------- what networks are made of


def normalised(x: Any) -> Any:
    """Return (x - mean) / sqrt(variance + ε) over the last axis."""

    def mean(each: Any) -> Any:
        total = each.sum(axis=-1, keepdims=True)
        return total / constant(x.shape[-1], total)

    away = x - mean(x)
    variance = mean(away * away)
    return away / sqrt(variance + constant(2.0**-10, variance))


def attended(x: Any) -> Any:
    """Attend from two tokens to two, each of three numbers."""
    tokens = in_matrices(gather(x, np.arange(6).reshape(2, 3)), 2)
    scores = tokens @ tokens.mT
    shares = (
        softmax(scores)
        if not (isinstance(scores, np.ndarray) and scores.dtype == object)
        else _softmax(scores)
    )
    return scatter_add(in_rows(shares @ tokens), np.arange(6).reshape(2, 3), 6)


def _softmax(x: Array) -> Array:
    e = np.exp(x)
    return np.asarray(e / e.sum(axis=-1, keepdims=True)).view(type(x))


@pytest.mark.parametrize("kind", HOLDING)
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("what", [normalised, attended])
def test_whole_layers_hold_the_truth(what: Callable[[Any], Any], kind: str, precision: str) -> None:
    rng = np.random.default_rng(6)
    for _ in range(10):
        x = rng.normal(size=(3, 6)).astype(DTYPES[precision])
        found = what(HOLDING[kind](x, precision))
        assert np.isfinite(found.rad).all()
        assert outside(found, what(exact(x))) == 0
        assert outside(found, np.asarray(what(x))) == 0
        assert outside(found, np.asarray(what(x)) * (1 + 1e-3)) > 0


def test_forms_are_sharper_than_balls_where_a_mean_is_taken_off() -> None:
    x = np.random.default_rng(7).normal(size=(3, 6)).astype(np.float32) + 5
    form, round_one = (normalised(make(x, "float32", 2.0**-14)) for make in (affine, ball))
    assert np.median(form.rad) < 0.7 * np.median(round_one.rad)


# --------------------------------------------------------------------------------------------------- what is unknown

INDEX = np.array([[0], [1]])
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "sqrt": sqrt,
    "largest": largest,
    "quotient": lambda x: x / x,
    "reciprocal": lambda x: 1.0 / x,
    "gather": lambda x: gather(x, INDEX),
    "scatter_add": lambda x: scatter_add(x, INDEX.T, 2),
    "in_matrices": lambda x: in_matrices(x, 2),
    "in_rows": in_rows,
    "constant": lambda x: constant(0.5, x),
    "sum": lambda x: x.sum(axis=-1),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "exp": elementary.exp,
    "divided": lambda x: x.divided(2),
}
#: What is known of each kind; of the rest nothing is, and it says so.
KNOWN = {
    "ball": OPERATIONS.keys() - {"exp", "in_rows"},
    "given": OPERATIONS.keys() - {"exp", "in_rows"},
    "affine": OPERATIONS.keys() - {"exp", "in_rows"},
    "lattice": OPERATIONS.keys() - {"in_rows"},
    "leading": {"gather", "scatter_add", "in_matrices", "divided"},
    "uncancelled": {"gather", "scatter_add", "in_matrices", "constant", "sum", "divided"},
    "span": {"sqrt", "quotient", "reciprocal", "constant", "exp"},
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_knows_an_operation_or_says_that_it_does_not(kind: str, name: str) -> None:
    number = KINDS[kind](np.array([[1.0, 2.0], [3.0, 4.0]]))
    if name == "in_rows" and kind not in ("leading", "uncancelled", "span"):
        number = number.in_matrices(2)
    elif name == "in_rows":
        return
    if name in KNOWN[kind] or name == "in_rows":
        assert isinstance(OPERATIONS[name](number), Carried)
    else:
        with pytest.raises(UnknownError, match=type(number).__name__):
            OPERATIONS[name](number)


def test_what_is_uncancelled_is_divided_by_what_is_not() -> None:
    above, below = Uncancelled.of(ball(np.array([[-6.0]]), "float32")), ball(np.array([[-2.0]]), "float32")
    assert isinstance(above / below, Uncancelled) and (above / below).mid == 3
    for one in (below, above):
        with pytest.raises(UnknownError):
            one / above


def test_every_kind_is_a_number() -> None:
    def shape(number: Number) -> tuple[int, ...]:
        return number.shape

    for make in KINDS.values():
        assert shape(make(np.ones((2, 3)))) == (2, 3)
    assert shape(np.ones((2, 3), object)) == (2, 3)
    with pytest.raises(TypeError, match="list"):
        elementary.exp([1.0])  # type: ignore[arg-type]
    assert isinstance(known(np.ones((2, 3)), "float32"), Ball)
    assert isinstance(lattice(np.ones((2, 3))), Lattice)
