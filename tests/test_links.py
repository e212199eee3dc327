"""Links: every equation held against the implementation's own numbers, at any width and any depth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, judge
from gradparity.adapters.reference import load
from gradparity.harness.held import margins
from gradparity.harness.verdict import Verdict, judge_answer
from gradparity.property_tests.regimes import BY_NAME, NOT_FINITE, REGIMES, case
from gradparity.property_tests.strategies import architectures
from gradparity.reference.activations import activation
from gradparity.reference.backprop import bp3, bp4, moved_back
from gradparity.reference.enclosure import enclose
from gradparity.reference.exact import Certifier, exact_gradients
from gradparity.reference.links import WIDE, links
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES, Parameters
from gradparity.reference.propagation import propagated
from gradparity.reference.rounding.given import given as known
from gradparity.reference.rounding.model import model
from hypothesis import given, settings
from hypothesis import strategies as st

few = settings(max_examples=10, derandomize=True, database=None, deadline=None)


def answered(asked: Case) -> Gradients:
    return load("").gradients(asked)


def network(width: int, depth: int, activation: str = "tanh") -> Architecture:
    return Architecture(width, (Layer(width, activation),) * depth, Cost("half_squared_error"))


def spoilt(answer: Gradients, family: str, layer: int, change: Callable[[np.ndarray], object]) -> Gradients:
    arrays = [np.array(array) for array in getattr(answer, family)]
    change(arrays[layer - 1])
    return dataclasses.replace(answer, **{family: arrays})


def diverging(asked: Case, answer: Gradients) -> list[tuple[str, int]]:
    """Name what diverges when only the links are asked."""
    found = judge(asked, answer, chain=False)
    assert [(one.equation, one.layer) for one in found.blamed] == [
        (one.equation, one.layer) for one in found.verdicts if one.verdict is Verdict.DIVERGES
    ]
    return [(one.equation, one.layer) for one in found.blamed]


# ------------------------------------------------------------------------------------------- any width, any depth


@pytest.mark.parametrize(("width", "depth"), [(1024, 3), (16, 100)])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_link_is_judged_where_the_chain_says_nothing(width: int, depth: int, precision: str) -> None:
    asked = case(network(width, depth), 4, BY_NAME["ordinary"], 0, precision)
    answer = answered(asked)
    assert {one.verdict for one in judge(asked, answer, chain=False).verdicts} == {Verdict.AGREES}
    a, delta, W = ([np.abs(array) for array in family or ()] for family in
                   (answer.a, answer.delta, asked.parameters.weights))  # fmt: skip
    slope = 1 - a[1] ** 2

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        # The absolute values' sum, or in a wide network the bound of it that saves a matrix product.
        if asked.batch * width**2 <= WIDE:
            return np.asarray(left @ right)
        return np.asarray(np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=0))

    # The number of terms in the sum that makes the component (with K of tanh), and their absolute values' sum.
    sums = [
        ("z", 2, "forward", width, product(a[0], W[1].T)),
        ("a", 1, "forward", 16, a[0]),
        ("delta", 2, "BP2", width, product(delta[2], W[2]) * slope),
        ("db", depth, "BP3", 4, delta[-1].sum(axis=0)),
        ("dW", 2, "BP4", 4, product(delta[1].T, a[0])),
    ]
    u = float(np.finfo(precision).eps) / 2
    for family, layer, equation, n, total in sums:

        def off_by_a_few_roundings(array: np.ndarray, error: np.ndarray = 4 * n * u * total) -> None:
            array.flat[7] += error.flat[7]

        found = diverging(asked, spoilt(answer, family, layer, off_by_a_few_roundings))
        assert found[0] == (equation, layer), family


def test_where_the_chain_says_nothing_the_links_are_the_verdict() -> None:
    asked = case(network(24, 4), 2, BY_NAME["ordinary"], 0, "float32")
    answer = answered(asked)
    bounds = {name: dataclasses.replace(one, rad=np.inf + one.rad) for name, one in enclose(asked).items()}
    chain_only = judge_answer(asked, Gradients(answer.dW, answer.db), bounds, Certifier(asked))
    both = judge_answer(asked, answer, bounds, Certifier(asked))
    assert Verdict.INCONCLUSIVE in {one.verdict for one in chain_only.verdicts}
    assert {one.verdict for one in both.verdicts} == {Verdict.AGREES}


def test_one_example_s_bias_gradient_is_its_error() -> None:
    """Nothing but ∂C/∂W and ∂C/∂b, of one example: δ is known, and the layer where it broke is named."""
    asked = case(network(8, 12), 1, BY_NAME["ordinary"], 3, "float64")
    right = answered(asked)
    assert right.delta is not None and right.z is not None and right.a is not None
    W, a = asked.parameters.weights, [asked.x, *right.a]
    delta = [np.asarray(right.delta[-1])]
    for l in reversed(range(1, 12)):
        sigma = activation(asked.architecture.layers[l - 1])
        delta.insert(0, np.asarray(sigma.vjp(moved_back(delta[0], W[l]), right.z[l - 1])))
        if l == 5:
            delta[0][0, 2] *= 1 + 1e-12
    wrong = Gradients([np.asarray(bp4(d, b)) for d, b in zip(delta, a, strict=False)],
                      [np.asarray(bp3(d)) for d in delta])  # fmt: skip
    assert diverging_with_chain(asked, Gradients(right.dW, right.db)) == []
    assert diverging_with_chain(asked, wrong) == [("BP2", 5, (2,))]


def diverging_with_chain(asked: Case, answer: Gradients) -> list[tuple[str, int, Sequence[int]]]:
    return [(one.equation, one.layer, one.index) for one in judge(asked, answer).blamed]


def test_without_what_it_is_computed_from_there_is_no_link() -> None:
    asked = case(network(3, 2), 2, BY_NAME["ordinary"], 0, "float64")
    answer = answered(asked)
    assert links(asked, Gradients(answer.dW, answer.db)) == {}
    assert set(links(asked, Gradients(answer.dW, answer.db, z=answer.z))) == {"z1"}
    found = judge(asked, Gradients(answer.dW, answer.db), chain=False)
    assert {one.verdict for one in found.verdicts} == {Verdict.INCONCLUSIVE}


# ------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("regime", [regime.name for regime in REGIMES])
@few
@given(drawn=architectures(deepest=4, widest=5), m=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_the_reference_and_the_truth_keep_their_links(
    regime: str, precision: str, large: bool, drawn: Architecture, m: int, seed: int
) -> None:
    """Large ones have other midpoints. The exact link, of the reference's own numbers, is what a link encloses."""
    asked = case(drawn, m, BY_NAME[regime], seed, precision)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradparity.reference.links.LARGE", 0 if large else np.inf)
        answer = answered(asked)
        found = judge_answer(asked, answer, {}, Certifier(asked))
        assert Verdict.DIVERGES not in {one.verdict for one in found.verdicts}
        assert found.doubts == {}


