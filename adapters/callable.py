"""Any Python callable that takes a Case and returns Gradients, named ``package.module:object``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from ..reference.network import Case, Gradients, MalformedError
from .implementation import Implementation, UnknownImplementationError, unchanged
from .installed import distribution_version


class CallableImplementation:
    """A user's function under its import path; its version is that of the distribution it came with."""

    language = "Python"

    def __init__(self, name: str, version: str, function: Callable[[Case], Gradients]) -> None:
        self.name, self.version = name, version
        self._function = function
        #: What the function says of itself: an attribute ``premise``.
        self.premise: str | None = getattr(function, "premise", None)

    def gradients(self, case: Case) -> Gradients:
        """Call the function; raises MalformedError where what it returns is no answer to the case.

        And ChangedCaseError where it wrote into the case's arrays.
        """
        before = case.copied()
        result = self._function(case)
        unchanged(case, before, self.name)
        if not isinstance(result, Gradients):
            raise MalformedError(f"{self.name} returned {type(result).__name__}, but should return Gradients")
        return Gradients.from_tensors(result.tensors(), case)

    def functions(self) -> Mapping[str, str]:
        """Say nothing: which functions it calls is the user's to know."""
        return {}


def load(name: str) -> Implementation:
    """Import the module and find the object; raises UnknownImplementationError where that cannot be called.

    Errors of the module's own import are let through, for its author to read.
    """
    module, _, attribute = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UnknownImplementationError(f"{module} has no callable {attribute!r}; name a function of a Case")
    return CallableImplementation(name, distribution_version(module.partition(".")[0]), found)
