"""A campaign: cases drawn, every implementation asked, every answer judged, every divergence certified.

Data flows one way. Workers answer while the parent computes enclosures, or has another thread prepare a wide case;
answers are judged in the order of the cases, so that the same seed gives the same rows whatever anybody's speed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import count, islice

import xxhash
from threadpoolctl import ThreadpoolController

from ..adapters.implementation import MOST_COLUMNS, columns
from ..adapters.modes import find, in_forward_mode
from ..property_tests.lattices import APART, TIED, lattice_structure_at
from ..property_tests.strategies import precision_of, structure_at
from ..reference.backprop import flow
from ..reference.enclosure import enclose_all
from ..reference.exact import Certifier
from ..reference.interval import Interval
from ..reference.links import prepare_links
from ..reference.network import ACTIVATIONS, COSTS, Architecture, Array, Case
from ..reference.premise import Premise
from ..reference.stack import Stack, together
from ..reference.steps import EQUATIONS
from .blame import Broken
from .verdict import EquationVerdict, Verdict, judge_answers
from .verdict import Judged as Verdicts
from .workers import Answer, Worker, crew

#: How many cases may wait for an answer. Enough for a slow worker (a compiler) to fall behind for a while without
#: stopping the others; bounded, so that memory is.
IN_FLIGHT = 48

#: How many bytes of cases likewise, where there are more than two stacks of them. Their answers take as much for each
#: implementation, and what was in the caches a while ago is not now.
AFLOAT = 2**26

#: How many cases an architecture is asked in, and how many architectures are a shard: what is lost at most where a
#: process dies, and what has to be finished before anything of it is on disk.
CASES_A_STRUCTURE, STRUCTURES_A_SHARD = 8, 8

#: Where a gradient takes more multiplications than this, that of two layers of 128 neurons with 32 examples, to enclose
#: the whole chain takes tens of times as long as to compute it, and the links tell as much: no enclosure is made but
#: for answers that have none.
CHAINED = 2**20

#: Of how many structures a pool is chosen for modes that are expensive: of those of a default run.
POOL_OF = 160

#: Every so many structures one whose cases are computed without rounding. A prime, in step with nothing that takes
#: turns: all precisions get some, and no activation loses its turns to them. The next where it divides their number.
LATTICE_EVERY = (11, 13, 17)


def lattice_every(activations: int) -> int:
    """Return the first of LATTICE_EVERY that is not in step with so many activations, which take turns."""
    return next(every for every in LATTICE_EVERY if activations % every)


@dataclass(frozen=True)
class Settings:
    """What was asked for: whom to judge, how many cases, from which seed, and which kinds to draw."""

    implementations: tuple[str, ...]
    cases: int = 1280
    seed: int = 0
    precisions: tuple[str, ...] = ("float64", "float32")
    timeout: float = 60.0
    activations: tuple[str, ...] = ACTIVATIONS
    costs: tuple[str, ...] = COSTS
    #: Those of the implementations that are asked about a pool of architectures only.
    expensive: tuple[str, ...] = ()
    #: The file that says what is expected to diverge; empty for the one that ships with gradparity.
    expect: str = ""
    #: Whether the run keeps every answer, so that two runs can be compared number by number.
    answers: bool = False
    #: The premises of those that are not in the catalogue of modes: the name, the premise, and how it is known.
    premises: tuple[tuple[str, Premise, str], ...] = ()

    @property
    def shards(self) -> range:
        """Number the shards of the campaign."""
        return range(-(-self.cases // (CASES_A_STRUCTURE * STRUCTURES_A_SHARD)))

    def premise(self, name: str) -> Premise:
        """Return which of an implementation's arrays its links are computed from."""
        mode = find(name)
        found = {one: premise for one, premise, _ in self.premises}
        return found.get(name, mode.premise if mode else Premise.OWN)

    def only(self, names: tuple[str, ...]) -> Settings:
        """Restrict what is drawn to these activations and these costs; naming none of a kind leaves them all."""
        return replace(
            self,
            activations=tuple(name for name in names if name in ACTIVATIONS) or self.activations,
            costs=tuple(name for name in names if name in COSTS) or self.costs,
        )


