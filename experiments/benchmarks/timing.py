"""Times, repeated; facts of the machine; markdown."""

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import NamedTuple

import jax
import numpy as np

PACKAGES = ("jax", "jaxlib", "numpyro", "numpy", "scipy", "statsmodels", "arviz-stats")


class Seconds(NamedTuple):
    """Wall-clock times of one thing done several times [s]."""

    every: list[float]

    @property
    def least(self) -> float:
        return min(self.every)

    @property
    def median(self) -> float:
        return float(np.median(self.every))

    def to_dict(self) -> dict[str, object]:
        return {"min": self.least, "median": self.median, "every": self.every}


def timed(action: Callable[[], object], times: int) -> Seconds:
    """`action`, `times` times."""
    every = []
    for _ in range(times):
        began = perf_counter()
        action()
        every.append(perf_counter() - began)
    return Seconds(every)


def machine() -> dict[str, object]:
    """What the times depend on; nothing that names the machine."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "device": jax.devices()[0].platform,
        "system": platform.system(),
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 1),
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    """Of `PACKAGES`, those that are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def shown(seconds: float) -> str:
    """Two digits, in the unit that suits."""
    scale, unit = (1.0, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "µs")
    return f"{seconds * scale:.2g} {unit}" if seconds * scale < 100 else f"{seconds * scale:.0f} {unit}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
