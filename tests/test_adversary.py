"""The adversary never passes the radius, and comes close to it: bounds are sound, and they are sharp.

An equation has to be pushed to 0.9 of its radius, in some case, and each function to 0.5. Where that cannot be done,
docs/looseness.md has the reason; the table there and what is measured here have to say the same.
``python -m gradparity.tests.test_adversary`` prints all that is reached.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import flint
import numpy as np
import pytest
from gradparity.adapters.reference import Reference
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.costs import COST_ROWS
from gradparity.reference.enclosure import enclose
from gradparity.reference.exact import exact_gradients
from gradparity.reference.interval import Interval
from gradparity.reference.links import links
from gradparity.reference.network import (
    ACTIVATIONS,
    COSTS,
    DTYPES,
    REDUCTIONS,
    Architecture,
    Array,
    Case,
    Cost,
    Gradients,
    Layer,
    Parameters,
)
from gradparity.reference.rounding.model import model

from .adversary import BITS, Adversary, Run, by_dice, of_the_chain, of_the_links, reach
from .test_affine import affine_intervals

NAMES = (*ACTIVATIONS, *COSTS)
LOOSENESS = Path(__file__).parents[1] / "docs" / "looseness.md"


def network(name: str, depth: int, reduction: str = "mean") -> Architecture:
    """A network with an activation in every layer, or with a cost behind its last."""
    cost = name if name in COSTS else "half_squared_error"
    hidden = name if name in ACTIVATIONS else "tanh"
    last = hidden if name in ACTIVATIONS else COST_ROWS[name].below("identity")
    layers = [Layer(2 + l % 2, hidden) for l in range(depth - 1)]
    return Architecture(2, (*layers, Layer(3, last)), Cost(cost), reduction)


def asked(name: str, precision: str) -> Case:
    """Depths and batches from 1 to 4, in ordinary and in hard numbers."""
    i = NAMES.index(name)
    regime = ("ordinary", "saturated", "mixed_magnitudes", "tiny", "repeated_rows")[i % 5]
    return case(network(name, 1 + i % 4, REDUCTIONS[i % 2]), 1 + i // 2 % 4, BY_NAME[regime], i, precision)


def rounded(answer: dict[str, Array], asked: Case) -> Gradients:
    """What the adversary returns: its numbers as the precision holds them."""
    with np.errstate(over="ignore"):  # a cost may be infinite in float16
        arrays = {name: np.vectorize(float)(array).astype(asked.dtype) for name, array in answer.items()}
    return Gradients.from_tensors(arrays, asked)


def of_its_links(asked: Case) -> tuple[Adversary, dict[str, Interval]]:
    """Ask an adversary for the links of what it itself answered."""
    answer = next(Adversary(of_the_chain(asked), asked.precision).answers("dW1", (0, 0)))
    own = rounded(answer, asked)
    return Adversary(of_the_links(asked, own), asked.precision), links(asked, own)


def passed(answer: dict[str, Array], bounds: dict[str, Interval]) -> list[str]:
    """Name the arrays of which a component is beyond its radius."""
    return [name for name, interval in bounds.items() if not np.all(reach(answer[name], interval) <= 1)]


# --------------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_from_the_inputs_on_the_radius_is_never_passed(name: str, precision: str) -> None:
    question = asked(name, precision)
    balls, forms = enclose(question), affine_intervals(question)
    adversary = Adversary(of_the_chain(question), precision)
    last = question.architecture.depth
    for target in ("cost", "dW1", "db1", f"delta{last}", f"a{last}"):
        for answer in adversary.answers(target, adversary.most_promising(target, balls[target])):
            assert passed(answer, balls) == passed(answer, forms) == [], target


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_in_a_link_the_radius_is_never_passed(name: str, precision: str) -> None:
    adversary, bounds = of_its_links(asked(name, precision))
    for target in ("cost", "z1", "a1", "delta1", "db1", "dW1"):
        for answer in adversary.answers(target, adversary.most_promising(target, bounds[target])):
            assert passed(answer, bounds) == [], target


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "mish", "softsign", "hardswish"])
def test_the_product_rule_expanded_never_passes_the_radius(name: str, precision: str) -> None:
    """Automatic differentiation of z Φ(z) multiplies both terms by the upstream, and adds them then."""
    layers = (Layer(13, name), Layer(1, "identity"))
    ones = case(
        Architecture(1, layers, Cost("half_squared_error"), "sum"), 1, BY_NAME["ordinary"], 0, precision
    )
    (W, last), (_, b) = ones.parameters.weights, ones.parameters.biases
    z = np.array([-6, -4.25, -3, -1.5, -1.3, -0.75, -0.29, -0.083, -0.04, 0.3, 1.25, 1.9, 3]).astype(
        ones.dtype
    )
    grid = Parameters((np.zeros_like(W), last), (z, b))
    drawn = Case(ones.architecture, grid, ones.x, ones.y, precision)
    adversary, bounds = of_its_links(drawn)
    for unit in range(13):
        for answer in adversary.answers("delta1", (0, unit)):
            assert passed(answer, {"delta1": bounds["delta1"]}) == [], unit


@pytest.mark.parametrize("name", NAMES)
def test_without_rounding_every_formula_gives_the_truth(name: str) -> None:
    """But for constants, which the adversary takes as doubles hold them."""
    question = case(network(name, 2), 2, BY_NAME["ordinary"], 0, "float64")
    exact = exact_gradients(question, BITS)
    run = Run(model("float64"))
    while run.formula < run.longest:
        with flint.ctx.workprec(BITS), np.errstate(all="ignore"):
            for key, array in of_the_chain(question)(run).items():
                for value, truth in zip(np.ravel(array.value), np.ravel(exact[key]), strict=True):
                    assert abs(value - truth) < 1e-14 * (1 + abs(truth)), (key, run.formula)
        run = Run(model("float64"), run.formula + 1, longest=run.longest)


# --------------------------------------------------------------------------------------------------------------- sharp

#: Where to look for what comes closest to its radius.
SETTINGS = [*itertools.product(("ordinary", "saturated", "sweep", "one_hot", "mixed_magnitudes"), range(2))]
EQUATIONS = ("forward: z", "forward: a", "forward: cost", "BP1: delta", "BP2: delta", "BP3: db", "BP4: dW")
ENTRIES = [
    *((equation, 0.9) for equation in ("from the inputs: dW1", *EQUATIONS)),
    *((f"{name}: {part}", 0.5) for name in ACTIVATIONS for part in ("value", "derivative")),
    *((f"{name}: {part}", 0.5) for name in COSTS for part in ("value", "gradient")),
]
#: A midpoint that is no better than the precision doubles the radius.
SHARE = {precision: float(np.finfo(np.float64).eps) / 2 / model("float64").unit if precision == "float64" else 1.0
         for precision in DTYPES}  # fmt: skip


def measured(entry: str, regime: str, seed: int, precision: str, radii: float = 1.0) -> float:
    """Say what share of its radius, times ``radii``, an entry's array is pushed to in one case."""
    where, what = entry.split(": ")
    if where in NAMES:
        # One layer and no mean: nothing that has room of its own.
        target = {"value": "a1" if where in ACTIVATIONS else "cost"}.get(what, "delta1")
        drawn = case(network(where, 1, reduction="sum"), 2, BY_NAME[regime], seed, precision)
    else:
        target = {"forward: z": "z2", "forward: a": "a2", "BP1: delta": "delta3", "BP2: delta": "delta2",
                  "BP3: db": "db2", "BP4: dW": "dW2", "forward: cost": "cost"}.get(entry, "dW1")  # fmt: skip
        drawn = case(network("tanh", 3), 2, BY_NAME[regime], seed, precision)
    if where == "from the inputs":
        adversary, interval = Adversary(of_the_chain(drawn), precision), enclose(drawn)[target]
    else:
        own = Reference().gradients(drawn)
        adversary, interval = Adversary(of_the_links(drawn, own), precision), links(drawn, own)[target]
    return adversary.worst(target, replace(interval, rad=radii * interval.rad)).reach


