"""What CI reads of a run: JUnit XML, Markdown, annotations, a badge; each right, harmless, and never too large."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Callable
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import xmlschema
from gradparity.harness.report import FORMATS, strict_json
from gradparity.reference.steps import EQUATIONS
from gradparity.reports import markdown as markdown_module
from gradparity.reports.annotations import annotate
from gradparity.reports.badge import badge
from gradparity.reports.html import render
from gradparity.reports.junit import junit
from gradparity.reports.markdown import markdown
from markdown_it import MarkdownIt

from .conftest import Gradparity

HERE = Path(__file__).parent
SCHEMA = xmlschema.XMLSchema(str(HERE / "junit-10.xsd"))
HOSTILE = (
    "a|b `c` ``d`` <img src=x onerror=alert(1)> </code></details><script>x</script> *e* _f_ [g](javascript:h) "
    "~~i~~ $j$ @octocat &lt; \\ ::error::k %0A,:"
)
MESSAGE = "first\n\n# second\r\n::error title=x::y\n```\n| - | \x00\x1b[31m\ud800 last"

Content = dict[str, Any]
WEIGHT = f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'tampered.py'))} weight"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run: the reference, a program with one wrong weight gradient, and one that declines nearly everything."""
    from click.testing import CliRunner
    from gradparity.harness.cli import gradparity

    folder = tmp_path_factory.mktemp("run") / "run"
    wrong = f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'tampered.py'))} weight"
    small = (
        f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(HERE.parent / 'examples/minimal/backprop.py'))}"
    )
    done = CliRunner().invoke(
        gradparity, ["verify", "reference", wrong, small, "--cases", "32", "--out", str(folder)]
    )
    assert done.exit_code == 1, done.output
    run = folder / "run.json"
    told = run.read_text().replace(json.dumps(wrong)[1:-1], "mine:wrong")
    run.write_text(told.replace(json.dumps(small)[1:-1], "mine:small"))
    return folder


@pytest.fixture
def content(run_folder: Path) -> Content:
    found: Content = json.loads((run_folder / "run.json").read_text())
    return found


def renamed(content: Content, name: str) -> Content:
    found: Content = json.loads(json.dumps(content).replace("mine:wrong", json.dumps(name)[1:-1]))
    return found


@pytest.fixture
def hostile(content: Content) -> Content:
    found = renamed(content, HOSTILE)
    found["messages"] = [{"implementation": HOSTILE, "verdict": "failed", "message": MESSAGE, "cases": 3}]
    found["matrix"][0]["failed"] = 3
    return found


@pytest.fixture
def expected(content: Content) -> Content:
    """The same run, but that everything that diverges was known."""
    found = deepcopy(content)
    for one in found["findings"]:
        one |= {"expected": True, "reason": "a known lie", "link": "https://example.org/lie"}
    for one in found["matrix"]:
        one["expected"] = one["diverges"]
    entry = {"implementation": "mine:wrong", "precision": "float64", "function": "", "equation": "BP4",
             "reason": "a known lie", "link": "https://example.org/lie", "holds": True, "why": "it shows"}  # fmt: skip
    found["expectations"] = [
        entry,
        {**entry, "function": "gelu", "holds": None, "why": "no case of it"},
    ]
    return found


@pytest.fixture
def lapsed(expected: Content) -> Content:
    entry = {**expected["expectations"][0], "function": "selu", "holds": False, "why": "it shows nowhere"}
    return {**expected, "expectations": [*expected["expectations"], entry]}


def many(content: Content, number: int, **changed: object) -> Content:
    return {**content, "findings": [{**content["findings"][0], **changed} for _ in range(number)]}


# ---------------------------------------------------------------------------------------------------- JUnit


def cases(content: Content) -> dict[tuple[str, str], ElementTree.Element]:
    root = ElementTree.fromstring(junit(content).encode())
    return {(case.get("classname", ""), case.get("name", "")): case for case in root.iter("testcase")}


def told(case: ElementTree.Element) -> tuple[str, str]:
    """What a testcase came to, and why; nothing where it passed."""
    return next(((child.tag, f"{child.get('message')}\n{child.text}") for child in case), ("", ""))


