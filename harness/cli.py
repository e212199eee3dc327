"""The command line: it parses and prints, and decides nothing.

Heavy imports happen inside the commands that need them, so that ``gradparity --help`` answers at once.
"""

from __future__ import annotations

import gc
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from .campaign import Settings

PRECISIONS = ("float64", "float32", "bfloat16", "float16")


class _Precisions(click.ParamType[tuple[str, ...]]):
    """A comma-separated list of precisions."""

    name = "precision,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split, and refuse what is no precision."""
        names = tuple(dict.fromkeys(str(value).split(",")))
        unknown = [name for name in names if name not in PRECISIONS]
        if unknown:
            self.fail(f"{unknown[0]!r} is not one of {', '.join(PRECISIONS)}")
        return names


class _Names(click.ParamType[tuple[str, ...]]):
    """A comma-separated list of activations and costs."""

    name = "name,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split, and refuse what is neither."""
        from ..reference.network import ACTIVATIONS, COSTS

        if isinstance(value, tuple):  # the default
            return value
        names = tuple(dict.fromkeys(str(value).split(",")))
        unknown = [name for name in names if name not in (*ACTIVATIONS, *COSTS)]
        if unknown:
            self.fail(f"{unknown[0]!r} is neither an activation nor a cost")
        return names


class _Refusal(click.ClickException):
    """Wrong usage, an unreadable file, or nothing to judge: one sentence, exit status 2."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        click.echo(f"gradparity: {self.message}", err=True)


def _chosen(named: Sequence[str], otherwise: Sequence[str]) -> tuple[str, ...]:
    """Give those that were named, once each, or else those of the others that are installed."""
    from ..adapters import registry

    for name in named:
        try:
            registry.check(name)
        except ValueError as error:
            raise _Refusal(str(error)) from None
    installed = {listing.name for listing in registry.available() if listing.version} if not named else set()
    chosen = tuple(dict.fromkeys(named)) or tuple(name for name in otherwise if name in installed)
    if not chosen:
        raise _Refusal(
            "none of the frameworks is installed; pip install 'gradparity[frameworks]', or name one"
        )
    return chosen


_timeout = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds an implementation may take for one case.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gradparity")
def gradparity() -> None:
    """Decide whether implementations of backpropagation are right."""


@gradparity.command()
@click.argument("implementation", nargs=-1)
@click.option(
    "--cases", type=click.IntRange(min=1), default=1280, show_default=True, help="How many cases to draw."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Same seed, same cases."
)
@click.option(
    "--precision", type=_Precisions(), default="float64,float32", show_default=True, help="Which to judge."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run's folder.  [default: gradparity-run, or the next free]",
)
@click.option(
    "--only",
    type=_Names(),
    default=(),
    help="Draw these activations and costs only, as in relu,squared_error.",
)
@click.option(
    "--expect",
    type=click.Path(path_type=Path),
    help="A TOML file of what is known to diverge.  [default: what the frameworks are known to do]",
)
@click.option(
    "--write-expectations",
    type=click.Path(path_type=Path),
    help="Draft such a file from what this run finds; the reasons are yours to fill in.",
)
@click.option(
    "--answers", is_flag=True, help="Keep every answer, so that `compare` can tell how far each moved."
)
@_timeout
@click.option(
    "--modes",
    type=click.Choice(["all"]),
    help="Judge every installed mode of torch, tensorflow, jax and keras, the slow ones on fewer cases.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that judge side by side.",
)
@click.option("--scheduler", default="", help="The address of a Dask scheduler, whose workers are to judge.")
@click.option(
    "--full-report",
    is_flag=True,
    help="Measure what else a report can show: conventions, the accuracy of every function, others' values.",
)
@click.option(
    "--explore",
    type=click.FloatRange(0, 2**20, min_open=True),
    metavar="MINUTES",
    help="Go on so long where margins are largest; remembers in .gradparity what it finds.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, with the settings that it was begun with."
)
def verify(
    implementation: tuple[str, ...],
    cases: int,
    seed: int,
    precision: tuple[str, ...],
    out: Path | None,
    only: tuple[str, ...],
    expect: Path | None,
    write_expectations: Path | None,
    answers: bool,
    timeout: float,
    modes: str | None,
    jobs: int,
    scheduler: str,
    full_report: bool,
    explore: float | None,
    resume: bool,
) -> None:
    """Judge implementations, and write a run and its report.

    IMPLEMENTATION is a name that `gradparity implementations` lists, a Python callable as module:object, or a
    program as exec:COMMAND. With none, torch:eager, tensorflow:eager, tensorflow:function and jax:jit are
    judged, those that are installed.

    Exit status: 0 all agree, or are expected; 1 a divergence or a failure that is not expected, or an expectation
    that no longer holds; 2 wrong usage, or nothing to judge; 3 the run judged too little to mean anything.
    """
    gc.disable()  # nothing that is imported is garbage
    from ..adapters.modes import MODES, defaults, every_mode
    from .workers import Worker, crew

    if implementation and modes:
        raise _Refusal("--modes all says whom to judge; leave it out, or name nobody")
    if write_expectations and write_expectations.exists():
        raise _Refusal(f"{write_expectations} is there already; name another file with --write-expectations")
    with ExitStack() as stack:
        workers = list[Worker]()
        if not resume:
            implementation = _chosen(implementation, every_mode() if modes else defaults())
            workers = [stack.enter_context(one) for one in crew(implementation, timeout)]
            if jobs == 1 and not scheduler:
                for one in workers:
                    one.start()  # it imports what it needs while we do
        from .campaign import Settings
        from .cluster import ClusterError
        from .expectations import ExpectationsError
        from .shards import RunFolderError
        from .verify import verify as run

        gc.freeze()  # nor will be; and Hypothesis has everything looked through before it draws
        gc.enable()
        try:
            if resume:
                settings = _begun(out)
                workers = [
                    stack.enter_context(one) for one in crew(settings.implementations, settings.timeout)
                ]
            else:
                # Who names a mode gets all of it.
                expensive = tuple(name for name in implementation if modes and MODES[name].expensive)
                settings = Settings(
                    implementation,
                    cases,
                    seed,
                    precision,
                    timeout,
                    expensive=expensive,
                    expect=str(expect.resolve()) if expect else "",
                    answers=answers,
                ).only(only)
            command, minutes = shlex.join(["gradparity", *sys.argv[1:]]), explore or 0.0
            status = run(
                settings,
                workers,
                out,
                command,
                write_expectations,
                jobs,
                scheduler,
                resume,
                full_report,
                minutes,
            )
        except (ClusterError, ExpectationsError, RunFolderError) as error:
            raise _Refusal(str(error)) from None
    sys.exit(status)


#: What `verify --resume` may be told beside the folder; all the rest is the run's own.
_ANEW = ("out", "resume", "jobs", "scheduler", "write_expectations", "full_report", "explore")


def _begun(out: Path | None) -> Settings:
    """Give the settings of the run that is to be gone on with."""
    from click.core import ParameterSource

    from .run import settings_of

    context = click.get_current_context()
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _ANEW and source is not ParameterSource.DEFAULT:
            raise _Refusal(
                f"--resume goes on with the run's own settings; leave out {name.replace('_', '-')!r}"
            )
    if out is None:
        raise _Refusal("--resume needs the folder of the run to go on with: name it with --out")
    return settings_of(out)


@gradparity.command()
def implementations() -> None:
    """List what can be judged here: versions, modes, and why something is missing."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ..adapters.registry import available

    table = Table("implementation", "version", "")
    for listing in available():
        table.add_row(listing.name, listing.version or "", escape(listing.missing or ""))
    table.add_row("module:object", "", "any Python callable Case -> Gradients")
    table.add_row("exec:COMMAND", "", "any program that reads and writes documents")
    Console().print(table)


