"""What data do not tell of a model: said beside the fit, with the names of the values, not of those they do tell."""

import warnings
from functools import cache
from typing import Any

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Cohort, read_cohort
from dpm.cohort.records import Records
from dpm.components.categorical import Binary, Ordinal, thresholds
from dpm.components.clock import LatentTime, onset, pace
from dpm.components.count import Poisson
from dpm.components.event import Event
from dpm.components.hazard import Weibull
from dpm.components.outcome import Gaussian, Noise, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Constant, Linear
from dpm.errors import InferenceError, ModelWarning
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from dpm.posterior.prepared import prepared
from dpm.posterior.separation import recedes

KEY = jax.random.key(2)
N = 30


def cohort(values: Any, *, kind: str = "continuous", visits: int = 1, **columns: Any) -> Cohort:
    """`values(subject, visit)` of 30 subjects, with baseline covariates."""
    rows = [
        {"id": f"S{k:02d}", "t": 0.5 * v, "y": values(k, v), **{name: each[k] for name, each in columns.items()}}
        for k in range(N)
        for v in range(visits)
    ]
    table = pd.DataFrame(rows)
    levels = {"levels": sorted({str(int(y)) for y in table["y"]})} if kind == "ordinal" else {}
    if kind == "ordinal":
        table["y"] = table["y"].astype(int).astype(str)
    outcome = {"column": "y", "unit": "1", "higher_is": "worse", "kind": kind, **levels}
    return read_cohort(
        table,
        {
            "subject": "id",
            "time": {"column": "t", "unit": "years"},
            "outcomes": {"y": outcome},
            "covariates": {name: {"column": name, "unit": "1"} for name in columns},
        },
    )


def level(noise: Noise, **effects: dist.Distribution) -> ProgressionModel:
    typical = Parameter(dist.Normal(0.0, 3.0), subject=dist.HalfNormal(1.0), effects=effects)
    return ProgressionModel(outcomes={"y": Outcome(Constant(level=typical), noise)})


