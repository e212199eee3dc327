"""Annotations of a GitHub workflow: one line on standard output for each check that somebody has to look at.

A workflow command ends at the end of its line, and its properties at a comma or a colon, so all of those are escaped:
whoever is judged chooses names and messages, and must not be able to give commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import checks

#: GitHub shows so many errors of a step, and drops the others without a word.
SHOWN = 10

#: A longer message is cut off there anyway.
LONGEST = 4000


def annotate(content: Mapping[str, Any]) -> str:
    """Give a finished run (the content of its run.json) as workflow commands; nothing where all is as expected."""
    bad = [check for check in checks(content) if check.bad]
    shown = bad if len(bad) <= SHOWN else bad[: SHOWN - 1]
    lines = [
        _command(
            f"{check.implementation}, {check.precision}, {check.name}: {check.word}",
            "\n".join(check.sentences),
        )
        for check in shown
    ]
    if len(shown) < len(bad):
        left = len(bad) - len(shown)
        lines.append(_command("gradparity", f"{left} more checks are bad; they are in the run's report"))
    return "".join(f"{line}\n" for line in lines)


def _command(title: str, message: str) -> str:
    shown = message if len(message) <= LONGEST else f"{message[:LONGEST]}..."
    return f"::error title={_escaped(title).replace(':', '%3A').replace(',', '%2C')}::{_escaped(shown)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
