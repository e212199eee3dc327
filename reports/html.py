"""The report: one self-contained HTML file.

Everything that is decided (order, words, digits) is decided here; report.html only lays it out. Names, messages and
file names come from whoever is judged: the template escapes them, and the page may neither run nor load anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .terminal import partly_asked

EQUATIONS = ("forward", "cost", "BP1", "BP2", "BP3", "BP4")

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

#: Findings that are open when the page is, and those of one implementation that are not folded away together.
OPEN, UNFOLDED = 3, 20

_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

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
class Finding:
    """A finding as it is shown; ``number`` is its place in run.json, which its case file and the terminal share."""

    number: int
    open: bool
    data: Content
    share: float
    #: The exact value and how surely it is known, to thirty digits.
    exact: str
    certainty: str
    #: How many characters of the result are those of the exact value.
    shared: int
    relative: str


def write_report(content: Mapping[str, Any], path: Path) -> None:
    """Write the report of a finished run (the content of its run.json)."""
    path.write_text(render(content), encoding="utf-8", errors="replace")  # a name may hold what UTF-8 cannot


def render(content: Content) -> str:
    """Give the report's HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(radii=radii, margin=margin, href=href, component=component)
    matrix = judged(content)
    return environment.get_template("report.html").render(
        run=content, matrix=matrix, signs=SIGNS, equations=EQUATIONS, unfolded=UNFOLDED,
        answer=answer(content), word=worst(one.word for one in matrix), total=total(content["matrix"]),
        began=datetime.fromtimestamp(content["began"], UTC), groups=findings(content, matrix),
        unanswered=unanswered(matrix), partly=partly_asked(content),
        drawn=[(key, bars(content["drawn"][key])) for key in _DRAWN],
        seconds=bars(content["rates"]["seconds"]),
    )  # fmt: skip


_DRAWN = ("regime", "cost", "activation", "depth")


def total(entries: Iterable[Content]) -> Counter[str]:
    """Add up the verdicts of some entries of the matrix; "verdicts" is the number of all."""
    entries = list(entries)
    counted = Counter(
        {word: sum(entry[word] for entry in entries) for word in SIGNS if word != "not answered"}
    )
    counted["verdicts"] = counted.total() - counted["expected"]  # which are among those that diverge
    return counted


def standing(counted: Counter[str]) -> str:
    """Say in one word what some verdicts come to: the worst of them, and nothing agrees that says too little."""
    if counted["diverges"] > counted["expected"]:
        return "diverges"
    if counted["failed"]:
        return "failed"
    if counted["expected"]:
        return "expected"
    if counted["agrees"] and counted["inconclusive"] <= MOST_INCONCLUSIVE * counted["verdicts"]:
        return "agrees"
    return max(("inconclusive", "unsupported"), key=lambda word: counted[word])


def worst(words: Iterable[str]) -> str:
    """Give the worst of some words."""
    order = ("diverges", "failed", "inconclusive", "unsupported", "expected", "agrees")
    return min(words, key=order.index, default="inconclusive")


def answer(content: Content) -> str:
    """Answer the question that the page is opened for, in one sentence."""
    totals = {one["name"]: total(_entries(content, one["name"])) for one in content["implementations"]}
    number, precisions = len(totals), content["settings"]["precisions"]
    words = Counter(standing(counted) for counted in totals.values())
    silent = words["inconclusive"] + words["unsupported"]
    lapsed = sum(one["holds"] is False for one in content["expectations"])
    known = ", but for what is expected" if words["expected"] else ""
    if number and words["agrees"] + words["expected"] == number and not lapsed:
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
    return "; ".join(clauses) + "."


_SINGULAR = {"diverge": "diverges", "fail": "fails", "say": "says", "agree": "agrees"}