@dataclass(frozen=True)
class Row:
    """One verdict, as it is stored: whose, on which case, about which equation and layer."""

    case: str
    regime: str
    precision: str
    cost: str
    depth: int
    batch: int
    implementation: str
    equation: str
    layer: int
    array: str
    activation: str
    verdict: str
    #: Whether it diverges, or follows from what does, as the expectations have it.
    expected: bool
    margin: float
    link_margin: float
    kinked: bool
    components: int
    wide: int
    #: A hash of the array's bytes: the same number came from the same bits.
    bits: int
    message: str


@dataclass(frozen=True)
class Divergence:
    """The blamed component of an answer that diverges, with the certificate that it does."""

    case: Case
    implementation: str
    blamed: Broken


@dataclass(frozen=True)
class Judged:
    """One implementation's answer to one case, judged."""

    case: Case
    implementation: str
    rows: Sequence[Row]
    divergences: Sequence[Divergence]
    answer: Answer


@dataclass
class Clock:
    """Where the time went, in seconds: drawing cases, enclosures, judging."""

    drawing: float = 0.0
    enclosures: float = 0.0
    judging: float = 0.0
    _since: float = field(default_factory=time.perf_counter)

    def spent(self) -> tuple[float, float, float]:
        """Give where the time went since this was last asked."""
        seconds = self.drawing, self.enclosures, self.judging
        self.drawing = self.enclosures = self.judging = 0.0
        return seconds

    def lap(self) -> float:
        """Give the seconds since the last lap."""
        before, self._since = self._since, time.perf_counter()
        return self._since - before


def _structures(settings: Settings, indices: Iterable[int]) -> Iterator[tuple[str, Iterator[Case]]]:
    """Draw structures of the campaign: the precision of each, and its cases, which are yet to be drawn."""
    every = lattice_every(len(settings.activations))
    for index in indices:
        precision = precision_of(index, settings.precisions)
        place = (settings.seed, index, settings.activations, settings.costs)
        exact = lattice_structure_at(*place) if index % every == every - 1 else None
        yield precision, (exact or structure_at(*place)).cases(precision)


def draw_cases(settings: Settings, shard: int | None = None) -> Iterator[Case]:
    """Draw the campaign's cases, or a shard's; those of one architecture together, so that it is compiled once."""
    first = 0 if shard is None else shard * STRUCTURES_A_SHARD
    indices = count() if shard is None else range(first, first + STRUCTURES_A_SHARD)

    def drawn() -> Iterator[Case]:
        for _, some in _structures(settings, indices):
            cases = list(some)
            assert (
                len(cases) == CASES_A_STRUCTURE
            )  # or shards would not be the same for every number of cases
            yield from cases

    return islice(drawn(), settings.cases - first * CASES_A_STRUCTURE)


