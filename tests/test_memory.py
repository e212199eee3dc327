"""Memory that is kept comes without page faults, also in a process that Dask has told to give everything back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

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


def faults(how: str) -> int:
    """Count the page faults of twenty arrays, where Dask's nanny set up the environment."""
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", TOUCH, how]
    return int(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library cannot be told")
def test_what_was_freed_is_kept() -> None:
    assert 10 * faults("kept") < faults("given back")
