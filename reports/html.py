"""The report: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_report(content: Mapping[str, Any], path: Path) -> None:
    """Write the report of a finished run (the content of its run.json)."""
    path.write_text("")
