"""What several test files share: the command line as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradparity.harness.campaign import Settings
from gradparity.harness.expectations import Expectations
from gradparity.harness.run import Run
from gradparity.harness.shards import judge_shards, write_shard
from threadpoolctl import threadpool_limits

Gradparity = Callable[..., "subprocess.CompletedProcess[str]"]

# Where the tests were started in the background, interrupts are ignored, and would be by all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two processes test on two cores: BLAS's own threads wait for one another by spinning, on the core of the other.
threadpool_limits(1, "blas")


@pytest.fixture
def gradparity(tmp_path: Path) -> Gradparity:
    """Run ``gradparity ARGUMENTS`` in an empty folder."""

    def run(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "gradparity.harness.cli", *arguments],
            cwd=tmp_path,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "COLUMNS": "100"},
            timeout=240,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    return run


def judged_run(folder: Path, settings: Settings) -> dict[str, Any]:
    """Judge into a folder in this process, and give what run.json holds; findings are not shrunk."""
    expectations = Expectations()
    run = Run(folder, settings, f"gradparity verify {' '.join(settings.implementations)}", expectations)
    for shard in judge_shards(settings, expectations, run.pending):
        write_shard(folder, shard)
    tally = run.tally()
    return run.close(tally, tally.findings(expectations))
