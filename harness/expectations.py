"""Expectations: findings that are known, each with its reason, read from a TOML file and checked both ways.

    [[expect]]
    implementation = ["torch:eager", "keras:torch"]     # or a framework, in any mode: ["torch"]
    function = "softplus"                               # an activation or a cost, or: equation = "BP3", or both
    equation = ["BP1", "BP2"]                           # left out, any: the function's value and its slope
    array = "delta"                                     # z, a, cost, delta, db or dW; left out, any
    precision = ["float64"]
    z = [20.0, inf]                                     # where in the input range; left out, anywhere
    not_finite = true                                   # only where NaN or infinity would be right; left out, anywhere
    versions = ">=2.0,<2.14"                            # of the framework; left out, any
    not_everywhere = true                               # it depends on the processor, and need not show
    reason = "z itself above its threshold of 20"
    link = "https://..."
    cases = ["softplus-float64.safetensors"]            # documents beside the file that show it

A divergence that no entry covers is unexpected, and so is an entry that shows nowhere any more: not in the run, and
not on its own cases; but for one that says that it depends on the processor.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from ..adapters.document import read_case
from ..reference.names import AXES
from ..reference.network import ACTIVATIONS, COSTS, Architecture, Case, MalformedError
from .blame import Broken
from .verdict import SMALLEST, functions_at_fault

#: What the pinned frameworks are known to do; a run is held against it unless another file is named.
SHIPPED = Path(__file__).with_name("expectations") / "expectations.toml"

#: How a certificate writes what is no finite number.
_NOT_FINITE = ("nan", "inf", "-inf")

Text = Annotated[str, Meta(min_length=1)]
Equation = Literal["forward", "cost", "BP1", "BP2", "BP3", "BP4"]
Precision = Literal["float64", "float32", "bfloat16", "float16"]
Kind = Literal["z", "a", "cost", "delta", "db", "dW"]
#: An array is the result of one of these.
_EQUATIONS = {
    kind: {SMALLEST[name].equation for name in SMALLEST.answered if name.kind == kind} for kind in AXES
}


class ExpectationsError(Exception):
    """A file of expectations that cannot be used; the message is one sentence with the line and the key."""


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One known finding: whose, in which function or equation, in which precisions and range, and why."""

    implementation: Annotated[tuple[Text, ...], Meta(min_length=1)]
    function: str = ""
    equation: Equation | Literal[""] | tuple[Equation, ...] = ""
    array: Kind | Literal[""] = ""
    precision: Annotated[tuple[Precision, ...], Meta(min_length=1)]
    z: tuple[float, float] = (-math.inf, math.inf)
    not_finite: bool = False
    versions: str = ""
    not_everywhere: bool = False
    reason: str
    link: str = ""
    cases: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no type tells; the message begins with the key."""
        if not self.reason.strip():
            raise ValueError("reason: is empty; say why this is known and accepted")
        if not (self.function or self.equations):
            raise ValueError("function: is missing; name an activation, a cost or an equation")
        if self.function and self.function not in (*ACTIVATIONS, *COSTS):
            near = difflib.get_close_matches(self.function, (*ACTIVATIONS, *COSTS), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"function: {self.function!r} is neither an activation nor a cost{hint}")
        if self.array and self.equations and not set(self.equations) & set(_EQUATIONS[self.array]):
            raise ValueError(
                f"array: {self.array} is no result of {' or '.join(self.equations)}, so this covers nothing"
            )
        if not self.z[0] <= self.z[1]:
            raise ValueError("z: is no range; give the lower end first")
        if self.link and not self.link.startswith(("https://", "http://")):
            raise ValueError(f"link: {self.link!r} is no address that begins with https://")
        try:
            SpecifierSet(self.versions)
        except InvalidSpecifier:
            raise ValueError(
                f"versions: {self.versions!r} is no version specifier, as in '>=2.0,<2.14'"
            ) from None

    @property
    def equations(self) -> tuple[str, ...]:
        """The equations it is about; none where any will do."""
        return self.equation if isinstance(self.equation, tuple) else tuple(filter(None, (self.equation,)))

    @property
    def subject(self) -> str:
        """Name what is at fault."""
        return " ".join(filter(None, (" or ".join(self.equations), self.array, self.function)))

    def is_about(self, implementation: str, version: str) -> bool:
        """Whether an implementation is one of these modes, or a mode of this framework, in one of the versions."""
        if {implementation, implementation.partition(":")[0]}.isdisjoint(self.implementation):
            return False
        try:
            return not self.versions or SpecifierSet(self.versions).contains(version, prereleases=True)
        except InvalidVersion:
            return False

    def covers(self, network: Architecture, precision: str, broken: Broken) -> bool:
        """Whether this is what broke."""
        return (
            precision in self.precision
            and (not self.equations or broken.equation in self.equations)
            and self.array in ("", broken.kind)
            and (not self.not_finite or broken.certificate.exact in _NOT_FINITE)
            and (not self.function or self.function in functions_at_fault(network, broken))
            and (broken.z is None or self.z[0] <= broken.z <= self.z[1] or self.z == (-math.inf, math.inf))
        )


class Expectations:
    """The entries of one file, or of the shipped one. Raises ExpectationsError where the file cannot be used."""

    def __init__(self, named: Path | str = "") -> None:
        path = Path(named) if named else SHIPPED
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ExpectationsError(f"{path} is not UTF-8, so it holds no expectations") from None
        except OSError as error:
            raise ExpectationsError(f"{path} cannot be read: {error.strerror}") from None
        self.entries = _entries(path, text)
        #: Of the file: the same text expects the same.
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        # All at once: a run of hours must not end with a document that cannot be read.
        self._cases = {name: self._case(name) for one in self.entries for name in one.cases}

    def covering(
        self, implementation: str, version: str, network: Architecture, precision: str, broken: Broken
    ) -> Expectation | None:
        """Give the first entry that covers what broke; None where nobody expected it."""
        for one in self.entries:
            if one.is_about(implementation, version) and one.covers(network, precision, broken):
                return one
        return None

    def cases(self, one: Expectation, precision: str) -> list[Case]:
        """Give the cases in this precision that show an entry."""
        return [self._cases[name] for name in one.cases if self._cases[name].precision == precision]

    def _case(self, name: str) -> Case:
        try:
            return read_case((self.path.parent / name).read_bytes())
        except OSError as error:
            raise ExpectationsError(
                f"{self.path}: the case {name} cannot be read: {error.strerror}"
            ) from None
        except MalformedError as error:
            raise ExpectationsError(f"{self.path}: {name} is not a case document: {error}") from None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    expect: list[dict[str, Any]] = []


def _entries(path: Path, text: str) -> tuple[Expectation, ...]:
    entries: list[Expectation] = []
    try:
        file = msgspec.toml.decode(text, type=_File)
        for given in file.expect:
            entries.append(msgspec.convert(given, Expectation))
    except msgspec.ValidationError as error:
        sentence, _, at = str(error).partition(" - at `$")
        if match := re.match(r"(\w+): (.*)", sentence):  # __post_init__'s own
            key, sentence = match[1], match[2]
        else:
            inside = re.search(r"\.(\w+)", at) or re.search(r"field `(\w+)`", sentence)
            key = inside[1] if inside else "expect"
        line = _line(text, len(entries) + 1, key)
        raise ExpectationsError(f"{path}, line {line}, key {key!r}: {sentence}") from None
    except msgspec.DecodeError as error:
        raise ExpectationsError(f"{path} is not TOML: {error}") from None
    return tuple(entries)


def _line(text: str, number: int, key: str) -> int:
    """Find the line of a key in an entry, or else of the entry; TOML's readers do not tell."""
    lines = text.splitlines()
    heads = [i for i, line in enumerate(lines, start=1) if re.match(r"\s*\[\[\s*expect\s*\]\]", line)]
    if number > len(heads):
        return next((i for i, line in enumerate(lines, start=1) if re.match(rf"\s*\W*{key}\b", line)), 1)
    end = heads[number] if number < len(heads) else len(lines) + 1
    own = range(heads[number - 1] + 1, end)
    return next((i for i in own if re.match(rf"\s*{key}\s*=", lines[i - 1])), heads[number - 1])
