"""Arbitrary precision against rational arithmetic, and certificates that hold exactly when they should."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference import exact
from gradparity.reference.enclosure import enclose
from gradparity.reference.exact import Certificate, Certifier, ExactArray, exact_gradients
from gradparity.reference.interval import Interval
from gradparity.reference.network import DTYPES, Architecture, Array, Case, Cost, Layer, Parameters
from hypothesis import given, settings
from hypothesis import strategies as st

gate = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def rational(value: float) -> Fraction:
    return Fraction(float(value))


def exactly(value: Fraction) -> Any:
    return flint.arb(flint.fmpq(value.numerator, value.denominator))


def exact_array(array: Array) -> Any:
    result = np.empty(array.shape, dtype=object).view(ExactArray)
    result.flat[:] = [flint.arb(float(value)) for value in array.flat]
    return result


@gate
@given(sizes=st.tuples(*[st.integers(1, 5)] * 3), seed=st.integers(0, 2**32 - 1))
def test_a_matrix_product_is_that_of_rational_arithmetic(sizes: tuple[int, int, int], seed: int) -> None:
    n, inner, k = sizes
    rng = np.random.default_rng(seed)
    A, B = (
        rng.normal(size=shape) * 2.0 ** rng.integers(-30, 30, shape) for shape in ((n, inner), (inner, k))
    )
    with flint.ctx.workprec(300):  # enough for no rounding at all
        product = exact_array(A) @ exact_array(B)
        assert product.shape == (n, k)
        for i, j in np.ndindex(n, k):
            expected = sum(rational(A[i, l]) * rational(B[l, j]) for l in range(inner))
            assert product[i, j].is_exact()
            assert product[i, j] == exactly(Fraction(expected))
            assert product[i, j] != exactly(Fraction(expected) + Fraction(1, 2**140))


def lattice_case() -> Case:
    """Return a linear network of small integers, whose gradients are rational numbers that a float holds."""
    network = Architecture(2, (Layer(3, "identity"), Layer(2, "relu")), Cost("squared_error"))
    return case(network, 4, BY_NAME["integers"], 3, "float64")


def test_a_linear_network_has_the_gradients_of_rational_arithmetic() -> None:
    network = Architecture(2, (Layer(3, "identity"), Layer(2, "identity")), Cost("half_squared_error"))
    asked = case(network, 3, BY_NAME["ordinary"], 3, "float64")
    (W1, W2), (b1, b2) = (
        [np.vectorize(rational, otypes=[object])(array) for array in family]
        for family in (asked.parameters.weights, asked.parameters.biases)
    )
    x, y = (np.vectorize(rational, otypes=[object])(array) for array in (asked.x, asked.y))
    a = x @ W1.T + b1
    delta = (a @ W2.T + b2 - y) / 3
    expected = {"dW2": delta.T @ a, "db2": delta.sum(axis=0), "dW1": (delta @ W2).T @ x}
    given_ones = exact_gradients(asked, 300)
    with flint.ctx.workprec(300):
        for name, values in expected.items():
            pairs = zip(given_ones[name].flat, values.flat, strict=True)
            assert all(arb.overlaps(exactly(value)) for arb, value in pairs), name
            assert all(float(arb.rad()) <= 2.0**-250 for arb in given_ones[name].flat)
            assert not any(arb.overlaps(exactly(value) + flint.arb(2) ** -200) for arb, value in pairs)


def test_the_precision_of_the_caller_is_left_as_it_was() -> None:
    before = flint.ctx.prec
    exact_gradients(lattice_case(), 999)
    assert flint.ctx.prec == before


# ----------------------------------------------------------------------------------------------------- certificates

INDEX = (1, 0)


def tanh_case(precision: str = "float64") -> Case:
    network = Architecture(2, (Layer(3, "tanh"), Layer(2, "softmax")), Cost("half_squared_error"))
    return case(network, 3, BY_NAME["ordinary"], 1, precision)


def certificate_for(asked: Case, radii: float, enclosure: Interval | None = None) -> Certificate:
    """Certify a result that is so many radii away from the middle of its enclosure."""
    right = enclose(asked)["dW1"]
    result = float(right.mid[INDEX]) + radii * float(right.rad[INDEX])
    return Certifier(asked).certify("dW1", INDEX, result, enclosure or right)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("radii", [-1e6, -2.0, -1.1, 1.1, 2.0, 1e6])
def test_a_result_outside_is_certified(radii: float, precision: str) -> None:
    found = certificate_for(tanh_case(precision), radii)
    assert (found.holds, found.sound) == (True, True)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("radii", [-0.9, 0.0, 0.9])
def test_a_result_inside_is_not(radii: float, precision: str) -> None:
    found = certificate_for(tanh_case(precision), radii)
    assert (found.holds, found.sound) == (False, True)


@pytest.mark.parametrize("result", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_outside(result: float) -> None:
    asked = tanh_case()
    assert Certifier(asked).certify("dW1", INDEX, result, enclose(asked)["dW1"]).holds


@pytest.mark.parametrize("wrong", ["moved", "too small"])
def test_nobody_is_accused_by_a_wrong_enclosure(wrong: str) -> None:
    asked = tanh_case()
    right = enclose(asked)["dW1"]
    bad = (
        replace(right, mid=right.mid + 3 * right.rad)
        if wrong == "moved"
        else replace(right, rad=right.rad * 0)
    )
    found = certificate_for(asked, 100.0, bad)
    assert (found.holds, found.sound) == (False, False)


def test_a_certificate_shows_thirty_digits() -> None:
    asked = tanh_case()
    shown = certificate_for(asked, 2.0).exact.lstrip("[-").split(" ")[0]
    exact = exact_gradients(asked, 600)["dW1"][INDEX]
    assert len(shown.partition("e")[0].replace(".", "").lstrip("0")) >= 29
    with flint.ctx.workprec(200):
        assert abs(flint.arb(shown) - exact) < 10.0**-29


def kink_case() -> Case:
    """One relu neuron exactly on its kink: ∂C/∂b may be anything from 0 to 2."""
    network = Architecture(1, (Layer(1, "relu"), Layer(1, "identity")), Cost("half_squared_error"))
    one, zero = np.ones((1, 1)), np.zeros(1)
    return Case(network, Parameters((one, one), (zero, zero)), 0 * one, -2 * one)


@pytest.mark.parametrize(
    ("result", "holds"), [(0.0, False), (1.0, False), (2.0, False), (-0.001, True), (2.001, True)]
)
def test_at_a_kink_every_side_is_right_and_beyond_is_not(result: float, holds: bool) -> None:
    asked = kink_case()
    found = Certifier(asked).certify("db1", (0,), result, enclose(asked)["db1"])
    assert found.holds is holds
    assert found.sound


def test_more_bits_are_used_where_cancellation_eats_them() -> None:
    """1 - sigmoid(200) is 10^-87, and 192 bits of 1 do not reach that far."""
    network = Architecture(1, (Layer(1, "sigmoid"),), Cost("binary_cross_entropy"))
    asked = Case(
        network, Parameters((np.ones((1, 1)),), (np.zeros(1),)), np.full((1, 1), 200.0), np.zeros((1, 1))
    )
    assert not exact_gradients(asked)["db1"][0].is_finite()
    honest = Interval(np.ones(1, np.longdouble), np.full(1, 1e-9), 1.0, False)
    assert Certifier(asked).certify("db1", (0,), 1.5, honest).holds
    assert not Certifier(asked).certify("db1", (0,), 1.0, honest).holds


@pytest.mark.parametrize(("kinked", "holds"), [(False, True), (True, False)])
def test_a_spread_that_stays_is_a_kink_only_where_there_is_one(
    kinked: bool, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where inputs of a softmax are 1600 apart, 192 and 768 bits see the same, and 3072 see all."""

    def known(case: Case, bits: int) -> dict[str, Array]:
        value = arb(1) if bits > 768 else arb(1, 0.5)
        return {"dW1": np.array([[value]], dtype=object)}

    monkeypatch.setattr(exact, "exact_gradients", known)
    narrow = Interval(np.array([[1.0]], np.longdouble), np.array([[1e-9]]), 1.0, kinked)
    certificate = Certifier(linear_case()).certify("dW1", (0, 0), 2.0, narrow)
    assert certificate.holds is holds
    assert certificate.sound  # open is not wrong


def linear_case() -> Case:
    network = Architecture(1, (Layer(1, "identity"),), Cost("half_squared_error"))
    one = np.ones((1, 1))
    return Case(network, Parameters((one,), (np.zeros(1),)), one, one)
