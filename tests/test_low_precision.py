"""bfloat16 and float16: sums are added up in float32 and rounded once, and everything else is rounded as it comes.

So a batch of 4,096 examples tells who adds up in the precision itself, where a hundred would not. And each check can
fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from gradparity.adapters.reference import Reference, Rounded
from gradparity.harness import cli
from gradparity.harness.held import margins
from gradparity.harness.judgement import judge
from gradparity.harness.verdict import Verdict
from gradparity.property_tests.regimes import BY_NAME, REGIMES, case
from gradparity.property_tests.strategies import LONGER, SMALL, Structure, structure_at
from gradparity.reference.enclosure import enclose
from gradparity.reference.links import links
from gradparity.reference.network import DTYPES, Architecture, Array, Case, Cost, Gradients, Layer, Parameters
from gradparity.reference.rounding.model import K_LOW, K, model

LOW = ("bfloat16", "float16")
NETWORK = Architecture(3, (Layer(4, "tanh"), Layer(2, "identity")), Cost("half_squared_error"), "sum")


def one_by_one(terms: Array) -> Array:
    """Add up over the first axis, rounding every sum to the terms' own precision."""
    total = np.zeros_like(terms[0])
    for term in terms:
        total = (total + term).astype(terms.dtype)
    return np.asarray(total)


def in_float32(terms: Array) -> Array:
    """Add up over the first axis in float32, in blocks, and round once."""
    blocks = terms.astype(np.float32).reshape(16, -1, *terms.shape[1:]).sum(axis=1)
    return np.asarray(blocks.sum(axis=0)).astype(terms.dtype)


def answer(case: Case, sum_of: Callable[[Array], Array]) -> Gradients:
    """The reference's answer, with BP3 and BP4 added up in another way."""
    found = Reference().gradients(case)
    a = [case.x, *(found.a or ())]
    # Products of two numbers of 8 or 11 bits are exact in float32: only the sums are rounded.
    dW = []
    for delta, previous in zip(found.delta or (), a, strict=False):
        products = delta.astype(np.float32)[:, :, None] * previous.astype(np.float32)[:, None, :]
        dW.append(
            sum_of(products.astype(case.dtype) if sum_of is one_by_one else products).astype(case.dtype)
        )
    return replace(found, db=[sum_of(delta) for delta in found.delta or ()], dW=dW)


@pytest.mark.parametrize("precision", LOW)
class TestTheBatchOf4096:
    def test_who_adds_up_in_the_precision_itself_diverges_and_is_named(self, precision: str) -> None:
        asked = case(NETWORK, 4096, BY_NAME["ordinary"], 0, precision)
        judgement = judge(asked, answer(asked, one_by_one))
        assert judgement.verdict is Verdict.DIVERGES
        assert {one.equation for one in judgement.blamed} == {"BP3", "BP4"}

    def test_its_twin_that_adds_up_in_float32_agrees(self, precision: str) -> None:
        asked = case(NETWORK, 4096, BY_NAME["ordinary"], 0, precision)
        judgement = judge(asked, answer(asked, in_float32))
        assert {one.equation for one in judgement.verdicts if one.verdict is Verdict.DIVERGES} == set()
        of_sums = {one.verdict for one in judgement.verdicts if one.equation in ("BP3", "BP4")}
        assert of_sums == {Verdict.AGREES}

    def test_a_short_batch_would_not_tell(self, precision: str) -> None:
        """Two terms are rounded once, wherever they are added up."""
        asked = case(NETWORK, 2, BY_NAME["ordinary"], 0, precision)
        assert judge(asked, answer(asked, one_by_one)).verdict is not Verdict.DIVERGES


