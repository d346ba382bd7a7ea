"""A limit is never taken as a measured value: where one would be, it is refused or put beside the like of it."""

from functools import cache

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from numpyro import distributions as dist

import dpm
from dpm.checks.predictive import _limits
from dpm.errors import CheckError, ControlError, ModelError

LIMIT = 9.0
ROLES = {
    "subject": "id",
    "time": {"column": "year", "unit": "years"},
    "outcomes": {"score": {"column": "score", "unit": "points", "higher_is": "worse"}},
}
ESTIMANDS = (dpm.MeanChange("score", at=2.0, visit_rule=None), dpm.SlopeDifference("score"))


@cache
def _table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    ids, year = np.repeat([f"p{k:02d}" for k in range(40)], 4), np.tile(np.arange(4.0), 40)
    score = np.repeat(10.0 + rng.normal(size=40), 4) + 0.2 * year + 0.5 * rng.normal(size=160)
    return pd.DataFrame({"id": ids, "year": year, "score": score})


def _cohort(table: pd.DataFrame, **limits: object) -> dpm.Cohort:
    outcome = {**ROLES["outcomes"]["score"], "limits": limits} if limits else ROLES["outcomes"]["score"]  # type: ignore[index]
    return dpm.read_cohort(table, {**ROLES, "outcomes": {"score": outcome}})


@cache
def _censored() -> dpm.Cohort:
    return _cohort(_table(), below=LIMIT)


def _line(noise_sd: float = 0.5) -> dpm.ProgressionModel:
    level = dpm.Parameter(dist.Normal(10.0, 3.0), subject=dist.HalfNormal(2.0))
    slope = dpm.Parameter(dist.Normal(0.0, 1.0))
    return dpm.ProgressionModel(
        outcomes={"score": dpm.Outcome(dpm.Linear(level=level, slope=slope), dpm.Gaussian(sd=noise_sd))}
    )


def _blind(records: dpm.Records) -> None:
    """A hand-written model that never looks at `records.censored`."""
    level = numpyro.sample("level", dist.Normal(10.0, 3.0))
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        own = numpyro.sample("own", dist.Normal(0.0, 1.0))
        with numpyro.plate("visit", records.time.shape[0], dim=-2):
            noise = dist.Normal(level + own, 0.5).expand(records.time.shape).mask(records.observed["score"])
            numpyro.sample("score", noise, obs=records.values["score"])


def test_rows_beyond_limits_are_those_below_it() -> None:
    np.testing.assert_array_equal(_censored().beyond_limits("score"), _table()["score"] < LIMIT)
    assert not _cohort(_table()).beyond_limits("score").any()


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_comparisons_refuse_censored_values_in_either_cohort(estimand: dpm.MeanChange | dpm.SlopeDifference) -> None:
    measured = _cohort(_table())
    for compare in (dpm.unadjusted, dpm.randomised):
        for pair in ((_censored(), measured), (measured, _censored())):
            with pytest.raises(ControlError, match="censored of 160 values"):
                compare(*pair, estimand=estimand)


def test_the_visit_that_stands_for_a_time_is_not_a_limit() -> None:
    with pytest.raises(ControlError, match="censored"):
        ESTIMANDS[0].chosen_visits(_censored())


def test_a_twin_comparison_refuses_censored_values() -> None:
    posterior = dpm.fit(_line(), _cohort(_table()), method=dpm.Laplace(draws=20), key=jax.random.key(1))
    arm = dpm.synthetic_arm(posterior, like=_censored(), key=jax.random.key(2), draws=20, replicates=2)
    with pytest.raises(ControlError, match="censored"):
        dpm.compare(_censored(), arm, estimand=ESTIMANDS[0], key=jax.random.key(3))


def test_coverage_refuses_a_censored_value_to_predict_and_only_that() -> None:
    with pytest.raises(CheckError, match="a limit in its place for"):
        dpm.nearest_follow_up(_censored(), "score", 2.0)
    with pytest.raises(CheckError, match="a limit in its place for"):
        dpm.held_out_coverage(_line(), _censored(), outcome="score", at=2.0, key=jax.random.key(0))
    at_baseline = _table().assign(flag=np.where(_table()["year"] == 0, "low", ""))
    cohort = _cohort(at_baseline, below=20.0, flag="flag", flags={"low": "below"})
    assert cohort.beyond_limits("score").sum() == 40
    assert len(dpm.nearest_follow_up(cohort, "score", 2.0)) == 40


def test_the_visual_check_sets_limits_beside_simulated_limits() -> None:
    posterior = dpm.fit(_line(), _censored(), method=dpm.Laplace(draws=100), key=jax.random.key(1))
    asked = {"outcome": "score", "bins": (0.0, 5.0), "key": jax.random.key(2), "n_simulations": 100}
    found = dpm.visual_check(posterior, _censored(), **asked).set_index("percentile")
    assert (found.loc[5, ["observed", "low", "median", "high"]].astype(float) == LIMIT).all()
    whole = dpm.visual_check(posterior, _cohort(_table()), **asked).set_index("percentile")
    assert whole.loc[5, "observed"] < LIMIT and whole.loc[5, "median"] < LIMIT
    columns = ["observed", "low", "median", "high"]
    np.testing.assert_allclose(found.loc[95, columns].astype(float), whole.loc[95, columns].astype(float))


def test_limits_that_leave_nothing_certain_are_refused() -> None:
    between = _table().assign(until=_table()["score"] + 1.0)
    with pytest.raises(CheckError, match="interval"):
        _limits(_cohort(between, until="until"), "score")
    crossed = _table().assign(score=_table()["score"].map("{:.2f}".format))
    crossed.loc[3, "score"], crossed.loc[5, "score"] = "<12", ">7"
    with pytest.raises(CheckError, match="12 and 7"):
        _limits(_cohort(crossed, signs=True), "score")


def test_a_fit_refuses_a_model_that_takes_limits_as_measured() -> None:
    with pytest.raises(ModelError, match="limits count as measured"):
        dpm.fit(_blind, _censored(), method=dpm.Laplace(draws=10), key=jax.random.key(0))
    dpm.fit(_blind, _cohort(_table()), method=dpm.Laplace(draws=10), key=jax.random.key(0))
