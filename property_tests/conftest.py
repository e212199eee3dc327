"""Whom the properties are held against: ``pytest property_tests --implementation torch:eager``, repeatable.

With none named, it is the reference and those of the known frameworks that are installed. Each answers from a
process of its own, started when its first property is tried and ended after its last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from gradparity.adapters.modes import defaults
from gradparity.adapters.registry import available
from gradparity.harness.workers import Worker
from gradparity.reference.network import Case, Gradients
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

# The same examples every time, and none remembered from elsewhere: a gate must not be open one day and shut
# the next. For fresh examples, say --hypothesis-profile=explore.
settings.register_profile(
    "gate",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
# For a search that goes on where the last one stopped: what failed is kept, and tried first.
settings.register_profile(
    "explore",
    settings.get_profile("gate"),
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    max_examples=400,
)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the examples."""
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("gate")


def _names(config: pytest.Config) -> list[str]:
    installed = {listing.name for listing in available() if listing.missing is None}
    return config.getoption("--implementation") or [
        "reference", *(name for name in defaults() if name in installed)
    ]  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks a worker once for each implementation."""
    if "worker" in metafunc.fixturenames:
        metafunc.parametrize("worker", _names(metafunc.config), indirect=True, scope="session")


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """Give one implementation in its process."""
    with Worker(request.param, timeout=60) as started:
        yield started


@pytest.fixture(scope="session")
def ask(worker: Worker) -> Callable[[Case], Gradients]:
    """Give what asks the implementation; where it declines the case, the property is skipped."""

    def answer(case: Case) -> Gradients:
        found = worker.submit(case).result()
        if found.outcome == "unsupported":
            pytest.skip(f"{worker.name} declines: {found.message}")
        assert found.gradients is not None, f"{worker.name} failed: {found.message}"
        return found.gradients

    return answer
