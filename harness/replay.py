"""Replay: a case document asked again, and judged in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..adapters.document import read_case
from ..adapters.modes import FRAMEWORKS, in_forward_mode
from ..reference.enclosure import enclose
from ..reference.exact import exact_gradients
from ..reference.interval import Interval
from ..reference.links import links
from ..reference.network import Case, Gradients, MalformedError
from ..reference.premise import Premise
from ..reports.script import script
from .campaign import Settings
from .held import margins
from .judgement import Judgement, judge
from .premises import premise_of
from .verdict import Verdict
from .workers import Answer, Worker

#: Beyond so many numbers, exact values of all arrays take minutes.
MOST_EXACT = 20_000

#: How many components are shown of one answer.
MOST_SHOWN = 8


class ReplayError(Exception):
    """A file that holds no case; the message is one sentence for a person."""


def read(path: Path) -> Case:
    """Read a case document; raises ReplayError where the file holds none."""
    try:
        return read_case(path.read_bytes())
    except OSError as error:
        raise ReplayError(f"{path} cannot be read: {error.strerror}") from None
    except MalformedError as error:
        raise ReplayError(f"{path} is not a case document: {error}") from None


def ask(case: Case, name: str, timeout: float) -> Answer:
    """Ask an implementation, in a process of its own."""
    with Worker(name, timeout) as worker:
        return worker.submit(case).result()


def replay(case: Case, names: Sequence[str], timeout: float, console: Console) -> int:
    """Show what each implementation makes of a case, and give the exit status: the worst of theirs."""
    statuses = []
    for name in names:
        with Worker(name, timeout) as worker:
            answer = worker.submit(case).result()
            premise = premise_of(worker, Settings((name,))).premise if answer.gradients else Premise.OWN
        console.print(f"[bold]{escape(name)}[/] {escape(str(answer.implementation.get('version', '')))}")
        if answer.gradients is None:
            console.print(f"{answer.outcome}: {escape(answer.message)}", highlight=False)
            statuses.append(0 if answer.outcome == "unsupported" else 1)
            continue
        forward = in_forward_mode(name)
        judgement = judge(case, answer.gradients, premise=premise, any_order=forward)
        console.print(escape(str(judgement)), highlight=False, soft_wrap=True)
        if sum(array.size for array in case.tensors().values()) <= MOST_EXACT:
            bounds = enclose(case, any_order=forward)
            console.print(_components(case, answer.gradients, bounds, premise))
        if premise is not Premise.OWN:
            console.print(f"[dim]{premise.says}[/]")
        statuses.append(_status(judgement))
    return max(statuses, default=2)


def _status(judgement: Judgement) -> int:
    return {Verdict.DIVERGES: 1, Verdict.INCONCLUSIVE: 3}.get(judgement.verdict, 0)


def _components(case: Case, answer: Gradients, bounds: Mapping[str, Interval], premise: Premise) -> Table:
    """Show the components that are farthest out in any of their bounds, beside what is exact from the inputs on."""
    exact = exact_gradients(case)
    with np.errstate(all="ignore"):
        own = links(case, answer, bounds) if premise is Premise.OWN else {}
    found = list[tuple[float, str, tuple[int, ...]]]()
    for name, result in answer.tensors().items():
        out = margins(result, bounds[name])
        out = np.maximum(out, margins(result, own[name])) if name in own else out
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(out)), out.shape))
        found.append((float(out[index]), name, index))
    table = Table("component", "result", "exact", "enclosure", "radii", title_justify="left")
    for margin, name, index in sorted(found, reverse=True)[:MOST_SHOWN]:
        bound, result = bounds[name], answer.tensors()[name]
        table.add_row(
            escape(f"{name}{list(index) if index else ''}"),
            repr(float(result[index])),
            exact[name][index].str(25, radius=False),
            f"{float(bound.mid[index])!r} ± {float(bound.rad[index]):.2g}",
            f"{margin:.3g}",
        )
    return table


def program(case: Case, framework: str, timeout: float) -> str:
    """Write a stand-alone program that shows where a framework diverges on a case, or else its gradients."""
    answer = ask(case, FRAMEWORKS[framework].modes[0], timeout)
    if answer.gradients is None:
        raise ReplayError(f"{framework} does not answer this case: {answer.message}")
    judgement, exact = judge(case, answer.gradients), exact_gradients(case)
    broken = [(str(one.name), one.index) for one in judgement.blamed]
    wanted = broken or [(name, (0,) * array.ndim) for name, array in answer.gradients.tensors().items()]
    why = [f"{framework} {answer.implementation.get('version', '')}, {case.precision}, case {case.id}"]
    why += [f"{one.equation} at layer {one.layer} is wrong" for one in judgement.blamed]
    return script(
        case, framework, [(name, index, exact[name][index].str(25, radius=False)) for name, index in wanted],
        "\n".join(why),
    )  # fmt: skip
