"""Missing covariates: the joint normal in closed form, a sum over both values, and what leaving people out would do."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy import stats
from scipy.special import expit

from dpm.cohort import Records
from dpm.components.covariate_model import BernoulliCovariate, NormalCovariate
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import ModelError
from dpm.inference.effects import draw_effects
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.types import Array

KEY = jax.random.key(23)
N, VISITS = 300, 3
FLAT = dist.Normal(0.0, 10.0)
TRUTH = {
    "y_level": 1.0,
    "y_level_x": 0.8,
    "y_level_w": -0.5,
    "y_level_sd": 0.6,
    "y_sd": 0.4,
    "covariate_x_mean": 0.2,
    "covariate_x_w": 0.5,
    "covariate_x_sd": 0.9,
}


def model(x_model: NormalCovariate | BernoulliCovariate | None) -> ProgressionModel:
    level = Parameter(FLAT, subject=dist.HalfNormal(2.0), effects={"x": FLAT, "w": FLAT})
    line = Linear(level=level, slope=Parameter(0.0))
    covariates = {} if x_model is None else {"x": x_model}
    outcomes = {"y": Outcome(line, Gaussian(sd=dist.HalfNormal(1.0)))}
    return ProgressionModel(outcomes=outcomes, covariates=covariates)


MODELLED = model(NormalCovariate(mean=FLAT, sd=dist.HalfNormal(2.0), effects={"w": FLAT}))
COMPLETE = model(None)


@cache
def simulated() -> Records:
    """A covariate that is missing the more often, the higher the first measurement (missing at random)."""
    rng = np.random.default_rng(12)
    w = rng.normal(size=N)
    x = 0.2 + 0.5 * w + 0.9 * rng.normal(size=N)
    y = 1.0 + 0.8 * x - 0.5 * w + 0.6 * rng.normal(size=N) + 0.4 * rng.normal(size=(VISITS, N))
    gone = rng.uniform(size=N) < expit(3.0 * (y[0] - 1.2))
    return records(y, w, np.where(gone, np.nan, x))


def records(y: np.ndarray, w: np.ndarray, x: np.ndarray) -> Records:
    gone = jnp.asarray(np.isnan(x))
    return Records(
        time=jnp.zeros(y.shape),
        values={"y": jnp.asarray(y)},
        observed={"y": jnp.ones(y.shape, bool)},
        covariates={"x": jnp.asarray(x), "w": jnp.asarray(w)},
        groups={},
        missing={"x": gone} if bool(gone.any()) else {},
    )


@cache
def fitted(which: str) -> dict[str, tuple[float, float]]:
    data = simulated()
    if which == "complete cases":
        kept = data.take(np.flatnonzero(~np.asarray(data.missing["x"])))
        data = records(*(np.asarray(each) for each in (kept.values["y"], kept.covariates["w"], kept.covariates["x"])))
    built = MODELLED if which == "modelled" else COMPLETE
    found = Laplace(objective="ml").maximise(Marginal(Hierarchy.of(built, data)), data, key=KEY).estimates
    return {str(name): (float(row["estimate"]), float(row["se"])) for name, row in found.iterrows()}


def log_normal(values: dict[str, float], data: Records) -> np.ndarray:
    """Each subject's joint log density of what was measured of (y, x), with w given."""
    w, x, y = (np.asarray(each) for each in (data.covariates["w"], data.covariates["x"], data.values["y"]))
    b, s = values["y_level_x"], values["covariate_x_sd"]
    out = []
    for i in range(data.n_subjects):
        mean_x = values["covariate_x_mean"] + values["covariate_x_w"] * w[i]
        mean_y = values["y_level"] + b * mean_x + values["y_level_w"] * w[i]
        shared = values["y_level_sd"] ** 2 + b**2 * s**2
        cov = np.full((VISITS + 1, VISITS + 1), shared)
        cov[:VISITS, :VISITS] += values["y_sd"] ** 2 * np.eye(VISITS)
        cov[VISITS], cov[:, VISITS] = b * s**2, b * s**2
        cov[VISITS, VISITS] = s**2
        mean, value = np.append(np.full(VISITS, mean_y), mean_x), np.append(y[:, i], x[i])
        seen = ~np.isnan(value)
        out.append(stats.multivariate_normal(mean[seen], cov[np.ix_(seen, seen)]).logpdf(value[seen]))
    return np.asarray(out)


