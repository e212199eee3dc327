"""The main job: run a campaign with a progress bar, write the run and its report, print the closing table."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ..reference.network import Case
from ..reports.html import write_report
from ..reports.terminal import summary
from .campaign import Clock, Settings, campaign
from .expectations import Expectations
from .findings import Finding
from .recheck import Standing, standings
from .run import Run, exit_status
from .shrink import shrunk
from .verdict import Verdict


def verify(settings: Settings, out: Path | None, command: str, drafted: Path | None = None) -> int:
    """Judge as the settings say, and give the exit status. Expectations are drafted into a file where one is given.

    Raises ExpectationsError where the file of expectations cannot be used, RunFolderError where ``out`` will not do.
    """
    expectations, clock = Expectations(Path(settings.expect)), Clock()
    run = Run(out or _free_folder(), settings, command, expectations)
    errors = Console(stderr=True)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[verdicts]}"), console=errors, transient=True,
    ) as progress:  # fmt: skip
        always = [name for name in settings.implementations if name not in settings.expensive]
        task = progress.add_task("starting", total=settings.cases * len(always), verdicts="")

        def announce(case: Case) -> None:
            layers = " ".join(layer.activation for layer in case.architecture.layers[-2:])
            description = (
                f"{case.architecture.depth} layers .. {layers}, {case.architecture.cost.name}, {case.regime}"
            )
            progress.update(task, description=description[:64])

        for judged in campaign(settings, clock, announce=announce):
            run.add(judged)
            counts = run.counts()
            shown = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in Verdict if counts[verdict])
            progress.update(task, advance=judged.implementation in always, verdicts=shown)
        findings, minimal = run.findings(), list[Finding]()
        progress.update(task, total=len(findings), completed=0, description="shrinking findings")
        for finding in shrunk(findings, settings.timeout, run.covering):
            minimal.append(finding)
            progress.update(task, advance=1)
        found = list[Standing]()
        progress.update(task, total=None, completed=0, description="checking expectations")
        for standing in standings(expectations, settings, run.versions, run.shown):
            found.append(standing)
            progress.update(task, advance=1)
    content = run.close(clock, minimal, found)
    if drafted:
        from .draft import write_draft

        write_draft(drafted, expectations, minimal, found)
    report = run.folder / "report.html"
    write_report(content, report)
    console = Console()
    summary(content, console)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)
    return exit_status(content)


def _free_folder() -> Path:
    """Give gradparity-run, or gradparity-run-2 and so on where that is taken."""
    names = (Path(f"gradparity-run-{i}" if i > 1 else "gradparity-run") for i in count(1))
    return next(path for path in names if not path.exists())
