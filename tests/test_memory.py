"""Memory that is kept comes without page faults; where nobody asked for that, it comes with as many as it has pages."""

from __future__ import annotations

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
for _ in range(3):
    several = [np.ones(3 * 2**20 - 2**10) for _ in range(3)]
    del several
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    several = [np.ones(3 * 2**20 - 2**10) for _ in range(3)]
    del several
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", TOUCH, how], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library cannot be told")
def test_what_was_freed_is_kept() -> None:
    assert 10 * faults("kept") < faults("not")
