"""Paths find a normal posterior as it is, and where a density has no maximum the place of most mass."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.cohort import Records
from dpm.errors import InferenceError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.pathfinder import pathfinder

from .test_variational import PRIOR, SUBJECTS, fitted, funnel, known, precision, twenty

KEY = jax.random.key(5)


def test_a_normal_posterior_is_found() -> None:
    """Its mean; its sds to the accuracy of twelve directions; and its evidence within the noise of many draws."""
    inverse, mean, evidence = precision()
    sd = np.sqrt(np.diag(np.linalg.inv(inverse)))
    found = pathfinder(Hierarchy.of(known, twenty()), twenty(), key=KEY, draws=200)
    assert np.abs((found.mean - mean) / sd).max() < 1e-3
    covariance = np.diag(found.diagonal) + found.factor @ found.core @ found.factor.T
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), sd, rtol=0.15)
    # log p - log q has no variance at the posterior, but the entropy is exact: what is left is that of log p.
    assert found.elbo == pytest.approx(evidence, abs=4 * np.sqrt((SUBJECTS + 2) / 2 / 200))


def test_a_funnel_is_left_before_its_end() -> None:
    """The density of a funnel rises without end as the spread falls; the bound does not."""
    nothing = twenty().hide(jnp.ones(SUBJECTS, bool))
    found = pathfinder(Hierarchy.of(funnel, nothing), nothing, key=KEY)
    end = -SUBJECTS * 3.0**2  # where the density itself is largest, all effects at zero
    assert found.mean[0] > end / 10


def test_a_guide_begins_there() -> None:
    inverse, mean, _ = precision()
    sd = np.sqrt(np.diag(np.linalg.inv(inverse)))
    draws = fitted(known, twenty(), start="pathfinder")
    assert draws.sites["level"].mean() == pytest.approx(mean[0], abs=0.1 * sd[0])
    assert draws.sites["level"].std() == pytest.approx(sd[0], rel=0.1)
    assert draws.estimates["estimate"]["level"] == pytest.approx(mean[0], abs=1e-4 * PRIOR)


def test_no_finite_point() -> None:
    data = twenty()
    broken = Records(data.time, {"y": data.values["y"].at[1, 3].set(jnp.inf)}, data.observed, {}, {})
    with pytest.raises(InferenceError, match="expected a finite evidence bound on a path, got none on 4 paths"):
        pathfinder(Hierarchy.of(known, broken), broken, key=KEY)
