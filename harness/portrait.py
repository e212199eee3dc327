"""A portrait of an implementation: how accurate its functions are, and what it takes where several answers are right.

What the report shows beside the verdicts, as data for run.json: the platform certificate and the conventions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .conventions import cells, conventions, kinks_of
from .platform import certify
from .workers import Worker


def portrait(worker: Worker, precisions: Sequence[str]) -> dict[str, Any]:
    """Ask a running worker, and give what a report shows of it, ready for JSON.

    ``measured`` holds the platform's measurements, ``declined`` says of functions without any why. ``conventions``
    gives by precision, function and point what came back, value before slope; ``kinks`` names the points that are.
    """
    measured, declined = certify(worker.submit, precisions)
    found = list(conventions(worker.submit, precisions))
    shown: dict[str, dict[str, dict[str, str]]] = {}
    for precision in precisions:
        for (function, at), returned in cells(found, precision).items():
            shown.setdefault(precision, {}).setdefault(function, {})[at] = returned
    functions = dict.fromkeys(one.function for one in found)
    return {
        "measured": [asdict(one) for one in measured],
        "declined": declined,
        "conventions": shown,
        "kinks": {name: [f"{kink:g}" for kink in kinks_of(name)] for name in functions if kinks_of(name)},
    }
