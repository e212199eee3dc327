"""JUnit XML: a testsuite for each implementation, and a testcase for each of its checks.

The dialect that CI servers agree on (tests/junit-10.xsd). A divergence is a failure, a crash or a malformed answer an
error; what is known, and what says nothing, is skipped, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from .checks import SILENT, Check, checks

#: What XML 1.0 has no way to hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: Of which element a check is the child, by its word; what agrees has none.
_ELEMENTS = {
    "diverges": "failure",
    "lapsed": "failure",
    "failed": "error",
    "expected": "skipped",
    **dict.fromkeys(SILENT, "skipped"),
}


def junit(content: Mapping[str, Any]) -> str:
    """Give a finished run (the content of its run.json) as JUnit XML."""
    found, seconds = checks(content), content["rates"]["seconds"]
    whole = _element(None, "testsuites", name="gradparity", time=f"{seconds['all']:.3f}", **_counts(found))
    for author in content["implementations"]:
        own = [check for check in found if check.implementation == author["name"]]
        suite = _element(
            whole, "testsuite", name=author["name"], **_counts(own),
            skipped=sum(_ELEMENTS.get(check.word) == "skipped" for check in own),
            time=f"{seconds.get(author['name'], 0.0):.3f}",
            timestamp=datetime.fromtimestamp(content["began"], UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        )  # fmt: skip
        properties = _element(suite, "properties")
        for name, value in _properties(content, author).items():
            _element(properties, "property", name=name, value=value)
        for check in own:
            _case(suite, check)
    ElementTree.indent(whole, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(whole, encoding="unicode") + "\n"


def _properties(content: Mapping[str, Any], author: Mapping[str, Any]) -> dict[str, Any]:
    environment = content["environment"]
    return {
        "version": author["version"],
        "language": author["language"],
        "cases": author["cases"],
        "seed": content["seed"],
        "command": content["command"],
        "gradparity": content["gradparity"],
        **{name: environment[name] for name in ("python", "system", "processor") if name in environment},
        **environment.get("software", {}),
    }


def _case(suite: ElementTree.Element, check: Check) -> None:
    place = {"classname": f"{check.implementation}.{check.precision}", "name": check.name}
    case, element = _element(suite, "testcase", **place), _ELEMENTS.get(check.word)
    if element is None:
        return
    message = next(iter(check.sentences), check.word)
    _element(case, element, type=check.word, message=message).text = _text("\n".join(check.sentences))


def _counts(found: Iterable[Check]) -> dict[str, int]:
    elements = [_ELEMENTS.get(check.word) for check in found]
    return {"tests": len(elements), "failures": elements.count("failure"), "errors": elements.count("error")}


def _element(parent: ElementTree.Element | None, tag: str, **attributes: object) -> ElementTree.Element:
    given = {name: _text(str(value)) for name, value in attributes.items()}
    return ElementTree.Element(tag, given) if parent is None else ElementTree.SubElement(parent, tag, given)


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