def cancelling() -> Case:
    """One neuron whose weighted input is small beside what it is the sum of."""
    network, one = (
        Architecture(1, (Layer(1, "hardsigmoid"),), Cost("half_squared_error")),
        np.ones((1, 1), np.float32),
    )
    parameters = Parameters((np.float32(1.1) * one,), (np.float32(-1100) * one[0],))
    return Case(network, parameters, np.float32(1000.1) * one, one, "float32")


def added_up(asked: Case) -> Gradients:
    """What a compiler makes of it that adds 3 up with x W + b, and returns x W + b as well: PyTensor and XLA may."""
    W, b, x, y = asked.parameters.weights[0], asked.parameters.biases[0], asked.x, asked.y
    z = (x.astype(np.float64) * W + b).astype(np.float32)
    a = (x * W + (b + np.float32(3))) / np.float32(6)
    delta = (a - y) / np.float32(6)
    return Gradients([delta * x], [delta[0]], None, [delta], [z], [a])


def test_what_was_computed_from_another_z_than_is_returned_has_no_links() -> None:
    asked = cancelling()
    answer = added_up(asked)

    def verdicts(given: Gradients, premise: str) -> set[Verdict]:
        return {one.verdict for one in judge(asked, given, premise=premise).verdicts}

    assert verdicts(answer, "own") == {Verdict.AGREES, Verdict.DIVERGES}
    assert verdicts(answer, "chain") == {Verdict.AGREES}
    wrong = spoilt(answer, "a", 1, lambda array: np.multiply(array, np.float32(1.01), out=array))
    assert Verdict.DIVERGES in verdicts(wrong, "chain")


