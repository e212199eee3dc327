"""Render a finished run again, in whatever format reads it: all that was asked for, or nothing."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from ..adapters.document import read_case
from ..reference.network import MalformedError
from ..reports.annotations import annotate
from ..reports.badge import badge
from ..reports.baseline import Baseline
from ..reports.html import answer, render
from ..reports.junit import junit
from ..reports.markdown import markdown
from .compare import compare
from .run import exit_status, read
from .shards import EXPLORED, VERDICTS, RunFolderError, read_tally

#: In place of a file, for standard output.
STDOUT = Path("-")


def strict_json(content: Mapping[str, Any]) -> str:
    """Give the content of run.json with its answer and exit status, as JSON that has no infinities.

    JSON knows neither infinity nor NaN, and Python writes both: here they are the strings "inf", "-inf" and "nan".
    """
    told = {"answer": answer(content), "exit_status": exit_status(content), **content}
    return json.dumps(_finite(told), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


FORMATS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "html": render,
    "markdown": markdown,
    "junit": junit,
    "json": strict_json,
    "annotations": annotate,
    "badge": badge,
}


def _undamaged(folder: Path) -> None:
    """Raise RunFolderError where a shard or a case document is not what was written; they may be left out."""
    for kind in (VERDICTS, EXPLORED):
        for path in sorted((folder / kind).glob("*.parquet")):
            if not path.stem.isdecimal():
                raise RunFolderError(f"{path} is no shard of this run")
            read_tally(folder, int(path.stem), kind)
    for path in sorted((folder / "findings").glob("*.safetensors")):
        try:
            read_case(path.read_bytes())
        except OSError as error:
            raise RunFolderError(f"{path} cannot be read: {error.strerror}") from None
        except MalformedError as error:
            raise RunFolderError(f"{path} is not a case document: {error}") from None


def report(folder: Path, wanted: Mapping[str, Path], baseline: Path | None = None) -> None:
    """Render a run in each of the formats and write them to their files.

    The HTML tells what moved since an earlier run, where ``baseline`` is one. It takes margins and case documents from
    the folder, as far as they are there; the others read run.json alone. Raises RunFolderError with one sentence where
    a run or a file will not do; then nothing is written.
    """
    content = read(folder)
    _undamaged(folder)
    before = Baseline(read(baseline), compare(baseline, folder)) if baseline else None
    try:
        pages = {
            path: render(content, folder, before) if name == "html" else FORMATS[name](content)
            for name, path in wanted.items()
        }
        rendered = {path: page.encode(errors="replace") for path, page in pages.items()}
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, TemplateError) as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise RunFolderError(f"{folder} is damaged: its run.json cannot be rendered ({what})") from None
    files = [path for path in rendered if path != STDOUT]
    for path in files:
        if path.is_dir():
            raise RunFolderError(f"{path} cannot be written: it is a directory")
    beside = {path: path.with_name(f".{path.name}.part") for path in files}
    try:
        for path, part in beside.items():
            part.write_bytes(rendered[path])
        for path, part in beside.items():
            os.replace(part, path)
    except OSError as error:
        raise RunFolderError(f"{error.filename} cannot be written: {error.strerror}") from None
    finally:
        for part in beside.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
    if STDOUT in rendered:
        sys.stdout.buffer.write(rendered[STDOUT])
