"""The report: one self-contained HTML file.

Everything that is decided (order, words, digits) is decided here and in the modules beside it; the templates only lay
it out. Names, messages and file names come from whoever is judged: the templates escape them, the page loads nothing,
and runs nothing but its own two scripts, whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..reference.names import AXES
from ..reference.steps import EQUATIONS
from .aggregates import aggregate
from .agreement import agreement
from .baseline import Baseline
from .causes import Cause, causes, power, short
from .causes import listed as _list
from .coverage import bars, coverage, pairs, spoken
from .evidence import Evidence, evidence
from .picture import blamed
from .portraits import certificate, conventions, declined
from .terminal import MOST_IN_A_CELL, partly_asked, premises

#: A sign for each word, so that colour is never the only signal.
SIGNS = {
    "agrees": "✓",
    "diverges": "✗",
    "failed": "!",
    "expected": "≈",
    "inconclusive": "?",
    "unsupported": "–",
    "not answered": "·",
}

#: Beyond this share of inconclusive verdicts nothing is said to agree; as the exit status has it.
MOST_INCONCLUSIVE = 0.5

#: Findings that are open when the page is, of the first cause; that are shown with everything; that are told in a line.
#: With many, more is more than anybody reads, and the page stays below 3 MiB; all of them are in run.json.
OPEN, DETAILED, TOLD = 1, 150, 1500

#: Bytes of case documents and programs in the page; the others stay in the run's folder.
EMBEDDED = 600_000

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One implementation, precision and equation in the matrix; ``entry`` is None where nothing was answered."""

    equation: str
    word: str
    entry: Content | None
    #: The number of the finding to read first; 0 where every divergence follows from another equation's.
    finding: int
    findings: int


@dataclass(frozen=True)
class Judged:
    """One implementation in the matrix: a row of cells for each precision."""

    number: int
    author: Content
    word: str
    rows: Sequence[tuple[str, Sequence[Cell]]]


@dataclass(frozen=True)
class Shown:
    """A cause with its findings; beyond the first of all, they are told and not shown."""

    cause: Cause
    findings: Sequence[Evidence]
    told: Sequence[tuple[int, Content]]
    left_out: int


def write_report(content: Mapping[str, Any], path: Path, baseline: Baseline | None = None) -> None:
    """Write the report of a finished run (the content of its run.json) into its folder, which holds the rest of it."""
    page = render(content, path.parent, baseline)
    path.write_text(page, encoding="utf-8", errors="replace")  # a name may hold what UTF-8 cannot


def render(content: Content, folder: Path | None = None, baseline: Baseline | None = None) -> str:
    """Give the report's HTML. Without the run's folder it has no margins, programs and documents, and says so."""
    matrix = judged(content)
    found = aggregate(folder) if folder else None
    portraits = content.get("portraits") or {}
    return _environment().get_template("report.html").render(
        run=content, matrix=matrix, answer=answer(content),
        word=worst([*(one.word for one in matrix), *_besides(content)]),
        total=total(content["matrix"]), began=datetime.fromtimestamp(content["began"], UTC),
        causes=_causes(content, folder, baseline), baseline=baseline,
        unanswered=unanswered(matrix), partly=[*partly_asked(content), *premises(content)],
        agreement=agreement(found, content["settings"]) if found and found.margins else None,
        drawn=coverage(content, found), spoken=spoken(found) if found else [],
        pairs=pairs(found, content["settings"]) if found else [],
        portraits=portraits, conventions=conventions(portraits), certificate=certificate(portraits),
        declined=declined(portraits), seconds=bars(content["rates"]["seconds"]),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        radii=short, margin=margin, href=href, component=component, power=power, six=six
    )
    scripts = [(here / name).read_text(encoding="utf-8") for name in ("plot.js", "report.js")]
    environment.globals.update(
        signs=SIGNS,
        equations=EQUATIONS,
        style=Markup((here / "report.css").read_text(encoding="utf-8")),  # ours, as the scripts are
        scripts=[Markup(text) for text in scripts],
        hashes=" ".join(f"'sha256-{_digest(text)}'" for text in scripts),
    )
    return environment


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _causes(content: Content, folder: Path | None, baseline: Baseline | None) -> list[Shown]:
    shown, detailed, told, room = list[Shown](), DETAILED, TOLD, EMBEDDED
    for cause in causes(content):
        pieces = list[Evidence]()
        for number, one in cause.findings[:detailed]:
            is_open = detailed == DETAILED and len(pieces) < OPEN and not one["expected"]
            pieces.append(evidence(number, one, content, folder if room > 0 else None, baseline, is_open))
            room -= len(pieces[-1].document) + len(pieces[-1].program)
        rest = cause.findings[len(pieces) :]
        shown.append(Shown(cause, pieces, rest[:told], len(rest[told:])))
        detailed, told = detailed - len(pieces), told - len(rest[:told])
    return shown