def notes(model: ProgressionModel, data: Cohort) -> tuple[str, ...]:
    """What is said before a fit; each is a warning too."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        said = prepared(model, data).notes
    assert [str(each.message) for each in seen if each.category is ModelWarning] == list(said)
    return said


RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(N, 4))
DRUG = np.arange(N) % 2
AGE = np.round(RNG.normal(size=N), 3)


# One visit ------------------------------------------------------------------------------------------------------------


def test_one_measurement_holds_the_sum_of_two_spreads() -> None:
    (said,) = notes(level(Gaussian(sd=dist.HalfNormal(1.0))), cohort(lambda k, v: NOISE[k, v]))
    assert said.startswith("y: measured once in each of 30 subjects") and "(y_level_sd)" in said


@pytest.mark.parametrize("noise", [Gaussian(sd=0.5), Poisson()])
def test_a_noise_that_is_known_leaves_the_spread(noise: Noise) -> None:
    kind = "count" if isinstance(noise, Poisson) else "continuous"
    assert notes(level(noise), cohort(lambda k, v: float(k % 4), kind=kind)) == ()


def test_a_second_measurement_of_one_subject_is_enough_to_be_silent() -> None:
    data = cohort(lambda k, v: NOISE[k, v] if not v or k == 3 else np.nan, visits=2)
    assert notes(level(Gaussian(sd=dist.HalfNormal(1.0))), data) == ()


def test_an_onset_seen_once() -> None:
    """Without a spread of pace the fit is not refused, and one measurement still holds onset and noise as their sum."""
    clock = LatentTime(onset=onset(dist.HalfNormal(1.0)), pace=pace(None))
    line = Linear(level=Parameter(dist.Normal(0.0, 1.0)), slope=Parameter(dist.Normal(1.0, 1.0)))
    model = ProgressionModel(clock=clock, outcomes={"y": Outcome(line, Gaussian(sd=dist.HalfNormal(1.0)))})
    (said,) = notes(model, cohort(lambda k, v: NOISE[k, v]))
    assert "(clock_onset_sd)" in said


# Separation -----------------------------------------------------------------------------------------------------------


def test_directions_along_which_nothing_falls() -> None:
    none = np.zeros((0, 1))
    assert recedes(none, np.array([[1.0], [2.0], [0.0]]))
    assert not recedes(none, np.array([[1.0], [-0.001]]))
    assert not recedes(none, np.zeros((2, 1)))
    assert recedes(np.array([[1.0, -1.0]]), np.array([[1.0, 0.0]]))
    assert not recedes(np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[1.0, 0.0]]))


@pytest.mark.parametrize(("wrong", "said"), [(0, ["drug tells"]), (1, [])])
def test_a_covariate_that_tells_every_yes(wrong: int, said: list[str]) -> None:
    """One contradiction each way is enough for a maximum."""
    yes = np.where(np.arange(N) < 2 * wrong, 1 - DRUG, DRUG)
    data = cohort(lambda k, v: float(yes[k]), kind="binary", visits=2, drug=DRUG, age=AGE)
    found = notes(level(Binary(), drug=dist.Normal(0.0, 5.0), age=dist.Normal(0.0, 5.0)), data)
    assert len(found) == len(said)
    assert all(words in note and "perfect separation" in note for words, note in zip(said, found, strict=True))


def test_two_covariates_that_tell_together() -> None:
    other = np.round(NOISE[:, 1], 3)
    yes = (AGE + other > 0).astype(float)
    data = cohort(lambda k, v: yes[k], kind="binary", age=AGE, other=other)
    model = ProgressionModel(
        outcomes={
            "y": Outcome(
                Constant(
                    level=Parameter(
                        dist.Normal(0.0, 3.0), effects={"age": dist.Normal(0.0, 5.0), "other": dist.Normal(0.0, 5.0)}
                    )
                ),
                Binary(),
            )
        }
    )
    (said,) = notes(model, data)
    assert said.startswith("y: a combination of age, other tells its values")


@pytest.mark.parametrize("wrong", [False, True])
def test_ordered_categories(wrong: bool) -> None:
    grade = np.digitize(AGE, [-0.3, 0.5])
    if wrong:
        grade[np.argsort(AGE)[[0, -1]]] = [2, 0]
    data = cohort(lambda k, v: float(grade[k]), kind="ordinal", visits=2, age=AGE)
    found = notes(level(Ordinal(thresholds=thresholds(2)), age=dist.Normal(0.0, 5.0)), data)
    assert len(found) == (not wrong)


@pytest.mark.parametrize("anyone", [False, True])
def test_events_at_one_end_of_a_covariate(anyone: bool) -> None:
    events = [k % 4 == 0 or (anyone and k == 5) for k in range(N)]
    table = pd.DataFrame(
        {
            "id": [f"S{k:02d}" for k in range(N)],
            "t": 0.0,
            "y": NOISE[:, 0],
            "drug": DRUG,
            "end": np.where(events, "death", "none"),
            "until": 1.0 + np.arange(N) / N,
        }
    )
    data = read_cohort(
        table,
        {
            "subject": "id",
            "time": {"column": "t", "unit": "years"},
            "outcomes": {"y": {"column": "y", "unit": "1", "higher_is": "worse"}},
            "covariates": {"drug": {"column": "drug", "unit": "1"}},
            "events": {
                "end": {"column": "end", "time": "until", "unit": "years", "types": ["death"], "censored": "none"}
            },
        },
    )
    hazard = Weibull(log_rate=dist.Normal(0.0, 1.0), shape=dist.LogNormal(0.0, 0.5))
    model = ProgressionModel(events={"end": Event(hazard=hazard, effects={"drug": dist.Normal(0.0, 2.0)})})
    found = notes(model, data)
    assert [note.split(" (")[0] for note in found] == (
        [] if anyone else ["end: every one of 8 events fell on subjects at one end of drug"]
    )


# After the fit --------------------------------------------------------------------------------------------------------


def two_levels(data: Records) -> None:
    """Two typical values that enter only as their sum, and one that stands alone."""
    left, right = (numpyro.sample(name, dist.Normal(0.0, 10.0)) for name in ("left", "right"))
    slope, sd = numpyro.sample("slope", dist.Normal(0.0, 10.0)), numpyro.sample("sd", dist.HalfNormal(5.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            mean = left + right + effect + slope * data.time
            numpyro.sample("y", dist.Normal(mean, sd).mask(data.observed["y"]), obs=data.values["y"])


@cache
def measured(spread: float) -> Cohort:
    """Lines whose slopes differ by `spread`."""
    return cohort(lambda k, v: NOISE[k, 3] + (1.0 + spread * AGE[k]) * 0.5 * v + 0.3 * NOISE[k, v % 3], visits=4)


def test_a_combination_of_values_is_named_and_the_rest_is_not() -> None:
    said = fit(two_levels, measured(0.0), method=Laplace(), key=KEY).provenance["notes"]
    assert len(said) == 1 and said[0].startswith("The data tell only a combination of left, right:")


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_spread_that_is_none(spread: float) -> None:
    line = Linear(
        level=Parameter(dist.Normal(0.0, 3.0), subject=dist.HalfNormal(1.0)),
        slope=Parameter(dist.Normal(0.0, 3.0), subject=dist.HalfNormal(1.0)),
    )
    model = ProgressionModel(outcomes={"y": Outcome(line, Gaussian(sd=dist.HalfNormal(1.0)))}, correlation=None)
    said = fit(model, measured(spread), method=Laplace(), key=KEY).provenance.get("notes", [])
    assert [note.split(":")[0] for note in said] == ([] if spread else ["The data hardly tell y_slope_sd from zero"])


def test_the_ids_of_subjects_are_in_the_refusal() -> None:
    def model(data: Records) -> None:
        two_levels(data)
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            numpyro.factor("wall", jnp.where(jnp.arange(data.n_subjects) == 7, -jnp.inf, 0.0))

    with pytest.raises(InferenceError, match=r"density of wall is zero in 1 of 30 subjects(.|\n)*Subjects S07\.$"):
        fit(model, measured(0.0), method=Laplace(), key=KEY)
