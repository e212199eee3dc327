"""Hypothesis strategies: layers, architectures, structures, cases.

Structure (depth, widths, activations, cost, batch size, regimes) is drawn by Hypothesis, so that it shrinks;
bulk values come from one drawn seed, since a million entropy decisions would be slow and shrink to nothing.
"""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider

from ..reference.activations import ACTIVATION_ROWS
from ..reference.costs import COST_ROWS
from ..reference.network import ACTIVATIONS, COSTS, DTYPES, Architecture, Case, Cost, Layer
from .regimes import BY_NAME, NOT_FINITE, REGIMES, case

Drawn = TypeVar("Drawn")

#: How a structure's sizes are drawn: unequal, so that a transpose or a wrong axis shows; all equal and small, so
#: that it does not end in a wrong shape; with one output, where (m, 1) and (m,) are confused; and narrow.
SIZES = ("any", "any", "equal", "any", "one output", "any", "narrow", "any")

#: After so many structures the kinds of sizes move on by one, and the precisions: in step with nothing else that
#: takes turns. With 64, when there were 21 activations, each of them met half of the kinds of sizes, ever. With 22
#: activations and 15 costs, and two precisions that move on after 31, the last of their pairs in both would take
#: 79,848 cases; after 68 it takes 14,488. tests/test_drawing.py holds how soon everything is met.
SIZES_MOVE, PRECISIONS_MOVE = 17, 68

#: Where sums are added up matters most when they are long. A network of at most SMALL neurons is cheap enough for a
#: batch LONGER times as large as was drawn, which makes up to 4,096 examples.
SMALL, LONGER = 24, 64

#: How many regimes one structure is tried in: compiling is paid once an architecture.
REGIMES_EACH = 8

#: Every so many structures one has a case whose inputs are not all finite.
SPOILT_EVERY = 5


@dataclass(frozen=True)
class Structure:
    """All that is drawn of a handful of cases: they share the architecture and m, and differ in values."""

    architecture: Architecture
    batch: int
    regimes: tuple[str, ...]
    seed: int

    def cases(self, precision: str) -> Iterator[Case]:
        """Return the cases, one for each regime; small networks have long batches in low precision."""
        long = DTYPES[precision].itemsize < 4 and sum(self.architecture.widths) <= SMALL
        for name in self.regimes:
            m = self.batch * LONGER if long else self.batch
            yield case(self.architecture, m, BY_NAME[name], self.seed, precision)


@st.composite
def layers(draw: st.DrawFn, activations: tuple[str, ...] = ACTIVATIONS, widest: int = 64) -> Layer:
    """Draw a layer."""
    name = draw(st.sampled_from(activations))
    parameters = [draw(st.sampled_from(one.drawn)) for one in ACTIVATION_ROWS[name].parameters]
    return Layer(draw(st.integers(1, widest)), name, *parameters)


@st.composite
def architectures(
    draw: st.DrawFn,
    cost: str | None = None,
    activation: str | None = None,
    activations: tuple[str, ...] = ACTIVATIONS,
    deepest: int = 8,
    widest: int = 64,
    depth: int | None = None,
    sizes: str | None = None,
    parameters: tuple[float, ...] | None = None,
) -> Architecture:
    """Draw an architecture: activations mixed within a network, layers of unequal widths.

    A cost may be asked for, with its parameters, an activation that some layer is to have, the depth, and
    how sizes are drawn. A cost that is defined on probabilities or their logarithms decides the last layer, even
    against ``activations``.
    """
    sizes = sizes or draw(st.sampled_from(SIZES))
    if sizes == "narrow":
        widest = min(widest, 2)
    name = cost or draw(st.sampled_from(COSTS))
    row = COST_ROWS[name]
    fitting = row.last or ACTIVATIONS
    fitting = tuple(one for one in fitting if one in activations) or fitting
    if parameters is None:
        parameters = tuple(draw(st.sampled_from(one.drawn)) for one in row.parameters)
    depth = depth or draw(st.integers(1, deepest))
    hidden = draw(st.lists(layers(activations, widest), min_size=depth - 1, max_size=depth - 1))
    last = draw(layers(fitting, widest))
    if activation and activation not in [layer.activation for layer in (*hidden, last)]:
        # One layer has it: any hidden one, or the last where the cost allows that.
        asked = draw(layers((activation,), widest))
        places = len(hidden) + (activation in fitting)
        place = draw(st.integers(0, places - 1)) if places else 0
        if place < len(hidden):
            hidden[place] = asked
        elif places:
            last = asked
        else:
            hidden.append(asked)
    reduction = draw(st.sampled_from(["mean", "sum"]))
    inputs = draw(st.integers(1, widest))
    if sizes == "equal":
        inputs = draw(st.integers(2, min(widest, 16)))
        hidden, last = [replace(layer, width=inputs) for layer in hidden], replace(last, width=inputs)
    elif sizes == "one output":
        last = replace(last, width=1)
    return Architecture(inputs, (*hidden, last), Cost(name, *parameters), reduction)


