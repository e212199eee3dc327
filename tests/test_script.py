"""Stand-alone programs run as printed, and give what the adapters give, bit for bit."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from gradparity import Architecture, Case, Cost, Layer
from gradparity.adapters.modes import FRAMEWORKS
from gradparity.harness.workers import Worker
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.activations import ACTIVATION_ROWS
from gradparity.reference.network import ACTIVATIONS, COSTS
from gradparity.reports.script import IDIOMS, ScriptError, script


def networks() -> list[Case]:
    """Every activation and every cost, in as few networks as that takes; and one whose targets are one-hot."""
    found = []
    hidden = itertools.cycle(
        [
            *(Layer(3, name) for name in ACTIVATIONS),
            *(Layer(3, name, 0.3) for name, row in ACTIVATION_ROWS.items() if row.parameters),
        ]
    )
    for i, name in enumerate(COSTS):
        last = Layer(1, "sigmoid") if name == "binary_cross_entropy" else Layer(3, "identity")
        network = Architecture(2, (next(hidden), next(hidden), last), Cost(name), ("mean", "sum")[i % 2])
        found.append(case(network, 2, BY_NAME["ordinary"], i, "float64"))
    network = Architecture(2, (Layer(3, "log_softmax"),), Cost("negative_log_likelihood"))
    one_hot = replace(case(network, 2, BY_NAME["ordinary"], 0, "float64"), y=np.eye(3)[[2, 0]])
    return [*found, one_hot]


def printed(program: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(line.split(" = ")[1].split()[0]) for line in done.stdout.splitlines() if " = " in line]


@pytest.mark.parametrize("framework", IDIOMS)
def test_it_gives_what_the_adapter_gives(framework: str) -> None:
    """All networks in one program, since a framework's import takes seconds."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    programs, expected, exactly = [], [], framework != "jax"
    with Worker(FRAMEWORKS[framework].modes[0], timeout=120) as worker:
        for asked in networks():
            answer = worker.submit(asked).result().gradients
            assert answer is not None
            wanted = [
                (name, index, "")
                for name, array in answer.tensors().items()
                for index in np.ndindex(array.shape)
            ]
            programs.append(script(asked, framework, wanted))
            expected += [float(answer.tensors()[name][index]) for name, index, _ in wanted]
    found = printed("\n".join(programs))
    assert len(found) == len(expected)
    if exactly:
        np.testing.assert_array_equal(found, expected)
    else:  # another program is compiled, so that products may be fused elsewhere
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_every_function_has_its_idiom() -> None:
    for idiom in IDIOMS.values():
        assert set(idiom.rows) == {*ACTIVATIONS, *COSTS}
    asked = {layer for one in networks() for layer in one.architecture.layers}
    assert {layer.activation for layer in asked} == set(ACTIVATIONS)
    assert {layer.alpha for layer in asked if layer.activation == "elu"} == {0.3, 1.0}


@pytest.mark.parametrize("framework", IDIOMS)
def test_a_program_says_why_and_needs_no_gradparity(framework: str) -> None:
    program = script(networks()[0], framework, [("dW1", (0, 1), "0.25")], "something is wrong\nin two lines")
    assert program.startswith("# something is wrong\n# in two lines\n")
    assert "gradparity" not in program
    assert re.search(r"print\('dW1\[0, 1\] =', float\(dW1\[0, 1\]\), 'and exactly', '0.25'\)", program)
    compile(program, "program", "exec")


def test_what_is_not_finite_is_written() -> None:
    asked = case(Architecture(2, (Layer(2, "relu"),), Cost("hinge")), 2, BY_NAME["not_finite"], 1, "float64")
    program = script(asked, "torch", [])
    assert "nan, inf = float('nan'), float('inf')" in program


def test_what_is_too_large_to_be_pasted_is_refused() -> None:
    asked = case(
        Architecture(200, (Layer(200, "relu"),), Cost("hinge")), 2, BY_NAME["ordinary"], 1, "float64"
    )
    with pytest.raises(ScriptError, match="too large for a program"):
        script(asked, "torch", [])
