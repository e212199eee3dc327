"""The run folder: one campaign's results, written so that an interrupted run is known to be one.

run.json                 settings, versions, counts, findings; ``complete`` is its closing mark
verdicts/00000.parquet   a shard of rows a file, written whole and then renamed
findings/*.safetensors   the smallest case of each finding, as a document
report.html
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..adapters.document import write_case
from ..reference.network import Array, Case
from ..reference.rounding.model import K
from .campaign import Clock, Judged, Row, Settings
from .environment import environment
from .expectations import Expectation, Expectations
from .findings import Collector, Finding
from .recheck import Key, Standing
from .shards import RunFolderError, Shards, replace_file
from .verdict import EQUATIONS, Broken, Verdict

#: The version of what a run folder holds.
FORMAT = 2

#: Rows in memory before they become a shard; about 2 MiB on disk.
ROWS_A_SHARD = 100_000

#: Numbers of kept answers in memory before they become a shard; 32 MiB.
NUMBERS_A_SHARD = 2**22

#: A run in which this share of an implementation's verdicts says nothing has judged too little to mean anything.
MOST_INCONCLUSIVE = 0.5


@dataclass
class Margins:
    """The worst margins of what agrees: away from kinks, where a margin of 1 may be a choice of side, and by links."""

    smooth: float = 0.0
    kinked: float = 0.0
    link: float = 0.0


@dataclass(frozen=True)
class KeptArray:
    """One array of an answer, its components in the order of C, as float64, which holds every precision."""

    case: str
    implementation: str
    array: str
    values: Array


class Run:
    """A run being written."""

    def __init__(
        self, folder: Path, settings: Settings, command: str, expectations: Expectations | None = None
    ) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(
                f"{folder} is there already and is not empty; name another folder with --out"
            )
        self.folder, self.settings = folder, settings
        self._command = command
        self._began, self._clock_began = time.time(), time.perf_counter()
        self._counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        self._margins: dict[tuple[str, str, str], Margins] = defaultdict(Margins)
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._authors: dict[str, Mapping[str, object]] = {name: {} for name in settings.implementations}
        self._asked = Counter[str]()
        self._messages: Counter[tuple[str, str, str]] = Counter()
        self._drawn: dict[str, Counter[str]] = {
            key: Counter() for key in ("regime", "cost", "activation", "depth")
        }
        self._seen: tuple[str, int] = ("", 0)
        self._expectations = expectations
        self._collectors: dict[Expectation | None, Collector] = {}
        #: In how many cases each expectation showed.
        self.shown: Counter[Key] = Counter()
        try:
            self._rows = Shards(folder / "verdicts", [field.name for field in fields(Row)], ROWS_A_SHARD)
            self._answers = (
                Shards(folder / "answers", [field.name for field in fields(KeptArray)], NUMBERS_A_SHARD)
                if settings.answers
                else None
            )
            (folder / "findings").mkdir()
            self._write({"complete": False, "seed": settings.seed, "settings": asdict(settings)})
        except OSError as error:
            raise RunFolderError(f"{folder} cannot be written: {error.strerror}") from None

    def add(self, judged: Judged) -> None:
        """Take in one implementation's judged answer to one case."""
        case, name = judged.case, judged.implementation
        self._seconds[name] += judged.answer.seconds
        self._asked[name] += 1
        if judged.answer.implementation:
            self._authors[name] = judged.answer.implementation
        if self._seen[0] != case.id:
            self._seen = (case.id, self._seen[1] + 1)
            self._drawn["regime"][case.regime] += 1
            self._drawn["cost"][case.architecture.cost.name] += 1
            self._drawn["depth"][str(case.architecture.depth)] += 1
            self._drawn["activation"].update({layer.activation for layer in case.architecture.layers})
        expected = self._expected(judged)
        for row in judged.rows:
            key = (name, row.precision, row.equation)
            self._counts[key][row.verdict] += 1
            if expected and row.verdict == Verdict.DIVERGES:
                row = replace(row, expected=True)
                self._counts[key]["expected"] += 1
            self._rows.add(row)
            if row.verdict == Verdict.AGREES:
                worst = self._margins[key]
                if row.kinked:
                    worst.kinked = max(worst.kinked, row.margin)
                else:
                    worst.smooth = max(worst.smooth, row.margin)
                    worst.link = max(worst.link, row.link_margin)
        for verdict, message in {
            (row.verdict, row.message.partition("\n")[0]) for row in judged.rows if row.message
        }:
            self._messages[name, verdict, message] += 1
        if self._answers and judged.answer.gradients:
            for array, values in judged.answer.gradients.tensors().items():
                kept = KeptArray(case.id, name, array, values.astype(np.float64).ravel())
                self._answers.add(kept, kept.values.size)

    def _expected(self, judged: Judged) -> bool:
        """Collect an answer's divergences under what expects them, and say whether all of them were expected."""
        found = list[Expectation | None]()
        for one in judged.divergences:
            expectation = self.covering(judged.implementation, judged.case, one.blamed)
            self._collectors.setdefault(expectation, Collector(expectation)).add(one)
            found.append(expectation)
        for expectation in dict.fromkeys(found):
            if expectation is not None:
                self.shown[judged.implementation, expectation, judged.case.precision] += 1
        return None not in found

    def covering(self, name: str, case: Case, broken: Broken) -> Expectation | None:
        """Give what expects something that broke; None where nobody does."""
        if self._expectations is None:
            return None
        return self._expectations.covering(
            name, self.versions[name], case.architecture, case.precision, broken
        )

    @property
    def versions(self) -> dict[str, str]:
        """Give the version that each implementation says it has."""
        return {name: str(author.get("version", "unknown")) for name, author in self._authors.items()}

    def findings(self) -> list[Finding]:
        """Give the findings so far, one a cause, those of an implementation together."""
        found = [one for collector in self._collectors.values() for one in collector.findings()]
        return sorted(found, key=lambda one: (one.implementation, one.precision, -one.cases))

    def close(
        self, clock: Clock, findings: Sequence[Finding], standings: Sequence[Standing] = ()
    ) -> dict[str, Any]:
        """Write what is left, the findings, the unexpected first, and the closing mark; gives run.json's content."""
        for shards in filter(None, (self._rows, self._answers)):
            shards.flush()
        content = self._content(clock, findings, standings)
        self._write(content)
        return content

    def counts(self) -> Counter[str]:
        """Count the verdicts so far."""
        total: Counter[str] = Counter()
        for counted in self._counts.values():
            total += counted
        return total

    def _content(
        self, clock: Clock, findings: Sequence[Finding], standings: Sequence[Standing]
    ) -> dict[str, Any]:
        seconds = time.perf_counter() - self._clock_began
        counts: dict[str, dict[str, dict[str, int]]] = {
            name: {equation: {str(verdict): 0 for verdict in Verdict} for equation in EQUATIONS}
            for name in self.settings.implementations
        }
        matrix = []
        for (name, precision, equation), counted in sorted(self._counts.items()):
            for verdict in Verdict:
                counts[name][equation][verdict] += counted[verdict]
            worst = self._margins[name, precision, equation]
            matrix.append(
                {
                    "implementation": name,
                    "precision": precision,
                    "equation": equation,
                    **{str(verdict): counted[verdict] for verdict in Verdict},
                    "expected": counted["expected"],
                    "worst_margin": worst.smooth,
                    "worst_margin_at_kinks": worst.kinked,
                    "worst_margin_of_a_link": worst.link,
                }
            )
        return {
            "complete": True,
            "format": FORMAT,
            "gradparity": metadata.version("gradparity"),
            "command": self._command,
            "began": self._began,
            "seed": self.settings.seed,
            "settings": asdict(self.settings),
            "environment": environment(),
            "implementations": [
                {
                    "name": name,
                    "version": self.versions[name],
                    "language": str(self._authors[name].get("language", "unknown")),
                    "cases": self._asked[name],
                }
                for name in self.settings.implementations
            ],
            "counts": counts,
            "matrix": matrix,
            "findings": [
                self._finding(number, one)
                for number, one in enumerate(sorted(findings, key=lambda one: one.expectation is not None), 1)
            ],
            "expectations": [
                {
                    "implementation": one.implementation,
                    "precision": one.precision,
                    "function": one.expectation.function,
                    "equation": one.expectation.equation,
                    "z": [repr(end) for end in one.expectation.z],
                    "reason": one.expectation.reason,
                    "link": one.expectation.link,
                    "cases": one.cases,
                    "holds": one.holds,
                    "why": one.why,
                }
                for one in standings
            ],
            "messages": [
                {"implementation": name, "verdict": verdict, "message": message, "cases": number}
                for (name, verdict, message), number in self._messages.most_common()
            ],
            "drawn": {
                "cases": self._seen[1],
                **{key: dict(sorted(counted.items())) for key, counted in self._drawn.items()},
            },
            "table_K": K,
            "rates": {
                "cases_per_second": self._seen[1] / seconds,
                "seconds": {
                    **self._seconds,
                    "reference and bounds": clock.enclosures,
                    "drawing cases": clock.drawing,
                    "verdicts and certificates": clock.judging,
                    "all": seconds,
                },
            },
        }

    def _finding(self, number: int, finding: Finding) -> dict[str, Any]:
        d = finding.smallest
        file = f"findings/{number:03}-{d.case.id}.safetensors"
        replace_file(self.folder / file, write_case(d.case))
        return {
            "implementation": finding.implementation,
            "equation": finding.equation,
            "layer": d.blamed.layer,
            "precision": finding.precision,
            "activation": finding.activation,
            "cost": finding.cost,
            "function": finding.function,
            "where": finding.where,
            "margin": d.blamed.margin,
            "expected": finding.expectation is not None,
            "reason": finding.expectation.reason if finding.expectation else None,
            "link": finding.expectation.link if finding.expectation else "",
            "case": file,
            "sentence": finding.sentence,
            "cases": finding.cases,
            "largest_margin": finding.largest_margin,
            "array": d.blamed.name,
            "index": list(d.blamed.index),
            "result": repr(d.blamed.result),
            "exact": d.blamed.certificate.exact,
            "own": d.blamed.own,
            "mid": repr(d.blamed.mid),
            "rad": repr(d.blamed.rad),
            "z": d.blamed.z,
            "regime": d.case.regime,
            "batch": d.case.batch,
            "architecture": {**d.case.architecture.to_json(), "precision": d.case.precision},
        }

    def _write(self, content: Mapping[str, Any]) -> None:
        replace_file(self.folder / "run.json", json.dumps(content, indent=1).encode())


