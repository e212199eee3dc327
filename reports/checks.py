"""A finished run as checks, for whatever reads pass or fail: one for each implementation, precision and equation.

And one for each expectation, which is checked both ways, and for each shard that was lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..reference.steps import EQUATIONS
from .html import standing, total

Content = Mapping[str, Any]

#: What a check may come to. A lapsed expectation is one that shows nowhere any more; the last four say nothing.
BAD = ("diverges", "failed", "lapsed")
SILENT = ("inconclusive", "unsupported", "not answered", "not tried")


@dataclass(frozen=True)
class Check:
    """One of a run's checks: what was asked, in one word what came of it, and why, in sentences."""

    implementation: str
    precision: str
    #: An equation, or "expected: " and what an expectation is about.
    name: str
    word: str
    sentences: Sequence[str]
    #: How many verdicts the word is about.
    number: int = 0

    @property
    def bad(self) -> bool:
        """Whether somebody has to look at it."""
        return self.word in BAD


def checks(content: Content) -> list[Check]:
    """Give the checks of a run (the content of its run.json), those of an implementation together."""
    found = list[Check]()
    for name in (one["name"] for one in content["implementations"]):
        for precision in content["settings"]["precisions"]:
            found += [_equation(content, (name, precision, equation)) for equation in EQUATIONS]
        found += [
            Check(name, "all precisions", f"shard {one['shard']}", "failed", [f"was lost: {one['message']}"])
            for one in content["lost"]
        ]
        found += [_expectation(one) for one in content["expectations"] if one["implementation"] == name]
    return found


def subject(expectation: Content) -> str:
    """Name what an expectation is about: an equation, a function, or a function in an equation."""
    return " ".join(filter(None, (expectation["equation"], expectation["function"])))


def known(one: Content) -> str:
    """Give the reason for which a finding is known, or an expectation there, and where to read more."""
    return f"{one['reason']} ({one['link']})" if one["link"] else str(one["reason"])


def numbered(content: Content, *, expected: bool) -> list[tuple[int, Content]]:
    """Give the findings that were expected, or those that were not, each with its number in run.json."""
    return [
        (number, one)
        for number, one in enumerate(content["findings"], start=1)
        if one["expected"] is expected
    ]


Place = tuple[str, str, str]


def _place(one: Content) -> Place:
    return one["implementation"], one["precision"], one["equation"]


def _equation(content: Content, place: Place) -> Check:
    entries = [one for one in content["matrix"] if _place(one) == place]
    if not entries:
        return Check(*place, "not answered", ["its answers hold no such array, or no case asks for one"])
    counted = total(entries)
    word = standing(counted)
    about = counted["diverges"] - counted["expected"] if word == "diverges" else counted[word]
    share = f"{about:,} of {counted['verdicts']:,} verdicts"
    findings = [one for _, one in numbered(content, expected=word == "expected") if _place(one) == place]
    sentences = {
        "diverges": [one["sentence"] for one in findings]
        or [f"{share} diverge, which follows from another equation's finding"],
        "expected": [f"{one['sentence']}; known: {known(one)}" for one in findings]
        or [f"{share} diverge, which follows from what is known"],
        "agrees": [f"{share} agree"],
    }.get(word) or [f"{share}: {word}", *_messages(content, place[0], word)]
    if word == "diverges" and counted["failed"]:
        sentences += [
            f"{counted['failed']:,} verdicts failed besides",
            *_messages(content, place[0], "failed"),
        ]
    return Check(*place, word, sentences, about)


def _messages(content: Content, name: str, verdict: str) -> list[str]:
    """Give what an implementation said, the commonest first."""
    said = [one for one in content["messages"] if (one["implementation"], one["verdict"]) == (name, verdict)]
    return [f"{one['message']} ({one['cases']:,} cases)" for one in said]


def _expectation(one: Content) -> Check:
    word = {True: "agrees", False: "lapsed", None: "not tried"}[one["holds"]]
    name = f"expected: {subject(one)}"
    return Check(one["implementation"], one["precision"], name, word, [f"{one['why']}; known: {known(one)}"])
