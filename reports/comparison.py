"""What `compare` says: in the terminal, as Markdown for a job summary, and as JSON for scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ..harness.compare import Change, Comparison, Drift

#: Rows of a table; the rest is counted, and is in the JSON.
MOST_SHOWN = 25

_CHANGES = ("implementation", "precision", "equation", "through", "was", "is", "rows", "margin", "case")
_DRIFT = (
    "implementation",
    "precision",
    "equation",
    "activation",
    "moved",
    "of",
    "ulps",
    "radii",
    "case",
    "array",
)


def headline(comparison: Comparison) -> str:
    """Say in one sentence what became of the rows."""
    worse = sum(one.rows for one in comparison.regressions)
    mended = sum(
        one.rows for one in comparison.changes if one.old in ("diverges", "failed") and one.new == "agrees"
    )
    known = sum(one.rows for one in comparison.changes if one.new == "diverges" and one.expected)
    moved = comparison.rows - comparison.equal
    parts = [
        f"{worse:,} of {comparison.rows:,} rows are worse"
        if worse
        else f"None of {comparison.rows:,} rows is worse",
        f"{mended:,} mended" if mended else "",
        f"{known:,} diverge otherwise than before, as expected" if known else "",
        f"{comparison.equal:,} bitwise equal, {moved:,} moved",
    ]
    return "; ".join(filter(None, parts)) + "."


def notes(comparison: Comparison) -> Iterator[str]:
    """Say what was compared, and what was not."""
    for one in comparison.versions:
        yield f"{one.name}: {one.old}" + (f" -> {one.new}" if one.old != one.new else ", in both runs")
    for number, run in ((comparison.only_old, comparison.old), (comparison.only_new, comparison.new)):
        if number:
            yield f"{number:,} rows are in {run} only, and were not compared"
    if comparison.answers:
        yield "ulps: units in the last place of an array's largest number; radii: of its enclosure, 1 is the edge"
    else:
        yield "how many units in the last place is not known: make both runs with `verify --answers`"


def _change(one: Change) -> tuple[str, ...]:
    was, now = one.old, f"{one.new}{' (expected)' if one.expected else ''}"
    margin = f"{one.margin:.3g}" if math.isfinite(one.margin) else "inf"
    return (
        one.implementation,
        one.precision,
        one.equation,
        one.function,
        was,
        now,
        f"{one.rows:,}",
        margin,
        one.case,
    )


def _moved(one: Drift) -> tuple[str, ...]:
    far = "" if one.ulps is None else f"{one.ulps:,.1f}" if math.isfinite(one.ulps) else "inf"
    return (one.implementation, one.precision, one.equation, one.activation, f"{one.rows - one.equal:,}",
            f"{one.rows:,}", far, f"{one.radii:.2g}", one.case, one.array)  # fmt: skip


def _tables(comparison: Comparison) -> Iterator[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    changes = [_change(one) for one in comparison.changes]
    moved = [_moved(one) for one in comparison.drift if one.rows > one.equal]
    if changes:
        yield "Verdicts that changed, worse first", _CHANGES, changes
    if moved:
        yield "What moved inside its bounds, farthest first", _DRIFT, moved


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison."""
    console.print(f"[bold]{headline(comparison)}[/]", highlight=False)
    for line in notes(comparison):
        console.print(f"[dim]{escape(line)}[/]", highlight=False, soft_wrap=True)
    for title, columns, rows in _tables(comparison):
        table = Table(
            title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
        )
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows[:MOST_SHOWN]:
            table.add_row(*map(escape, row))
        console.print(table)
        if len(rows) > MOST_SHOWN:
            console.print(f"[dim]and {len(rows) - MOST_SHOWN} more lines[/]")


def to_markdown(comparison: Comparison) -> str:
    """Give a comparison as Markdown; names are whoever's is judged, so they are escaped."""
    lines = [f"## {'✗' if comparison.regressions else '✓'} {headline(comparison)}", ""]
    lines += [f"- {_cell(line)}" for line in notes(comparison)]
    for title, columns, rows in _tables(comparison):
        lines += ["", f"### {title}", "", f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows[:MOST_SHOWN]]
        if len(rows) > MOST_SHOWN:
            lines += ["", f"and {len(rows) - MOST_SHOWN} more lines"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Leave nothing in a text that Markdown or HTML would take for its own."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]|~":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def to_json(comparison: Comparison) -> str:
    """Give a comparison as JSON: every line, whatever its number."""
    content = {
        **asdict(comparison),
        "old": str(comparison.old),
        "new": str(comparison.new),
        "regressions": sum(one.rows for one in comparison.regressions),
    }
    return json.dumps(content, indent=1) + "\n"
