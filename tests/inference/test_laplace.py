"""Maxima, their standard errors and draws; and refusals that say which value the data leave open."""

from dataclasses import replace

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import InferenceError
from dpm.inference.accuracy import shift_of_maximum
from dpm.inference.laplace import Laplace, Objective
from dpm.types import Model

from . import wang
from .examples import EXAMPLES, marginal, records

KEY = jax.random.key(11)
SD = {"level": 1.5, "slope": 0.2, "noise": 1.3}


def lines(*, level: Parameter, slope: Parameter) -> ProgressionModel:
    noise = Gaussian(sd=SD["noise"])
    return ProgressionModel(outcomes={"distance": Outcome(Linear(level=level, slope=slope), noise)}, correlation=None)


@pytest.mark.parametrize("objective", ["map", "ml"])
def test_a_linear_gaussian_fit_is_generalised_least_squares(objective: Objective) -> None:
    """With variances known, the posterior of two typical values is normal with moments in closed form."""
    data = records("orthodont")
    prior_sd = {"map": np.array([5.0, 0.5]), "ml": np.array([np.inf, np.inf])}[objective]
    model = lines(
        level=Parameter(dist.Normal(17.0, 5.0), subject=SD["level"]),
        slope=Parameter(dist.Normal(0.7, 0.5), subject=SD["slope"]),
    )
    draws = Laplace(objective=objective, draws=4000).run(model, data, key=KEY)

    time, y = np.asarray(data.time).T, np.asarray(data.values["distance"]).T
    information, score = np.diag(prior_sd**-2), prior_sd**-2 * np.array([17.0, 0.7])
    log_likelihood = 0.0
    for t, values in zip(time, y, strict=True):
        x = np.column_stack([np.ones(4), t])
        variance = x @ np.diag([SD["level"] ** 2, SD["slope"] ** 2]) @ x.T + SD["noise"] ** 2 * np.eye(4)
        information += x.T @ np.linalg.solve(variance, x)
        score += x.T @ np.linalg.solve(variance, values)
    mean, covariance = np.linalg.solve(information, score), np.linalg.inv(information)
    for t, values in zip(time, y, strict=True):
        x = np.column_stack([np.ones(4), t])
        variance = x @ np.diag([SD["level"] ** 2, SD["slope"] ** 2]) @ x.T + SD["noise"] ** 2 * np.eye(4)
        off = values - x @ mean
        log_likelihood -= 0.5 * (off @ np.linalg.solve(variance, off) + np.linalg.slogdet(2 * np.pi * variance)[1])

    sites = ["distance_level", "distance_slope"]
    np.testing.assert_allclose(draws.estimates["estimate"][sites], mean, rtol=1e-6)
    np.testing.assert_allclose(draws.estimates["se"][sites], np.sqrt(np.diag(covariance)), rtol=1e-6)
    assert draws.facts["log_likelihood"] == pytest.approx(log_likelihood, abs=1e-6)
    sample = np.stack([draws.sites[site][0] for site in sites])
    assert np.abs((sample.mean(axis=1) - mean) / np.sqrt(np.diag(covariance))).max() < 4.5 / np.sqrt(4000)
    np.testing.assert_allclose(np.cov(sample), covariance, rtol=0.1)


def test_standard_errors_follow_to_the_natural_scale() -> None:
    """A log-normal value: the delta method multiplies the standard error of the log by the value."""
    found = Laplace(objective="ml").maximise(marginal("wang_additive", "laplace", 1), wang.records(), key=KEY)
    assert list(found.estimates.index) == ["decay"]
    value, se = found.estimates.loc["decay"]
    assert value == pytest.approx(np.exp(found.vector[0]))
    assert se == pytest.approx(value * np.sqrt(found.covariance[0, 0]))
    assert found.decrement < 1e-10


