"""Published numbers that are not a typical course: centiles, ages at an event, limits and constants."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import handlers

from dpm.cohort import Records
from dpm.components.clock import LatentTime
from dpm.components.progression import ProgressionModel
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Sites

from .test_library import DESIGNS, KEY, model, module, records

MANY = 4000


def shown(name: str, n: int, start: float) -> Records:
    """Subjects whose clock says `start` at time zero, covariates at zero."""
    design = DESIGNS[name]
    assert design.origin is not None
    data = records(replace(design, origin=(design.origin[0], start)), n)
    return replace(data, covariates={key: 0.0 * value for key, value in data.covariates.items()})


def drawn(name: str, data: Records, given: dict[str, Any]) -> Sites:
    """Every site of the model at its typical values, what is not `given` drawn."""
    values = {key: jnp.asarray(value) for key, value in {**getattr(module(name), "TYPICAL", {}), **given}.items()}
    if "subject_correlation" in values:
        values["subject_correlation_cholesky"] = jnp.linalg.cholesky(values.pop("subject_correlation"))
    filled = handlers.substitute(handlers.uncondition(model(name)), data=values)
    return {
        site: message["value"] for site, message in handlers.trace(handlers.seed(filled, KEY)).get_trace(data).items()
    }


def test_north_star_peaks_and_loss_of_ambulation() -> None:
    """UK centiles of the peak; quartiles of age at loss of ambulation; the minimal detectable change at 80 %."""
    centiles = jnp.asarray([-1.28155, -0.67449, 0.0, 0.67449, 1.28155])
    data = shown("dmd_nsaa", 5, 6.5).at(jnp.zeros((1, 5)))
    given = {"nsaa_peak_z": centiles, "nsaa_peak_time_z": jnp.zeros(5), "nsaa_cuts": [-30.0, 30.0]}
    peaks = drawn("dmd_nsaa", data, given)["nsaa_mean"][0]
    np.testing.assert_allclose(peaks, [14.0, 20.0, 26.0, 30.0, 32.0], atol=0.3)
    when = drawn("dmd_nsaa", shown("dmd_nsaa", MANY, 4.0), {})["loss_of_ambulation"][:, 0, 0]
    np.testing.assert_allclose(4.0 + np.quantile(when, [0.25, 0.5, 0.75]), [10.7, 12.2, 14.3], atol=0.4)
    share, precision = 26.0 / 34.0, module("dmd_nsaa").TYPICAL["nsaa_precision"]
    sd = 34.0 * np.sqrt(share * (1.0 - share) / (precision + 1.0))
    assert 1.28155 * np.sqrt(2.0) * sd == pytest.approx(2.8, abs=0.05)


def test_who_loses_the_score_faster_stops_walking_earlier() -> None:
    data = shown("dmd_nsaa", MANY, 4.0)
    fast = jnp.where(jnp.arange(MANY) < MANY // 2, 1.0, -1.0)
    when = drawn("dmd_nsaa", data, {"nsaa_loss_z": fast})["loss_of_ambulation"][:, 0, 0]
    assert float(jnp.median(when[: MANY // 2])) < float(jnp.median(when[MANY // 2 :])) - 1.0


def test_from_onset_of_ataxia_to_loss_of_ambulation() -> None:
    """Quartiles in early-onset disease, of a simulation that starts at onset."""
    when = drawn("friedreich_ataxia", shown("friedreich_ataxia", MANY, 0.0), {})["loss_of_ambulation"][:, 0, 0]
    np.testing.assert_allclose(np.quantile(when, [0.25, 0.5, 0.75]), [8.6, 11.5, 16.2], atol=0.5)


def test_a_cap_score_of_100_at_the_expected_diagnosis() -> None:
    """With 42 repeats at 54.1 years of age; the clock runs twice as fast with twelve repeats more."""
    huntington = model("huntington_motor")
    assert isinstance(huntington, ProgressionModel) and isinstance(huntington.clock, LatentTime)
    data = shown("huntington_motor", 2, 100.0 * 6.49 / 12.0)
    rates = huntington.clock.pace.link(jnp.asarray([42.0, 54.0]))
    at = huntington.clock.at(jnp.zeros((1, 2)), data, onset=jnp.zeros(2), pace=rates)
    np.testing.assert_allclose(at, [[100.0, 200.0]], rtol=1e-12)
    given = {"motor_level": -1.0, "motor_level_z": jnp.zeros(2), "motor_slope_z": jnp.zeros(2), "motor_slope": 2.0}
    given |= {"motor_sd": 1e-9, "motor_entry_size": -0.3, "motor_entry_rate": 6.0, "motor_entry_half_life": 1.0}
    carriers = replace(data, covariates={"cag": jnp.full(2, 42.0), "trial": jnp.asarray([0.0, 1.0])})
    cohort, trial = np.asarray(drawn("huntington_motor", carriers, given)["motor_mean"]).T
    # A latent value of -1 lies at the 19.83th of 125 steps of its normal quantiles: 19 whole points.
    assert cohort[0] == trial[0] == pytest.approx(19.0)
    assert (trial[1:] < cohort[1:]).all()
    assert cohort[-1] - trial[-1] < cohort[1] - trial[1]


def test_half_of_patients_reach_each_published_threshold_of_pyramidal_function() -> None:
    noise = model("edss_novakovic").outcomes["pyramidal"].noise
    values = {key: jnp.asarray(module("edss_novakovic").TYPICAL[f"pyramidal_{key}"]) for key in noise.scalars()}
    law = noise.distribution(jnp.asarray([[-1.57, -0.30, 0.523, 1.953, 3.263]]), **values)
    chance = jnp.exp(jnp.stack([law.log_prob(jnp.full((1, 5), float(k))) for k in range(6)]))[:, 0]
    reached = jnp.flip(jnp.cumsum(jnp.flip(chance, 0), 0), 0)[1:]
    np.testing.assert_allclose(jnp.diag(reached), 0.5, atol=1e-9)
    highest = {item: module("edss_novakovic").TYPICAL[f"{item}_thresholds"][-1] for item in ("ambulation", "visual")}
    assert highest == pytest.approx({"ambulation": 3.692, "visual": 11.9451})
    assert Hierarchy.of(model("edss_novakovic"), records(DESIGNS["edss_novakovic"])).n_effects == 2


def test_domains_of_motor_function_are_correlated() -> None:
    """Six effects of one patient, and at typical values a rise up to the peak and a fall after it in each domain."""
    name = "sma_motor_function"
    split = Hierarchy.of(model(name), records(DESIGNS[name]))
    assert split.n_effects == 6
    assert any(site.name == "subject_correlation_cholesky" for site in split.population)
    data = shown(name, 2, 0.0).at(jnp.broadcast_to(jnp.arange(1.0, 21.0)[:, None], (20, 2)))
    given = {
        **{f"{domain}_peak_time": 6.0 for domain in module(name).PEAKS},
        **{f"{domain}_{key}_z": jnp.zeros(2) for domain in module(name).PEAKS for key in ("peak", "loss")},
    }
    values = drawn(name, data, given)
    for domain in module(name).PEAKS:
        course = values[f"{domain}_mean"][:, 0]
        assert int(course.argmax()) == 5
        assert bool((jnp.diff(course[:6]) > 0).all()) and bool((jnp.diff(course[5:]) < 0).all())


def test_simulated_adas_cog_stays_within_its_bounds() -> None:
    """With its residuals, at draws from the prior, as in the simulator of Rogers' model."""
    data = records(DESIGNS["adas_cog_rogers"], 50)
    for key in jax.random.split(KEY, 10):
        trace = handlers.trace(handlers.seed(handlers.uncondition(model("adas_cog_rogers")), key)).get_trace(data)
        scores = np.asarray(trace["adas_cog"]["value"])
        assert ((scores >= 0.0) & (scores <= 70.0)).all()
        assert trace["dropout"]["value"].shape == (50, 1, 2)
