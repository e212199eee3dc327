"""What the report says, each part by itself: sentences, digits, counts, and what a run is compared with."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from gradparity.harness.compare import Comparison
from gradparity.reference.network import Architecture, Case, Cost, Layer, Parameters
from gradparity.reports.aggregates import BINS_A_DECADE, aggregate
from gradparity.reports.agreement import agreement
from gradparity.reports.baseline import Baseline
from gradparity.reports.causes import apart, causes, told
from gradparity.reports.coverage import coverage, pairs, spoken
from gradparity.reports.numbers import substituted
from gradparity.reports.picture import picture
from gradparity.reports.portraits import certificate, conventions

FINDING: dict[str, Any] = {
    "implementation": "tensorflow:eager", "precision": "float64", "equation": "BP2", "activation": "leaky_relu",
    "cost": "", "function": "leaky_relu", "layer": 1, "array": "delta1", "index": [0, 1], "cases": 7, "batch": 2,
    "largest_margin": 3.0, "expected": False, "reason": None, "link": "", "mid": "-0.3", "rad": "1e-17",
    "result": "-0.30000001192092896", "exact": "[-0.299999999999999988897769753748 +/- 4.35e-31]",
    "architecture": {"inputs": 9, "layers": [{"width": 2, "activation": "leaky_relu", "alpha": 0.3},
                                             {"width": 1, "activation": "identity"}],
                     "cost": {"name": "huber", "delta": 1.0}, "reduction": "mean"},
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "TensorFlow's leaky_relu gradient in float64 is only as accurate as float32"),
        ({"equation": "forward", "result": "0.0"}, "TensorFlow's leaky_relu in float64 is 0, where it is -0.3"),
        ({"result": "nan"}, "TensorFlow's leaky_relu gradient in float64 is nan, where it is -0.3"),
        ({"exact": "0", "result": "1.0"}, "TensorFlow's leaky_relu gradient in float64 is 1, where it is 0"),
        ({"result": "-0.6"}, "TensorFlow's leaky_relu gradient in float64 is twice what it should be"),
        ({"result": "0.3"}, "TensorFlow's leaky_relu gradient in float64 has the wrong sign"),
        ({"result": "-0.33"}, "TensorFlow's leaky_relu gradient in float64 is 10 % off"),
        ({"result": "-0.30000000000000004"}, "TensorFlow's leaky_relu gradient in float64 is off by 1 unit in"
                                             " the last place"),
        ({"implementation": "exec:./mine --fast", "equation": "BP4", "activation": "", "function": "the matrix product",
          "result": "-0.15"}, "exec:./mine --fast's gradient for the weights (the matrix product) in float64 is half of"
                              " what it should be"),
        ({"exact": "[+/- 1e-20]"}, "TensorFlow's leaky_relu gradient in float64 is -0.30000001192092896, where -0.3 ±"
                                   " 1e-17 is right"),
    ],
)  # fmt: skip
def test_a_finding_is_told_as_a_person_would(given: dict[str, Any], sentence: str) -> None:
    assert told({**FINDING, **given}) == sentence


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("exact", [1.0, -0.75, 1.5, 3e-5])
def test_units_in_the_last_place_are_steps_to_the_next_number(precision: str, exact: float) -> None:
    from gradparity.reference.network import DTYPES

    start = np.asarray(exact, DTYPES[precision])
    bits = start.view(f"i{start.itemsize}")
    assert apart(repr(float((bits + 3).view(start.dtype))), str(Decimal(float(start))), precision) == 3
    assert apart("nan", "1", precision) is None


def test_findings_with_one_reason_are_one_cause() -> None:
    known = {"expected": True, "reason": "alpha goes through float32", "link": "https://example.org"}
    found = [
        {**FINDING, **known, "cases": 90},
        {**FINDING, **known, "implementation": "tensorflow:function", "precision": "float32"},
        {**FINDING, "implementation": "torch:eager"},
        {**FINDING, **known, "equation": "forward", "cases": 91},
        {**FINDING, "implementation": "torch:eager", "equation": "forward", "cases": 8},
        {**FINDING, "implementation": "mine:eager"},
        {**FINDING, "implementation": "mine:other"},
    ]
    told_of = [(one.expected, [number for number, _ in one.findings]) for one in causes({"findings": found})]
    assert told_of == [(False, [5, 3]), (False, [6]), (False, [7]), (True, [4, 1, 2])]
    last = causes({"findings": found})[-1]
    assert last.title == "TensorFlow's leaky_relu in float64 and float32: alpha goes through float32"


# ------------------------------------------------------------------------------------------------- numbers, picture


def case(activation: str = "tanh", cost: str = "half_squared_error") -> Case:
    rng = np.random.default_rng(5)
    network = Architecture(2, (Layer(5, "sigmoid"), Layer(3, activation)), Cost(cost), "mean")
    weights = (rng.normal(size=(5, 2)), rng.normal(size=(3, 5)))
    biases = (rng.normal(size=5), rng.normal(size=3))
    return Case(network, Parameters(weights, biases), rng.normal(size=(4, 2)), rng.uniform(0.1, 0.9, (4, 3)))


@pytest.mark.parametrize(
    ("array", "index", "terms"),
    [("z1", (3, 4), 2), ("a1", (0, 0), 0), ("delta1", (1, 2), 3), ("delta2", (0, 2), 0), ("db2", (1,), 4),
     ("dW1", (4, 1), 4)],
)  # fmt: skip
def test_the_numbers_of_an_equation_come_to_its_value(array: str, index: tuple[int, ...], terms: int) -> None:
    """Put together again as the equation has it, with as much as is written out."""
    from gradparity.adapters.reference import Reference

    one = case()
    found = substituted(one, array, index)
    assert found is not None

    def read(written: tuple[str, str]) -> float:
        digits, power = (part.replace("−", "-") for part in written)
        return float(f"{digits}e{power or 0}")

    value = Reference().gradients(one).tensors()[array][index]
    assert read(found.value) == pytest.approx(value, rel=1e-6)
    assert len(found.terms) + found.left_out == terms
    if found.left_out:
        return
    total = sum(read(a) * (read(b) if b else 1) for a, b in found.terms) if found.terms else 1.0
    total += read(found.plus) if found.plus else 0.0
    total *= read(found.gradient) if found.gradient else 1.0
    if found.function:
        z = read(found.argument or ("nan", ""))
        sigma = 1 / (1 + math.exp(-z)) if found.function == "sigmoid" else math.tanh(z)
        slope = sigma * (1 - sigma) if found.function == "sigmoid" else 1 - sigma**2
        total *= slope if found.slope else sigma
    assert total == pytest.approx(value, rel=1e-5)


def test_a_coupled_layer_has_no_slope_at_one_place() -> None:
    found = substituted(case("softmax"), "delta2", (0, 1))
    assert found is not None and found.function == "" and found.terms == ()


@pytest.mark.parametrize(
    ("given", "blamed", "lines"),
    [
        ({}, [1], []),
        ({"array": "a2", "activation": "identity", "layer": 2, "index": [0, 0]}, [2], []),
        ({"array": "dW1", "activation": "", "equation": "BP4", "index": [1, 8]}, [], [0]),
        ({"array": "delta1", "activation": "", "equation": "BP2"}, [], [1]),
        ({"array": "z2", "activation": "", "equation": "forward", "layer": 2, "index": [0, 0]}, [], [1]),
        ({"array": "db1", "activation": "", "equation": "BP3", "index": [1]}, [1], []),
        ({"array": "delta2", "activation": "", "cost": "huber", "equation": "BP1", "layer": 2}, [3], []),
    ],
)
def test_what_is_blamed_is_marked_in_the_picture(
    given: dict[str, Any], blamed: list[int], lines: list[int]
) -> None:
    drawn = picture({**FINDING, **given})
    assert [place for place, one in enumerate(drawn.columns) if one.blamed] == blamed
    assert [place for place, (_, wrong) in enumerate(drawn.lines) if wrong] == lines
    assert [len(one.neurons) for one in drawn.columns] == [4, 2, 1, 1]  # and a sign that the input is wider
    assert (drawn.columns[0].more is None, drawn.columns[1].more is None) == (False, True)
    assert drawn.spoken.count("(wrong here)") == 1


# ------------------------------------------------------------------------------------------------- counting


def rows(number: int = 3000) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    found = []
    for i in range(number):
        depth, batch, width = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(1, 20))
        kind = str(rng.choice(["z", "a", "delta", "db", "dW", "cost"]))
        layer = int(rng.integers(1, depth + 1))
        found.append({
            "case": f"case{i // 3}", "regime": str(rng.choice(["tiny", "large"])),
            "precision": "float32" if i // 3 % 2 else "float64", "cost": str(rng.choice(["hinge", "huber"])),
            "depth": depth, "batch": batch, "implementation": str(rng.choice(["a:b", "c"])), "layer": layer,
            "array": kind if kind == "cost" else f"{kind}{layer}", "activation": str(rng.choice(["relu", "tanh"])),
            "verdict": str(rng.choice(["agrees", "diverges", "inconclusive"], p=[0.8, 0.1, 0.1])),
            "margin": float(rng.choice([0.0, 10 ** rng.uniform(-9, 0)])), "kinked": bool(rng.random() < 0.2),
            "components": {"cost": 1, "db": width, "dW": 3 * width}.get(kind, width * batch),
            "width": width if kind in ("z", "a", "delta", "db") else 0,
        })  # fmt: skip
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Synthetic verdicts in several shards; what a shard that is being written holds is not counted."""
    folder, found = tmp_path_factory.mktemp("run"), rows()
    (folder / "verdicts").mkdir()
    for i in range(0, len(found), 700):
        table = pyarrow.Table.from_pylist(found[i : i + 700])
        pyarrow.parquet.write_table(table, folder / "verdicts" / f"{i:05}.parquet")
    (folder / "verdicts" / "09999.parquet.part").write_bytes(b"half of")
    return folder, found


