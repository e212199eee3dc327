"""What a campaign draws: every kind of everything, in every precision, and all pairs in the end."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from gradparity.harness.campaign import Settings, draw_cases, lattice_every
from gradparity.property_tests import strategies
from gradparity.property_tests.strategies import SIZES, Turn, precision_of, structure_at, turn_of
from gradparity.reference.network import ACTIVATIONS, COSTS, DTYPES

NUMBERS = "0123"
EVERY = lattice_every(len(ACTIVATIONS))

KINDS: dict[str, tuple[Callable[[Turn], object], Sequence[object]]] = {
    "activation": (lambda turn: turn.activation, ACTIVATIONS),
    "cost": (lambda turn: turn.cost, COSTS),
    "depth": (lambda turn: turn.depth, range(1, 9)),
    "sizes": (lambda turn: turn.sizes, sorted(set(SIZES))),
}


def missed(
    number: int, precisions: int, *kinds: str, functions: tuple[tuple[str, ...], ...] = (ACTIVATIONS, COSTS)
) -> set[tuple[object, ...]]:
    """Give what the first so many structures of a campaign do not have, of all combinations; the precision first."""
    takes, all_of = zip(*(KINDS[kind] for kind in kinds), strict=True)
    found = {
        (
            int(precision_of(index, NUMBERS[:precisions])),
            *(take(turn_of(index, *functions)) for take in takes),
        )
        for index in range(number)
        if index % EVERY != EVERY - 1  # which are drawn otherwise
    }
    return set(product(range(precisions), *all_of)) - found


@pytest.mark.parametrize(
    ("kind", "precisions", "cases"),
    [
        ("sizes", 2, 256), ("sizes", 3, 640), ("sizes", 4, 896), ("depth", 2, 256), ("depth", 3, 896),
        ("depth", 4, 640), ("activation", 2, 896), ("activation", 3, 1536), ("activation", 4, 1792),
        ("cost", 2, 640), ("cost", 3, 1280), ("cost", 4, 3200),
    ],
)  # fmt: skip
def test_every_precision_meets_every_kind(kind: str, precisions: int, cases: int) -> None:
    assert not missed(cases // 8, precisions, kind)


@pytest.mark.parametrize(
    ("one", "other", "cases"),
    [
        ("depth", "sizes", 1280), ("activation", "sizes", 3200), ("cost", "sizes", 5120),
        ("activation", "cost", 5632), ("cost", "depth", 5120), ("activation", "depth", 8960),
    ],
)  # fmt: skip
def test_all_pairs_are_met(one: str, other: str, cases: int) -> None:
    assert not missed(cases // 8, 1, one, other)


def test_and_in_both_precisions_in_the_end() -> None:
    for one in KINDS:
        for other in KINDS:
            assert one == other or not missed(2400, 2, one, other), (one, other)


def test_lattices_come_in_every_precision() -> None:
    for precisions in (2, 3, 4):
        lattices = range(EVERY - 1, 100, EVERY)
        assert {precision_of(i, NUMBERS[:precisions]) for i in lattices} == set(NUMBERS[:precisions])


@pytest.mark.parametrize("activations", [2, 3, 4, 6])
@pytest.mark.parametrize("costs", [1, 2, 4])
def test_so_it_is_where_few_are_asked_for(activations: int, costs: int) -> None:
    some, few = ACTIVATIONS[:activations], COSTS[:costs]
    found = {
        (precision_of(index, NUMBERS[:2]), turn.activation, turn.cost)
        for index in range(128 * activations)
        for turn in (turn_of(index, some, few),)
    }
    assert found == set(product(NUMBERS[:2], some, few))


def test_a_period_that_is_in_step_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it once was: 64 is one more than three times the activations, and a multiple of the kinds of sizes."""
    once = ACTIVATIONS[:21], COSTS[:14]
    monkeypatch.setattr(strategies, "SIZES_MOVE", 64)
    assert missed(31, 2, "sizes", functions=once)
    assert len(missed(400, 1, "activation", "sizes", functions=once)) > 30


@pytest.mark.parametrize("number", [1, 11, 13, 20, 21, 22])
def test_no_activation_loses_its_turns_to_the_lattices(number: int) -> None:
    every = lattice_every(number)
    assert {index % number for index in range(every * number) if index % every != every - 1} == set(
        range(number)
    )


def test_what_is_drawn_has_what_its_turn_says() -> None:
    for index in range(60):
        turn, drawn = turn_of(index), structure_at(0, index).architecture
        widths = drawn.widths
        assert drawn.cost.name == turn.cost
        # Some costs decide the last layer; then an activation that may not be last has a layer of its own.
        assert drawn.depth in (turn.depth, turn.depth + 1)
        if turn.depth > 1:
            assert turn.activation in [layer.activation for layer in drawn.layers]
        assert turn.sizes != "narrow" or max(widths) <= 2
        assert turn.sizes != "equal" or len(set(widths)) == 1
        assert turn.sizes != "one output" or widths[-1] == 1


def test_both_precisions_have_networks_of_every_kind_in_a_short_run() -> None:
    cases = list(draw_cases(Settings((), cases=320)))
    for precision in ("float64", "float32"):
        ordinary = [case for case in cases if case.precision == precision and "lattice" not in case.regime]
        widths = [case.architecture.widths for case in ordinary]
        assert any(max(one) <= 2 for one in widths)
        assert any(len(set(one)) == 1 and one[0] > 2 for one in widths)
        assert any(one[-1] == 1 and max(one) > 2 for one in widths)
        assert any(len(set(one)) > 2 for one in widths)
    assert {case.precision for case in cases} < set(DTYPES)


def test_an_interrupt_while_drawing_is_not_lost() -> None:
    """Wherever Hypothesis is, it comes, and comes as what it is.

    Amid a callback of the garbage collector is another matter, and the command line's (tests/test_cli.py).
    """

    def interrupt(waits: float) -> None:
        time.sleep(waits)
        os.kill(os.getpid(), signal.SIGINT)

    def draw(seed: int) -> None:
        thread = threading.Thread(target=interrupt, args=(0.0005 * (seed % 20),))
        thread.start()
        try:
            for index in range(10_000):
                structure_at(seed, index)
        finally:
            thread.join()

    gc.disable()
    try:
        for seed in range(60):
            with pytest.raises(KeyboardInterrupt):
                draw(seed)
    finally:
        gc.enable()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_drawing_in_another_thread_leaves_interrupts_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(structure_at, 0, 3).result() == structure_at(0, 3)