def total(entries: Iterable[Content]) -> Counter[str]:
    """Add up the verdicts of some entries of the matrix; "verdicts" is the number of all."""
    entries = list(entries)
    counted = Counter(
        {word: sum(entry[word] for entry in entries) for word in SIGNS if word != "not answered"}
    )
    counted["verdicts"] = counted.total() - counted["expected"]  # which are among those that diverge
    return counted


def standing(counted: Counter[str], most: float = MOST_INCONCLUSIVE) -> str:
    """Say in one word what some verdicts come to: the worst of them, and nothing agrees that says too little.

    That is where more than the share ``most`` of what was answered is inconclusive.
    """
    if counted["diverges"] > counted["expected"]:
        return "diverges"
    if counted["failed"]:
        return "failed"
    if counted["expected"]:
        return "expected"
    answered = counted["agrees"] + counted["inconclusive"]
    if counted["agrees"] and counted["inconclusive"] <= most * answered:
        return "agrees"
    return max(("inconclusive", "unsupported"), key=lambda word: counted[word])


def worst(words: Iterable[str]) -> str:
    """Give the worst of some words."""
    order = ("diverges", "failed", "inconclusive", "unsupported", "expected", "agrees")
    return min(words, key=order.index, default="inconclusive")


def _besides(content: Content) -> list[str]:
    """Say what fails a run apart from its verdicts: an expectation that no longer holds, a shard that was lost."""
    lapsed = any(one["holds"] is False for one in content["expectations"])
    return ["failed"] if lapsed or content["lost"] else []


def answer(content: Content) -> str:
    """Answer the question that the page is opened for, in one sentence."""
    totals = {one["name"]: total(_entries(content, one["name"])) for one in content["implementations"]}
    number, precisions = len(totals), content["settings"]["precisions"]
    words = Counter(standing(counted) for counted in totals.values())
    silent = words["inconclusive"] + words["unsupported"]
    lapsed, lost = sum(one["holds"] is False for one in content["expectations"]), len(content["lost"])
    known = ", but for what is expected" if words["expected"] else ""
    if number and words["agrees"] + words["expected"] == number and not lapsed and not lost:
        who = f"All {number} implementations agree" if number > 1 else f"{next(iter(totals))} agrees"
        return f"{who} with the reference in {_list(precisions)}{known}."

    def some(verb: str, k: int, where: str = "") -> str:
        subject = f"{k} of {number} implementations" if not clauses else str(k)
        subject = next(iter(totals)) if number == 1 else subject
        return f"{subject} {verb if k > 1 else _SINGULAR[verb]}{where}"

    clauses: list[str] = []
    if words["diverges"]:
        divergent = Counter(
            precision
            for name in totals
            for precision in precisions
            if standing(total(_entries(content, name, precision))) == "diverges"
        )
        if len(set(divergent.values()) | {words["diverges"]}) == 1:
            where = f" in {_list([p for p in precisions if divergent[p]])}"
        else:
            where = ": " + ", ".join(f"{divergent[p]} in {p}" for p in precisions if divergent[p])
        clauses.append(some("diverge", words["diverges"], where))
    if words["failed"]:
        clauses.append(some("fail", words["failed"], " to answer every case"))
    if silent or not number:
        clauses.append(
            some("say", silent, " too little to mean anything") if number else "Nothing was judged"
        )
    if words["agrees"] + words["expected"]:
        clauses.append(some("agree", words["agrees"] + words["expected"], known))
    if lapsed:
        clauses.append(f"{lapsed} expectation{'s' * (lapsed > 1)} no longer hold{'s' * (lapsed == 1)}")
    if lost:
        clauses.append(f"{lost} shard{'s were' if lost > 1 else ' was'} lost, and not judged")
    return "; ".join(clauses) + "."