def test_columns_give_what_counting_row_by_row_does(run: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, all_rows = run
    found = aggregate(folder)
    assert found is not None
    agreeing = [one for one in all_rows if one["verdict"] == "agrees" and not one["kinked"]]

    def counted(*keys: str) -> dict[tuple[Any, ...], tuple[int, float]]:
        groups = defaultdict[tuple[Any, ...], list[float]](list)
        for one in agreeing:
            groups[tuple(one[key] for key in keys)].append(one["margin"])
        return {key: (len(margins), max(margins)) for key, margins in groups.items()}

    def grouped(listing: list[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], tuple[int, float]]:
        return {tuple(one[key] for key in keys): (one["rows"], one["margin"]) for one in listing}

    whose = ("implementation", "precision")
    assert grouped(found.pairs, *whose, "activation", "cost") == counted(*whose, "activation", "cost")
    assert grouped(found.depths, *whose, "depth") == counted(*whose, "depth")
    by_width = defaultdict[int, int](int)
    for one in agreeing:
        if one["width"]:
            by_width[1 << (one["width"] - 1).bit_length()] += 1
    assert {
        key: sum(one["rows"] for one in found.widths if one["width"] == key) for key in by_width
    } == by_width
    for one in found.margins:
        assert one["margin"] <= 10 ** (one["bin"] / BINS_A_DECADE) * (1 + 1e-12)
    assert sum(one["rows"] for one in found.margins) == len(agreeing)
    assert sum(one["rows"] for one in found.verdicts["regime"]) == len(all_rows)
    assert found.precisions == {"float32": 500, "float64": 500} or sum(found.batches.values()) >= 1000


def test_the_distribution_is_that_of_the_margins(run: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, all_rows = run
    found = aggregate(folder)
    assert found is not None
    settings = {
        "implementations": ["c", "a:b"], "precisions": ["float64", "float32"],
        "activations": ["tanh", "relu", "elu"], "costs": ["huber", "hinge", "poisson"],
    }  # fmt: skip
    shown = agreement(found, settings)
    data = json.loads(gzip.decompress(base64.b64decode(shown.packed)))
    assert data["whose"] == [["c", "float64"], ["c", "float32"], ["a:b", "float64"], ["a:b", "float32"]]
    assert (data["activations"], data["costs"]) == (["tanh", "relu"], ["huber", "hinge"])  # what was judged
    for (name, precision), curve in zip(data["whose"], data["curves"], strict=True):
        margins = np.array([
            one["margin"] for one in all_rows if one["verdict"] == "agrees" and not one["kinked"]
            if (one["implementation"], one["precision"]) == (name, precision)
        ])  # fmt: skip
        for x, share in curve:
            assert share == pytest.approx((margins <= 10**x * (1 + 1e-9)).mean(), abs=1e-4)
        spread = next(
            one for one in shown.spreads if (one.implementation, one.precision) == (name, precision)
        )
        assert (spread.rows, spread.worst) == (len(margins), margins.max())
        for share, below in zip((0.5, 0.9, 0.99), spread.below, strict=True):
            assert (margins <= below).mean() >= share


def test_a_folder_without_verdicts_has_no_aggregates(tmp_path: Path) -> None:
    assert aggregate(tmp_path) is None
    (tmp_path / "verdicts").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"case": ["x"]}), tmp_path / "verdicts" / "00000.parquet")
    assert aggregate(tmp_path) is None


