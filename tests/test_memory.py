"""Memory that is kept comes without page faults, also in a process that Dask has told to give everything back.

And what is given back is no longer the process's, also where something that is needed lies behind it.
"""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import weakref
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from gradparity import Architecture, Cost, Gradients, Layer, judge
from gradparity.adapters.reference import load
from gradparity.property_tests.regimes import BY_NAME, case
from gradparity.reference.activations import activation
from gradparity.reference.backprop import flow
from gradparity.reference.costs import cost_function
from gradparity.reference.links import Links
from gradparity.reference.network import _description, _names
from gradparity.reference.shapes import shapes
from gradparity.reference.stack import Stack, stacked_answers

TOUCH = """
import resource, sys
import numpy as np
from gradparity.harness.memory import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
np.ones(2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

BETWEEN = """
import sys
from pathlib import Path
import numpy as np
from gradparity.harness.memory import give_back, keep_memory
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
keep_memory()
several = [np.ones(2**17) for _ in range(100)]
last = several.pop()
del several
before = resident()
if sys.argv[1] == "given back":
    give_back()
print(before - resident())
"""


def faults(how: str) -> int:
    """Count the page faults of twenty arrays, where Dask's nanny set up the environment."""
    return run(TOUCH, how, {"MALLOC_TRIM_THRESHOLD_": "65536"})


def run(program: str, how: str, variables: Mapping[str, str] = MappingProxyType({})) -> int:
    command, environment = [sys.executable, "-c", program, how], {**os.environ, **variables}
    return int(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library cannot be told")


@on_glibc
def test_what_was_freed_is_kept() -> None:
    assert 10 * faults("kept") < faults("given back")


@on_glibc
def test_what_is_free_is_given_back() -> None:
    pages = 90 * 2**20 // os.sysconf("SC_PAGE_SIZE")
    assert run(BETWEEN, "given back") > pages > 100 > run(BETWEEN, "kept")


@pytest.mark.parametrize("width", [3, 96])
def test_what_was_judged_is_freed_at_once(width: int) -> None:
    """Without a detour by which it refers to itself, which only Python's collector would find, some time."""
    network = Architecture(width, (Layer(width, "tanh"), Layer(width, "sigmoid")), Cost("squared_error"))
    one = case(network, 32, BY_NAME["ordinary"], 3, "float64")
    gc.collect()
    gc.disable()
    try:
        own = stacked_answers([load("").gradients(one)])
        found = Links(Stack([one]), own)
        for name in own.tensors():
            assert found.strict(name) or found.get(name)
        answer = load("").gradients(one)
        assert judge(one, answer).verdict == "agrees"
        gone = [weakref.ref(array) for array in (own.dW[0], answer.dW[0])]
        del own, found, answer
        assert all(array() is None for array in gone)
    finally:
        gc.enable()


def test_what_a_campaign_remembers_has_an_end() -> None:
    """Layers and costs differ in numbers, of which there are as many as cases."""
    remembered = (activation, cost_function, _description, shapes, flow, _names)
    for i in range(300):
        layer, cost = Layer(1 + i % 7, "elu", alpha=1.0 + i), Cost("huber", delta=1.0 + i)
        one = case(
            Architecture(2, (layer,) * (1 + i % 5), cost), 1 + i % 11, BY_NAME["ordinary"], i, "float32"
        )
        Gradients.from_tensors(load("").gradients(one).tensors(), one)
        assert one.id
    for function in remembered:
        size, most = function.cache_info().currsize, function.cache_info().maxsize
        assert most is not None
        assert 0 < size <= most <= 128
