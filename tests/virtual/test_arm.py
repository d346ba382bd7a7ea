"""Twins against the closed form of the linear model, and what is refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from dpm.errors import PosteriorError, VirtualError
from dpm.virtual.arm import VirtualArm, covariates_outside, mean_layers, synthetic_arm
from tests.placebo import CORRELATION, KEY, TYPICAL, certain_posterior, trial
from tests.posterior import small

SD = TYPICAL["log_bilirubin_sd"]


@pytest.fixture(scope="module")
def arm() -> VirtualArm:
    return synthetic_arm(certain_posterior(400), like=trial(), key=KEY, draws=400, replicates=5)


def closed_form(arm: VirtualArm, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the untreated course at `time`, given one measurement at zero."""
    x = {name: np.asarray(value) for name, value in arm.records.covariates.items()}
    level = TYPICAL["log_bilirubin_level"] + TYPICAL["log_bilirubin_level_age"] * x["age"]
    level = level + TYPICAL["log_bilirubin_level_log_protime"] * x["log_protime"]
    slope = TYPICAL["log_bilirubin_slope"] + TYPICAL["log_bilirubin_slope_log_protime"] * x["log_protime"]
    a, b = TYPICAL["log_bilirubin_level_sd"], TYPICAL["log_bilirubin_slope_sd"]
    omega = np.array([[a**2, CORRELATION * a * b], [CORRELATION * a * b, b**2]])
    gain = omega[:, 0] / (omega[0, 0] + SD**2)
    posterior = omega - np.outer(gain, omega[0])
    surprise = np.asarray(arm.records.values["log_bilirubin"])[0] - level
    weight = np.array([1.0, time])
    mean = level + slope * time + (weight @ gain) * surprise
    return mean, np.full(mean.shape, weight @ posterior @ weight)


@pytest.mark.parametrize("time", [0.0, 2.0, 5.0])
def test_twins_are_the_conditional_normal(arm: VirtualArm, time: float) -> None:
    predicted = arm.predict(np.full((1, trial().n_subjects), time), key=KEY)
    course = np.asarray(predicted.course["log_bilirubin"]).reshape(-1, trial().n_subjects)
    measured = np.asarray(predicted.measurement["log_bilirubin"]).reshape(-1, trial().n_subjects)
    mean, variance = closed_form(arm, time)
    n = len(course)
    z = (course.mean(axis=0) - mean) / np.sqrt(variance / n)
    assert np.abs(z).max() < 4.5
    assert abs(z.mean()) < 4 / np.sqrt(len(z)) + 0.2
    np.testing.assert_allclose(course.var(axis=0, ddof=1).mean() / variance[0], 1.0, atol=0.03)
    np.testing.assert_allclose(measured.var(axis=0, ddof=1).mean() / (variance[0] + SD**2), 1.0, atol=0.03)


def test_only_the_history_is_read(arm: VirtualArm) -> None:
    assert arm.history.visits["time"].max() == 0.0
    later = trial().visits["time"] > 0
    spoilt = trial().visits.assign(log_bilirubin=trial().visits["log_bilirubin"].mask(later, 99.0))
    again = synthetic_arm(certain_posterior(20), like=replace(trial(), visits=spoilt), key=KEY, draws=20, replicates=1)
    same = synthetic_arm(certain_posterior(20), like=trial(), key=KEY, draws=20, replicates=1)
    np.testing.assert_array_equal(again.effects, same.effects)


def test_layers_are_the_parts_of_the_variance(arm: VirtualArm) -> None:
    predicted = arm.predict(np.full((1, trial().n_subjects), 2.0), key=KEY)
    course = np.asarray(predicted.course["log_bilirubin"])[:, :, 0].mean(axis=-1)
    measured = np.asarray(predicted.measurement["log_bilirubin"])[:, :, 0].mean(axis=-1)
    layers = mean_layers(course, measured).set_index("layer")["sd"]
    n = trial().n_subjects
    _, variance = closed_form(arm, 2.0)
    assert layers["between-patient"] == pytest.approx(np.sqrt(variance[0] / n), rel=0.06)
    assert layers["residual"] == pytest.approx(SD / np.sqrt(n), rel=0.06)
    # A posterior without uncertainty has no parameter layer, up to Monte Carlo error.
    assert layers["parameter"] < 0.25 * layers["between-patient"]


def test_layers_recover_a_known_split() -> None:
    rng = np.random.default_rng(5)
    parameter = rng.normal(0, 3.0, (4000, 1))
    course = parameter + rng.normal(0, 2.0, (4000, 4))
    layers = mean_layers(course, course + rng.normal(0, 1.0, (4000, 4)))
    np.testing.assert_allclose(layers["sd"], [3.0, 2.0, 1.0], rtol=0.05)
    assert layers["variance_share"].sum() == pytest.approx(1.0)


