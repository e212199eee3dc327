"""What some verdicts come to, in bounded memory: counts, margins, findings. Tallies of shards add up to a run's.

A tally travels with its shard, so that a run can be put together from finished shards, whoever made them and when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from ..adapters.document import read_case, write_case
from ..reference.names import Name
from ..reference.network import Case
from .blame import Broken
from .campaign import Divergence, Judged, Row
from .expectations import Expectation, Expectations
from .findings import Collector, Finding, Group, Key
from .verdict import Verdict

#: Whose, in which precision, and which equation; or whose verdict, and what it said.
Place = tuple[str, str, str]


class Margins(msgspec.Struct):
    """The worst margins of what agrees: away from kinks, where a margin of 1 may be a choice of side, and by links."""

    smooth: float = 0.0
    kinked: float = 0.0
    link: float = 0.0


class Counted(msgspec.Struct):
    """Everything of a tally but its findings."""

    cases: int = 0
    counts: dict[Place, dict[str, int]] = {}
    margins: dict[Place, Margins] = {}
    messages: dict[Place, int] = {}
    asked: dict[str, int] = {}
    seconds: dict[str, float] = {}
    authors: dict[str, dict[str, Any]] = {}
    drawn: dict[str, dict[str, int]] = {}
    #: In how many cases each expectation showed, by implementation, entry and precision.
    shown: dict[tuple[str, int, str], int] = {}
    #: Seconds for drawing cases, enclosures, and verdicts.
    clock: tuple[float, float, float] = (0.0, 0.0, 0.0)
    last: str = ""


class _Kept(msgspec.Struct):
    """One group of divergences on its way, its smallest case as a document."""

    entry: int
    key: Key
    case: bytes
    regime: str
    implementation: str
    blamed: Broken
    cases: int
    largest_margin: float
    lowest_z: float
    highest_z: float


class Tally:
    """Verdicts, counted; and divergences, by what expects them: an entry's place in its file, or -1 for none."""

    def __init__(self, counted: Counted | None = None) -> None:
        self.counted = counted or Counted()
        self.groups: dict[int, dict[Key, Group]] = {}

    def add(self, judged: Judged, expectations: Expectations | None) -> list[Row]:
        """Take in one implementation's judged answer to one case; gives its rows, with what is expected marked."""
        case, name = judged.case, judged.implementation
        _count(self.counted.seconds, name, judged.answer.seconds)
        _count(self.counted.asked, name, 1)
        if judged.answer.implementation:
            self.counted.authors[name] = dict(judged.answer.implementation)
        if self.counted.last != case.id:
            self._draw(case)
        expected = self._expected(judged, expectations)
        rows = [
            replace(row, expected=True) if expected and row.verdict == Verdict.DIVERGES else row
            for row in judged.rows
        ]
        for row in rows:
            self._count_row(row)
        for verdict, message in {
            (row.verdict, row.message.partition("\n")[0]) for row in rows if row.message
        }:
            _count(self.counted.messages, (name, verdict, message), 1)
        return rows

    def _draw(self, case: Case) -> None:
        self.counted.last, self.counted.cases = case.id, self.counted.cases + 1
        network = case.architecture
        for kind, names in (
            ("regime", {case.regime}),
            ("cost", {network.cost.name}),
            ("activation", {layer.activation for layer in network.layers}),
            ("depth", {str(network.depth)}),
        ):
            for drawn in names:
                _count(self.counted.drawn.setdefault(kind, {}), drawn, 1)

    def _count_row(self, row: Row) -> None:
        key = (row.implementation, row.precision, row.equation)
        counted = self.counted.counts.setdefault(key, {})
        _count(counted, row.verdict, 1)
        if row.expected:
            _count(counted, "expected", 1)
        if row.verdict == Verdict.AGREES:
            worst = self.counted.margins.setdefault(key, Margins())
            if row.kinked:
                worst.kinked = max(worst.kinked, row.margin)
            else:
                worst.smooth = max(worst.smooth, row.margin)
                worst.link = max(worst.link, row.link_margin)

    def _expected(self, judged: Judged, expectations: Expectations | None) -> bool:
        """Collect an answer's divergences under what expects them, and say whether all of them were expected."""
        found = list[int]()
        for one in judged.divergences:
            expectation = self.covering(expectations, judged.implementation, judged.case, one.blamed)
            place = expectations.entries.index(expectation) if expectations and expectation else -1
            Collector(self.groups.setdefault(place, {})).add(one)
            found.append(place)
        for place in dict.fromkeys(found):
            if place >= 0:
                _count(self.counted.shown, (judged.implementation, place, judged.case.precision), 1)
        return -1 not in found

    def covering(
        self, expectations: Expectations | None, name: str, case: Case, broken: Broken
    ) -> Expectation | None:
        """Give what expects something that broke; None where nobody does."""
        if expectations is None:
            return None
        return expectations.covering(name, self.version(name), case.architecture, case.precision, broken)

    def version(self, name: str) -> str:
        """Give the version that an implementation says it has."""
        return str(self.counted.authors.get(name, {}).get("version", "unknown"))

    def verdicts(self) -> Counter[str]:
        """Count all verdicts."""
        total = Counter[str]()
        for counted in self.counted.counts.values():
            total.update({verdict: n for verdict, n in counted.items() if verdict != "expected"})
        return total

    def findings(self, expectations: Expectations | None) -> list[Finding]:
        """Give the findings, one a cause, those of an implementation together."""
        found = list[Finding]()
        for place, groups in self.groups.items():
            expectation = expectations.entries[place] if expectations and place >= 0 else None
            found += Collector(groups, expectation).findings()
        return sorted(found, key=lambda one: (one.implementation, one.precision, -one.cases))

    def merge(self, other: Tally) -> None:
        """Take in the tally of the next shard."""
        self.counted.cases += other.counted.cases
        _add_up(self.counted.messages, other.counted.messages)
        _add_up(self.counted.shown, other.counted.shown)
        _add_up(self.counted.asked, other.counted.asked)
        _add_up(self.counted.seconds, other.counted.seconds)
        for place, counted in other.counted.counts.items():
            _add_up(self.counted.counts.setdefault(place, {}), counted)
        for kind, drawn in other.counted.drawn.items():
            _add_up(self.counted.drawn.setdefault(kind, {}), drawn)
        for place, margins in other.counted.margins.items():
            mine = self.counted.margins.get(place, Margins())
            self.counted.margins[place] = Margins(
                max(mine.smooth, margins.smooth),
                max(mine.kinked, margins.kinked),
                max(mine.link, margins.link),
            )
        for entry, groups in other.groups.items():
            collector = Collector(self.groups.setdefault(entry, {}))
            for key, group in groups.items():
                collector.add_group(key, group)
        self.counted.authors |= other.counted.authors
        drawing, enclosures, judging = (
            a + b for a, b in zip(self.counted.clock, other.counted.clock, strict=True)
        )
        self.counted.clock = drawing, enclosures, judging

    def to_bytes(self) -> bytes:
        """Give it as MessagePack."""
        kept = [
            _Kept(entry, key, write_case(d.case), d.case.regime, d.implementation, d.blamed, group.cases,
                  group.largest_margin, group.lowest_z, group.highest_z)
            for entry, groups in self.groups.items() for key, group in groups.items() for d in [group.smallest]
        ]  # fmt: skip
        return msgspec.msgpack.encode((self.counted, kept), enc_hook=_plain)

    @classmethod
    def from_bytes(cls, given: bytes) -> Tally:
        """Read what ``to_bytes`` gave; raises msgspec.MsgspecError, or MalformedError in a case."""
        counted, kept = msgspec.msgpack.decode(given, type=tuple[Counted, list[_Kept]], dec_hook=_named)
        tally = cls(counted)
        for one in kept:
            case = replace(read_case(one.case), regime=one.regime)
            group = Group(Divergence(case, one.implementation, one.blamed), one.cases, one.largest_margin,
                          one.lowest_z, one.highest_z)  # fmt: skip
            tally.groups.setdefault(one.entry, {})[one.key] = group
        return tally


def _add_up(mine: dict[Any, Any], theirs: Mapping[Any, float]) -> None:
    for key, number in theirs.items():
        _count(mine, key, number)


def _count(counted: dict[Any, Any], key: object, number: float) -> None:
    counted[key] = counted.get(key, 0) + number


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Name):
        return value.kind, value.layer, value.reader
    raise NotImplementedError(type(value))


def _named(kind: type, value: Any) -> Name:
    if kind is Name:
        return Name(*value)
    raise NotImplementedError(kind)