@pytest.mark.parametrize("precision", LOW)
class TestTheReference:
    def test_sums_and_products_are_rounded_once(self, precision: str) -> None:
        ones = np.ones((4096, 2), DTYPES[precision]).view(Rounded)
        for total in (ones.sum(axis=0), (ones.T @ ones)[0], ones[:, 0].sum()):
            assert np.all(np.asarray(total, np.float64) == 4096)
        assert one_by_one(np.asarray(ones))[0] == (256 if precision == "bfloat16" else 2048)

    def test_every_other_operation_is_rounded_by_itself(self, precision: str) -> None:
        eps = float(ml_dtypes.finfo(DTYPES[precision]).eps)
        x = np.full((2, 2), 1 + eps, DTYPES[precision]).view(Rounded)
        assert np.all(np.asarray(x * x - 1, np.float64) == 2 * eps)  # eps squared is lost in x * x
        assert np.all(np.asarray(x * 0.1, np.float64) == float(DTYPES[precision].type((1 + eps) * 0.1)))

    def test_numpys_functions_do_not_lose_it(self, precision: str) -> None:
        x = np.ones((2, 2), DTYPES[precision]).view(Rounded)
        for result in (np.where(x > 0, x, 0.5), np.full_like(x, 0.1), np.exp(x), x.T, x[:1], 1 - x, x.max()):
            assert isinstance(result, Rounded)
            assert result.dtype == DTYPES[precision]
        assert not isinstance(x > 0, Rounded)

    def test_the_wider_precisions_are_plain_numpy(self, precision: str) -> None:
        for wide in ("float64", "float32"):
            asked = case(NETWORK, 3, BY_NAME["ordinary"], 0, wide)
            assert not any(
                isinstance(array, Rounded) for array in Reference().gradients(asked).tensors().values()
            )


def rounded_at_the_end(asked: Case, factor: float = 1.0) -> dict[str, Array]:
    """What a compiler's excess precision gives: all of it in float32, and only what is returned is rounded."""
    tensors = {name: array.astype(np.float32) for name, array in asked.tensors().items()}
    layers = range(1, asked.architecture.depth + 1)
    parameters = Parameters(tuple(tensors[f"W{i}"] for i in layers), tuple(tensors[f"b{i}"] for i in layers))
    wide = Case(asked.architecture, parameters, tensors["x"], tensors["y"], "float32")
    with np.errstate(over="ignore"):
        found = Reference().gradients(wide).tensors()
        return {name: (factor * array).astype(asked.dtype) for name, array in found.items()}


def outside(asked: Case, found: dict[str, Array]) -> list[str]:
    return [name for name, interval in enclose(asked).items() if np.any(margins(found[name], interval) > 1)]


def off_its_links(asked: Case, found: dict[str, Array]) -> list[str]:
    bounds = links(asked, Gradients.from_tensors(found, asked))
    return [name for name, interval in bounds.items() if np.any(margins(found[name], interval) > 1)]


@pytest.mark.parametrize("precision", LOW)
def test_who_keeps_float32_between_the_operations_stays_inside(precision: str) -> None:
    for index in range(0, 24, 2):
        for asked in structure_at(3, index).cases(precision):
            found = rounded_at_the_end(asked)
            assert outside(asked, found) == [], (index, asked.regime)
            assert off_its_links(asked, found) == [], (index, asked.regime)


@pytest.mark.parametrize("last", ["identity", "selu", "tanh", "softmax", "log_softmax"])
@pytest.mark.parametrize("size", [2.0**-12, 2.0**-16, 2.0**-20, 2.0**-23, 2.0**-24])
def test_what_float16_can_hardly_hold_a_compiler_may_have_held(size: float, last: str) -> None:
    """Between float16's smallest normal number and zero, rounding is as large for every number."""
    rng = np.random.default_rng(7)
    network = Architecture(3, (Layer(4, "selu"), Layer(3, last)), Cost("squared_error"), "sum")
    for scaled in ("x", "parameters", "both"):
        W1, W2, x = (rng.normal(0, 1, shape) for shape in ((4, 3), (3, 4), (64, 3)))
        weights = size if scaled == "parameters" else size**0.5 if scaled == "both" else 1
        inputs = 1 if scaled == "parameters" else size
        parameters = Parameters(
            ((weights * W1).astype(np.float16), (weights * W2).astype(np.float16)),
            (np.zeros(4, np.float16), np.zeros(3, np.float16)),
        )
        y = np.zeros((64, 3), np.float16)
        asked = Case(network, parameters, (inputs * x).astype(np.float16), y, "float16")
        found = rounded_at_the_end(asked)
        assert outside(asked, found) == [], scaled
        assert off_its_links(asked, found) == [], scaled


