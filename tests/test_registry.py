"""Names of implementations: known ones, missing ones, unknown ones, and what looking at them may not do."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gradparity
import pytest
from gradparity.adapters import registry
from gradparity.adapters.implementation import MissingImplementationError, UnknownImplementationError
from gradparity.adapters.modes import FRAMEWORKS, MODES
from gradparity.adapters.registry import available, check, command, load

ELSEWHERE = "run gradparity from where it can be imported"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a framework look as if it were not installed."""
    find_spec = importlib.util.find_spec

    def hide(framework: str) -> None:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *a: None if name == framework else find_spec(name, *a)
        )

    return hide


class TestCommand:
    @pytest.mark.parametrize("name", ["reference", "torch:eager", "my.module:backprop"])
    def test_a_python_implementation_is_served(self, name: str) -> None:
        assert command(name) == [sys.executable, "-m", "gradparity.adapters.serve", name]

    def test_exec_is_split_as_a_shell_would(self) -> None:
        assert command("exec:./backprop --mode 'two words' a:b") == [
            "./backprop",
            "--mode",
            "two words",
            "a:b",
        ]

    @pytest.mark.parametrize("name", ["exec:", "exec:   ", "exec:'unclosed"])
    def test_exec_of_nothing(self, name: str) -> None:
        with pytest.raises(UnknownImplementationError, match="cannot be run; "):
            command(name)


class TestCheck:
    @pytest.mark.parametrize(
        "name", ["reference", "exec:cat -u", "json:loads", "xml.dom.minidom:parse", "os.path:join"]
    )
    def test_what_is_there_passes(self, name: str) -> None:
        check(name)

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            (
                "torch:compiled",
                "'torch:compiled' is not an implementation; "
                "say torch:eager or torch:compile or torch:func or torch:forward or torch:checkpoint or "
                "torch:strided",
            ),
            (
                "tensorflow",
                "'tensorflow' is not an implementation; "
                "say tensorflow:eager or tensorflow:function or tensorflow:xla or tensorflow:forward",
            ),
            (
                "keras:",
                "'keras:' is not an implementation; say keras:tensorflow or keras:torch or keras:jax",
            ),
            ("reference:fast", "'reference:fast' is not an implementation; say reference"),
            ("pytorch:eager", "no module is called 'pytorch'; did you mean torch:eager?"),
            ("torhc:eager", "no module is called 'torhc'; did you mean torch:eager?"),
            ("referense", "no implementation is called 'referense'; did you mean reference?"),
            (
                "zzz",
                "no implementation is called 'zzz'; "
                "say one that `gradparity implementations` lists, module:object or exec:COMMAND",
            ),
            ("no_such:thing", f"no module is called 'no_such'; {ELSEWHERE}"),
            (
                "torch:eager@",
                "'torch:eager@' names no device; say one of torch, tensorflow, jax and a device, as in "
                "torch:eager@cuda",
            ),
            (
                "mygrad:tape@cuda",
                "'mygrad:tape@cuda' names no device; say one of torch, tensorflow, jax and a device, as in "
                "torch:eager@cuda",
            ),
            (
                "json.nowhere:f",
                f"no module is called 'json.nowhere'; {ELSEWHERE}",
            ),
            (
                "json.decoder.x:f",
                f"no module is called 'json.decoder.x'; {ELSEWHERE}",
            ),
            (
                "exec:/no/such --flag",
                "'exec:/no/such --flag' cannot be run: no command is called '/no/such'; "
                "give its path, or mend the PATH",
            ),
        ],
    )
    def test_what_is_not_there_is_refused_in_one_sentence(self, name: str, sentence: str) -> None:
        with pytest.raises(UnknownImplementationError) as refusal:
            check(name)
        assert str(refusal.value) == sentence

    @pytest.mark.parametrize(
        "name", ["", ":", "a..b:c", "json:", ":loads", "json:loads:x", "json:a-b", "../x:y"]
    )
    def test_what_is_no_name_at_all(self, name: str) -> None:
        with pytest.raises(UnknownImplementationError, match="no implementation is called"):
            check(name)

    @pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
    def test_a_framework_that_is_not_installed(self, framework: str, without: Callable[[str], None]) -> None:
        without(framework)
        with pytest.raises(MissingImplementationError) as refusal:
            check(FRAMEWORKS[framework].modes[0])
        assert str(refusal.value) == f"{framework} is not installed; pip install 'gradparity[{framework}]'"

    def test_a_mode_that_is_called_like_a_framework_needs_it(self, without: Callable[[str], None]) -> None:
        without("torch")
        with pytest.raises(MissingImplementationError) as refusal:
            check("keras:torch")
        assert str(refusal.value) == "torch is not installed; pip install 'gradparity[keras,torch]'"
        missing = {one.name for one in available() if one.missing and "torch is not" in one.missing}
        assert missing == {"keras:torch", *FRAMEWORKS["torch"].modes}

    def test_a_folder_with_a_framework_s_name_is_no_framework(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: Callable[[str], None]
    ) -> None:
        (tmp_path / "jax").mkdir()
        (tmp_path / "torch.py").write_text("# an adapter, say")
        monkeypatch.chdir(tmp_path)
        without("torch")
        with pytest.raises(MissingImplementationError):
            check("torch:eager")
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        monkeypatch.setattr(sys, "path_importer_cache", {})
        for loaded in [name for name in sys.modules if name.partition(".")[0] == "jax"]:
            monkeypatch.delitem(sys.modules, loaded)
        with pytest.raises(MissingImplementationError):
            check("jax:jit")

    def test_it_executes_nothing_of_the_users(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "mine"
        package.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('executed')")
        (package / "engine.py").write_text("raise SystemExit('executed')")
        monkeypatch.chdir(tmp_path)
        check("mine.engine:backprop")
        with pytest.raises(UnknownImplementationError, match=r"no module is called 'mine\.motor'"):
            check("mine.motor:backprop")

    def test_it_imports_no_framework(self) -> None:
        script = (
            "import sys\n"
            "from gradparity.adapters import registry\n"
            "for listing in registry.available():\n"
            "    if listing.missing is None: registry.check(listing.name)\n"
            "print(sorted({'torch', 'tensorflow', 'jax'} & set(sys.modules)))"
        )
        ended = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
        )
        assert ended.stdout == "[]\n"


