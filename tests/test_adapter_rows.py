"""A row's text is compiled, printed and named as its author meant it."""

from __future__ import annotations

import math
import traceback

import numpy as np
import pytest
from gradparity.adapters.rows import Row, Text, compiled, labels

NAMES = {"np": "numpy", "linalg": "numpy.linalg", "math": "math"}


def one(row: Row, *arguments: float) -> float:
    return float(compiled({"own": row}, NAMES, "a library")["own"](*arguments))


def text(source: str) -> Text:
    return Text("own", source, frozenset(NAMES))


def test_an_expression_is_a_function_of_z_and_then_of_its_parameters() -> None:
    assert one(Row("np.where(z > 0, z, slope * z) + shift"), -2.0, 0.5, 10.0) == 9.0
    assert text("shift + slope * z").arguments == ("z", "shift", "slope")


def test_a_cost_is_a_function_of_a_and_y_in_that_order() -> None:
    assert one(Row("beta * (y - a)"), 1.0, 3.0, 10.0) == 20.0
    assert text("np.sum(beta * max(y, a))").arguments == ("a", "y", "beta")
    assert text("np.sum(a)").arguments == ("a", "y")


def test_a_definition_keeps_its_own_signature() -> None:
    row = Row(
        """
        def own(a, y, second, first):
            # A comment is printed with it.
            r = a - y
            return first * r + second
        """
    )
    assert one(row, 5.0, 3.0, 7.0, 10.0) == 27.0
    assert text(row.text).definition.startswith("def own(a, y, second, first):\n    # A comment")
    assert text(row.text).applied(["a2", "y", "0.5", "2.0"]) == "own(a2, y, 0.5, 2.0)"


def test_an_expression_may_name_a_function_called_like_itself() -> None:
    assert compiled({"exp": Row("exp(z)")}, {"exp": math.exp}, "a library")["exp"](0.0) == 1.0


def test_values_are_put_in_the_place_of_names_only() -> None:
    """Not in that of an option or an attribute with the same name."""
    written = text("np.loss(a, y, delta=delta).a").applied(["a2", "y", "0.5"])
    assert written == "np.loss(a2, y, delta=0.5).a"
    assert text("z").applied(["z1"]) == "z1"


def test_the_label_is_the_function_that_is_called() -> None:
    rows = {
        "plain": Row("np.exp(z)"),
        "with options": Row("linalg.norm(a, y, axis=-1, ord=order, keepdims=True)"),
        "written": Row("1 - np.exp(-z)", "composed: 1 - e^-z"),
    }
    assert labels(rows, NAMES) == {
        "plain": "np.exp",
        "with options": "numpy.linalg.norm",
        "written": "composed: 1 - e^-z",
    }


@pytest.mark.parametrize(
    "source", ["z", "2 * np.exp(z)", "np.exp(-z)", "np.exp(z).sum()", "np.exp(np.exp(z))"]
)
def test_what_is_not_a_call_of_one_function_needs_a_label(source: str) -> None:
    with pytest.raises(ValueError, match="own needs a label"):
        labels({"own": Row(source)}, NAMES)


def test_a_traceback_shows_the_line_of_the_text() -> None:
    function = compiled({"own": Row("np.no_such_function(z)")}, NAMES, "a library")["own"]
    with pytest.raises(AttributeError) as raised:
        function(1.0)
    shown = "".join(traceback.format_exception(raised.value))
    assert 'File "<a library: own>"' in shown
    assert "return np.no_such_function(z)" in shown


def test_classes_are_taken_where_every_target_is_one_hot() -> None:
    row, one_hot = Row("-(y * a).sum()", classes="pick(a, y)"), np.eye(3)[[2, 0]]
    assert row.classes_of(one_hot).tolist() == [2, 0]  # type: ignore[union-attr]
    assert row.classes_of(one_hot / 2) is None
    assert Row("-(y * a).sum()").classes_of(one_hot) is None