def test_extrapolation_is_refused(arm: VirtualArm) -> None:
    with pytest.raises(VirtualError, match="extrapolation"):
        arm.predict(np.full((1, trial().n_subjects), 40.0), key=KEY)
    with pytest.raises(VirtualError, match="times"):
        arm.predict(np.full((1, trial().n_subjects), -1.0), key=KEY)


def test_patients_outside_the_support_are_refused() -> None:
    old = replace(trial(), subjects=trial().subjects.assign(age=trial().subjects["age"] + 60.0))
    with pytest.raises(VirtualError, match="158 of 158"):
        synthetic_arm(certain_posterior(5), like=old, key=KEY, draws=5, replicates=1)
    assert (covariates_outside(certain_posterior(5), old) >= 1).all()
    assert covariates_outside(certain_posterior(5), trial()).gt(0).mean() < 0.1


def test_take_keeps_each_patients_own_twins(arm: VirtualArm) -> None:
    ids = [str(each) for each in trial().subjects.index[[90, 3, 41]]]
    few = arm.take(ids)
    kept = list(few.history.subjects.index)
    assert sorted(kept) == sorted(ids)
    where = trial().subjects.index.get_indexer(kept)
    np.testing.assert_array_equal(few.effects, np.asarray(arm.effects)[..., where])
    assert list(few.patients.index) == kept


@pytest.mark.slow
def test_the_same_key_gives_the_same_twins() -> None:
    draw = [
        synthetic_arm(certain_posterior(10), like=trial(), key=jax.random.key(seed), draws=10, replicates=1).effects
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert not np.allclose(draw[0], draw[2])


@pytest.fixture(scope="module")
def met_elsewhere() -> VirtualArm:
    """Patients of one age, a third of them of a hospital that the model, which pools slopes over them, has not met."""
    new = small.others()
    inside = replace(new, subjects=new.subjects.assign(age=50.0, female=1.0))
    return synthetic_arm(small.posterior(), like=inside, key=KEY, draws=small.DRAWS, replicates=20)


def test_a_hospital_that_was_not_met_is_drawn_from_the_population_of_hospitals(met_elsewhere: VirtualArm) -> None:
    """All its patients' slopes move with its deviation, which varies by more than those of the hospitals met."""
    arm = met_elsewhere
    west = (arm.history.subjects["hospital"].astype(str) == "west").to_numpy()
    predicted = arm.predict(np.tile([[0.0], [1.0]], (1, len(west))), key=KEY)
    course = np.asarray(predicted.course["score"])
    slope = (course[:, :, 1] - course[:, :, 0]).mean(axis=1)  # over replicates: what the twins of a patient share
    values = {name: np.asarray(each) for name, each in jax.vmap(arm.hierarchy.constrain)(arm.vectors).items()}
    new = values["score_slope_hospital_sd"] * np.sqrt(4.0 / 3.0) * values["score_slope_hospital_new"][:, 0]
    expected = values["score_slope"] + values["score_slope_female"] + new
    shared = slope[:, west].mean(axis=1)
    assert np.corrcoef(shared, expected)[0, 1] > 0.95
    assert shared.std() == pytest.approx(expected.std(), rel=0.1)
    assert np.std(slope[:, ~west].mean(axis=1)) < 0.5 * expected.std()


def test_a_hospital_that_was_not_met_is_said(met_elsewhere: VirtualArm) -> None:
    assert met_elsewhere.notes == (
        "hospital west (12 of 37 patients) was not met at the fit: drawn from the population of the 3 that were, one "
        "value for all patients at a level, not informed by them.",
    )
    assert (met_elsewhere.patients["outside"] == 0).all()


def test_a_hospital_that_a_model_does_not_pool_over_is_outside_the_support() -> None:
    inside = replace(small.others(), subjects=small.others().subjects.assign(age=50.0, female=1.0))
    west = inside.subjects["hospital"].astype(str) == "west"
    assert covariates_outside(small.posterior(), inside).gt(0).tolist() == west.tolist()
    assert covariates_outside(small.posterior(), inside, drawn=("hospital",)).eq(0).all()


def test_new_levels_need_a_key() -> None:
    posterior = small.posterior()
    hierarchy = posterior.hierarchy(small.others().records(posterior.encodings))
    with pytest.raises(PosteriorError, match="a key to draw new levels with"):
        posterior.vectors(hierarchy)
