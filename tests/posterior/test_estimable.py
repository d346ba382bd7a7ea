"""What a cohort cannot tell of a model is refused or said beside the fit; what new patients lack is refused."""

import warnings
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.cohort import Cohort, read_cohort
from dpm.cohort.records import Records
from dpm.components.autocorrelation import Autocorrelated
from dpm.components.clock import Clock, LatentTime, Since, StudyTime, onset, pace
from dpm.components.covariate_effect import Effects, Factor
from dpm.components.covariate_model import NormalCovariate
from dpm.components.event import Event
from dpm.components.hazard import Exponential
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import CohortError, ModelError, ModelWarning
from dpm.inference.draws import Draws, host
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.population import population_draws
from dpm.posterior.fit import fit
from dpm.posterior.posterior import Posterior
from dpm.types import Model

KEY = jax.random.key(37)
N, VISITS = 12, 3
SPREAD = dist.HalfNormal(1.0)
ROLES: dict[str, Any] = {
    "subject": "id",
    "time": {"column": "year", "unit": "years"},
    "outcomes": {"score": {"column": "score", "unit": "points", "higher_is": "worse"}},
    "covariates": {
        "weight": {"column": "weight", "unit": "kg", "standardise": True, "missing": "keep"},
        "height": {"column": "height", "unit": "cm", "standardise": True},
    },
    "clocks": {"age": {"column": "age"}},
    "groups": ["stage"],
}


@dataclass(frozen=True)
class PriorMeans:
    """A method that learns nothing: every draw is the prior mean."""

    def run(self, model: Model, records: Any, *, key: Any) -> Draws:
        hierarchy = Hierarchy.of(model, records)
        sites = population_draws(jnp.tile(hierarchy.prior_centre(), (2, 1)), hierarchy, records)
        return Draws(sites={name: value[None] for name, value in host(sites).items()})


