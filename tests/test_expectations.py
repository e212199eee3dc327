"""Expectations: what is known passes, what is new fails, and so does what is known no longer."""

from __future__ import annotations

import json
import math
import shlex
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gradparity import Architecture, Cost, Layer
from gradparity.adapters.modes import FRAMEWORKS, MODES
from gradparity.harness.blame import Broken
from gradparity.harness.campaign import Divergence, Settings
from gradparity.harness.draft import write_draft
from gradparity.harness.expectations import SHIPPED, Expectations, ExpectationsError
from gradparity.harness.findings import Collector
from gradparity.harness.recheck import recheck
from gradparity.harness.workers import Worker
from gradparity.property_tests.regimes import BY_NAME
from gradparity.property_tests.regimes import case as draw
from gradparity.reference.backprop import flow
from gradparity.reference.exact import Certificate

from .conftest import Gradparity

TAMPERED = Path(__file__).with_name("tampered.py")
WRONG = f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(TAMPERED))} weight"

ENTRY = """
[[expect]]
implementation = ["torch"]
function = "softplus"
precision = ["float64"]
z = [20.0, inf]
reason = "z itself above its threshold"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "expect.toml"
    path.write_text(text)
    return path


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ExpectationsError) as error:
        Expectations(written(folder, text))
    sentence = str(error.value).removeprefix(f"{folder / 'expect.toml'}")
    assert "\n" not in sentence
    return sentence


def broken(equation: str, name: str, z: float | None) -> Broken:
    certificate = Certificate("1.0", holds=True, sound=True)
    return Broken(
        equation, 1, flow(NETWORK, 2)[name].makes, (0, 0), 2.0, 1.0, 0.1, 9.0, False, True, certificate, z
    )


NETWORK = Architecture(2, (Layer(3, "softplus"), Layer(3, "tanh")), Cost("hinge"))


# ------------------------------------------------------------------------------------------------- the file


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (ENTRY.replace("softplus", "softplu"), ", line 4, key 'function': 'softplu' is neither an activation"),
        (ENTRY.replace("z itself above its threshold", " "), ", line 7, key 'reason': is empty; say why"),
        (ENTRY.replace("reason =", "# reason"), ", line 2, key 'reason': Object missing required field"),
        (ENTRY + ENTRY.replace("float64", "float46"), ", line 12, key 'precision': Invalid enum value 'float46'"),
        (ENTRY + ENTRY.replace("[20.0, inf]", "[20.0]"), ", line 13, key 'z': Expected `array` of length 2"),
        (ENTRY.replace("[20.0, inf]", "[1, -1]"), ", line 6, key 'z': is no range; give the lower end first"),
        (ENTRY + 'versions = "new"', ", line 8, key 'versions': 'new' is no version specifier, as in '>=2"),
        (ENTRY + 'link = "javascript:alert(1)"', ", line 8, key 'link': 'javascript:alert(1)' is no address"),
        (ENTRY + 'equation = "BP3"\narray = "z"', ", line 9, key 'array': z is no result of BP3, so this covers"),
        (ENTRY + 'equation = "BP3"\narray = "y"', ", line 9, key 'array': Invalid enum value 'y'"),
        (ENTRY + "tolerance = 1e-5", ", line 8, key 'tolerance': Object contains unknown field `tolerance`"),
        (ENTRY.replace("function =", "# function"), ", line 2, key 'function': is missing; name an activation"),
        ("expected = []", ", line 1, key 'expected': Object contains unknown field `expected`"),
        (ENTRY + "link = 3 4", " is not TOML: Expected newline or end of document"),
        (ENTRY + 'cases = ["no.safetensors"]', ": the case no.safetensors cannot be read: No such file or"),
        (ENTRY + 'cases = ["expect.toml"]', ": expect.toml is not a case document: "),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_with_line_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    assert refused(tmp_path, text).startswith(sentence)


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "expect.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ExpectationsError, match="is not UTF-8"):
        Expectations(tmp_path / "expect.toml")
    with pytest.raises(ExpectationsError, match=r"no\.toml cannot be read: No such file or directory"):
        Expectations(tmp_path / "no.toml")


def test_what_an_entry_covers(tmp_path: Path) -> None:
    (one,) = Expectations(written(tmp_path, ENTRY)).entries
    assert one.covers(NETWORK, "float64", broken("forward", "a1", 20.5))
    assert one.covers(NETWORK, "float64", broken("BP2", "delta1", 20.5))
    for other in (
        one.covers(NETWORK, "float32", broken("forward", "a1", 20.5)),
        one.covers(NETWORK, "float64", broken("forward", "a1", 19.5)),
        one.covers(NETWORK, "float64", broken("forward", "a1", math.nan)),
        one.covers(NETWORK, "float64", broken("forward", "z1", None)),
        one.covers(NETWORK, "float64", broken("BP4", "dW1", None)),
        one.covers(NETWORK, "float64", replace(broken("forward", "a2", 20.5), layer=2)),
    ):
        assert not other


def test_an_entry_about_an_equation_is_about_no_other(tmp_path: Path) -> None:
    text = ENTRY.replace('function = "softplus"', 'equation = "BP3"')
    (one,) = Expectations(written(tmp_path, text)).entries
    assert one.covers(NETWORK, "float64", broken("BP3", "db1", None))
    assert not one.covers(NETWORK, "float64", broken("BP4", "dW1", None))
    assert one.subject == "BP3"


def test_an_entry_about_an_array_is_about_no_other(tmp_path: Path) -> None:
    # What is known of a matrix product must not excuse the activation behind it, which is the same equation's.
    text = ENTRY.replace('function = "softplus"', 'equation = "forward"\narray = "z"')
    (one,) = Expectations(written(tmp_path, text)).entries
    assert one.covers(NETWORK, "float64", broken("forward", "z1", None))
    assert not one.covers(NETWORK, "float64", broken("forward", "a1", 20.5))
    assert one.subject == "forward z"


@pytest.mark.parametrize(("exact", "covered"), [("nan", True), ("inf", True), ("-inf", True), ("1.0", False)])
def test_an_entry_about_what_is_not_finite(exact: str, covered: bool, tmp_path: Path) -> None:
    text = ENTRY.replace('function = "softplus"', 'equation = "BP4"\nnot_finite = true')
    (one,) = Expectations(written(tmp_path, text)).entries
    certificate = Certificate(exact, holds=True, sound=True)
    lost = replace(broken("BP4", "dW1", None), certificate=certificate)
    assert one.covers(NETWORK, "float64", lost) == covered


def test_an_entry_about_a_slope_is_not_about_the_value(tmp_path: Path) -> None:
    # torch.compile's wrong value of celu was once covered by what is known of its slope.
    text = ENTRY.replace('function = "softplus"', 'function = "softplus"\nequation = ["BP1", "BP2"]')
    (one,) = Expectations(written(tmp_path, text)).entries
    assert one.covers(NETWORK, "float64", broken("BP2", "delta1", 20.5))
    assert not one.covers(NETWORK, "float64", broken("forward", "a1", 20.5))
    assert one.subject == "BP1 or BP2 softplus"


@pytest.mark.parametrize(
    ("name", "version", "about"),
    [
        ("torch:eager", "2.13.0+cpu", True),
        ("torch:func", "2.0", True),
        ("torch:eager", "2.14.0", False),
        ("torch:eager", "2.14.0.dev20261101", False),  # as PEP 440 has it
        ("torch:eager", "2.13.1.dev20261101", True),
        ("torch:eager", "unknown", False),
        ("keras:torch", "2.13.0", False),
    ],
)
def test_an_entry_may_be_about_some_versions_only(
    tmp_path: Path, name: str, version: str, about: bool
) -> None:
    (one,) = Expectations(written(tmp_path, ENTRY + 'versions = ">=2.0,<2.14"\n')).entries
    assert one.is_about(name, version) is about


# ------------------------------------------------------------------------------------------------------ shipped


def test_every_shipped_entry_is_about_somebody_and_has_small_cases_in_each_precision() -> None:
    shipped = Expectations()
    names = {*MODES, *FRAMEWORKS}
    for one in shipped.entries:
        assert set(one.implementation) <= names
        assert one.reason[-1] != "."
        for precision in one.precision:
            cases = shipped.cases(one, precision)
            assert cases
            for case in cases:
                network = case.architecture
                small = network.depth <= 2 and max(network.widths) <= 4
                assert small or "added up" in one.reason  # a sum of many terms needs them
    listed = {name for one in shipped.entries for name in one.cases}
    assert listed == {path.name for path in SHIPPED.parent.glob("*.safetensors")}


# ------------------------------------------------------------------------------------------------------- in a run


def run_json(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def entry(**given: object) -> str:
    values = {"implementation": [WRONG], "equation": "BP4", "precision": ["float64"], "reason": "planted"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (values | given).items() if value]
    return "\n".join(["", "[[expect]]", *lines, ""])


VERIFY = ("verify", WRONG, "--cases", "24", "--precision", "float64", "--out")


def test_what_is_expected_passes_and_what_is_not_fails(gradparity: Gradparity, tmp_path: Path) -> None:
    assert gradparity(*VERIFY, "plain").returncode == 1
    file = written(tmp_path, entry())
    done = gradparity(*VERIFY, "known", "--expect", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    content = run_json(tmp_path / "known")
    assert {(one["expected"], one["reason"]) for one in content["findings"]} == {(True, "planted")}
    assert [one["holds"] for one in content["expectations"]] == [True]
    assert "expected finding" in done.stdout
    assert "planted" in done.stdout
    others = (entry(equation="BP3"), entry(precision=["float32"]), entry(implementation=["torch"]), "")
    for number, text in enumerate(others):
        done = gradparity(*VERIFY, f"other{number}", "--expect", str(written(tmp_path, text)))
        assert done.returncode == 1


def test_what_no_longer_diverges_fails(gradparity: Gradparity, tmp_path: Path) -> None:
    known = gradparity(*VERIFY, "plain")
    assert known.returncode == 1
    finding = run_json(tmp_path / "plain")["findings"][0]
    case = f"plain/{finding['case']}"
    mended = entry(implementation=["reference"], cases=[case])
    done = gradparity(
        "verify", "reference", "--cases", "24", "--precision", "float64",
        "--expect", str(written(tmp_path, mended)), "--out", "mended",
    )  # fmt: skip
    assert done.returncode == 1
    assert "neither this run nor its own case shows it: if it was mended, remove it" in done.stdout
    assert [one["holds"] for one in run_json(tmp_path / "mended")["expectations"]] == [False]
    done = gradparity(
        "verify", "reference", "--cases", "24", "--precision", "float64",
        "--expect", str(written(tmp_path, entry(implementation=["reference"]))), "--out", "never",
    )  # fmt: skip
    assert done.returncode == 1
    assert "this run does not show it, and it names no case that does" in done.stdout


def test_what_a_run_does_not_draw_is_not_held_against_it(gradparity: Gradparity, tmp_path: Path) -> None:
    file = written(tmp_path, entry(implementation=["reference"], equation="", function="gelu"))
    done = gradparity(
        "verify", "reference", "--cases", "24", "--only", "tanh,huber", "--precision", "float64",
        "--expect", str(file), "--out", "run",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [one["holds"] for one in run_json(tmp_path / "run")["expectations"]] == [None]


def test_its_own_case_is_asked_where_the_run_does_not_show_it(gradparity: Gradparity, tmp_path: Path) -> None:
    gradparity(*VERIFY, "plain")
    finding = run_json(tmp_path / "plain")["findings"][0]
    file = written(tmp_path, entry(cases=[f"plain/{finding['case']}"]))
    with Worker(WRONG, 60) as worker:
        (found,) = recheck(Expectations(file), Settings((WRONG,)), worker, "1", {})
    assert (found.holds, found.cases, found.why) == (True, 0, "shown by its own case")


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize(("everywhere", "holds"), [(True, False), (False, None)])
def test_what_depends_on_the_processor_need_not_show_but_is_tried(
    gradparity: Gradparity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    everywhere: bool,
    holds: bool | None,
    answered: bool,
) -> None:
    gradparity(*VERIFY, "plain")
    finding = run_json(tmp_path / "plain")["findings"][0]
    text = entry(implementation=["reference"], cases=[f"plain/{finding['case']}"])
    file = written(tmp_path, text if everywhere else text + "not_everywhere = true\n")
    if not answered:
        monkeypatch.setattr("gradparity.harness.recheck.asking", lambda worker, premise: lambda case: None)
    with Worker("reference", 60) as worker:
        (found,) = recheck(Expectations(file), Settings(("reference",)), worker, "1", {})
    assert (found.holds, found.tried) == ((holds, True) if answered else (None, False))


@pytest.mark.parametrize(
    ("equation", "name", "drafted"),
    [
        ("BP2", "delta1", {"function": "softplus", "equation": ["BP1", "BP2"]}),
        ("forward", "a1", {"function": "softplus", "equation": "forward"}),
        ("cost", "cost", {"function": "hinge", "equation": "cost"}),
        ("BP4", "dW1", {"equation": "BP4"}),
        ("forward", "z1", {"equation": "forward", "array": "z"}),
    ],
)
def test_a_draft_covers_what_was_found(
    equation: str, name: str, drafted: dict[str, object], tmp_path: Path
) -> None:
    collector = Collector()
    found = draw(NETWORK, 2, BY_NAME["ordinary"], 0, "float64")
    collector.add(Divergence(found, "torch:eager", broken(equation, name, 1.0)))
    write_draft(tmp_path / "mine.toml", Expectations(written(tmp_path, "")), collector.findings(), [])
    (one,) = tomllib.loads((tmp_path / "mine.toml").read_text())["expect"]
    assert {key: one[key] for key in ("function", "equation", "array") if key in one} == drafted


def test_a_draft_is_refused_until_its_reasons_are_filled_in(gradparity: Gradparity, tmp_path: Path) -> None:
    draft = tmp_path / "drafts" / "mine.toml"
    draft.parent.mkdir()
    assert gradparity(*VERIFY, "plain", "--write-expectations", str(draft)).returncode == 1
    done = gradparity(*VERIFY, "refused", "--expect", str(draft))
    assert done.returncode == 2
    assert "key 'reason': is empty; say why this is known and accepted" in done.stderr
    assert not (tmp_path / "refused").exists()
    draft.write_text(draft.read_text().replace('reason = ""', 'reason = "planted for a test"'))
    done = gradparity(*VERIFY, "known", "--expect", str(draft))
    assert done.returncode == 0, done.stdout + done.stderr
    again = tmp_path / "again.toml"
    gradparity(*VERIFY, "kept", "--expect", str(draft), "--write-expectations", str(again))
    assert [one.reason for one in Expectations(again).entries] == [
        one.reason for one in Expectations(draft).entries
    ]
    done = gradparity(*VERIFY, "twice", "--write-expectations", str(again))
    assert done.returncode == 2
    assert "is there already" in done.stderr
