"""An earlier run beside this one: since when a finding is there, and what moved inside its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..harness.compare import Comparison

_SAME = ("implementation", "precision", "equation", "function")


@dataclass(frozen=True)
class Baseline:
    """An earlier run: the content of its run.json, and how this one compares with it."""

    content: Mapping[str, Any]
    comparison: Comparison

    @property
    def name(self) -> str:
        """Name it as a person would: where it is, and when it was made."""
        return f"{self.comparison.old} of {self.when}"

    @property
    def when(self) -> str:
        """Say when it was made."""
        return datetime.fromtimestamp(self.content["began"], UTC).strftime("%Y-%m-%d")

    def since(self, finding: Mapping[str, Any]) -> str:
        """Say whether a finding was there already."""
        was = next(
            (one for one in self.content["implementations"] if one["name"] == finding["implementation"]), None
        )
        if was is None:
            return f"not known: the run of {self.when} did not judge it"
        if any(all(one[key] == finding[key] for key in _SAME) for one in self.content["findings"]):
            return f"at least {self.when}, {was['version']}: the earlier run found it too"
        return f"this run: that of {self.when}, with {was['version']}, did not find it"
