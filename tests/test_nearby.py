"""Products of numbers nearby: bounds all the same, hardly wider, and only for answers that are close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, judge
from gradparity.adapters.reference import load
from gradparity.property_tests.regimes import BY_NAME, REGIMES, case
from gradparity.reference import names
from gradparity.reference.interval import RankOne
from gradparity.reference.links import Links
from gradparity.reference.nearby import Near, nearby
from gradparity.reference.network import ACTIVATIONS, Array
from gradparity.reference.rounding.given import WIDER, Given, Product, distances, given
from gradparity.reference.rounding.model import Model, rough
from gradparity.reference.stack import Stack, stacked_answers
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

WIDTH, BATCH = 96, 32
NETWORK = Architecture(WIDTH, (Layer(WIDTH, "relu"), Layer(WIDTH, "tanh")), Cost("half_squared_error"))
REFERENCE = load("")


def asked(
    regime: str = "ordinary", precision: str = "float32", network: Architecture = NETWORK, seed: int = 3
) -> Case:
    return case(network, BATCH, BY_NAME[regime], seed, precision)


def beside(model: Model, array: Array, near: Near | None) -> Given:
    found = given(model, array)
    assert isinstance(found, Given)
    found.near = near
    return found


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@drawn(
    st.integers(1, 60),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_whatever_an_implementation_may_give_is_inside(
    n: int, left: float, right: float, aligned: bool, seed: int
) -> None:
    """Rows and columns as far from those nearby as the bound allows for, and both products off by all they may."""
    model, rng = rough("float32"), np.random.default_rng(seed)
    off = 2.0**-24 * (n + 1) / (1 - 2.0**-24 * (n + 1))  # what float32 may add, the midpoints' and anybody's
    B0 = rng.normal(size=(n, 1)).astype(np.float32)
    A0 = (B0.T if aligned else rng.normal(size=(1, n))).astype(np.float32)
    A = (A0 * (1 + np.float32(left * WIDER * off / 2))).astype(np.float32)
    B = (B0 * (1 + np.float32(right * WIDER * off / 2))).astype(np.float32)
    exact0, exact = (a.astype(np.float64) @ b.astype(np.float64) for a, b in ((A0, B0), (A, B)))
    norms0, norms = (float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in ((A0, B0), (A, B)))
    for sign in (-1, 1):
        nearest = (exact0 - sign * off * norms0 * 0.999).astype(np.float32)
        product = beside(model, A, Near(A0, nearest)) @ beside(model, B, Near(B0))
        assert isinstance(product, Product)
        if product.mid is nearest:
            given_by_somebody = exact + sign * off * norms
            slack = 2.0**-24 * abs(nearest)  # of this test's own rounding
            assert np.all(abs(given_by_somebody - nearest) <= product.rad + slack)
            assert np.all(product.rad <= (1 + WIDER) * 2.1 * off * norms + 1e-24)
    if n > 1 and max(left, right) < 0.5:
        assert product.mid is nearest


def test_each_way_from_the_numbers_nearby_counts() -> None:
    """Neither the left factor's distance is forgotten nor the right one's."""
    model, n = rough("float32"), 50
    ones, off = np.ones((1, n), np.float32), rough("float32").gamma(n + 1)
    more = ones * np.float32(1 + WIDER / 3 * off)
    nearest = np.full((1, 1), np.float32(n))
    alone = (beside(model, ones, Near(ones, nearest)) @ beside(model, ones.T, Near(ones.T))).rad.item()
    moved = [
        (beside(model, a, Near(ones, nearest)) @ beside(model, b, Near(ones.T))).rad.item()
        for a, b in ((more, ones.T), (ones, more.T))
    ]
    for rad in moved:
        assert rad >= alone + n * float(more[0, 0] - 1)


def test_one_that_is_not_close_is_judged_by_a_product_of_its_own() -> None:
    model, rng = rough("float32"), np.random.default_rng(0)
    A, B = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 20), (20, 4)))
    nearest = A @ B
    close = beside(model, A, Near(A, nearest)) @ beside(model, B, None)
    assert close.mid is nearest
    far = A.copy()
    far[1] *= np.float32(1 + 2.0**-10)
    own = beside(model, far, Near(A, nearest)) @ beside(model, B, None)
    assert own.mid is not nearest
    np.testing.assert_array_equal(own.mid, far @ B)
    nothing = Near(np.full_like(A, np.nan), nearest)  # the reference overflowed, and the answer did not
    assert (beside(model, A, nothing) @ beside(model, B, None)).mid is not nearest


def test_what_is_the_same_is_no_way_off() -> None:
    zeros, tiny = np.zeros((2, 5), np.float32), np.full((2, 5), 1e-30, np.float32)
    assert not distances(zeros, zeros.copy()).any()  # squares underflow, but nothing is nothing
    assert distances(tiny, zeros).all()


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_reference_s_products_are_those_of_its_answer(name: str, precision: str) -> None:
    network = Architecture(
        WIDTH, (Layer(WIDTH, name), Layer(WIDTH, name), Layer(8, "identity")), Cost("squared_error")
    )
    one = asked(precision=precision, network=network)
    stack, weights = Stack([one]), one.parameters.weights
    found, answer = nearby(stack, rough(precision)), REFERENCE.gradients(one)
    assert answer.a is not None
    assert answer.delta is not None
    assert found.keys() == {"x", "a1", "a2", "delta1", "delta2", "delta3"}
    for l in range(3):
        a, delta = found[names.a(l)], found[names.delta(l + 1)]
        np.testing.assert_array_equal(a.array[0], answer.a[l - 1] if l else one.x)
        np.testing.assert_array_equal(delta.array[0], answer.delta[l])
        assert a.product is not None
        np.testing.assert_array_equal(a.product[0], a.array[0] @ weights[l].T)
        assert delta.turned is not None
        np.testing.assert_array_equal(delta.turned[0], delta.array[0].T @ a.array[0])
        assert delta.mT.product is delta.turned
        if l:
            assert delta.product is not None
            np.testing.assert_array_equal(delta.product[0], delta.array[0] @ weights[l])
        else:
            assert delta.product is None


def rounded_otherwise(one: Case) -> Gradients:
    """Answer as an implementation does that adds up in another order."""
    order = np.random.default_rng(1).permutation(WIDTH)
    first, *others = one.parameters.weights
    network = replace(one.architecture, layers=one.architecture.layers)
    turned = Case(
        network,
        replace(one.parameters, weights=(first[:, order], *others)),
        one.x[:, order],
        one.y,
        one.precision,
    )
    arrays = {name: np.array(array) for name, array in REFERENCE.gradients(turned).tensors().items()}
    arrays["dW1"] = arrays["dW1"][:, np.argsort(order)]
    return Gradients.from_tensors(arrays, one)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_most_honest_answers_are_judged_without_a_product_of_their_own(precision: str) -> None:
    nearby = list[bool]()
    for seed in range(10):
        one = asked(precision=precision, seed=seed)
        answer = rounded_otherwise(one)
        assert any((a != b).any() for a, b in zip(answer.dW, REFERENCE.gradients(one).dW, strict=True))
        links = Links(Stack([one]), stacked_answers([answer]))
        reference = {id(near.turned) for near in links._nearby.values()}
        for name in ("dW1", "dW2"):
            bound = links.strict(name)
            assert isinstance(bound, RankOne)
            nearby.append(id(bound.mid) in reference)
    assert sum(nearby) > len(nearby) / 2


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("regime", [one.name for one in REGIMES])
def test_another_order_is_honest_too(regime: str, precision: str) -> None:
    one = asked(regime, precision)
    assert not judge(one, rounded_otherwise(one), chain=False).blamed


def test_an_answer_to_a_nearby_case_is_not_an_answer() -> None:
    """The bounds are around what follows from the answer's own numbers."""
    one = asked()
    arrays = {name: np.array(array) for name, array in REFERENCE.gradients(one).tensors().items()}
    arrays["dW2"] *= np.float32(1 + 2.0**-12)
    found = judge(one, Gradients.from_tensors(arrays, one), chain=False)
    assert {broken.name for broken in found.blamed} == {"dW2"}
