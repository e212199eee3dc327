"""Markdown: a run's answer, its matrix and its findings, for the summary of a CI job or a comment.

Names and messages come from whoever is judged. What Markdown or HTML would take for more than letters is escaped, and
the whole stays below what a job summary may have, whatever there is to tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..reference.steps import EQUATIONS
from .checks import Check, checks, known, numbered, subject
from .html import SIGNS, answer

Content = Mapping[str, Any]
Item = TypeVar("Item")

#: A job summary on GitHub may have 1 MiB, and beyond that is dropped as a whole. So many bytes may each of its five
#: parts have, and so many items: more is more than anybody reads there.
PART, SHOWN = 192 * 1024, 100

#: No name or message is shown beyond so many characters.
LONGEST = 1000

_SPECIAL = {character: f"\\{character}" for character in "\\`*_[]|~$"}
#: An empty comment keeps a name from being notified.
_SPECIAL |= {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@<!-- -->"}


def markdown(content: Content) -> str:
    """Give a finished run (the content of its run.json) as Markdown of less than 1 MiB."""
    unexpected, expected = (numbered(content, expected=kind) for kind in (False, True))
    lapsed = [one for one in content["expectations"] if one["holds"] is False]
    head = [
        "| implementation | precision | " + " | ".join(EQUATIONS) + " |",
        "| --- " * (len(EQUATIONS) + 2) + "|",
    ]
    parts = [
        f"### gradparity: {text(answer(content))}",
        _part("", _rows(content), _row, head),
        _part("Findings", unexpected, _finding),
        _part("Expectations that no longer hold", lapsed, _lapsed),
        _part("Expected findings", expected, _finding, folded=True),
        _part("Messages", content["messages"], _message, folded=True),
        f"{content['drawn']['cases']:,} cases, seed {content['seed']}, gradparity {text(content['gradparity'])}. "
        + ", ".join(f"{SIGNS[word]} {word}" for word in SIGNS),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def text(given: object) -> str:
    """Make one line that means nothing but its letters."""
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", str(given)).strip()
    shown = line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
    return "".join(_SPECIAL.get(character, character) for character in shown)


def _part(
    title: str,
    items: Sequence[Item],
    shown_as: Callable[[Item], str],
    head: Sequence[str] = (),
    *,
    folded: bool = False,
) -> str:
    """Give a part as far as there is room for it, and say how much is left out; nothing of nothing."""
    if not items:
        return ""
    lines, room = list[str](), PART
    for item in items[:SHOWN]:
        line = shown_as(item)
        room -= len(line.encode(errors="replace")) + 1
        if room < 0:
            break
        lines.append(line)
    body = "\n".join([*head, *lines])
    if left := len(items) - len(lines):
        body += f"\n\n{left:,} of {len(items):,} are left out here; the run's report.html and run.json have them all."
    if not title:
        return body
    heading = f"{title}: {len(items):,}"
    return (
        f"<details><summary>{heading}</summary>\n\n{body}\n\n</details>"
        if folded
        else f"**{heading}**\n\n{body}"
    )


def _rows(content: Content) -> list[list[Check]]:
    """Give the checks of the equations, those of an implementation and precision together."""
    found = [check for check in checks(content) if check.name in EQUATIONS]
    return [found[i : i + len(EQUATIONS)] for i in range(0, len(found), len(EQUATIONS))]


def _row(row: Sequence[Check]) -> str:
    cells = [
        f"{SIGNS[one.word]} {one.number:,}" if one.bad or one.word == "expected" else SIGNS[one.word]
        for one in row
    ]
    return f"| {text(row[0].implementation)} | {text(row[0].precision)} | {' | '.join(cells)} |"


def _finding(given: tuple[int, Content]) -> str:
    number, one = given
    reason = f"; known: {text(known(one))}" if one["expected"] else ""
    return f"- **{number}** {text(one['sentence'])}{reason}. Case: {text(one['case'])}"


def _lapsed(one: Content) -> str:
    told = f"{one['implementation']}, {one['precision']}: {subject(one)} is expected to diverge, and {one['why']}"
    return f"- **!** {text(told)}; known: {text(known(one))}"


def _message(one: Content) -> str:
    told = f"{one['implementation']}: {one['verdict']} in {one['cases']:,} cases: {one['message']}"
    return f"- **{one['cases']:,}** {text(told)}"
