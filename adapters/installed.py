"""Which modules are installed here, and in which version, without importing them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder


def spec_of(module: str) -> ModuleSpec | None:
    """Return where a module would be imported from; None where it is not installed.

    importlib's own search imports the packages above a module with a dotted name.
    """
    try:
        return importlib.util.find_spec(module)
    except (ValueError, ModuleNotFoundError):  # loaded without a spec, as __main__ is; or nothing above it
        return None


def importable(parts: Sequence[str]) -> bool:
    """Return whether a module could be imported. importlib's own search would execute the packages above it."""
    if ".".join(parts) in sys.modules:  # some, like os.path, no search would find
        return True
    spec = spec_of(parts[0]) or PathFinder.find_spec(parts[0], [os.getcwd()])
    for end in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return False
        spec = PathFinder.find_spec(".".join(parts[:end]), list(spec.submodule_search_locations))
    return spec is not None


def distribution_version(module: str) -> str:
    """Return the version of the distribution that a top-level module came with, or ``unknown``."""
    # A module and its distribution may differ in name, as with tensorflow-cpu.
    distributions = importlib.metadata.packages_distributions().get(module)
    return importlib.metadata.version(distributions[0]) if distributions else "unknown"
