"""Shrinking: a case that diverges made small, while it still diverges for the same cause.

First the structure. What broke is one link of the chain, so that link by itself is tried before anything else, as a
network of one layer that is fed with the implementation's own numbers: a linear cost hands it any error from above.
What only shows in its network keeps that, and loses examples, neurons and layers. Then the values: zeros, ones, powers
of two, few digits.

Every step is judged like any other case, certificate and all, so a small case is as true as the one it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..adapters.modes import in_forward_mode
from ..adapters.reference import Reference
from ..reference import names
from ..reference.activations import Elementwise, activation
from ..reference.backprop import flow
from ..reference.enclosure import enclose
from ..reference.exact import Certifier
from ..reference.names import AXES, Name
from ..reference.network import Architecture, Array, Case, Cost, Gradients, Layer, MalformedError, Parameters
from ..reference.premise import Premise
from .blame import Broken
from .campaign import Divergence
from .expectations import Expectation
from .findings import Finding
from .verdict import functions_at_fault, judge_answer
from .workers import Worker

#: What an implementation made of a case: its answer, and what broke in it.
Answered = tuple[Gradients, Sequence[Broken]]

#: Asks an implementation; None where it gave no answer.
Ask = Callable[[Case], Answered | None]

#: How often an implementation is asked for one shrunk case.
MOST_ASKED = 250

#: Arrays of more entries keep their values.
MOST_VALUES = 48


@dataclass(frozen=True)
class Cause:
    """What is at fault: the kind of array that broke (z, a, delta, ...), and the functions that may be to blame."""

    kind: str
    functions: frozenset[str]

    def same(self, other: Cause) -> bool:
        """Whether one fault may be behind both."""
        return self.kind == other.kind and bool(
            self.functions & other.functions or self.functions == other.functions
        )


def cause(case: Case, broken: Broken) -> Cause:
    """Give the cause of what broke."""
    return Cause(broken.kind, functions_at_fault(case.architecture, broken))


class Shrinker:
    """One case on its way down; ``case`` and ``broken`` are the smallest so far."""

    def __init__(self, case: Case, broken: Broken, ask: Ask) -> None:
        self.case, self.broken = case, broken
        self._ask, self._cause, self._left = ask, cause(case, broken), MOST_ASKED
        self._answer: Gradients | None = None

    def take(self, candidate: Case) -> bool:
        """Go on with a candidate if it diverges for the same cause."""
        if self._left == 0 or candidate.id == self.case.id:
            return False
        self._left -= 1
        found = self._ask(candidate)
        if found is None:
            return False
        answer, blamed = found
        for broken in blamed:
            if cause(candidate, broken).same(self._cause):
                self.case, self.broken, self._answer = candidate, broken, answer
                return True
        return False

    def run(self) -> None:
        """Shrink the structure, then the values."""
        found = self._ask(self.case)
        if found is None:
            return
        self._answer = found[0]
        for candidate in links_alone(self.case, self._answer, self.broken):
            if self.take(candidate):
                break
        self._lose_layers()
        self._lose_examples()
        self._lose_neurons()
        self._simplify()

    def _lose_layers(self) -> None:
        """Keep a few layers about the one that broke, fed with what came before them."""
        for candidate in windows(self.case, self.broken.layer):
            if self.take(candidate):
                break

    def _lose_examples(self) -> None:
        if self.case.batch > 1 and "example" in AXES[self.broken.kind]:
            self.take(_examples(self.case, np.array([self.broken.index[0]])))
        while any(self.take(_examples(self.case, part)) for part in fewer(self.case.batch)):
            pass

    def _lose_neurons(self) -> None:
        for l in range(self.case.architecture.depth + 1):
            while l <= self.case.architecture.depth and any(
                self.take(_neurons(self.case, l, part)) for part in fewer(self.case.architecture.widths[l])
            ):
                pass

    def _simplify(self) -> None:
        for name, array in self.case.tensors().items():
            if array.size > MOST_VALUES:
                continue
            for index in np.ndindex(array.shape):
                for value in simpler(float(self.case.tensors()[name][index])):
                    if self.take(_with(self.case, name, index, value)):
                        break


#: Beyond so many, one of them alone is not worth a try.
MOST_ALONE = 8


def fewer(n: int) -> Iterator[Array]:
    """Give some of n: either half, then all but one."""
    every = np.arange(n)
    if n > 1:
        yield from (every[: n // 2], every[n // 2 :])
    if 2 < n <= MOST_ALONE:
        yield from (np.delete(every, i) for i in range(n))


def shrink(case: Case, broken: Broken, ask: Ask) -> tuple[Case, Broken]:
    """Give a small case that diverges for the same cause, and what broke in it."""
    with np.errstate(all="ignore"):
        shrinker = Shrinker(case, broken, ask)
        shrinker.run()
        return shrinker.case, shrinker.broken


def asking(worker: Worker, premise: Premise) -> Ask:
    """Ask a worker, and judge what it answers under its premise."""

    def ask(case: Case) -> Answered | None:
        answer = worker.submit(case).result().gradients
        if answer is None:
            return None
        enclosure = enclose(case, any_order=in_forward_mode(worker.name))
        judged = judge_answer(case, answer, enclosure, Certifier(case), premise)
        return answer, judged.blamed

    return ask


#: Who expects what broke; None where nobody does.
Covering = Callable[[str, Case, Broken], Expectation | None]


def shrunk(
    findings: Iterable[Finding],
    workers: Mapping[str, Worker],
    covering: Covering,
    premise: Callable[[str], Premise],
) -> Iterator[Finding]:
    """Give each finding with its smallest case made minimal, by asking the worker of its implementation.

    What nobody expected stays so: it is never shrunk to what somebody does.
    """
    for finding in findings:
        name, smallest = finding.implementation, finding.smallest
        alike = partial(_alike, asking(workers[name], premise(name)), covering, name, finding.expectation)
        case, broken = shrink(smallest.case, smallest.blamed, alike)
        yield replace(finding, smallest=Divergence(case, name, broken))


def _alike(
    ask: Ask, covering: Covering, name: str, wanted: Expectation | None, case: Case
) -> Answered | None:
    """Ask, and leave out what broke but is expected otherwise."""
    found = ask(case)
    if found is None:
        return None
    return found[0], [one for one in found[1] if covering(name, case, one) is wanted]


# ----------------------------------------------------------------------------------------------- one link by itself


def links_alone(case: Case, answer: Gradients, broken: Broken) -> Iterator[Case]:
    """Give networks of one layer in which nothing but the broken link is left, the smallest first.

    None where the answer lacks the arrays that the link is computed from.
    """
    network, l, known = case.architecture, broken.layer, answer.tensors()
    layer, last = network.layers[l - 1], l == network.depth
    z, delta, upstream = known.get(names.z(l)), known.get(names.delta(l)), _from_above(case, answer, l)
    before = case.x if l == 1 else known.get(names.a(l - 1))
    if z is None or delta is None or upstream is None or before is None:
        return
    if flow(network, case.batch).functions(broken.name):
        rows = [broken.index[0]] if broken.index else range(case.batch)
        neurons = np.arange(layer.width)
        alone = isinstance(activation(layer), Elementwise)
        for row in rows:
            column = [broken.index[1]] if alone and broken.index else neurons
            if last:
                yield from _fed(case, z[[row]][:, column], layer, network.cost, case.y[[row]][:, column])
            yield from _fed(case, z[[row]][:, column], layer, _LINEAR, -upstream[[row]][:, column])
            yield from _fed(case, z[[row]][:, column], layer, _LINEAR, -np.ones((1, len(column)), case.dtype))
            if last:
                yield from _fed(case, z[[row]], layer, network.cost, case.y[[row]])
        if last:
            yield from _fed(case, z, layer, network.cost, case.y)
        return
    alone_layer = Layer(layer.width, "identity")
    parameters = Parameters((case.parameters.weights[l - 1],), (case.parameters.biases[l - 1],))
    try:
        yield Case(
            Architecture(network.widths[l - 1], (alone_layer,), _LINEAR, "sum"),
            parameters, before, -np.asarray(delta), case.precision, case.regime,
        )  # fmt: skip
    except MalformedError:
        return


def windows(case: Case, layer: int) -> Iterator[Case]:
    """Give networks of fewer neighbouring layers with this one (counted from 1) among them, the shortest first.

    They are fed with the reference's own activations. Where the cost moves to another layer, its targets are 0, or 1.
    """
    network, depth = case.architecture, case.architecture.depth
    a = [case.x, *(Reference().gradients(case).a or ())]
    for length in range(1, depth):
        for first in range(max(0, layer - length), min(layer, depth - length + 1)):
            last = first + length
            layers = network.layers[first:last]
            parameters = Parameters(case.parameters.weights[first:last], case.parameters.biases[first:last])
            target = np.zeros((case.batch, layers[-1].width), case.dtype)
            for y in (case.y,) if last == depth else (target, target + case.dtype.type(1)):
                try:
                    yield Case(
                        Architecture(network.widths[first], layers, network.cost, network.reduction),
                        parameters, np.asarray(a[first]).astype(case.dtype), y, case.precision, case.regime,
                    )  # fmt: skip
                except MalformedError:
                    continue


#: C = -Σ y a, so that ∇_a C = -y: any error from above is handed down as it is.
_LINEAR = Cost("negative_log_likelihood")


def _fed(case: Case, z: Array, layer: Layer, cost: Cost, y: Array) -> Iterator[Case]:
    """Give the network of one layer whose weighted inputs are these: one input a row, which is 1, and weights z."""
    m, n = z.shape
    network = Architecture(m, (replace(layer, width=n),), cost, "sum")
    parameters = Parameters((np.ascontiguousarray(z.T, case.dtype),), (np.zeros(n, case.dtype),))
    try:
        yield Case(network, parameters, np.eye(m).astype(case.dtype), np.ascontiguousarray(y, case.dtype),
                   case.precision, case.regime)  # fmt: skip
    except MalformedError:
        return


def _from_above(case: Case, answer: Gradients, l: int) -> Array | None:
    """Return ∂C/∂a^l from the answer's own δ^{l+1}; None where it has none."""
    if l == case.architecture.depth:
        return np.ones((case.batch, case.architecture.widths[-1]), case.dtype)
    known = case.tensors() | answer.tensors()

    def widened(name: Name) -> Array | None:
        return np.asarray(known[name], np.float64) if name in known else None

    found = flow(case.architecture, case.batch).link(names.g(l), widened)
    return None if found is None else np.asarray(found, case.dtype)


