"""The nouns that everyone shares: Architecture, Layer, Cost, Parameters, Case, Gradients.

Shapes, with m the batch size, n_l the width of layer l, and l = 1..L:
W^l (n_l, n_{l-1}), b^l (n_l,), x (m, n_0), y (m, n_L), and z^l, a^l, δ^l (m, n_l).
Everything is frozen; every array is read-only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import xxhash

from . import names
from .activations import ACTIVATION_ROWS
from .array import Array
from .costs import COST_ROWS
from .functions.parameter import in_order, names_of, refuse_others
from .functions.row import Row
from .malformed import MalformedError
from .names import Name

__all__ = [
    "ACTIVATIONS", "COSTS", "DTYPES", "REDUCTIONS", "Architecture", "Array", "Case", "Cost", "Gradients", "Layer",
    "MalformedError", "Parameters",
]  # fmt: skip

#: The precisions that can be judged, and the NumPy type that holds each.
DTYPES: dict[str, np.dtype[Any]] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}

#: The names of all activations and of all costs, in the order in which they take turns.
ACTIVATIONS = tuple(ACTIVATION_ROWS)
COSTS = tuple(COST_ROWS)
REDUCTIONS = ("mean", "sum")


#: What their parameters are called.
_OF_ACTIVATIONS = names_of(row.parameters for row in ACTIVATION_ROWS.values())
_OF_COSTS = names_of(row.parameters for row in COST_ROWS.values())


def _parameters(row: Row, values: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[float, ...]:
    return in_order(row.name, row.parameters, values, named) if values or named else row.defaults


def _passed(
    row: Row, values: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """Return what is passed in order and by name; dataclasses.replace passes all that there was as one tuple."""
    if "parameters" not in named:
        return values, named
    if values:
        raise TypeError("parameters are passed once: in their order, by name, or all as one tuple")
    others = {name: value for name, value in named.items() if name != "parameters"}
    return ((), {**row.named(named["parameters"]), **others}) if others else (named["parameters"], {})


def _parameter(owner: Layer | Cost, name: str, known: tuple[str, ...]) -> float | None:
    if name not in known:
        raise AttributeError(f"{type(owner).__name__} has no {name!r}")
    return owner.named.get(name)


def _names_in(named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the tuple of all parameters; a document's arrays are lists, and no such tuple."""
    return {
        name: value
        for name, value in named.items()
        if not (name == "parameters" and isinstance(value, tuple))
    }


def _width(what: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise MalformedError(f"{what} must be a whole number from 1, got {value!r}")


@dataclass(frozen=True, init=False, repr=False)
class Layer:
    """One layer: its width n_l and its activation, with the parameters of that.

    They come in their order or by name: ``Layer(4, "elu", 0.3)``, ``Layer(4, "elu", alpha=0.3)``.
    """

    width: int
    activation: str
    #: In the order in which the activation's function takes them after z.
    parameters: tuple[float, ...] = ()

    def __init__(self, width: int, activation: str, *parameters: float | None, **named: Any) -> None:
        refuse_others(_names_in(named), _OF_ACTIVATIONS, "Layer")
        _width("the width of a layer", width)
        row = ACTIVATION_ROWS.get(activation) if isinstance(activation, str) else None
        if row is None:
            raise MalformedError(f"no activation is called {activation!r}")
        object.__setattr__(self, "width", width)
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "parameters", _parameters(row, *_passed(row, parameters, named)))

    def __repr__(self) -> str:
        return _shown("Layer", {"width": self.width, "activation": self.activation, **self.named})

    @property
    def named(self) -> Mapping[str, float]:
        """The parameters of the activation by name."""
        return ACTIVATION_ROWS[self.activation].named(self.parameters)

    def __getattr__(self, name: str) -> float | None:
        """Return a parameter by its name, as in ``layer.alpha``; None where this activation has no such parameter."""
        return _parameter(self, name, _OF_ACTIVATIONS)

    def to_json(self) -> dict[str, Any]:
        """Return the layer as the document writes it."""
        return {"width": self.width, "activation": self.activation, **self.named}


@dataclass(frozen=True, init=False, repr=False)
class Cost:
    """The cost of one example, by name, with its parameters: ``Cost("huber", 0.5)``, ``Cost("huber", delta=0.5)``."""

    name: str
    #: In the order in which the cost's function takes them after a and y.
    parameters: tuple[float, ...] = ()

    def __init__(self, name: str, *parameters: float | None, **named: Any) -> None:
        refuse_others(_names_in(named), _OF_COSTS, "Cost")
        row = COST_ROWS.get(name) if isinstance(name, str) else None
        if row is None:
            raise MalformedError(f"no cost is called {name!r}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameters", _parameters(row, *_passed(row, parameters, named)))

    def __repr__(self) -> str:
        return _shown("Cost", {"name": self.name, **self.named})

    @property
    def named(self) -> Mapping[str, float]:
        """The parameters of the cost by name."""
        return COST_ROWS[self.name].named(self.parameters)

    def __getattr__(self, name: str) -> float | None:
        """Return a parameter by its name, as in ``cost.delta``; None where this cost has no such parameter."""
        return _parameter(self, name, _OF_COSTS)

    def to_json(self) -> dict[str, Any]:
        """Return the cost as the document writes it."""
        return {"name": self.name, **self.named}