class TestAvailable:
    def test_every_known_name_is_listed_once(self) -> None:
        listed = [listing.name for listing in available()]
        assert listed == list(MODES)
        assert listed[:3] == ["reference", "torch:eager", "torch:compile"]

    def test_each_has_a_version_or_a_reason(self) -> None:
        for listing in available():
            assert (listing.version is None) == (listing.missing is not None)
        assert available()[0].version == gradparity.__version__

    def test_a_missing_framework_is_listed_with_its_reason(self, without: Callable[[str], None]) -> None:
        without("jax")
        (listing,) = (one for one in available() if one.name == "jax:jit")
        assert listing.version is None
        assert listing.missing == "jax is not installed; pip install 'gradparity[jax]'"

    def test_a_distribution_may_have_another_name_than_its_module(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def version(distribution: str) -> str:
            if distribution != "tensorflow-cpu":
                raise importlib.metadata.PackageNotFoundError
            return "2.20.0"

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(
            importlib.metadata, "packages_distributions", lambda: {"tensorflow": ["tensorflow-cpu"]}
        )
        assert registry._version(FRAMEWORKS["tensorflow"]) == "2.20.0"


class TestLoad:
    def test_exec_is_never_loaded(self) -> None:
        with pytest.raises(UnknownImplementationError, match="is run and not loaded"):
            load("exec:cat")

    def test_a_callable_that_came_with_a_distribution_has_its_version(self) -> None:
        loaded = load("numpy.linalg:norm")
        assert loaded.name == "numpy.linalg:norm"
        assert loaded.version == importlib.metadata.version("numpy")
        assert loaded.language == "Python"
        assert loaded.functions() == {}
