"""From Python: judge one answer, or check a function over many cases, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..adapters.document import write_case
from ..adapters.implementation import UnsupportedError, unchanged
from ..reference.enclosure import enclose
from ..reference.exact import Certifier
from ..reference.interval import Interval
from ..reference.network import Case, Gradients
from ..reference.premise import Premise, premise_named
from .blame import Broken
from .campaign import Divergence, Settings, draw_cases
from .findings import Collector, Finding
from .premises import premise_of_function
from .shrink import Answered, shrink
from .verdict import EquationVerdict, Verdict, judge_answer

#: Where cases that fail are kept as documents, since they outlive a version of Hypothesis.
KEEP = Path(".gradparity")


class DivergenceError(AssertionError):
    """An implementation left its enclosures; the message has every cause, and a minimal case of the first."""


@dataclass(frozen=True)
class Judgement:
    """The verdicts on one answer: an EquationVerdict for every array it holds. Prints as a short table."""

    case: Case
    verdicts: Sequence[EquationVerdict]
    #: What broke, where several things diverge because one did.
    blamed: Sequence[Broken]

    @property
    def verdict(self) -> Verdict:
        """The worst of the verdicts; inconclusive where nothing could be judged."""
        found = {one.verdict for one in self.verdicts}
        worst = (Verdict.DIVERGES, Verdict.INCONCLUSIVE, Verdict.AGREES)
        return next((verdict for verdict in worst if verdict in found), Verdict.INCONCLUSIVE)

    def __str__(self) -> str:
        case = self.case
        layers = " -> ".join(f"{layer.width} {layer.activation}" for layer in case.architecture.layers)
        lines = [
            f"case {case.id}: {case.architecture.inputs} inputs -> {layers}, {case.architecture.cost.name} "
            f"({case.architecture.reduction}), batch {case.batch}, {case.precision}, {case.regime or 'given'} values",
            f"{'equation':10}{'layer':>5}  {'array':8}{'verdict':14}{'chain':>10}{'link':>10}",
        ]
        for one in self.verdicts:
            lines.append(
                f"{one.equation:10}{one.layer:5}  {one.name:8}{one.verdict:14}{one.margin:10.3g}"
                f"{one.link_margin:10.3g}"
            )
        for broken in self.blamed:
            source = ", from the answer's own numbers," if broken.own else ""
            place = f"{broken.suspects.rstrip(',')}, layer {broken.layer}: {broken.name}{list(broken.index)}"
            lines.append(
                f"What broke: {place} is {broken.result!r}, exactly{source} it is {broken.certificate.exact} "
                f"({broken.margin:.3g} radii off)"
            )
        return "\n".join(lines)


def judge(
    case: Case, gradients: Gradients, chain: bool = True, premise: str = "own", any_order: bool = False
) -> Judgement:
    """Judge an answer to a case. Raises MalformedError where an array is missing or has a wrong shape or dtype.

    Without ``chain`` only the links are judged, each from the answer's own z, a and δ: that costs a few gradients,
    where the enclosure of the whole chain may cost thousands, and tells as much at any width and depth. The ``premise``
    says what links are computed from: ``own`` z, a and δ; own ``delta``, and z and a from the chain, of whoever
    computes those once more on the way back; or nothing, and the ``chain`` alone judges. Where the chain rule may have
    been multiplied out in ``any_order``, as in forward mode, the chain allows for that.
    """
    return _judged(case, gradients, enclose(case, any_order) if chain else {}, premise_named(premise))


def check(
    my_backprop: Callable[[Case], Gradients],
    cases: int = 200,
    seed: int = 0,
    precisions: tuple[str, ...] = ("float64", "float32"),
    only: tuple[str, ...] = (),
    keep: Path = KEEP,
) -> int:
    """Hold a function Case -> Gradients against the enclosures of many drawn cases.

    Its premise, what links are computed from, is the function's attribute ``premise`` (see ``judge``), or found on a
    few cases beforehand.

    ``only`` restricts the activations and costs that are drawn; a case that the function declines by raising
    UnsupportedError is not judged. Gives the number of cases judged. Raises DivergenceError where one diverges, with
    every cause, and a minimal case of the first, which is written into the folder ``keep``; ValueError where the
    function declined every case, since then nothing was checked. What the function raises, ChangedCaseError where
    it wrote into the arrays that it was given, which are read-only, and MalformedError where its answer has a wrong
    name, shape or dtype are let through with a note that names the case.
    """
    judged, diverging, collector = 0, 0, Collector()
    settings = Settings((), cases, seed, precisions).only(only)
    premise = premise_of_function(my_backprop, settings).premise
    for case in draw_cases(settings):
        try:
            judgement = _asked(my_backprop, case, premise)
        except UnsupportedError:
            continue
        except Exception as error:
            error.add_note(f"gradparity: on case {case.id}\n{kept(case, keep, _name(my_backprop))}")
            raise
        judged += 1
        diverging += judgement.verdict is Verdict.DIVERGES
        for broken in judgement.blamed:
            collector.add(Divergence(case, _name(my_backprop), broken))
    if not judged:
        raise ValueError(
            f"all of {cases} cases were declined, so nothing was checked; say what to draw with only="
        )
    found = sorted(collector.findings(), key=lambda finding: -finding.cases)
    if found:
        raise DivergenceError(_told(found, my_backprop, premise, diverging, judged, keep))
    return judged


def _asked(my_backprop: Callable[[Case], Gradients], case: Case, premise: Premise) -> Judgement:
    """Enclose a case, ask about a copy of it, and judge."""
    enclosure, asked = enclose(case), case.copied()
    answer = my_backprop(asked)
    unchanged(asked, case, _name(my_backprop))
    return _judged(case, answer, enclosure, premise)


def _judged(
    case: Case, gradients: Gradients, enclosure: Mapping[str, Interval], premise: Premise
) -> Judgement:
    answer = Gradients.from_tensors(gradients.tensors(), case)
    judged = judge_answer(case, answer, enclosure, Certifier(case), premise)
    return Judgement(case, judged.verdicts, judged.blamed)


def kept(case: Case, folder: Path, name: str) -> str:
    """Write a case as a document, and say how it is asked again."""
    path = folder / f"{case.id}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(write_case(case))
    except OSError as error:
        return f"(the case could not be kept in {folder}: {error.strerror})"
    return f"again: gradparity replay {path} {name}"


def _told(
    found: Sequence[Finding],
    my_backprop: Callable[[Case], Gradients],
    premise: Premise,
    diverging: int,
    judged: int,
    keep: Path,
) -> str:
    """Tell what broke: every cause in a sentence, then a minimal case of the commonest."""

    def ask(case: Case) -> Answered | None:
        try:
            answer = my_backprop(case.copied())
            return answer, judge(case, answer, premise=premise).blamed
        except Exception:  # whatever it makes of a case that nobody drew, it shows nothing
            return None

    first = found[0].smallest
    case, _ = shrink(first.case, first.blamed, ask)
    answered = ask(case)
    assert answered is not None
    lines = [f"{_name(my_backprop)} left its enclosure in {diverging} of {judged} cases:"]
    lines += [f"  {finding.sentence}" for finding in found[:MOST_TOLD]]
    if len(found) > MOST_TOLD:
        lines.append(f"  and {len(found) - MOST_TOLD} more causes")
    lines.append("A minimal case of the first:")
    if sum(array.size for array in case.tensors().values()) <= MOST_VALUES:
        lines += [f"  {name} = {array.tolist()}" for name, array in case.tensors().items()]
    lines += [str(judge(case, answered[0], premise=premise)), kept(case, keep, _name(my_backprop))]
    return "\n".join(lines)


#: How many causes a message tells, and up to how many numbers of its case.
MOST_TOLD, MOST_VALUES = 8, 64


def _name(my_backprop: Callable[[Case], Gradients]) -> str:
    """Name a function as the command line does; where nobody could import it, by its own name."""
    module = getattr(my_backprop, "__module__", "") or ""
    name = getattr(my_backprop, "__qualname__", type(my_backprop).__qualname__)
    return f"{module}:{name}" if module and name.isidentifier() else name
