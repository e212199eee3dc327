"""A badge: the JSON that the endpoint badges of shields.io take, to be published wherever the build can write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .checks import SILENT, checks, numbered
from .html import judged


def badge(content: Mapping[str, Any]) -> str:
    """Give a finished run (the content of its run.json) as a badge: the worst there is to say, and its colour."""
    message, color = _told(content)
    return json.dumps({"schemaVersion": 1, "label": "gradparity", "message": message, "color": color}) + "\n"


def _told(content: Mapping[str, Any]) -> tuple[str, str]:
    words = [check.word for check in checks(content)]
    findings, known = (len(numbered(content, expected=kind)) for kind in (False, True))
    for word, number, noun in (
        ("diverges", findings, "finding"),
        ("failed", words.count("failed"), "failure"),
        ("lapsed", words.count("lapsed"), "lapsed expectation"),
    ):
        if word in words:
            return f"{number} {noun}{'s' * (number != 1)}", "red"
    if not words or any(one.word in SILENT for one in judged(content)):
        return "too little judged", "lightgrey"
    return f"agrees, {known} known" if known else "agrees", "brightgreen"
