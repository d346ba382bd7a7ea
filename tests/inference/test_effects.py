"""Draws of subject effects given what was observed have the conditional distribution they claim."""

from dataclasses import replace

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.stats import poisson

from dpm.cohort import Records
from dpm.inference.effects import EffectDraws, draw_effects, unreliable
from dpm.inference.hierarchy import Hierarchy

from . import orthodont
from .examples import hierarchy, records, vector

COPIES = 4
REPLICATES = 2000


def draws(name: str, *, observed: np.ndarray | None = None, key: int = 0, replicates: int = REPLICATES) -> EffectDraws:
    """Many draws at the example's parameters, with only what `observed` keeps of its one outcome."""
    data = records(name)
    if observed is not None:
        data = replace(data, observed={outcome: jnp.asarray(observed) for outcome in data.observed})
    vectors = jnp.tile(vector(name), (COPIES, 1))
    return draw_effects(hierarchy(name), vectors, data, key=jax.random.key(key), replicates=replicates)


def histories() -> np.ndarray:
    """The first nine children have no visit, the next nine one, the rest all four."""
    child = np.arange(27)
    visits = np.where(child < 9, 0, np.where(child < 18, 1, 4))
    return np.arange(4)[:, None] < visits[None, :]


def closed_form(observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (child, effect) and covariance (child, effect, effect) of z: y = X (theta + diag(sd) L z) + noise."""
    data, values = orthodont.records(), orthodont.VALUES
    sd = np.array([values["distance_level_sd"], values["distance_slope_sd"]])
    lower = np.asarray(values["subject_correlation_cholesky"])
    typical = np.array([values["distance_level"], values["distance_slope"]])
    means, covariances = [], []
    for child in range(27):
        seen = observed[:, child]
        x = np.column_stack([np.ones(seen.sum()), np.asarray(data.time)[seen, child]])
        y = np.asarray(data.values["distance"])[seen, child]
        design = x @ (sd[:, None] * lower)
        covariance = np.linalg.inv(np.eye(2) + design.T @ design / float(values["distance_sd"]) ** 2)
        means.append(covariance @ design.T @ (y - x @ typical) / float(values["distance_sd"]) ** 2)
        covariances.append(covariance)
    return np.array(means), np.array(covariances)


def test_linear_gaussian_effects_are_normal_with_the_known_moments() -> None:
    observed = histories()
    found = draws("orthodont", observed=observed)
    assert found.effects.shape == (COPIES, REPLICATES, 2, 27)
    np.testing.assert_array_equal(found.converged, 1.0)
    sample = np.asarray(found.effects).reshape(-1, 2, 27)
    n = len(sample)
    mean, covariance = closed_form(observed)
    sd = np.sqrt(np.einsum("iaa->ia", covariance))
    # 54 means and 81 second moments, each compared at 4.5 Monte Carlo standard errors.
    assert np.abs((sample.mean(axis=0).T - mean) / sd).max() < 4.5 / np.sqrt(n)
    standard = np.einsum("iab,nbi->nai", np.linalg.inv(np.linalg.cholesky(covariance)), sample - mean.T)
    second = np.einsum("nai,nbi->iab", standard, standard) / n
    assert np.abs(second - np.eye(2)).max() < 4.5 * np.sqrt(2.0 / n)
    fourth = (standard**4).mean(axis=0)
    assert np.abs(fourth - 3.0).max() < 4.5 * np.sqrt(96.0 / n)  # the t proposal's tails have been corrected
    assert float(found.acceptance.min()) > 0.6


def test_poisson_effects_have_the_moments_of_quadrature() -> None:
    data, at = records("poisson"), hierarchy("poisson").constrain(vector("poisson"))
    sample = np.asarray(draws("poisson").effects).reshape(-1, 6)
    grid = np.linspace(-4.0, 4.0, 4001)
    level, trend, spread = (float(at[name]) for name in ("level", "trend", "spread"))
    for subject in range(6):
        seen = np.asarray(data.observed["seizures"])[:, subject]
        counts = np.asarray(data.values["seizures"])[seen, subject]
        rate = np.exp(level + trend * np.asarray(data.time)[seen, subject] + grid[:, None])
        log_density = poisson.logpmf(counts, rate).sum(axis=1) - 0.5 * (grid / spread) ** 2
        weight = np.exp(log_density - log_density.max())
        weight /= weight.sum()
        mean = weight @ grid
        sd = np.sqrt(weight @ (grid - mean) ** 2)
        skewness = weight @ ((grid - mean) / sd) ** 3
        n, standard = len(sample), (sample[:, subject] - mean) / sd
        assert abs(standard.mean()) < 4.5 / np.sqrt(n)
        assert abs((standard**2).mean() - 1.0) < 4.5 * np.sqrt(3.0 / n)
        assert abs((standard**3).mean() - skewness) < 4.5 * np.sqrt(25.0 / n)
        for share in (0.05, 0.5, 0.95):
            quantile = grid[np.searchsorted(np.cumsum(weight), share)]
            assert (sample[:, subject] < quantile).mean() == pytest.approx(share, abs=4.5 * 0.5 / np.sqrt(n))


def test_draws_belong_to_their_key() -> None:
    one, same, other = (draws("poisson", key=key, replicates=4).effects for key in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert float(jnp.abs(one - other).min()) > 0.0
    assert len(np.unique(np.asarray(one)[..., 0])) == COPIES * 4


def test_a_subject_without_a_mode_has_no_draws() -> None:
    data = records("poisson")
    spoilt = {**data.values, "seizures": data.values["seizures"].at[0, 2].set(jnp.nan)}
    found = draw_effects(
        hierarchy("poisson"),
        vector("poisson")[None],
        replace(data, values=spoilt),
        key=jax.random.key(0),
    )
    assert jnp.isnan(found.effects).all(axis=(0, 1, 2)).tolist() == [False, False, True, False, False, False]
    assert found.converged.tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]


def test_where_a_curve_is_not_a_number_no_draw_stays() -> None:
    """Four in a hundred first proposals lie where this root has no value: what starts there has to move on."""

    def roots(data: Records) -> None:
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            b = numpyro.sample("b", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                y = dist.Normal(level + jnp.sqrt(1.0 + 0.45 * b) * jnp.ones(data.time.shape), 2.0, validate_args=False)
                numpyro.sample("seizures", y, obs=0.1 * data.values["seizures"])

    data = records("poisson")
    split = Hierarchy.of(roots, data)
    found = draw_effects(split, jnp.zeros((1, 1)), data, key=jax.random.key(0), replicates=2000)
    np.testing.assert_array_equal(found.converged, 1.0)
    assert float(found.effects.min()) > -1.0 / 0.45
    assert unreliable(found) == ""


def test_draws_that_hardly_moved_are_unreliable() -> None:
    found = draws("poisson", replicates=4)
    assert unreliable(found) == ""
    stuck = found._replace(acceptance=found.acceptance.at[3].set(0.2))
    assert unreliable(stuck) == "under 40% of conditional proposals accepted, down to 20%, for 1 of 6 (first at 3)"
    lost = stuck._replace(converged=found.converged.at[1].set(0.5))
    assert unreliable(lost) == "no conditional mode in some draws for 1 of 6 (first at 1)"
