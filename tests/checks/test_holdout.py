"""Held-out patients are really held out, and predicted as their twins would be."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from numpyro import distributions as dist

from dpm.checks.holdout import _FoldFitter, held_out_coverage, nearest_follow_up
from dpm.checks.predictive import visual_check
from dpm.cohort import read_cohort
from dpm.cohort.cohort import Cohort
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import CheckError
from dpm.inference.laplace import Laplace
from tests.placebo import KEY, certain_posterior, history, model
from tests.posterior.small import ROLES, table


def small() -> Cohort:
    return history().subset(history().subjects.index[:40])


def test_a_held_out_patients_follow_up_never_reaches_its_prediction() -> None:
    cohort = small()
    held = np.arange(40) < 8
    later = cohort.visits["time"].gt(0) & cohort.visits["subject"].isin(cohort.subjects.index[held])
    spoilt = cohort.visits.assign(log_bilirubin=cohort.visits["log_bilirubin"].mask(later, 9.0))
    other = replace(cohort, visits=spoilt)
    time = np.full((1, 40), 2.0)
    one, two = (
        _FoldFitter(model(), each, "log_bilirubin", Laplace(), 20).predict(held, time, key=KEY)[:, held]
        for each in (cohort, other)
    )
    np.testing.assert_allclose(one, two, rtol=1e-8)


def test_the_visit_predicted_is_the_follow_up_nearest_to_the_time() -> None:
    visit = nearest_follow_up(history(), "log_bilirubin", 2.0)
    visits = history().visits
    for subject in visit.index[:25]:
        own = visits[(visits["subject"] == subject) & (visits["time"] > 0)]
        assert (own["time"] - 2.0).abs().min() == pytest.approx(abs(visit.loc[subject, "time"] - 2.0))
    assert len(visit) == history().visits.query("time > 0")["subject"].nunique()


def test_coverage_counts_patients_once() -> None:
    table = held_out_coverage(
        model(), small(), outcome="log_bilirubin", at=2.0, key=KEY, subgroups=["edema"], folds=2, draws=30
    )
    overall = table[table["subgroup"] == "overall"]
    assert (overall["n"] == len(nearest_follow_up(small(), "log_bilirubin", 2.0))).all()
    assert overall["covered"].is_monotonic_increasing
    assert table[table["subgroup"] == "edema"].groupby("nominal")["n"].sum().eq(overall["n"].iloc[0]).all()


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(CheckError, match="follow-up"):
        held_out_coverage(model(), small(), outcome="log_bilirubin", at=2.0, key=KEY, folds=100)


def test_data_simulated_from_the_model_pass_its_visual_check() -> None:
    """The percentiles of one simulated cohort lie in the 95 % band of many about 95 % of the time."""
    posterior, cohort = certain_posterior(200), history()
    records = cohort.records(posterior.encodings)
    from dpm.posterior.predict import simulate_draws

    hierarchy = posterior.hierarchy(records)
    vectors = posterior.vectors(hierarchy, 20)
    drawn = np.asarray(simulate_draws(hierarchy, vectors, records, key=KEY).measurement["log_bilirubin"])
    seen = np.asarray(records.observed["log_bilirubin"])
    inside = []
    for simulated in drawn:
        visits = cohort.visits.assign(log_bilirubin=simulated.T[seen.T])
        table = visual_check(
            posterior,
            replace(cohort, visits=visits),
            outcome="log_bilirubin",
            bins=[0.0, 0.25, 1.5, 3.5, 8.0],
            key=jax.random.fold_in(KEY, 1),
            n_simulations=200,
        )
        inside.append(((table["low"] <= table["observed"]) & (table["observed"] <= table["high"])).mean())
    assert 0.88 < np.mean(inside) <= 1.0


def test_bins_without_values_are_refused() -> None:
    with pytest.raises(CheckError, match="bins"):
        visual_check(certain_posterior(5), history(), outcome="log_bilirubin", bins=[20.0, 30.0], key=KEY)


def test_predictions_that_cannot_be_trusted_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """They used to count as not covered, or as covered by a proposal that was never weighed."""
    monkeypatch.setattr("dpm.inference.effects.LEAST_ACCEPTED", 0.99)
    with pytest.raises(CheckError, match="held-out patient, got under 99% of conditional proposals accepted"):
        held_out_coverage(model(), small(), outcome="log_bilirubin", at=2.0, key=KEY, folds=2, draws=30)


@pytest.mark.slow
def test_a_group_met_in_held_out_patients_alone() -> None:
    """The one patient of a hospital leaves training without it: it is predicted from the prior of hospitals."""
    data = table(hospitals=("north", "east"))
    data.loc[data["patient"] == data["patient"].iloc[0], "hospital"] = "south"
    level = Parameter(dist.Normal(10.0, 5.0), subject=dist.HalfNormal(2.0), groups={"hospital": dist.HalfNormal(1.0)})
    outcome = Outcome(Linear(level=level, slope=Parameter(dist.Normal(0.0, 5.0))), Gaussian(sd=dist.HalfNormal(1.0)))
    with_groups = ProgressionModel(outcomes={"score": outcome})
    found = held_out_coverage(
        with_groups, read_cohort(data, ROLES), outcome="score", at=1.0, key=KEY, folds=2, draws=30
    )
    assert found["n"].eq(37).all()
