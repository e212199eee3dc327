"""What the four equations teach, held against every implementation. Each lesson is a function of its own name.

A lesson asks an implementation about a case, and often about a second one that mathematics says is the same.
Two answers to the same question lie in the same enclosure, so they are apart by the two radii at most; where
nothing is rounded, nothing may differ. The comparing is done in exact arithmetic and adds no error of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import flint
import numpy as np
import pytest
from gradparity.adapters.reference import Reference
from gradparity.harness.expectations import Expectations
from gradparity.harness.judgement import judge
from gradparity.harness.workers import Worker
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.activations import Elementwise, activation
from gradparity.reference.backprop import feedforward
from gradparity.reference.costs import cost_function
from gradparity.reference.enclosure import enclose
from gradparity.reference.links import links
from gradparity.reference.network import (
    ACTIVATIONS,
    Architecture,
    Array,
    Case,
    Cost,
    Gradients,
    Layer,
    Parameters,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Ask = Callable[[Case], Gradients]
Lesson = Callable[[Ask, Case], None]

#: Networks whose functions every implementation computes well, so that a lesson fails for its own reason only.
NETWORKS = (
    Architecture(
        3, (Layer(4, "tanh"), Layer(3, "sigmoid"), Layer(2, "identity")), Cost("half_squared_error")
    ),
    Architecture(2, (Layer(3, "relu"), Layer(4, "tanh"), Layer(2, "tanh")), Cost("log_cosh"), "sum"),
)
BATCH = 3
#: Values that do not overflow, nor vanish.
REGIMES = ("ordinary", "saturated", "zeros", "mixed_magnitudes", "repeated_rows")


# --------------------------------------------------------------------------------------------- exact comparisons


def exactly(array: Any) -> Any:
    """Give numbers of any kind as arbs, without loss."""
    result = np.empty(np.shape(array), dtype=object)
    result.flat[:] = [_exact_number(value) for value in np.asarray(array, dtype=object).flat]
    return result


def _exact_number(value: Any) -> Any:
    if isinstance(value, flint.arb):
        return value
    head = float(value)  # a long double is a double and a rest
    return flint.arb(head) + flint.arb(float(value - head)) if np.isfinite(head) else flint.arb(head)


def assert_near(one: Any, other: Any, radius: Any, what: str) -> None:
    """Fail where two arrays are apart by more than a radius allows; an infinite one allows everything."""
    ones, others = exactly(one), exactly(other)
    radii = np.broadcast_to(np.asarray(radius, np.float64), ones.shape)
    assert ones.shape == others.shape, what
    for index in np.ndindex(*ones.shape):
        apart = abs(ones[index] - others[index])
        near = apart.is_finite() and not apart > flint.arb(float(radii[index]))
        assert near or np.isinf(radii[index]), (
            f"{what}{list(index)}: {ones[index]} and {others[index]}, ± {radii[index]}"
        )


def radii(case: Case) -> dict[str, Array]:
    """Give the radius of every component of a correct answer."""
    return {name: np.asarray(interval.rad) for name, interval in enclose(case).items()}


def with_values(case: Case, **values: Any) -> Case:
    """Give the case with other values: x, y, weights or biases."""
    weights, biases = (
        values.pop("weights", case.parameters.weights),
        values.pop("biases", case.parameters.biases),
    )
    return replace(case, parameters=Parameters(tuple(weights), tuple(biases)), **values)


def one_example(case: Case, i: int = 0) -> Case:
    """Give a batch of one."""
    return with_values(case, x=case.x[i : i + 1], y=case.y[i : i + 1])


def exact_forward(case: Case, moved: tuple[int, int] | None = None, by: Any = 0) -> tuple[Any, Any, Any]:
    """Give z, a and the cost in arbitrary precision; one bias may be moved, and with it one weighted input."""
    W, b = (
        [exactly(array) for array in family] for family in (case.parameters.weights, case.parameters.biases)
    )
    if moved is not None:
        b[moved[0]][moved[1]] += by
    network = case.architecture
    z, a = feedforward(network, Parameters(tuple(W), tuple(b)), exactly(case.x))
    cost = cost_function(network.cost).value(a[-1], exactly(case.y))
    return z, a, cost / case.batch if network.reduction == "mean" else cost


def slopes(case: Case, z: Any) -> list[Any]:
    """σ′(z^l) of every layer, in arbitrary precision."""
    sigma = [activation(layer) for layer in case.architecture.layers]
    return [
        s.scalar.slope(exactly(z_l)) for s, z_l in zip(sigma, z, strict=True) if isinstance(s, Elementwise)
    ]


# ------------------------------------------------------------------------------------------------------- the lessons


def the_error_is_a_derivative(ask: Ask, case: Case) -> None:
    """The demon at the neuron: a small Δz moves the cost by δ Δz.

    A central difference is off by c h² + O(h⁴): at h it is three times nearer to the derivative than to the
    difference at 2h. For one example, moving the bias moves the weighted input and nothing else.
    """
    case = one_example(with_values(case, biases=[b + b.dtype.type(2.0**-9) for b in case.parameters.biases]))
    answer, radius, h = ask(case), radii(case), flint.arb(2) ** -60
    for l, layer in enumerate(case.architecture.layers):
        for j in range(layer.width):
            cost = {k: exact_forward(case, (l, j), k * h)[2] for k in (-2, -1, 1, 2)}
            near, far = (cost[1] - cost[-1]) / (2 * h), (cost[2] - cost[-2]) / (4 * h)
            # Both δ and the exact derivative are in one interval, so 2 radii apart at most.
            allowed = 2 * radius[f"delta{l + 1}"][0, j] + float(abs(near - far).upper())
            assert_near(_delta(answer)[l][:, j], np.array([near]), allowed, f"delta{l + 1}")


def _delta(answer: Gradients) -> list[Array]:
    """Give δ^1..δ^L; with one example they are the bias gradients, so that everyone has them."""
    own = answer.delta or [None] * len(answer.db)
    return [
        np.asarray(db)[None, :] if d is None else np.asarray(d) for d, db in zip(own, answer.db, strict=True)
    ]


def _whole(*families: Sequence[Any] | None) -> bool:
    """Tell whether all layers' arrays of these kinds were answered."""
    return all(family is not None and all(one is not None for one in family) for family in families)


