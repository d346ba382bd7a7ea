"""What all tests share: checked array shapes, float64, one compile cache in the checkout, figures without a window."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("DPM_COMPILATION_CACHE", str(ROOT / ".jax_cache"))
os.environ.setdefault("MPLBACKEND", "Agg")

import jax  # noqa: E402

import dpm  # noqa: E402, F401  (switches float64 on, also for a test that itself imports only JAX)

settings.register_profile("dpm", deadline=None, derandomize=True, database=None)
settings.load_profile("dpm")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


MAPPED = 25_000
"""Memory maps of a process; Linux gives it 65,530, and compiled code that finds none left ends it."""


@pytest.fixture(scope="module", autouse=True)
def room_for_code() -> Iterator[None]:
    """After a file of tests, give up the code compiled so far where it takes many memory maps."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MAPPED:
        jax.clear_caches()