def _list(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _entries(content: Content, name: str, precision: str | None = None) -> list[Content]:
    return [
        e for e in content["matrix"] if e["implementation"] == name and precision in (None, e["precision"])
    ]


def judged(content: Content) -> list[Judged]:
    """Give the matrix, worst first: by the share of an implementation's verdicts that diverge or failed."""
    numbered = sorted(enumerate(content["findings"], start=1), key=lambda f: -f[1]["cases"])

    def cell(name: str, precision: str, equation: str) -> Cell:
        entry = next((e for e in _entries(content, name, precision) if e["equation"] == equation), None)
        own = [
            n
            for n, f in numbered
            if (f["implementation"], f["precision"], f["equation"]) == (name, precision, equation)
        ]
        word = standing(total([entry])) if entry else "not answered"
        return Cell(equation, word, entry, own[0] if own else 0, len(own))

    def badness(entries: Iterable[Content]) -> float:
        counted = total(entries)
        return -(counted["diverges"] + counted["failed"]) / max(1, counted["verdicts"])

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


def findings(content: Content, matrix: Sequence[Judged]) -> list[tuple[Judged, list[Finding]]]:
    """Give the findings by implementation, both worst first: those that occur in the largest share of the cases."""
    numbered = list(enumerate(content["findings"], start=1))
    numbered.sort(key=lambda f: (-f[1]["cases"], -f[1]["largest_margin"]))
    shown = [_finding(n, f, place < OPEN, content) for place, (n, f) in enumerate(numbered)]
    groups = [(one, [f for f in shown if f.data["implementation"] == one.author["name"]]) for one in matrix]
    return sorted((group for group in groups if group[1]), key=lambda group: shown.index(group[1][0]))


def _finding(number: int, data: Content, is_open: bool, content: Content) -> Finding:
    exact, _, certainty = data["exact"].strip("[]").partition(" +/- ")
    shared, relative = 0, "not defined"
    try:
        true, result = Decimal(exact), Decimal(data["result"])
        if true.is_finite() and result.is_finite():
            if true.adjusted() == result.adjusted():
                shared = _shared_prefix(exact, data["result"])
            if true:
                relative = power(float(abs((result - true) / true)))
    except (InvalidOperation, OverflowError):
        pass  # an exact value that is only known as a ball around zero, or a result that is not a number
    asked = next(one["cases"] for one in content["implementations"] if one["name"] == data["implementation"])
    share = data["cases"] / max(1, asked)
    return Finding(number, is_open, data, share, exact, certainty, shared, relative)


def _shared_prefix(one: str, other: str) -> int:
    """Count the characters with which both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def unanswered(matrix: Sequence[Judged]) -> list[tuple[str, str, str]]:
    """Give what an implementation never answers, so that nobody takes an empty cell for agreement."""
    gaps = [
        (one.author["name"], precision, _list([cell.equation for cell in cells if not cell.entry]))
        for one in matrix for precision, cells in one.rows
    ]  # fmt: skip
    return [gap for gap in gaps if gap[2]]


def bars(counted: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Give name, number and share of the largest; numbers in their own order, names by how often they were drawn."""
    numeric = all(name.isdecimal() for name in counted)
    names = sorted(counted, key=lambda name: int(name) if numeric else -counted[name])
    return [(name, counted[name], counted[name] / (max(counted.values()) or 1)) for name in names]


def margin(value: float) -> str:
    """Show the margin of what agrees: rounded down, so that 1.00 is the edge itself."""
    return f"{math.floor(value * 100) / 100:.2f}"


def radii(value: float) -> str:
    """Show the margin of what diverges."""
    if not math.isfinite(value):
        return "infinitely many"
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" if value < 1e7 else power(value)


def power(value: float) -> str:
    """Show two digits and a power of ten."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_POWERS)}" if exponent and value else mantissa


def href(file: str) -> str:
    """Link to a file of the run, wherever the name would rather lead."""
    return "./" + quote(file, errors="replace")


def component(finding: Content) -> str:
    """Name the worst component as a person would; counted from 0, as arrays are."""
    kind, index = finding["array"].rstrip("0123456789"), finding["index"]
    axes = {"z": ("example", "neuron"), "a": ("example", "neuron"), "delta": ("example", "neuron"),
            "db": ("neuron",), "dW": ("neuron", "input")}.get(kind, ())  # fmt: skip
    return ", ".join(f"{axis} {i}" for axis, i in zip(axes, index, strict=False))
