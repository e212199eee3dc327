"""Names of implementations: which there are, how one is loaded, and what command starts its worker.

    reference              gradparity's own equations
    torch:eager            a framework and one of its modes, from modes.py
    torch:eager@cuda       the same on a device, as the framework calls it
    package.module:object  any importable callable that takes a Case and returns Gradients
    exec:COMMAND           any program that reads case documents and writes answers; run, never loaded

``check``, ``available`` and ``command`` serve the parent process, so they import no framework and no user's
module. ``load`` does, and is for inside the worker.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import shlex
import shutil
import sys
from dataclasses import dataclass

from .. import __version__
from .implementation import Implementation, MissingImplementationError, UnknownImplementationError
from .installed import distribution_version, importable, spec_of
from .modes import FRAMEWORKS, MODES, Framework, Mode

EXEC = "exec:"


@dataclass(frozen=True)
class Listing:
    """One known implementation: its name, and either the version that is installed or why it is missing."""

    name: str
    version: str | None
    missing: str | None = None


def available() -> list[Listing]:
    """List every known implementation, installed or not, without importing a framework."""
    listings = []
    for mode in MODES.values():
        missing = _missing(mode)
        listings.append(Listing(mode.name, None if missing else _version(mode.framework), missing))
    return listings


def check(name: str) -> None:
    """Say early, without importing anything of the implementation's, what ``load`` or a start would fail on.

    Raises UnknownImplementationError where nothing answers to the name, MissingImplementationError where its
    framework is not installed. Whether a module holds the object, only ``load`` can say.
    """
    if name.startswith(EXEC):
        program = command(name)[0]
        if shutil.which(program) is None:
            raise UnknownImplementationError(
                f"{name!r} cannot be run: no command is called {program!r}; give its path, or mend the PATH"
            )
    elif name.partition(":")[0] in FRAMEWORKS:
        _check_mode(name, FRAMEWORKS[name.partition(":")[0]])
    else:
        module, _, attribute = name.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
            hint = _hint(
                name, "say one that `gradparity implementations` lists, module:object or exec:COMMAND"
            )
            raise UnknownImplementationError(f"no implementation is called {name!r}; {hint}")
        if not importable(module.split(".")):
            hint = _hint(name, "run gradparity from where it can be imported")
            raise UnknownImplementationError(f"no module is called {module!r}; {hint}")


def load(name: str) -> Implementation:
    """Load an implementation into this process; call it in a worker only.

    Raises what ``check`` raises, UnknownImplementationError also for ``exec:``, which is run and not loaded,
    and for a module that lacks the object. Errors of the module's own import are let through.
    """
    if name.startswith(EXEC):
        raise UnknownImplementationError(f"{name!r} is run and not loaded; run it with its own command")
    check(name)
    adapter, _, mode = name.partition(":")
    if adapter in FRAMEWORKS:
        loaded: Implementation = importlib.import_module(f".{adapter}", __package__).load(mode)
        return loaded
    # A console script's path begins with its own folder; users expect theirs.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    found: Implementation = importlib.import_module(".callable", __package__).load(name)
    return found


def command(name: str) -> list[str]:
    """Return the command that starts a worker; raises UnknownImplementationError where ``exec:`` names none."""
    if not name.startswith(EXEC):
        return [sys.executable, "-m", f"{__package__}.serve", name]
    try:
        argv = shlex.split(name.removeprefix(EXEC))
    except ValueError as error:
        raise UnknownImplementationError(f"{name!r} cannot be run; the shell would say: {error}") from None
    if not argv:
        raise UnknownImplementationError(f"{name!r} cannot be run; give the command after the colon")
    return argv


def _check_mode(name: str, framework: Framework) -> None:
    base, at, device = name.partition("@")
    if at and not (framework.on_devices and device.replace(":", "").isalnum()):
        able = ", ".join(one.name for one in FRAMEWORKS.values() if one.on_devices)
        raise UnknownImplementationError(
            f"{name!r} names no device; say one of {able} and a device, as in torch:eager@cuda"
        )
    if base not in MODES:
        raise UnknownImplementationError(
            f"{name!r} is not an implementation; say {' or '.join(framework.modes)}"
        )
    missing = _missing(MODES[base])
    if missing:
        raise MissingImplementationError(missing)


def _hint(name: str, otherwise: str) -> str:
    close = difflib.get_close_matches(name, list(MODES), n=1, cutoff=0.8)
    return f"did you mean {close[0]}?" if close else otherwise


def _missing(mode: Mode) -> str | None:
    """Return which framework a mode needs that is not installed here, and how to install it; None where all are."""
    for framework in mode.needs:
        spec = spec_of(framework.module)
        if spec is None or spec.origin is None:  # without an origin, it is just a folder of that name
            extras = ",".join(one.name for one in mode.needs)
            return f"{framework.name} is not installed; pip install 'gradparity[{extras}]'"
    return None


def _version(framework: Framework) -> str:
    if not framework.module:
        return __version__
    try:
        return importlib.metadata.version(framework.name)
    except importlib.metadata.PackageNotFoundError:
        return distribution_version(framework.name)
