"""The platform by itself: are its functions as accurate as every enclosure assumes, and its conventions the known ones.

A bad tanh makes every network with a tanh diverge; here it is called a bad tanh. What is expected of a function is
held against it here too, and docs/conventions.md against what is measured.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import flint
import numpy as np
import pytest
from gradparity.adapters import registry
from gradparity.adapters.reference import Reference
from gradparity.harness import conventions, platform
from gradparity.harness.conventions import Convention
from gradparity.harness.expectations import Expectations
from gradparity.harness.platform import Ask, Measured, exactly
from gradparity.harness.workers import Answer, Worker
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES, Array, Case, Gradients
from gradparity.reference.rounding.model import model

DOCUMENT = Path(platform.__file__).parents[1] / "docs" / "conventions.md"

reference = Reference()


def answered(answer: Answer) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(answer)
    return future


def asking(spoil: Callable[[Case, Gradients], Gradients]) -> Ask:
    """Ask the reference, and spoil what it says."""
    return lambda case: answered(Answer("gradients", spoil(case, reference.gradients(case))))


honest = asking(lambda case, answer: answer)


def bad(ask: Ask, precision: str = "float64") -> set[tuple[str, str]]:
    return {(one.function, one.quantity) for one in platform.certify(ask, [precision])[0] if one.bad}


# ------------------------------------------------------------------------------------------------ implementations


def is_known(implementation: str, one: Measured) -> bool:
    about = {
        (known.function, precision)
        for known in Expectations().entries
        if known.is_about(implementation, "")
        for precision in known.precision
    }
    return (one.function, one.precision) in about or (one.through, one.precision) in about


@pytest.mark.parametrize("precision", DTYPES)
def test_no_function_is_bad_but_those_that_are_known(worker: Worker, precision: str) -> None:
    measured, declined = platform.certify(worker.submit, [precision])
    if not measured:
        pytest.skip(f"{worker.name} declines {precision}: {next(iter(declined.values()), '')}")
    unknown = [str(one) for one in measured if one.bad and not is_known(worker.name, one)]
    assert unknown == []


def pinned(implementation: str) -> bool:
    """Whether the document was measured with the version that is installed."""
    installed = {one.name: one.version for one in registry.available()}
    measured = re.search(r"^Measured: (.*)\.$", DOCUMENT.read_text(), re.MULTILINE)
    assert measured is not None
    return f"{implementation} {installed.get(implementation)}" in measured[1].split(", ")


def against_the_document(name: str, found: list[Convention], precision: str, table: str) -> list[str]:
    """Say where conventions are not as the document has them; where it has no line, all are as the reference."""
    lines = conventions.written(DOCUMENT.read_text(), name, precision, table)
    plain = conventions.cells(conventions.conventions(honest, [precision]), precision)
    shown = {
        key: cell
        for key, cell in conventions.cells(found, precision).items()
        if conventions.TABLES[table](key[1])
    }
    wrong = [f"{key}: {cell}" for key, cell in shown.items() if cell != lines.get(key, plain[key])]
    return wrong + [f"{key}: gone" for key in lines if key not in shown]


@lru_cache(maxsize=1)
def conventions_of(worker: Worker, precision: str) -> list[Convention]:
    """Measure what both tables are about."""
    return list(conventions.conventions(worker.submit, [precision]))


@pytest.mark.parametrize("table", ["kinks and zeros", "underflow"])
@pytest.mark.parametrize("precision", conventions.DOCUMENTED)
def test_conventions_are_those_in_the_document(worker: Worker, precision: str, table: str) -> None:
    if not pinned(worker.name):
        pytest.skip(f"docs/conventions.md was measured with another version of {worker.name}")
    assert against_the_document(worker.name, conventions_of(worker, precision), precision, table) == []


def test_what_the_frameworks_are_known_to_take_on_kinks_is_in_the_document() -> None:
    """leaky_relu′(0), hardtanh′(±1) and abs′(0), in PyTorch, TensorFlow and JAX."""
    document = DOCUMENT.read_text()
    for framework, leaky, hard, size in (
        ("torch:eager", "0, 0.3", "0", "0"),
        ("tensorflow:eager", "0, 0.3", "1", "0"),
        ("jax:jit", "0, 1", "1", "1"),
    ):
        lines = conventions.written(document, framework, "float64", "kinks and zeros")
        assert lines["leaky_relu", "0"] == leaky
        assert (lines["hardtanh", "-1"], lines["hardtanh", "1"]) == (f"-1, {hard}", f"1, {hard}")
        assert lines["absolute_error", "0"] == size


# --------------------------------------------------------------------------------------- who is bad, and is named


def off_in(name: str, quantity: str, units: float) -> Ask:
    """Ask a reference whose σ or σ′, or ∇C, is some units of u off where 0.5 < z < 1.

    The networks of one layer that are asked have this activation, or this cost behind the identity.
    """

    def spoil(case: Case, answer: Gradients) -> Gradients:
        network = case.architecture
        assert answer.z is not None
        assert answer.a is not None
        assert answer.delta is not None
        if name not in (network.layers[0].activation, network.cost.name):
            return answer
        z = answer.z[0]
        wrong = (z > 0.5) & (z < 1.0)

        def off(array: Array) -> Array:
            factor = 1 + units * platform.unit(case.precision)
            return np.where(wrong, array.astype(np.float64) * factor, array).astype(case.dtype)

        if quantity == "value":
            return replace(answer, a=[off(answer.a[0])])
        delta = off(answer.delta[0])
        return replace(answer, delta=[delta], dW=[delta.T @ case.x])

    return asking(spoil)


def test_the_reference_is_not_bad() -> None:
    assert bad(honest) == set()


@pytest.mark.parametrize("precision", DTYPES)
def test_a_bad_tanh_is_named_as_a_bad_tanh(precision: str) -> None:
    assert bad(off_in("tanh", "value", 40), precision) == {("tanh", "value")}
    assert bad(off_in("tanh", "slope", 400), precision) == {("tanh", "slope")}


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "softplus", "relu", "softsign", "mish"])
def test_any_bad_function_is_named(name: str) -> None:
    named = {function for function, _ in bad(off_in(name, "value", 60))}
    assert named == {name, "ndtr"} if name == "gelu" else named == {name}
    assert bad(off_in(name, "slope", 200)) == {(name, "slope")}


@pytest.mark.parametrize("name", ["poisson", "squared_error", "cross_entropy", "log_cosh"])
def test_a_bad_gradient_of_a_cost_is_named(name: str) -> None:
    expected = {(name, "slope"), ("exp", "slope")} if name == "poisson" else {(name, "slope")}
    assert bad(off_in(name, "slope", 200)) == expected


def test_what_the_table_allows_is_not_bad() -> None:
    assert model("float64").K["tanh"] > 10
    assert bad(off_in("tanh", "value", 8)) == set()


@pytest.mark.parametrize(("cost", "function"), [("cross_entropy", "log"), ("binary_cross_entropy", "log1p")])
def test_a_bad_logarithm_is_seen_in_costs_of_single_examples(cost: str, function: str) -> None:
    def spoil(case: Case, answer: Gradients) -> Gradients:
        if case.architecture.cost.name != cost or case.batch > 1 or case.parameters.weights[0].size > 1:
            return answer
        assert answer.cost is not None
        return replace(answer, cost=np.asarray(answer.cost * (1 + 2.0**-47), case.dtype))

    assert bad(asking(spoil)) == {(function, "value")}


def test_a_result_that_is_no_number_is_as_far_off_as_can_be() -> None:
    def spoil(case: Case, answer: Gradients) -> Gradients:
        if case.architecture.layers[0].activation != "sigmoid" or answer.a is None:
            return answer
        return replace(answer, a=[np.full_like(answer.a[0], math.nan)])

    measured, _ = platform.certify(asking(spoil), ["float32"])
    (sigmoid,) = [
        one for one in measured if (one.function, one.quantity, one.through) == ("sigmoid", "value", "")
    ]
    assert sigmoid.units == sigmoid.margin == np.finfo(np.float64).max
    assert sigmoid.result == "nan"
    assert sigmoid.bad


# ------------------------------------------------------------------------------------------- every implementation


def test_who_returns_gradients_only_is_measured_through_them() -> None:
    bare = asking(lambda case, answer: Gradients(answer.dW, answer.db))
    found, all_of_it = (
        {(one.function, one.quantity, one.through): one for one in platform.certify(ask, ["float32"])[0]}
        for ask in (bare, honest)
    )
    slopes = {key for key in all_of_it if key[1] == "slope"}
    assert set(found) == slopes
    assert all(found[key].units == all_of_it[key].units and not found[key].bad for key in slopes)
    found_bare = list(conventions.conventions(bare, ["float32"]))
    bare_slopes, all_slopes = (
        [float(one.slope) for one in listed]
        for listed in (found_bare, conventions.conventions(honest, ["float32"]))
    )
    assert np.array_equal(bare_slopes, all_slopes, equal_nan=True)
    assert {one.z for one in found_bare} == {one.value for one in found_bare} == {""}
    spoilt = off_in("tanh", "slope", 400)

    def ask(case: Case) -> Future[Answer]:
        answer = spoilt(case).result().gradients
        assert answer is not None
        return answered(Answer("gradients", Gradients(answer.dW, answer.db)))

    assert bad(ask) == {("tanh", "slope")}


def test_who_declines_or_fails_is_written_down_and_stops_nothing() -> None:
    def ask(case: Case) -> Future[Answer]:
        if case.architecture.layers[0].activation == "gelu" or case.architecture.cost.name == "cross_entropy":
            return answered(Answer("unsupported", message="has no such function"))
        return honest(case)

    measured, declined = platform.certify(ask, ["float32"])
    assert declined == {
        "gelu float32": "has no such function",
        "cross_entropy float32": "has no such function",
    }
    functions = {one.function for one in measured}
    assert functions >= {*ACTIVATIONS, *COSTS} - {"gelu", "cross_entropy"}
    assert not {"gelu", "ndtr", "cross_entropy", "log"} & functions
    assert "gelu" not in {one.function for one in conventions.conventions(ask, ["float32"])}


def test_what_is_measured_is_json() -> None:
    measured, _ = platform.certify(honest, ["float32"])
    listed = list(conventions.conventions(honest, ["float32"]))
    for found, kind in ((measured, Measured), (listed, Convention)):
        read = json.loads(json.dumps([asdict(one) for one in found], allow_nan=False))
        assert [kind(**one) for one in read] == found


# ---------------------------------------------------------------------------------------- exact values, conventions


def test_exact_values_keep_all_their_digits_where_a_formula_cancels() -> None:
    z = np.array([[0.5, 19.0], [100.0, 300.0]])
    found = exactly(lambda x: 1 - np.tanh(x) * np.tanh(x), [z], "float64")
    with flint.ctx.workprec(2000):
        for index in np.ndindex(z.shape):
            exact = 1 / flint.arb(z[index]).cosh() ** 2
            assert abs((flint.arb(found.head[index]) + flint.arb(found.tail[index])) / exact - 1) < 2.0**-70
    assert found.counted.all()
    half = np.nextafter(found.head, 1)
    assert (found.units(half, "float64") > 0.5).all()
    assert (found.units(found.head, "float64") <= 1).all()


def test_what_is_below_the_smallest_normal_number_is_not_counted() -> None:
    z = np.array([[-80.0, -100.0, 90.0]])
    found = exactly(np.exp, [z], "float32")
    assert found.counted.tolist() == [[True, False, False]]
    assert found.units(np.zeros((1, 3), np.float32), "float32").tolist() == [[2.0**24, 0.0, 0.0]]


def test_conventions_say_what_came_back() -> None:
    found = {(one.function, one.at): one for one in conventions.conventions(honest, ["float32"])}
    assert found["relu", "0"] == Convention("relu", "float32", "0", "0.0", "0.0", "0.0")
    assert found["leaky_relu", "-inf"].value == "-inf"
    assert found["hardtanh", "1"].slope == "1.0"
    assert found["tanh", "nan"].value == "nan"
    assert found["identity", "smallest subnormal"].value == repr(2.0**-149)
    assert found["hinge", "1"].value == ""
    for name in ACTIVATIONS:
        for kink in conventions.kinks_of(name):
            assert (name, f"{kink:g}") in found


def test_another_convention_is_noticed() -> None:
    def spoil(case: Case, answer: Gradients) -> Gradients:
        if case.architecture.layers[0].activation != "relu" or answer.delta is None or answer.z is None:
            return answer
        return replace(answer, delta=[np.where(answer.z[0] == 0, 0.5, answer.delta[0]).astype(case.dtype)])

    found = list(conventions.conventions(asking(spoil), ["float64"]))
    assert against_the_document("reference", found, "float64", "kinks and zeros") == [
        "('relu', '0'): 0, 0.5", "('relu', '-0'): 0, 0.5"
    ]  # fmt: skip
    honestly = list(conventions.conventions(honest, ["float64"]))
    assert against_the_document("reference", honestly, "float64", "kinks and zeros") == []
    # A line that nothing is measured for is noticed as well.
    without = [one for one in honestly if one.function != "hinge"]
    assert against_the_document("reference", without, "float64", "kinks and zeros") == [
        "('hinge', '1'): gone"
    ]


def test_the_document_is_what_the_module_writes() -> None:
    measured = {"reference": list(conventions.conventions(honest, conventions.DOCUMENTED))}
    written = conventions.markdown(
        {**measured, "other": measured["reference"]}, {"reference": "1", "other": "2"}
    )
    for precision in conventions.DOCUMENTED:
        lines = conventions.written(written, "reference", precision, "kinks and zeros")
        assert lines["relu6", "6"] == "6, 1"
        assert set(lines) == {
            (name, f"{kink:g}") for name in (*ACTIVATIONS, *COSTS) for kink in conventions.kinks_of(name)
        }
        assert conventions.written(written, "nobody", precision, "kinks and zeros") == {}
