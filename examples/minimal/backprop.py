"""A whole implementation in one file, without gradparity: it reads cases from standard input and writes answers.

    gradparity verify 'exec:python examples/minimal/backprop.py' --only sigmoid,half_squared_error

It knows the sigmoid and the quadratic cost, and declines the rest.
"""

import json
import struct
import sys
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]

DTYPES = {"F64": "<f8", "F32": "<f4"}
NAMES = {"<f8": "F64", "<f4": "F32"}
DECLINED = "sigmoid and half_squared_error only, in float64 and float32"
AUTHOR = '{"name":"minimal","version":"1","language":"Python"}'


def read() -> tuple[dict[str, str], Arrays | None] | None:
    """Read one document; None at the end of input."""
    begin = sys.stdin.buffer.read(8)
    if len(begin) < 8:
        return None
    header = json.loads(sys.stdin.buffer.read(struct.unpack("<Q", begin)[0]))
    metadata = header.pop("__metadata__")
    body = sys.stdin.buffer.read(max(entry["data_offsets"][1] for entry in header.values()))
    arrays = {}
    for name, entry in header.items():
        if entry["dtype"] not in DTYPES:  # bfloat16 and float16
            return metadata, None
        first, last = entry["data_offsets"]
        arrays[name] = np.frombuffer(body[first:last], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, arrays


def write(kind: str, case_id: str, arrays: Arrays, **more: str) -> None:
    """Write one document."""
    metadata = {"gradparity": "1", "kind": kind, "id": case_id, "implementation": AUTHOR, **more}
    header: dict[str, Any] = {"__metadata__": metadata}
    body = b""
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        place = [len(body), len(body) + len(data)]
        header[name] = {"dtype": NAMES[array.dtype.str], "shape": list(array.shape), "data_offsets": place}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    sys.stdout.buffer.write(struct.pack("<Q", len(text)) + text + body)
    sys.stdout.buffer.flush()


def sigmoid(z: Any) -> Any:
    """1 / (1 + e^-z), without overflow."""
    fall = np.exp(-abs(z))
    return np.where(z >= 0, 1, fall) / (1 + fall)


def gradients(network: dict[str, Any], given: Arrays) -> Arrays:
    """The four equations; x and y hold one example a row, and σ′(z) = a (1 - a)."""
    L, y = len(network["layers"]), given["y"]
    share = len(y) if network["reduction"] == "mean" else 1
    a, answer = given["x"], {}
    for l in range(1, L + 1):
        answer[f"z{l}"] = a @ given[f"W{l}"].T + given[f"b{l}"]
        answer[f"a{l}"] = a = sigmoid(answer[f"z{l}"])
    answer["cost"] = np.asarray(((a - y) ** 2).sum() / 2 / share)
    back = (a - y) / share
    for l in range(L, 0, -1):
        a, before = answer[f"a{l}"], answer[f"a{l - 1}"] if l > 1 else given["x"]
        answer[f"delta{l}"] = delta = back * a * (1 - a)  # BP1, then BP2
        answer[f"db{l}"] = delta.sum(axis=0)  # BP3
        answer[f"dW{l}"] = delta.T @ before  # BP4
        back = delta @ given[f"W{l}"]
    return answer


def main() -> None:
    """Answer until the input ends."""
    while (document := read()) is not None:
        metadata, given = document
        network = json.loads(metadata["architecture"])
        wanted = {layer["activation"] for layer in network["layers"]} | {network["cost"]["name"]}
        if given is None or wanted != {"sigmoid", "half_squared_error"}:
            write("unsupported", metadata["id"], {}, message=DECLINED)
        else:
            write("gradients", metadata["id"], gradients(network, given))


if __name__ == "__main__":
    main()