def test_the_marginal_likelihood_is_that_of_the_joint_normal() -> None:
    data = simulated().take(np.arange(40))
    split = Hierarchy.of(MODELLED, data)
    vector = split.unconstrain({name: jnp.asarray(value) for name, value in TRUTH.items()})
    found, modes = jax.jit(Marginal(split).log_marginal)(vector, data)
    assert bool(modes.converged.all())
    assert 5 < int(data.missing["x"].sum()) < 35
    np.testing.assert_allclose(found, log_normal(TRUTH, data), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_leaving_out_who_lacks_it_is_biased_and_modelling_it_is_not() -> None:
    modelled, complete = fitted("modelled"), fitted("complete cases")
    for name, truth in TRUTH.items():
        estimate, se = modelled[name]
        assert abs(estimate - truth) < 3.0 * se, name
    level, se = complete["y_level"]
    assert level < TRUTH["y_level"] - 4.0 * se
    slope, se = complete["y_level_x"]
    assert slope < TRUTH["y_level_x"] - 2.0 * se


def test_missing_values_are_drawn_given_all_that_was_measured() -> None:
    """The conditional normal of the covariate given the subject's measurements, which say much of it."""
    data = simulated().take(np.arange(40))
    split = Hierarchy.of(MODELLED, data)
    vector = split.unconstrain({name: jnp.asarray(value) for name, value in TRUTH.items()})
    draws = 800
    drawn = draw_effects(split, vector[None], data, key=KEY, replicates=draws).effects[0]
    row = [site.name for site in split.subject].index("covariate_x_z")
    gone, w = np.asarray(data.missing["x"]), np.asarray(data.covariates["w"])
    prior = 0.2 + 0.5 * w
    x = prior + 0.9 * np.asarray(drawn[:, row])
    surprise = np.asarray(data.values["y"]).mean(axis=0) - (1.0 + 0.8 * prior - 0.5 * w)
    gain = 0.8 * 0.81 / (0.64 * 0.81 + 0.36 + 0.16 / VISITS)
    mean, sd = prior + gain * surprise, np.sqrt(0.81 - gain * 0.8 * 0.81)
    assert sd < 0.75 * 0.9
    assert np.abs((x.mean(axis=0) - mean)[gone]).max() < 4.5 * sd / np.sqrt(draws) + 0.02
    np.testing.assert_allclose(x.std(axis=0)[gone], sd, rtol=0.15)


# Indicators -----------------------------------------------------------------------------------------------------------


def test_an_indicator_is_summed_over_where_it_is_missing() -> None:
    """Against the two normals that a subject may come from, weighted."""
    data = simulated().take(np.arange(40))
    gone, w = np.asarray(data.missing["x"]), np.asarray(data.covariates["w"])
    x = np.where(gone, np.nan, (np.nan_to_num(np.asarray(data.covariates["x"])) > 0.2).astype(float))
    data = records(np.asarray(data.values["y"]), w, x)
    built = model(BernoulliCovariate(log_odds=FLAT, effects={"w": FLAT}))
    values = {name: value for name, value in TRUTH.items() if name.startswith("y_")}
    values |= {"covariate_x_log_odds": 0.3, "covariate_x_w": 0.7}
    split = Hierarchy.of(built, data)
    vector = split.unconstrain({name: jnp.asarray(value) for name, value in values.items()})
    found, _ = jax.jit(Marginal(split).log_marginal)(vector, data)
    y, share = np.asarray(data.values["y"]), expit(0.3 + 0.7 * w)
    cov = 0.36 + 0.16 * np.eye(VISITS)
    expected = []
    for i in range(40):
        each = [
            chance * stats.multivariate_normal(np.full(VISITS, 1.0 + 0.8 * k - 0.5 * w[i]), cov).pdf(y[:, i])
            for k, chance in enumerate((1.0 - share[i], share[i]))
        ]
        expected.append(np.log(sum(each) if gone[i] else each[int(x[i])]))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


# Where there is a model of it, and where not --------------------------------------------------------------------------


def test_without_a_model_of_it_a_missing_covariate_is_refused() -> None:
    with pytest.raises(ModelError) as refusal:
        Hierarchy.of(COMPLETE, simulated())
    assert str(refusal.value) == (
        'y_level: expected "x" of every subject, or a model of what is missing, got subjects without it.\n'
        "Give the model a distribution of it (covariates=), exclude these subjects, or drop the covariate."
    )


def test_a_covariate_may_only_lean_on_those_before_it() -> None:
    data = simulated()
    lacking = replace(data, missing={**data.missing, "w": data.missing["x"]})
    x, w = NormalCovariate(effects={"w": FLAT}), NormalCovariate()
    line = Linear(level=Parameter(FLAT, effects={"x": FLAT}), slope=Parameter(0.0))
    outcomes = {"y": Outcome(line, Gaussian(sd=0.4))}
    with pytest.raises(ModelError, match='covariate_x: expected "w" of every subject'):
        Hierarchy.of(ProgressionModel(outcomes=outcomes, covariates={"x": x, "w": w}), lacking)
    split = Hierarchy.of(ProgressionModel(outcomes=outcomes, covariates={"w": w, "x": x}), lacking)
    assert {site.name for site in split.subject} == {"covariate_w_z", "covariate_x_z"}


def test_new_patients_need_a_value_only_where_they_lack_it() -> None:
    """The sites of the population are the same with and without missing values: the posterior of one serves both."""
    data = simulated()
    y, w, x = (np.asarray(each) for each in (data.values["y"], data.covariates["w"], data.covariates["x"]))
    full = records(y, w, np.nan_to_num(x))
    gaps, whole = Hierarchy.of(MODELLED, data), Hierarchy.of(MODELLED, full)
    assert [site.name for site in gaps.population] == [site.name for site in whole.population]
    assert {site.name for site in gaps.subject} - {site.name for site in whole.subject} == {"covariate_x_z"}


def test_hidden_subjects_lend_nothing_to_the_distribution_of_a_covariate() -> None:
    data = simulated().take(np.arange(40))
    hidden = jnp.arange(40) < 5
    split = Hierarchy.of(MODELLED, data)
    population = split.constrain(split.prior_centre())

    def density(effects: Array, shown: Records) -> Array:
        return split.log_subject(population, effects, shown)

    effects = 0.3 * jax.random.normal(KEY, (2, 40))
    alone = dist.Normal(0.0, 1.0).log_prob(effects).sum(axis=0)
    np.testing.assert_allclose(density(effects, data.hide(hidden))[:5], alone[:5], rtol=1e-12)
    np.testing.assert_array_equal(density(effects, data.hide(hidden))[5:], density(effects, data)[5:])
