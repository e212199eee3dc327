"""The pool of architectures that expensive modes are asked about: all there is, once; and the run says so."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from gradparity.adapters.implementation import MOST_COLUMNS, columns
from gradparity.harness.campaign import Settings, draw_cases, pool
from gradparity.property_tests.lattices import APART, TIED
from gradparity.reference.network import ACTIVATIONS, COSTS, Architecture
from gradparity.reports.terminal import partly_asked

from .conftest import judged_run

HONEST = (
    f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).with_name('tampered.py')))} honest"
)


def kinds(network: Architecture) -> set[str]:
    return {layer.activation for layer in network.layers} | {network.cost.name}


@pytest.mark.parametrize("small", [False, True])
def test_whatever_is_drawn_is_met_in_the_pool_and_no_member_is_there_for_nothing(small: bool) -> None:
    settings = Settings((), cases=640)
    cases = [case for case in draw_cases(settings) if not small or columns(case) <= MOST_COLUMNS]
    members = pool(settings, small)
    for precision in ("float64", "float32"):
        mine = [case for case in cases if case.precision == precision]
        first = list(dict.fromkeys(case.architecture for case in mine))
        exact = {case.architecture for case in mine if case.regime in (APART, TIED)}
        taken = [network for network in first if (network, precision) in members]
        met = set[str]()
        for network in taken:
            assert network in exact or kinds(network) - met
            met |= set() if network in exact else kinds(network)
        assert met == set().union(*(kinds(network) for network in first if network not in exact))
        assert len(exact & set(taken)) == 1 < len(exact)
    assert {(case.architecture, case.precision) for case in cases} >= members


def test_compilers_are_asked_about_long_arrays_too_and_forward_modes_are_not() -> None:
    settings = Settings((), cases=320)
    cases = list(draw_cases(settings))

    def longest(small: bool) -> int:
        members = pool(settings, small)
        return max(columns(case) for case in cases if (case.architecture, case.precision) in members)

    assert longest(small=True) <= MOST_COLUMNS < longest(small=False)


def test_every_activation_and_cost_is_met_in_every_precision_of_a_default_run() -> None:
    members = pool(Settings((), cases=1280), small=False)
    for precision in ("float64", "float32"):
        met = set().union(*(kinds(network) for network, here in members if here == precision))
        assert met == {*ACTIVATIONS, *COSTS}


def test_a_long_campaign_has_the_pool_of_a_default_run() -> None:
    for small in (False, True):
        assert pool(Settings((), cases=10**6), small) == pool(Settings((), cases=1280), small)


def test_an_expensive_implementation_is_asked_about_the_pool_and_the_run_says_so(tmp_path: Path) -> None:
    settings = Settings(("reference", HONEST), cases=96, expensive=(HONEST,)).only(("tanh", "squared_error"))
    content = judged_run(tmp_path / "run", settings)
    asked = {one["name"]: one["cases"] for one in content["implementations"]}
    assert asked["reference"] == 96
    assert asked[HONEST] == 16  # one architecture in each precision; all others have the same two
    (line,) = partly_asked(content)
    assert f"was asked about {asked[HONEST]} of 96 cases only" in line


def test_who_is_not_expensive_is_asked_about_everything() -> None:
    assert Settings(("reference",)).expensive == ()
    assert partly_asked({"settings": {}, "implementations": [{"name": "reference", "cases": 3}]}) == []