def table(*, seed: int = 0, missing: int = 0, once: int = 0, stages: tuple[str, ...] = ("1", "2")) -> pd.DataFrame:
    """Three yearly visits of a dozen people; the first `missing` lack a weight, the first `once` came back never."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "id": f"p{k:02d}",
            "year": float(visit),
            "score": 10.0 + visit + rng.normal(),
            "weight": np.nan if k < missing else 60.0 + 2.0 * k,
            "height": 160.0 + 3.0 * k,
            "age": 40.0 + k,
            "stage": stages[k % len(stages)],
        }
        for k in range(N)
        for visit in range(1 if k < once else VISITS)
    ]
    return pd.DataFrame(rows)


def cohort(roles: dict[str, Any] | None = None, **settings: Any) -> Cohort:
    return read_cohort(table(**settings), roles or ROLES)


def model(effects: Effects | None = None, clock: Clock | None = None, **parts: Any) -> ProgressionModel:
    level = Parameter(dist.Normal(10.0, 5.0), subject=SPREAD, effects=effects or {})
    line = Linear(level=level, slope=Parameter(dist.Normal(0.0, 1.0)))
    outcomes = {"score": Outcome(line, Gaussian(sd=SPREAD))}
    return ProgressionModel(outcomes=outcomes, clock=clock or StudyTime(), **parts)


def fitted(built: Model, data: Cohort) -> Posterior:
    return fit(built, data, method=PriorMeans(), key=KEY)


def test_an_outcome_or_event_that_the_cohort_lacks_is_refused() -> None:
    outcome = model().outcomes["score"]
    with pytest.raises(ModelError, match=r'outcome "points" in the cohort, got score\.\nName the outcome as'):
        fitted(ProgressionModel(outcomes={"points": outcome}), cohort())
    death = Event(hazard=Exponential(log_rate=dist.Normal(-2.0, 1.0)))
    with pytest.raises(ModelError, match=r'"death" in the cohort, got none\.\nName the event process as'):
        fitted(model(events={"death": death}), cohort())


def test_two_measurements_at_once_are_refused_where_residuals_remember() -> None:
    """Of two eyes, for instance: their residuals would have to be equal."""
    eyes = pd.concat([table().assign(eye=eye) for eye in ("left", "right")]).sort_values(["id", "year"])
    both = read_cohort(eyes.reset_index(drop=True), {**ROLES, "part": "eye"})
    line = model().outcomes["score"].trajectory
    serial = ProgressionModel(outcomes={"score": Outcome(line, Autocorrelated(sd=SPREAD, memory=1.0))})
    with pytest.raises(ModelError, match=r"one measurement of a subject at a time.*got two or more in 12 of 12"):
        fitted(serial, both)
    fitted(serial, cohort())


# Missing covariates ---------------------------------------------------------------------------------------------------


def by_hand(term: Any) -> Model:
    """A model written by hand, with what `term` makes of the weights in its level."""

    def score(data: Records) -> None:
        effect = numpyro.sample("effect", dist.Normal(1.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            level = 10.0 + z + term(effect, data)
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                numpyro.deterministic("score_mean", level + 0.0 * data.time)
                measured = dist.Normal(level, 1.0).mask(data.observed["score"])
                numpyro.sample("score", measured, obs=data.values["score"])

    return score


@pytest.mark.parametrize(
    "term",
    [
        lambda effect, data: effect * data.covariates["weight"],
        # The value is a number; its gradient is not.
        lambda effect, data: jnp.where(data.missing["weight"], 0.0, jnp.exp(effect * data.covariates["weight"])),
    ],
    ids=["value", "gradient"],
)
def test_a_model_written_by_hand_does_not_compute_with_what_is_missing(term: Any) -> None:
    with pytest.raises(ModelError) as refusal:
        fitted(by_hand(term), cohort(missing=3))
    assert str(refusal.value) == (
        "fit: weight: expected a covariate of every subject, or a model of what is missing, got none in 3 of 12, with "
        "which it computes.\nModel what is missing (records.missing says where), exclude these subjects, or drop the "
        "covariate."
    )


def test_a_model_written_by_hand_that_heeds_what_is_missing_is_fitted() -> None:
    def heeding(effect: Any, data: Records) -> Any:
        gone = data.missing["weight"]
        imputed = numpyro.sample("imputed", dist.Normal(0.0, 1.0))
        return effect * jnp.where(gone, imputed, jnp.where(gone, 0.0, data.covariates["weight"]))

    assert fitted(by_hand(heeding), cohort(missing=3)).n_draws == 2
    assert fitted(by_hand(lambda effect, data: effect), cohort(missing=3)).n_draws == 2


def test_a_missing_covariate_with_a_model_of_it_is_fitted() -> None:
    effects: Effects = {"weight": dist.Normal(0.0, 1.0)}
    with pytest.raises(ModelError, match='expected "weight" of every subject'):
        fitted(model(effects), cohort(missing=3))
    modelled = model(effects, covariates={"weight": NormalCovariate(effects={"height": dist.Normal(0.0, 1.0)})})
    posterior = fitted(modelled, cohort(missing=3))
    assert {"covariate_weight_mean", "covariate_weight_sd", "covariate_weight_height"} <= set(posterior.draws)
    # New patients, of whom all or some have it.
    for missing in (0, 5):
        records = cohort(seed=1, missing=missing).records(posterior.encodings)
        split = posterior.hierarchy(records)
        assert ("covariate_weight_z" in {site.name for site in split.subject}) == (missing > 0)
        assert posterior.vectors(split).shape == (2, split.n_population)


# Latent time ----------------------------------------------------------------------------------------------------------

LATENT = LatentTime(onset=onset(SPREAD), pace=pace(SPREAD), origin="age", reference=45.0)


def test_paces_of_people_seen_once_are_refused() -> None:
    with pytest.raises(ModelError) as refusal:
        fitted(model(clock=LATENT), cohort(once=N))
    assert str(refusal.value) == (
        "fit: clock: expected subjects measured at two times, to tell pace from onset, got one time in each of 12.\n"
        "Take the spread of pace out (pace(None)), or add follow-up: one time shows a place on the course alone."
    )
    without = LatentTime(onset=onset(SPREAD), pace=pace(None), origin="age", reference=45.0)
    with pytest.warns(ModelWarning, match=r"measured once in each of 12 subjects.*\(clock_onset_sd, score_level_sd\)"):
        posterior = fitted(model(clock=without), cohort(once=N))
    assert posterior.provenance["notes"][0].startswith("score: measured once")


def test_paces_of_few_are_said_beside_the_fit() -> None:
    under_a_handler = handlers.condition(model(clock=LATENT), data={"score_slope": jnp.asarray(1.0)})
    with pytest.warns(ModelWarning, match="4 of 12 subjects \\(33%\\) were measured at two times or more"):
        posterior = fitted(under_a_handler, cohort(once=8))
    assert posterior.provenance["notes"] == [
        "Pace on the latent time: 4 of 12 subjects (33%) were measured at two times or more. The others show no pace "
        "of their own; theirs is that of the population."
    ]


def test_paces_of_most_are_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "notes" not in fitted(model(clock=LATENT), cohort(once=6)).provenance


# New patients ---------------------------------------------------------------------------------------------------------


def test_a_covariate_that_new_data_lack_is_refused() -> None:
    posterior = fitted(model({"height": dist.Normal(0.0, 1.0)}), cohort())
    roles = {**ROLES, "covariates": {"weight": ROLES["covariates"]["weight"]}}
    with pytest.raises(CohortError, match="covariates: height: expected the variables the encodings were learned with"):
        cohort(roles).records(posterior.encodings)


def test_a_value_that_new_patients_lack_is_refused() -> None:
    posterior = fitted(model({"weight": dist.Normal(0.0, 1.0)}), cohort())
    records = cohort(missing=2).records(posterior.encodings)
    with pytest.raises(ModelError, match='score_level: expected "weight" of every subject'):
        posterior.hierarchy(records)


def test_a_level_that_was_not_met_is_refused_where_levels_are_fixed() -> None:
    """Also where records of the same shape were traced before."""
    posterior = fitted(model({"stage": Factor(coefficient=dist.Normal(0.0, 1.0))}), cohort())
    posterior.hierarchy(cohort(seed=1).records(posterior.encodings))
    for _ in range(2):
        new = cohort(seed=2, stages=("1", "4")).records(posterior.encodings)
        with pytest.raises(ModelError, match='a level of "stage" that was met at the fit, got another in 6 of 12'):
            posterior.hierarchy(new)


def test_a_clock_that_new_data_lack_is_refused() -> None:
    posterior = fitted(model(clock=Since("age")), cohort())
    new = cohort({**ROLES, "clocks": {}}).records(posterior.encodings)
    with pytest.raises(ModelError, match='clock: expected "age" among the cohort\'s clocks, got none'):
        posterior.hierarchy(new)