def _shown(owner: str, arguments: Mapping[str, Any]) -> str:
    return f"{owner}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


@dataclass(frozen=True)
class Architecture:
    """Input width n_0, the layers, the cost, and how the batch's costs are reduced (mean or sum)."""

    inputs: int
    layers: tuple[Layer, ...]
    cost: Cost
    reduction: str = "mean"

    def __post_init__(self) -> None:
        _width("inputs", self.inputs)
        if not self.layers:
            raise MalformedError("an architecture needs at least one layer")
        if self.reduction not in REDUCTIONS:
            raise MalformedError(f"reduction must be mean or sum, got {self.reduction!r}")

    @property
    def depth(self) -> int:
        """L, the number of layers."""
        return len(self.layers)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """n_0, n_1, ..., n_L."""
        return (self.inputs, *(layer.width for layer in self.layers))

    def weight_shape(self, l: int) -> tuple[int, ...]:
        """Return the shape of W^l: (n_l, n_{l-1})."""
        return self.widths[l], self.widths[l - 1]

    def to_json(self) -> dict[str, Any]:
        """Give the architecture as the document writes it, without the precision."""
        return {
            "inputs": self.inputs,
            "layers": [layer.to_json() for layer in self.layers],
            "cost": self.cost.to_json(),
            "reduction": self.reduction,
        }

    @classmethod
    def from_json(cls, given: Any) -> Architecture:
        """Read an architecture; raises MalformedError with one sentence where it is not one."""
        try:
            return cls(
                given["inputs"],
                tuple(Layer(**layer) for layer in given["layers"]),
                Cost(**given["cost"]),
                given.get("reduction", "mean"),
            )
        except MalformedError:
            raise
        except (TypeError, KeyError, AttributeError) as error:
            raise MalformedError(f"not an architecture: {error}") from None


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights W^l (n_l, n_{l-1}) and biases b^l (n_l,), for l = 1..L."""

    weights: tuple[Any, ...]
    biases: tuple[Any, ...]

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(zip(self.weights, self.biases, strict=True))

    @classmethod
    def named(cls, arrays: Mapping[str, Any], depth: int) -> Parameters:
        """Take the parameters of so many layers from among other arrays by their names; KeyError where one lacks."""
        return cls(*(tuple(arrays[name] for name in _names(kind, depth)) for kind in ("W", "b")))


def _frozen(array: Any, dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> Array:
    given = np.asarray(array)
    if given.dtype != dtype:
        raise MalformedError(f"{name} is {given.dtype}, but should be {dtype}")
    if given.shape != shape:
        raise MalformedError(f"{name} has shape {given.shape}, but should have {shape}")
    if given.flags.writeable or not given.flags.c_contiguous:
        given = given.copy()
        given.flags.writeable = False
    return given


@dataclass(frozen=True, eq=False)
class Case:
    """What an implementation is asked: architecture, parameters, batch and precision.

    x is (m, n_0) and y is (m, n_L), in the case's precision, as are the parameters. ``regime`` says how
    the values were drawn; it is a note for people and no part of the case's id.
    """

    architecture: Architecture
    parameters: Parameters
    x: Array
    y: Array
    precision: str = "float64"
    regime: str = field(default="")

    def __post_init__(self) -> None:
        if self.precision not in DTYPES:
            raise MalformedError(f"precision must be one of {', '.join(DTYPES)}, got {self.precision!r}")
        dtype, widths, depth = DTYPES[self.precision], self.architecture.widths, self.architecture.depth
        if len(self.parameters.weights) != depth or len(self.parameters.biases) != depth:
            raise MalformedError(
                f"the architecture has {depth} layers, but the parameters have other numbers"
            )
        m = np.shape(self.x)[0] if np.ndim(self.x) == 2 else -1
        shapes = [self.architecture.weight_shape(l) for l in range(1, depth + 1)]
        frozen = Parameters(
            tuple(
                [
                    _frozen(W, dtype, shape, name)
                    for W, shape, name in zip(
                        self.parameters.weights, shapes, _names("W", depth), strict=True
                    )
                ]
            ),
            tuple(
                [
                    _frozen(b, dtype, shape[:1], name)
                    for b, shape, name in zip(self.parameters.biases, shapes, _names("b", depth), strict=True)
                ]
            ),
        )
        object.__setattr__(self, "parameters", frozen)
        object.__setattr__(self, "x", _frozen(self.x, dtype, (m, widths[0]), "x"))
        object.__setattr__(self, "y", _frozen(self.y, dtype, (m, widths[-1]), "y"))

    @property
    def batch(self) -> int:
        """m, the number of examples."""
        return int(self.x.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of every array of the case."""
        return DTYPES[self.precision]

    def tensors(self) -> dict[str, Array]:
        """Name the arrays as the document does: x, y, W1.. WL, b1.. bL."""
        named, depth = dict[str, Array]({names.X: self.x, names.Y: self.y}), self.architecture.depth
        named |= zip(_names("W", depth), self.parameters.weights, strict=True)
        named |= zip(_names("b", depth), self.parameters.biases, strict=True)
        return named

    def copied(self) -> Case:
        """Return the same case in arrays of its own."""
        weights, biases = (
            tuple(map(np.array, some)) for some in (self.parameters.weights, self.parameters.biases)
        )
        return replace(self, parameters=Parameters(weights, biases), x=np.array(self.x), y=np.array(self.y))

    def changed(self, before: Case) -> list[str]:
        """Name the arrays that no longer hold what they held before, as whoever ignores that they are read-only may."""
        held = before.tensors()
        return [name for name, array in self.tensors().items() if array.tobytes() != held[name].tobytes()]

    def description(self) -> str:
        """Give architecture and precision as one line of canonical JSON."""
        return _description(self.architecture, self.precision)

    @cached_property
    def id(self) -> str:
        """The XXH3 of the architecture and of the arrays' bytes: it tells cases apart, and guards against no forger."""
        digest = xxhash.xxh3_64(self.description().encode())
        for name, array in sorted(self.tensors().items()):
            digest.update(name.encode())
            digest.update(array)  # type: ignore[arg-type]  # a memoryview knows no bfloat16
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Gradients:
    """What an implementation answers.

    dW[l-1] is ∂C/∂W^l (n_l, n_{l-1}) and db[l-1] is ∂C/∂b^l (n_l,). The rest is optional, and each lets
    more be judged by itself: the cost (a scalar), and δ^l, z^l, a^l (m, n_l) for l = 1..L, with None for a
    layer whose array was not answered. Between an implementation and the suite they are NumPy arrays; inside
    the reference, whatever backprop.py ran on.
    """

    dW: Sequence[Any]
    db: Sequence[Any]
    cost: Any | None = None
    delta: Sequence[Any] | None = None
    z: Sequence[Any] | None = None
    a: Sequence[Any] | None = None

    def tensors(self) -> dict[str, Any]:
        """Name the arrays as the document does: dW1.., db1.., cost, delta1.., z1.., a1.."""
        named = dict[str, Any]({} if self.cost is None else {names.cost(len(self.dW)): self.cost})
        for key in ("dW", "db", "delta", "z", "a"):
            arrays = getattr(self, key) or ()
            for name, array in zip(_names(key, len(arrays)), arrays, strict=True):
                if array is not None:
                    named[name] = array
        return named

    @classmethod
    def named(cls, arrays: Mapping[Name, Any], depth: int) -> Gradients:
        """Take the whole answer of a network of so many layers from among other arrays, by their names."""
        dW, db, delta, z, a = (
            [arrays[name] for name in _names(kind, depth)] for kind in ("dW", "db", "delta", "z", "a")
        )
        return cls(dW, db, arrays[names.cost(depth)], delta, z, a)

    @classmethod
    def from_tensors(cls, named: Mapping[str, Array], case: Case) -> Gradients:
        """Read an answer to a case; raises MalformedError where a name, a shape or a dtype is wrong.

        Of δ, z and a any may be missing, each by itself.
        """
        from .shapes import (
            shapes,
        )  # which are read from the steps, and those are written in this file's nouns

        depth, expected = case.architecture.depth, shapes(case.architecture, case.batch)
        if unknown := sorted(named.keys() - expected.keys()):
            raise MalformedError(f"the answer holds {unknown[0]!r}, which this case does not ask for")
        dtype = case.dtype
        checked = {name: _frozen(array, dtype, expected[name], name) for name, array in named.items()}

        def family(key: str) -> tuple[Array | None, ...]:
            return tuple([checked.get(name) for name in _names(key, depth)])

        dW, db, *optional = map(family, ("dW", "db", "delta", "z", "a"))
        if any(one is None for one in (*dW, *db)):
            missing = next(
                name for kind in ("dW", "db") for name in _names(kind, depth) if name not in checked
            )
            raise MalformedError(f"the answer lacks {missing}")
        delta, z, a = (some if any(one is not None for one in some) else None for some in optional)
        return cls(dW, db, checked.get(names.cost(depth)), delta, z, a)


# What follows is the same for all cases of an architecture, which come together; for small ones it would take longer
# than their arrays.


@lru_cache(maxsize=128)
def _names(kind: str, depth: int) -> tuple[Name, ...]:
    """Name a family's arrays in a document: W1..WL."""
    return tuple(names.name(kind, l) for l in range(1, depth + 1))


@lru_cache(maxsize=8)
def _description(architecture: Architecture, precision: str) -> str:
    given = {**architecture.to_json(), "precision": precision}
    return json.dumps(given, sort_keys=True, separators=(",", ":"))
