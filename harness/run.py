"""The run folder: one campaign's results, written so that an interrupted run is known to be one.

run.json                 settings, versions, counts, findings; ``complete`` is its closing mark
verdicts/00000.parquet   a shard of rows a file, written whole and then renamed
explored/00000.parquet   rounds of exploring in the same form, where there were any
findings/*.safetensors   the smallest case of each finding, as a document
report.html
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from ..adapters.document import write_case
from ..reference.rounding.model import K
from ..reference.steps import EQUATIONS
from .campaign import Settings
from .environment import environment
from .expectations import Expectations
from .findings import Finding
from .recheck import Standing
from .shards import VERDICTS, RunFolderError, finished_shards, make_folder, read_tally, replace_file
from .tally import Margins, Tally
from .verdict import Verdict

#: The version of what a run folder holds.
FORMAT = 2

#: What is counted of the cases that were drawn.
_DRAWN = ("regime", "cost", "activation", "depth")

#: A run in which this share of an implementation's verdicts says nothing has judged too little to mean anything.
MOST_INCONCLUSIVE = 0.5

#: And one in which no more than this share of an implementation's verdicts is about numbers: all else was declined.
LEAST_JUDGED = 0.1


class Run:
    """A run being written, or gone on with.

    Raises RunFolderError where the folder holds something already, or cannot be written.
    """

    def __init__(
        self, folder: Path, settings: Settings, command: str, expectations: Expectations, resume: bool = False
    ) -> None:
        self.folder, self.settings, self.expectations = folder, settings, expectations
        self._command = command
        self._began, self._clock_began = time.time(), time.perf_counter()
        if resume:
            for left in folder.glob("*/*.part"):  # of what was being written when it ended
                with suppress(OSError):  # what cannot be written says so when it is tried
                    left.unlink(missing_ok=True)
            return
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(
                f"{folder} is there already and is not empty; name another folder with --out, or go on with --resume"
            )
        for name in (VERDICTS, "findings", *(["answers"] if settings.answers else [])):
            make_folder(folder / name)
        self.begin()

    def begin(self) -> None:
        """Write what the run was begun with: it is not complete."""
        self._write(
            {
                "complete": False,
                "format": FORMAT,
                "seed": self.settings.seed,
                "settings": asdict(self.settings),
                "expectations_digest": self.expectations.digest,
            }
        )

    @property
    def pending(self) -> list[int]:
        """Number the shards that are not finished."""
        return sorted(set(self.settings.shards) - set(finished_shards(self.folder)))

    def tally(self, where: str = VERDICTS) -> Tally:
        """Put together what the finished shards come to, in their order."""
        total = Tally()
        for number in finished_shards(self.folder, where):
            total.merge(read_tally(self.folder, number, where))
        return total

    def close(
        self,
        tally: Tally,
        findings: Sequence[Finding],
        standings: Sequence[Standing] = (),
        lost: Mapping[int, str] = {},
        extras: Mapping[str, Any] = {},
    ) -> dict[str, Any]:
        """Write the findings, the unexpected first, and the closing mark; gives run.json's content.

        ``lost`` says of shards that could not be judged why. ``extras`` is what only the report needs.
        """
        content = {**self._content(tally, findings, standings, lost), **extras}
        self._write(content)
        return content

    def _content(
        self,
        tally: Tally,
        findings: Sequence[Finding],
        standings: Sequence[Standing],
        lost: Mapping[int, str],
    ) -> dict[str, Any]:
        seconds = time.perf_counter() - self._clock_began
        counts: dict[str, dict[str, dict[str, int]]] = {
            name: {equation: {str(verdict): 0 for verdict in Verdict} for equation in EQUATIONS}
            for name in self.settings.implementations
        }
        matrix = []
        for (name, precision, equation), counted in sorted(tally.counted.counts.items()):
            for verdict in Verdict:
                counts[name][equation][verdict] += counted.get(verdict, 0)
            worst = tally.counted.margins.get((name, precision, equation), Margins())
            matrix.append(
                {
                    "implementation": name,
                    "precision": precision,
                    "equation": equation,
                    **{str(verdict): counted.get(verdict, 0) for verdict in Verdict},
                    "expected": counted.get("expected", 0),
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
            "expectations_digest": self.expectations.digest,
            "environment": environment(),
            "implementations": [
                {
                    "name": name,
                    "version": tally.version(name),
                    "language": str(tally.counted.authors.get(name, {}).get("language", "unknown")),
                    "cases": tally.counted.asked.get(name, 0),
                    "premise": str(self.settings.premise(name)),
                    "premise_is": {one: how for one, _, how in self.settings.premises}.get(name, "known"),
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
                    "equation": " or ".join(one.expectation.equations),
                    "z": [repr(end) for end in one.expectation.z],
                    "reason": one.expectation.reason,
                    "link": one.expectation.link,
                    "cases": one.cases,
                    "holds": one.holds,
                    "why": one.why,
                }
                for one in standings
            ],
            "lost": [{"shard": number, "message": message} for number, message in sorted(lost.items())],
            "messages": [
                {"implementation": name, "verdict": verdict, "message": message, "cases": number}
                for (name, verdict, message), number in Counter(tally.counted.messages).most_common()
            ],
            "drawn": {
                "cases": tally.counted.cases,
                **{kind: dict(sorted(tally.counted.drawn.get(kind, {}).items())) for kind in _DRAWN},
            },
            "table_K": K,
            "rates": {
                "cases_per_second": tally.counted.cases / seconds,
                "seconds": {
                    **{name: tally.counted.seconds.get(name, 0.0) for name in self.settings.implementations},
                    "reference and bounds": tally.counted.clock[1],
                    "drawing cases": tally.counted.clock[0],
                    "verdicts and certificates": tally.counted.clock[2],
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
            "open": list(d.blamed.open),
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
            "others": [{"implementation": name, "result": repr(value)} for name, value in finding.others],
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


def settings_of(folder: Path) -> Settings:
    """Read the settings of a run that is to be gone on with. Raises RunFolderError where there is none."""
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        finished, written = content["complete"] and not content["lost"], content["format"]
        settings = msgspec.convert(content["settings"], Settings)
        digest = content["expectations_digest"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, msgspec.MsgspecError):
        raise RunFolderError(
            f"{folder} holds no run that was begun, so there is nothing to go on with"
        ) from None
    if finished:
        raise RunFolderError(f"{folder} is finished, so there is nothing to go on with")
    if written != FORMAT:
        raise RunFolderError(f"{folder} was begun by another version of gradparity; begin it again")
    if Expectations(settings.expect).digest != digest:
        file = settings.expect or "what is expected of the frameworks"
        raise RunFolderError(f"{file} has changed since {folder} was begun; begin it again")
    return settings


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
    "lost": list,
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
    if content["lost"] or any(one["holds"] is False for one in content["expectations"]):
        return 1
    for name in (one["name"] for one in content["implementations"]):
        total = sum((Counter(one) for one in content["counts"][name].values()), Counter[str]())
        judged, number = total[Verdict.AGREES], sum(total.values())
        if judged == 0 or total[Verdict.INCONCLUSIVE] > MOST_INCONCLUSIVE * number:
            return 3
        if judged + total[Verdict.DIVERGES] < LEAST_JUDGED * number:
            return 3
    return 0
