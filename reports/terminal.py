"""What the terminal shows when a run ends: the matrix, the findings, where the report is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..reference.premise import Premise
from ..reference.steps import EQUATIONS
from .causes import Cause, causes

#: A cell with a larger share of inconclusive verdicts is no agreement.
MOST_IN_A_CELL = 0.05


def _cell(entry: Mapping[str, Any] | None) -> str:
    """The worst verdict, told by a sign as well as by colour, with its number or the worst margin."""
    if entry is None:
        return "[dim]-[/]"  # the implementation's answers do not hold it
    if entry["failed"]:
        return f"[bold red]! {entry['failed']}[/]"
    if entry["diverges"] > entry["expected"]:
        return f"[red]✗ {entry['diverges'] - entry['expected']}[/]"
    if entry["expected"]:
        return f"[yellow]≈ {entry['expected']}[/]"
    answered = entry["agrees"] + entry["inconclusive"]
    declined = entry["unsupported"] / max(1, answered + entry["unsupported"])
    beside = f" [dim]-{declined:.0%}[/]" if declined else ""
    if answered and entry["inconclusive"] > MOST_IN_A_CELL * answered:
        return f"[yellow]?[/] {entry['inconclusive'] / answered:.0%}{beside}"
    return f"[green]✓[/] {entry['worst_margin']:.2f}{beside}" if answered else f"[dim]?[/]{beside}"


def _matrix(content: Mapping[str, Any]) -> Table:
    entries = {(e["implementation"], e["precision"], e["equation"]): e for e in content["matrix"]}
    table = Table(
        title="✓ worst margin of what agrees (1 is the edge)  ✗ diverge  ≈ diverge as expected  ! failed\n"
        "? inconclusive  -5% declined",
        title_justify="left",
        title_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("implementation", no_wrap=True, overflow="ellipsis", max_width=32)
    table.add_column("", no_wrap=True, min_width=7)
    for name in EQUATIONS:
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    for implementation in content["implementations"]:
        name = implementation["name"]
        for precision in content["settings"]["precisions"]:
            row = [entries.get((name, precision, equation)) for equation in EQUATIONS]
            table.add_row(escape(name), precision, *map(_cell, row))
    return table


def _totals(content: Mapping[str, Any]) -> str:
    total = Counter[str]()
    for equations in content["counts"].values():
        for verdicts in equations.values():
            total.update(verdicts)
    number = sum(total.values())
    parts = [f"{n:,} {verdict} ({n / number:.1%})" for verdict, n in total.most_common() if n]
    return f"{number:,} verdicts: {', '.join(parts)}."


def partly_asked(content: Mapping[str, Any]) -> list[str]:
    """Say who was asked about a pool of architectures only, and how much that is."""
    settings = content["settings"]
    return [
        f"{one['name']} was asked about {one['cases']:,} of {content['drawn']['cases']:,} cases only, of "
        "architectures that have an activation or a cost which none before had: it is slow to compile or to "
        "differentiate."
        for one in content["implementations"]
        if one["name"] in settings.get("expensive", ())
    ]


def premises(content: Mapping[str, Any]) -> list[str]:
    """Say of whom links are not computed from all that they answered, and how that is known."""
    return [
        f"{one['name']}: {Premise(one['premise']).says} ({one['premise_is']})."
        for one in content["implementations"]
        if one.get("premise", Premise.OWN) != Premise.OWN
    ]


def _unexpected(numbered: Sequence[tuple[int, Mapping[str, Any]]], console: Console) -> None:
    if numbered:
        console.print(
            f"[bold]{len(numbered)} finding{'s' * (len(numbered) > 1)}[/], each confirmed in arbitrary precision:"
        )
    for number, finding in numbered:
        console.print(f"{number:3}. {escape(finding['sentence'])}", highlight=False, soft_wrap=True)


def _expected(found: Sequence[Cause], console: Console) -> None:
    """Print a line a cause; what is known needs no more."""
    number = sum(len(one.findings) for one in found)
    if number:
        console.print(f"[bold]{number} expected finding{'s' * (number > 1)}[/]; what is known:")
    for one in found:
        numbers = [number for number, _ in one.findings]
        console.print(
            f"  [dim]≈[/] {escape(one.title)} [dim]({_spans(numbers)})[/]", highlight=False, soft_wrap=True
        )


def _spans(numbers: Sequence[int]) -> str:
    """Write numbers in order, those that follow one another as a span."""
    spans = list[list[int]]()
    for one in sorted(numbers):
        if spans and spans[-1][-1] == one - 1:
            spans[-1].append(one)
        else:
            spans.append([one])
    return ", ".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)


def summary(content: Mapping[str, Any], console: Console) -> None:
    """Print the closing table and the findings of a finished run."""
    console.print(_matrix(content))
    numbered = list(enumerate(content["findings"], start=1))
    _unexpected([one for one in numbered if not one[1]["expected"]], console)
    _expected([one for one in causes(content) if one.expected], console)
    for one in content["expectations"]:
        if one["holds"] is False:
            console.print(
                f"[bold red]![/] {escape(one['implementation'])}, {one['precision']}: "
                f"{escape(' '.join(filter(None, (one['equation'], one['function']))))} is expected to diverge "
                f"({escape(one['reason'])}), and {escape(one['why'])}",
                highlight=False,
                soft_wrap=True,
            )
    for one in content["lost"]:
        console.print(
            f"[bold red]![/] shard {one['shard']} was lost, and is not judged: {escape(one['message'])}",
            highlight=False,
            soft_wrap=True,
        )
    for message in content["messages"]:
        console.print(
            f"[dim]{escape(message['implementation'])}: {message['verdict']} in {message['cases']} cases: "
            f"{escape(message['message'])}[/]",
            highlight=False,
            soft_wrap=True,
        )
    for line in (*partly_asked(content), *premises(content)):
        console.print(f"[dim]{escape(line)}[/]", highlight=False, soft_wrap=True)
    console.print(_totals(content), highlight=False)
    rates = content["rates"]
    console.print(
        f"{content['drawn']['cases']:,} cases in {rates['seconds']['all']:.0f} s "
        f"({rates['cases_per_second']:.1f} a second), seed {content['seed']}.",
        highlight=False,
    )
