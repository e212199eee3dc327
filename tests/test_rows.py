"""A function is one row: nothing else in the product lists functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradparity
import pytest
from gradparity.reference.activations import ACTIVATION_ROWS
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.functions.parameter import Parameter
from gradparity.reference.functions.row import Row
from gradparity.reference.network import Cost, Layer, MalformedError
from gradparity.reference.rounding.model import model

ROOT = Path(gradparity.__file__).parent
ROWS: list[Row] = [*ACTIVATION_ROWS.values(), *COST_ROWS.values()]
NAMES = {row.name for row in ROWS}

#: Files of the product in which a function's name may stand, and why; adapters have rows of their own.
ALLOWED = {
    "reference/activations.py": "the rows",
    "reference/costs.py": "the rows",
    "reference/rounding/model.py": "tanh and sigmoid are elementary functions here",
    "reference/rounding/spans.py": "the same",
    "reference/rounding/uncancelled.py": "the same",
    "reference/number.py": "the same, and softmax",
    "property_tests/probes.py": "what shows another function by itself: the identity, and a cost that is linear",
    "harness/shrink.py": "the same, in which a layer is shown alone",
    "harness/vector_cases.py": "the architectures of the frozen vectors",
    "property_tests/faults/cost.py": "a fault names the function that it is about",
    "property_tests/faults/error.py": "the same",
    "property_tests/faults/forward.py": "the same",
}


def product() -> Iterator[Path]:
    for room in ("reference", "property_tests", "harness", "reports"):
        yield from (path for path in (ROOT / room).rglob("*.py") if not path.name.startswith("test_"))


def named_in(source: str) -> set[str]:
    """Return the functions whose names are strings in a program."""
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str) and value in NAMES}


def test_nothing_but_the_rows_names_functions() -> None:
    listed = {
        str(path.relative_to(ROOT)): found for path in product() if (found := named_in(path.read_text()))
    }
    assert listed.keys() == ALLOWED.keys()
    assert named_in("LAST = {'poisson': 1}") == {"poisson"}


def test_names_are_told_apart_and_refer_to_functions() -> None:
    assert len(NAMES) == len(ROWS)
    assert {name for row in COST_ROWS.values() for name in row.last} <= set(ACTIVATION_ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_parameter_is_tried_with_its_default_and_with_what_it_may_be(row: Row) -> None:
    for one in row.parameters:
        assert one.default in one.drawn
        assert all(value in one.allowed for value in (*one.drawn, *one.exact, *row.probed, *row.frozen))
        assert bool(one.exact) == row.exact


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_function_s_parameters_come_in_their_order_or_by_name(row: Row) -> None:
    def made(*values: float, **named: float) -> Layer | Cost:
        return (
            Cost(row.name, *values, **named)
            if row.name in COST_ROWS
            else Layer(2, row.name, *values, **named)
        )

    assert made().parameters == row.defaults
    tried = [one.drawn[-1] for one in row.parameters]
    assert made(*tried) == made(**{one.name: value for one, value in zip(row.parameters, tried, strict=True)})
    assert made(*tried).to_json().items() >= row.named(tuple(tried)).items()
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        made(nothing=1.0)
    with pytest.raises((TypeError, MalformedError), match=f"{row.name} takes"):
        made(*tried, 1.0)
    for one in row.parameters:
        with pytest.raises(MalformedError, match=f"{row.name} needs a {one.allowed.words} {one.name}, got 0"):
            made(**{one.name: 0})


def test_what_is_shown_is_an_elementary_function() -> None:
    shown = [row.shows.function for row in (*ACTIVATION_ROWS.values(), *COST_ROWS.values()) if row.shows]
    assert len(set(shown)) == len(shown)
    assert set(shown) <= set(model("float64").K)


def test_two_values_for_one_parameter_are_refused() -> None:
    with pytest.raises(TypeError, match="elu got two values for alpha"):
        Layer(2, "elu", 0.3, alpha=0.3)
    assert Parameter("alpha", 1.0, (1.0,)).checked("elu", None) == 1.0


def test_a_parameter_is_replaced_by_its_name_or_kept() -> None:
    layer, cost = Layer(3, "elu", 2.0), Cost("huber", 2.0)
    alpha: dict[str, Any] = {"alpha": 3.0}
    delta: dict[str, Any] = {"delta": 3.0}
    assert replace(layer, **alpha) == Layer(3, "elu", 3.0)
    assert replace(cost, **delta) == Cost("huber", 3.0)
    assert (replace(layer), replace(cost)) == (layer, cost)
    assert (layer.alpha, cost.delta) == (2.0, 2.0)
    assert replace(Layer(3, "elu", 2.0), width=5) == Layer(5, "elu", 2.0)
    assert Cost("smooth_l1").beta == 1.0
    assert Cost("smooth_l1").delta is None
    with pytest.raises(AttributeError, match="has no 'nothing'"):
        _ = Cost("hinge").nothing
    with pytest.raises(TypeError, match="passed once"):
        Layer(3, "elu", 5.0, parameters=(2.0,))
    with pytest.raises(MalformedError, match="hinge takes no parameter"):
        Cost("hinge", 1.0)