_SINGULAR = {"diverge": "diverges", "fail": "fails", "say": "says", "agree": "agrees"}


def _entries(content: Content, name: str, precision: str | None = None) -> list[Content]:
    return [
        e for e in content["matrix"] if e["implementation"] == name and precision in (None, e["precision"])
    ]


def judged(content: Content) -> list[Judged]:
    """Give the matrix, worst first: by the share of verdicts that failed, or diverge though nobody expects it."""
    numbered = sorted(enumerate(content["findings"], start=1), key=lambda f: -f[1]["cases"])

    def cell(name: str, precision: str, equation: str) -> Cell:
        entry = next((e for e in _entries(content, name, precision) if e["equation"] == equation), None)
        own = [
            n
            for n, f in numbered
            if (f["implementation"], f["precision"], f["equation"]) == (name, precision, equation)
        ]
        word = standing(total([entry]), MOST_IN_A_CELL) if entry else "not answered"
        return Cell(equation, word, entry, own[0] if own else 0, len(own))

    def badness(entries: Iterable[Content]) -> tuple[float, float]:
        counted = total(entries)
        bad, number = counted["diverges"] + counted["failed"], max(1, counted["verdicts"])
        return (counted["expected"] - bad) / number, -bad / number  # what nobody expects is worse

    def row(number: int, author: Content) -> Judged:
        name, precisions = author["name"], content["settings"]["precisions"]
        worst_first = sorted(precisions, key=lambda precision: badness(_entries(content, name, precision)))
        cells = [
            (precision, [cell(name, precision, equation) for equation in EQUATIONS])
            for precision in worst_first
        ]
        return Judged(number, author, standing(total(_entries(content, name))), cells)

    rows = [row(number, author) for number, author in enumerate(content["implementations"], start=1)]
    return sorted(rows, key=lambda one: badness(_entries(content, one.author["name"])))


def unanswered(matrix: Sequence[Judged]) -> list[tuple[str, str, str]]:
    """Give what an implementation never answers, so that nobody takes an empty cell for agreement."""
    gaps = [
        (one.author["name"], precision, _list([cell.equation for cell in cells if not cell.entry]))
        for one in matrix for precision, cells in one.rows
    ]  # fmt: skip
    return [gap for gap in gaps if gap[2]]


def margin(value: float) -> str:
    """Show the margin of what agrees: rounded down, so that 1.00 is the edge itself."""
    return f"{math.floor(value * 100) / 100:.2f}"


def six(value: object) -> str:
    """Show a number that Python wrote with the digits that people compare."""
    try:
        return f"{float(str(value)):.6g}"
    except ValueError:
        return str(value)


def href(file: str) -> str:
    """Link to a file of the run, wherever the name would rather lead."""
    return "./" + quote(file, errors="replace")


def component(finding: Content) -> str:
    """Name the worst component as a person would; counted from 0, as arrays are."""
    axes = AXES[blamed(finding).makes.kind]
    return ", ".join(f"{axis} {i}" for axis, i in zip(axes, finding["index"], strict=False))
