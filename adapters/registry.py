"""Names of implementations: which there are, how one is loaded, and what command starts its worker.

    reference              gradparity's own equations
    torch:eager            a framework and one of its modes, from MODES below
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
import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder

from .. import __version__
from .implementation import Implementation

#: Every known adapter and its modes. They are repeated here so that the parent can list them without
#: importing a framework.
MODES: dict[str, tuple[str, ...]] = {
    "reference": ("",),
    "torch": ("eager", "compile", "func", "forward", "checkpoint", "strided"),
    "tensorflow": ("eager", "function", "xla", "forward"),
    "jax": ("jit", "eager", "forward", "vmap", "checkpoint"),
    "keras": ("tensorflow", "torch", "jax"),
    "autograd": ("tape",),
    "casadi": ("mx",),
    "mlx": ("eager",),
    "mygrad": ("tape",),
    "paddle": ("eager",),
    "pytensor": ("function",),
    "sklearn": ("backprop",),
    "tinygrad": ("eager",),
}

#: The module to look for where the adapter's own name is only a folder that distributions share.
HOMES = {"mlx": "mlx.core"}

#: Who can be told a device.
ON_DEVICES = ("torch", "tensorflow", "jax")

#: What is judged when nobody is named.
DEFAULTS = ("torch:eager", "tensorflow:eager", "tensorflow:function", "jax:jit")

#: Whose modes `--modes all` judges.
EVERY_MODE = ("torch", "tensorflow", "jax", "keras")

#: Modes that take seconds for each architecture, to compile it or to differentiate by one component at a time.
EXPENSIVE = (
    "torch:compile",
    "torch:forward",
    "tensorflow:xla",
    "tensorflow:forward",
    "jax:eager",
    "jax:forward",
)

#: Modes in which every component is differentiated forward, for itself, and no δ is carried back: ∂C/∂W, ∂C/∂b and δ
#: are rounded apart, and no equation connects one with another beyond the exact one.
FORWARD = ("torch:forward", "tensorflow:forward", "jax:forward")

#: Whose arrays are not computed from one another, so that links between them say nothing. In jax:vmap XLA computes δ
#: once more in the kernel that adds it up, and rounds it otherwise than where it is returned. PyTensor rewrites a
#: whole graph: it adds up z + 3 as x W + b + 3, and z for itself.
UNLINKED = (*FORWARD, "jax:vmap", "pytensor:function")

EXEC = "exec:"


def linked(name: str) -> bool:
    """Whether an implementation computes its arrays from one another."""
    return name.partition("@")[0] not in UNLINKED


def in_forward_mode(name: str) -> bool:
    """Whether an implementation differentiates forward, by one component at a time."""
    return name.partition("@")[0] in FORWARD


class UnknownImplementationError(ValueError):
    """A name that nothing answers to; the message says what is wrong and what to do."""


class MissingImplementationError(ValueError):
    """A known implementation whose framework is not installed here; the message says how to install it."""


@dataclass(frozen=True)
class Listing:
    """One known implementation: its name, and either the version that is installed or why it is missing."""

    name: str
    version: str | None
    missing: str | None = None


def names() -> list[str]:
    """Name every known adapter with every mode."""
    return [f"{adapter}:{mode}" if mode else adapter for adapter, modes in MODES.items() for mode in modes]


def every_mode() -> list[str]:
    """Name every mode of the frameworks that have several."""
    return [name for name in names() if _adapter(name) in EVERY_MODE]


def available() -> list[Listing]:
    """List every known implementation, installed or not, without importing a framework."""
    listings = []
    for name in names():
        missing = _missing(name)
        listings.append(Listing(name, None if missing else _version(_adapter(name)), missing))
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
    elif _adapter(name) in MODES:
        mode, at, device = name.partition("@")
        if at and not (_adapter(name) in ON_DEVICES and device.replace(":", "").isalnum()):
            raise UnknownImplementationError(
                f"{name!r} names no device; say one of {', '.join(ON_DEVICES)} and a device, as in torch:eager@cuda"
            )
        if mode not in names():
            modes = " or ".join(known for known in names() if _adapter(known) == _adapter(name))
            raise UnknownImplementationError(f"{name!r} is not an implementation; say {modes}")
        missing = _missing(name)
        if missing:
            raise MissingImplementationError(missing)
    else:
        module, _, attribute = name.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
            hint = _hint(
                name, "say one that `gradparity implementations` lists, module:object or exec:COMMAND"
            )
            raise UnknownImplementationError(f"no implementation is called {name!r}; {hint}")
        if not _importable(module.split(".")):
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
    if adapter in MODES:
        loaded: Implementation = importlib.import_module(f".{adapter}", __package__).load(mode)
        return loaded
    # A console script's path begins with its own folder; users expect theirs.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    found: Implementation = importlib.import_module(".callable", __package__).load(name)
    return found


def command(name: str) -> list[str]:
    """Give the command that starts a worker; raises UnknownImplementationError where ``exec:`` names none."""
    if not name.startswith(EXEC):
        return [sys.executable, "-m", f"{__package__}.serve", name]
    try:
        argv = shlex.split(name.removeprefix(EXEC))
    except ValueError as error:
        raise UnknownImplementationError(f"{name!r} cannot be run; the shell would say: {error}") from None
    if not argv:
        raise UnknownImplementationError(f"{name!r} cannot be run; give the command after the colon")
    return argv


def _adapter(name: str) -> str:
    return name.partition(":")[0]


def _hint(name: str, otherwise: str) -> str:
    close = difflib.get_close_matches(name, names(), n=1, cutoff=0.8)
    return f"did you mean {close[0]}?" if close else otherwise


def _missing(name: str) -> str | None:
    adapter, _, mode = name.partition("@")[0].partition(":")
    if adapter == "reference":
        return None
    # A mode that is called like a framework runs on it.
    needed = [adapter, mode] if mode in MODES else [adapter]
    for framework in needed:
        spec = _top(HOMES.get(framework, framework))
        if spec is None or spec.origin is None:  # without an origin, it is just a folder of that name
            return f"{framework} is not installed; pip install 'gradparity[{','.join(needed)}]'"
    return None


def _version(adapter: str) -> str:
    if adapter == "reference":
        return __version__
    try:
        return importlib.metadata.version(adapter)
    except importlib.metadata.PackageNotFoundError:
        return distribution_version(adapter)


def distribution_version(module: str) -> str:
    """Give the version of the distribution that a top-level module came with, or ``unknown``."""
    # A module and its distribution may differ in name, as with tensorflow-cpu.
    distributions = importlib.metadata.packages_distributions().get(module)
    return importlib.metadata.version(distributions[0]) if distributions else "unknown"


def _importable(parts: Sequence[str]) -> bool:
    """Whether a module could be imported. importlib's own search would execute the packages above it."""
    if ".".join(parts) in sys.modules:  # some, like os.path, no search would find
        return True
    spec = _top(parts[0]) or PathFinder.find_spec(parts[0], [os.getcwd()])
    for end in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return False
        spec = PathFinder.find_spec(".".join(parts[:end]), list(spec.submodule_search_locations))
    return spec is not None


def _top(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ValueError, ModuleNotFoundError):  # loaded without a spec, as __main__ is; or nothing above it
        return None
