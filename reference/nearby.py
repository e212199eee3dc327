"""Nearby: the reference's own answer to a wide case, whose matrix products serve every answer that is close to it.

A link of an honest answer multiplies numbers A and B that differ from the reference's A₀ and B₀ by rounding only, and

    A B = A₀ B₀ + (A - A₀) B + A₀ (B - B₀),

of which the last two are small: by Cauchy and Schwarz no component of a product is larger than the norms of a row and a
column multiplied (rounding/given.py). So the reference takes its products once for a case, and an answer that is
judged by them takes none. One that is not close, a wrong one above all, is judged by products of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .backprop import flow, named
from .network import Array
from .rounding.model import Model
from .stack import Stack


@dataclass(frozen=True)
class Near:
    """An array of the reference's own answer, and what it made of it.

    ``product`` is that of the array with what the next link multiplies it by, and ``turned`` that of its transpose:
    a^l (W^{l+1})^T; δ^l W^l and (δ^l)^T a^{l-1}.
    """

    array: Array
    product: Array | None = None
    turned: Array | None = None

    @property
    def mT(self) -> Near:
        """The transpose of every matrix."""
        return Near(self.array.mT, self.turned)


def nearby(stack: Stack, arithmetic: Model) -> dict[str, Near]:
    """Answer a stack of cases in the precision of the midpoints; return what is multiplied there, with its products."""
    steps, given = flow(stack.architecture, stack.batch), named(stack.parameters, stack.x, stack.y)
    with np.errstate(all="ignore"):
        known = steps.run(
            {name: array.astype(arithmetic.midpoint, copy=False) for name, array in given.items()}
        )
    products = [step for step in steps.values() if step.makes.kind in ("p", "said", "dW")]
    factors = {name for step in products for name in step.takes if name.kind != "W"}
    found: dict[str, Near] = {name: Near(known[name]) for name in factors}
    for step in products:
        first, made = step.takes[0], known[step.makes]
        turned = step.makes.kind == "dW"
        found[first] = replace(found[first], **{"turned" if turned else "product": made})
    return found
