"""What gradient checkers detect, side by side: the same networks, the same faults, one process.

Run it with

    python benchmarks/detection.py [CASES]

Suspects are the faulty implementations of property_tests/faults and their twin, which is right; every checker holds
each of them against the same cases, with the defaults that its documentation shows. A checker that differentiates
numerically is given the suspect's own cost, so that a fault which the cost shares with its gradient is hidden from it.
Networks are small enough for the slowest. The smallest error is that of one component of ∂C/∂W, changed relatively in
an answer that was right. Times are in units of one gradient by the checker's own framework, on networks whose
functions are its own.

It prints three tables and writes detection.json beside itself.
"""

from __future__ import annotations

import json
import logging
import sys
import timeit
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
import tensorflow as tf
import torch
from gradparity import Architecture, Case, Cost, Gradients, Layer, Parameters, judge
from gradparity.adapters.reference import Reference
from gradparity.adapters.registry import load
from gradparity.property_tests.faults import FAULTS
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.property_tests.strategies import structure_at
from gradparity.tests.twin import Network
from jax.test_util import check_grads
from rich.console import Console
from rich.table import Table

Implementation = Callable[[Case], Gradients]

#: Networks that a numerical differentiation gets through in some 10 ms.
MOST_PARAMETERS, MOST_EXAMPLES = 80, 8


@dataclass(frozen=True)
class Checker:
    """A name, and whether it accuses an implementation of being wrong about a case."""

    name: str
    accuses: Callable[[Implementation, Case], bool]


def flat(case: Case) -> list[np.ndarray[Any, Any]]:
    return [*case.parameters.weights, *case.parameters.biases]


def run(implementation: Implementation, case: Case, parameters: Sequence[Any]) -> Gradients:
    """Ask about the same case with other parameters."""
    L = case.architecture.depth
    arrays = [np.ascontiguousarray(p, case.dtype) for p in parameters]
    asked = replace(case, parameters=Parameters(tuple(arrays[:L]), tuple(arrays[L:])))
    return Gradients.from_tensors(implementation(asked).tensors(), asked)


# ----------------------------------------------------------------------------------------------------- the checkers


def gradparity_accuses(implementation: Implementation, case: Case, chain: bool, own: bool) -> bool:
    answer = Gradients.from_tensors(implementation(case).tensors(), case)
    given = answer if own else Gradients(answer.dW, answer.db)
    return judge(case, given, chain=chain).verdict == "diverges"


class Suspect(torch.autograd.Function):  # type: ignore[misc]
    """An implementation as a function that PyTorch differentiates by asking it."""

    @staticmethod
    def forward(ctx: Any, ask: Callable[[Sequence[Any]], Gradients], *parameters: Any) -> Any:
        ctx.answer = ask([p.detach().numpy() for p in parameters])
        return torch.tensor(float(ctx.answer.cost), dtype=torch.float64)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        gradients = (*ctx.answer.dW, *ctx.answer.db)
        return None, *(upstream[0] * torch.tensor(np.array(g)) for g in gradients)


def gradcheck_accuses(implementation: Implementation, case: Case, fast: bool) -> bool:
    ask = partial(run, implementation, case)
    parameters = [torch.tensor(np.array(p), requires_grad=True) for p in flat(case)]
    function = partial(Suspect.apply, ask)
    return not torch.autograd.gradcheck(function, parameters, fast_mode=fast, raise_exception=False)


def check_grads_accuses(implementation: Implementation, case: Case) -> bool:
    ask = partial(run, implementation, case)
    parameters = [jax.numpy.asarray(p) for p in flat(case)]
    shapes = [jax.ShapeDtypeStruct(p.shape, p.dtype) for p in parameters]
    scalar = jax.ShapeDtypeStruct((), parameters[0].dtype)

    def cost(*given: Any) -> Any:
        return np.asarray(ask(given).cost, case.dtype)

    def gradients(*given: Any) -> Any:
        answer = ask(given)
        return [np.asarray(g) for g in (*answer.dW, *answer.db)]

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def suspect(*given: Any) -> Any:
        return jax.pure_callback(cost, scalar, *given)

    def forward(*given: Any) -> Any:
        return suspect(*given), given

    def backward(given: Any, upstream: Any) -> Any:
        return tuple(upstream * g for g in jax.pure_callback(gradients, shapes, *given))

    suspect.defvjp(forward, backward)
    try:
        check_grads(suspect, parameters, order=1, modes=("rev",))
    except AssertionError:
        return True
    return False


def compute_gradient_accuses(implementation: Implementation, case: Case) -> bool:
    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def suspect(*parameters: Any) -> Any:
        answer = run(implementation, case, [p.numpy() for p in parameters])

        def gradient(upstream: Any) -> Any:
            return [upstream * tf.constant(np.array(g)) for g in (*answer.dW, *answer.db)]

        return tf.constant(answer.cost), gradient

    theoretical, numerical = tf.test.compute_gradient(suspect, [tf.constant(p) for p in flat(case)])
    try:  # as its documentation shows
        tf.test.TestCase().assertAllClose(theoretical, numerical)
    except AssertionError:
        return True
    return False


