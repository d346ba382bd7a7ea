"""A parameter is what its equation says: typical value, covariates, groups that sum to zero, subjects, link."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.cohort import Records
from dpm.components.continuous import Combined
from dpm.components.correlation import LKJ
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.scalar import scalars_of
from dpm.components.score import IntegerScore
from dpm.components.sigmoid import LogisticDecline
from dpm.components.trajectory import Linear, LogisticGrowth
from dpm.components.treatment import CareDrift, TrialEntry
from dpm.errors import ModelError
from dpm.types import Array

from .test_contract import GAUSSIAN, LEVEL, POSITIVE, model_of, records

KEY = jax.random.key(8)
FLAT = Parameter(0.0)


def run(model: ProgressionModel, data: Records, **values: Array | float) -> dict[str, Array]:
    """Every site's value in one run, those given among them."""
    given = {name: jnp.asarray(value) for name, value in values.items()}
    trace = handlers.trace(handlers.seed(handlers.substitute(model, data=given), KEY)).get_trace(data)
    return {name: message["value"] for name, message in trace.items() if message["type"] != "plate"}


def course(level: Parameter, data: Records, **values: Array | float) -> Array:
    """The level of every subject."""
    return run(model_of(Linear(level=level, slope=FLAT)), data, **values)["y_mean"][0]


def test_covariates_shift_the_typical_value() -> None:
    data = records()
    level = Parameter(dist.Normal(0.0, 1.0), effects={"age": dist.Normal(0.0, 1.0), "female": -2.0})
    expected = 1.0 + 0.5 * data.covariates["age"] - 2.0 * data.covariates["female"]
    np.testing.assert_allclose(course(level, data, y_level=1.0, y_level_age=0.5), expected, rtol=1e-12)


def test_subject_effects_are_scaled_by_their_spread() -> None:
    level = Parameter(1.0, subject=dist.HalfNormal(1.0))
    z = jnp.arange(5.0)
    np.testing.assert_allclose(course(level, records(), y_level_sd=0.5, y_level_z=z), 1.0 + 0.5 * z)


def test_the_link_is_applied_last() -> None:
    level = Parameter(dist.Normal(0.0, 1.0), subject=0.5, effects={"age": 0.1}, link=jnp.exp)
    data, z = records(), jnp.arange(5.0)
    expected = np.exp(0.3 + 0.1 * data.covariates["age"] + 0.5 * z)
    np.testing.assert_allclose(course(level, data, y_level=0.3, y_level_z=z), expected, rtol=1e-12)


def test_groups_sum_to_zero() -> None:
    level = Parameter(1.0, groups={"stage": dist.HalfNormal(1.0)})
    data = records()
    sites = run(model_of(Linear(level=level, slope=FLAT)), data, y_level_stage_sd=2.0)
    assert sites["y_level_stage"].shape == (3,)
    assert float(sites["y_level_stage"].sum()) == pytest.approx(0.0, abs=1e-12)
    expected = 1.0 + 2.0 * sites["y_level_stage"] @ data.groups["stage"]
    np.testing.assert_allclose(sites["y_mean"][0], expected, rtol=1e-12)


def test_groups_have_the_spread_they_say() -> None:
    """Over many draws: levels with mean zero, variance tau^2 (1 - 1/k) and covariance -tau^2 / k."""
    draws = np.asarray(dist.ZeroSumNormal(1.0, (3,)).sample(KEY, (40_000,)))
    np.testing.assert_allclose(np.cov(draws.T), np.eye(3) - 1.0 / 3.0, atol=0.02)


def test_an_unseen_level_adds_nothing() -> None:
    data = records()
    elsewhere = replace(data, groups={**data.groups, "stage": data.groups["stage"].at[:, 2].set(0.0)})
    level = Parameter(1.0, groups={"stage": 2.0})
    found = course(level, elsewhere)
    assert float(found[2]) == 1.0
    assert bool((found[jnp.array([0, 1, 3, 4])] != 1.0).all())


def test_a_number_in_place_of_a_prior_is_not_a_site() -> None:
    numbers = Parameter(1.0, subject=0.5, effects={"age": 0.1}, groups={"stage": 0.2})
    sites = run(model_of(Linear(level=numbers, slope=FLAT), Gaussian(sd=0.3)), records())
    assert set(sites) == {"y_level_z", "y_level_stage", "y_mean", "y"}


def test_a_whole_number_is_a_number() -> None:
    """In every component: an effect that fades with a half-life of 1 is that of 1.0, and none is ignored."""
    assert scalars_of(Combined(sd=0, cv=0.2)) == {"sd": 0.0, "cv": 0.2}
    assert scalars_of(TrialEntry(size=2, half_life=1)) == {"size": 2.0, "rate": 12.0, "half_life": 1.0}
    assert scalars_of(IntegerScore(maximum=48, precision=20)) == {"precision": 20.0}
    assert set(scalars_of(CareDrift(yearly=1))) == {"yearly"}
    scale = LogisticDecline(ceiling=48, floor=0, midpoint=FLAT, rate=FLAT)
    assert scale.scalars() == {"ceiling": 48.0, "floor": 0.0}
    assert set(run(model_of(Linear(level=FLAT, slope=FLAT), Gaussian(sd=1)), records())) == {"y_mean", "y"}
    noise = Gaussian(sd=1)
    object.__setattr__(noise, "sd", np.float32(2.0))  # as where types are not checked
    assert scalars_of(noise) == {"sd": 2.0}
    object.__setattr__(noise, "sd", jnp.ones(()))
    with pytest.raises(ModelError, match="Gaussian: sd: expected a number or a prior, got an array"):
        scalars_of(noise)