def read(folder: Path) -> dict[str, Any]:
    """Read a finished run's run.json; raises RunFolderError with one sentence where there is none."""
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise RunFolderError(f"{folder} holds no readable run.json, so it is not a run") from None
    if not isinstance(content, dict) or content.get("complete") is not True:
        raise RunFolderError(f"{folder} is an unfinished run: its run.json lacks the closing mark")
    if content.get("format") != FORMAT:
        raise RunFolderError(
            f"{folder} was written in format {content.get('format', 1)!r} of run folders, and this gradparity reads "
            f"format {FORMAT}; run it again"
        )
    missing = [name for name, kind in _CONTENT.items() if not isinstance(content.get(name), kind)]
    if missing:
        raise RunFolderError(f"{folder} is damaged: its run.json has no {missing[0]!r}")
    return content


#: What every run.json has.
_CONTENT = {
    "settings": dict,
    "environment": dict,
    "implementations": list,
    "counts": dict,
    "matrix": list,
    "findings": list,
    "expectations": list,
    "messages": list,
    "drawn": dict,
    "rates": dict,
}


def exit_status(content: Mapping[str, Any]) -> int:
    """Say what a finished run comes to.

    0 all agree or are expected; 1 a divergence or failure that is not expected, or an expectation that no longer
    holds; 3 too little was judged to mean anything.
    """
    matrix = content["matrix"]
    if any(one["diverges"] > one["expected"] or one["failed"] for one in matrix):
        return 1
    if any(one["holds"] is False for one in content["expectations"]):
        return 1
    for name in (one["name"] for one in content["implementations"]):
        total = sum((Counter(one) for one in content["counts"][name].values()), Counter[str]())
        judged, number = total[Verdict.AGREES], sum(total.values())
        if judged == 0 or total[Verdict.INCONCLUSIVE] > MOST_INCONCLUSIVE * number:
            return 3
    return 0