def test_what_was_not_drawn_is_named(run: tuple[Path, list[dict[str, Any]]]) -> None:
    found = aggregate(run[0])
    drawn = {
        "activation": {"relu": 5, "tanh": 9},
        "cost": {"hinge": 3},
        "regime": {"tiny": 1},
        "depth": {"2": 4},
    }
    kinds = {one.title: one for one in coverage({"drawn": drawn}, found)}
    assert kinds["activation"].bars == [("tanh", 9, 1.0), ("relu", 5, 5 / 9)]
    assert "elu" in kinds["activation"].never and "relu" not in kinds["activation"].never
    assert kinds["depth"].never == ["1", "3", "4", "5", "6", "7", "8"]
    assert kinds["precision"].never == ["bfloat16", "float16"]
    assert [name for name, _, _ in kinds["batch size"].bars] == ["1", "2", "3–4"]
    assert found is not None
    assert pairs(found, {"costs": ["hinge", "poisson"], "activations": ["relu", "tanh"]}) == [
        ("hinge", []),
        ("poisson", ["relu", "tanh"]),
    ]
    shares = {one.title: one.rows for one in spoken(found)}
    assert {name for name, _, _ in shares["regime"]} == {"tiny", "large"}
    for _, counted, share in shares["cost"]:
        assert share == pytest.approx(counted["inconclusive"] / sum(counted.values()))