def most(entry: str, precision: str, enough: float, radii: float = 1.0) -> float:
    """Look until it is enough."""
    best = 0.0
    for regime, seed in SETTINGS:
        best = max(best, measured(entry, regime, seed, precision, radii) / SHARE[precision])
        if best >= enough:
            break
    return best


def documented() -> dict[tuple[str, str], float]:
    """Read the table of docs/looseness.md: how far an entry is pushed in a precision."""
    rows = re.findall(r"^\| ([^|]+: [^|]+) \| ([^|]+) \| ([\d.]+) \|", LOOSENESS.read_text(), re.MULTILINE)
    return {(entry, precision): float(far) for entry, among, far in rows for precision in among.split(", ")}


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(("entry", "wanted"), ENTRIES)
def test_what_is_reached_is_enough_or_documented(entry: str, wanted: float, precision: str) -> None:
    known = documented().get((entry, precision))
    reached = most(entry, precision, wanted if known is None else np.inf)
    if known is None:
        assert reached >= wanted
    else:
        assert reached < wanted, "no longer loose: take it off the table"
        assert reached == pytest.approx(known, abs=0.01)


def test_what_is_documented_is_measured() -> None:
    assert {entry for entry, _ in documented()} <= {entry for entry, _ in ENTRIES}
    assert {precision for _, precision in documented()} <= set(DTYPES)


