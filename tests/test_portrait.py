"""A portrait says of an implementation what measuring it does, as JSON holds it."""

from __future__ import annotations

import json

import pytest
from gradparity.harness.portrait import portrait
from gradparity.harness.workers import Worker
from gradparity.reports.portraits import certificate, conventions


def test_pytorchs_portrait_shows_what_is_known_of_it() -> None:
    pytest.importorskip("torch")
    with Worker("torch:eager", timeout=60) as worker:
        found = portrait(worker, ["float64"])
    assert json.loads(json.dumps(found)) == found
    assert len(json.dumps(found)) < 40_000
    taken = {(one.function, one.at): one for one in conventions({"torch:eager": found})}
    assert taken["relu6", "6"].kink and taken["relu6", "6"].returned == ["6, 0"]  # the reference takes 1
    elementary, others = certificate({"torch:eager": found})
    assert {one.function for one in elementary} == {"exp", "expm1", "tanh", "sigmoid", "ndtr", "log", "log1p"}
    bad = {(one.function, one.quantity) for one in (*elementary, *others) if one.worst > 1}
    assert ("hardsigmoid", "slope") in bad and ("tanh", "value") not in bad


def test_who_declines_is_written_down_and_who_answers_nothing_is_empty() -> None:
    with Worker("exec:false", timeout=10) as worker:
        found = portrait(worker, ["float64"])
    assert (found["measured"], found["conventions"], found["kinks"]) == ([], {}, {})
    assert len(found["declined"]) > 30
