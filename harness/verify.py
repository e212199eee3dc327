"""The main job: run a campaign with a progress bar, write the run and its report, print the closing table."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

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
from .campaign import Judged, Settings
from .expectations import Expectations
from .findings import Finding, with_others
from .portrait import portrait
from .recheck import Standing, standings
from .run import Run, exit_status
from .shards import judge_shards, write_shard
from .shrink import shrunk
from .verdict import Verdict
from .workers import Worker


def verify(
    settings: Settings,
    out: Path | None,
    command: str,
    drafted: Path | None = None,
    jobs: int = 1,
    scheduler: str = "",
    resume: bool = False,
    full_report: bool = False,
) -> int:
    """Judge as the settings say, and give the exit status. Expectations are drafted into a file where one is given.

    More than one job, or a Dask ``scheduler``'s address, judges shards side by side. Raises ExpectationsError where
    the file of expectations cannot be used, RunFolderError where ``out`` will not do, ClusterError without a cluster.
    """
    expectations = Expectations(settings.expect)
    run = Run(out or _free_folder(), settings, command, expectations, resume)
    errors, lost = Console(stderr=True), dict[int, str]()
    with ExitStack() as stack, Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[verdicts]}"), console=errors, transient=True,
    ) as progress:  # fmt: skip
        # One worker an implementation for the whole run: a start takes seconds. None starts before it is asked.
        workers = {
            name: stack.enter_context(Worker(name, settings.timeout)) for name in settings.implementations
        }
        task = progress.add_task("starting", total=settings.cases, verdicts="")
        counted, pending = Counter[str](), run.pending

        def announce(case: Case) -> None:
            layers = " ".join(layer.activation for layer in case.architecture.layers[-2:])
            description = (
                f"{case.architecture.depth} layers .. {layers}, {case.architecture.cost.name}, {case.regime}"
            )
            progress.update(task, description=description[:64])

        def judged(one: Judged) -> None:
            counted.update(row.verdict for row in one.rows)
            shown = ", ".join(f"{counted[verdict]:,} {verdict}" for verdict in Verdict if counted[verdict])
            progress.update(task, advance=one.implementation == settings.implementations[0], verdicts=shown)

        if jobs > 1 or scheduler:
            from .cluster import judge_side_by_side

            progress.update(task, description=f"{len(pending)} shards")
            for shard in judge_side_by_side(settings, expectations, pending, jobs, scheduler, lost):
                write_shard(run.folder, shard)
                progress.update(task, advance=shard.tally.counted.cases)
        else:
            for shard in judge_shards(
                settings, expectations, pending, announce, judged, list(workers.values())
            ):
                write_shard(run.folder, shard)
        tally = run.tally()
        findings, minimal = tally.findings(expectations), list[Finding]()
        progress.update(task, total=len(findings), completed=0, description="shrinking findings")
        for finding in shrunk(findings, workers, partial(tally.covering, expectations)):
            minimal.append(finding)
            progress.update(task, advance=1)
        found = list[Standing]()
        progress.update(task, total=None, completed=0, description="checking expectations")
        for standing in standings(expectations, settings, workers, tally):
            found.append(standing)
            progress.update(task, advance=1)
        extras: dict[str, Any] = {}
        if full_report:
            progress.update(
                task, total=len(workers), completed=0, description="measuring functions and conventions"
            )
            extras["portraits"] = dict[str, Any]()
            for name, worker in workers.items():
                extras["portraits"][name] = portrait(worker, settings.precisions)
                progress.update(task, advance=1)
            progress.update(task, total=None, completed=0, description="asking others for what was found")
            minimal = [with_others(finding, workers) for finding in minimal]
    content = run.close(tally, minimal, found, lost, extras)
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