@pytest.mark.parametrize("kind", ["content", "hostile", "expected", "lapsed"])
def test_junit_is_what_the_schema_says_and_counts_right(kind: str, request: pytest.FixtureRequest) -> None:
    text = junit(request.getfixturevalue(kind))
    SCHEMA.validate(text)
    root = ElementTree.fromstring(text.encode())
    for suite in (*root, root):
        assert suite.get("tests") == str(len(list(suite.iter("testcase"))))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            if suite.tag == "testsuite" or tag != "skipped":
                assert suite.get(attribute) == str(len(list(suite.iter(tag))))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(' failures="', ' failed="'),
        lambda text: text.replace("<properties>", "<property>").replace("</properties>", "</property>"),
        lambda text: text.replace("skipped", "omitted"),
        lambda text: re.sub(' time="[^"]*"', ' time="soon"', text),
        lambda text: text.replace("<testcase classname", "<testcase class", 1),
    ],
)
def test_the_schema_refuses_what_is_no_junit(content: Content, spoil: Callable[[str], str]) -> None:
    assert not SCHEMA.is_valid(spoil(junit(content)))


def test_junit_has_a_testcase_for_each_equation_and_precision(content: Content) -> None:
    found = cases(content)
    names = [one["name"] for one in content["implementations"]]
    wanted = {
        (f"{name}.{precision}", equation)
        for name in names
        for precision in content["settings"]["precisions"]
        for equation in EQUATIONS
    }
    assert set(found) == wanted
    assert told(found["reference.float64", "BP4"]) == ("", "")


def test_junit_fails_where_a_finding_is_and_says_it(content: Content) -> None:
    finding = content["findings"][0]
    place = (f"mine:wrong.{finding['precision']}", "BP4")
    tag, why = told(cases(content)[place])
    assert tag == "failure"
    assert finding["sentence"] in why
    tag, why = told(cases({**content, "findings": []})[place])
    assert tag == "failure"
    assert "verdicts diverge, which follows from another equation's finding" in why


def test_junit_skips_what_is_declined_with_the_reason(content: Content) -> None:
    tag, why = told(cases(content)["mine:small.float64", "BP2"])
    assert tag == "skipped"
    assert "sigmoid and half_squared_error only" in why


def test_junit_calls_a_crash_an_error(content: Content) -> None:
    entry = next(
        one for one in content["matrix"] if (one["implementation"], one["equation"]) == ("reference", "BP1")
    )
    entry["failed"] = 2
    content["messages"].append(
        {"implementation": "reference", "verdict": "failed", "message": "it hung", "cases": 2}
    )
    tag, why = told(cases(content)[f"reference.{entry['precision']}", "BP1"])
    assert tag == "error"
    assert "it hung (2 cases)" in why


def test_junit_skips_what_is_known_with_the_reason(expected: Content) -> None:
    found = cases(expected)
    tag, why = told(found[f"mine:wrong.{expected['findings'][0]['precision']}", "BP4"])
    assert tag == "skipped"
    assert "known: a known lie (https://example.org/lie)" in why
    assert told(found["mine:wrong.float64", "expected: BP4"]) == ("", "")
    tag, why = told(found["mine:wrong.float64", "expected: BP4 gelu"])
    assert (tag, "no case of it" in why) == ("skipped", True)
    assert not [case for case in found.values() if told(case)[0] in ("failure", "error")]


def test_junit_fails_an_expectation_that_no_longer_holds(lapsed: Content) -> None:
    tag, why = told(cases(lapsed)["mine:wrong.float64", "expected: BP4 selu"])
    assert tag == "failure"
    assert "it shows nowhere" in why


# ------------------------------------------------------------------------------------------------- Markdown