def bp1_splits_in_two(ask: Ask, case: Case) -> None:
    """The squared error's ∇_a C is twice the half squared error's, and so is δ^L."""
    half, whole = (
        one_example(replace(case, architecture=replace(case.architecture, cost=Cost(name))))
        for name in ("half_squared_error", "squared_error")
    )
    name = f"db{case.architecture.depth}"
    doubled = 2 * exactly(ask(half).db[-1])
    assert_near(doubled, ask(whole).db[-1], 2 * radii(half)[name] + radii(whole)[name], name)


def an_ignored_output_has_no_error(ask: Ask, case: Case) -> None:
    """-Σ y log a does not look at an output whose y is 0, and so nothing is learnt from it."""
    last = case.architecture.layers[-1]
    layers = (*case.architecture.layers[:-1], Layer(last.width, "identity"))
    network = replace(case.architecture, layers=layers, cost=Cost("negative_log_likelihood"))
    y = np.zeros_like(case.y)
    y[:, 1] = 1
    answer = ask(with_values(replace(case, architecture=network), y=y))
    assert not np.any(answer.db[-1][0])
    assert not np.any(answer.dW[-1][0])


def bp2_moves_the_error_back(ask: Ask, case: Case) -> None:
    """Every neuron collects the errors it contributed to, weight by weight, and σ′ moves them through it."""
    answer = ask(case)
    if not _whole(answer.z, answer.a, answer.delta):
        pytest.skip("does not give all of z, a and δ")
    assert answer.z is not None
    assert answer.delta is not None
    slope, radius = slopes(case, answer.z), links(case, answer)
    for l in range(case.architecture.depth - 1):
        W, after = exactly(case.parameters.weights[l + 1]), exactly(answer.delta[l + 1])
        collected = np.empty_like(slope[l])
        for i, k in np.ndindex(*collected.shape):
            collected[i, k] = sum(after[i, j] * W[j, k] for j in range(len(W))) * slope[l][i, k]
        # Not twice: on given numbers the middle of a link is as exact as long double, which the radius covers.
        link = radius[f"delta{l + 1}"]
        assert_near(answer.delta[l], collected, 2 * link.rad if link.kinked else link.rad, f"delta{l + 1}")


