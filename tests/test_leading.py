"""The leading error: less than a link's radius everywhere, and enough for nearly every honest answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, judge
from gradparity.adapters.reference import load
from gradparity.harness.verdict import Verdict
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference import names
from gradparity.reference.activations import ACTIVATION_ROWS
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.interval import Interval, RankOne
from gradparity.reference.links import Links
from gradparity.reference.network import ACTIVATIONS, COSTS
from gradparity.reference.number import UnknownError
from gradparity.reference.rounding.leading import Leading
from gradparity.reference.stack import Stack, stacked_answers

WIDTH, BATCH = 96, 32
REFERENCE = load("")
REGIMES = (
    "ordinary",
    "saturated",
    "sweep",
    "kinks",
    "tiny",
    "large",
    "zeros",
    "mixed_magnitudes",
    "not_finite",
)
COUPLED = [name for name, row in ACTIVATION_ROWS.items() if row.coupled]


def asked(activation: str, cost: str, regime: str, precision: str) -> Case:
    layers = (Layer(WIDTH, "tanh"), Layer(WIDTH, activation), Layer(WIDTH, COST_ROWS[cost].below("sigmoid")))
    return case(Architecture(WIDTH, layers, Cost(cost)), BATCH, BY_NAME[regime], 3, precision)


KINDS = [*((name, "squared_error") for name in ACTIVATIONS), *(("tanh", name) for name in COSTS)]


def links(one: Case, answer: Gradients) -> tuple[Links, dict[str, np.ndarray]]:
    own = stacked_answers([answer])
    return Links(Stack([one]), own), own.tensors()


def both(one: Case) -> Iterator[tuple[str, np.ndarray, np.ndarray, Interval]]:
    """Give each array's name, the midpoints and radii of its leading error, and the link of whoever rounds z."""
    found, names = links(one, REFERENCE.gradients(one))
    for name in names:
        strict, link = found.strict(name), found.rounded(name)
        assert link is not None
        if strict is not None:
            rad = strict.rows * strict.columns + strict.least if isinstance(strict, RankOne) else strict.rad
            yield name, strict.mid, rad, link


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("activation", "cost"), KINDS)
def test_it_is_less_than_the_radius_of_the_link(activation: str, cost: str, precision: str) -> None:
    for regime in REGIMES:
        for name, mid, rad, link in both(asked(activation, cost, regime, precision)):
            finite = np.isfinite(mid) & np.isfinite(link.mid) & np.isfinite(link.rad)
            apart = np.abs(mid[finite].astype(np.longdouble) - link.mid[finite])
            # Of the cost the midpoint is a better one, and at a kink the hull of all formulas another.
            assert np.all(apart + rad[finite] <= link.rad[finite] * (1 + 2.0**-19)), f"{name}, {regime}"


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_kink_is_told(precision: str) -> None:
    one = asked("hardtanh", "squared_error", "kinks", precision)
    found, _ = links(one, REFERENCE.gradients(one))
    strict, link = found.strict("delta2"), found.get("delta2")
    assert strict is not None
    assert link is not None
    assert np.all(strict.kinked)
    assert np.all(link.kinked)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("activation", "cost"), KINDS)
def test_what_is_known_of_it(activation: str, cost: str, precision: str) -> None:
    """Everything but what neurons meet in, or what a range has to be evaluated for."""
    known = {name for name, *_ in both(asked(activation, cost, "ordinary", precision))}
    assert known >= {"cost", "z1", "z2", "z3", "dW1", "dW2", "dW3", "db1", "db2", "db3", "a1", "delta1"}
    assert ({"a2", "delta2"} <= known) == (activation not in COUPLED)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "softplus"])
def test_an_honest_answer_is_seldom_looked_at_again(
    activation: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, get = list[str](), Links.get

    def noted(self: Links, name: str) -> Interval | None:
        seen.append(name)
        return get(self, name)

    monkeypatch.setattr(Links, "get", noted)
    one = asked(activation, "squared_error", "ordinary", precision)
    found = judge(one, REFERENCE.gradients(one), chain=False)
    assert found.verdict is Verdict.AGREES
    assert set(seen) <= {"a2", "delta3"}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", ["z2", "delta2", "db2", "cost"])
def test_between_the_two_is_right_and_beyond_is_not(name: str, precision: str) -> None:
    one = asked("gelu_tanh", "squared_error", "ordinary", precision)
    answer = {key: np.array(array) for key, array in REFERENCE.gradients(one).tensors().items()}
    rad, link = next((rad, link) for this, _, rad, link in both(one) if this == name)
    wider = (link.rad - rad) / link.rad
    at = np.unravel_index(np.argmax(wider), wider.shape)
    index, start, far = at[1:], float(link.mid[at]), float(link.rad[at])
    # Half of the way from one end to the other, where float32 has a number there.
    for share, diverges in ((0.5 + float(rad[at]) / far / 2, False), (1.05, True)):
        changed = {key: array.copy() for key, array in answer.items()}
        changed[name][index] = start + share * far
        found = judge(one, Gradients.from_tensors(changed, one), chain=False)
        blamed = {(broken.name, broken.index) for broken in found.blamed}
        assert ((name, tuple(map(int, index))) in blamed) == diverges


def test_of_what_may_not_be_finite_nothing_is_known() -> None:
    one = asked("relu", "squared_error", "ordinary", "float32")
    answer = {key: np.array(array) for key, array in REFERENCE.gradients(one).tensors().items()}
    answer["z2"][1, 2] = np.inf
    found, _ = links(one, Gradients.from_tensors(answer, one))
    for name in ("a2", "delta2"):
        assert found.strict(name) is None


def test_what_it_cannot_do_it_says() -> None:
    one = asked("tanh", "hinge", "ordinary", "float32")
    z = links(one, REFERENCE.gradients(one))[0]._leading.array(names.z(1))
    assert isinstance(z, Leading)
    added = -z
    asking: list[Callable[[], object]] = [
        lambda: z.sum(axis=-1),
        z.softmax,
        lambda: z + z,
        lambda: added @ z.mT,
    ]
    for impossible in asking:
        with pytest.raises(UnknownError):
            impossible()