class Tags(HTMLParser):
    """Collects a page's tags, and the text of every cell and item."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.texts = list[str](), [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag in ("td", "li", "h3"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def page(text: str) -> Tags:
    """Render as CommonMark with tables, and let all HTML through, which is worse than what any site does."""
    return Tags(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


OURS = {"h3", "table", "thead", "tbody", "tr", "th", "td", "p", "ul", "li", "strong", "details", "summary"}


def foreign(text: str) -> set[str]:
    return set(page(text).tags) - OURS


def test_markdown_tells_everything(content: Content) -> None:
    text = markdown(content)
    shown = page(text)
    assert not foreign(text)
    assert shown.tags.count("td") == 8 * len(content["implementations"]) * 2
    assert shown.texts[1].startswith("gradparity: 1 of 3 implementations diverges")
    for number, one in enumerate(content["findings"], start=1):
        assert any(one["sentence"] in item and item.startswith(f"{number} ") for item in shown.texts)
        assert any(one["case"] in item for item in shown.texts)
    assert "left out" not in text


def test_markdown_takes_hostile_names_for_letters(hostile: Content) -> None:
    text = markdown(hostile)
    shown = page(text)
    assert not foreign(text)
    assert shown.tags.count("td") == 8 * len(hostile["implementations"]) * 2
    assert sum(item.strip() == HOSTILE for item in shown.texts) == 2  # its two rows of the table
    assert any(HOSTILE in item and "BP4 is wrong" in item for item in shown.texts)
    assert any("first # second ::error title=x::y ``` | - |" in item for item in shown.texts)
    text.replace("\ud800", "").encode()


def test_without_escaping_they_would_not_be(hostile: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown_module, "_SPECIAL", {})
    text = markdown(hostile)
    assert {"script", "img"} <= foreign(text)
    assert HOSTILE not in [item.strip() for item in page(text).texts]


def test_markdown_shows_what_is_known_apart(expected: Content, lapsed: Content) -> None:
    text = markdown(expected)
    assert "**Findings" not in text
    assert f"<summary>Expected findings: {len(expected['findings'])}</summary>" in text
    assert "known: a known lie (https://example.org/lie)" in text
    assert "| ✗" not in text
    assert "≈" in text
    assert "no longer hold" not in text
    assert "**Expectations that no longer hold: 1**" in markdown(lapsed)
    assert "BP4 selu is expected to diverge, and it shows nowhere" in markdown(lapsed)


@pytest.mark.parametrize(
    ("number", "sentence"), [(1000, "it is wrong"), (1000, "|<@>" * 3000), (7, "\U0001f600" * 20000)]
)
def test_markdown_stays_below_a_mebibyte(
    content: Content, record_property: Callable[[str, object], None], number: int, sentence: str
) -> None:
    large = renamed(many(content, number, sentence=sentence), "x" * 5000)
    large["findings"] += many(content, 1000, sentence=sentence, expected=True, reason="|" * 5000)["findings"]
    large["messages"] = [
        {"implementation": "x", "verdict": "failed", "message": "&" * 9000, "cases": 1}
    ] * 500
    text = markdown(large)
    record_property("bytes", len(text.encode()))
    assert len(text.encode()) < 2**20
    assert not foreign(text)
    left = re.findall(r"([\d,]+) of ([\d,]+) are left out here; the run's report\.html and run\.json", text)
    shown = page(text)
    items = shown.tags.count("li")
    missing = sum(int(one.replace(",", "")) for one, _ in left)
    assert items + missing == number + 1000 + 500
    assert f"**Findings: {number:,}**" in text


def test_thousands_of_implementations_stay_below_it_too(content: Content) -> None:
    names = [f"{i} {'&' * 900}" for i in range(300)]
    rows = [one for one in content["matrix"] if one["implementation"] == "reference"]
    content["implementations"] = [{**content["implementations"][0], "name": name} for name in names]
    content["matrix"] = [{**row, "implementation": name} for name in names for row in rows]
    content["findings"] = []
    text = markdown(content)
    assert len(text.encode()) < 2**20
    assert "of 600 are left out here" in text


# ---------------------------------------------------------------------------------------------- annotations


def commands(text: str) -> list[tuple[str, str]]:
    """Read workflow commands as the runner does: title and message."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"::error title=([^,:]*)::(.*)", line)
        assert match, line
        title, message = match.groups()
        for code, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
            title = title.replace(code, character)
            if code not in ("%3A", "%2C"):
                message = message.replace(code, character)
        found.append((title, message))
    return found


def test_annotations_are_one_error_for_each_bad_check(content: Content) -> None:
    found = commands(annotate(content))
    bad = {one["precision"] for one in content["matrix"] if one["diverges"] or one["failed"]}
    assert {title for title, _ in found} == {f"mine:wrong, {precision}, BP4: diverges" for precision in bad}
    assert content["findings"][0]["sentence"] in found[0][1]


def test_annotations_give_a_hostile_name_no_command(hostile: Content) -> None:
    hostile["findings"][0]["sentence"] = MESSAGE
    text = annotate(hostile)
    found = commands(text)
    assert any(title.startswith(HOSTILE) for title, _ in found)
    assert any(MESSAGE in message for _, message in found)
    assert text.count("\n") == len(found)


