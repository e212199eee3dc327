"""Do the adapters of the frameworks ask what they should? Whether the answers are right is judged elsewhere.

Frameworks do not share a process well, so this file is also the program that examines one of them: it prints,
as JSON, what it saw of every activation and cost, and the tests read that.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from gradparity.adapters.implementation import Implementation, UnsupportedError
from gradparity.adapters.modes import defaults, every_mode
from gradparity.adapters.registry import available
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.functions.row import Targets
from gradparity.reference.network import (
    ACTIVATIONS,
    COSTS,
    DTYPES,
    Architecture,
    Array,
    Case,
    Cost,
    Gradients,
    Layer,
    Parameters,
)

#: What is examined in everything; and the other modes, which share their functions with one of these, so that one
#: activation and one cost tell whether they ask as they should. property_tests/test_modes.py holds them to the rest.
IMPLEMENTATIONS = defaults()
OTHER_MODES = tuple(name for name in every_mode() if name not in IMPLEMENTATIONS)
#: Keras computes it in float32 there, and declines it.
WITHOUT_FLOAT64 = ("keras:torch", "keras:jax")
SAMPLE = ("mish softmax_cross_entropy",)

Rows = list[list[float]]
SIGNS: Rows = [[1, -1, 1], [-1, -1, 1]]
PROBABILITIES: Rows = [[0.25, 0, 0.75], [1, 0, 0]]
COUNTS: Rows = [[0, 3, 1], [2, 0, 5]]
#: The targets of a cost that is not defined on, or not used with, all numbers.
TARGETS: dict[Targets, Rows] = {
    Targets.SIGNS: SIGNS,
    Targets.PROBABILITIES: PROBABILITIES,
    Targets.DISTRIBUTIONS: PROBABILITIES,
    Targets.COUNTS: COUNTS,
}

#: Weighted inputs with every kink among them, and far out, where a careless formula gives 0 · inf.
LANDMARKS = [-200.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0, 200.0]
#: The one-sided derivatives at a kink, for activations with their usual alpha except as ALPHA says.
ALPHA = {"leaky_relu": 0.3, "elu": 0.5, "celu": 0.5}
SELU = 1.0507009873554805, 1.7580993408473766
KINKS: dict[str, dict[float, tuple[float, float]]] = {
    "relu": {0: (0, 1)},
    "relu6": {0: (0, 1), 6: (1, 0)},
    "leaky_relu": {0: (0.3, 1)},
    "elu": {0: (0.5, 1)},
    "celu": {0: (1, 1)},
    "selu": {0: SELU},
    "hardtanh": {-1: (0, 1), 1: (1, 0)},
    "hardsigmoid": {-3: (0, 1 / 6), 3: (1 / 6, 0)},
    "hardswish": {-3: (-0.5, 0), 3: (1, 1.5)},
}
#: Outputs and targets at which a cost has a kink or a logarithm of zero, and what ∂C/∂a may be there. At
#: such a logarithm torch clamps binary_cross_entropy, to a slope of 0; whether it may is judged elsewhere.
CORNERS: dict[str, list[tuple[float, float, float, float]]] = {
    "absolute_error": [(2, 2, -1, 1)],
    "huber": [(0, 0, 0, 0), (1.5, 0, 1.5, 1.5), (-1, 0.5, -1.5, -1.5)],
    "hinge": [(1, 1, -1, 0), (-1, -1, 0, 1)],
    "squared_hinge": [(1, 1, 0, 0)],
    "binary_cross_entropy": [(0, 0, 0, 1), (1, 1, -1, 0)],
    "cross_entropy": [(0, 0, 0, 0), (1, 1, -1, -1)],
    "kl_divergence": [(-800, 0, 0, 0)],
}

#: Gradients that are not those of the framework's own cost, as finite differences already see.
DEFECTS = {
    ("torch:eager", "hardsigmoid"): "torch 2.13 multiplies by 1/6 in float32 also in float64: off by 3e-8",
}


def without_a_kernel(framework: str) -> Any:
    """A function that a framework cannot compute in float16."""
    home = importlib.import_module({"jax": "jax.numpy"}.get(framework, framework))
    if framework == "torch":
        return home.special.log_ndtr
    if framework == "tensorflow":
        return home.math.ndtri
    return lambda z: z + home.linalg.svdvals(z).sum()


def network(activation: str, cost: str, precision: str = "float64", reduction: str = "mean") -> Case:
    """A case of two layers, batch 2: ``activation``, and then what ``cost`` needs below it."""
    rng, row = np.random.default_rng(5), COST_ROWS[cost]
    layers = (
        Layer(4, activation, ALPHA.get(activation)),
        Layer(3, row.below("identity")),
    )
    architecture = Architecture(5, layers, Cost(cost, *[0.75 for _ in row.parameters]), reduction)
    draws = [rng.normal(size=shape) for shape in ((4, 5), (3, 4), (4,), (3,), (2, 5), (2, 3))]
    W1, W2, b1, b2, x, y = (draw.astype(DTYPES[precision]) for draw in draws)
    y = np.array(TARGETS.get(row.targets, y), y.dtype)
    return Case(architecture, Parameters((W1, W2), (b1, b2)), x, y, precision)


def neuron(activation: Layer, cost: Cost, z: list[float], y: list[float]) -> Case:
    """One neuron with weight 1 and no bias, a batch of weighted inputs and targets; its cost is a sum."""
    architecture, one = Architecture(1, (activation,), cost, "sum"), Parameters((np.eye(1),), (np.zeros(1),))
    return Case(architecture, one, np.array([z]).T, np.array([y]).T)


def moved(case: Case, along: dict[str, Array], step: float) -> Case:
    """The case with ``step`` times a direction added to the arrays that the direction names."""
    now = {name: array + step * along.get(name, 0.0) for name, array in case.tensors().items()}
    parameters = Parameters((now["W1"], now["W2"]), (now["b1"], now["b2"]))
    return replace(case, parameters=parameters, x=now["x"], y=now["y"])


def slope(impl: Implementation, case: Case, along: dict[str, Array]) -> tuple[float, float]:
    """The derivative of the implementation's own cost along a direction, and how far that may be off.

    Central differences with steps h and 2h, extrapolated. What the two differ by is three times the error
    that the extrapolation removes; each cost is off by its own roundings, of which a net this small has
    fewer than 64.
    """
    h = 2.0**-14
    costs = {k: float(np.asarray(impl.gradients(moved(case, along, k * h)).cost)) for k in (-2, -1, 1, 2)}
    near, far = (costs[1] - costs[-1]) / (2 * h), (costs[2] - costs[-2]) / (4 * h)
    roundings = 64 * 2.0**-53 * max(1.0, *map(abs, costs.values()))
    return (4 * near - far) / 3, abs(far - near) + roundings / h


def slopes(impl: Implementation, case: Case, answer: Gradients) -> Iterator[float]:
    """How far dW, db and δ are from finite differences, in units of what those may be off."""
    rng, m = np.random.default_rng(7), case.batch
    given = answer.tensors()
    along = {name: rng.normal(size=given[f"d{name}"].shape) for name in ("W1", "W2", "b1", "b2")}
    found, error = slope(impl, case, along)
    yield abs(sum(float(np.sum(given[f"d{name}"] * v)) for name, v in along.items()) - found) / error
    for i in range(m):
        # In the mean over m copies of example i, ∂C/∂b^l is m times the δ^l that example i has in the case.
        copies = replace(case, x=np.repeat(case.x[i : i + 1], m, 0), y=np.repeat(case.y[i : i + 1], m, 0))
        for layer in (1, 2):
            delta = given[f"delta{layer}"][i]
            direction = rng.normal(size=delta.shape)
            found, error = slope(impl, copies, {f"b{layer}": direction})
            yield abs(m * float(delta @ direction) - found) / error


def same_bits(one: Gradients, other: Gradients) -> bool:
    ours, theirs = one.tensors(), other.tensors()
    return list(ours) == list(theirs) and all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def declined(impl: Implementation, case: Case) -> bool:
    """Whether the implementation has no such precision; of those in IMPLEMENTATIONS, everyone has every one."""
    try:
        impl.gradients(case)
    except UnsupportedError:
        return impl.name not in IMPLEMENTATIONS
    return False


def asked_in(name: str, function: str) -> list[str]:
    """Say in which precisions a function is asked for here: in float64, and the others take turns.

    Each is compiled by itself; test_a_function_and_its_slope_stay_in_their_bounds asks for everything in all of them.
    """
    if name in OTHER_MODES:
        return list(DTYPES)
    others = [one for one in DTYPES if one != "float64"]
    return ["float64", others[[*ACTIVATIONS, *COSTS].index(function) % len(others)]]


def examine(impl: Implementation, activation: str, cost: str, precisions: Iterable[str]) -> dict[str, Any]:
    """Everything the tests ask about one activation under one cost."""
    seen: dict[str, Any] = {"names": {}, "repeats": True, "unmodified": True}
    for precision in precisions:
        case = network(activation, cost, precision)
        if declined(impl, case):
            continue
        before = {name: array.tobytes() for name, array in case.tensors().items()}
        answer = impl.gradients(case)
        Gradients.from_tensors(answer.tensors(), case)  # raises where a name, a shape or a dtype is wrong
        seen["names"][precision] = sorted(answer.tensors())
        seen["repeats"] &= same_bits(answer, impl.gradients(case))
        seen["unmodified"] &= before == {name: array.tobytes() for name, array in case.tensors().items()}
        if precision == "float64":
            seen["slopes"] = max(slopes(impl, case, answer))
            seen["sums"] = [
                float(np.max(np.abs(db - delta.sum(0)) / np.abs(delta).sum(0)))
                for db, delta in zip(answer.db, answer.delta or (), strict=True)
                if np.all(delta)
            ]
    return seen


def examine_activation(impl: Implementation, name: str) -> dict[str, Any]:
    layer = Layer(1, name, ALPHA.get(name))
    # Under the cost -Σ y a with y = -1, δ is σ′(z).
    case = neuron(layer, Cost("negative_log_likelihood"), LANDMARKS, [-1.0] * len(LANDMARKS))
    (delta,) = impl.gradients(case).delta or ()
    seen = examine(impl, name, "half_squared_error", asked_in(impl.name, name))
    return {**seen, "landmarks": delta[:, 0].tolist()}


def examine_cost(impl: Implementation, name: str) -> dict[str, Any]:
    mean, total = (impl.gradients(network("tanh", name, reduction=r)).tensors() for r in ("mean", "sum"))
    off = [
        np.max(np.abs(2 * mean[k] - total[k])) / np.max(np.abs(total[k])) for k in ("cost", "dW1", "delta2")
    ]
    seen = {**examine(impl, "tanh", name, asked_in(impl.name, name)), "reduction": float(max(off))}
    if name in CORNERS:
        a, y = ([float(corner[i]) for corner in CORNERS[name]] for i in (0, 1))
        cost = Cost(name, 1.5 if name == "huber" else None)
        (delta,) = impl.gradients(neuron(Layer(1, "identity"), cost, a, y)).delta or ()
        seen["corners"] = delta[:, 0].tolist()
    return seen


def declines(adapter: Any, impl: Implementation) -> dict[str, str]:
    """What the implementation says of a function that has no float16 kernel, and of a fault of its own."""

    def broken(z: Any) -> Any:
        raise ValueError("a fault")

    said, kept = {}, adapter.FUNCTIONS["mish"]
    tried = {"without a kernel": without_a_kernel(impl.name.partition(":")[0]), "broken": broken}
    for (name, function), cost in zip(tried.items(), ("huber", "hinge"), strict=True):
        adapter.FUNCTIONS["mish"] = function
        try:
            impl.gradients(network("mish", cost, "float16"))
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
    adapter.FUNCTIONS["mish"] = kept
    return said


def main(name: str) -> None:
    framework, mode = name.split(":")
    adapter = importlib.import_module(f"gradparity.adapters.{framework}")
    impl: Implementation = adapter.load(mode)
    seen = {
        "name": impl.name,
        "version": impl.version,
        "functions": dict(impl.functions()),
    }
    if name in IMPLEMENTATIONS:
        seen |= {
            "declines": declines(adapter, impl),
            **{activation: examine_activation(impl, activation) for activation in ACTIVATIONS},
            **{cost: examine_cost(impl, cost) for cost in COSTS},
        }
    else:
        for one in SAMPLE:
            activation, cost = one.split()
            seen[one] = examine(impl, activation, cost, asked_in(name, one))
    print(json.dumps(seen))


@cache
def examined(name: str) -> dict[str, Any]:
    """What the program that this file is saw of an implementation; once, whatever the number of tests."""
    missing = {one.name: one.missing for one in available()}[name]
    if missing:
        pytest.skip(missing)
    ran = subprocess.run(
        [sys.executable, __file__, name], capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    seen: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return seen


@pytest.mark.parametrize("name", [*IMPLEMENTATIONS, *OTHER_MODES])
def test_it_says_what_it_is_and_which_functions_are_judged(name: str) -> None:
    seen = examined(name)
    assert seen["name"] == name
    assert seen["version"][0].isdigit()
    assert set(seen["functions"]) == {*ACTIVATIONS, *COSTS}


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_what_has_no_kernel_in_a_precision_is_declined_and_a_fault_is_not(name: str) -> None:
    said = examined(name)["declines"]
    assert said["without a kernel"].startswith("UnsupportedError: "), said
    assert " declines: " in said["without a kernel"]
    assert said["broken"].startswith("ValueError: ") and "a fault" in said["broken"], said


ASKED = [(name, function) for name in IMPLEMENTATIONS for function in (*ACTIVATIONS, *COSTS)]
ASKED += [(name, one) for name in OTHER_MODES for one in SAMPLE]


@pytest.mark.parametrize(("name", "function"), ASKED)
class TestEveryFunction:
    def test_everything_is_answered(self, name: str, function: str) -> None:
        everything = sorted(
            ["cost", *(f"{key}{i}" for key in ("dW", "db", "delta", "z", "a") for i in (1, 2))]
        )
        asked = [one for one in asked_in(name, function) if one != "float64" or name not in WITHOUT_FLOAT64]
        assert examined(name)[function]["names"] == dict.fromkeys(asked, everything)

    def test_gradients_are_those_of_its_own_cost(
        self, name: str, function: str, request: pytest.FixtureRequest
    ) -> None:
        seen = examined(name)
        if (name, function) in DEFECTS:
            request.applymarker(pytest.mark.xfail(reason=DEFECTS[name, function], strict=True))
        if name in WITHOUT_FLOAT64:
            pytest.skip(f"{name} declines float64, in which finite differences mean something")
        assert seen[function]["slopes"] <= 1

    def test_bias_gradients_sum_delta_over_the_batch(self, name: str, function: str) -> None:
        if name in WITHOUT_FLOAT64:
            pytest.skip(f"{name} declines float64, in which they are compared")
        # Two terms: one rounding, and one more for a framework that sums in another way than it gives δ.
        assert max(examined(name)[function]["sums"], default=0) <= 2 * 2.0**-53

    def test_the_same_case_gives_the_same_bits(self, name: str, function: str) -> None:
        assert examined(name)[function]["repeats"]

    def test_the_case_is_left_alone(self, name: str, function: str) -> None:
        assert examined(name)[function]["unmodified"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_slopes_at_kinks_and_far_out(name: str, activation: str) -> None:
    found = dict(zip(LANDMARKS, examined(name)[activation]["landmarks"], strict=True))
    assert all(np.isfinite(list(found.values()))), found
    for z, sides in KINKS.get(activation, {}).items():
        # The sides are rounded here, and by the implementation.
        assert min(sides) - 2.0**-50 <= found[z] <= max(sides) + 2.0**-50, (z, found[z])


@pytest.mark.parametrize("cost", CORNERS)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_costs_at_kinks_and_at_the_logarithm_of_zero(name: str, cost: str) -> None:
    for (a, y, low, high), found in zip(CORNERS[cost], examined(name)[cost]["corners"], strict=True):
        assert low <= found <= high, (a, y, found)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_the_mean_is_the_sum_divided_by_the_batch(name: str, cost: str) -> None:
    # The batch is 2, so that dividing by it is exact.
    assert examined(name)[cost]["reduction"] == 0


if __name__ == "__main__":
    main(sys.argv[1])