# ------------------------------------------------------------------------------------------------- each check can fail


@pytest.mark.parametrize("precision", DTYPES)
def test_who_pushes_half_as_far_again_is_seen(precision: str) -> None:
    drawn = case(network("tanh", 3), 2, BY_NAME["ordinary"], 0, precision)
    own = Reference().gradients(drawn)
    for question, bounds in (
        (of_the_chain(drawn), enclose(drawn)),
        (of_the_links(drawn, own), links(drawn, own)),
    ):
        honest, rogue = (Adversary(question, precision, excess) for excess in (1.0, 1.5))
        for target in ("z1", "a1", "delta3"):
            index = honest.most_promising(target, bounds[target])
            assert all(passed(answer, bounds) == [] for answer in honest.answers(target, index))
            assert all(target in passed(answer, bounds) for answer in rogue.answers(target, index))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(
    ("entry", "wanted"), [ENTRIES[0], ENTRIES[5], ("tanh: derivative", 0.5), ("huber: value", 0.5)]
)
def test_a_radius_three_times_as_large_is_seen(entry: str, wanted: float, precision: str) -> None:
    assert most(entry, precision, wanted) >= wanted > most(entry, precision, wanted, radii=3.0)


@pytest.mark.parametrize("precision", DTYPES)
def test_dice_do_not_come_near(precision: str) -> None:
    drawn = case(network("tanh", 3), 2, BY_NAME["ordinary"], 0, precision)
    interval = enclose(drawn)["dW1"]
    aimed = Adversary(of_the_chain(drawn), precision).worst("dW1", interval)
    thrown = [reach(by_dice(of_the_chain(drawn), precision, seed)["dW1"], interval) for seed in range(20)]
    assert max(one[aimed.index] for one in thrown) < 0.7 * aimed.reach


def main() -> None:
    """Print what is reached, for the table."""
    for entry, wanted in ENTRIES:
        far = {precision: most(entry, precision, np.inf) for precision in DTYPES}
        print(
            f"{entry:45}", *(f"{one:.3f}{' ' if one >= wanted else '*'}" for one in far.values()), flush=True
        )


if __name__ == "__main__":
    main()