def test_sites_are_named_as_documented() -> None:
    everything = Parameter(
        dist.Normal(0.0, 1.0),
        subject=dist.HalfNormal(1.0),
        effects={"age": dist.Normal(0.0, 1.0)},
        groups={"stage": dist.HalfNormal(1.0)},
    )
    sites = run(model_of(Linear(level=everything, slope=LEVEL), correlation=LKJ(2.0)), records())
    assert set(sites) == {
        *("y_level", "y_level_age", "y_level_stage", "y_level_stage_sd", "y_level_sd", "y_level_z"),
        *("y_slope", "y_slope_sd", "y_slope_z"),
        *("subject_correlation_cholesky", "subject_correlation"),
        *("y_mean", "y", "y_sd"),
    }


# Correlation ----------------------------------------------------------------------------------------------------------


def test_simulated_effects_have_the_stated_covariance() -> None:
    """diag(sd) R diag(sd), over two outcomes: all subject effects of a model are correlated."""
    n = 60_000
    time = jnp.zeros((1, n))
    nothing = {name: jnp.zeros((1, n)) for name in ("a", "b")}
    unseen = {name: jnp.zeros((1, n), bool) for name in ("a", "b")}
    data = Records(time=time, values=nothing, observed=unseen, covariates={}, groups={})
    level = Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0))
    line, rise = Linear(level=level, slope=level), LogisticGrowth(asymptote=level, midpoint=FLAT, scale=Parameter(1.0))
    model = ProgressionModel(outcomes={"a": Outcome(line, GAUSSIAN), "b": Outcome(rise, GAUSSIAN)})
    sd = {"a_level_sd": 0.5, "a_slope_sd": 2.0, "b_asymptote_sd": 1.0}
    r = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]])
    typical = {"a_level": 0.0, "a_slope": 0.0, "b_asymptote": 0.0}
    lower = jnp.asarray(np.linalg.cholesky(r))
    given = {**sd, **typical, "subject_correlation_cholesky": lower}
    now, later = (run(model, replace(data, time=time + shift), **given) for shift in (0.0, 1.0))
    np.testing.assert_allclose(now["subject_correlation"], r, atol=1e-12)
    half = jax.nn.sigmoid(0.0)
    effects = np.stack([now["a_mean"][0], (later["a_mean"] - now["a_mean"])[0], now["b_mean"][0] / half])
    scale = np.array(list(sd.values()))
    np.testing.assert_allclose(np.cov(effects / scale[:, None]), r, atol=4.5 * np.sqrt(2.0 / n))


def test_without_correlation_effects_are_independent() -> None:
    sites = run(model_of(Linear(level=LEVEL, slope=LEVEL), correlation=None), records())
    assert not {name for name in sites if "correlation" in name}


def test_one_effect_has_nothing_to_correlate_with() -> None:
    sites = run(model_of(Linear(level=LEVEL, slope=FLAT), correlation=LKJ(2.0)), records())
    assert not {name for name in sites if "correlation" in name}


# Refusals -------------------------------------------------------------------------------------------------------------


def test_an_unknown_covariate_is_told_what_is_there() -> None:
    level = Parameter(dist.Normal(0.0, 1.0), effects={"weight": dist.Normal(0.0, 1.0)})
    with pytest.raises(ModelError) as refusal:
        course(level, records())
    assert str(refusal.value) == (
        'y_level: expected "weight" among the cohort\'s covariates, got age, female.\n'
        "Give it a role when the cohort is read, or take it out of the model."
    )


def test_an_unknown_grouping_is_told_what_is_there() -> None:
    level = Parameter(dist.Normal(0.0, 1.0), groups={"centre": dist.HalfNormal(1.0)})
    with pytest.raises(ModelError) as refusal:
        course(level, records())
    assert str(refusal.value) == (
        'y_level: expected "centre" among the cohort\'s groups, got site, stage.\n'
        "Give it a role when the cohort is read, or take it out of the model."
    )


def test_an_unknown_outcome_is_told_what_is_there() -> None:
    model = ProgressionModel(outcomes={"z": Outcome(Linear(level=LEVEL, slope=FLAT), GAUSSIAN)})
    with pytest.raises(ModelError) as refusal:
        model(records())
    assert str(refusal.value) == (
        'model: expected outcome "z" in the cohort, got y.\nName the outcome as in the cohort\'s roles.'
    )


def test_two_models_do_not_share_their_values() -> None:
    """Specs hold no data: the same parameter object in two places is two parameters."""
    sites = run(model_of(Linear(level=POSITIVE, slope=POSITIVE)), records())
    assert float(sites["y_level"]) != float(sites["y_slope"])
