"""Censored values add the probability of what is known of them, and a fit with them finds the truth."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.stats import norm

import dpm
from dpm.components.censoring import Censored

NOISE = dpm.Gaussian(sd=dist.HalfNormal(1.0))
ROLES: dict[str, Any] = {
    "subject": "id",
    "time": {"column": "year", "unit": "years"},
    "outcomes": {"marker": {"column": "marker", "unit": "mg/L", "higher_is": "worse"}},
}


def _scored(value: Any, mean: Any, sd: float, code: Any, until: Any = None) -> jax.Array:
    value, mean, code = (jnp.atleast_2d(jnp.asarray(x)) for x in (value, mean, code))
    upper = None if until is None else jnp.atleast_2d(jnp.asarray(until))
    return Censored(NOISE, mean, {"sd": jnp.asarray(sd)}, code, upper).log_prob(value)


@pytest.mark.parametrize("z", [-40.0, -8.0, -0.3, 0.0, 0.3, 8.0, 40.0])
def test_each_code_scores_its_closed_form_to_40_sd(z: float) -> None:
    mean, sd, width = 1.5, 0.7, 0.4
    value, upper = mean + sd * z, mean + sd * z + width
    scored = _scored([value] * 4, [mean] * 4, sd, [0, 1, 2, 3], [0.0, 0.0, 0.0, upper])[0]
    # The interval from the tail it lies in, where the difference keeps its digits.
    tail = norm.logsf if z > 0 else norm.logcdf
    ends = sorted((tail(z), tail(z + width / sd)))
    between = ends[1] + np.log(-np.expm1(ends[0] - ends[1]))
    expected = [norm.logpdf(value, mean, sd), norm.logcdf(z), norm.logsf(z), between]
    np.testing.assert_allclose(scored, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("z", [-40.0, -5.0, 0.0, 5.0, 40.0])
@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_gradients_are_finite_and_right_to_40_sd(z: float, code: int) -> None:
    def total(mean: jax.Array, sd: jax.Array) -> jax.Array:
        upper = jnp.array([[z + 0.3 if code == 3 else 0.0]])
        given = Censored(NOISE, mean[None, None], {"sd": sd}, jnp.array([[code]]), upper)
        return given.log_prob(jnp.array([[z]]))[0, 0]

    at = (jnp.asarray(0.0), jnp.asarray(1.0))
    slopes = jax.grad(total, argnums=(0, 1))(*at)
    assert np.isfinite(slopes).all()
    for k, slope in enumerate(slopes):
        step = [1e-5 if j == k else 0.0 for j in range(2)]
        ahead, behind = (total(*(a + sign * s for a, s in zip(at, step, strict=True))) for sign in (1.0, -1.0))
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-6)


def test_a_normal_sample_scores_as_in_survreg(root: Path) -> None:
    """R's survival, experiments/references/censored_survreg.R."""
    folder = root / "experiments" / "references"
    found = json.loads((folder / "results" / "censored_survreg.json").read_text())
    table = pd.read_csv(folder / "censored_values.csv")
    low, high = table["low"].to_numpy(), table["high"].to_numpy()
    code = np.select([np.isnan(low), np.isnan(high), high > low], [1, 2, 3], 0)
    assert set(code) == {0, 1, 2, 3}
    value = np.where(np.isnan(low), high, low)
    until = np.where(code == 3, high, 0.0)

    def total(at: jax.Array) -> jax.Array:
        mean = at[0] + at[1] * jnp.asarray(table["x"].to_numpy())
        given = Censored(NOISE, mean[None], {"sd": at[2]}, jnp.asarray(code)[None], jnp.asarray(until)[None])
        return given.log_prob(jnp.asarray(value)[None]).sum()

    at = jnp.array([found["intercept"], found["slope"], found["sd"]])
    np.testing.assert_allclose(total(at), found["loglik"], rtol=1e-9)
    np.testing.assert_allclose(jax.grad(total)(at), 0.0, atol=1e-5)
    # R's information is for log sd; the standard errors of the coefficients do not depend on that scale.
    np.testing.assert_allclose(np.sqrt(np.diag(np.linalg.inv(-jax.hessian(total)(at))))[:2], found["se"], rtol=1e-5)


def test_drawing_gives_measurements_without_limits() -> None:
    mean = jnp.array([[1.0, -2.0, 5.0, 0.0]])
    given = Censored(NOISE, mean, {"sd": jnp.asarray(0.5)}, jnp.array([[0, 1, 2, 3]]), jnp.zeros((1, 4)))
    drawn = np.asarray(given.sample(jax.random.key(3), (20_000,)))
    assert drawn.shape == (20_000, 1, 4)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * 0.5 / np.sqrt(20_000))
    np.testing.assert_allclose(drawn.std(axis=0), 0.5, atol=5 * 0.5 / np.sqrt(40_000))


TRUTH = {"marker_level": 1.0, "marker_slope": 0.5, "marker_level_sd": 1.0, "marker_sd": 0.6}


def _model() -> dpm.ProgressionModel:
    level = dpm.Parameter(dist.Normal(0.0, 5.0), subject=dist.HalfNormal(2.0))
    line = dpm.Linear(level=level, slope=dpm.Parameter(dist.Normal(0.0, 2.0)))
    return dpm.ProgressionModel(outcomes={"marker": dpm.Outcome(line, NOISE)})


def _simulated(subjects: int = 250, visits: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    level = np.repeat(TRUTH["marker_level"] + TRUTH["marker_level_sd"] * rng.normal(size=subjects), visits)
    year = np.tile(np.arange(visits, dtype=float), subjects)
    marker = level + TRUTH["marker_slope"] * year + TRUTH["marker_sd"] * rng.normal(size=level.size)
    ids = np.repeat([f"s{k:03d}" for k in range(subjects)], visits)
    return pd.DataFrame({"id": ids, "year": year, "marker": marker})


def test_a_fit_finds_the_truth_where_the_limit_in_place_of_the_value_is_biased() -> None:
    table, limit = _simulated(), 1.2
    below = table["marker"] < limit
    assert 0.3 < below.mean() < 0.5
    outcome = {**ROLES["outcomes"]["marker"], "limits": {"below": limit}}
    censored = dpm.read_cohort(table, {**ROLES, "outcomes": {"marker": outcome}})
    substituted = dpm.read_cohort(table.assign(marker=table["marker"].clip(lower=limit)), ROLES)
    method, model = dpm.Laplace(objective="ml", draws=10), _model()
    off = {}
    for name, cohort in (("censored", censored), ("substituted", substituted)):
        found = dpm.fit(model, cohort, method=method, key=jax.random.key(0)).estimates
        assert found is not None
        off[name] = {site: (found.loc[site, "estimate"] - true) / found.loc[site, "se"] for site, true in TRUTH.items()}
    assert max(map(abs, off["censored"].values())) < 3.0, off
    assert all(abs(value) > 4.0 for value in off["substituted"].values()), off


def test_censoring_stays_at_the_visits_it_was_read_at() -> None:
    outcome = {**ROLES["outcomes"]["marker"], "limits": {"below": 1.2}}
    records = dpm.read_cohort(_simulated(5), {**ROLES, "outcomes": {"marker": outcome}}).records()
    assert np.asarray(records.censored["marker"]).any()
    later = records.at(jnp.full((2, 5), 1.5))
    assert later.censored == {} and later.until == {}
    assert not np.asarray(later.observed["marker"]).any()
