"""Verdicts: what an implementation's answer to a case is worth, equation by equation and layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ..reference.enclosure import Interval, links
from ..reference.exact import Certificate, Certifier
from ..reference.network import Array, Case, Gradients


class Verdict(StrEnum):
    """The closed list of verdicts."""

    AGREES = "agrees"
    DIVERGES = "diverges"
    INCONCLUSIVE = "inconclusive"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


#: What is judged, in the order in which a computation goes through it.
EQUATIONS = ("forward", "cost", "BP1", "BP2", "BP3", "BP4")

#: An enclosure whose radius is more than this share of the array's natural size says nothing: an answer of
#: zeros, or of the opposite sign, might pass.
WIDEST = 0.5


@dataclass(frozen=True)
class EquationVerdict:
    """One equation at one layer: the verdict, and the component that is farthest out.

    ``margin`` is abs(result - mid) / rad there: 1 is the edge of the enclosure. ``wide`` of ``components`` have
    an enclosure that is too wide to mean anything. ``kinked``: a margin near 1 may be a choice of side at a kink.
    """

    equation: str
    layer: int
    name: str
    verdict: Verdict
    margin: float
    index: tuple[int, ...]
    result: float
    components: int
    wide: int
    kinked: bool


def equation_of(name: str, depth: int) -> tuple[str, int]:
    """Give the equation and the layer that an array of an answer belongs to; the cost belongs to layer L."""
    if name == "cost":
        return "cost", depth
    key, layer = name.rstrip("0123456789"), int(name[len(name.rstrip("0123456789")) :])
    if key == "delta":
        return ("BP1" if layer == depth else "BP2"), layer
    return {"z": "forward", "a": "forward", "db": "BP3", "dW": "BP4"}[key], layer


def margins(result: Array, interval: Interval) -> Array:
    """abs(result - mid) / rad: 0 where they are equal, infinite where only one is not finite."""
    with np.errstate(all="ignore"):
        off = np.abs(result.astype(interval.mid.dtype) - interval.mid)
        margin = np.asarray(np.where(off == 0, 0, off / interval.rad), np.float64)
    margin = np.where(np.isfinite(result), margin, np.inf)
    return np.where(np.isfinite(interval.rad), margin, 0.0)  # nothing is known: nobody is accused


def _judge_array(name: str, result: Array, interval: Interval, depth: int) -> EquationVerdict:
    margin = margins(result, interval)
    flat = int(np.argmax(margin)) if margin.size else 0
    index = tuple(int(i) for i in np.unravel_index(flat, margin.shape)) if margin.size else ()
    worst = float(margin[index]) if margin.size else 0.0
    # Where the true array is zero by nature, only underflow may have made a radius.
    bound = WIDEST * interval.size if interval.size > 0 else float(np.finfo(result.dtype).tiny) ** 0.5
    wide = int(np.count_nonzero(~(np.isfinite(interval.rad) & (interval.rad <= bound))))
    verdict = Verdict.DIVERGES if worst > 1 else Verdict.INCONCLUSIVE if wide else Verdict.AGREES
    equation, layer = equation_of(name, depth)
    value = float(result[index]) if margin.size else 0.0
    return EquationVerdict(
        equation, layer, name, verdict, worst, index, value, margin.size, wide, interval.kinked
    )


def judge_answer(case: Case, answer: Gradients, enclosure: Mapping[str, Interval]) -> list[EquationVerdict]:
    """Judge everything that an answer holds against the case's enclosure, in the order of ``EQUATIONS``."""
    depth = case.architecture.depth
    judged = [_judge_array(name, array, enclosure[name], depth) for name, array in answer.tensors().items()]
    return sorted(judged, key=_order)


def _order(judged: EquationVerdict) -> tuple[int, int]:
    """Forward runs up through the layers, and everything after the cost runs down."""
    up = judged.equation == "forward"
    step = 2 * judged.layer + (judged.name[0] == "a") if up else -judged.layer
    return EQUATIONS.index(judged.equation), step


def certified(
    judged: Sequence[EquationVerdict], enclosure: Mapping[str, Interval], certifier: Certifier
) -> tuple[list[EquationVerdict], dict[str, Certificate]]:
    """Hold every divergence against arbitrary precision; gives the verdicts, and the certificates by array.

    Nobody is accused on a bound that the exact value does not bear out: such a verdict is inconclusive.
    """
    certificates = {
        one.name: certifier.certify(one.name, one.index, one.result, enclosure[one.name])
        for one in judged
        if one.verdict is Verdict.DIVERGES
    }
    doubtful = {name for name, certificate in certificates.items() if not certificate.holds}
    return [
        replace(one, verdict=Verdict.INCONCLUSIVE) if one.name in doubtful else one for one in judged
    ], certificates


def blame(
    case: Case, answer: Gradients, judged: Sequence[EquationVerdict], enclosure: Mapping[str, Interval]
) -> list[EquationVerdict]:
    """Give what broke, of what diverges, each at the component that shows it best; empty where nothing does.

    Where the answer carries its own z, a and δ, each link of the chain is held against those, so that every
    fault is found by itself and what follows from it is not. Otherwise it is the first that left its enclosure;
    where δ was not given and both of its layer's gradients are off, that is what they share, δ's own equation.
    """
    divergent = [one for one in judged if one.verdict is Verdict.DIVERGES]
    if not divergent:
        return []
    broken = _broken_links(case, answer)
    found = [_at(one, broken[one.name], answer, enclosure) for one in divergent if one.name in broken]
    certain = [one for one in found if one is not None]
    if certain:
        return certain
    first = min(divergent, key=_backwards)
    both = {f"db{first.layer}", f"dW{first.layer}"} <= {one.name for one in divergent}
    if answer.delta is None and both and first.name != "cost":
        first = replace(first, equation="BP1" if first.layer == case.architecture.depth else "BP2")
    return [first]


def _backwards(judged: EquationVerdict) -> tuple[int, int, int]:
    """The order of a computation in which a layer's gradients come right after its δ."""
    forward = EQUATIONS.index(judged.equation) < EQUATIONS.index("BP1")
    return (0, *_order(judged)) if forward else (1, -judged.layer, EQUATIONS.index(judged.equation))


def _at(
    judged: EquationVerdict, link: Array, answer: Gradients, enclosure: Mapping[str, Interval]
) -> EquationVerdict | None:
    """Move a divergence to the component that is farthest out of its link, of those that left their enclosure.

    None where no component has left both: then what is wrong in this array came from elsewhere.
    """
    result = answer.tensors()[judged.name]
    margin = margins(result, enclosure[judged.name])
    off = np.where(margin > 1, link, 0.0)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
    if off[index] <= 1:
        return None
    return replace(judged, index=index, margin=float(margin[index]), result=float(result[index]))


def _broken_links(case: Case, answer: Gradients) -> dict[str, Array]:
    """Give the arrays that left their link, each with its margins there."""
    tensors = answer.tensors()
    found = {
        name: margins(tensors[name], interval)
        for name, interval in links(case, answer).items()
        if name in tensors
    }
    return {name: margin for name, margin in found.items() if margin.size and margin.max() > 1}
