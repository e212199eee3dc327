"""Stand-alone programs: a case in a framework's own idiom, without gradparity, as one pastes it into a bug report.

What the functions are called here is what the adapters judge, written out; tests/test_script.py holds the programs
against the adapters, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..reference.network import Array, Case, Layer

#: Beyond so many numbers a program is no longer something to paste.
MOST_NUMBERS = 10_000


class ScriptError(ValueError):
    """A case of which no program can be made; the message is one sentence."""


@dataclass(frozen=True)
class Idiom:
    """How one framework is written: σ of {z} with {alpha}, and C summed over everything, of {a}, y and {delta}."""

    name: str
    imports: str
    array: str
    activations: Mapping[str, str]
    costs: Mapping[str, str]


_PLAIN = ("sigmoid", "tanh", "relu", "relu6", "selu", "silu")

TORCH = Idiom(
    "torch",
    "import torch\nimport torch.nn.functional as F",
    "torch.tensor({values}, dtype=torch.{precision})",
    {
        "identity": "{z}", "sigmoid": "torch.sigmoid({z})", "tanh": "torch.tanh({z})",
        **{name: f"F.{name}({{z}})" for name in ("relu", "relu6", "selu", "gelu", "silu", "mish", "softplus",
                                                "softsign", "hardtanh", "hardsigmoid", "hardswish")},
        **{name: f"F.{name}({{z}}, {{alpha}})" for name in ("leaky_relu", "elu", "celu")},
        "gelu_tanh": "F.gelu({z}, approximate='tanh')", "log_sigmoid": "F.logsigmoid({z})",
        "softmax": "F.softmax({z}, dim=-1)", "log_softmax": "F.log_softmax({z}, dim=-1)",
    },
    {
        "half_squared_error": "0.5 * F.mse_loss({a}, y, reduction='sum')",
        "squared_error": "F.mse_loss({a}, y, reduction='sum')",
        "absolute_error": "F.l1_loss({a}, y, reduction='sum')",
        "huber": "F.huber_loss({a}, y, reduction='sum', delta={delta})",
        "log_cosh": "(torch.logaddexp({a} - y, y - {a}) - math.log(2.0)).sum()",
        "hinge": "F.relu(1 - y * {a}).sum()",
        "squared_hinge": "F.relu(1 - y * {a}).square().sum()",
        "binary_cross_entropy": "F.binary_cross_entropy({a}, y, reduction='sum')",
        "binary_cross_entropy_with_logits": "F.binary_cross_entropy_with_logits({a}, y, reduction='sum')",
        "cross_entropy": "-(y * torch.log(torch.where(y == 0, 1.0, {a}))).sum()",
        "softmax_cross_entropy": "F.cross_entropy({a}, y, reduction='sum')",
        "negative_log_likelihood": "-(y * {a}).sum()",
        "kl_divergence": "F.kl_div({a}, y, reduction='sum')",
        "poisson": "F.poisson_nll_loss({a}, y, log_input=True, full=False, reduction='sum')",
    },
)  # fmt: skip

TENSORFLOW = Idiom(
    "tensorflow",
    "import tensorflow as tf",
    "tf.constant({values}, tf.{precision})",
    {
        "identity": "tf.identity({z})",
        **{name: f"tf.nn.{name}({{z}})" for name in (*_PLAIN, "softplus", "softsign", "softmax", "log_softmax")},
        "leaky_relu": "tf.nn.leaky_relu({z}, {alpha})",
        "elu": "tf.where({z} > 0, {z}, {alpha} * tf.nn.elu({z}))",
        "celu": "tf.where({z} > 0, {z}, {alpha} * tf.nn.elu({z} / {alpha}))",
        "gelu": "tf.nn.gelu({z})", "gelu_tanh": "tf.nn.gelu({z}, approximate=True)",
        "mish": "{z} * tf.nn.tanh(tf.nn.softplus({z}))",
        "hardtanh": "tf.clip_by_value({z}, -1.0, 1.0)",
        "hardsigmoid": "tf.nn.relu6({z} + 3.0) / 6.0", "hardswish": "{z} * tf.nn.relu6({z} + 3.0) / 6.0",
        "log_sigmoid": "tf.math.log_sigmoid({z})",
    },
    {
        "half_squared_error": "tf.nn.l2_loss({a} - y)",
        "squared_error": "tf.reduce_sum(tf.math.squared_difference({a}, y))",
        "absolute_error": "tf.reduce_sum(tf.abs({a} - y))",
        "huber": "tf.reduce_sum(0.5 * tf.square(tf.minimum(tf.abs({a} - y), {delta}))"
                 " + {delta} * (tf.abs({a} - y) - tf.minimum(tf.abs({a} - y), {delta})))",
        "log_cosh": "tf.reduce_sum(({a} - y) + tf.nn.softplus(-2.0 * ({a} - y)) - math.log(2.0))",
        "hinge": "tf.reduce_sum(tf.maximum(1.0 - y * {a}, 0.0))",
        "squared_hinge": "tf.reduce_sum(tf.square(tf.maximum(1.0 - y * {a}, 0.0)))",
        "binary_cross_entropy": "tf.reduce_sum(-tf.math.xlogy(y, {a}) - tf.math.xlog1py(1.0 - y, -{a}))",
        "binary_cross_entropy_with_logits":
            "tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits={a}))",
        "cross_entropy": "tf.reduce_sum(-tf.math.xlogy(y, {a}))",
        "softmax_cross_entropy": "tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits={a}))",
        "negative_log_likelihood": "tf.reduce_sum(-y * {a})",
        "kl_divergence": "tf.reduce_sum(y * (tf.math.log(tf.where(y == 0, tf.ones_like(y), y)) - {a}))",
        "poisson": "tf.reduce_sum(tf.nn.log_poisson_loss(targets=y, log_input={a}))",
    },
)  # fmt: skip

JAX = Idiom(
    "jax",
    "import jax\nimport jax.numpy as jnp\n\njax.config.update('jax_enable_x64', True)",
    "jnp.array({values}, jnp.{precision})",
    {
        "identity": "{z}", "tanh": "jnp.tanh({z})",
        **{name: f"jax.nn.{name}({{z}})" for name in ("sigmoid", "relu", "relu6", "selu", "silu", "mish", "softplus",
                                                     "log_sigmoid", "softmax", "log_softmax")},
        **{name: f"jax.nn.{name}({{z}}, {{alpha}})" for name in ("leaky_relu", "elu", "celu")},
        "gelu": "jax.nn.gelu({z}, approximate=False)", "gelu_tanh": "jax.nn.gelu({z})",
        "softsign": "jax.nn.soft_sign({z})", "hardtanh": "jax.nn.hard_tanh({z})",
        "hardsigmoid": "jax.nn.hard_sigmoid({z})", "hardswish": "jax.nn.hard_swish({z})",
    },
    {
        "half_squared_error": "jnp.sum(0.5 * jnp.square({a} - y))",
        "squared_error": "jnp.sum(jnp.square({a} - y))",
        "absolute_error": "jnp.sum(jnp.abs({a} - y))",
        "huber": "jnp.sum(0.5 * jnp.minimum(jnp.abs({a} - y), {delta})**2"
                 " + {delta} * (jnp.abs({a} - y) - jnp.minimum(jnp.abs({a} - y), {delta})))",
        "log_cosh": "jnp.sum(jnp.logaddexp({a} - y, y - {a}) - math.log(2.0))",
        "hinge": "jnp.sum(jnp.maximum(0, 1 - y * {a}))",
        "squared_hinge": "jnp.sum(jnp.square(jnp.maximum(0, 1 - y * {a})))",
        "binary_cross_entropy": "jnp.sum(-(y * jnp.log(jnp.where(y == 0, 1.0, {a}))"
                                " + (1 - y) * jnp.log1p(-jnp.where(y == 1, 0.0, {a}))))",
        "binary_cross_entropy_with_logits":
            "jnp.sum(-y * jax.nn.log_sigmoid({a}) - (1 - y) * jax.nn.log_sigmoid(-{a}))",
        "cross_entropy": "jnp.sum(-(y * jnp.log(jnp.where(y == 0, 1.0, {a}))))",
        "softmax_cross_entropy": "jnp.sum(-y * jax.nn.log_softmax({a}))",
        "negative_log_likelihood": "jnp.sum(-y * {a})",
        "kl_divergence": "jnp.sum(y * (jnp.log(jnp.where(y == 0, 1.0, y)) - {a}))",
        "poisson": "jnp.sum(jnp.exp({a}) - y * {a})",
    },
)  # fmt: skip

IDIOMS = {idiom.name: idiom for idiom in (TORCH, TENSORFLOW, JAX)}


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
    def literal(array: Array) -> str:
        values = repr(np.asarray(array, np.float64).tolist())
        return idiom.array.format(values=values, precision=case.precision)

    arrays = [f"{name} = {literal(array)}" for name, array in case.tensors().items()]
    lines = [f"# {line}" for line in why.splitlines()]
    if case.architecture.cost.name == "log_cosh":
        lines.append("import math")
    if not all(np.isfinite(array).all() for array in case.tensors().values()):
        arrays.insert(0, "nan, inf = float('nan'), float('inf')")
    return [*lines, *idiom.imports.split("\n"), "", *arrays, ""]


def _sigma(idiom: Idiom, layer: Layer, z: str) -> str:
    return idiom.activations[layer.activation].format(z=z, alpha=layer.alpha)


def _cost(case: Case, idiom: Idiom) -> str:
    network = case.architecture
    total = idiom.costs[network.cost.name].format(a=f"a{network.depth}", delta=network.cost.delta)
    return f"({total}) / {case.batch}" if network.reduction == "mean" else total


def _names(case: Case, *kinds: str) -> str:
    """Name arrays of every layer: ``W1, W2, b1, b2`` for W and b."""
    return ", ".join(f"{kind}{l}" for kind in kinds for l in range(1, case.architecture.depth + 1))


def _torch(case: Case, idiom: Idiom) -> list[str]:
    lines = [f"for parameter in ({_names(case, 'W', 'b')}):", "    parameter.requires_grad_()"]
    for l, layer in enumerate(case.architecture.layers, start=1):
        lines.append(f"z{l} = F.linear({f'a{l - 1}' if l > 1 else 'x'}, W{l}, b{l})")
        lines.append(f"a{l} = {_sigma(idiom, layer, f'z{l}')}")
    asked = _names(case, "W", "b", "z")
    return [
        *lines,
        f"cost = {_cost(case, idiom)}",
        f"{_names(case, 'dW', 'db', 'delta')} = torch.autograd.grad(cost, [{asked}])",
    ]


def _tensorflow(case: Case, idiom: Idiom) -> list[str]:
    lines = ["with tf.GradientTape() as tape:", f"    tape.watch([{_names(case, 'W', 'b')}])"]
    for l, layer in enumerate(case.architecture.layers, start=1):
        before = f"a{l - 1}" if l > 1 else "x"
        lines.append(f"    z{l} = tf.matmul({before}, W{l}, transpose_b=True) + b{l}")
        lines.append(f"    a{l} = {_sigma(idiom, layer, f'z{l}')}")
    asked = _names(case, "W", "b", "z")
    return [
        *lines,
        f"    cost = {_cost(case, idiom)}",
        f"{_names(case, 'dW', 'db', 'delta')} = tape.gradient(cost, [{asked}])",
    ]


def _jax(case: Case, idiom: Idiom) -> list[str]:
    lines = [f"def forward({_names(case, 'W', 'b', 'shift')}):"]
    for l, layer in enumerate(case.architecture.layers, start=1):
        lines.append(f"    z{l} = {f'a{l - 1}' if l > 1 else 'x'} @ W{l}.T + b{l} + shift{l}")
        lines.append(f"    a{l} = {_sigma(idiom, layer, f'z{l}')}")
    L = range(1, case.architecture.depth + 1)
    zeros = ", ".join(f"jnp.zeros((len(x), len(b{l})), x.dtype)" for l in L)
    forward = _names(case, "z", "a")
    return [
        *lines,
        f"    return {_cost(case, idiom)}, ({forward})",
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
