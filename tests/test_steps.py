"""The flow of a network as data: what is read from the steps is what running them gives, for every reader."""

from __future__ import annotations

import copy
import itertools
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer
from gradparity.adapters.reference import Reference, answered
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.reference import names
from gradparity.reference.backprop import backprop, flow, named
from gradparity.reference.names import ANSWERED, AXES, GIVEN, Name
from gradparity.reference.network import Array, MalformedError
from gradparity.reference.shapes import shapes
from gradparity.reference.steps import EQUATIONS, Flow, Step, in_order

NETWORK = Architecture(
    3, (Layer(4, "tanh"), Layer(5, "softmax"), Layer(2, "sigmoid")), Cost("half_squared_error")
)
STEPS = flow(NETWORK, 6)


def drawn(cases: int, seed: int = 3) -> list[Case]:
    settings = Settings((), cases, seed, ("float64",))
    return [case for case in draw_cases(settings) if case.regime != "not_finite"]


def everything(case: Case) -> dict[Name, Array]:
    """Every array of a computation, from what is given to what is answered, in float64."""
    with np.errstate(all="ignore"):
        return flow(case.architecture, case.batch).run(named(case.parameters, case.x, case.y))


# ------------------------------------------------------------------------------------------------- names


def test_a_name_is_its_text_and_knows_its_parts() -> None:
    assert names.delta(3) == "delta3"
    assert (names.delta(3).kind, names.delta(3).layer, names.delta(3).reader) == ("delta", 3, None)
    assert {"delta3": 1}[names.delta(3)] == 1
    assert names.a(0) == "x"
    assert names.cost(7) == "cost"
    assert names.said(2, 3).reader == 3
    assert names.said(2, 3) != names.said(2, 4)
    for name in STEPS:
        for other in (pickle.loads(pickle.dumps(name)), copy.deepcopy(name)):
            assert (other, other.kind, other.layer, other.reader) == (
                name,
                name.kind,
                name.layer,
                name.reader,
            )


#: What takes a name apart, or builds one from its parts, where documents, tests and programs for other people do not.
TAKES_APART = re.compile(
    r"""strip\(["']0123456789|lstrip\(["'][abdeltzW]+["']\)|\bname\[0\]|\bname\[-1\]
    |name\.startswith\(\(?["'](?:a|z|W|b|d[bW]|delta)["']|f["'](?:a|z|W|b|db|dW|delta)\{""",
    re.VERBOSE,
)
ROOT = Path(__file__).parent.parent
#: What is written out in another language's own variables: programs, and the symbols of a library.
WRITES = {"reports/script.py", "adapters/pytensor.py", "adapters/casadi.py"}


def taking_apart(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if TAKES_APART.search(line)]


def test_no_code_takes_a_name_apart() -> None:
    rooms = ("reference", "adapters", "harness", "reports")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py")]
    found = {str(file.relative_to(ROOT)): taking_apart(file.read_text()) for file in files}
    assert {file for file, lines in found.items() if lines} <= WRITES


@pytest.mark.parametrize(
    "line",
    [
        'kind = name.rstrip("0123456789")', 'l = int(name.lstrip("abdeltzW"))', "if name[0] not in 'za':",
        'if name.startswith("db"):', "name = f'delta{l + 1}'",
    ],
)  # fmt: skip
def test_taking_apart_would_be_found(line: str) -> None:
    assert taking_apart(line)


# ------------------------------------------------------------------------------------------------- the order


def test_every_step_takes_what_was_given_or_made_before() -> None:
    for case in drawn(40):
        steps, known = flow(case.architecture, case.batch), set(named(case.parameters, case.x, case.y))
        for name, step in steps.items():
            assert known >= set(step.takes), name
            assert step.makes == name
            assert step.equation in EQUATIONS
            known.add(step.makes)


def test_what_is_answered_is_all_there_is_of_it() -> None:
    kinds = {name.kind for name in STEPS.answered}
    assert kinds == ANSWERED == set(AXES)
    assert set(STEPS.by_equation) == set(STEPS.answered)
    assert [STEPS[name].equation for name in STEPS.by_equation] == sorted(
        (STEPS[name].equation for name in STEPS.answered), key=EQUATIONS.index
    )


def test_steps_are_sorted_by_what_they_take_and_otherwise_stay() -> None:
    steps = list(STEPS.values())
    assert in_order(steps) == steps
    assert [step.makes for step in in_order(steps[::-1])] != [step.makes for step in steps[::-1]]
    made = set[str](named(drawn(1)[0].parameters, 0, 0))
    for step in in_order(steps[::-1]):
        assert all(taken in made or taken.kind in GIVEN for taken in step.takes)
        made.add(step.makes)


# ------------------------------------------------------------------------------------------------- links


def test_a_link_is_its_array_where_all_before_it_is_right() -> None:
    """Computed one by one from what was answered before, the arrays are those of the whole run, bit for bit."""
    for case in drawn(80):
        found, steps = everything(case), flow(case.architecture, case.batch)
        supplied = {name: array for name, array in found.items() if name.kind in ANSWERED | GIVEN}
        for name in steps.answered:
            with np.errstate(all="ignore"):
                link = steps.link(name, supplied.get)
            np.testing.assert_array_equal(np.asarray(link), np.asarray(found[name]), str(name))


