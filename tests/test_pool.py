"""The pool of architectures that expensive modes are asked about: small, the first, and said so."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from gradparity.adapters.implementation import MOST_COLUMNS, columns
from gradparity.harness.campaign import Settings, draw_cases, pool
from gradparity.property_tests.lattices import APART, TIED
from gradparity.reports.terminal import partly_asked

from .conftest import judged_run

HONEST = (
    f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('tampered.py')))} honest"
)


def test_the_first_small_architectures_of_each_precision_are_in_it_with_all_their_cases() -> None:
    cases = list(draw_cases(Settings((), cases=640)))
    members = pool(Settings(("reference",), cases=640, expensive=("reference",), pool=2))
    taken = [case for case in cases if (case.architecture, case.precision) in members]
    small = [case for case in cases if columns(case) <= MOST_COLUMNS]
    for precision in ("float64", "float32"):
        regimes = {case.architecture: case.regime for case in small if case.precision == precision}
        exact = [network for network, regime in regimes.items() if regime in (APART, TIED)]
        first = [network for network in regimes if network not in exact[1:]][:2]
        assert len(exact) > 1
        assert (
            list(dict.fromkeys(case.architecture for case in taken if case.precision == precision)) == first
        )
    assert len(taken) == 4 * 8


def test_an_expensive_implementation_is_asked_about_the_pool_and_the_run_says_so(tmp_path: Path) -> None:
    settings = Settings(("reference", HONEST), cases=96, expensive=(HONEST,), pool=1)
    content = judged_run(tmp_path / "run", settings)
    asked = {one["name"]: one["cases"] for one in content["implementations"]}
    assert asked["reference"] == 96
    assert 0 < asked[HONEST] <= 16
    assert content["settings"]["pool"] == 1
    (line,) = partly_asked(content)
    assert f"was asked about {asked[HONEST]} of 96 cases only" in line


def test_who_is_not_expensive_is_asked_about_everything() -> None:
    assert Settings(("reference",)).expensive == ()
    assert partly_asked({"settings": {}, "implementations": [{"name": "reference", "cases": 3}]}) == []
