"""The four equations against three oracles that share no code with them, each in 300-bit arithmetic.

    demon        the book's demon at the neuron: it adds Δz to one weighted input, and the cost moves by δ Δz
    parameters   the same with every weight and every bias: only forward passes, no chain rule
    paths        the chain rule written out: a sum over all paths from the weight to the cost

An arb holds the exact value for certain, so "equal" means that two intervals of some 10^-85 overlap; a
central difference is off by c h² + O(h⁴), so that at h it is three times nearer to the derivative than to
the difference at 2h. No tolerance is chosen anywhere.
"""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
import pytest
from gradparity.adapters.reference import Reference
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference import backprop as backprop_module
from gradparity.reference.activations import Elementwise, activation
from gradparity.reference.backprop import backprop
from gradparity.reference.costs import COST_ROWS, cost_function
from gradparity.reference.enclosure import enclose
from gradparity.reference.exact import exact_gradients
from gradparity.reference.interval import Interval
from gradparity.reference.network import (
    ACTIVATIONS,
    COSTS,
    Architecture,
    Case,
    Cost,
    Gradients,
    Layer,
    Parameters,
)

BITS = 300
STEP = flint.arb(2) ** -40
#: The constants in the formulas are written to at least this many digits.
DIGITS = flint.arb(10) ** -30
Backprop = Callable[..., Gradients]

#: Every activation in every layer, then every cost, with both reductions.
NETWORKS = [(name, "half_squared_error", "mean", name) for name in ACTIVATIONS] + [
    ("tanh", name, reduction, COST_ROWS[name].below("softsign"))
    for name, reduction in zip(COSTS, itertools.cycle(["sum", "mean"]), strict=False)
]


@pytest.fixture(autouse=True)
def _in_high_precision() -> Iterator[None]:
    with flint.ctx.workprec(BITS):
        yield


def small_case(
    hidden: str, cost: str, reduction: str, last: str, widths: tuple[int, ...] = (2, 3, 4, 2)
) -> Case:
    layers = (*(Layer(n, hidden) for n in widths[1:-1]), Layer(widths[-1], last))
    return case(Architecture(widths[0], layers, Cost(cost), reduction), 2, BY_NAME["ordinary"], 7, "float64")


# ------------------------------------------------------------------------------------- the forward pass, by itself


@dataclass
class Forward:
    """A network in arb numbers, nested lists and all, and how far its demon has moved each weighted input."""

    W: list[Any]
    b: list[Any]
    shift: list[Any]
    x: Any
    y: Any
    network: Architecture

    @classmethod
    def of(cls, case: Case) -> Forward:
        W, b = (
            [arb(array) for array in family] for family in (case.parameters.weights, case.parameters.biases)
        )
        shift = [arb(np.zeros((case.batch, layer.width))) for layer in case.architecture.layers]
        return cls(W, b, shift, arb(case.x), arb(case.y), case.architecture)

    def run(self) -> tuple[list[Any], list[Any], Any]:
        """Neuron by neuron: z^1..z^L, a^0..a^L and the cost."""
        z: list[Any] = []
        a = [self.x]
        for layer, W, b, shift in zip(self.network.layers, self.W, self.b, self.shift, strict=True):
            here = np.empty_like(shift)
            for i, j in np.ndindex(*here.shape):
                here[i, j] = sum(w * a_k for w, a_k in zip(W[j], a[-1][i], strict=True)) + b[j] + shift[i, j]
            z.append(here)
            a.append(activation(layer).value(here))
        cost = cost_function(self.network.cost).value(a[-1], self.y)
        return z, a, cost / len(self.x) if self.network.reduction == "mean" else cost

    def derivative(self, array: Any, index: tuple[int, ...]) -> tuple[Any, Any]:
        """∂C/∂array[index] by a central difference, and how far that may be off at most."""
        before, costs = array[index], {}
        for steps in (-2, -1, 1, 2):
            array[index] = before + steps * STEP
            costs[steps] = self.run()[2]
        array[index] = before
        near, far = (costs[1] - costs[-1]) / (2 * STEP), (costs[2] - costs[-2]) / (4 * STEP)
        return near, abs(far - near) + abs(near) * DIGITS


def arb(array: Any) -> Any:
    result = np.empty(np.shape(array), dtype=object)
    result.flat[:] = [flint.arb(float(value)) for value in np.ravel(array)]
    return result


# ------------------------------------------------------------------------------------------------------ the oracles
# Each names the components of an answer that it does not believe.


def _differences(case: Case, arrays: str, answers: Any, name: str) -> Iterator[str]:
    forward = Forward.of(case)
    for l, (moved, answer) in enumerate(zip(getattr(forward, arrays), answers, strict=True)):
        if moved.shape != answer.shape:
            yield f"{name}{l + 1} has the shape {answer.shape}"
            continue
        for index in np.ndindex(*moved.shape):
            derivative, off = forward.derivative(moved, index)
            if abs(answer[index] - derivative) > off:
                yield f"{name}{l + 1}{list(index)} is {answer[index]}, not {derivative}"


