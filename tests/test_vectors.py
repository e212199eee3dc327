"""The frozen vectors: a set is whole, small and the same every time, and by itself catches every known fault."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from gradparity import Architecture, Case, Cost, Gradients, Layer
from gradparity.adapters.document import read_case
from gradparity.adapters.reference import Reference
from gradparity.harness.vector_cases import LOCKED, VECTORS, Vector
from gradparity.harness.vector_flags import Asked, flags_of
from gradparity.harness.vectors import VectorsError, exact_bounds, expected, outward, write_vectors
from gradparity.property_tests.faults import FAULTS, Fault
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.activations import ACTIVATION_ROWS
from gradparity.reference.enclosure import enclose
from gradparity.reference.interval import Interval
from gradparity.reference.network import DTYPES, Parameters
from gradparity.tests.twin import Network

from .conftest import Gradparity

Implementation = Callable[[Case], Gradients]


@dataclass(frozen=True)
class Read:
    """One vector as anybody would read it; the case is decoded for the implementations of this suite."""

    entry: Mapping[str, Any]
    case: Case
    expected: Mapping[str, np.ndarray[Any, Any]]


def read(folder: Path) -> list[Read]:
    entries = json.loads((folder / "index.json").read_text())["vectors"]

    def opened(entry: Mapping[str, str]) -> bytes:
        blob = (folder / entry["file"]).read_bytes()
        assert hashlib.sha256(blob).hexdigest() == entry["sha256"]
        return blob

    return [
        Read(entry, read_case(opened(entry["case"])), safetensors.numpy.load(opened(entry["expected"])))
        for entry in entries
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "vectors"
    write_vectors(path)
    return path


@pytest.fixture(scope="module")
def vectors(folder: Path) -> list[Read]:
    return read(folder)


def index(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---------------------------------------------------------------- the checker: nothing of gradparity's in it


def fault_in(vector: Read, implementation: Implementation) -> str:
    """Say what is wrong with an answer to a vector, by the vector's own intervals alone; empty if nothing is."""
    try:
        answer = implementation(vector.case).tensors()
    except ValueError as error:
        return f"crashed: {error}"
    shapes = vector.entry["arrays"]
    for name in shapes:
        if name not in answer:
            if name.startswith(("dW", "db")):
                return f"{name} is missing"
            continue
        array, low, high = (
            np.asarray(answer[name]),
            vector.expected[f"{name}.low"],
            vector.expected[f"{name}.high"],
        )
        if list(array.shape) != shapes[name]:
            return f"{name} has shape {array.shape}"
        if array.dtype != vector.case.dtype:
            return f"{name} is {array.dtype}"
        values = array.astype(np.float64)
        unknown = (low == -np.inf) & (high == np.inf)
        if not np.all(unknown | ((low <= values) & (values <= high))):
            return f"{name} is outside"
    return ""


def wrong(implementation: Implementation, vectors: list[Read]) -> dict[str, str]:
    """Ask one implementation about all, in order; gives what is wrong by the vector's id."""
    found = {vector.entry["id"]: fault_in(vector, implementation) for vector in vectors}
    return {name: what for name, what in found.items() if what}


def computable(vectors: list[Read]) -> list[Read]:
    """Those that NumPy's own arithmetic answers rightly; its sums of bfloat16 and float16 are rounded term by term."""
    return [vector for vector in vectors if vector.case.dtype.itemsize >= 4]


@cache
def caught_by(fault: Fault, folder: Path) -> tuple[str, ...]:
    return tuple(wrong(fault.implementation(), computable(read(folder))))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault_fails_a_vector(fault: Fault, folder: Path) -> None:
    assert caught_by(fault, folder)


def test_the_correct_twin_fails_none(vectors: list[Read]) -> None:
    twin = Network()
    assert wrong(twin, computable(vectors)) == {}
    assert wrong(twin, computable(vectors)) == {}  # asked again


def test_the_reference_fails_none_in_any_precision(vectors: list[Read]) -> None:
    assert {vector.case.precision for vector in vectors} == set(DTYPES)
    assert wrong(Reference().gradients, vectors) == {}


def test_every_fault_shows_in_the_gradients_alone(vectors: list[Read]) -> None:
    """An implementation need not give anything else."""

    def gradients_of(network: Implementation) -> Implementation:
        def answer(asked: Case) -> Gradients:
            whole = network(asked)
            return Gradients(whole.dW, whole.db)

        return answer

    chosen = computable(vectors)
    missed = {str(fault) for fault in FAULTS if not wrong(gradients_of(fault.implementation()), chosen)}
    assert missed == set()
    assert wrong(gradients_of(Network()), chosen) == {}