@st.composite
def structures(
    draw: st.DrawFn,
    networks: st.SearchStrategy[Architecture] | None = None,
    largest_batch: int = 64,
    regimes: int = REGIMES_EACH,
) -> Structure:
    """Draw an architecture, a batch size, the regimes to try and the seed of the values."""
    network = draw(architectures() if networks is None else networks)
    names = st.lists(
        st.sampled_from([regime.name for regime in REGIMES]), min_size=regimes, max_size=regimes, unique=True
    )
    sizes = [st.integers(1, largest_batch), st.integers(1, 3)]
    if len(set(network.widths)) == 1:  # a square batch hides a wrong axis from the shapes
        sizes.append(st.just(network.inputs))
    batch = draw(st.one_of(sizes))
    return Structure(network, batch, tuple(draw(names)), draw(st.integers(0, 2**32 - 1)))


@st.composite
def cases(draw: st.DrawFn, precision: str | None = None, deepest: int = 4, widest: int = 8) -> Case:
    """Draw one case, small enough to be looked at when it fails."""
    structure = draw(structures(architectures(deepest=deepest, widest=widest), largest_batch=8, regimes=1))
    chosen = precision or draw(st.sampled_from(list(DTYPES)))
    return next(structure.cases(chosen))


@dataclass(frozen=True)
class Turn:
    """What structure number so many is to have. No run should miss a kind of anything by bad luck."""

    activation: str
    cost: str
    depth: int
    sizes: str
    parameters: tuple[float, ...]


def turn_of(index: int, activations: tuple[str, ...] = ACTIVATIONS, costs: tuple[str, ...] = COSTS) -> Turn:
    """Take the next of each kind; whatever is in step for a while is moved on after it.

    So that all pairs are met: of an activation and a cost, of either and a kind of sizes, and each in every precision.
    """
    period, common = (of(len(activations), len(costs)) for of in (math.lcm, math.gcd))
    # Every other activation takes its costs in the other order, or for a while a precision would meet half of them.
    cost = costs[(index + index // period + common * (index % len(activations) % 2)) % len(costs)]
    return Turn(
        activations[index % len(activations)],
        cost,
        1 + (5 * index + index // 8) % 8,
        SIZES[(index + index // SIZES_MOVE) % len(SIZES)],
        tuple(one.drawn[index // len(costs) % len(one.drawn)] for one in COST_ROWS[cost].parameters),
    )


def precision_of(index: int, precisions: Sequence[str]) -> str:
    """Take the next precision. A compiler's time is better spent on another architecture than on one twice."""
    return precisions[(index + index // PRECISIONS_MOVE) % len(precisions)]


def structure_at(
    seed: int, index: int, activations: tuple[str, ...] = ACTIVATIONS, costs: tuple[str, ...] = COSTS
) -> Structure:
    """Draw structure number ``index`` of a campaign; it depends on the arguments alone.

    The index walks through all pairs of an activation and a cost, all depths, all kinds of sizes, a cost's parameters,
    and for each activation through all regimes, so that no run misses one by bad luck; everything else is Hypothesis'
    choice.
    """
    turn = turn_of(index, activations, costs)
    networks = architectures(
        turn.cost,
        turn.activation,
        activations,
        depth=turn.depth,
        sizes=turn.sizes,
        parameters=turn.parameters,
    )
    drawn = drawn_at(seed, index, structures(networks))
    drawn = replace(drawn, regimes=_regimes_at(seed, *divmod(index, len(activations))))
    if index % SPOILT_EVERY == SPOILT_EVERY - 1:
        return replace(drawn, regimes=(*drawn.regimes[:-1], NOT_FINITE.name))
    return drawn


class Alone(HypothesisProvider):
    """Hypothesis' own way to draw, but for the constants that it finds in the source of whatever else is imported.

    With those, the same seed gives other cases in a process that has imported more.
    """

    NAME = "gradparity"

    def _maybe_draw_constant(self, *_: object, **__: object) -> None:
        return None


AVAILABLE_PROVIDERS[Alone.NAME] = f"{Alone.__module__}.{Alone.__qualname__}"


def _regimes_at(seed: int, visit: int, activation: int) -> tuple[str, ...]:
    """Return the regimes of an activation's visit, some at a time of all there are, in an order of its own.

    Precisions take turns as visits do. By the digits of a visit's number in base 2, which no power of two divides
    evenly, every precision meets every share of the regimes.
    """
    names = [regime.name for regime in REGIMES]
    random.Random(f"{seed} {activation}").shuffle(names)
    shares = -(-len(names) // REGIMES_EACH)
    first = min(visit.bit_count() % shares * REGIMES_EACH, len(names) - REGIMES_EACH)
    return tuple(names[first : first + REGIMES_EACH])


def drawn_at(seed: int, index: int, strategy: st.SearchStrategy[Drawn]) -> Drawn:
    """Draw once from a strategy, by Hypothesis' choice; the same arguments give the same.

    Of two examples the second is kept: the first is always the simplest that the strategy has.
    """
    found: list[Drawn] = []

    @hypothesis.seed((seed << 32) + index)
    @hypothesis.settings(
        backend=Alone.NAME,
        max_examples=2,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(one: Drawn) -> None:
        found.append(one)

    with _uninterrupted():
        collect()
    return found[-1]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let an interrupt wait until Hypothesis is done, in a few milliseconds: amid its own work it may lose one."""
    came = list[int]()
    try:
        before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    except ValueError:  # signals come to the main thread, and this is another
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        for number in came[:1]:
            signal.raise_signal(number)