def demon(case: Case, answer: Gradients) -> list[str]:
    """δ: a small Δz at one neuron moves the cost by δ Δz."""
    return list(_differences(case, "shift", answer.delta, "delta"))


def parameters(case: Case, answer: Gradients) -> list[str]:
    """∂C/∂W and ∂C/∂b: a small change of one parameter moves the cost by its gradient times the change."""
    return [*_differences(case, "W", answer.dW, "dW"), *_differences(case, "b", answer.db, "db")]


def paths(case: Case, answer: Gradients) -> list[str]:
    """∂C/∂w: the sum over all paths from the weight to the cost, of all that multiplies on the way."""
    forward = Forward.of(case)
    z, a, _ = forward.run()
    sigma = [activation(layer) for layer in forward.network.layers]
    slopes = [s.scalar.slope(z_l) for s, z_l in zip(sigma, z, strict=True) if isinstance(s, Elementwise)]
    m, L, widths = case.batch, forward.network.depth, forward.network.widths
    upstream = cost_function(forward.network.cost).gradient(a[-1], forward.y)
    share = flint.arb(1) / m if forward.network.reduction == "mean" else flint.arb(1)

    def beyond(i: int, l: int, j: int) -> Any:
        """Sum over the paths of example i from neuron j of layer l to the cost."""
        total = flint.arb(0)
        for later in itertools.product(*(range(n) for n in widths[l + 1 :])):
            path, product = [j, *later], share * upstream[i, [j, *later][-1]] * slopes[l - 1][i, j]
            for k, (here, there) in enumerate(itertools.pairwise(path), start=l):
                product = product * forward.W[k][there, here] * slopes[k][i, there]
            total = total + product
        return total

    wrong = []
    for l in range(1, L + 1):
        for j in range(widths[l]):
            db = sum(beyond(i, l, j) for i in range(m))
            if not db.overlaps(answer.db[l - 1][j]):
                wrong.append(f"db{l}[{j}] is {answer.db[l - 1][j]}, not {db}")
            for k in range(widths[l - 1]):
                dw = sum(a[l - 1][i, k] * beyond(i, l, j) for i in range(m))
                if not dw.overlaps(answer.dW[l - 1][j, k]):
                    wrong.append(f"dW{l}[{j}, {k}] is {answer.dW[l - 1][j, k]}, not {dw}")
    return wrong


def kept(case: Case, answer: Gradients) -> list[str]:
    """z, a and the cost are those of the forward pass."""
    z, a, cost = Forward.of(case).run()
    wrong = [] if cost.overlaps(answer.cost) else [f"the cost is {answer.cost}, not {cost}"]
    for name, ours, theirs in (("z", z, answer.z), ("a", a[1:], answer.a)):
        for l, (mine, its) in enumerate(zip(ours, theirs or (), strict=True), start=1):
            pairs = zip(mine.flat, its.flat, strict=True)
            wrong += [f"{name}{l} has {other}, not {one}" for one, other in pairs if not one.overlaps(other)]
    return wrong


def answered(case: Case, function: Backprop = backprop) -> Gradients:
    """Run backpropagation in arb numbers."""
    W, b = (tuple(arb(p) for p in family) for family in (case.parameters.weights, case.parameters.biases))
    return function(case.architecture, Parameters(W, b), arb(case.x), arb(case.y))


# -------------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize(("hidden", "cost", "reduction", "last"), NETWORKS)
def test_demon_parameters_and_forward_pass_agree(hidden: str, cost: str, reduction: str, last: str) -> None:
    case = small_case(hidden, cost, reduction, last)
    answer = answered(case)
    assert kept(case, answer) == []
    assert demon(case, answer) == []
    assert parameters(case, answer) == []


def _elementwise(name: str) -> bool:
    return isinstance(activation(Layer(1, name)), Elementwise)


@pytest.mark.parametrize(("hidden", "cost", "reduction", "last"), NETWORKS)
def test_sum_over_all_paths_agrees(hidden: str, cost: str, reduction: str, last: str) -> None:
    """A coupled activation has more paths than its weights; below it stands an elementwise one."""
    hidden, last = (name if _elementwise(name) else "sigmoid" for name in (hidden, last))
    case = small_case(hidden, cost, reduction, last)
    assert paths(case, answered(case)) == []


