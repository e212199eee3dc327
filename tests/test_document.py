"""The document: what is written is read back; what is no document is refused in one sentence."""

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Gradients, Layer, Parameters
from gradparity.adapters import document
from gradparity.adapters.document import read, read_case, read_one, write_case, write_gradients, write_message
from gradparity.reference.network import DTYPES, MalformedError
from hypothesis import given, settings
from hypothesis import strategies as st


def make_case(precision: str = "float64") -> Case:
    random = np.random.default_rng(7)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(precision)

    architecture = Architecture(3, (Layer(4, "leaky_relu"), Layer(2, "identity")), Cost("huber", 0.5), "sum")
    parameters = Parameters((draw(4, 3), draw(2, 4)), (draw(4), draw(2)))
    return Case(architecture, parameters, draw(5, 3), draw(5, 2), precision, regime="normal")


CASE = make_case()
BLOB = write_case(CASE)
ABOUT = {"name": "mine", "version": "1", "language": "APL"}


def assemble(header: object, body: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + body


def header_of(blob: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
    return header


def with_header(blob: bytes, header: object) -> bytes:
    return assemble(header, blob[8 + int.from_bytes(blob[:8], "little") :])


def redescribed(**changes: object) -> bytes:
    header = header_of(BLOB)
    described = {**json.loads(header["__metadata__"]["architecture"]), **changes}
    header["__metadata__"]["architecture"] = json.dumps(described)
    return with_header(BLOB, header)


class TestRoundTrip:
    @pytest.mark.parametrize("precision", DTYPES)
    def test_a_case_comes_back_bit_for_bit(self, precision: str) -> None:
        case = make_case(precision)
        back = read_case(write_case(case))
        assert back.id == case.id
        assert back.architecture == case.architecture
        assert (back.precision, back.regime) == (precision, "normal")
        for name, array in case.tensors().items():
            assert back.tensors()[name].dtype == array.dtype
            assert back.tensors()[name].tobytes() == array.tobytes()

    @pytest.mark.parametrize(
        ("precision", "name"),
        [("float64", "F64"), ("float32", "F32"), ("bfloat16", "BF16"), ("float16", "F16")],
    )
    def test_the_header_names_the_precision_as_safetensors_does(self, precision: str, name: str) -> None:
        header = header_of(write_case(make_case(precision)))
        assert {header[key]["dtype"] for key in ("x", "y", "W1", "b2")} == {name}

    def test_bits_of_one_low_precision_are_not_those_of_the_other(self) -> None:
        blob = write_case(make_case("bfloat16"))
        with pytest.raises(MalformedError, match="W1 is float16, but should be bfloat16"):
            read_case(blob.replace(b'"dtype":"BF16"', b'"dtype":"F16" '))

    def test_special_values_survive(self) -> None:
        x = np.array([[np.nan, -0.0, np.inf], [5e-324, -np.inf, 1e308]])
        W, b, y = np.zeros((1, 3)), np.zeros(1), np.zeros((2, 1))
        architecture = Architecture(3, (Layer(1, "identity"),), Cost("half_squared_error"))
        case = Case(architecture, Parameters((W,), (b,)), x, y)
        assert read_case(write_case(case)).x.tobytes() == x.tobytes()

    def test_an_answer_comes_back_with_who_gave_it(self) -> None:
        widths, m = CASE.architecture.widths, CASE.batch
        answer = Gradients(
            [np.ones((4, 3)), np.ones((2, 4))],
            [np.ones(4), np.ones(2)],
            cost=np.array(2.5),
            delta=[np.ones((m, n)) for n in widths[1:]],
        )
        back = read(write_gradients(CASE.id, answer, ABOUT))
        assert (back.kind, back.id) == ("gradients", CASE.id)
        assert json.loads(back.metadata["implementation"]) == ABOUT
        gradients = Gradients.from_tensors(back.tensors, CASE)
        assert gradients.cost == 2.5
        assert gradients.z is None
        assert sorted(gradients.tensors()) == ["cost", "dW1", "dW2", "db1", "db2", "delta1", "delta2"]

    def test_a_transposed_array_keeps_its_values_in_their_places(self) -> None:
        gradients = Gradients([np.arange(6.0).reshape(2, 3).T], [np.arange(6.0)[::2]])
        back = read(write_gradients("x", gradients, ABOUT)).tensors
        assert back["dW1"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert back["db1"].tolist() == [0, 2, 4]

    def test_a_message_comes_back(self) -> None:
        back = read(write_message("unsupported", CASE.id, "kein σ", ABOUT))
        assert (back.kind, back.metadata["message"], dict(back.tensors)) == ("unsupported", "kein σ", {})

    def test_the_arrays_come_in_one_order(self) -> None:
        assert {tuple(read(BLOB).tensors) for _ in range(20)} == {("W1", "W2", "b1", "b2", "x", "y")}

    def test_what_was_read_is_read_only_and_need_not_be_copied(self) -> None:
        back = read(BLOB).tensors
        assert not any(array.flags.writeable for array in back.values())
        case = read_case(BLOB)
        assert all(array.base is not None for array in case.tensors().values())

    def test_what_no_document_can_hold_is_refused_before_it_is_written(self) -> None:
        with pytest.raises(MalformedError, match="db1 is int64, which gradparity does not judge"):
            write_gradients("x", Gradients([np.ones((1, 1))], [np.ones(1, int)]), ABOUT)

    def test_a_stream_needs_no_framing(self) -> None:
        stream = io.BytesIO(BLOB + BLOB + write_message("error", "x", "no", ABOUT))
        assert read_one(stream.read, 10**6) == BLOB
        assert read_one(stream.read, 10**6) == BLOB
        last = read_one(stream.read, 10**6)
        assert last is not None
        assert read(last).kind == "error"
        assert read_one(stream.read, 10**6) is None


class TestRefused:
    @pytest.mark.parametrize("cut", [1, 7, 8, 9, 100, len(BLOB) // 2, len(BLOB) - 1])
    def test_truncated(self, cut: int) -> None:
        with pytest.raises(MalformedError):
            read_one(io.BytesIO(BLOB[:cut]).read, 10**6)
        with pytest.raises(MalformedError):
            read(BLOB[:cut])

    def test_an_absurd_length_is_refused_before_anything_is_read(self) -> None:
        asked: list[int] = []

        def read_exactly(n: int) -> bytes:
            asked.append(n)
            return b"loss: 0.69"[:n]

        with pytest.raises(MalformedError, match=r"it begins with b'loss: 0\.'"):
            read_one(read_exactly, 10**6)
        assert asked == [8]

    def test_a_claim_beyond_the_bound_is_refused_before_it_is_read(self) -> None:
        flood = assemble({"dW1": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 2**43]}})
        with pytest.raises(MalformedError, match=f"claims {2**43} bytes, more than the 1000 "):
            read_one(io.BytesIO(flood).read, 1000)

    @pytest.mark.parametrize("end", [-8, float("inf"), float("nan"), 10**400, "many", None, []])
    def test_an_end_that_is_no_place_in_the_document(self, end: object) -> None:
        with pytest.raises(MalformedError):
            read_one(
                io.BytesIO(assemble({"x": {"dtype": "F64", "shape": [1], "data_offsets": [0, end]}})).read,
                1000,
            )

    @pytest.mark.parametrize("change", ["shorter", "longer", "overlapping", "dtype", "shape"])
    def test_a_header_that_lies_about_its_arrays(self, change: str) -> None:
        header = header_of(BLOB)
        x, y = header["x"], header["y"]
        if change == "shorter":
            x["data_offsets"][1] -= 8
        elif change == "longer":
            x["data_offsets"][1] += 8
        elif change == "overlapping":
            x["data_offsets"] = y["data_offsets"]
        elif change == "dtype":
            x["dtype"] = "F32"
        else:
            x["shape"][0] += 1
        with pytest.raises(MalformedError, match="not a safetensors document"):
            read(with_header(BLOB, header))

    @pytest.mark.parametrize(
        ("place", "of"),
        [
            ([0, 8], "x"),
            ([8, 16], "W1"),
            ([0, 0], "W1"),
            (["0", "96"], "W1"),
            ([0, 96.0], "W1"),
            ([0, 96, 0], "W1"),
        ],
    )
    def test_places_that_do_not_follow_one_another_end_the_stream(self, place: list[object], of: str) -> None:
        header = header_of(BLOB)
        assert header["W1"]["data_offsets"] == [0, 96]
        header[of]["data_offsets"] = place
        with pytest.raises(MalformedError, match="its arrays do not follow one another without gaps"):
            read_one(io.BytesIO(with_header(BLOB, header)).read, 10**6)

    @pytest.mark.parametrize(
        "path", [["x"], ["W2"], ["W2", "shape"], ["__metadata__"], ["__metadata__", "id"]]
    )
    def test_two_of_one_name(self, path: list[str]) -> None:
        header = header_of(BLOB)
        holder = header if len(path) == 1 else header[path[0]]
        once = f'"{path[-1]}": {json.dumps(holder[path[-1]])}'
        written = json.dumps(holder)
        doubled = json.dumps(header).replace(written, written.replace(once, f"{once}, {once}"))
        assert doubled.count(once) == json.dumps(header).count(once) + 1
        blob = with_header(BLOB, doubled.encode())
        with pytest.raises(MalformedError, match="names something twice"):
            read_one(io.BytesIO(blob).read, 10**6)
        with pytest.raises(MalformedError, match=r"names something twice|duplicate field"):
            read(blob)

    @pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [0, 2**64 - 1], [0, *[1] * 100]])
    def test_dimensions_that_numpy_cannot_have(self, shape: list[int]) -> None:
        header = {"__metadata__": header_of(BLOB)["__metadata__"]}
        header["x"] = {"dtype": "F64", "shape": shape, "data_offsets": [0, 0]}
        with pytest.raises(MalformedError, match="x has shape"):
            read(assemble(header))

    def test_a_dtype_that_is_not_judged(self) -> None:
        header = {"__metadata__": header_of(BLOB)["__metadata__"]}
        header["x"] = {"dtype": "I16", "shape": [1], "data_offsets": [0, 2]}
        with pytest.raises(MalformedError, match="x has dtype I16, which gradparity does not judge"):
            read(assemble(header, b"ab"))

    @pytest.mark.parametrize("nested", [b"[" * 100_000, b'{"a":' * 100_000])
    def test_nesting_without_end(self, nested: bytes) -> None:
        for reader in (read, lambda blob: read_one(io.BytesIO(blob).read, 1000)):
            with pytest.raises(MalformedError):
                reader(assemble(nested))

    def test_another_version(self) -> None:
        with pytest.raises(MalformedError, match="not a gradparity document of version 1"):
            read(BLOB.replace(b'"gradparity":"1"', b'"gradparity":"2"'))

    @pytest.mark.parametrize("metadata", [None, {}, {"gradparity": "1"}, {"gradparity": "1", "kind": "case"}])
    def test_metadata_that_says_too_little(self, metadata: dict[str, str] | None) -> None:
        with pytest.raises(MalformedError):
            read(assemble({"__metadata__": metadata}))

    def test_an_id_that_is_not_the_content_s_own(self) -> None:
        wrong = BLOB.replace(CASE.id.encode(), b"0123456789abcdef")
        with pytest.raises(MalformedError, match=f"'0123456789abcdef', but its content is '{CASE.id}'"):
            read_case(wrong)

    def test_one_changed_bit_changes_the_id(self) -> None:
        with pytest.raises(MalformedError, match="but its content is"):
            read_case(BLOB[:-1] + bytes([BLOB[-1] ^ 1]))

    def test_an_answer_is_not_a_case(self) -> None:
        with pytest.raises(MalformedError, match="of kind 'error', not a case"):
            read_case(write_message("error", CASE.id, "no", ABOUT))

    @pytest.mark.parametrize("lost", ["x", "y", "W2", "b1"])
    def test_a_case_without_one_of_its_arrays(self, lost: str) -> None:
        tensors = {name: array for name, array in CASE.tensors().items() if name != lost}
        blob = document._write("case", CASE.id, tensors, architecture=CASE.description())
        with pytest.raises(MalformedError, match=f"the case lacks {lost}"):
            read_case(blob)

    @pytest.mark.parametrize(
        "changes",
        [
            {"precision": ["float64"]},
            {"precision": "float8"},
            {"layers": None},
            {"layers": [{"width": 4, "activation": "leaky_relu", "alpha": 10**400}]},
            {"layers": [{"width": 4, "activation": []}]},
            {"cost": {"name": "huber", "delta": 10**400}},
            {"cost": "huber"},
            {"inputs": 10**30},
            {"reduction": {}},
        ],
        ids=repr,
    )
    def test_an_architecture_that_is_none(self, changes: dict[str, object]) -> None:
        with pytest.raises(MalformedError):
            read_case(redescribed(**changes))


def only_malformed_escapes(blob: bytes) -> None:
    """Read the bytes in every way there is; MalformedError is the only refusal."""
    for reader in (read, read_case, lambda given: read_one(io.BytesIO(given).read, 10**5)):
        with contextlib.suppress(MalformedError):
            reader(blob)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
# Where in a case's header, and where in its architecture, something else is put.
PATHS = """x; x dtype; x shape; x data_offsets; W1 shape 0; y data_offsets 1; extra; __metadata__;
    __metadata__ kind; __metadata__ id; __metadata__ gradparity; __metadata__ architecture"""
ARCHITECTURE_PATHS = """inputs; layers; layers 0; layers 0 width; layers 0 activation; layers 0 alpha; cost;
    cost name; cost delta; reduction; precision"""


def paths(listed: str) -> st.SearchStrategy[list[str]]:
    return st.sampled_from([path.split() for path in listed.split(";")])


def replaced(tree: Any, path: list[str], value: object) -> Any:
    if not path:
        return value
    if isinstance(tree, list):
        return [replaced(tree[0], path[1:], value), *tree[1:]]
    return {**tree, path[0]: replaced(tree.get(path[0]), path[1:], value)}


class TestFuzz:
    @given(st.binary(max_size=300))
    def test_bytes(self, blob: bytes) -> None:
        only_malformed_escapes(blob)

    @given(st.binary(max_size=300), st.binary(max_size=50))
    def test_bytes_in_a_frame(self, header: bytes, body: bytes) -> None:
        only_malformed_escapes(assemble(header, body))

    @given(json_values, st.binary(max_size=50))
    def test_json_in_a_frame(self, header: object, body: bytes) -> None:
        only_malformed_escapes(assemble(header, body))

    @given(st.lists(st.tuples(st.integers(0, len(BLOB) - 1), st.integers(0, 255)), min_size=1, max_size=6))
    @settings(max_examples=300)
    def test_a_case_with_other_bytes(self, changes: list[tuple[int, int]]) -> None:
        mutated = bytearray(BLOB)
        for where, byte in changes:
            mutated[where] = byte
        only_malformed_escapes(bytes(mutated))

    @given(st.integers(0, len(BLOB)), st.integers(0, 40), st.binary(max_size=40))
    def test_a_case_with_a_piece_exchanged(self, where: int, length: int, piece: bytes) -> None:
        only_malformed_escapes(BLOB[:where] + piece + BLOB[where + length :])

    @given(paths(PATHS), json_values)
    @settings(max_examples=300)
    def test_a_case_with_another_header(self, path: list[str], value: object) -> None:
        only_malformed_escapes(with_header(BLOB, replaced(header_of(BLOB), path, value)))

    @given(paths(ARCHITECTURE_PATHS), json_values)
    @settings(max_examples=300)
    def test_a_case_with_another_architecture(self, path: list[str], value: object) -> None:
        described = json.loads(header_of(BLOB)["__metadata__"]["architecture"])
        only_malformed_escapes(redescribed(**replaced(described, path, value)))