@pytest.mark.parametrize("precision", LOW)
def test_who_is_some_roundings_off_does_not(precision: str) -> None:
    asked = case(NETWORK, 3, BY_NAME["ordinary"], 0, precision)
    assert outside(asked, rounded_at_the_end(asked)) == []
    assert "z1" in outside(asked, rounded_at_the_end(asked, 1 + 8 * model(precision).unit))


def identity(z: float, precision: str) -> Case:
    """One neuron of the identity, whose weighted input is z."""
    one, none = np.ones((1, 1), DTYPES[precision]), np.zeros(1, DTYPES[precision])
    network = Architecture(1, (Layer(1, "identity"),), Cost("half_squared_error"))
    return Case(network, Parameters((one,), (none,)), one * DTYPES[precision].type(z), one, precision)


@pytest.mark.parametrize(
    ("precision", "z", "may_be_flushed"), [("bfloat16", 2.0**-130, True), ("float16", 2.0**-20, False)]
)
def test_subnormal_numbers_are_flushed_where_float32_flushes_them(
    precision: str, z: float, may_be_flushed: bool
) -> None:
    asked = identity(z, precision)
    assert float(asked.x[0, 0]) == z
    margin = margins(np.zeros((1, 1), asked.dtype), enclose(asked)["z1"])
    assert np.all(margin < 1) == may_be_flushed


@pytest.mark.parametrize("precision", DTYPES)
def test_the_model_of_each_precision(precision: str) -> None:
    m, info = model(precision), ml_dtypes.finfo(DTYPES[precision])
    low = precision in LOW
    assert m.unit == pytest.approx(float(info.eps) / 2, rel=2**-10)
    assert m.excess == (m.unit if low else 0.0)
    assert m.gamma(4096) == pytest.approx(4096 * (2.0**-24 if low else m.unit), rel=1e-3)
    assert m.accumulator is (model("float32") if low else None)
    assert (K_LOW if low else K) == m.K
    assert m.constant_error(0.5) == 0
    assert m.constant_error(0.1) == pytest.approx(0.1 * m.unit)


@pytest.mark.parametrize("precision", DTYPES)
def test_every_regime_is_within_range_and_the_ordinary_one_stays_there(precision: str) -> None:
    for index in range(0, 60, 5):
        structure = structure_at(1, index)
        for asked in replace(structure, regimes=tuple(one.name for one in REGIMES)).cases(precision):
            assert all(np.isfinite(array).all() for array in asked.tensors().values()), asked.regime
            if asked.regime == "ordinary":
                found = Reference().gradients(asked)
                assert all(np.isfinite(array).all() for array in (*(found.z or ()), *(found.a or ())))


def test_small_networks_have_long_batches_in_low_precision_only() -> None:
    small = Architecture(3, (Layer(2, "relu"), Layer(1, "identity")), Cost("half_squared_error"))
    large = Architecture(SMALL, (Layer(2, "relu"), Layer(1, "identity")), Cost("half_squared_error"))
    for network, precision, batch in (
        (small, "float64", 64), (small, "float32", 64), (small, "bfloat16", 64 * LONGER),
        (small, "float16", 64 * LONGER), (large, "bfloat16", 64),
    ):  # fmt: skip
        (asked,) = Structure(network, 64, ("ordinary",), 0).cases(precision)
        assert asked.batch == batch
    assert 64 * LONGER == 4096
    drawn = [next(structure_at(0, index).cases("bfloat16")).batch for index in range(160)]
    assert sum(batch >= 1024 for batch in drawn) >= 4


def test_the_command_line_names_every_precision() -> None:
    assert tuple(DTYPES) == cli.PRECISIONS