def test_annotations_are_not_more_than_are_shown(content: Content) -> None:
    for one in content["matrix"]:
        one["failed"] = 1
    found = commands(annotate(content))
    assert len(found) == 10
    assert found[-1][1].startswith("27 more ")  # of 36 checks


def test_annotations_honour_expectations(expected: Content, lapsed: Content) -> None:
    assert annotate(expected) == ""
    assert [title for title, _ in commands(annotate(lapsed))] == [
        "mine:wrong, float64, expected: BP4 selu: lapsed"
    ]


# ---------------------------------------------------------------------------------------------------- badge


def told_by_badge(content: Content) -> tuple[str, str]:
    found = json.loads(badge(content))
    assert set(found) == {"schemaVersion", "label", "message", "color"}
    assert (found["schemaVersion"], found["label"]) == (1, "gradparity")
    return found["message"], found["color"]


def without(content: Content, name: str) -> Content:
    kept = [one for one in content["implementations"] if one["name"] != name]
    return {**content, "implementations": kept}


def test_the_badge_says_the_worst(content: Content, expected: Content, lapsed: Content) -> None:
    number = len(content["findings"])
    assert told_by_badge(content) == (f"{number} finding{'s' * (number > 1)}", "red")
    assert told_by_badge(expected) == ("too little judged", "lightgrey")  # mine:small has declined nearly all
    known = f"agrees, {number} known"
    assert told_by_badge(without(expected, "mine:small")) == (known, "brightgreen")
    assert told_by_badge(without(lapsed, "mine:small")) == ("1 lapsed expectation", "red")
    content["implementations"], content["findings"] = content["implementations"][:1], []
    assert told_by_badge(content) == ("agrees", "brightgreen")


# --------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    """The run's own copy of this test, in the folder in which the command is started."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_bytes((run_folder / "run.json").read_bytes())
    return tmp_path / "run"


def test_report_writes_each_format(
    gradparity: Gradparity, run: Path, content: Content, tmp_path: Path
) -> None:
    """It reads run.json alone: the documents that a report names are missing here."""
    named = {"html": "a.html", "markdown": "b.md", "junit": "c.xml", "json": "d.json", "badge": "e.json"}
    options = [part for name, file in named.items() for part in (f"--{name}", file)]
    done = gradparity("report", "run", *options, "--annotations")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == annotate(content)
    for name, file in named.items():
        assert (tmp_path / file).read_text() == FORMATS[name](content)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*named.values(), "run"])


def test_report_without_options_writes_the_report_again(
    gradparity: Gradparity, run: Path, content: Content
) -> None:
    assert gradparity("report", "run").returncode == 0
    assert (run / "report.html").read_text() == render(content)


def test_report_prints_one_of_them(gradparity: Gradparity, run: Path, content: Content) -> None:
    done = gradparity("report", "run", "--junit", "-")
    assert done.stdout == junit(content)
    done = gradparity("report", "run", "--junit", "-", "--markdown", "-")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_json_has_no_infinities(content: Content) -> None:
    content["findings"][0] |= {"margin": math.inf, "largest_margin": math.nan}

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    found = json.loads(strict_json(content), parse_constant=refuse)
    assert (found["findings"][0]["margin"], found["findings"][0]["largest_margin"]) == ("inf", "nan")
    assert found["exit_status"] == 1
    assert found["answer"].startswith("1 of 3 ")
    with pytest.raises(ValueError, match="Infinity"):
        json.loads(json.dumps(content), parse_constant=refuse)


SPOILT: dict[str, Callable[[str], str]] = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "foreign": lambda text: "[1, 2, 3]",
    "nested beyond reason": lambda text: "[" * 100_000,
    "unfinished": lambda text: text.replace('"complete": true', '"complete": false'),
    "without findings": lambda text: text.replace('"findings"', '"finding"'),
    "a finding without a sentence": lambda text: text.replace('"sentence"', '"sentences"'),
    "a matrix of words": lambda text: re.sub('"diverges": [0-9]+', '"diverges": "some"', text),
    "another version": lambda text: re.sub('"format": [0-9]+', '"format": 99', text),
}


