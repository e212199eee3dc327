"""gradparity decides whether an implementation of backpropagation is right.

The names below are loaded when they are first used, so that ``import gradparity`` costs nothing and a
test runner that finds this file under another package name never loads a second copy of anything.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .adapters.implementation import ChangedCaseError, UnsupportedError
    from .harness.judgement import DivergenceError, Judgement, check, judge
    from .reference.network import Architecture, Case, Cost, Gradients, Layer, Parameters

_HOMES = {
    "Architecture": "gradparity.reference.network",
    "Case": "gradparity.reference.network",
    "ChangedCaseError": "gradparity.adapters.implementation",
    "Cost": "gradparity.reference.network",
    "DivergenceError": "gradparity.harness.judgement",
    "Gradients": "gradparity.reference.network",
    "Judgement": "gradparity.harness.judgement",
    "Layer": "gradparity.reference.network",
    "Parameters": "gradparity.reference.network",
    "UnsupportedError": "gradparity.adapters.implementation",
    "check": "gradparity.harness.judgement",
    "judge": "gradparity.harness.judgement",
}

__all__ = [
    "Architecture",
    "Case",
    "ChangedCaseError",
    "Cost",
    "DivergenceError",
    "Gradients",
    "Judgement",
    "Layer",
    "Parameters",
    "UnsupportedError",
    "__version__",
    "check",
    "judge",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
