"""The names of arrays: what a^2, δ^3 or ∂C/∂W^1 is called, in documents and within the reference.

A name is a kind, a layer and, for what one reader says of a number, that reader; nothing ever takes its text apart.

    given      x, y             the batch; x is a^0
               W, b             a layer's parameters
    answered   z, a             weighted inputs and activations
               cost             C
               delta, db, dW    δ^l, ∂C/∂b^l and ∂C/∂W^l
    inner      p                the product a^{l-1} (W^l)^T, before b^l is added
               total, nabla     C and ∇_a C as a sum over the batch, before it is divided by m
               said             δ^k W^k: what layer k, which reads a^l, says of it
               g                ∂C/∂a^l: ∇_a C, or the sum of what is said
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

#: The kinds of arrays that an answer may hold.
ANSWERED = frozenset({"z", "a", "cost", "delta", "db", "dW"})

#: What the axes of an answered array count.
AXES: dict[str, tuple[str, ...]] = {
    "z": ("example", "neuron"), "a": ("example", "neuron"), "delta": ("example", "neuron"),
    "db": ("neuron",), "dW": ("neuron", "input"), "cost": (),
}  # fmt: skip

#: The kinds of arrays that everybody is given. x, which is a^0, is the name of its own.
GIVEN = frozenset({"x", "y", "W", "b"})

#: The kinds that a link is computed from; all others are inner.
SUPPLIED = ANSWERED | GIVEN


class Name(str):
    """The name of one array, as documents write it: its kind, its layer l (0 for x and y), and its reader if any."""

    __slots__ = ("kind", "layer", "reader")

    kind: str
    layer: int
    reader: int | None

    def __new__(cls, kind: str, layer: int, reader: int | None = None) -> Name:
        """Write the name; the batch and the cost have no number, since there is one of each."""
        text = kind if kind in ("x", "y", "cost") else f"{kind}{layer}"
        made = super().__new__(cls, text if reader is None else f"{text} by {reader}")
        made.kind, made.layer, made.reader = kind, layer, reader
        return made

    def __reduce__(self) -> tuple[Callable[..., Name], tuple[str, int, int | None]]:
        return Name, (self.kind, self.layer, self.reader)


name = lru_cache(maxsize=4096)(Name)

W, b, p, z = (partial(name, kind) for kind in ("W", "b", "p", "z"))
total, nabla, g, said = (partial(name, kind) for kind in ("total", "nabla", "g", "said"))
delta, db, dW = (partial(name, kind) for kind in ("delta", "db", "dW"))
X, Y = Name("x", 0), Name("y", 0)


def a(l: int) -> Name:
    """Name the activations a^l; a^0 is x."""
    return name("a", l) if l else X


def cost(L: int) -> Name:
    """Name the cost, which belongs to the last layer."""
    return name("cost", L)
