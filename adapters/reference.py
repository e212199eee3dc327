"""The reference itself as an implementation: the four equations on NumPy arrays of the case's precision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from .. import __version__
from ..reference.backprop import flow, named
from ..reference.network import ACTIVATIONS, COSTS, Array, Case, Gradients
from ..reference.steps import Flow


class Rounded(np.ndarray[Any, Any]):
    """An array of bfloat16 or float16, whose every operation is computed in float32 and rounded once, at the end.

    So a matrix product or a sum is one operation, as it is in the frameworks; NumPy's own would round every term.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Compute, and round."""
        widened = [x.astype(np.float32).view(np.ndarray) if isinstance(x, Rounded) else x for x in inputs]
        return self._rounded(getattr(ufunc, method)(*widened, **kwargs))

    def __array_function__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Stay what it is where NumPy's functions, such as ``where``, would give a plain array."""
        return self._rounded(super().__array_function__(function, *arguments))

    def _rounded(self, result: Any) -> Any:
        computed = isinstance(result, np.ndarray | np.floating) and result.dtype != bool
        return np.asarray(result).astype(self.dtype).view(Rounded) if computed else result


def in_its_precision(array: Array) -> Array:
    """Give an array that computes as the frameworks say they do in its precision."""
    return array.view(Rounded) if array.dtype.itemsize < 4 else array


def answered(steps: Flow, case: Case, withheld: Collection[str] = ()) -> Gradients:
    """Run steps on plain arrays of the case's precision; the answer lacks the kinds of arrays that are ``withheld``.

    Raises ValueError where the steps give a wrong shape.
    """
    given = named(case.parameters, case.x, case.y)
    with np.errstate(all="ignore"):
        found = steps.run({name: in_its_precision(array) for name, array in given.items()})
    arrays: dict[str, Array] = {
        name: np.asarray(found[name], case.dtype) for name in steps.answered if name.kind not in withheld
    }
    return Gradients.from_tensors(arrays, case)


class Reference:
    """Answers with reference/backprop.py."""

    name = "reference"
    version = __version__
    language = "Python"

    def gradients(self, case: Case) -> Gradients:
        """Answer a case in its own precision."""
        return answered(flow(case.architecture, case.batch), case)

    def functions(self) -> Mapping[str, str]:
        """Every activation and cost is the reference's own."""
        return {name: f"gradparity.reference ({name})" for name in (*ACTIVATIONS, *COSTS)}


def load(mode: str) -> Reference:
    """Give the reference; it has one mode."""
    return Reference()