def the_gradient_is_a_sum_over_all_paths(ask: Ask, case: Case) -> None:
    """∂C/∂w is the sum, over all paths from w to the cost, of all the weights and slopes on the way."""
    case = one_example(case)
    network, answer, radius = case.architecture, ask(case), radii(case)
    z, a, _ = exact_forward(case)
    slope, upstream = slopes(case, z), cost_function(network.cost).gradient(a[-1], exactly(case.y))
    W = [exactly(weights) for weights in case.parameters.weights]
    for l in range(network.depth):
        expected = np.empty(answer.dW[l].shape, dtype=object)
        for j, k in np.ndindex(*expected.shape):
            expected[j, k] = flint.arb(0)
            for later in product(*(range(layer.width) for layer in network.layers[l + 1 :])):
                path = (j, *later)
                on_the_way = a[l][0, k] * slope[l][0, j] * upstream[0, path[-1]]
                for i, (here, there) in enumerate(pairwise(path), start=l + 1):
                    on_the_way = on_the_way * W[i][there, here] * slope[i][0, there]
                expected[j, k] = expected[j, k] + on_the_way
        assert_near(answer.dW[l], expected, 2 * radius[f"dW{l + 1}"], f"dW{l + 1}")


def bp3_the_error_is_the_bias_gradient(ask: Ask, case: Case) -> None:
    """∂z/∂b = 1: with one example δ and ∂C/∂b are the same numbers, but for one rounding where they are two."""
    case = one_example(case)
    answer = ask(case)
    if not _whole(answer.delta):
        pytest.skip("does not give all of δ")
    assert answer.delta is not None
    own, radius = links(case, answer), radii(case)
    for l, (delta, db) in enumerate(zip(answer.delta, answer.db, strict=True), start=1):
        assert_near(db, delta[0], own[f"db{l}"].rad if own else 2 * radius[f"db{l}"], f"db{l}")


def bp4_is_an_outer_product(ask: Ask, case: Case) -> None:
    """With one example ∂C/∂W is every pair of an incoming activation and an outgoing error: its rank is 1."""
    case = one_example(case)
    answer = ask(case)
    own = links(case, answer)
    for l, (dW, incoming) in enumerate(zip(answer.dW, (case.x, *(answer.a or ())), strict=False), start=1):
        if incoming is None:
            continue
        pairs = np.multiply.outer(exactly(_delta(answer)[l - 1][0]), exactly(incoming[0]))
        assert_near(dW, pairs, own[f"dW{l}"].rad if own else 2 * radii(case)[f"dW{l}"], f"dW{l}")


def weights_out_of_a_silent_neuron_get_no_gradient(ask: Ask, case: Case) -> None:
    """Zero in, zero learnt: not a small number, but nothing."""
    x = case.x.copy()
    x[:, 0] = 0
    assert not np.any(ask(with_values(case, x=x)).dW[0][:, 0])


def equally_loud_inputs_are_changed_equally(ask: Ask, case: Case) -> None:
    """BP4 does not ask what an input meant, only how loud it was."""
    x = case.x.copy()
    x[:, 1] = x[:, 0]
    case = with_values(case, x=x)
    dW, radius = ask(case).dW[0], radii(case)["dW1"]
    assert_near(dW[:, 0], dW[:, 1], radius[:, 0] + radius[:, 1], "dW1")