# ------------------------------------------------------------------------------------------------------ smaller cases


def _examples(case: Case, rows: Array) -> Case:
    return replace(case, x=case.x[rows], y=case.y[rows])


def _neurons(case: Case, l: int, kept: Array) -> Case:
    """Keep some neurons of layer l, or some of the inputs where l is 0."""
    W, b = list(case.parameters.weights), list(case.parameters.biases)
    network, x, y = case.architecture, case.x, case.y
    layers, inputs = list(network.layers), network.inputs
    if l == 0:
        inputs, x = len(kept), x[:, kept]
    else:
        layers[l - 1] = replace(layers[l - 1], width=len(kept))
        W[l - 1], b[l - 1] = W[l - 1][kept], b[l - 1][kept]
    if l < network.depth:
        W[l] = W[l][:, kept]
    else:
        y = y[:, kept]
    smaller = replace(network, inputs=inputs, layers=tuple(layers))
    return replace(case, architecture=smaller, parameters=Parameters(tuple(W), tuple(b)), x=x, y=y)


def _with(case: Case, name: str, index: tuple[int, ...], value: float) -> Case:
    arrays = {key: np.array(array) for key, array in case.tensors().items()}
    arrays[name][index] = value
    parameters = Parameters.named(arrays, case.architecture.depth)
    return replace(case, parameters=parameters, x=arrays[names.X], y=arrays[names.Y])


def simpler(value: float) -> Iterator[float]:
    """Give simpler numbers than this, the simplest first: 0, 1, -1, a power of two, few digits."""
    if not np.isfinite(value):
        return
    candidates = [0.0, 1.0, -1.0]
    if value:
        candidates.append(float(np.copysign(2.0 ** np.round(np.log2(abs(value))), value)))
        candidates += [float(f"{value:.{digits}g}") for digits in (1, 2, 3, 5)]
    for candidate in dict.fromkeys(candidates):
        if candidate == value:
            return  # it is as simple as that already
        yield candidate
