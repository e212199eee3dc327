"""Wide networks: links that cost no more matrix products than the gradients, and still hold every honest result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, judge
from gradparity.adapters.reference import load
from gradparity.harness.campaign import CHAINED, Clock, Settings, campaign
from gradparity.harness.held import margins
from gradparity.harness.verdict import Verdict
from gradparity.property_tests.regimes import BY_NAME, NORMAL, REGIMES, case
from gradparity.reference import interval
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.interval import Bounds, Interval, RankOne
from gradparity.reference.links import WIDE, Links, links
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES
from gradparity.reference.rounding.given import Product, given, norms
from gradparity.reference.rounding.model import model, rough
from gradparity.reference.stack import Stack, stacked_answers
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

WIDTH, BATCH = 96, 32
NETWORK = Architecture(WIDTH, (Layer(WIDTH, "relu"), Layer(WIDTH, "tanh")), Cost("half_squared_error"))
REFERENCE = load("")


def asked(regime: str = "ordinary", precision: str = "float32") -> Case:
    return case(NETWORK, BATCH, BY_NAME[regime], 3, precision)


def test_the_network_of_these_tests_is_wide() -> None:
    assert BATCH * WIDTH**2 > WIDE
    assert isinstance(bounds(asked())["dW2"], RankOne)


def test_many_weights_are_as_large_as_few() -> None:
    network = Architecture(
        200, (Layer(40, "tanh"), Layer(200, "tanh"), Layer(200, "tanh")), Cost("squared_error")
    )
    few, many = case(network, 1, BY_NAME["ordinary"], 3, "float64").parameters.weights[::2]
    assert few.size <= NORMAL < many.size
    for weights in (few, many):
        assert abs(weights.std() * 200**0.5 - 1) < 0.03
    assert abs(few).max() * 200**0.5 > 3**0.5 >= abs(many).max() * 200**0.5  # a uniform one has an end
    assert np.linalg.matrix_rank(many) == 200  # though its rows have numbers in common


def bounds(one: Case) -> Mapping[str, Bounds | None]:
    own = stacked_answers([REFERENCE.gradients(one)])
    found = Links(Stack([one]), own)
    return {name: found.strict(name) for name in own.tensors()}


def changed(one: Case, name: str, index: tuple[int, ...], value: float) -> Gradients:
    arrays = {key: np.array(array) for key, array in REFERENCE.gradients(one).tensors().items()}
    arrays[name][index] = value
    return Gradients.from_tensors(arrays, one)


@pytest.mark.parametrize("precision", list(DTYPES))
@pytest.mark.parametrize("regime", [one.name for one in REGIMES])
def test_an_honest_answer_is_inside(regime: str, precision: str) -> None:
    one = asked(regime, precision)
    found = judge(one, REFERENCE.gradients(one), chain=False)
    assert {verdict.verdict for verdict in found.verdicts} <= {Verdict.AGREES, Verdict.INCONCLUSIVE}


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@drawn(
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 40),
    st.integers(-150, 120),
    st.integers(0, 2**32 - 1),
)
def test_norms_are_bounds_wherever_squares_underflow(
    dtype: type[np.floating], n: int, exponent: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        array = (rng.normal(size=(3, n)) * 2.0 ** rng.integers(exponent, exponent + 20, (3, n))).astype(dtype)
        found = norms(array)[:, 0]
    exact = np.array([float(np.sqrt(sum(np.longdouble(x) ** 2 for x in row))) for row in array])
    finite = np.isfinite(array).all(axis=1)
    assert np.all(found[finite] >= exact[finite])
    info = np.finfo(dtype)
    assert np.all(
        (found <= exact * (1 + 2 * n * float(info.eps)) + 2 * np.sqrt(n * float(info.smallest_normal)))
        | (exact > np.sqrt(float(info.max)) / 2)
    )


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@drawn(st.sampled_from(["float64", "float32"]), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_a_product_by_norms_is_wider_than_by_its_terms_and_not_by_much(
    precision: str, n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape).astype(precision) for shape in ((4, n), (n, 5)))
    a[:, rng.random(n) < 0.3] = 0
    by_norms, by_terms = (given(m, a, 1) @ given(m, b) for m in (rough(precision), model(precision)))
    assert isinstance(by_norms, Product)
    assert np.all(by_norms.rad >= np.asarray(by_terms.rad))
    assert np.all(by_norms.widest >= by_norms.rad.max())
    reach = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=0)
    most = rough(precision).several(1) + rough(precision).gamma(n + 1)
    assert np.all(by_norms.rad <= 1.02 * most * reach + 1e-24)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("regime", ["ordinary", "zeros", "tiny", "mixed_magnitudes"])
def test_the_quick_look_never_says_less_than_every_radius_does(regime: str, precision: str) -> None:
    one = asked(regime, precision)
    rng, found = np.random.default_rng(0), bounds(one)
    for name in ("z1", "z2", "dW1", "dW2"):
        bound = found[name]
        if not isinstance(bound, RankOne):
            assert regime != "ordinary"
            continue
        rad = bound.rows * bound.columns + bound.least
        result = (bound.mid + rng.uniform(-1, 1, bound.mid.shape) * rad).astype(precision)
        worst = np.nanmax(margins(result, Interval(bound.mid, rad, bound.size, kinked=False)))
        quick = float(bound.worst(result)[0])
        assert np.isnan(quick) or quick >= worst * (1 - 2.0**-20)
        if regime == "ordinary":
            assert quick <= worst * 1.001


@pytest.mark.parametrize("rows", [1, 3, 64, 96, 97])
def test_every_row_is_looked_at(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval, "AT_ONCE", 5 * rows * 4)
    bound = RankOne(
        np.zeros((2, 96, 5), np.float32), np.ones((2, 96, 1)), np.ones((2, 1, 5)), 0.0, np.ones(2)
    )
    for at in (0, 47, 95):
        result = np.zeros((2, 96, 5), np.float32)
        result[1, at, 4] = 0.5
        np.testing.assert_allclose(bound.worst(result), [0, 0.5])


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", ["dW1", "dW2"])
@pytest.mark.parametrize("at", [(0, 0), (WIDTH - 1, WIDTH - 2)])
def test_a_component_outside_is_seen_and_one_inside_is_not(
    precision: str, name: str, at: tuple[int, int]
) -> None:
    one = asked(precision=precision)
    link = links(one, REFERENCE.gradients(one))[name]
    mid, rad = float(link.mid[at]), float(link.rad[at])
    for factor, diverges in ((0.98, False), (1.02, True)):
        found = judge(one, changed(one, name, at, mid + factor * rad), chain=False)
        assert [(b.name, b.index) for b in found.blamed] == ([(name, at)] if diverges else [])


@pytest.mark.parametrize(
    ("rows", "columns"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1e39), (1.0, np.inf)]
)
def test_where_a_quick_look_cannot_tell_it_says_so(rows: float, columns: float) -> None:
    mid = np.zeros((1, 2, 2), np.float32)
    bound = RankOne(mid, np.full((1, 2, 1), rows), np.full((1, 1, 2), columns), 1e-36, np.ones(1))
    assert not bound.worst(np.ones((1, 2, 2), np.float32)).max() <= 1


@pytest.mark.parametrize("precision", list(DTYPES))
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_s_honest_answers_are_inside(name: str, precision: str) -> None:
    network = Architecture(
        WIDTH, (Layer(WIDTH, name), Layer(WIDTH, name), Layer(8, "identity")), Cost("squared_error")
    )
    for regime in ("ordinary", "saturated", "sweep", "kinks", "tiny"):
        one = case(network, BATCH, BY_NAME[regime], 5, precision)
        assert not judge(one, REFERENCE.gradients(one), chain=False).blamed


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", COSTS)
def test_every_cost_s_honest_answers_are_inside(name: str, precision: str) -> None:
    layers = (Layer(WIDTH, "tanh"), Layer(WIDTH, COST_ROWS[name].below("sigmoid")))
    network = Architecture(WIDTH, layers, Cost(name))
    for regime in ("ordinary", "kinks", "one_hot"):
        one = case(network, BATCH, BY_NAME[regime], 5, precision)
        assert not judge(one, REFERENCE.gradients(one), chain=False).blamed


def wide_cases(precision: str) -> list[Case]:
    network = Architecture(200, (Layer(200, "tanh"), Layer(200, "relu")), Cost("squared_error"))
    assert CHAINED < 64 * 2 * 200**2
    return [
        case(network, 64, BY_NAME[regime], 3, precision) for regime in ("ordinary", "kinks", "not_finite")
    ]


@pytest.mark.parametrize("precision", list(DTYPES))
def test_a_campaign_prepares_wide_cases_and_judges_as_ever(precision: str) -> None:
    for one in wide_cases(precision):  # each by itself: what is stacked has other midpoints
        (judged,) = campaign(Settings(("reference",)), Clock(), iter([one]))
        with threadpool_limits(1, "blas"):  # as workers have: a sum that is split ends otherwise
            alone = judge(one, REFERENCE.gradients(one), chain=False)
        assert [(row.array, row.verdict, row.link_margin) for row in judged.rows] == [
            (verdict.name, verdict.verdict, verdict.link_margin) for verdict in alone.verdicts
        ]


def test_where_preparing_fails_the_campaign_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Stack) -> None:
        raise MemoryError

    monkeypatch.setattr("gradparity.harness.campaign.prepare_links", full)
    with pytest.raises(MemoryError):
        list(campaign(Settings(("reference",)), Clock(), iter(wide_cases("float32"))))


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.mark.skipif(not blas_threads(), reason="another BLAS cannot be told")
def test_a_campaign_leaves_the_other_cores_to_the_implementations() -> None:
    with threadpool_limits(2, "blas"):
        judged = campaign(Settings(("reference",)), Clock(), iter(wide_cases("float32")))
        next(judged)
        assert blas_threads() == {1}
        list(judged)
        assert blas_threads() == {2}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen(value: float) -> None:
    one = asked()
    found = judge(one, changed(one, "dW2", (1, 2), value), chain=False)
    assert [(b.name, b.index) for b in found.blamed] == [("dW2", (1, 2))]


def test_a_dead_neuron_has_gradients_of_exactly_zero() -> None:
    one = asked()
    biases = np.array(one.parameters.biases[0])
    biases[5] = -1e6  # relu
    parameters = replace(one.parameters, biases=(biases, one.parameters.biases[1]))
    dead = Case(one.architecture, parameters, one.x, one.y, one.precision)
    answer = REFERENCE.gradients(dead)
    assert not np.asarray(answer.dW[0])[5].any()
    assert not judge(dead, answer, chain=False).blamed
    found = judge(dead, changed(dead, "dW1", (5, 7), 1e-20), chain=False)
    assert [(b.name, b.index) for b in found.blamed] == [("dW1", (5, 7))]