def test_a_link_of_the_wrong_numbers_is_left() -> None:
    """The links of one case do not hold the answer to another, nor exact values of another case its own."""
    asked, other = (case(network(4, 3), 2, BY_NAME["ordinary"], seed, "float64") for seed in (0, 1))
    bounds, tensors = links(asked, answered(asked)), answered(other).tensors()
    assert all(margins(tensors[name], bounds[name]).max() > 1 for name in bounds)
    assert exact_gradients(asked).keys() == tensors.keys()


# -------------------------------------------------------------------------------------- what is not finite goes on


def with_one(value: float) -> tuple[Case, Gradients]:
    """A case with one value in an example's inputs, and what IEEE arithmetic makes of it."""
    drawn = case(network(3, 2, "softplus"), 2, BY_NAME["ordinary"], 0, "float64")
    x = np.array(drawn.x)
    x[1, 0] = value
    asked = Case(drawn.architecture, drawn.parameters, x, drawn.y, "float64")
    return asked, answered(asked)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_stays_none(value: float) -> None:
    asked, answer = with_one(value)
    found = judge(asked, answer)
    assert found.verdict is not Verdict.DIVERGES
    by_name = {one.name: one.verdict for one in found.verdicts}
    assert by_name["z1"] == by_name["dW1"] == Verdict.AGREES  # though nothing is known of it by radius


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("instead", [0.0, 1.0])
@pytest.mark.parametrize(("family", "equation"), [("z", "forward"), ("a", "forward"), ("dW", "BP4")])
def test_where_it_vanishes_that_is_a_divergence(
    family: str, equation: str, instead: float, value: float
) -> None:
    asked, answer = with_one(value)

    def lose(array: np.ndarray) -> None:
        array[~np.isfinite(array)] = instead

    if family == "a" and value == -np.inf:
        pytest.skip("softplus of -infinity is a number")
    wrong = spoilt(answer, family, 1, lose)
    assert (equation, 1) in [(one.equation, one.layer) for one in judge(asked, wrong).blamed]


def test_a_kernel_may_drop_terms_of_zeros_and_nothing_else() -> None:
    """softplus′(-∞) is 0, so that ∂C/∂W has 0 · -∞ for one term: without it, the rest is as right as NaN is."""
    asked, answer = with_one(-np.inf)
    assert np.isnan(answer.dW[0][:, 0]).all()
    rest = np.outer(answer.tensors()["delta1"][0], asked.x[0])
    for instead, agrees in ((rest, True), (rest * (1 + 1e-12), False), (rest * 0, False)):
        arrays = answer.tensors()
        arrays["dW1"] = np.where(np.isnan(answer.dW[0]), instead, answer.dW[0])
        dropped = Gradients.from_tensors(arrays, asked)
        found = judge(asked, dropped)
        verdicts = {one.name: one.verdict for one in found.verdicts}
        assert verdicts["dW1"] is (Verdict.AGREES if agrees else Verdict.DIVERGES)


