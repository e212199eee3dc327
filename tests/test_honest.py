"""The honest variants are judged right: a fast selection here, all of them by ``python tests/honest/everything.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradparity import Case
from gradparity.harness.campaign import Settings, draw_cases
from gradparity.property_tests.probes import of_activation, of_cost
from gradparity.reference.activations import ACTIVATION_ROWS
from gradparity.reference.network import DTYPES

from .honest.documented import document, forbidden
from .honest.forbidden import FORBIDDEN, Forbidden
from .honest.judging import Trials, try_all
from .honest.network import Operations
from .honest.variants import KINDS, VARIANTS, Variant


def test_there_are_enough_of_every_kind() -> None:
    assert len(VARIANTS) >= 100
    assert {variant.kind for variant in VARIANTS} == set(KINDS)
    assert len({str(variant) for variant in VARIANTS}) == len(VARIANTS)


def test_they_are_listed_in_the_documents() -> None:
    docs = Path(__file__).parents[1] / "docs"
    assert (docs / "honest.md").read_text() == document()
    assert forbidden() in (docs / "bounds.md").read_text()


def told(trials: Trials) -> str:
    """Say who was accused, of what, and where it was worst: a line a variant and equation."""
    worst = dict[tuple[str, str, str], tuple[float, str]]()
    for variant, case, broken in trials.accused:
        network, key = case.architecture, (str(variant), broken.equation, case.precision)
        where = (
            f"{broken.name}, {network.layers[broken.layer - 1].activation}, {network.cost.name}, z {broken.z}"
        )
        said = f"{broken.result!r} for {broken.certificate.exact}, {broken.margin:.3g} radii off: {where}"
        worst[key] = max(worst.get(key, (0.0, "")), (broken.margin, said))
    return "\n".join(f"{' '.join(key)}: {said}" for key, (_, said) in worst.items())


def drawn(cases: int, precisions: tuple[str, ...], only: tuple[str, ...] = ()) -> Iterator[Case]:
    yield from draw_cases(Settings((), cases, 11, precisions).only(only))


@pytest.mark.parametrize("precision", DTYPES)
def test_variants_of_products_sums_and_means_are_judged_right(precision: str) -> None:
    trials = Trials()
    general = [variant for variant in VARIANTS if not variant.of]
    try_all(general, drawn(16, (precision,)), trials)
    assert not trials.accused, told(trials)


@pytest.mark.parametrize("precision", DTYPES)
def test_variants_of_functions_are_judged_right_in_networks(precision: str) -> None:
    trials = Trials()
    for name in sorted({variant.of for variant in VARIANTS if variant.of}):
        about = [variant for variant in VARIANTS if variant.of == name]
        try_all(about, drawn(16, (precision,), (name,)), trials)
    assert trials.structures.keys() == {str(variant) for variant in VARIANTS if variant.of}
    assert not trials.accused, told(trials)


@pytest.mark.parametrize("precision", DTYPES)
def test_variants_of_functions_are_judged_right_at_every_point(precision: str) -> None:
    """One layer at a time, over some 25,000 weighted inputs or outputs."""
    trials = Trials()
    for name in sorted({variant.of for variant in VARIANTS if variant.of}):
        rng = np.random.default_rng(5)
        cases = of_activation if name in ACTIVATION_ROWS else of_cost
        about = [variant for variant in VARIANTS if variant.of == name]
        for case in cases(name, precision, rng):
            try_all(about, iter([case]), trials)
    assert not trials.accused, told(trials)


@pytest.mark.parametrize("one", FORBIDDEN, ids=str)
def test_what_is_forbidden_is_accused(one: Forbidden) -> None:
    only = (one.of,) if one.of else ()
    trials, variant = Trials(), Variant(one.operation, "formula", one.name, one.how)
    for seed in range(8):
        cases = draw_cases(Settings((), 64, seed, (one.precision,)).only(only))
        try_all([variant], cases, trials)
        if trials.accused:
            return
    pytest.fail(f"{one} was never accused")


def test_a_dishonest_variant_would_be_accused() -> None:
    """The same trials, of a network whose every product is a billionth too large: they can fail."""
    wrong = Operations(product=lambda a, W: (a @ W.T) * (1 + 1e-9))
    trials = Trials()
    try_all([Variant("product", "order", "a billionth too large", wrong)], drawn(16, ("float64",)), trials)
    assert {broken.equation for _, _, broken in trials.accused} == {"forward"}
