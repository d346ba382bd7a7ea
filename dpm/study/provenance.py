"""What made a run: code, packages, machine."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dpm.study.hashing import PACKAGE, sha256_of_code

NUMERIC = ("jax", "jaxlib", "numpyro", "numpy", "scipy", "pandas", "xarray", "arviz-stats", "statsmodels")
"""Packages on which numbers rest: a stage runs again when one of them changes."""

OTHERS = ("h5netcdf", "matplotlib", "pydantic", "jinja2")


def packages(names: tuple[str, ...] = NUMERIC) -> dict[str, str]:
    """Installed versions; "absent" for a package that is not installed."""
    return {name: _version(name) for name in names}


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": packages((*NUMERIC, *OTHERS)),
    }


def code() -> dict[str, str]:
    """Hash of dpm's source, and in a checkout the commit it stands at."""
    return {"sha256": sha256_of_code(), **_commit()}


def device() -> str:
    """The device JAX computes on."""
    import jax

    first = jax.devices()[0]
    return f"{first.platform}: {jax.device_count()} x {first.device_kind}"


def seen_jax() -> bool:
    """Whether something in this process has used JAX, so that asking for its device costs nothing."""
    return "jax" in sys.modules


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _commit() -> dict[str, str]:
    if not (PACKAGE.parent / ".git").exists():
        return {}
    head, changes = (
        _git(*words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "dpm", "models"))
    )
    return {"git": head + (" with uncommitted changes" if changes else "")} if head else {}


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
