"""Draws weighted by the marginal likelihood against a posterior integrated on a grid, and what is refused."""

from functools import cache

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.stats import norm

from dpm.cohort import Records
from dpm.errors import InferenceError
from dpm.inference.importance import smoothed
from dpm.inference.laplace import Laplace

KEY = jax.random.key(21)
SUBJECTS, VISITS, NOISE = 8, 3, 1.0


@cache
def eight() -> Records:
    """Eight subjects with a level each and three values: a spread that few patients determine."""
    rng = np.random.default_rng(4)
    values = rng.normal(0.0, 0.8, SUBJECTS) + rng.normal(0.0, NOISE, (VISITS, SUBJECTS))
    shape = (VISITS, SUBJECTS)
    return Records(jnp.zeros(shape), {"y": jnp.asarray(values)}, {"y": jnp.ones(shape, bool)}, {}, {})


def levels(data: Records) -> None:
    spread = numpyro.sample("spread", dist.HalfNormal(2.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        b = numpyro.sample("b", dist.Normal(0.0, 1.0))
        with numpyro.plate("visit", VISITS, dim=-2):
            y = dist.Normal(spread * b * jnp.ones(data.time.shape), NOISE)
            numpyro.sample("y", y.mask(data.observed["y"]), obs=data.values["y"])


def exact() -> tuple[np.ndarray, np.ndarray]:
    """The posterior of the spread on a grid: subjects' means are normal with variance spread^2 + noise^2 / visits."""
    grid = np.linspace(1e-4, 8.0, 80001)
    means = np.asarray(eight().values["y"]).mean(axis=0)
    sd = np.sqrt(grid[:, None] ** 2 + NOISE**2 / VISITS)
    log_density = norm.logpdf(means, scale=sd).sum(axis=1) + norm.logpdf(grid, scale=2.0)
    weight = np.exp(log_density - log_density.max())
    return grid, weight / weight.sum()


def test_weighted_draws_are_the_posterior_where_the_normal_approximation_is_not() -> None:
    grid, weight = exact()
    mean = weight @ grid
    sd = np.sqrt(weight @ (grid - mean) ** 2)
    median = grid[np.searchsorted(np.cumsum(weight), 0.5)]
    plain, weighted = (
        Laplace(draws=20_000, importance=proposals).run(levels, eight(), key=KEY) for proposals in (0, 16_384)
    )
    draws = weighted.sites["spread"][0]
    error = sd / np.sqrt(weighted.facts["importance_ess"] / 2)
    assert draws.mean() == pytest.approx(mean, abs=4 * error)
    assert draws.std() == pytest.approx(sd, rel=0.03)
    assert np.median(draws) == pytest.approx(median, abs=5 * error)
    assert weighted.facts["pareto_k"] < 0.7
    assert weighted.facts["importance"] == 16_384
    # The test could not tell the two apart if the approximation were as good.
    assert abs(np.median(plain.sites["spread"][0]) - median) > 8 * error
    np.testing.assert_array_equal(weighted.estimates, plain.estimates)


def test_a_posterior_with_heavier_tails_than_the_proposals_is_refused() -> None:
    """Nothing is observed and the prior is a Cauchy: no reweighting of a t with twelve degrees reaches it."""

    def heavy(data: Records) -> None:
        level = numpyro.sample("level", dist.Cauchy(0.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            b = numpyro.sample("b", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", VISITS, dim=-2):
                y = dist.Normal(level + b * jnp.ones(data.time.shape), NOISE)
                numpyro.sample("y", y.mask(data.observed["y"]), obs=data.values["y"])

    nothing = eight().hide(jnp.ones(SUBJECTS, bool))
    with pytest.raises(InferenceError, match=r"Pareto k of at most 0\.7"):
        Laplace(importance=4096).run(heavy, nothing, key=KEY)


def test_maximum_likelihood_has_no_posterior() -> None:
    with pytest.raises(InferenceError, match="without a prior there is no posterior"):
        Laplace(objective="ml", importance=64).run(levels, eight(), key=KEY)


@pytest.mark.parametrize("n", [1, 4, 20, 29])
def test_the_tail_of_few_weights_cannot_be_told(n: int) -> None:
    """It is refused as the worst one is, and the weights are as they are."""
    log_weights = np.linspace(0.0, 1.0, n) if n > 1 else np.zeros(1)
    share, k = smoothed(log_weights)
    assert k == (np.inf if n > 1 else -np.inf)
    np.testing.assert_allclose(share, np.exp(log_weights) / np.exp(log_weights).sum())


def test_a_tail_of_equal_weights_cannot_be_told() -> None:
    """Of draws that mostly stand still: as they are, with a k that no gate lets pass."""
    share, k = smoothed(np.concatenate([np.zeros(60), np.ones(60)]))
    assert k == np.inf
    assert share[-1] / share[0] == pytest.approx(np.e) and share.sum() == pytest.approx(1.0)