def test_central_differences_converge_at_second_order() -> None:
    """Half the step, a quarter of the error, down to where the step itself is all there is between them."""
    case = small_case("tanh", "log_cosh", "mean", "sigmoid")
    delta = answered(case).delta
    assert delta is not None
    forward, errors = Forward.of(case), []
    for step in (STEP, STEP / 2):
        costs = []
        for sign in (1, -1):
            forward.shift[0][0, 0] = sign * step
            costs.append(forward.run()[2])
        errors.append((costs[0] - costs[1]) / (2 * step) - delta[0][0, 0])
    assert abs(errors[0] / errors[1] - 4) < STEP


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("hidden", "cost", "reduction", "last"), NETWORKS)
def test_enclosures_hold_the_exact_values_and_the_floats(
    hidden: str, cost: str, reduction: str, last: str, precision: str
) -> None:
    exactly = small_case(hidden, cost, reduction, last)
    case = Case(
        exactly.architecture,
        Parameters(
            *(tuple(p.astype(precision) for p in family) for family in vars(exactly.parameters).values())
        ),
        exactly.x.astype(precision),
        exactly.y.astype(precision),
        precision,
    )
    floats, exact = Reference().gradients(case).tensors(), exact_gradients(case, BITS)
    for name, interval in enclose(case).items():
        assert outside(interval, exact[name]) == [], name
        assert outside(interval, arb(floats[name])) == [], name


def outside(interval: Interval, values: Any) -> list[tuple[int, ...]]:
    """Where values (arb) are not for certain inside an enclosure."""
    mid, rad, values = np.asarray(interval.mid), np.asarray(interval.rad), np.asarray(values, dtype=object)
    found = []
    for index in np.ndindex(*mid.shape):
        head = float(mid[index])  # a long double is a double and a rest
        centre = flint.arb(head) + flint.arb(float(mid[index] - head))
        if not abs(values[index] - centre) <= flint.arb(float(rad[index])):
            found.append(index)
    return found


def test_a_result_just_outside_an_enclosure_is_seen() -> None:
    case = small_case("tanh", "half_squared_error", "mean", "identity")
    interval = enclose(case)["dW1"]
    moved = arb(np.zeros(interval.mid.shape))
    for index in np.ndindex(*moved.shape):
        moved[index] = flint.arb(float(interval.mid[index])) + flint.arb(1.01 * float(interval.rad[index]))
    assert len(outside(interval, moved)) == moved.size


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_shapes_and_what_is_kept(reduction: str) -> None:
    case = small_case("tanh", "half_squared_error", reduction, "softmax")
    answer = Reference().gradients(case)
    assert [dW.shape for dW in answer.dW] == [W.shape for W in case.parameters.weights]
    assert [db.shape for db in answer.db] == [b.shape for b in case.parameters.biases]
    for family in (answer.z, answer.a, answer.delta):
        assert family is not None
        assert [array.shape for array in family] == [(2, 3), (2, 4), (2, 2)]
    assert answer.cost is not None
    assert answer.cost.shape == ()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("cost", COSTS)
def test_the_whole_is_the_mean_or_the_sum_of_its_parts(cost: str, reduction: str) -> None:
    case = small_case("tanh", cost, reduction, COST_ROWS[cost].below("identity"))
    parts = [
        answered(Case(case.architecture, case.parameters, case.x[i : i + 1], case.y[i : i + 1]))
        for i in range(case.batch)
    ]
    shares = case.batch if reduction == "mean" else 1
    for name, whole in answered(case).tensors().items():
        if name.startswith(("dW", "db", "cost")):
            total = np.asarray(sum(part.tensors()[name] for part in parts) / shares, dtype=object)
            pairs = zip(total.flat, np.asarray(whole, dtype=object).flat, strict=True)
            assert all(one.overlaps(other) for one, other in pairs), name


# ------------------------------------------------------------------------------------------------- the oracles fail
# One line of backprop.py is changed, on a network so square (two examples, two neurons everywhere) that no
# shape gives the fault away.

