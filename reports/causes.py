"""What a person would say of a finding, and the findings of one cause together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ..adapters.modes import FRAMEWORKS

Content = Mapping[str, Any]

_EQUATIONS = {
    "forward": "weighted input (the matrix product)",
    "cost": "cost",
    "BP1": "error in the output layer",
    "BP2": "error carried back (the matrix product)",
    "BP3": "gradient for the biases (the sum over the batch)",
    "BP4": "gradient for the weights (the matrix product)",
}

#: What a result is of the exact value, where somebody forgot or doubled a factor.
_RATIOS = {Decimal(2): "twice", Decimal("0.5"): "half of", Decimal(3): "three times", Decimal(4): "four times",
           Decimal("0.25"): "a quarter of"}  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """Findings that have one reason: of one framework, through one function, or known for the same."""

    title: str
    expected: bool
    #: The numbers of the findings, as run.json and the terminal have them, with the findings; worst first.
    findings: Sequence[tuple[int, Content]]

    @property
    def cases(self) -> int:
        """Count the cases, one for each finding that it shows in."""
        return sum(one["cases"] for _, one in self.findings)

    def named(self, key: str) -> str:
        """Name everything that its findings have under a key, each once."""
        return listed(list(dict.fromkeys(str(one[key]) for _, one in self.findings)))


def causes(content: Content) -> list[Cause]:
    """Give the causes, those that nobody expects first, then by how many cases they show in."""
    grouped: dict[tuple[object, ...], list[tuple[int, Content]]] = {}
    for number, one in enumerate(content["findings"], start=1):
        why = (one["reason"], one["link"]) if one["expected"] else (one["function"],)
        grouped.setdefault((framework(one["implementation"]), one["expected"], *why), []).append(
            (number, one)
        )
    found = []
    for listing in grouped.values():
        listing.sort(key=lambda one: (-one[1]["cases"], -one[1]["largest_margin"]))
        found.append(Cause(_title(listing), bool(listing[0][1]["expected"]), listing))
    return sorted(found, key=lambda one: (one.expected, -one.cases))


def framework(implementation: str) -> str:
    """Name who an implementation belongs to: a framework, whatever its mode, or whoever it is."""
    name = implementation.partition(":")[0]
    return FRAMEWORKS[name].title if name in FRAMEWORKS else implementation


def _title(findings: Sequence[tuple[int, Content]]) -> str:
    one = findings[0][1]
    precisions = listed(list(dict.fromkeys(str(other["precision"]) for _, other in findings)))
    if not one["expected"]:
        return told(one)
    functions = listed(list(dict.fromkeys(str(other["function"]) for _, other in findings)))
    return f"{framework(one['implementation'])}'s {functions} in {precisions}: {one['reason']}"


def told(finding: Content) -> str:
    """Say it as a person would: whose what, in which precision, and how far it is off."""
    return (
        f"{framework(finding['implementation'])}'s {_what(finding)} in {finding['precision']} {_how(finding)}"
    )


def _what(finding: Content) -> str:
    function = finding["function"]
    if not (finding["activation"] or finding["cost"]):
        return _EQUATIONS[finding["equation"]]
    if finding["equation"] == "cost" or finding["equation"] == "forward":
        return str(function)
    return f"{function} gradient"


def _how(finding: Content) -> str:
    result, exact, given = held(finding["result"]), number(finding["exact"]), finding["result"]
    if result is None or exact is None:
        return f"is {given}, where {finding['mid']} ± {finding['rad']} is right"
    if not result.is_finite():
        return f"is {given}, where it is {float(exact):.6g}"
    if not exact:
        return f"is {float(result):.6g}, where it is 0"
    if not result:
        return f"is 0, where it is {float(exact):.6g}"
    ratio = result / exact
    for factor, words in _RATIOS.items():
        if abs(ratio / factor - 1) < Decimal("1e-5"):
            return f"is {words} what it should be"
    if abs(ratio + 1) < Decimal("1e-5"):
        return "has the wrong sign"
    off = abs(ratio - 1)
    if finding["precision"] == "float64" and Decimal("1e-9") < off < Decimal("1.2e-7"):
        return "is only as accurate as float32"
    if off > Decimal("0.001"):
        return f"is {'far off' if off > 10 else f'{float(100 * off):.3g} % off'}"
    units = ulps(finding)
    return f"is off by {units} unit{'s' * (units != '1')} in the last place"


def held(written: str) -> Decimal | None:
    """Read a float as Python writes it, and give what it holds, which has more digits; None where it is none."""
    try:
        return Decimal(float(written))
    except ValueError:
        return None


def number(written: str) -> Decimal | None:
    """Read a value, or the middle of one that is only known as a ball; None where it is none."""
    try:
        return Decimal(written.strip("[]").partition(" +/- ")[0])
    except InvalidOperation:
        return None


def apart(result: str, exact: str, precision: str) -> float | None:
    """Say how many units in the last place of the exact value a result is off; None where that is not defined."""
    import ml_dtypes

    from ..reference.network import DTYPES

    given, true = held(result), number(exact)
    if given is None or true is None or not (given.is_finite() and true.is_finite()):
        return None
    info: Any = ml_dtypes.finfo(DTYPES[precision])
    exponent = math.frexp(float(true))[1] if float(true) else int(info.minexp)
    unit = max(math.ldexp(1.0, exponent - 1 - int(info.nmant)), float(info.smallest_subnormal))
    try:
        return float(abs(given - true) / Decimal(unit))
    except (ArithmeticError, OverflowError):
        return math.inf


def ulps(finding: Content) -> str:
    """Write how many units in the last place a finding is off."""
    off = apart(finding["result"], finding["exact"], finding["precision"])
    return "no number of" if off is None else short(off)


def short(value: float) -> str:
    """Write a number as people read it: three digits, or a power of ten."""
    if not math.isfinite(value):
        return "infinitely many"
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" if value < 1e7 else power(value)


_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(value: float) -> str:
    """Show two digits and a power of ten."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_POWERS)}" if exponent and value else mantissa


def listed(words: Iterable[str]) -> str:
    """Join words as a sentence has them."""
    all_of_them = list(words)
    return " and ".join(filter(None, (", ".join(all_of_them[:-1]), *all_of_them[-1:])))
