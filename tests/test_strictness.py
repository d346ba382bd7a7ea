"""The checks that other tests lean on are switched on: axes of arrays, float64, warnings as errors."""

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