@pytest.mark.parametrize("number", [1e39, 1e300])
def test_an_infinity_that_was_answered_may_have_been_a_number(number: float) -> None:
    """Whoever computes float32 cases in float64 rounds what it answers only: a gradient may still be a number."""
    drawn = case(network(3, 1, "identity"), 2, BY_NAME["ordinary"], 0, "float32")
    W = np.array([[1e38, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    x = np.array([[number / 1e38 if number < 1e40 else 3e38, 1, 1], [1, 1, 1]], np.float32)
    asked = dataclasses.replace(drawn, x=x, parameters=Parameters((W,), (np.zeros(3, np.float32),)))
    with np.errstate(over="ignore"):
        z = x.astype(np.float64) @ W.T.astype(np.float64)
        delta = (z - asked.y) / 2
        arrays = {
            "z1": z,
            "a1": z,
            "delta1": delta,
            "db1": delta.sum(axis=0),
            "dW1": delta.T @ x.astype(np.float64),
        }
        answer = {name: array.astype(np.float32) for name, array in arrays.items()}
    assert np.isinf(answer["delta1"]).any()
    assert judge(asked, Gradients.from_tensors(answer, asked)).blamed == []
    for name, index in (("dW1", (0, 0)), ("a1", (0, 0)), ("delta1", (0, 0))):
        small = {key: np.array(array) for key, array in answer.items()}
        small[name][index] = 1.0
        assert judge(asked, Gradients.from_tensors(small, asked)).verdict is Verdict.DIVERGES, name


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(
    ("name", "kink"), [("hardsigmoid", -3.0), ("relu", 0.0), ("hardtanh", 1.0), ("relu6", 6.0)]
)
def test_on_a_kink_a_mask_may_stop_a_nan(name: str, kink: float, precision: str) -> None:
    asked = case(network(1, 2, name), 1, BY_NAME["ordinary"], 0, precision)
    own = spoilt(answered(asked), "delta", 2, lambda array: array.fill(np.nan))
    own = spoilt(own, "z", 1, lambda array: array.fill(kink))
    found = propagated(asked, own, "delta1")
    assert found is not None
    assert np.isnan(found.must).all() and found.or_zero.all()
    assert found.kept(np.zeros((1, 1))).all()
    assert not found.kept(np.ones((1, 1))).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_reference_keeps_what_is_not_finite(activation: str) -> None:
    """In every function, with every cost; and where it is lost, however it was lost, that is noticed."""
    for index, cost in enumerate(COSTS):
        net = Architecture(2, (Layer(3, activation), Layer(2, "softplus")), Cost(cost))
        asked = case(net, 2, NOT_FINITE, index, "float64")
        answer = answered(asked)
        assert judge(asked, answer).blamed == [], cost
        lost = {name: np.nan_to_num(array) for name, array in answer.tensors().items()}
        found = judge(asked, Gradients.from_tensors(lost, asked))
        assert found.verdict is Verdict.DIVERGES, cost


def test_a_cost_may_not_swallow_a_nan() -> None:
    asked, answer = with_one(np.nan)
    found = judge(asked, dataclasses.replace(answer, cost=np.asarray(1.0)))
    assert ("cost", 2) in [(one.equation, one.layer) for one in found.blamed]


def test_an_error_may_not_be_a_number_where_its_weighted_input_is_none() -> None:
    """softplus′(NaN) is NaN, and so is the quadratic cost's gradient; a hinge may choose a side."""
    for cost, swallows in (("half_squared_error", False), ("hinge", True)):
        net = Architecture(2, (Layer(2, "identity"),), Cost(cost))
        asked = case(net, 1, BY_NAME["ordinary"], 0, "float64")
        x = np.array(asked.x)
        x[0, 0] = np.nan
        asked = dataclasses.replace(asked, x=x)
        answer = answered(asked)
        found = judge(asked, dataclasses.replace(answer, delta=[np.full((1, 2), -0.5)]))
        assert (("BP1", 1) in [(one.equation, one.layer) for one in found.blamed]) is not swallows


def test_an_infinity_of_the_other_sign_is_a_divergence() -> None:
    asked, answer = with_one(np.inf)
    wrong = spoilt(answer, "z", 1, lambda array: np.negative(array, out=array, where=np.isinf(array)))
    assert ("forward", 1) in [(one.equation, one.layer) for one in judge(asked, wrong).blamed]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_appears_from_numbers_is_a_divergence(value: float) -> None:
    asked = case(network(3, 2), 2, BY_NAME["ordinary"], 0, "float64")

    def appear(array: np.ndarray) -> None:
        array.flat[0] = value

    for family, equation in (("z", "forward"), ("delta", "BP2"), ("db", "BP3"), ("dW", "BP4")):
        found = judge(asked, spoilt(answered(asked), family, 1, appear))
        assert (equation, 1) in [(one.equation, one.layer) for one in found.blamed]


def test_a_mask_may_stop_a_nan_and_a_slope_may_not() -> None:
    """relu′(z) is 0 for z < 0, and a mask then gives 0; tanh′ is never 0, so that NaN times it is NaN."""
    for name, lets_through in (("relu", [False, True]), ("tanh", [True, True])):
        asked = case(network(2, 2, name), 1, BY_NAME["ordinary"], 0, "float64")
        own = spoilt(answered(asked), "delta", 2, lambda array: array.fill(np.nan))
        own = spoilt(own, "z", 1, lambda array: array.__setitem__(0, [-1.0, 1.0]))
        found = propagated(asked, own, "delta1")
        assert found is not None
        assert np.isnan(found.must).all()
        assert (~found.or_zero[0]).tolist() == lets_through


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_nan_hides_no_subnormal_beside_it(precision: str) -> None:
    smallest = np.finfo(precision).smallest_subnormal
    ball = known(model(precision), np.array([[np.nan, smallest, 1.0]], precision))
    assert float(ball.rad[0, 1]) == float(smallest)
    assert float(ball.rad[0, 2]) == 0
