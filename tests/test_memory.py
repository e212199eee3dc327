"""Memory that is kept comes without page faults, also in a process that Dask has told to give everything back.

And what is given back is no longer the process's, also where something that is needed lies behind it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

import pytest

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