# ------------------------------------------------------------------------------------------------- side by side


def test_a_convention_that_is_not_everybodys_is_marked_and_first() -> None:
    def one(slope: str) -> dict[str, Any]:
        shown = {"float64": {"relu": {"0": "0, 0", "1e-300": "same"}, "hardtanh": {"1": slope, "2": "odd"}}}
        return {
            "conventions": shown,
            "kinks": {"relu": ["0"], "hardtanh": ["1"]},
            "measured": [],
            "declined": {},
        }

    found = conventions({"a": one("1, 0"), "b": one("1, 1")})
    assert [(row.function, row.at, row.kink, row.differ) for row in found] == [
        ("hardtanh", "1", True, True),
        ("relu", "0", True, False),
    ]
    assert found[0].returned == ["1, 0", "1, 1"]


def test_the_worst_function_is_first_and_who_lacks_one_has_a_gap() -> None:
    def measured(function: str, margin: float, allowed: int | None = None) -> dict[str, Any]:
        return {
            "precision": "float64",
            "function": function,
            "quantity": "value",
            "margin": margin,
            "allowed": allowed,
        }

    elementary, others = certificate(
        {
            "a": {"measured": [measured("exp", 0.1, 6), measured("relu", 0.2), measured("elu", 0.1)]},
            "b": {"measured": [measured("elu", 9.0)]},
        }
    )
    assert [one.function for one in elementary] == ["exp"]
    assert [(one.function, one.worst) for one in others] == [("elu", 9.0), ("relu", 0.2)]
    assert others[1].measured[1] is None


def test_a_baseline_says_since_when() -> None:
    comparison = Comparison(Path("old"), Path("new"), [], 0, 0, 0, 0)
    versions = [{"name": "tensorflow:eager", "version": "2.20"}]
    before = Baseline({"began": 0.0, "implementations": versions, "findings": [FINDING]}, comparison)
    assert before.since(FINDING) == "at least 1970-01-01, 2.20: the earlier run found it too"
    assert (
        before.since({**FINDING, "equation": "BP1"})
        == "this run: that of 1970-01-01, with 2.20, did not find it"
    )
    assert "did not judge" in before.since({**FINDING, "implementation": "jax:jit"})