def test_a_sum_that_is_added_up_in_low_precision_fails_the_long_batches(vectors: list[Read]) -> None:
    """The reference, but that BP3 adds up in the precision itself."""

    def naive(asked: Case) -> Gradients:
        answer = Reference().gradients(asked)
        assert answer.delta is not None
        sums = [np.add.accumulate(delta, axis=0)[-1].astype(asked.dtype) for delta in answer.delta]
        return replace(answer, db=sums)

    long = [vector for vector in vectors if "LongBatchLowPrecision" in vector.entry["flags"]]
    assert {vector.case.precision for vector in long} == {"bfloat16", "float16"}
    assert len(wrong(naive, long)) == len(long)
    assert wrong(Reference().gradients, long) == {}


def test_what_is_kept_from_a_vector_shows_in_the_next_and_what_is_kept_of_it_when_asked_again(
    vectors: list[Read],
) -> None:
    class AddsUp(Network):
        """It keeps a gradient for every case, and adds to it."""

        def __init__(self) -> None:
            self.kept: dict[tuple[str, int], Any] = {}

        def bias_gradient(self, l: int) -> Any:
            key = (self.case.id, l)
            self.kept[key] = super().bias_gradient(l) + self.kept.get(key, 0)
            return self.kept[key]

    suspect, chosen = AddsUp(), computable(vectors)
    assert wrong(suspect, chosen) == {}
    assert len(wrong(suspect, chosen)) > len(chosen) / 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda vector, answer: replace(answer, dW=[np.nextafter(dW, np.inf) for dW in answer.dW]),
        lambda vector, answer: replace(answer, dW=[dW[None] for dW in answer.dW]),
        lambda vector, answer: replace(answer, dW=[np.full_like(dW, np.nan) for dW in answer.dW]),
        lambda vector, answer: replace(answer, db=[db.astype(np.float32) for db in answer.db]),
        lambda vector, answer: replace(answer, db=answer.db[:-1]),
    ],
    ids=["one unit in the last place", "shape", "NaN", "dtype", "missing"],
)
def test_the_checker_itself_can_fail(
    spoil: Callable[[Read, Gradients], Gradients], vectors: list[Read]
) -> None:
    """On a lattice, where intervals are points, it takes one unit in the last place."""
    exact = next(v for v in vectors if "NoRounding" in v.entry["flags"] and v.case.precision == "float64")
    answer = Reference().gradients(exact.case)
    assert not fault_in(exact, lambda _: answer)
    assert fault_in(exact, lambda _: spoil(exact, answer))


# ------------------------------------------------------------------------------------------------ the folder


def refused(schema: Path, *files: Path) -> set[str]:
    """Name the files that are not what a JSON Schema says."""
    checker = [sys.executable, "-m", "check_jsonschema", "--output-format", "json", "--schemafile"]
    done = subprocess.run([*checker, str(schema), *map(str, files)], capture_output=True, check=False)
    return {Path(error["filename"]).name for error in json.loads(done.stdout).get("errors", ())}


def test_the_index_is_what_its_schema_says(folder: Path, tmp_path: Path) -> None:
    spoils: tuple[Callable[[dict[str, Any]], object], ...] = (
        lambda i: i.pop("rules"),
        lambda i: i.update(format=2),
        lambda i: i.update(more=1),
        lambda i: i["flags"]["BatchOfOne"].pop("catches"),
        lambda i: i["vectors"][0].update(id="no hash"),
        lambda i: i["vectors"][0]["case"].update(file="../../etc/passwd"),
        lambda i: i["vectors"][0]["case"].update(sha256="0"),
        lambda i: i["vectors"][0].update(precision="float8"),
        lambda i: i["vectors"][0]["arrays"].pop("dW1"),
        lambda i: i["vectors"][0]["architecture"]["layers"].clear(),
    )
    for number, spoil in enumerate(spoils):
        spoilt = index(folder)
        spoil(spoilt)
        (tmp_path / f"{number}.json").write_text(json.dumps(spoilt))
    files = sorted(tmp_path.iterdir())
    assert len(files) == len(spoils)
    found = refused(folder / "index.schema.json", folder / "index.json", *files)
    assert found == {file.name for file in files}


