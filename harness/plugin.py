"""The pytest plugin: a fixture that holds a function against many cases, and the options of the property tests.

    def test_my_backprop(gradparity):
        gradparity.check(my_backprop, only=("sigmoid", "half_squared_error"))

Everybody who has gradparity installed loads this file whenever they run pytest, so it imports nothing that takes time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..reference.network import Case, Gradients


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("gradparity", "backpropagation, judged inside derived error bounds")
    group.addoption(
        "--implementation",
        action="append",
        metavar="NAME",
        help="hold gradparity.property_tests against this implementation, for example torch:eager; repeatable",
    )
    group.addoption(
        "--gradparity-cases",
        type=int,
        default=200,
        metavar="N",
        help="how many cases the gradparity fixture draws (default: 200)",
    )
    group.addoption(
        "--gradparity-seed",
        type=int,
        default=0,
        metavar="S",
        help="the seed that they are drawn from (default: 0): same seed, same cases",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what would check nothing, and a name that nothing answers to, before anything runs."""
    if config.getoption("--gradparity-cases") < 1:
        raise pytest.UsageError("--gradparity-cases must be at least 1")
    if not 0 <= config.getoption("--gradparity-seed") < 2**32:
        raise pytest.UsageError("--gradparity-seed must lie from 0 to 4294967295")
    names = config.getoption("--implementation")
    if names:
        from ..adapters import registry

        for name in names:
            try:
                registry.check(name)
            except ValueError as error:
                raise pytest.UsageError(str(error)) from None


@dataclass(frozen=True)
class Checker:
    """What the fixture gives: ``check`` with the command line's number of cases and seed."""

    cases: int
    seed: int

    def check(
        self,
        my_backprop: Callable[[Case], Gradients],
        cases: int | None = None,
        seed: int | None = None,
        precisions: tuple[str, ...] = ("float64", "float32"),
        only: tuple[str, ...] = (),
    ) -> int:
        """Hold a function Case -> Gradients against its enclosures, as ``gradparity.check`` does."""
        from .judgement import DivergenceError, check

        __tracebackhide__ = True
        number, first = self.cases if cases is None else cases, self.seed if seed is None else seed
        try:
            return check(my_backprop, number, first, precisions, only)
        except DivergenceError as error:
            told = str(error)
        pytest.fail(told, pytrace=False)


@pytest.fixture
def gradparity(request: pytest.FixtureRequest) -> Checker:
    """Give what holds a backpropagation of yours against the enclosures of many drawn cases."""
    option = request.config.getoption
    return Checker(option("--gradparity-cases"), option("--gradparity-seed"))
