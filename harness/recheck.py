"""Whether expectations still hold: what a run did not show by itself is asked for again, on the entry's own cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from ..reference.premise import Premise
from .campaign import Settings
from .expectations import Expectation, Expectations
from .shrink import asking
from .tally import Tally
from .workers import Worker

#: Whose, which entry by its place in the file, and in which precision.
Key = tuple[str, int, str]


@dataclass(frozen=True)
class Standing:
    """What became of one entry, for one implementation and precision.

    ``holds`` is None where nothing was tried, or where it depends on the processor and does not show. ``why``
    says it for a person. ``tried`` is False where the run does not draw it, or all of its own cases were declined.
    """

    implementation: str
    expectation: Expectation
    precision: str
    #: In how many of the run's cases it showed.
    cases: int
    holds: bool | None
    why: str
    tried: bool = True


def standings(
    expectations: Expectations, settings: Settings, workers: Mapping[str, Worker], tally: Tally
) -> Iterator[Standing]:
    """Say of every entry that is about somebody who was judged whether it still holds."""
    for name in settings.implementations:
        yield from recheck(expectations, settings, workers[name], tally.version(name), tally.counted.shown)


def recheck(
    expectations: Expectations,
    settings: Settings,
    worker: Worker,
    version: str,
    shown: Mapping[Key, int],
) -> Iterator[Standing]:
    """Say of every entry that is about one implementation whether it still holds.

    ``shown`` says in how many of the run's cases each showed.
    """
    drawn = {*settings.activations, *settings.costs}
    for place, one in enumerate(expectations.entries):
        if one.is_about(worker.name, version):
            for precision in one.precision:
                if precision in settings.precisions:
                    cases = shown.get((worker.name, place, precision), 0)
                    yield _standing(
                        expectations, worker, one, precision, cases, drawn, settings.premise(worker.name)
                    )


def _standing(
    expectations: Expectations,
    worker: Worker,
    one: Expectation,
    precision: str,
    cases: int,
    drawn: Set[str],
    premise: Premise,
) -> Standing:
    name = worker.name
    if cases:
        return Standing(name, one, precision, cases, True, f"shown by {cases} of the run's cases")
    if one.function and one.function not in drawn:
        return Standing(name, one, precision, 0, None, "not tried: this run does not draw it", tried=False)
    ask, declined = asking(worker, premise), 0
    documents = expectations.cases(one, precision)
    for case in documents:
        found = ask(case)
        if found is None:
            declined += 1
        elif any(one.covers(case.architecture, precision, broken) for broken in found[1]):
            return Standing(name, one, precision, 0, True, "shown by its own case")
    if not documents:
        why = "this run does not show it, and it names no case that does"
    elif declined == len(documents):
        return Standing(name, one, precision, 0, None, "not tried: its cases were not answered", tried=False)
    elif one.not_everywhere:
        return Standing(name, one, precision, 0, None, "does not show here: it depends on the processor")
    else:
        why = "neither this run nor its own case shows it"
    return Standing(name, one, precision, 0, False, f"{why}: if it was mended, remove it")


def lapsed(found: Iterable[Standing]) -> list[Standing]:
    """Give those that no longer hold."""
    return [one for one in found if one.holds is False]
