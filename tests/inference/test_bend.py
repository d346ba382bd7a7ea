"""The scale of values that may be near zero: its formula, its inverse, its tail, and which values have it."""

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.stats import norm

from dpm.cohort import Records
from dpm.inference.bend import bent, log_slope, straightened
from dpm.inference.hierarchy import Hierarchy

from .examples import records

V = jnp.array([-40.0, -5.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 5.0, 40.0])


def test_formula_slope_and_inverse() -> None:
    root = np.sqrt(np.asarray(V) ** 2 + 4.0)
    np.testing.assert_allclose(bent(V), 0.25 * np.asarray(V) * (root - np.asarray(V)) + np.arcsinh(V / 2), atol=1e-12)
    np.testing.assert_allclose(jnp.exp(log_slope(V)), 0.5 * (root - np.asarray(V)), atol=1e-12)
    np.testing.assert_allclose(jax.vmap(jax.grad(bent))(V), jnp.exp(log_slope(V)), rtol=1e-12)
    curvature = -0.5 * (1.0 - np.asarray(V) / root)
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(bent)))(V), curvature, atol=1e-12)
    np.testing.assert_allclose(straightened(np.asarray(bent(V))), V, rtol=1e-12, atol=1e-12)


def test_a_density_that_is_flat_at_zero_has_a_normal_tail() -> None:
    """Of a half-normal spread below its scale, the log density falls by v^2 / 2; that of its logarithm by itself."""
    v = jnp.array([-6.0, -8.0])
    log_density = dist.HalfNormal(1.0).log_prob(jnp.exp(bent(v))) + bent(v) + log_slope(v)
    assert float(log_density[0] - log_density[1]) == pytest.approx((64.0 - 36.0) / 2.0, abs=0.05)


def test_a_density_is_carried_over() -> None:
    """A half-normal spread drawn through the bend keeps its distribution function."""
    s = np.exp(np.asarray(bent(jnp.linspace(-12.0, 3.0, 20001))))
    grid = np.linspace(-12.0, 3.0, 20001)
    density = 2.0 * norm.pdf(s) * s * np.exp(np.asarray(log_slope(jnp.asarray(grid))))
    assert np.trapezoid(density[s < 0.5], grid[s < 0.5]) == pytest.approx(2.0 * norm.cdf(0.5) - 1.0, abs=1e-3)


def test_which_values_have_it() -> None:
    def model(data: Records) -> None:
        numpyro.sample("half", dist.HalfNormal(2.0))
        numpyro.sample("pair", dist.HalfNormal(1.0).expand([2]).to_event(1))
        numpyro.sample("exponential", dist.Exponential(3.0))
        numpyro.sample("student", dist.FoldedDistribution(dist.StudentT(3.0, 0.0, 2.0)))
        numpyro.sample("heavy", dist.HalfCauchy(1.0))
        numpyro.sample("heavy_pair", dist.HalfCauchy(1.0).expand([2]).to_event(1))
        numpyro.sample("away", dist.LogNormal(0.0, 0.5))
        numpyro.sample("gamma", dist.Gamma(3.0, 1.0))
        numpyro.sample("line", dist.Normal(0.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            numpyro.sample("z", dist.Normal(0.0, 1.0))

    split = Hierarchy.of(model, records("orthodont"))
    each = dict(zip(split.population_names(), split.near_zero(), strict=True))
    assert {name for name, near in each.items() if near} == {"half", "pair[0]", "pair[1]", "exponential", "student"}
