"""The worker loop: cases in, answers out, until end of file.

``python -m gradparity.adapters.serve NAME`` and ``gradparity serve NAME`` are both this.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from ..reference.network import Case, Gradients, MalformedError
from .document import read_case, read_one, write_gradients, write_message
from .implementation import (
    Implementation,
    MissingImplementationError,
    UnknownImplementationError,
    UnsupportedError,
)
from .registry import load
from .shared import Borrower, Parts, borrowed

#: No case comes near this many bytes; a document that claims more is not a document.
LONGEST_CASE = 2**30


def serve(implementation: Implementation, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer every case document of ``source`` with one document on ``sink``, until end of file.

    Whatever the implementation raises becomes an answer, and the loop goes on. Raises MalformedError where
    the source holds something other than cases, BrokenPipeError where nobody reads the answers.
    """

    def write(case: Case, kind: str, text: str, gradients: Gradients) -> bytes:
        if kind == "gradients":
            return write_gradients(case.id, gradients, _about(implementation))
        return write_message(kind, case.id, text, _about(implementation))

    while (blob := read_one(source.read, LONGEST_CASE)) is not None:
        sink.write(_answer(implementation, read_case(blob), write))
        sink.flush()


def serve_parent(implementation: Implementation, source: BinaryIO, sink: BinaryIO, end: Borrower) -> None:
    """Answer gradparity itself likewise; what it asks are cases, and are not looked at for anything else."""
    about = json.dumps(_about(implementation))

    def write(_: Case, kind: str, text: str, gradients: Gradients) -> Parts:
        return Parts.of(kind, text, about, gradients.tensors())

    for asked in end.cases(source.read):
        sink.write(end.answer(asked, _answer(implementation, asked.case, write)))
        sink.flush()


Written = TypeVar("Written")

#: What a message has for gradients.
_NOTHING = Gradients((), ())


def _answer(
    implementation: Implementation, case: Case, write: Callable[[Case, str, str, Gradients], Written]
) -> Written:
    """Answer a case, whatever happens; ``write`` is given it, the kind of the answer, a text, and the gradients."""
    try:
        return write(case, "gradients", "", implementation.gradients(case))
    except UnsupportedError as reason:
        return write(case, "unsupported", _line(str(reason)), _NOTHING)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()  # before the answer, so that who reads the answer can read this too
        return write(case, "error", _line(f"{type(error).__name__}: {error}"), _NOTHING)


def _about(implementation: Implementation) -> dict[str, Any]:
    about: dict[str, Any] = {
        "name": implementation.name,
        "version": implementation.version,
        "language": implementation.language,
    }
    premise = getattr(implementation, "premise", None)
    return about if premise is None else {**about, "abilities": {"premise": str(premise)}}


def _line(text: str) -> str:
    """Make one line that UTF-8 can carry: Python's strings may hold lone surrogates, from file names."""
    return " ".join(text.split()).encode(errors="replace").decode()


def main(name: str) -> int:
    """Serve the named implementation on this process's standard streams; return the exit status.

    0 at the end of the cases, or when nobody reads the answers any more; 2, with one sentence on standard
    error, where the name cannot be served or the input is no case.
    """
    # The protocol keeps its own copies of the standard streams. What the implementation prints, from Python
    # or from C++, goes to standard error, and what it reads is empty: neither can corrupt the documents.
    source, sink = os.fdopen(os.dup(0), "rb", buffering=2**18), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    parent = borrowed()
    try:
        if parent is None:
            serve(load(name), source, sink)
        else:
            serve_parent(load(name), source, sink, parent)
    except (UnknownImplementationError, MissingImplementationError, MalformedError) as error:
        print(f"gradparity serve: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(nothing, sink.fileno())  # or closing the sink would try once more and complain
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m gradparity.adapters.serve IMPLEMENTATION")
    sys.exit(main(sys.argv[1]))
