"""A worker that answers with the reference's gradients, but for one small lie: ``tampered.py MODE``.

It reads and writes documents on its own, as a program in another language would. The modes:
``honest``; ``weight``: the largest entry of ∂C/∂W of the second layer (or the first, of one) is off by 1e-9 of
itself; ``kill``, ``hang``, ``garbage``, ``shape``: one case in seven, it does that instead of answering.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time

import numpy as np
from gradparity import Case, Gradients
from gradparity.adapters.document import read_case, read_one, write_gradients
from gradparity.adapters.reference import load

ABOUT = {"name": "tampered", "version": "1", "language": "Python"}


def tampered(mode: str, case: Case, answer: Gradients) -> Gradients:
    place = min(1, case.architecture.depth - 1)
    dW = list(answer.dW)
    if mode == "weight":
        dW[place] = dW[place].copy()
        dW[place].flat[np.argmax(np.abs(dW[place]))] *= 1 + 1e-9
    if mode == "shape":
        dW[place] = np.zeros((1, 1, 1), case.dtype)
    return dataclasses.replace(answer, dW=dW)


def main() -> None:
    mode, reference, count = sys.argv[1], load(""), 0
    while (blob := read_one(sys.stdin.buffer.read, 2**30)) is not None:
        case = read_case(blob)
        count += 1
        # A killed process starts afresh, so what is counted has to be the case itself.
        unlucky = int(case.id, 16) % 7 == 0
        if unlucky and mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if unlucky and mode == "hang":
            time.sleep(600)
        if unlucky and mode == "garbage":
            sys.stdout.buffer.write(b"Traceback (most recent call last): no such device\n" * 40)
            sys.stdout.buffer.flush()
            time.sleep(600)
        answer = reference.gradients(case)
        if mode == "weight" or (unlucky and mode == "shape"):
            answer = tampered(mode, case, answer)
        sys.stdout.buffer.write(write_gradients(case.id, answer, ABOUT))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