@pytest.mark.parametrize("how", SPOILT)
def test_report_refuses_what_is_no_finished_run(
    gradparity: Gradparity, run: Path, tmp_path: Path, how: str
) -> None:
    file = run / "run.json"
    spoilt = SPOILT[how](file.read_text())
    assert spoilt != file.read_text()
    file.write_text(spoilt)
    done = gradparity("report", "run", "--markdown", "a.md", "--junit", "b.xml", "--html", "c.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"gradparity: run .*\n", done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in run.iterdir()] == ["run.json"]


@pytest.mark.parametrize("folder", ["missing", ".", "run/run.json"])
def test_report_refuses_what_is_no_folder_of_a_run(gradparity: Gradparity, run: Path, folder: str) -> None:
    done = gradparity("report", folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("gradparity: ")
    assert [path.name for path in run.iterdir()] == ["run.json"]


@pytest.mark.parametrize("file", ["no/such/folder/b.xml", "run", "run/run.json/b.xml", "/"])
def test_where_one_file_cannot_be_written_none_is(
    gradparity: Gradparity, run: Path, tmp_path: Path, file: str
) -> None:
    done = gradparity("report", "run", "--markdown", "a.md", "--junit", file, "--html", "c.html")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "cannot be written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in run.iterdir()] == ["run.json"]


# -------------------------------------------------------------------------------------- what fails besides verdicts


def agreeing(content: Content) -> Content:
    """The run as it would be if nothing diverged."""
    found = deepcopy(content)
    found["findings"], found["expectations"], found["lost"] = [], [], []
    for one in found["matrix"]:
        one["agrees"], one["diverges"], one["expected"] = one["agrees"] + one["diverges"], 0, 0
    return found


def test_a_lost_shard_is_green_nowhere(content: Content) -> None:
    whole = agreeing(content)
    lost = {**whole, "lost": [{"shard": 3, "message": "its process died"}]}
    assert annotate(whole) == ""
    assert "<error" not in junit(whole)
    assert json.loads(badge(whole))["color"] != "red"
    assert "shard 3" in annotate(lost)
    assert "its process died" in junit(lost)
    assert "<error" in junit(lost)
    assert json.loads(badge(lost))["color"] == "red"
    for told in (markdown(lost), render(lost)):
        assert "1 shard was lost, and not judged" in told
    assert "<title>!" in render(lost)
    assert "<title>!" not in render(whole)


def test_an_expectation_that_lapsed_is_in_the_page_s_sign(content: Content) -> None:
    expectation = {"implementation": content["implementations"][0]["name"], "precision": "float64", "function": "gelu",
                   "equation": "", "z": ["-inf", "inf"], "reason": "known", "link": "", "cases": 0, "holds": False,
                   "why": "gone"}  # fmt: skip
    page = render({**agreeing(content), "expectations": [expectation]})
    assert "<title>!" in page
    assert "1 expectation no longer holds" in page


# ------------------------------------------------------------------------------------------ a poisoned folder


def truncated_shard(folder: Path) -> None:
    shard = folder / "verdicts" / "00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])


def foreign_shard(folder: Path) -> None:
    (folder / "verdicts" / "00001.parquet").write_bytes(b"hello")


def damaged_exploring(folder: Path) -> None:
    (folder / "explored").mkdir()
    (folder / "explored" / "00000.parquet").write_bytes(b"hello")


def named_by_somebody(folder: Path) -> None:
    (folder / "verdicts" / "mine.parquet").write_bytes((folder / "verdicts" / "00000.parquet").read_bytes())


def lying_header(folder: Path) -> None:
    document = next((folder / "findings").iterdir())
    document.write_bytes(b"\xff" * 7 + b"\x7f" + document.read_bytes()[8:])


@pytest.mark.parametrize(
    ("poison", "sentence"),
    [
        (truncated_shard, "00000.parquet is no Parquet file, or was cut short"),
        (foreign_shard, "00001.parquet is no Parquet file, or was cut short"),
        (damaged_exploring, "explored/00000.parquet is no Parquet file, or was cut short"),
        (named_by_somebody, "mine.parquet is no shard of this run"),
        (lying_header, "is not a case document: "),
    ],
)
def test_a_poisoned_folder_is_refused_and_nothing_is_written(
    gradparity: Gradparity, tmp_path: Path, poison: Callable[[Path], None], sentence: str
) -> None:
    gradparity("verify", WEIGHT, "--cases", "8", "--precision", "float64", "--out", "run")
    poison(tmp_path / "run")
    before = (tmp_path / "run" / "report.html").read_bytes()
    for options in ((), ("--markdown", "run.md", "--html", "run.html")):
        done = gradparity("report", "run", *options)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "run" / "report.html").read_bytes() == before
    assert not list(tmp_path.glob("run.*"))
