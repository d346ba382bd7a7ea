"""Points by chance for effects: turned for each subject by its own data, so that errors of many cancel."""

from dataclasses import replace

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy import stats

from dpm.cohort import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.inference.nodes import proposed

from .examples import each, marginal, records, vector
from .test_classes import cut, simulated
from .test_refined import SUBJECTS, answers, yes_or_no

KEY = jax.random.key(11)


def test_errors_of_subjects_cancel() -> None:
    """64 points for the level of each of 200 subjects: the sum is off as one of independent errors is."""
    # Answers alone would make many subjects' data equal, and so their errors.
    ages = jnp.asarray(np.random.default_rng(2).normal(size=SUBJECTS))
    data = replace(answers(), covariates={"age": ages})
    split = Hierarchy.of(yes_or_no, data)
    at = split.unconstrain({"spread": jnp.asarray(1.5)})
    exact = each(Marginal(split).with_nodes("quadrature", 61), at, data)
    for seed in range(5):
        errors = np.asarray(each(Marginal(split).with_nodes("qmc", 64, key=jax.random.key(seed)), at, data) - exact)
        assert np.all(errors != 0.0)
        assert abs(errors.sum()) < 4.0 * np.sqrt((errors**2).sum())
        assert abs(np.mean(errors)) < 0.3 * np.sqrt(np.mean(errors**2))


def test_a_subject_has_the_same_points_whoever_is_beside_it() -> None:
    data, at = records("theophylline"), vector("theophylline")
    points = marginal("theophylline", "qmc", 64)
    found = np.asarray(each(points, at, data))
    other = np.arange(data.n_subjects)[::-1]
    np.testing.assert_allclose(each(points, at, data.take(other)), found[other], rtol=1e-12)


def test_in_buckets_too() -> None:
    def positive(data: Records) -> None:
        rate = numpyro.sample("rate", dist.Normal(0.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            pace = jnp.exp(rate + numpyro.sample("z", dist.Normal(0.0, 1.0)))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                numpyro.sample("y", dist.Normal(pace * data.time, 1.0).mask(data.observed["y"]), obs=data.values["y"])

    data = simulated()
    buckets = cut(data)
    assert len(buckets.parts) > 1
    found = []
    for form in (data, buckets):
        split = Hierarchy.of(positive, form)
        points = Marginal.at(split, "qmc", form, n_nodes=64, key=KEY)
        found.append(jax.jit(points.log_marginal)(split.prior_centre(), form)[0])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


@pytest.mark.parametrize("n_nodes", [64, 1024])
def test_more_points_are_nearer(n_nodes: int) -> None:
    data, at = records("theophylline"), vector("theophylline")
    exact = each(marginal("theophylline", "quadrature", 15), at, data)
    error = np.abs(np.asarray(each(marginal("theophylline", "qmc", n_nodes), at, data) - exact)).max()
    assert error < {64: 0.1, 1024: 0.01}[n_nodes]


def test_the_quantile_of_the_proposal() -> None:
    p = np.concatenate(
        [10.0 ** -np.arange(1.0, 12.0), np.linspace(0.01, 0.99, 197), 1.0 - 10.0 ** -np.arange(1.0, 9.0)]
    )
    found, log_weight = proposed(jnp.asarray(p)[None])
    np.testing.assert_allclose(found[0], stats.t.ppf(p, 4), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(log_weight, -stats.t.logpdf(found[0], 4), rtol=1e-10, atol=1e-12)
