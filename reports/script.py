"""Stand-alone programs: a case in a framework's own idiom, without gradparity, as one pastes it into a bug report.

The functions are written as in ``adapters/idioms``, from which the adapters compile what they judge.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..adapters.idioms.jax import JAX
from ..adapters.idioms.tensorflow import TENSORFLOW
from ..adapters.idioms.torch import TORCH
from ..adapters.rows import Idiom, Text
from ..reference.network import Array, Case

#: Beyond so many numbers a program is no longer something to paste.
MOST_NUMBERS = 10_000

IDIOMS = {"torch": TORCH, "tensorflow": TENSORFLOW, "jax": JAX}


class ScriptError(ValueError):
    """A case of which no program can be made; the message is one sentence."""


def script(
    case: Case, framework: str, wanted: Iterable[tuple[str, tuple[int, ...], str]], why: str = ""
) -> str:
    """Write the program: it prints the components that are wanted (array, index) beside what is exact.

    ``why`` is put at the top, for a person. Raises ScriptError where the case is too large to be pasted.
    """
    if sum(array.size for array in case.tensors().values()) > MOST_NUMBERS:
        raise ScriptError("the case is too large for a program that one pastes; replay its minimal case")
    idiom = IDIOMS[framework]
    return "\n".join([*_head(case, idiom, why), *_BODIES[framework](case, idiom), *_printed(wanted), ""])


def _head(case: Case, idiom: Idiom, why: str) -> list[str]:
    texts = [*_activations(case, idiom), _cost(case, idiom)]
    lines = [f"# {line}" for line in why.splitlines()]
    if any("math" in text.names for text in texts):
        lines.append("import math")
    for name, module in idiom.modules.items():
        lines.append(f"import {module}" if name == module else f"import {module} as {name}")
    if idiom.setting:
        lines += ["", idiom.setting]
    for definition in dict.fromkeys(text.definition for text in texts if text.defines):
        lines += ["", definition]
    return [*lines, "", *_tensors(case, idiom), ""]


def _tensors(case: Case, idiom: Idiom) -> list[str]:
    tensors = case.tensors()
    classes = _classes(case, idiom)
    lines = []
    if not all(np.isfinite(array).all() for array in tensors.values()):
        lines.append("nan, inf = float('nan'), float('inf')")
    for name, array in tensors.items():
        if name == "y" and classes is not None:
            literal = idiom.array.format(values=classes.tolist(), precision=classes.dtype)
        else:
            literal = idiom.array.format(
                values=np.asarray(array, np.float64).tolist(), precision=case.precision
            )
        lines.append(f"{name} = {literal}")
    return lines


def _classes(case: Case, idiom: Idiom) -> Array | None:
    return idiom.rows[case.architecture.cost.name].classes_of(case.y)


def _activations(case: Case, idiom: Idiom) -> list[Text]:
    return [idiom.text(layer.activation) for layer in case.architecture.layers]


def _cost(case: Case, idiom: Idiom) -> Text:
    return idiom.text(case.architecture.cost.name, of_classes=_classes(case, idiom) is not None)


def _forward(case: Case, idiom: Idiom, z: str) -> list[str]:
    """Write down every layer, whose z is in terms of {before}, which is x or a of the layer before, and {l}."""
    lines = []
    for l, (layer, text) in enumerate(
        zip(case.architecture.layers, _activations(case, idiom), strict=True), start=1
    ):
        before = f"a{l - 1}" if l > 1 else "x"
        lines.append(f"z{l} = {z.format(before=before, l=l)}")
        lines.append(f"a{l} = {text.applied([f'z{l}', *map(repr, layer.parameters)])}")
    return lines


def _total(case: Case, idiom: Idiom) -> str:
    """Write down the cost of the batch."""
    network = case.architecture
    values = [f"a{network.depth}", "y", *map(repr, network.cost.parameters)]
    total = _cost(case, idiom).applied(values)
    return f"({total}) / {case.batch}" if network.reduction == "mean" else total


def _names(case: Case, *kinds: str) -> str:
    """Name arrays of every layer: ``W1, W2, b1, b2`` for W and b."""
    return ", ".join(f"{kind}{l}" for kind in kinds for l in range(1, case.architecture.depth + 1))


def _torch(case: Case, idiom: Idiom) -> list[str]:
    return [
        f"for parameter in ({_names(case, 'W', 'b')}):",
        "    parameter.requires_grad_()",
        *_forward(case, idiom, "F.linear({before}, W{l}, b{l})"),
        f"cost = {_total(case, idiom)}",
        f"{_names(case, 'dW', 'db', 'delta')} = torch.autograd.grad(cost, [{_names(case, 'W', 'b', 'z')}])",
    ]


def _tensorflow(case: Case, idiom: Idiom) -> list[str]:
    recorded = [
        f"tape.watch([{_names(case, 'W', 'b')}])",
        *_forward(case, idiom, "tf.matmul({before}, W{l}, transpose_b=True) + b{l}"),
        f"cost = {_total(case, idiom)}",
    ]
    return [
        "with tf.GradientTape() as tape:",
        *(f"    {line}" for line in recorded),
        f"{_names(case, 'dW', 'db', 'delta')} = tape.gradient(cost, [{_names(case, 'W', 'b', 'z')}])",
    ]


def _jax(case: Case, idiom: Idiom) -> list[str]:
    L = range(1, case.architecture.depth + 1)
    zeros = ", ".join(f"jnp.zeros((len(x), len(b{l})), x.dtype)" for l in L)
    forward = _names(case, "z", "a")
    return [
        f"def forward({_names(case, 'W', 'b', 'shift')}):",
        *(f"    {line}" for line in _forward(case, idiom, "{before} @ W{l}.T + b{l} + shift{l}")),
        f"    return {_total(case, idiom)}, ({forward})",
        "",
        f"gradient = jax.jit(jax.value_and_grad(forward, argnums={tuple(range(3 * len(L)))}, has_aux=True))",
        f"(cost, ({forward})), ({_names(case, 'dW', 'db', 'delta')}) = gradient({_names(case, 'W', 'b')}, {zeros})",
    ]


_BODIES = {"torch": _torch, "tensorflow": _tensorflow, "jax": _jax}


def _printed(wanted: Iterable[tuple[str, tuple[int, ...], str]]) -> list[str]:
    lines = [""]
    for name, index, exact in wanted:
        place = f"[{', '.join(map(str, index))}]" if index else ""
        lines.append(f"print('{name}{place} =', float({name}{place}), 'and exactly', '{exact}')")
    return lines