def saturated_neurons_learn_slowly(ask: Ask, case: Case) -> None:
    """At the flat ends σ′ is next to nothing, and no gradient behind it is larger than what it lets through."""
    biases = [b + np.copysign(b.dtype.type(6), b) for b in case.parameters.biases]
    case = one_example(with_values(case, biases=biases))
    answer, radius, W = ask(case), radii(case), [exactly(weights) for weights in case.parameters.weights]
    z, a, _ = exact_forward(case)
    slope = slopes(case, z)
    behind = [abs(cost_function(case.architecture.cost).gradient(a[-1], exactly(case.y))[0])]
    for l in reversed(range(case.architecture.depth)):
        behind.insert(0, abs(behind[0]) * abs(slope[l][0]))
        for j, k in np.ndindex(*answer.dW[l].shape):
            size = abs(exactly(answer.dW[l])[j, k])
            assert not size > abs(a[l][0, k]) * behind[0][j] + flint.arb(
                float(2 * radius[f"dW{l + 1}"][j, k])
            )
        behind[0] = abs(W[l]).T @ behind[0]


def the_whole_is_the_mean_of_its_parts(ask: Ask, case: Case) -> None:
    """C is the mean (or the sum) of C_x, so every gradient is that of the per-example gradients."""
    parts, m = [one_example(case, i) for i in range(case.batch)], case.batch
    share = Fraction(1, m) if case.architecture.reduction == "mean" else Fraction(1)
    answers, whole, allowed = [ask(part).tensors() for part in parts], ask(case).tensors(), radii(case)
    parts_allow = [radii(part) for part in parts]
    for name in whole:
        if name.startswith(("dW", "db", "cost")) and all(name in answer for answer in answers):
            total = sum(exactly(answer[name]) for answer in answers) / (m if share != 1 else 1)
            together = allowed[name] + float(share) * sum(radius[name] for radius in parts_allow)
            assert_near(whole[name], total, together, name)


def reordering_the_batch_changes_nothing_but_rounding(ask: Ask, case: Case) -> None:
    """A sum does not know the order of its terms."""
    order = np.arange(case.batch)[::-1]
    other = with_values(case, x=case.x[order], y=case.y[order])
    one, two, radius, other_radius = ask(case), ask(other), radii(case), radii(other)
    for l in range(case.architecture.depth):
        for name, mine, its in ((f"dW{l + 1}", one.dW[l], two.dW[l]), (f"db{l + 1}", one.db[l], two.db[l])):
            assert_near(mine, its, radius[name] + other_radius[name], name)


def permuting_hidden_neurons_permutes_their_gradients(ask: Ask, case: Case) -> None:
    """A neuron is what it is connected to, not its place in the row."""
    W, b = list(case.parameters.weights), list(case.parameters.biases)
    order = np.arange(len(b[0]))[::-1]
    other = with_values(case, weights=[W[0][order], W[1][:, order], *W[2:]], biases=[b[0][order], *b[1:]])
    one, two, radius, other_radius = ask(case), ask(other), radii(case), radii(other)
    for name, mine in (("dW1", order), ("db1", order), ("dW2", (slice(None), order))):
        allowed = radius[name][mine] + other_radius[name]
        assert_near(one.tensors()[name][mine], two.tensors()[name], allowed, name)


def the_same_question_has_the_same_answer(ask: Ask, case: Case) -> None:
    """Storing z and a must not leave anything behind: asked again, with others in between, not a bit differs."""
    first = ask(case).tensors()
    ask(with_values(case, x=-case.x))
    ask(one_example(case))
    again = ask(case).tensors()
    assert {name: array.tobytes() for name, array in first.items()} == {
        name: array.tobytes() for name, array in again.items()
    }


LESSONS: tuple[Lesson, ...] = (
    the_error_is_a_derivative,
    bp1_splits_in_two,
    an_ignored_output_has_no_error,
    bp2_moves_the_error_back,
    the_gradient_is_a_sum_over_all_paths,
    bp3_the_error_is_the_bias_gradient,
    bp4_is_an_outer_product,
    weights_out_of_a_silent_neuron_get_no_gradient,
    equally_loud_inputs_are_changed_equally,
    saturated_neurons_learn_slowly,
    the_whole_is_the_mean_of_its_parts,
    reordering_the_batch_changes_nothing_but_rounding,
    permuting_hidden_neurons_permutes_their_gradients,
    the_same_question_has_the_same_answer,
)


