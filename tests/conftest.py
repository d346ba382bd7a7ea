"""What all tests share: checked array shapes, float64, one compile cache in the checkout, figures without a window."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("DPM_COMPILATION_CACHE", str(ROOT / ".jax_cache"))
os.environ.setdefault("MPLBACKEND", "Agg")

import dpm  # noqa: E402, F401  (switches float64 on, also for a test that itself imports only JAX)

settings.register_profile("dpm", deadline=None, derandomize=True, database=None)
settings.load_profile("dpm")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