def test_draws_belong_to_their_key() -> None:
    prepared = marginal("wang_additive", "laplace", 1)
    found = Laplace(objective="ml").maximise(prepared, wang.records(), key=KEY)
    one, same, other = (found.sample(5, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.isclose(one, other).any()


def test_a_start_may_be_given() -> None:
    """From far away or from the answer, the maximum is the same."""
    prepared = marginal("wang_additive", "laplace", 1)
    method = Laplace(objective="ml")
    found = method.maximise(prepared, wang.records(), key=KEY)
    again = method.maximise(prepared, wang.records(), key=KEY, start=jnp.asarray(found.vector) + 0.5)
    np.testing.assert_allclose(again.vector, found.vector, atol=1e-5)


# What is not determined -----------------------------------------------------------------------------------------------


def two_levels(data: Records) -> None:
    """Two typical values that enter only as their sum."""
    left = numpyro.sample("left", dist.Normal(0.0, 10.0))
    right = numpyro.sample("right", dist.Normal(0.0, 10.0))
    sd = numpyro.sample("sd", dist.HalfNormal(5.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        effect = numpyro.sample("effect", dist.Normal(0.0, 2.0))
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            mean = left + right + effect * jnp.ones(data.time.shape)
            numpyro.sample("distance", dist.Normal(mean, sd), obs=data.values["distance"])


def test_a_sum_that_cannot_be_taken_apart() -> None:
    with pytest.raises(InferenceError) as refusal:
        Laplace(objective="ml").run(two_levels, records("orthodont"), key=KEY)
    message = str(refusal.value)
    assert message.startswith("Laplace: expected a well-determined maximum, got none from 4 starts: ")
    assert "only a combination of left, right is determined" in message or "right, left" in message
    assert "sd" not in message.split("combination of")[1].split("is determined")[0]


def test_priors_take_the_sum_apart() -> None:
    draws = Laplace(objective="map", draws=10).run(two_levels, records("orthodont"), key=KEY)
    left, right = draws.estimates["estimate"][["left", "right"]]
    assert left == pytest.approx(right, rel=1e-4)
    # Their sum is known to a fraction of a millimetre, their difference as well as before the data.
    assert draws.estimates["se"]["left"] == pytest.approx(10.0 / np.sqrt(2.0), rel=0.01)


def test_a_spread_of_zero() -> None:
    """Every subject has the same values: the likelihood rises without end as the spread falls."""
    data = records("orthodont")
    noise = np.random.default_rng(1).normal(size=(4, 1))
    same = replace(data, values={"distance": jnp.asarray(20.0 + noise * np.ones((4, 27)))})
    model = lines(level=Parameter(dist.Normal(17.0, 5.0), subject=dist.HalfNormal(2.0)), slope=Parameter(0.0))
    with pytest.raises(InferenceError, match="nothing determines distance_level_sd") as refusal:
        Laplace(objective="ml", starts=1).run(model, same, key=KEY)
    assert "a spread of zero" in str(refusal.value)


def test_a_value_that_is_not_a_number() -> None:
    data = records("orthodont")
    broken = replace(data, values={"distance": data.values["distance"].at[2, 5].set(jnp.inf)})
    model = lines(level=Parameter(dist.Normal(17.0, 5.0), subject=2.0), slope=Parameter(0.5))
    with pytest.raises(InferenceError, match=r"in 1 of 27 subjects \(the first: inf measured at 12 years") as refusal:
        Laplace(starts=1).run(model, broken, key=KEY)
    assert refusal.value.subjects == (5,)


def test_nothing_to_learn() -> None:
    model = lines(level=Parameter(17.0, subject=2.0), slope=Parameter(0.5))
    with pytest.raises(InferenceError, match="at least one value to learn"):
        Laplace().run(model, records("orthodont"), key=KEY)


def in_units_of(factor: float) -> Model:
    def model(data: Records) -> None:
        line = numpyro.sample("line", dist.Normal(0.0, 20.0 * factor).expand([2]).to_event(1))
        sd = numpyro.sample("sd", dist.HalfNormal(5.0 * factor))
        spread = numpyro.sample("spread", dist.HalfNormal(5.0 * factor))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            b = numpyro.sample("b", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                mean = line[0] + line[1] * data.time + spread * b
                numpyro.sample("distance", dist.Normal(mean, sd), obs=factor * data.values["distance"])

    return model


@pytest.mark.parametrize("factor", [1e-7, 1e3, 1e7])
def test_the_unit_of_the_data_changes_nothing(factor: float) -> None:
    """Estimates and standard errors in any unit, those of a vector of values with an sd above ten among them."""
    data = records("orthodont")
    one, other = (Laplace(draws=5).run(in_units_of(by), data, key=KEY) for by in (1.0, factor))
    np.testing.assert_allclose(other.estimates / factor, one.estimates, rtol=2e-5)
    in_one_unit = other.facts["log_likelihood"] + 108 * np.log(factor)
    assert in_one_unit == pytest.approx(one.facts["log_likelihood"], abs=1e-6)


# How far from exact ---------------------------------------------------------------------------------------------------


def test_a_newton_step_of_the_next_level_is_where_its_maximum_lies() -> None:
    """One effect that enters a course in an exponent: the maximum by quadrature, from Laplace's, in standard errors."""
    name, data = "wang_additive", wang.records()
    rough, exact = marginal(name, "laplace", 1), marginal(name, "quadrature", 15)
    here, there = (Laplace().maximise(level, data, key=KEY) for level in (rough, exact))
    found = shift_of_maximum(
        rough,
        data,
        point=here.point,
        coordinates=here.coordinates,
        covariance=here.covariance,
        effects=here.effects,
        prior=True,
        key=KEY,
    )
    expected = abs(there.vector[0] - here.vector[0]) / np.sqrt(here.covariance[0, 0])
    assert (found.finer, found.of) == ("quadrature, 15 nodes", "decay")
    assert expected > 1e-4
    assert found.largest == pytest.approx(expected, rel=0.05)


def test_a_maximum_that_moves_too_far_is_refused() -> None:
    model = EXAMPLES["wang_additive"].model
    with pytest.raises(
        InferenceError, match=r"moves by at most 1e-05 standard errors, got .* at decay under quadrature"
    ):
        Laplace(most_shift=1e-5, draws=10).run(model, wang.records(), key=KEY)
    assert Laplace(most_shift=1.0, draws=10).run(model, wang.records(), key=KEY).facts["finer_shift_of"] == "decay"
