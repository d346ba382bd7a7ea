"""The checks that other tests lean on are switched on: axes of arrays, float64, warnings as errors."""

import os
import subprocess
import sys
import warnings

import pytest
from jax import numpy as jnp
from jaxtyping import TypeCheckError

from dpm.cohort.records import Records


def test_an_array_with_the_wrong_axes_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="time"):
        Records(time=jnp.zeros(3), values={}, observed={}, covariates={}, groups={})


def test_floats_are_double() -> None:
    assert jnp.zeros(1).dtype == jnp.float64


def test_a_warning_is_an_error() -> None:
    with pytest.raises(UserWarning, match="careful"):
        warnings.warn("careful", stacklevel=1)


@pytest.mark.parametrize(("own", "expected"), [("off", "None"), ("here", "here"), (None, "parent's")])
def test_the_cache_is_where_it_is_asked_for(own: str | None, expected: str) -> None:
    """Not where the process has it that started this one, as a benchmark does."""
    env = {name: value for name, value in os.environ.items() if name != "DPM_COMPILATION_CACHE"}
    env |= {"JAX_COMPILATION_CACHE_DIR": "parent's"} | ({} if own is None else {"DPM_COMPILATION_CACHE": own})
    code = "import dpm, os; print(os.environ.get('JAX_COMPILATION_CACHE_DIR'))"
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == expected