@gradparity.command()
@click.argument("case", type=click.Path(path_type=Path))
@click.argument("implementation", nargs=-1)
@click.option(
    "--script",
    "framework",
    type=click.Choice(["torch", "tensorflow", "jax"]),
    help="Print a stand-alone program in this framework's idiom instead; it needs no gradparity.",
)
@_timeout
def replay(case: Path, implementation: tuple[str, ...], framework: str | None, timeout: float) -> None:
    """Ask one case document again, and show verdicts, exact values and enclosures.

    CASE is a file, such as those under findings/ in a run's folder. With no IMPLEMENTATION, those that `verify`
    judges when none is named.

    Exit status: 0 all agree; 1 a divergence or a failure; 2 an unreadable file or wrong usage; 3 inconclusive.
    """
    from rich.console import Console

    from ..adapters.modes import FRAMEWORKS, defaults
    from ..reports.script import ScriptError
    from . import replay as replaying

    try:
        asked = replaying.read(case)
        if framework:
            _chosen([FRAMEWORKS[framework].modes[0]], ())
            click.echo(replaying.program(asked, framework, timeout), nl=False)
            return
        names = _chosen(implementation, defaults())
        sys.exit(replaying.replay(asked, names, timeout, Console()))
    except (replaying.ReplayError, ScriptError) as error:
        raise _Refusal(str(error)) from None