def test_every_file_belongs_to_a_vector_and_every_vector_has_its_own(
    folder: Path, vectors: list[Read]
) -> None:
    named = [vector.entry[kind]["file"] for vector in vectors for kind in ("case", "expected")]
    assert sorted([*named, "index.json", "index.schema.json"]) == sorted(contents(folder))
    assert len({vector.entry["id"] for vector in vectors}) == len(vectors) == len(VECTORS)
    for vector in vectors:
        assert vector.entry["id"] == vector.case.id
        assert vector.entry["architecture"] == vector.case.architecture.to_json()
        assert (vector.entry["precision"], vector.entry["batch"]) == (
            vector.case.precision,
            vector.case.batch,
        )
        shapes = {
            f"{name}{end}": tuple(shape)
            for name, shape in vector.entry["arrays"].items()
            for end in ("", ".low", ".high")
        }
        assert {name: array.shape for name, array in vector.expected.items()} == shapes
        assert {array.dtype for array in vector.expected.values()} == {np.dtype(np.float64)}
        assert set(vector.entry["arrays"]) == set(Reference().gradients(vector.case).tensors())


def test_it_is_small(folder: Path) -> None:
    assert sum(map(len, contents(folder).values())) < 2 * 2**20


def test_two_runs_are_the_same_byte_for_byte(folder: Path, gradparity: Gradparity, tmp_path: Path) -> None:
    """In another process, whose hashes have another seed."""
    done = gradparity("vectors", "again")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(VECTORS)} vectors in again, in the order of again/index.json\n"
    assert contents(tmp_path / "again") == contents(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_the_vectors_are_the_frozen_ones_under_other_instruction_sets(tmp_path: Path) -> None:
    """The cases are; the last digits of an interval need not be."""
    program = "from gradparity.harness.vector_cases import VECTORS; assert all(v.case().id == v.id for v in VECTORS)"
    older = {**os.environ, "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=older, cwd=tmp_path, check=True)


# --------------------------------------------------------------------------------------- refusing to write it


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(gradparity: Gradparity, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("there", "file", "file/below"):
        done = gradparity("vectors", name)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("gradparity: ")
        assert "Traceback" not in done.stderr
    assert contents(tmp_path) == {"there/mine": b"mine", "file": b"mine"}


def test_an_empty_folder_that_is_there_is_filled(
    folder: Path, gradparity: Gradparity, tmp_path: Path
) -> None:
    before = tmp_path.stat().st_ino
    assert gradparity("vectors", ".").returncode == 0
    assert tmp_path.stat().st_ino == before
    assert contents(tmp_path) == contents(folder)


def test_nothing_is_written_where_a_case_is_not_the_frozen_one(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match=r"0{16}.*constraints\.txt"):
        write_vectors(tmp_path / "new", [*VECTORS[:2], replace(VECTORS[2], id="0" * 16)])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_an_interval_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The exact value is held against it, in every component."""

    def shifted(asked: Case) -> dict[str, Interval]:
        found = enclose(asked)
        rad = found["db1"].rad
        return {**found, "db1": replace(found["db1"], mid=found["db1"].mid + 3 * rad + 1e-300)}

    write_vectors(tmp_path / "right", VECTORS[:1])
    monkeypatch.setattr("gradparity.harness.vectors.enclose", shifted)
    with pytest.raises(VectorsError, match=r"db1 of case .* outside its interval"):
        write_vectors(tmp_path / "wrong", VECTORS[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["right"]


# ---------------------------------------------------------------------------------------------- the intervals


def test_ends_are_rounded_outwards() -> None:
    """A midpoint in long double whose ends no float64 holds; nearest would cut one of them."""
    rng = np.random.default_rng(0)
    mid = rng.normal(size=200).astype(np.longdouble) * (1 + np.longdouble(2) ** -60)
    rad = np.abs(rng.normal(size=200)) * 1e-17
    low, high = outward(Interval(mid, rad, 1.0, kinked=False))
    rounded_down = 0
    for m, r, lo, hi in zip(mid, rad, low, high, strict=True):
        least, most = (Fraction(*m.as_integer_ratio()) + side * Fraction(float(r)) for side in (-1, 1))
        assert Fraction(float(lo)) <= least
        assert most <= Fraction(float(hi))
        assert Fraction(float(np.nextafter(lo, np.inf))) > least  # no further than needed
        assert Fraction(float(np.nextafter(hi, -np.inf))) < most
        rounded_down += float(least) != lo
    assert rounded_down > 20


@pytest.mark.parametrize(("mid", "rad"), [(0.0, np.inf), (np.nan, 1.0), (np.inf, 1.0), (0.0, np.nan)])
def test_where_nothing_is_known_any_value_is_right(mid: float, rad: float) -> None:
    low, high = outward(Interval(np.array([mid]), np.array([rad]), 1.0, kinked=False))
    assert (float(low[0]), float(high[0])) == (-np.inf, np.inf)


def test_a_point_stays_a_point() -> None:
    low, high = outward(Interval(np.array([[0.1]], np.longdouble), np.zeros((1, 1)), 1.0, kinked=False))
    assert low == high == 0.1
    assert low.shape == (1, 1)


def test_a_case_that_may_overflow_is_marked_as_unknown() -> None:
    """None of the frozen ones is; the convention is for whoever writes more."""
    network = Architecture(1, (Layer(1, "identity"),), Cost("half_squared_error"))
    x = np.array([[1e200]])
    asked = Case(network, Parameters((x.copy(),), (np.zeros(1),)), x, np.zeros((1, 1)))
    found = safetensors.numpy.load(expected(asked))
    assert (found["dW1.low"].item(), found["dW1.high"].item()) == (-np.inf, np.inf)
    assert found["z1"] == np.inf
    vector = Read({"arrays": {"db1": [1], "dW1": [1, 1]}}, asked, found)
    assert not fault_in(vector, lambda _: Gradients([np.full((1, 1), np.nan)], [np.full(1, np.nan)]))


# ------------------------------------------------------------------------------------------- the exact values


def test_every_exact_value_is_in_its_interval_or_there_is_none(vectors: list[Read]) -> None:
    without = set()
    for vector in vectors:
        for name in vector.entry["arrays"]:
            value, low, high = (vector.expected[f"{name}{end}"] for end in ("", ".low", ".high"))
            assert np.isfinite(low).all()
            assert np.isfinite(high).all()
            nowhere = np.isnan(value)
            assert np.all(
                nowhere | ((np.nextafter(low, -np.inf) <= value) & (value <= np.nextafter(high, np.inf)))
            )
            if nowhere.any():
                without.update(vector.entry["flags"])
                assert {"KinkExactlyHit", "ResidualExactlyZero"} & set(vector.entry["flags"])
                assert name.startswith(("delta", "db", "dW"))
    assert without


def test_without_rounding_value_and_interval_are_one(vectors: list[Read]) -> None:
    exact = [vector for vector in vectors if "NoRounding" in vector.entry["flags"]]
    assert len(exact) > 12
    for vector in exact:
        for name in vector.entry["arrays"]:
            if name == "cost":  # which may be a norm that is squared again
                continue
            value, low, high = (vector.expected[f"{name}{end}"] for end in ("", ".low", ".high"))
            assert np.array_equal(value, low)
            assert np.array_equal(value, high)


def test_the_exact_values_are_those_of_whole_numbers() -> None:
    """One neuron by hand, in fractions: w = 3/10, b = 1/5, x = 7/10, y = 1/3 as float64 holds them."""
    w, b, x, y = map(Fraction, (0.3, 0.2, 0.7, 1 / 3))
    delta = 2 * (w * x + b - y)
    network = Architecture(1, (Layer(1, "identity"),), Cost("squared_error"), "sum")
    given = Parameters((np.array([[0.3]]),), (np.array([0.2]),))
    found = exact_bounds(Case(network, given, np.array([[0.7]]), np.array([[1 / 3]])))
    hand = {"z1": w * x + b, "a1": w * x + b, "cost": (w * x + b - y) ** 2, "delta1": delta, "db1": delta,
            "dW1": delta * x}  # fmt: skip
    assert {name: float(least.item()) for name, (least, _) in found.items()} == {
        name: float(value) for name, value in hand.items()
    }
    assert all(least == most for least, most in found.values())


def test_an_exact_zero_is_told_from_what_is_unknown() -> None:
    """tanh z - tanh z is 0, but at no number of bits does arbitrary precision say so; nearly 0 is enough."""
    network = Architecture(1, (Layer(2, "tanh"), Layer(1, "relu")), Cost("half_squared_error"), "sum")
    weights = (np.full((2, 1), 0.3), np.array([[1.0, -1.0]]))
    asked = Case(network, Parameters(weights, (np.zeros(2), np.ones(1))), np.ones((1, 1)), np.ones((1, 1)))
    found = exact_bounds(asked)
    assert all(np.array_equal(least, most) for least, most in found.values())
    assert found["z2"][0] == 1
    assert found["delta2"][0] == 0


def test_on_a_kink_there_is_no_exact_value_and_every_slope_is_right() -> None:
    network = Architecture(1, (Layer(1, "relu"),), Cost("half_squared_error"), "sum")
    given = Parameters((np.zeros((1, 1)),), (np.zeros(1),))
    asked = Case(network, given, np.ones((1, 1)), -np.ones((1, 1)))
    found = safetensors.numpy.load(expected(asked))
    assert np.isnan(found["delta1"])
    assert found["delta1.low"] <= 0
    assert found["delta1.high"] >= 1
    assert found["a1"] == 0


# ------------------------------------------------------------------------------------------------- the choice


def lines(vectors: list[Read]) -> list[list[Read]]:
    """Vectors that stay together, since what is kept from one to the next shows only then."""

    def alike(vector: Read) -> tuple[object, ...]:
        return vector.case.architecture, vector.case.batch, vector.case.precision

    return [list(group) for _, group in groupby(vectors, alike)]


def shown_by(line: list[Read], folder: Path) -> Iterator[tuple[str, str, str]]:
    """What a line is good for: faults it catches, functions it has, flags it carries; each in its precision."""
    precision, network = line[0].case.precision, line[0].case.architecture
    ids = {vector.entry["id"] for vector in line}
    for fault in FAULTS:
        if ids & set(caught_by(fault, folder)):
            yield "fault", str(fault), precision
    for vector in line:
        for flag in vector.entry["flags"]:
            yield "flag", flag, precision
    if line[0].case.batch > 1:
        yield "cost", network.cost.name, precision
    if line[0].entry["values"] == "points":
        yield "points", network.layers[0].activation, precision
    for layer in network.layers:
        yield "activation", layer.activation, precision


def test_none_can_be_left_out(vectors: list[Read], folder: Path) -> None:
    shown = [set(shown_by(line, folder)) for line in lines(vectors)]
    for number, own in enumerate(shown):
        others = set().union(*shown[:number], *shown[number + 1 :])
        assert own - others, lines(vectors)[number][0].entry["summary"]


def test_every_function_and_every_flag_has_a_vector(vectors: list[Read], folder: Path) -> None:
    """What is added later has none before the set is locked again."""
    locked = {name for name, row in ACTIVATION_ROWS.items() if row.coupled or name in LOCKED}
    shown = set().union(*(set(shown_by(line, folder)) for line in lines(vectors)))
    for precision in DTYPES:
        assert {name for kind, name, where in shown if (kind, where) == ("activation", precision)} == locked
    costs = {name for kind, name, _ in shown if kind == "cost"}
    assert len(costs) >= 14  # all that there were when the set was frozen
    for precision in ("float64", "float32"):
        assert {name for kind, name, where in shown if (kind, where) == ("cost", precision)} == costs
    assert {name for kind, name, _ in shown if kind == "flag"} == set(index(folder)["flags"])


def test_a_flag_is_a_property_of_the_numbers() -> None:
    """Each of these has what its neighbour lacks."""

    def flags(
        name: str, m: int, reduction: str = "sum", *, before: Case | None = None, regime: str = "ordinary"
    ) -> set[str]:
        asked = case(
            Architecture(2, (Layer(3, name),), Cost("half_squared_error"), reduction),
            m,
            BY_NAME[regime],
            0,
            "float64",
        )
        return set(flags_of(Asked(asked, before)))

    assert "BatchOfOne" in flags("tanh", 1)
    assert "BatchOfOne" not in flags("tanh", 2)
    assert "SumOverBatch" in flags("tanh", 2)
    assert {"MeanOverBatch", "MeanOfSeveralOutputs"} <= flags("tanh", 2, "mean")
    assert "SoftmaxJacobian" in flags("softmax", 2)
    assert "SoftmaxJacobian" not in flags("log_softmax", 2)
    assert "KinkExactlyHit" in flags("relu", 4, regime="kinks")
    assert "KinkExactlyHit" not in flags("softplus", 4, regime="kinks")
    assert "NoRounding" not in flags("relu", 4, regime="integers")
    assert "SameShapeAgain" not in flags("tanh", 2)
    twin = case(
        Architecture(2, (Layer(3, "tanh"),), Cost("half_squared_error"), "sum"),
        2,
        BY_NAME["ordinary"],
        1,
        "float64",
    )
    assert "SameShapeAgain" in flags("tanh", 2, before=twin)


def test_a_vector_is_drawn_the_same_every_time() -> None:
    one = VECTORS[-1]
    assert one.case().id == one.id
    assert Vector(one.architecture, one.batch, one.values, one.seed + 1, one.precision).case().id != one.id
