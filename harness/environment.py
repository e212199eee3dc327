"""What machine and software a run was made on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

_SOFTWARE = (
    "numpy",
    "hypothesis",
    "python-flint",
    "safetensors",
    "torch",
    "tensorflow",
    "jax",
    "jaxlib",
    "keras",
)


def environment() -> dict[str, Any]:
    """Say what machine and software this is."""
    software = {}
    for name in _SOFTWARE:
        try:
            software[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "software": software,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