def allclose_accuses(implementation: Implementation, case: Case, rtol: float) -> bool:
    answer = Gradients.from_tensors(implementation(case).tensors(), case)
    right = Reference().gradients(case)
    pairs = zip((*answer.dW, *answer.db), (*right.dW, *right.db), strict=True)
    return not all(np.allclose(one, other, rtol=rtol) for one, other in pairs)


CHECKERS = [
    Checker("gradparity", partial(gradparity_accuses, chain=True, own=True)),
    Checker("gradparity, links", partial(gradparity_accuses, chain=False, own=True)),
    Checker("gradparity, dW and db only", partial(gradparity_accuses, chain=True, own=False)),
    Checker("torch gradcheck, slow", partial(gradcheck_accuses, fast=False)),
    Checker("torch gradcheck, fast", partial(gradcheck_accuses, fast=True)),
    Checker("jax check_grads", check_grads_accuses),
    Checker("tf compute_gradient", compute_gradient_accuses),
    Checker("numpy allclose, rtol 1e-5", partial(allclose_accuses, rtol=1e-5)),
    Checker("numpy allclose, rtol 1e-4", partial(allclose_accuses, rtol=1e-4)),
]


def accuses(checker: Checker, implementation: Implementation, case: Case) -> bool:
    """A crash of the suspect, as where shapes do not fit, is as good as an accusation."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return checker.accuses(implementation, case)
    except Exception:
        return True


# ------------------------------------------------------------------------------------------------- what they detect


def small_cases(precision: str) -> Iterator[Case]:
    """Draw a campaign's own structures, and keep two cases of each that is small."""
    for index in count():
        structure = structure_at(0, index)
        if structure.batch <= MOST_EXAMPLES:
            for one in islice(structure.cases(precision), 2):
                if sum(p.size for p in flat(one)) <= MOST_PARAMETERS:
                    yield one


def caught(checker: Checker, cases: Sequence[Case]) -> list[str]:
    """Name the faults that the checker finds on some case, of those on which it does not accuse the twin as well."""
    found = []
    for fault in FAULTS:
        suspect = fault.implementation()
        if any(accuses(checker, suspect, one) for one in cases):
            found.append(str(fault))
    return found


def innocent(checker: Checker, cases: Sequence[Case]) -> list[Case]:
    """Give the cases on which the twin, which is right, is not accused."""
    return [one for one in cases if not accuses(checker, Network(), one)]


def off_by(error: float, layer: int, index: tuple[int, int], case: Case) -> Gradients:
    """Answer rightly but for one component of ∂C/∂W."""
    answer = Network()(case)
    dW = [np.array(array) for array in answer.dW]
    dW[layer][index] *= 1 + error
    return replace(answer, dW=dW)


def smallest_error(checker: Checker, case: Case, seed: int) -> float:
    """Find the smallest power of 10^½ by which a random component may be off and be caught."""
    rng = np.random.default_rng(seed)
    layer = int(rng.integers(case.architecture.depth))
    shape = case.parameters.weights[layer].shape
    index = (int(rng.integers(shape[0])), int(rng.integers(shape[1])))
    low, high = 0, 36  # half decades below 1: the first is caught, the last is below any rounding
    while high - low > 1:
        middle = (low + high) // 2
        if accuses(checker, partial(off_by, 10 ** (-middle / 2), layer, index), case):
            low = middle
        else:
            high = middle
    return float(10 ** (-low / 2))


def ordinary(precision: str, seed: int) -> Case:
    """A network as after its initialisation, with no kinks for a numerical differentiation to trip over."""
    rng = np.random.default_rng(seed)
    names = ("tanh", "sigmoid", "softplus", "gelu", "silu")
    layers = tuple(Layer(int(rng.integers(2, 5)), str(rng.choice(names))) for _ in range(3))
    network = Architecture(3, layers, Cost("half_squared_error"))
    return case(network, 4, BY_NAME["ordinary"], seed, precision)


# ------------------------------------------------------------------------------------------------- what they cost


def seconds(function: Callable[[], object]) -> float:
    """The fastest of several: whatever else the machine does can only make it slower."""
    number = max(1, int(0.2 / max(timeit.timeit(function, number=1), 1e-6)))
    return min(timeit.repeat(function, number=number, repeat=3)) / number


def sigmoid_network(width: int) -> Case:
    network = Architecture(width, (Layer(width, "sigmoid"),) * 3, Cost("half_squared_error"))
    return case(network, 8, BY_NAME["ordinary"], 0, "float64")


def _forward(module: Any, sigmoid: Any, x: Any, y: Any, weights: Sequence[Any], biases: Sequence[Any]) -> Any:
    a = x
    for W, b in zip(weights, biases, strict=True):
        a = sigmoid(a @ module.transpose(W) + b)
    return ((a - y) ** 2).sum() / (2 * x.shape[0])