def test_a_link_lacks_what_its_arrays_lack() -> None:
    found = everything(drawn(1)[0])
    steps = flow(drawn(1)[0].architecture, drawn(1)[0].batch)
    for name in steps.answered:
        before = {taken for step in steps.inside(name) for taken in step.takes if taken.kind in ANSWERED}
        for missing in before:
            rest = {other: array for other, array in found.items() if other.kind in ANSWERED | GIVEN}
            del rest[missing]
            assert steps.link(name, rest.get) is None


def test_a_link_goes_through_its_functions() -> None:
    assert STEPS.functions("delta3") == {"half_squared_error", "sigmoid"}
    assert STEPS.functions("delta2") == {"softmax"}
    assert STEPS.functions("a1") == {"tanh"}
    assert STEPS.functions("cost") == {"half_squared_error"}
    assert not any(STEPS.functions(name) for name in ("z1", "db2", "dW3"))


# ------------------------------------------------------------------------------------------------- adjoints


def linear(steps: Flow) -> Iterator[Step]:
    yield from (step for step in steps.values() if step.adjoint)


def gap(step: Step, taken: list[Array], error: Array) -> float:
    """By how much ⟨does(u, ...), v⟩ and ⟨u, adjoint(v, ...)⟩ differ, in units of their terms' sum."""
    assert step.adjoint is not None
    first, *rest = taken
    there, back = step.does(first, *rest) * error, first * step.adjoint(error, *rest)
    return float(abs(there.sum() - back.sum()) / (abs(there).sum() + abs(back).sum()))


def test_every_adjoint_is_one() -> None:
    rng, tried = np.random.default_rng(0), 0
    for case in drawn(24):
        found = everything(case)
        for step in linear(flow(case.architecture, case.batch)):
            taken = [rng.normal(size=found[name].shape) for name in step.takes]
            assert gap(step, taken, rng.normal(size=found[step.makes].shape)) < 1e-12
            tried += 1
    assert tried > 50


def test_a_wrong_adjoint_is_seen() -> None:
    step = next(linear(STEPS))
    wrong = Step(step.makes, step.equation, step.does, step.takes, adjoint=lambda error, W: error @ abs(W))
    rng = np.random.default_rng(0)
    taken = [rng.normal(size=(6, 3)), rng.normal(size=(4, 3))]
    assert gap(wrong, taken, rng.normal(size=(6, 4))) > 1e-3


def test_what_bp2_moves_an_error_through_is_the_adjoint_of_the_product_that_it_went_through() -> None:
    for l, k in itertools.pairwise(range(1, NETWORK.depth + 1)):
        assert STEPS[names.said(l, k)].does is STEPS[names.p(k)].adjoint


# ------------------------------------------------------------------------------------------------- shapes


def test_shapes_are_those_of_the_arrays() -> None:
    for case in [*drawn(80), *drawn(16, seed=5)]:
        expected = shapes(case.architecture, case.batch)
        found = everything(case)
        assert {name: array.shape for name, array in found.items() if name.kind in ANSWERED} == expected
        assert all(
            len(AXES[name.kind]) == len(expected[name])
            for name in flow(case.architecture, case.batch).answered
        )


def test_a_wrong_shape_is_refused() -> None:
    case = drawn(1)[0]
    arrays = Reference().gradients(case).tensors()
    for name in arrays:
        wrong = {**arrays, name: np.zeros((*np.shape(arrays[name]), 2))}
        with pytest.raises(MalformedError, match=rf"^{name} has shape"):
            Gradients.from_tensors(wrong, case)


# ------------------------------------------------------------------------------------------------- replaced steps


def test_steps_that_are_replaced_by_themselves_change_nothing() -> None:
    for case in drawn(16):
        right = flow(case.architecture, case.batch)
        again = right.replaced(lambda step: step.does)
        for one, other in (
            (answered(again, case), answered(right, case)),
            (backprop_of(case), answered(right, case)),
        ):
            for name, array in other.tensors().items():
                np.testing.assert_array_equal(one.tensors()[name], array)


def backprop_of(case: Case) -> Gradients:
    with np.errstate(all="ignore"):
        return backprop(case.architecture, case.parameters, case.x, case.y)


def test_a_replaced_step_changes_what_follows_from_it_and_nothing_else() -> None:
    case = next(one for one in drawn(40) if one.architecture.depth > 2 and one.regime == "ordinary")
    right, L = flow(case.architecture, case.batch), case.architecture.depth

    def doubled(step: Step) -> Callable[..., Array] | None:
        return (lambda *taken: 2 * step.does(*taken)) if step.makes == names.delta(L - 1) else None

    one, other = (answered(steps, case).tensors() for steps in (right.replaced(doubled), right))
    changed = {name for name in other if not np.array_equal(one[name], other[name])}
    below = {name for name in right.answered if name.layer < L and name.kind in ("delta", "db", "dW")}
    assert changed <= below
    assert names.delta(L - 1) in changed


def test_steps_know_the_functions_of_their_network() -> None:
    for case in drawn(40):
        for step in flow(case.architecture, case.batch).values():
            if step.makes.kind in ("a", "delta"):
                assert step.function == case.architecture.layers[step.makes.layer - 1].activation


def test_without_inner_arrays_the_rest_is_the_same() -> None:
    for case in drawn(16):
        steps, given = flow(case.architecture, case.batch), named(case.parameters, case.x, case.y)
        with np.errstate(all="ignore"):
            every, some = steps.run(given), steps.run(given, inner=False)
        assert some.keys() == {name for name in every if name.kind in ANSWERED | GIVEN}
        for name, array in some.items():
            np.testing.assert_array_equal(array, every[name])