@lru_cache(maxsize=2)
def pool(settings: Settings, small: bool) -> frozenset[tuple[Architecture, str]]:
    """Give the architectures, each in a precision, that expensive modes are asked about.

    Of the campaign's first structures each that has an activation or a cost which none before it had in its precision,
    and the first of each precision that is computed without rounding. Where ``small``, of those that a forward mode
    can afford; else of all sizes, since a compiler makes other code of long arrays than of short ones.
    """
    last = min(POOL_OF, -(-settings.cases // CASES_A_STRUCTURE))
    met = {precision: set[str]() for precision in settings.precisions}
    found = set[tuple[Architecture, str]]()
    for precision, cases in _structures(settings, range(last)):
        case = next(cases)
        network = case.architecture
        kinds = {layer.activation for layer in network.layers} | {network.cost.name}
        if case.regime in (APART, TIED):  # these are all small, of the same few kinds
            kinds = {"without rounding"}
        if (columns(case) <= MOST_COLUMNS or not small) and kinds - met[precision]:
            met[precision] |= kinds
            found.add((network, precision))
    return frozenset(found)


def campaign(
    settings: Settings,
    clock: Clock,
    cases: Iterator[Case] | None = None,
    announce: Callable[[Case], None] = lambda _: None,
    workers: Sequence[Worker] | None = None,
) -> Iterator[Judged]:
    """Run a campaign; gives one Judged for each case and implementation that is asked, cases in order.

    ``announce`` is called with each case as it is begun. Without ``workers`` it starts its own, and leaving the
    iterator early leaves no process behind.
    """
    with ExitStack() as stack:
        # The other core is the implementations'. BLAS' own threads wait for one another by spinning: with two on two
        # cores judging took 240 ms of processor for a case of 3 x 1024 neurons, and takes 142 with one.
        stack.enter_context(_thread_pools().limit(limits=1, user_api="blas"))
        asked = workers or [
            stack.enter_context(one) for one in crew(settings.implementations, settings.timeout)
        ]
        aside = ThreadPoolExecutor(1, "aside")
        stack.callback(aside.shutdown, cancel_futures=True)
        waiting = deque[_Asked]()
        clock.lap()
        for some in _stacks(draw_cases(settings) if cases is None else cases):
            clock.drawing += clock.lap()
            waiting.append(_ask(settings, some, asked, announce, aside))
            # What is judged now is out of the memory before the next enclosure needs some.
            while len(waiting) > 1 and (waiting[0].done or _too_many(waiting)):
                yield from _judge(clock, waiting.popleft())
            clock.lap()
            _ = waiting[-1].enclosure  # while it is being answered
            clock.enclosures += clock.lap()
        while waiting:
            yield from _judge(clock, waiting.popleft())


@cache
def _thread_pools() -> ThreadpoolController:
    """Find them once: to look through all libraries of the process takes as long as judging a small case."""
    return ThreadpoolController()


def _stacks(cases: Iterator[Case]) -> Iterator[Stack]:
    """Take the cases as they come, those of an architecture together where they can be stacked."""
    while some := list(islice(cases, CASES_A_STRUCTURE)):
        yield from map(Stack, together(some))


@dataclass(frozen=True)
class _Asked:
    """Cases, and the answers of each implementation that was asked, in the cases' order.

    Affine forms take longer than everything else, and tell nothing that links do not: they are for those answers only
    that have none.
    """

    stack: Stack
    answers: Mapping[str, Sequence[Future[Answer]]]
    #: What is being prepared, where that is another thread's work.
    prepared: Future[None] | None
    #: By an implementation's name, its premise.
    premise: Callable[[str], Premise]

    @cached_property
    def enclosure(self) -> Mapping[str, Interval]:
        """The enclosure, where the networks are not so large that none is made."""
        return enclose_all(self.stack, sharp=False) if self.prepared is None else {}

    @cached_property
    def sharp(self) -> Mapping[str, Interval]:
        """The enclosure, with affine forms."""
        return enclose_all(self.stack)

    @cached_property
    def any_order(self) -> Mapping[str, Interval]:
        """The enclosure for whoever multiplied the chain rule out in any order."""
        return enclose_all(self.stack, any_order=True)

    @property
    def done(self) -> bool:
        """Whether all answers are in, and all is prepared."""
        ready = self.prepared is None or self.prepared.done()
        return ready and all(answer.done() for answers in self.answers.values() for answer in answers)


def _too_many(waiting: Sequence[_Asked]) -> bool:
    cases, size = (
        sum(one) for one in zip(*((len(one.stack.cases), one.stack.nbytes) for one in waiting), strict=True)
    )
    return cases > IN_FLIGHT or (size > AFLOAT and len(waiting) > 2)


def _ask(
    settings: Settings,
    some: Stack,
    workers: Sequence[Worker],
    announce: Callable[[Case], None],
    aside: ThreadPoolExecutor,
) -> _Asked:
    """Ask all workers; meanwhile wide cases are prepared, in which NumPy and hashlib work without the interpreter."""
    here = (some.architecture, some.precision)
    asked = [
        worker
        for worker in workers
        if worker.name not in settings.expensive or here in pool(settings, in_forward_mode(worker.name))
    ]
    answers = dict[str, list[Future[Answer]]]({worker.name: [] for worker in asked})
    for case in some.cases:
        announce(case)
        for worker in asked:
            answers[worker.name].append(worker.submit(case))
    weights = sum(int(W.size) for W in some.cases[0].parameters.weights)
    wide = some.batch * weights > CHAINED
    return _Asked(some, answers, aside.submit(_prepare, some) if wide else None, settings.premise)


def _prepare(stack: Stack) -> None:
    for case in stack.cases:
        _ = case.id
    prepare_links(stack)


def _judge(clock: Clock, asked: _Asked) -> Iterator[Judged]:
    if asked.prepared:
        asked.prepared.result()
    certifiers = [Certifier(case) for case in asked.stack.cases]  # one exact run serves all who diverge
    found = dict[str, list[Judged]]()
    for name, futures in asked.answers.items():
        answers = [future.result() for future in futures]
        clock.lap()  # waiting is nobody's time
        found[name] = _judged(asked, name, answers, certifiers)
        clock.judging += clock.lap()
    for i in range(len(asked.stack.cases)):
        for judged in found.values():
            yield judged[i]
    clock.lap()


def _judged(
    asked: _Asked, name: str, answers: Sequence[Answer], certifiers: Sequence[Certifier]
) -> list[Judged]:
    """Judge an implementation's answers to a stack of cases, those together that hold the same arrays."""
    alike = dict[tuple[str, ...], list[int]]()
    for i, answer in enumerate(answers):
        if answer.gradients is not None:
            alike.setdefault(tuple(answer.gradients.tensors()), []).append(i)
    verdicts = dict[int, Verdicts]()
    for names, places in alike.items():
        whole = len(places) == len(answers)
        some = asked.stack if whole else Stack([asked.stack.cases[i] for i in places])
        every = flow(asked.stack.architecture, asked.stack.batch).answered
        premise = asked.premise(name)
        follows = premise is Premise.OWN and len(names) == len(every)
        forward = in_forward_mode(name)
        enclosure = asked.any_order if forward else asked.enclosure if follows else asked.sharp
        if not whole:
            enclosure = {key: one.among(places) for key, one in enclosure.items()}
        given = [gradients for i in places if (gradients := answers[i].gradients) is not None]
        judged = judge_answers(some, given, enclosure, [certifiers[i] for i in places], premise)
        verdicts |= dict(zip(places, judged, strict=True))
    return [
        _told(case, name, answer, verdicts.get(i))
        for i, (case, answer) in enumerate(zip(asked.stack.cases, answers, strict=True))
    ]


def _told(case: Case, name: str, answer: Answer, judged: Verdicts | None) -> Judged:
    """Put an answer's verdicts into rows."""
    network = case.architecture

    def row(one: EquationVerdict, array: Array | None = None, message: str = "") -> Row:
        activation = network.layers[one.layer - 1].activation if one.layer else ""
        # Signed, as Parquet's integers are.
        bits = 0 if array is None else xxhash.xxh3_64_intdigest(array) - 2**63  # type: ignore[arg-type]
        return Row(
            case.id, case.regime, case.precision, network.cost.name, network.depth, case.batch, name,
            one.equation, one.layer, str(one.name), activation, str(one.verdict), False, one.margin,
            one.link_margin, one.kinked, one.components, one.wide,
            bits, message,
        )  # fmt: skip

    if judged is None or answer.gradients is None:
        verdict = Verdict.UNSUPPORTED if answer.outcome == "unsupported" else Verdict.FAILED
        nothing = [EquationVerdict(equation, 0, "", verdict, 0.0, 0.0, 0, 0, False) for equation in EQUATIONS]
        return Judged(case, name, [row(one, message=answer.message) for one in nothing], [], answer)
    arrays = answer.gradients.tensors()
    rows = [row(one, arrays[one.name], judged.doubts.get(one.name, "")) for one in judged.verdicts]
    return Judged(case, name, rows, [Divergence(case, name, blamed) for blamed in judged.blamed], answer)
