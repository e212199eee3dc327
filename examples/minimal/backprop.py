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
AUTHOR = json.dumps({"name": "minimal", "version": "1", "language": "Python"})


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
    text = json.dumps(header).encode()
    sys.stdout.buffer.write(struct.pack("<Q", len(text)) + text + body)
    sys.stdout.buffer.flush()


def sigmoid(z: Any) -> Any:
    """1 / (1 + e^-z), without overflow."""
    fall = np.exp(-abs(z))
    return np.where(z >= 0, 1, fall) / (1 + fall)


def gradients(network: dict[str, Any], given: Arrays) -> Arrays:
    """BP1 to BP4; x and y hold one example a row."""
    depth, m = len(network["layers"]), len(given["x"])
    a = [given["x"]]
    for l in range(1, depth + 1):
        a.append(sigmoid(a[-1] @ given[f"W{l}"].T + given[f"b{l}"]))
    delta = (a[-1] - given["y"]) * a[-1] * (1 - a[-1])
    if network["reduction"] == "mean":
        delta /= m
    answer = {}
    for l in range(depth, 0, -1):
        answer[f"dW{l}"], answer[f"db{l}"] = delta.T @ a[l - 1], delta.sum(axis=0)
        delta = delta @ given[f"W{l}"] * a[l - 1] * (1 - a[l - 1])
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