@gradparity.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--markdown", type=click.Path(path_type=Path), help="Write it as Markdown as well.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write it as JSON as well.")
def compare(old: Path, new: Path, markdown: Path | None, as_json: Path | None) -> None:
    """Hold a run against an older one of the same cases: newly diverging, mended, moved within bounds, bitwise equal.

    OLD and NEW are run folders, made with the same seed. With `verify --answers`, how far each number moved is told in
    units in the last place, otherwise in radii of its enclosure.

    Exit status: 0 nothing is worse; 1 something diverges or fails that did not, unexpectedly; 2 no two runs that can be
    compared.
    """
    from rich.console import Console

    from ..reports.comparison import show, to_json, to_markdown
    from .compare import compare as compared
    from .shards import RunFolderError, replace_file

    try:
        comparison = compared(old, new)
        for path, content in ((markdown, to_markdown), (as_json, to_json)):
            if path:
                replace_file(path, content(comparison).encode())
    except RunFolderError as error:
        raise _Refusal(str(error)) from None
    except OSError as error:
        raise _Refusal(f"{error.filename} cannot be written: {error.strerror}") from None
    show(comparison, Console())
    sys.exit(1 if comparison.regressions else 0)


@gradparity.command()
@click.argument("implementation")
def serve(implementation: str) -> None:
    """Answer case documents from standard input with gradients on standard output (the worker loop)."""
    from ..adapters.serve import main as loop

    sys.exit(loop(implementation))


@gradparity.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def vectors(folder: Path) -> None:
    """Write the frozen test vectors, for use without gradparity and without Python.

    DIR gets index.json, a case document and a document with exact values and intervals for every vector.

    Exit status: 0 written; 2 DIR cannot be written or is not empty, and nothing was written.
    """
    from .vectors import VectorsError, write_vectors

    try:
        index = write_vectors(folder)
    except VectorsError as error:
        raise _Refusal(str(error)) from None
    click.echo(f"{len(index['vectors'])} vectors in {folder}, in the order of {folder / 'index.json'}")


_rendered = partial(click.option, type=click.Path(path_type=Path), metavar="FILE")


@gradparity.command()
@click.argument("run", type=click.Path(path_type=Path))
@_rendered("--html", help="The report that `verify` writes.")
@_rendered("--markdown", help="For the summary of a job; less than 1 MiB.")
@_rendered("--junit", help="JUnit XML, which CI servers read.")
@_rendered("--json", help="run.json with its answer, and without infinities.")
@_rendered("--badge", help="For an endpoint badge of shields.io.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="An earlier run: the HTML tells what moved since."
)
@click.option("--annotations", is_flag=True, help="Print an error of a GitHub workflow for each bad check.")
def report(run: Path, baseline: Path | None, annotations: bool, **files: Path | None) -> None:
    """Render a finished run again. With no option, RUN/report.html is written.

    FILE may be - for standard output, of one report.

    Exit status: 0 rendered, whatever the run found; 2 RUN is no finished run, or a FILE cannot be written, and then
    none was.
    """
    from .report import STDOUT
    from .report import report as render
    from .shards import RunFolderError

    wanted = {name: file for name, file in files.items() if file is not None}
    if annotations:
        wanted["annotations"] = STDOUT
    if len(set(wanted.values())) < len(wanted):
        raise _Refusal("each report needs a file of its own, and only one can go to standard output")
    try:
        render(run, wanted or {"html": run / "report.html"}, baseline)
    except RunFolderError as error:
        raise _Refusal(str(error)) from None


def _again(lost: sys.UnraisableHookArgs) -> None:
    """Have an interrupt come again that came amid a callback of the garbage collector, and was lost.

    Hypothesis has such a callback; and what takes long there is the collection, at the end of which interrupts come.
    """
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    threading.Timer(0.01, signal.pthread_kill, (main_thread, signal.SIGINT)).start()


def main() -> None:
    """Run the command line; every refusal is one sentence and exit status 2."""
    sys.unraisablehook = _again
    try:
        gradparity(standalone_mode=False)
    except click.Abort:
        click.echo("gradparity: interrupted", err=True)
        sys.exit(130)
    except click.UsageError as error:
        hint = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
        click.echo(f"gradparity: {error.format_message().rstrip('.')}{hint}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