EVERYONE = "demon parameters paths"
#: Where δ^l is made, and what it is made of.
MAKES_DELTA = "activation(layers[l]).vjp,"
OF = "(g(l), z(l)), sigma)"
MUTATIONS = {
    "forward: b is missing": ("product + b", "product", "kept " + EVERYONE),
    "forward: W for its transpose": ("a_previous @ W.mT", "a_previous @ W", "kept " + EVERYONE),
    "forward: b is subtracted": ("product + b", "product - b", "kept " + EVERYONE),
    "forward: no activation": ("activation(layer).value,", "lambda z: z,", "kept " + EVERYONE),
    "BP1: sign": ("C.gradient, (a(L), Y)", "lambda a, y: -C.gradient(a, y), (a(L), Y)", EVERYONE),
    "BP1: σ′ is missing": (MAKES_DELTA, MAKES_DELTA[:-1] + " if l < L else lambda g, z: g,", EVERYONE),
    "BP1: σ′(a) for σ′(z)": (OF, "(g(l), z(l) if l < L else a(l)), sigma)", EVERYONE),
    "BP1: a and y swapped": ("C.gradient, (a(L), Y)", "C.gradient, (Y, a(L))", EVERYONE),
    "BP1: not divided by m": ('g(L), "BP1", partial(averaged, m=m)', 'g(L), "BP1", lambda n: n', EVERYONE),
    "BP1: divided by m twice": (
        'g(L), "BP1", partial(averaged, m=m)',
        'g(L), "BP1", lambda n: averaged(averaged(n, m), m)',
        EVERYONE,
    ),
    "BP1: ∇C of z for ∇C of a": ("C.gradient, (a(L), Y)", "C.gradient, (z(L), Y)", EVERYONE),
    "BP1: σ′ of the layer before": (OF, "(g(l), z(l) if l < L else z(l - 1)), sigma)", EVERYONE),
    "BP2: sign": ("return delta_next @", "return -delta_next @", EVERYONE),
    "BP2: W for its transpose": ("delta_next @ W_next", "delta_next @ W_next.mT", EVERYONE),
    "BP2: σ′ is missing": (MAKES_DELTA, MAKES_DELTA[:-1] + " if l == L else lambda g, z: g,", EVERYONE),
    "BP2: σ′ twice": (
        MAKES_DELTA,
        "(lambda g, z, s=activation(layers[l]), twice=l < L: s.vjp(s.vjp(g, z) if twice else g, z)),",
        EVERYONE,
    ),
    "BP2: z of the next layer": (OF, "(g(l), z(min(l + 1, L))), sigma)", EVERYONE),
    "BP2: σ of the last layer": (MAKES_DELTA, "activation(layers[L]).vjp,", EVERYONE),
    "BP2: W of its own layer": ("(delta(k), W(k))", "(delta(k), W(l))", EVERYONE),
    "BP2: δ of the last layer": ("(delta(k), W(k))", "(delta(L), W(k))", EVERYONE),
    "BP3: sign": ("return delta.sum(axis=-2)", "return -delta.sum(axis=-2)", "parameters paths"),
    "BP3: mean for sum": ("delta.sum(axis=-2)", "delta.mean(axis=-2)", "parameters paths"),
    "BP3: the wrong axis": ("delta.sum(axis=-2)", "delta.sum(axis=-1)", "parameters paths"),
    "BP3: the first example only": ("delta.sum(axis=-2)", "delta[0]", "parameters paths"),
    "BP4: sign": ("return delta.mT @", "return -delta.mT @", "parameters paths"),
    "BP4: transposed": ("delta.mT @ a_previous", "a_previous.mT @ delta", "parameters paths"),
    "BP4: δ not transposed": ("delta.mT @ a_previous", "delta @ a_previous", "parameters paths"),
    "BP4: σ(a) of its own layer": ("(delta(l), a(l - 1))", "(delta(l), a(l))", "parameters paths"),
    "cost: not divided by m": (
        'cost(L), "cost", partial(averaged, m=m)',
        'cost(L), "cost", lambda c: c',
        "kept",
    ),
    "m: the width for the batch": (
        "flow(network, x.shape[-2]).run(named(parameters, x, y))",
        "flow(network, 3 * x.shape[-1]).run(named(parameters, x, y))",
        "kept " + EVERYONE,
    ),
    "m: mean where a sum is asked": ('network.reduction == "mean"', "True", ""),
    "m: sum where a mean is asked": ('network.reduction == "mean"', "False", "kept " + EVERYONE),
}


def mutated(old: str, new: str) -> Backprop:
    """Give backprop with one line of its file changed."""
    source = inspect.getsource(backprop_module)
    assert source.count(old) == 1, f"{old!r} is no longer one place of backprop.py"
    module = types.ModuleType("gradparity.reference.mutated")
    exec(compile(source.replace(old, new), "backprop.py, mutated", "exec"), vars(module))
    function: Backprop = module.backprop
    return function


SQUARE = small_case("tanh", "log_cosh", "mean", "sigmoid", widths=(2, 2, 2, 2))


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_is_caught(name: str) -> None:
    old, new, expected = MUTATIONS[name]
    case = SQUARE
    if not expected:  # it shows under the other reduction only
        case, expected = small_case("tanh", "log_cosh", "sum", "sigmoid", (2, 2, 2, 2)), "kept " + EVERYONE
    answer = answered(case, mutated(old, new))
    caught = [oracle.__name__ for oracle in (kept, demon, parameters, paths) if oracle(case, answer)]
    assert caught == expected.split()


def test_no_oracle_accuses_the_unchanged_file() -> None:
    answer = answered(SQUARE, mutated("def bp3(", "def bp3("))
    assert [oracle(SQUARE, answer) for oracle in (kept, demon, parameters, paths)] == [[], [], [], []]