@pytest.fixture(autouse=True)
def _in_high_precision() -> Iterator[None]:
    with flint.ctx.workprec(400):
        yield


@pytest.mark.parametrize("network", NETWORKS, ids=["smooth", "with a kink"])
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.__name__)
@settings(max_examples=6)
@given(
    regime=st.sampled_from(REGIMES),
    seed=st.integers(0, 2**32 - 1),
    precision=st.sampled_from(["float64", "float32"]),
)
def test_lesson(
    ask: Ask, lesson: Lesson, network: Architecture, regime: str, seed: int, precision: str
) -> None:
    lesson(ask, case(network, BATCH, BY_NAME[regime], seed, precision))


# ------------------------------------------------------------------------------------------------ one neuron a layer


def one_neuron_a_layer(answer: Gradients, case: Case) -> None:
    """A chain of single neurons: the gradient is the product of its links."""
    z, a, _ = exact_forward(case)
    slope, radius = slopes(case, z), radii(case)
    product_of_links = cost_function(case.architecture.cost).gradient(a[-1], exactly(case.y))[0, 0]
    for l in reversed(range(case.architecture.depth)):
        product_of_links = product_of_links * slope[l][0, 0]
        assert_near(answer.db[l], np.array([product_of_links]), 2 * radius[f"db{l + 1}"], f"db{l + 1}")
        expected = product_of_links * a[l]
        assert_near(answer.dW[l], expected, 2 * radius[f"dW{l + 1}"], f"dW{l + 1}")
        product_of_links = product_of_links * exactly(case.parameters.weights[l])[0, 0]


def chain(name: str) -> Architecture:
    return Architecture(1, (Layer(1, name),) * 3, Cost("half_squared_error"))


@pytest.mark.parametrize(
    "name", [name for name in ACTIVATIONS if isinstance(activation(Layer(1, name)), Elementwise)]
)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), precision=st.sampled_from(["float64", "float32"]))
def test_one_neuron_a_layer_is_a_product_of_links(
    ask: Ask, worker: Worker, name: str, seed: int, precision: str
) -> None:
    asked = case(chain(name), 1, BY_NAME["ordinary"], seed, precision)
    answer = ask(asked)
    known = [
        Expectations().covering(worker.name, "", asked.architecture, precision, one) is not None
        for one in judge(asked, answer).blamed
    ]
    if not (known and all(known)):  # what the enclosures say, the product of links would only say again
        one_neuron_a_layer(answer, asked)


# --------------------------------------------------------------------------------- every lesson fails for who broke it


def reference(case: Case) -> Gradients:
    return Reference().gradients(case)


def changed(change: Callable[[Case, dict[str, Array]], None]) -> Ask:
    """Make an implementation that is the reference with one fault."""

    def ask(case: Case) -> Gradients:
        arrays = {name: np.array(array) for name, array in reference(case).tensors().items()}
        change(case, arrays)
        return Gradients.from_tensors(arrays, case)

    return ask


def _first_error_is_off(case: Case, arrays: dict[str, Array]) -> None:
    arrays["delta1"] *= 1 + 2.0**-7


def _squared_error_without_its_two(case: Case, arrays: dict[str, Array]) -> None:
    if case.architecture.cost.name == "squared_error":
        for array in arrays.values():
            array /= 2


def _adds_a_little_for_stability(case: Case, arrays: dict[str, Array]) -> None:
    for name in arrays:
        if name.startswith(("dW", "db")):
            arrays[name] += 1e-3


def _loses_a_path(case: Case, arrays: dict[str, Array]) -> None:
    W, delta, z = case.parameters.weights[1], arrays["delta2"], arrays["z1"]
    sigma = activation(case.architecture.layers[0])
    arrays["delta1"] = sigma.vjp(delta[:, 1:] @ W[1:], z)
    arrays["dW1"], arrays["db1"] = arrays["delta1"].T @ case.x, arrays["delta1"].sum(axis=0)


