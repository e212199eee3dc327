"""From Python: judge one answer, or check a function over many cases, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..adapters.implementation import UnsupportedError
from ..reference.enclosure import enclose
from ..reference.exact import Certifier
from ..reference.network import Case, Gradients
from .campaign import Settings, draw_cases
from .verdict import Broken, EquationVerdict, Verdict, judge_answer


class DivergenceError(AssertionError):
    """An implementation left its enclosures; the message shows the smallest case and what broke first."""


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
            place = f"{broken.equation}, layer {broken.layer}: {broken.name}{list(broken.index)}"
            lines.append(
                f"What broke: {place} is {broken.result!r}, exactly{source} it is {broken.certificate.exact} "
                f"({broken.margin:.3g} radii off)"
            )
        return "\n".join(lines)


def judge(case: Case, gradients: Gradients, chain: bool = True, linked: bool = True) -> Judgement:
    """Judge an answer to a case. Raises MalformedError where an array is missing or has a wrong shape or dtype.

    Without ``chain`` only the links are judged, each from the answer's own z, a and δ: that costs a few gradients,
    where the enclosure of the whole chain may cost thousands, and tells as much at any width and depth. Gradients
    that were not ``linked``, since no δ was carried back through the layers, are judged by the chain only.
    """
    answer = Gradients.from_tensors(gradients.tensors(), case)
    judged = judge_answer(case, answer, enclose(case) if chain else {}, Certifier(case), linked)
    return Judgement(case, judged.verdicts, judged.blamed)


def check(
    my_backprop: Callable[[Case], Gradients],
    cases: int = 200,
    seed: int = 0,
    precisions: tuple[str, ...] = ("float64", "float32"),
    only: tuple[str, ...] = (),
) -> int:
    """Hold a function Case -> Gradients against the enclosures of many drawn cases.

    ``only`` restricts the activations and costs that are drawn; a case that the function declines by raising
    UnsupportedError is not judged. Gives the number of cases judged. Raises DivergenceError where one diverges,
    and ValueError where the function declined every case, since then nothing was checked.
    """
    settings = Settings((), cases, seed, precisions).only(only)
    judged, worst = 0, None
    for case in draw_cases(settings):
        try:
            judgement = judge(case, my_backprop(case))
        except UnsupportedError:
            continue
        judged += 1
        if judgement.verdict is Verdict.DIVERGES and (worst is None or _size(case) < _size(worst.case)):
            worst = judgement
    if worst is not None:
        raise DivergenceError(f"a gradient left its enclosure\n{worst}")
    if not judged:
        raise ValueError(
            f"all of {cases} cases were declined, so nothing was checked; say what to draw with only="
        )
    return judged


def _size(case: Case) -> int:
    return sum(array.size for array in case.tensors().values())
