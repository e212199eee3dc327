"""Every fault in the list is caught, with a certificate, and the equation that it breaks is the one that is blamed.

``python -m gradparity.tests.test_faults`` prints the table of docs/faults.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from gradparity import Architecture, Case, Cost, Layer
from gradparity.harness.verdict import Verdict
from gradparity.property_tests.faults import FAULTS, Fault
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.tests.hunt import Outcome, drawn, hunt
from gradparity.tests.twin import Network

#: Within how many of a campaign's cases a fault has to be caught.
CASES = 384
TWIN = "twin"


def hunt_all() -> dict[str, Outcome]:
    suspects = {str(fault): fault.implementation() for fault in FAULTS}
    return hunt({TWIN: Network(), **suspects}, drawn(CASES))


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return hunt_all()


def assert_caught(fault: Fault, outcome: Outcome) -> None:
    assert outcome.verdict is (Verdict.FAILED if fault.fails else Verdict.DIVERGES)
    assert not outcome.doubts
    if not fault.fails:
        assert_blamed(fault, outcome)


def assert_blamed(fault: Fault, outcome: Outcome) -> None:
    """What the fault breaks is blamed first, where the fault is, and nothing is that it does not break."""
    assert outcome.case is not None and outcome.blamed
    assert outcome.blamed[0].equation in fault.blamed
    for one in outcome.blamed:
        assert one.equation in (*fault.blamed, *fault.also)
        assert fault.place.holds(outcome.case.architecture, one.layer)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault_is_caught(
    fault: Fault, outcomes: dict[str, Outcome], record_property: Callable[[str, object], None]
) -> None:
    outcome = outcomes[str(fault)]
    record_property("cases", outcome.cases)
    print(f"{fault}: {outcome.verdict} in {outcome.cases} cases; {blamed(outcome)}")
    assert_caught(fault, outcome)


def test_the_list_is_complete() -> None:
    assert {fault.number for fault in FAULTS} == set(range(1, 41))
    assert len({str(fault) for fault in FAULTS}) == len(FAULTS)
    table = (Path(__file__).parent.parent / "docs" / "faults.md").read_text()
    assert re.findall(r"^\| (\d+ \| .+?) \|", table, re.MULTILINE) == [
        f"{fault.number} | {fault.name}" for fault in FAULTS
    ]


# ---------------------------------------------------------------------------- that the test itself can fail


def test_who_has_no_fault_is_not_caught(outcomes: dict[str, Outcome]) -> None:
    twin = outcomes[TWIN]
    assert (twin.verdict, twin.cases, twin.doubts) == (Verdict.AGREES, CASES, [])
    for fault in FAULTS:
        with pytest.raises(AssertionError):
            assert_caught(fault, twin)


def test_the_wrong_equation_is_not_enough(outcomes: dict[str, Outcome]) -> None:
    sign, off_by_one = (next(fault for fault in FAULTS if fault.number == number) for number in (21, 14))
    with pytest.raises(AssertionError):
        assert_blamed(off_by_one, outcomes[str(sign)])
    with pytest.raises(AssertionError):
        assert_blamed(sign, outcomes[str(off_by_one)])


# ------------------------------------------------------------------------- where shapes do not tell


def square(n: int) -> Case:
    """A network of equal widths and as many examples: no shape is wrong, only numbers."""
    layers = tuple(Layer(n, name) for name in ("tanh", "sigmoid", "softplus", "identity"))
    return case(Architecture(n, layers, Cost("half_squared_error")), n, BY_NAME["ordinary"], 0, "float64")


def one_output() -> Case:
    network = Architecture(3, (Layer(4, "tanh"), Layer(1, "identity")), Cost("half_squared_error"))
    return case(network, 5, BY_NAME["ordinary"], 0, "float64")


@pytest.mark.parametrize(
    ("number", "given"), [(1, square(5)), (8, square(5)), (12, square(5)), (34, one_output())]
)
def test_what_the_generator_does_not_reach_is_blamed_rightly(number: int, given: Case) -> None:
    (fault,) = (fault for fault in FAULTS if fault.number == number)
    outcome = hunt({"": fault.implementation()}, [given])[""]
    assert outcome.verdict is Verdict.DIVERGES
    assert not outcome.doubts
    assert_blamed(fault, outcome)


# ---------------------------------------------------------------------------------------------- the table


def blamed(outcome: Outcome) -> str:
    """What was blamed, in the order of the equations, each with its layers."""
    found: dict[str, list[int]] = {}
    for one in outcome.blamed:
        found.setdefault(one.equation, [])
        found[one.equation] += [one.layer] if one.layer not in found[one.equation] else []
    return "; ".join(f"{equation} ({', '.join(map(str, layers))})" for equation, layers in found.items())


def table() -> str:
    outcomes = hunt_all()
    lines = [
        "| # | fault | why people make it | blamed | layer | exposed by | cases |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for fault in FAULTS:
        outcome = outcomes[str(fault)]
        equation = " or ".join(fault.blamed) + "".join(
            f", {one}" for one in fault.also if one not in fault.blamed
        )
        if fault.fails:
            equation = f"`failed`, else {equation}" if equation else "`failed`"
        cases = f"not in {CASES}" if outcome.verdict is Verdict.AGREES else str(outcome.cases)
        cells = (fault.number, fault.name, fault.why, equation, fault.place.text, fault.exposed_by, cases)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