def _bias_gradient_doubled(case: Case, arrays: dict[str, Array]) -> None:
    arrays["db1"] *= 2


def _weight_decay(case: Case, arrays: dict[str, Array]) -> None:
    for l, W in enumerate(case.parameters.weights, start=1):
        arrays[f"dW{l}"] += (0.01 * W).astype(case.dtype)


def _position_matters(case: Case, arrays: dict[str, Array]) -> None:
    for name in [name for name in arrays if name.startswith(("dW", "db"))]:
        arrays[name].reshape(-1)[0] += 1


def _no_slope(case: Case, arrays: dict[str, Array]) -> None:
    """σ′ is left out of BP1 and BP2."""
    network, weights = case.architecture, case.parameters.weights
    delta = cost_function(network.cost).gradient(arrays[f"a{network.depth}"], case.y)
    for l in reversed(range(1, network.depth + 1)):
        arrays[f"dW{l}"] = delta.T @ (arrays[f"a{l - 1}"] if l > 1 else case.x)
        delta = delta @ weights[l - 1]


def _twice_divided(case: Case, arrays: dict[str, Array]) -> None:
    for array in arrays.values():
        array /= case.batch


def _first_example_twice(case: Case, arrays: dict[str, Array]) -> None:
    arrays["db1"] += arrays["delta1"][0]


def _never_forgets() -> Ask:
    """Gradients are accumulated and not zeroed."""
    before: dict[tuple[Any, ...], Array] = {}

    def accumulate(case: Case, arrays: dict[str, Array]) -> None:
        for name in [name for name in arrays if name.startswith("dW")]:
            place = (name, arrays[name].shape, case.precision)
            before[place] = arrays[name] = arrays[name] + before.get(place, case.dtype.type(0))

    return changed(accumulate)


FAULTS: dict[Lesson, Ask] = {
    the_error_is_a_derivative: changed(_first_error_is_off),
    bp1_splits_in_two: changed(_squared_error_without_its_two),
    an_ignored_output_has_no_error: changed(_adds_a_little_for_stability),
    bp2_moves_the_error_back: changed(_loses_a_path),
    the_gradient_is_a_sum_over_all_paths: changed(_loses_a_path),
    bp3_the_error_is_the_bias_gradient: changed(_bias_gradient_doubled),
    bp4_is_an_outer_product: changed(_weight_decay),
    weights_out_of_a_silent_neuron_get_no_gradient: changed(_weight_decay),
    equally_loud_inputs_are_changed_equally: changed(_weight_decay),
    saturated_neurons_learn_slowly: changed(_no_slope),
    the_whole_is_the_mean_of_its_parts: changed(_twice_divided),
    reordering_the_batch_changes_nothing_but_rounding: changed(_first_example_twice),
    permuting_hidden_neurons_permutes_their_gradients: changed(_position_matters),
    the_same_question_has_the_same_answer: _never_forgets(),
}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("network", NETWORKS, ids=["smooth", "with a kink"])
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.__name__)
def test_whoever_broke_a_lesson_fails_it(lesson: Lesson, network: Architecture, precision: str) -> None:
    asked = case(network, BATCH, BY_NAME["ordinary"], 5, precision)
    lesson(reference, asked)
    with pytest.raises(AssertionError):
        lesson(FAULTS[lesson], asked)


def test_a_lost_link_is_seen_in_the_chain() -> None:
    asked = case(chain("tanh"), 1, BY_NAME["ordinary"], 5, "float32")
    one_neuron_a_layer(reference(asked), asked)
    with pytest.raises(AssertionError):
        one_neuron_a_layer(changed(_bias_gradient_doubled)(asked), asked)


def test_the_reference_leaves_its_inputs_alone() -> None:
    for network in NETWORKS:
        asked = case(network, BATCH, BY_NAME["ordinary"], 5, "float64")
        before = {name: array.tobytes() for name, array in asked.tensors().items()}
        reference(asked)
        assert {name: array.tobytes() for name, array in asked.tensors().items()} == before
