"""Measure each platform's elementary functions against arbitrary precision, in units of u.

The table K in reference/rounding/model.py rests on this. Run it with

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
import numpy as np
from gradparity.reference import elementary
from gradparity.reference.rounding.model import K
from rich.console import Console
from rich.table import Table

#: Arguments: signs, and the binary exponents between which their magnitudes are spread evenly. The largest keep
#: every result finite and normal in both precisions; float32 takes a part of them.
RANGES: dict[str, tuple[tuple[int, ...], float, float, float]] = {
    # function: signs, smallest exponent, largest for float32, largest for float64
    "exp": ((-1, 1), -30, 6.3, 9.4),
    "log": ((1,), -120, 120, 1000),
    "log1p": ((-1, 1), -120, 120, 1000),
    "expm1": ((-1, 1), -120, 6.3, 9.4),
    "tanh": ((-1, 1), -120, 5, 6),
    "sigmoid": ((-1, 1), -30, 6.3, 9.4),
    "erf": ((-1, 1), -120, 3, 3.5),
    "ndtr": ((1,), -30, 3, 3.5),  # through gelu(x) / x, since a kernel may compute both at once
}
FRAMEWORKS = ("numpy", "torch", "tensorflow", "jax")


def arguments(function: str, precision: str, samples: int) -> np.ndarray[Any, Any]:
    """Spread arguments over the range, a third of them within [-1, 1] evenly, where formulas change."""
    rng = np.random.default_rng(0)
    signs, smallest, largest32, largest64 = RANGES[function]
    largest = largest32 if precision == "float32" else largest64
    spread = rng.choice(signs, samples) * 2.0 ** rng.uniform(smallest, largest, samples)
    even = rng.uniform(-1 if -1 in signs else 2.0**-20, 1, samples // 2)
    x = np.concatenate([spread, even])
    return (x[x > -1] if function == "log1p" else x).astype(precision)


def _functions(framework: str) -> dict[str, Callable[[Any], Any]]:
    if framework == "numpy":
        return {name: getattr(elementary, name) for name in RANGES}  # ndtr is one of them
    if framework == "torch":
        import torch

        def through_torch(name: str) -> Callable[[Any], Any]:
            return lambda x: getattr(torch, name)(torch.from_numpy(x)).numpy()

        def torch_gelu(x: Any) -> Any:
            return torch.nn.functional.gelu(torch.from_numpy(x)).numpy() / x

        return {name: through_torch(name) for name in RANGES if name != "ndtr"} | {"ndtr": torch_gelu}
    if framework == "tensorflow":
        import tensorflow as tf

        def through_tensorflow(name: str) -> Callable[[Any], Any]:
            return lambda x: getattr(tf.math, name)(tf.constant(x)).numpy()

        def tensorflow_gelu(x: Any) -> Any:
            return tf.nn.gelu(tf.constant(x)).numpy() / x

        return {name: through_tensorflow(name) for name in RANGES if name != "ndtr"} | {
            "ndtr": tensorflow_gelu
        }
    import jax
    import jax.numpy as jnp
    import jax.scipy.special

    jax.config.update("jax_enable_x64", True)
    homes = {"sigmoid": jax.nn, "erf": jax.scipy.special}

    def jax_gelu(x: Any) -> Any:
        return np.asarray(jax.jit(lambda v: jax.nn.gelu(v, approximate=False))(x)) / x

    def through_jax(name: str) -> Callable[[Any], Any]:
        function = jax.jit(getattr(homes.get(name, jnp), name))
        return lambda x: np.asarray(function(x))

    return {name: through_jax(name) for name in RANGES if name != "ndtr"} | {"ndtr": jax_gelu}


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
    for precision in ("float32", "float64"):
        u = float(np.finfo(precision).eps) / 2
        for name, function in functions.items():
            x = arguments(name, precision, samples)
            with np.errstate(all="ignore"):
                computed = np.asarray(function(x), np.float64)
            errors = np.zeros(len(x))
            for i, (argument, result) in enumerate(zip(x, computed, strict=True)):
                exact = _exact(name, argument)
                if abs(float(exact)) >= float(np.finfo(precision).smallest_normal):
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
    """Measure every framework in a process of its own, print the table, write the JSON."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    results = []
    for framework in FRAMEWORKS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results += pool.apply(measure, (framework, samples))
    table = Table("function", "K", *(f"{f} {p}" for p in ("float32", "float64") for f in FRAMEWORKS))
    for name in RANGES:
        cells = [
            f"{r['units_of_u']:.1f}"
            for precision in ("float32", "float64")
            for framework in FRAMEWORKS
            for r in results
            if (r["framework"], r["precision"], r["function"]) == (framework, precision, name)
        ]
        table.add_row(name, str(K[name]), *cells)
    Console(width=140).print(table)
    versions = {name: metadata.version(name) for name in FRAMEWORKS}
    content = {"machine": platform.machine(), "versions": versions, "K": K, "results": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