def timed(width: int, slow: bool) -> dict[str, float]:
    """Give what a verdict costs, in units of one gradient by the framework that is judged."""
    asked = sigmoid_network(width)
    L, found = asked.architecture.depth, {}

    framework = load("torch:eager")
    x, y = torch.tensor(np.array(asked.x)), torch.tensor(np.array(asked.y))
    parameters = [torch.tensor(np.array(p), requires_grad=True) for p in flat(asked)]

    def torch_cost(*given: Any) -> Any:
        a = x
        for W, b in zip(given[:L], given[L:], strict=True):
            a = torch.sigmoid(torch.nn.functional.linear(a, W, b))
        return ((a - y) ** 2).sum() / (2 * len(x))

    unit = seconds(lambda: torch.autograd.grad(torch_cost(*parameters), parameters))
    answer = framework.gradients(asked)
    checkers: dict[str, Callable[[], object]] = {
        "gradparity": lambda: judge(asked, answer),
        "gradparity, links": lambda: judge(asked, answer, chain=False),
        "torch gradcheck, slow": lambda: torch.autograd.gradcheck(torch_cost, parameters),
        "torch gradcheck, fast": lambda: torch.autograd.gradcheck(torch_cost, parameters, fast_mode=True),
        "numpy allclose, rtol 1e-5": lambda: allclose_accuses(lambda _: answer, asked, 1e-5),
    }
    if not slow:
        del checkers["torch gradcheck, slow"]
    if width > 64:
        del checkers["gradparity"]
    for name, function in checkers.items():
        found[name] = seconds(function) / unit

    def jax_cost(*given: Any) -> Any:
        a = jax.numpy.asarray(asked.x)
        for W, b in zip(given[:L], given[L:], strict=True):
            a = jax.nn.sigmoid(a @ W.T + b)
        return ((a - asked.y) ** 2).sum() / (2 * asked.batch)

    arrays = [jax.numpy.asarray(p) for p in flat(asked)]
    gradient = jax.jit(jax.grad(jax_cost, argnums=tuple(range(2 * L))))
    jitted = jax.jit(jax_cost)
    unit = seconds(lambda: jax.block_until_ready(gradient(*arrays)))
    found["jax check_grads"] = seconds(lambda: check_grads(jitted, arrays, order=1, modes=("rev",))) / unit

    def tf_cost(*given: Any) -> Any:
        a = tf.constant(asked.x)
        for W, b in zip(given[:L], given[L:], strict=True):
            a = tf.sigmoid(tf.matmul(a, W, transpose_b=True) + b)
        return tf.reduce_sum((a - asked.y) ** 2) / (2 * asked.batch)

    tensors = [tf.constant(p) for p in flat(asked)]

    def tf_gradient() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = tf_cost(*tensors)
        return tape.gradient(total, tensors)

    if width <= 16:
        unit = seconds(tf_gradient)
        found["tf compute_gradient"] = seconds(lambda: tf.test.compute_gradient(tf_cost, tensors)) / unit
    return found


# ------------------------------------------------------------------------------------------------------- all of it


def main() -> None:
    """Measure, print, and write the JSON."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    jax.config.update("jax_enable_x64", True)
    logging.disable(logging.ERROR)  # a suspect that crashes is reported here
    torch.set_num_threads(1)
    console, results = Console(width=150), list[dict[str, Any]]()
    cases = list(islice(small_cases("float64"), number))
    singles = list(islice(small_cases("float32"), number))
    networks = [ordinary("float64", seed) for seed in range(20)]
    for checker in CHECKERS:
        fair = innocent(checker, cases)
        found = caught(checker, fair)
        differentiates = checker.name.startswith(("torch", "jax", "tf"))
        results.append({
            "checker": checker.name,
            "faults": len(FAULTS),
            "caught": len(found),
            "missed": sorted({str(fault) for fault in FAULTS} - set(found)),
            "cases": number,
            "accused_float64": number - len(fair),
            "accused_float32": None if differentiates else number - len(innocent(checker, singles)),
            "smallest_error": median(smallest_error(checker, one, i) for i, one in enumerate(networks)),
        })  # fmt: skip
        console.print(results[-1]["checker"], results[-1]["caught"], results[-1]["accused_float64"])
    costs = {width: timed(width, slow=width <= 64) for width in (16, 64, 256)}
    for entry in results:
        entry["gradients_a_verdict"] = {
            str(3 * width * (width + 1)): round(cost[entry["checker"]], 1)
            for width, cost in costs.items() if entry["checker"] in cost
        }  # fmt: skip
    table = Table("checker", "faults caught", "right, accused (float64)", "(float32)", "smallest error",
                  *(f"{3 * w * (w + 1):,} parameters" for w in costs))  # fmt: skip
    for entry in results:
        float32 = entry["accused_float32"]
        table.add_row(
            entry["checker"],
            f"{entry['caught']} of {entry['faults']}",
            f"{entry['accused_float64'] / number:.0%}",
            "" if float32 is None else f"{float32 / number:.0%}",
            f"{entry['smallest_error']:.1e}",
            *(str(entry["gradients_a_verdict"].get(str(3 * w * (w + 1)), "")) for w in costs),
        )
    console.print(table)
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
