"""Inconclusive is visible: a cell that says little is no agreement, and a run that judges little ends so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from gradparity.harness.run import exit_status
from gradparity.reference.steps import EQUATIONS
from gradparity.reports.html import judged, standing, total
from gradparity.reports.terminal import MOST_IN_A_CELL, _cell


def entry(**verdicts: int) -> dict[str, Any]:
    nothing = dict.fromkeys(("agrees", "diverges", "inconclusive", "unsupported", "failed", "expected"), 0)
    margins = {"worst_margin": 0.5, "worst_margin_at_kinks": 0.0, "worst_margin_of_a_link": 0.0}
    return {
        "implementation": "mine:f",
        "precision": "float64",
        "equation": "BP1",
        **nothing,
        **margins,
        **verdicts,
    }


def run(**verdicts: int) -> Mapping[str, Any]:
    counts: dict[str, dict[str, dict[str, int]]] = {"mine:f": {equation: {} for equation in EQUATIONS}}
    counts["mine:f"]["BP1"] = {verdict: n for verdict, n in entry(**verdicts).items() if isinstance(n, int)}
    return {
        "matrix": [entry(**verdicts)],
        "counts": counts,
        "implementations": [{"name": "mine:f"}],
        "expectations": [],
        "lost": [],
        "findings": [],
        "settings": {"precisions": ["float64"]},
    }


@pytest.mark.parametrize(("inconclusive", "agrees"), [(0, True), (5, True), (6, False), (60, False)])
def test_a_cell_that_is_inconclusive_is_no_agreement(inconclusive: int, agrees: bool) -> None:
    one = entry(agrees=100 - inconclusive, inconclusive=inconclusive)
    assert ("✓" in _cell(one)) is agrees
    assert (standing(total([one]), MOST_IN_A_CELL) == "agrees") is agrees
    (row,) = judged(run(agrees=100 - inconclusive, inconclusive=inconclusive))
    (cell,) = [cell for cell in row.rows[0][1] if cell.entry]
    assert (cell.word == "agrees") is agrees
    assert agrees or f"{inconclusive}%" in _cell(one)


def test_what_was_declined_is_shown_beside_it() -> None:
    assert "-75%" in _cell(entry(agrees=25, unsupported=75))
    assert "-" not in _cell(entry(agrees=25))
    assert "?" in _cell(entry(unsupported=10))


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ({"agrees": 100}, 0),
        ({"agrees": 10, "unsupported": 90}, 0),
        ({"agrees": 32, "unsupported": 2304}, 3),
        ({"agrees": 9, "unsupported": 91}, 3),
        ({"agrees": 5, "diverges": 5, "expected": 5, "unsupported": 90}, 0),
        ({"agrees": 40, "inconclusive": 60}, 3),
        ({"unsupported": 10}, 3),
        ({"agrees": 1, "diverges": 1, "unsupported": 98}, 1),
    ],
)
def test_a_run_that_judges_little_says_so_in_its_status(verdicts: dict[str, int], status: int) -> None:
    counted = {verdict: n for verdict, n in verdicts.items() if verdict != "expected"}
    content = {**run(**verdicts)}
    content["counts"] = {"mine:f": {"BP1": counted}}
    assert exit_status(content) == status
