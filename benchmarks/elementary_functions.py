"""Measure each platform's elementary functions against arbitrary precision, in units of u.

The tables K and K_LOW and ROOT_ROUNDINGS in reference/rounding/model.py rest on this. Run it with

    python benchmarks/elementary_functions.py [SAMPLES]

It prints the largest error of every function, framework and precision, with the argument where it was found,
and writes elementary_functions.json beside itself.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import flint
import ml_dtypes
import numpy as np
from gradparity.adapters.reference import Rounded
from gradparity.reference import elementary
from gradparity.reference.network import DTYPES, Array
from gradparity.reference.rounding.model import ROOT_ROUNDINGS, model
from rich.console import Console
from rich.table import Table

#: Arguments: signs, the smallest binary exponent of their magnitudes, and the largest, which keeps every result finite
#: and normal: in float16, in float32 and bfloat16, which have the same range, and in float64.
RANGES: dict[str, tuple[tuple[int, ...], float, tuple[float, float, float]]] = {
    "exp": ((-1, 1), -30, (3.2, 6.3, 9.4)),
    "log": ((1,), -120, (15, 120, 1000)),
    "sqrt": ((1,), -120, (15, 120, 1000)),
    "log1p": ((-1, 1), -120, (15, 120, 1000)),
    "expm1": ((-1, 1), -120, (3.2, 6.3, 9.4)),
    "tanh": ((-1, 1), -120, (5, 5, 6)),
    "sigmoid": ((-1, 1), -30, (3.2, 6.3, 9.4)),
    "erf": ((-1, 1), -120, (3, 3, 3.5)),
    "ndtr": ((1,), -13, (3, 3, 3.5)),  # through gelu(x) / x, since a kernel may compute both at once
}
RANGE_OF = {"float16": 0, "bfloat16": 1, "float32": 1, "float64": 2}
FRAMEWORKS = ("numpy", "torch", "tensorflow", "jax")


def arguments(function: str, precision: str, samples: int) -> Array:
    """Spread arguments over the range, a third of them within [-1, 1] evenly, where formulas change.

    In a precision of 16 bits, give all there are instead.
    """
    signs, smallest, largest = RANGES[function]
    most = largest[RANGE_OF[precision]]
    if DTYPES[precision].itemsize == 2:
        every = np.arange(2**16, dtype=np.uint16).view(DTYPES[precision])
        size = np.abs(every.astype(np.float64))
        wanted = (size >= max(2.0**smallest, float(ml_dtypes.finfo(every.dtype).smallest_subnormal))) & (
            size <= 2.0**most
        )
        x: Array = every[wanted & np.isin(np.sign(every.astype(np.float64)), signs)]
    else:
        rng = np.random.default_rng(0)
        spread = rng.choice(signs, samples) * 2.0 ** rng.uniform(smallest, most, samples)
        even = rng.uniform(-1 if -1 in signs else 2.0**-20, 1, samples // 2)
        x = np.concatenate([spread, even]).astype(precision)
    return x[x > -1] if function == "log1p" else x


def _functions(framework: str) -> dict[str, Callable[[Any], Any]]:
    """Give each function of a framework, of an array and to an array; ndtr is gelu(x) / x, of which gelu is judged."""
    if framework == "numpy":

        def through_numpy(name: str) -> Callable[[Any], Any]:  # as the reference computes
            function = getattr(elementary, name)
            return lambda x: np.asarray(function(x.view(Rounded) if x.dtype.itemsize == 2 else x))

        return {name: through_numpy(name) for name in RANGES}  # ndtr is one of them
    if framework == "torch":
        import torch
        from gradparity.adapters.torch import _array, _tensor

        def through_torch(name: str) -> Callable[[Any], Any]:
            return lambda x: _array(getattr(torch, name)(_tensor(x)))

        def torch_gelu(x: Any) -> Any:
            return _array(torch.nn.functional.gelu(_tensor(x))).astype(_wide(x)) / x.astype(_wide(x))

        return {name: through_torch(name) for name in RANGES if name != "ndtr"} | {"ndtr": torch_gelu}
    if framework == "tensorflow":
        import tensorflow as tf

        def through_tensorflow(name: str) -> Callable[[Any], Any]:
            return lambda x: getattr(tf.math, name)(tf.constant(x)).numpy()

        def tensorflow_gelu(x: Any) -> Any:
            return tf.nn.gelu(tf.constant(x)).numpy().astype(_wide(x)) / x.astype(_wide(x))

        return {name: through_tensorflow(name) for name in RANGES if name != "ndtr"} | {
            "ndtr": tensorflow_gelu
        }
    import jax
    import jax.numpy as jnp
    import jax.scipy.special

    jax.config.update("jax_enable_x64", True)
    homes = {"sigmoid": jax.nn, "erf": jax.scipy.special}

    def jax_gelu(x: Any) -> Any:
        gelu = jax.jit(lambda v: jax.nn.gelu(v, approximate=False))
        return np.asarray(gelu(x)).astype(_wide(x)) / x.astype(_wide(x))

    def through_jax(name: str) -> Callable[[Any], Any]:
        function = jax.jit(getattr(homes.get(name, jnp), name))
        return lambda x: np.asarray(function(x))

    return {name: through_jax(name) for name in RANGES if name != "ndtr"} | {"ndtr": jax_gelu}


def _wide(x: Array) -> np.dtype[Any]:
    """In which gelu is divided by x: what is measured is gelu, in units of its own precision."""
    return np.dtype(np.float64) if x.dtype.itemsize == 2 else x.dtype


def _exact(name: str, x: Any) -> Any:
    value = flint.arb(float(x))
    if name == "sigmoid":
        return 1 / (1 + (-value).exp())
    if name == "ndtr":
        return (1 + (value / flint.arb(2).sqrt()).erf()) / 2
    return getattr(value, name)()


def measure(framework: str, samples: int) -> list[dict[str, Any]]:
    """Give the largest error of each function in each precision, in units of u of the exact value."""
    flint.ctx.prec = 160
    functions, found = _functions(framework), []
    for precision, dtype in DTYPES.items():
        info = ml_dtypes.finfo(dtype)
        u = float(info.eps) / 2
        for name, function in functions.items():
            x = arguments(name, precision, samples)
            with np.errstate(all="ignore"):
                computed = np.asarray(function(x), np.float64)
            errors = np.zeros(len(x))
            for i, (argument, result) in enumerate(zip(x, computed, strict=True)):
                exact = _exact(name, argument)
                if abs(float(exact)) >= float(info.smallest_normal):
                    errors[i] = float(abs(flint.arb(float(result)) - exact) / (abs(exact) * u))
            worst = int(np.argmax(errors))
            found.append(
                {
                    "framework": framework,
                    "precision": precision,
                    "function": name,
                    "units_of_u": round(float(errors[worst]), 2),
                    "at": float(x[worst]),
                    "samples": len(x),
                }
            )
    return found


def main() -> None:
    """Measure every framework in a process of its own, print the tables, write the JSON."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    results = []
    for framework in FRAMEWORKS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results += pool.apply(measure, (framework, samples))
    for precision in DTYPES:
        allowed = {**model(precision).K, "sqrt": ROOT_ROUNDINGS}
        table = Table(precision, "K", *FRAMEWORKS)
        for name in RANGES:
            cells = [
                f"{r['units_of_u']:.1f}"
                for framework in FRAMEWORKS
                for r in results
                if (r["framework"], r["precision"], r["function"]) == (framework, precision, name)
            ]
            table.add_row(name, str(allowed[name]), *cells)
        Console(width=140).print(table)
    versions = {name: metadata.version(name) for name in FRAMEWORKS}
    tables = {precision: {**model(precision).K, "sqrt": ROOT_ROUNDINGS} for precision in DTYPES}
    content = {"machine": platform.machine(), "versions": versions, "K": tables, "results": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
