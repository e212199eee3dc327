"""The catalogue of modes: it is whole, the adapters keep to it, and each flag does what it says."""

from __future__ import annotations

import ast
import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gradparity.adapters import registry
from gradparity.adapters.modes import FRAMEWORKS, MODES, defaults, every_mode, find, in_forward_mode
from gradparity.harness import cli, verify
from gradparity.harness.campaign import Settings
from gradparity.reference.premise import Premise
from gradparity.reports.causes import framework, listed

ROOT = Path(__file__).parent.parent
ADAPTERS = {path.stem: path for path in (ROOT / "adapters").glob("*.py")}


def starts_modes(source: str) -> bool:
    """Whether a file is an adapter: one that offers ``load(mode)``."""
    functions = [one for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)]
    return any(one.name == "load" and one.args.args[0].arg == "mode" for one in functions)


def own_modes(framework: str, source: str) -> list[str]:
    """Read, in an adapter's source, the keys of its dictionary of modes, or else the name of the only one it has.

    Read and not imported, so that it can be told of frameworks that are not installed.
    """
    found = list[str]()
    for one in ast.walk(ast.parse(source)):
        match one:
            case ast.AnnAssign(target=ast.Name(id="DIFFERENTIATE"), value=ast.Dict(keys=keys)):
                found += [f"{framework}:{ast.literal_eval(key)}" for key in keys if key]
            case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(name))):
                found.append(name)
    return found


class TestTable:
    def test_every_adapter_has_a_row_and_every_row_an_adapter(self) -> None:
        assert {name for name, path in ADAPTERS.items() if starts_modes(path.read_text())} == set(FRAMEWORKS)

    def test_every_framework_has_modes_and_every_mode_a_framework(self) -> None:
        assert sorted(name for one in FRAMEWORKS.values() for name in one.modes) == sorted(MODES)

    def test_every_extra_is_in_pyproject(self) -> None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert {one.name for mode in MODES.values() for one in mode.needs} <= set(extras)
        judged = {MODES[name].framework.name for name in defaults()}
        assert extras["frameworks"] == [f"gradparity[{','.join(one for one in FRAMEWORKS if one in judged)}]"]

    def test_a_forward_mode_is_expensive_and_without_links(self) -> None:
        assert all(
            mode.expensive and mode.premise is Premise.CHAIN for mode in MODES.values() if mode.forward
        )

    def test_whoever_has_several_modes_has_all_of_them_judged_on_demand(self) -> None:
        assert [one for one in FRAMEWORKS.values() if one.in_all] == [
            one for one in FRAMEWORKS.values() if len(one.modes) > 1
        ]

    @pytest.mark.parametrize("name", [*FRAMEWORKS, "callable"])
    def test_an_adapter_does_not_import_its_loader(self, name: str) -> None:
        imports = [
            one for one in ast.walk(ast.parse(ADAPTERS[name].read_text())) if isinstance(one, ast.ImportFrom)
        ]
        assert all("registry" not in (one.module, *(alias.name for alias in one.names)) for one in imports)

    @pytest.mark.parametrize("name", FRAMEWORKS)
    def test_the_modes_are_the_adapter_s_own(self, name: str) -> None:
        assert own_modes(name, ADAPTERS[name].read_text()) == list(FRAMEWORKS[name].modes)


@pytest.mark.parametrize(
    ("name", "premise", "forward"),
    [
        ("torch:eager", "own", False),
        ("torch:forward", "chain", True),
        ("jax:forward@gpu:0", "chain", True),
        ("jax:vmap", "chain", False),
        ("pytensor:function", "chain", False),
        ("mine:forward", "own", False),
        ("exec:torch:forward", "own", False),
    ],
)
def test_a_mode_is_known_by_its_name_on_any_device(name: str, premise: str, forward: bool) -> None:
    assert (Settings((name,)).premise(name), in_forward_mode(name)) == (premise, forward)
    assert (find(name) is None) == name.startswith(("mine", "exec"))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("reference", "The reference"),
        ("torch:func@cuda", "PyTorch"),
        ("sklearn:backprop", "scikit-learn"),
        ("paddle", "PaddlePaddle"),
        ("mine:backprop", "mine:backprop"),
    ],
)
def test_a_framework_has_the_name_that_people_call_it(name: str, title: str) -> None:
    assert framework(name) == title


class TestOnTheCommandLine:
    """Whom ``gradparity verify`` judges where every framework is installed."""

    @pytest.fixture
    def everything(self, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
        """Make every framework look installed, and keep the settings of runs that would be started."""
        asked = list[Settings]()

        def run(settings: Settings, *others: Any) -> int:
            asked.append(settings)
            return 0

        spec = importlib.util.find_spec("json")
        monkeypatch.setattr(registry, "spec_of", lambda module: spec)
        monkeypatch.setattr(verify, "verify", run)
        return asked

    def settings(self, everything: list[Settings], *arguments: str) -> Settings:
        # With two jobs, workers are not started here.
        assert CliRunner().invoke(cli.gradparity, ["verify", "--jobs", "2", *arguments]).exit_code == 0
        return everything[-1]

    def test_with_nobody_named_it_is_the_defaults(self, everything: list[Settings]) -> None:
        assert self.settings(everything).implementations == defaults()
        told = " ".join(CliRunner().invoke(cli.gradparity, ["verify", "--help"]).output.split())
        assert f"With none, {listed(defaults())} are judged" in told

    def test_all_modes_are_those_of_the_frameworks_and_some_are_asked_less(
        self, everything: list[Settings]
    ) -> None:
        settings = self.settings(everything, "--modes", "all")
        assert settings.implementations == every_mode()
        assert settings.expensive == tuple(mode.name for mode in MODES.values() if mode.expensive)
        assert set(defaults()) < set(every_mode()) - set(settings.expensive)

    def test_who_names_an_expensive_mode_gets_all_of_it(self, everything: list[Settings]) -> None:
        settings = self.settings(everything, "torch:compile", "jax:jit")
        assert (settings.implementations, settings.expensive) == (("torch:compile", "jax:jit"), ())
