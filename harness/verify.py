"""The main job: run a campaign with a progress bar, write the run and its report, print the closing table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ..reference.network import Case
from ..reports.html import render
from ..reports.terminal import summary
from .campaign import Judged, Settings
from .expectations import Expectations
from .findings import Finding, with_others
from .premises import with_premises
from .recheck import Standing, standings
from .run import Run, exit_status
from .shards import EXPLORED, RunFolderError, judge_shards, replace_file, write_shard
from .shrink import shrunk
from .verdict import Verdict
from .workers import Worker

if TYPE_CHECKING:
    from .explore import Explorer, Goal


def verify(
    settings: Settings,
    crew: Sequence[Worker],
    out: Path | None,
    command: str,
    drafted: Path | None = None,
    jobs: int = 1,
    scheduler: str = "",
    resume: bool = False,
    full_report: bool = False,
    explore: float = 0.0,
) -> int:
    """Judge as the settings say, and give the exit status. Expectations are drafted into a file where one is given.

    ``crew`` is a worker of each implementation, for the whole run: a start takes seconds.
    More than one job, or a Dask ``scheduler``'s address, judges shards side by side. After them so many minutes are
    spent on exploring, in this process. Raises ExpectationsError where the file of expectations cannot be used,
    RunFolderError where ``out`` will not do, ClusterError without a cluster.
    """
    expectations = Expectations(settings.expect)
    run = Run(out or _free_folder(), settings, command, expectations, resume)
    settings = run.settings = with_premises(settings, crew)  # of a run that is gone on with, they are known
    run.begin()
    errors, lost = Console(stderr=True), dict[int, str]()
    workers = {one.name: one for one in crew}
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[verdicts]}"), console=errors, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task("starting", total=settings.cases, verdicts="")
        counted, pending = Counter[str](), run.pending

        def announce(what: Case | Goal) -> None:
            progress.update(task, description=_description(what)[:64])

        def judged(one: Judged) -> None:
            counted.update(row.verdict for row in one.rows)
            shown = ", ".join(f"{counted[verdict]:,} {verdict}" for verdict in Verdict if counted[verdict])
            progress.update(task, advance=one.implementation == settings.implementations[0], verdicts=shown)

        if jobs > 1 or scheduler:
            from .cluster import judge_side_by_side

            progress.update(task, description=f"{len(pending)} shards")
            for shard in judge_side_by_side(settings, expectations, pending, jobs, scheduler, lost):
                write_shard(run.folder, shard)
                progress.update(task, advance=shard.cases)
        else:
            for shard in judge_shards(settings, expectations, pending, announce, judged, crew):
                write_shard(run.folder, shard)
        explorer: Explorer | None = None
        if explore:
            from .explore import Explorer, explore_into

            explorer = Explorer(settings, expectations, crew, announce, judged)
            explore_into(run.folder, explorer, explore)
        tally, explored = run.tally(), run.tally(EXPLORED)
        extras = dict[str, Any]()
        if explored.counted.cases:
            from .explore import told

            extras["explored"] = told(settings, tally, explored, explorer)
        tally.merge(explored)
        findings, minimal = tally.findings(expectations), list[Finding]()
        progress.update(task, total=len(findings), completed=0, description="shrinking findings")
        for finding in shrunk(findings, workers, partial(tally.covering, expectations), settings.premise):
            minimal.append(finding)
            progress.update(task, advance=1)
        found = list[Standing]()
        progress.update(task, total=None, completed=0, description="checking expectations")
        for standing in standings(expectations, settings, workers, tally):
            found.append(standing)
            progress.update(task, advance=1)
        if full_report:
            extras["portraits"] = _portraits(workers, settings.precisions, progress, task)
            progress.update(task, total=None, completed=0, description="asking others for what was found")
            minimal = [with_others(finding, workers) for finding in minimal]
    content = run.close(tally, minimal, found, lost, extras)
    if drafted:
        _draft(drafted, expectations, minimal, found)
    _tell(content, run.folder)
    return exit_status(content)


def _draft(
    path: Path, expectations: Expectations, findings: Sequence[Finding], found: Sequence[Standing]
) -> None:
    """Draft expectations from what was found."""
    from .draft import write_draft

    try:
        write_draft(path, expectations, findings, found)
    except OSError as error:
        raise RunFolderError(f"{error.filename or path} cannot be written: {error.strerror}") from None


def _portraits(
    workers: Mapping[str, Worker], precisions: Sequence[str], progress: Progress, task: TaskID
) -> dict[str, Any]:
    """Measure every implementation's functions and conventions."""
    from .portrait import portrait

    progress.update(task, total=len(workers), completed=0, description="measuring functions and conventions")
    found = dict[str, Any]()
    for name, worker in workers.items():
        found[name] = portrait(worker, precisions)
        progress.update(task, advance=1)
    return found


def _description(what: Case | Goal) -> str:
    """Say in a few words what is being judged."""
    if not isinstance(what, Case):
        return f"exploring {what.implementation}, {what.equation}"
    network = what.architecture
    layers = " ".join(layer.activation for layer in network.layers[-2:])
    return f"{network.depth} layers .. {layers}, {network.cost.name}, {what.regime}"


def _tell(content: Mapping[str, Any], folder: Path) -> None:
    """Print the closing table, and write the report."""
    console, report = Console(), folder / "report.html"
    summary(content, console)
    if "explored" in content:
        from .explore import lines

        for line in lines(content["explored"]):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    try:
        replace_file(report, render(content, folder).encode(errors="replace"))
    except RunFolderError as error:
        raise RunFolderError(
            f"{error}; the run is complete, and `gradparity report` writes it again"
        ) from None
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)


def _free_folder() -> Path:
    """Give gradparity-run, or gradparity-run-2 and so on where that is taken."""
    names = (Path(f"gradparity-run-{i}" if i > 1 else "gradparity-run") for i in count(1))
    return next(path for path in names if not path.exists())
