"""Predictions are the model's: course and measurement differ by the noise, and new patients by their spread."""

from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import handlers

from dpm.cohort import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.predict import Predicted, predict_draws, predict_population, predict_subject, simulate_draws
from dpm.types import Array

from .small import DRAWS, MODEL, SUBJECTS, VISITS, others, posterior

TRUTH = {
    "score_level": 10.0,
    "score_slope": 2.0,
    "score_level_age": 0.8,
    "score_slope_female": 0.5,
    "score_level_sd": 1.0,
    "score_slope_sd": 0.6,
    "score_slope_hospital_sd": 0.0,
    "score_sd": 0.5,
}
R = 0.4
COUNT = 400


@cache
def records() -> Records:
    return others().records(posterior().encodings)


@cache
def hierarchy() -> Hierarchy:
    return posterior().hierarchy(records())


@cache
def truth() -> Array:
    values = {name: jnp.asarray(value) for name, value in TRUTH.items()}
    values["subject_correlation_cholesky"] = jnp.array([[1.0, 0.0], [R, np.sqrt(1.0 - R**2)]])
    values["score_slope_hospital"] = jnp.zeros(3)
    values["score_slope_hospital_new"] = jnp.zeros(1)
    values["score_slope_hospital_sd"] = jnp.asarray(1e-9)
    return hierarchy().unconstrain(values)


def expected(effects: Array) -> np.ndarray:
    """The course by hand, (visit, subject)."""
    z, data = np.asarray(effects), records()
    level = 10.0 + 0.8 * np.asarray(data.covariates["age"]) + z[0]
    slope = 2.0 + 0.5 * np.asarray(data.covariates["female"]) + 0.6 * (R * z[0] + np.sqrt(1.0 - R**2) * z[1])
    return level + slope * np.asarray(data.time)


@pytest.fixture(scope="module")
def simulated() -> Predicted:
    return simulate_draws(hierarchy(), jnp.tile(truth(), (COUNT, 1)), records(), key=jax.random.key(0))


def test_the_course_of_a_subject_is_its_equation() -> None:
    effects = jax.random.normal(jax.random.key(3), (2, SUBJECTS))
    found = predict_subject(hierarchy(), truth(), effects, records(), key=jax.random.key(0))
    np.testing.assert_allclose(found.course["score"], expected(effects), rtol=1e-7)


def test_a_measurement_lies_around_its_course() -> None:
    effects = jnp.zeros((1, COUNT, 2, SUBJECTS))
    found = predict_draws(hierarchy(), truth()[None], effects, records(), key=jax.random.key(0))
    assert found.course["score"].shape == found.measurement["score"].shape == (1, COUNT, VISITS, SUBJECTS)
    noise = np.asarray(found.measurement["score"] - found.course["score"])
    assert noise.mean() == pytest.approx(0.0, abs=4.5 * 0.5 / np.sqrt(noise.size))
    assert noise.std() == pytest.approx(0.5, rel=4.5 / np.sqrt(2 * noise.size))
    # Independent of visit, subject and replicate.
    flat = noise.reshape(COUNT, -1)
    assert abs(np.corrcoef(flat[:, 0], flat[:, 1])[0, 1]) < 4.5 / np.sqrt(COUNT)
    assert len(np.unique(flat)) == flat.size


def test_measurements_do_not_copy_what_was_observed(simulated: Predicted) -> None:
    assert not np.isclose(simulated.measurement["score"], records().values["score"]).all(axis=0).any()


def test_new_patients_have_the_spread_of_the_population(simulated: Predicted) -> None:
    course = np.asarray(simulated.course["score"])
    level, slope = course[:, 0], (course[:, -1] - course[:, 0]) / np.asarray(records().time)[-1]
    centred = np.stack([level - level.mean(axis=0), (slope - slope.mean(axis=0)) / 0.6]).reshape(2, -1)
    tolerance = 4.5 * np.sqrt(2.0 / centred.shape[1])
    np.testing.assert_allclose(np.cov(centred), [[1.0, R], [R, 1.0]], atol=tolerance)
    np.testing.assert_allclose(level.mean(axis=0), expected(jnp.zeros((2, 1)))[0], atol=4.5 / np.sqrt(COUNT))


def test_the_same_key_gives_the_same_predictions(simulated: Predicted) -> None:
    vectors = jnp.tile(truth(), (COUNT, 1))
    again = simulate_draws(hierarchy(), vectors, records(), key=jax.random.key(0))
    other = simulate_draws(hierarchy(), vectors, records(), key=jax.random.key(1))
    np.testing.assert_array_equal(again.measurement["score"], simulated.measurement["score"])
    assert not np.isclose(other.measurement["score"], simulated.measurement["score"]).all()


def test_predictions_at_other_times() -> None:
    """Other visits than those of the fit: a yearly schedule far ahead."""
    time = jnp.tile(jnp.arange(10.0, 13.0)[:, None], (1, SUBJECTS))
    effects = jnp.zeros((2, SUBJECTS))
    found = predict_subject(hierarchy(), truth(), effects, records().at(time), key=jax.random.key(0))
    assert found.course["score"].shape == (3, SUBJECTS)
    np.testing.assert_allclose(jnp.diff(found.course["score"], axis=0)[0], 2.0 + 0.5 * records().covariates["female"])


def test_patients_of_an_unseen_hospital_get_its_draw() -> None:
    values = hierarchy().constrain(truth())
    values |= {"score_slope_hospital": jnp.array([1.0, 0.5, -1.5]), "score_slope_hospital_sd": jnp.asarray(2.0)}
    values["score_slope_hospital_new"] = jnp.array([0.25])
    vector = hierarchy().unconstrain(values)
    found = predict_subject(hierarchy(), vector, jnp.zeros((2, SUBJECTS)), records(), key=jax.random.key(0))
    slope = np.asarray(found.course["score"][-1] - found.course["score"][0]) / 2.0
    group = slope - 2.0 - 0.5 * np.asarray(records().covariates["female"])
    new = 2.0 * 0.25 * np.sqrt(4.0 / 3.0)
    by_hospital = {"east": 2.0, "west": new, "north": 1.0}  # levels in order: east, north, south
    wanted = others().subjects["hospital"].astype(str).map(by_hospital)
    np.testing.assert_allclose(group, wanted, atol=1e-7)


def test_draws_of_a_posterior_are_used_one_by_one() -> None:
    vectors = posterior().vectors(hierarchy(), key=jax.random.key(4))
    found = simulate_draws(hierarchy(), vectors, records(), key=jax.random.key(2))
    noise = np.asarray(found.measurement["score"] - found.course["score"]).reshape(DRAWS, -1)
    sd = posterior().draws["score_sd"].to_numpy()[0]
    np.testing.assert_allclose(noise.std(axis=1) / sd, 1.0, atol=5.0 / np.sqrt(2 * noise.shape[1]))


def test_a_conditioned_site_keeps_its_value_in_predictions() -> None:
    """Held by a handler, a value is neither learned nor drawn from its prior."""
    model = handlers.condition(MODEL, data={"score_level": jnp.asarray(-50.0), "score_level_age": jnp.asarray(0.0)})
    split = Hierarchy.of(model, records())
    given = {site.name: hierarchy().constrain(truth())[site.name] for site in split.population}
    vector = split.unconstrain(given)
    for seed in range(3):
        found = predict_population(split, vector, records(), key=jax.random.key(seed))
        np.testing.assert_allclose(found.course["score"][0], -50.0, atol=5.0)
