"""The reference itself as an implementation: the four equations on plain NumPy arrays of the case's precision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import __version__
from ..reference.backprop import backprop
from ..reference.network import ACTIVATIONS, COSTS, Case, Gradients


class Reference:
    """Answers with reference/backprop.py."""

    name = "reference"
    version = __version__
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        with np.errstate(all="ignore"):
            answer = backprop(case.architecture, case.parameters, case.x, case.y)
        arrays = {name: np.asarray(array, case.dtype) for name, array in answer.tensors().items()}
        return Gradients.from_tensors(arrays, case)

    def functions(self) -> Mapping[str, str]:
        """Every activation and cost is the reference's own."""
        return {name: f"gradparity.reference ({name})" for name in (*ACTIVATIONS, *COSTS)}


MODES = ("",)


def load(mode: str) -> Reference:
    """Give the reference; it has one mode."""
    return Reference()
