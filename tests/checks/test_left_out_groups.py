"""Leaving a study out scores its patients by a fit that never saw it, with its own value from the population."""

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy import stats
from scipy.special import logsumexp

from dpm.checks.left_out_groups import GroupsLeftOut, leave_one_group_out
from dpm.cohort import Cohort, Records, read_cohort
from dpm.components.grouping import group_terms
from dpm.errors import CheckError
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from tests.checks.lines import KEY, ROLES, table

METHOD = Laplace(draws=1000)
STUDIES = ("A", "B", "C", "D", "E")


def by_study(records: Records) -> None:
    """Levels of subjects about that of their study."""
    level = numpyro.sample("level", dist.Normal(10.0, 5.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 3.0))
    spread = numpyro.sample("spread", dist.HalfNormal(3.0))
    noise = numpyro.sample("noise", dist.HalfNormal(3.0))
    (study,) = group_terms("level", {"study": dist.HalfNormal(2.0)}, records)
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        mean = numpyro.deterministic("score_mean", level + study + spread * z + slope * records.time)
        with numpyro.plate("visit", records.time.shape[0], dim=-2):
            numpyro.sample("score", dist.Normal(mean, noise), obs=records.values["score"])


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    frame = table()
    place = frame["patient"].str[1:].astype(int) % len(STUDIES)
    shift = np.array([-2.0, -0.5, 0.0, 1.0, 2.0])[place]
    frame = frame.assign(trial=np.array(STUDIES)[place], score=frame["score"] + shift)
    return read_cohort(frame, {**ROLES, "study": "trial"})


@pytest.fixture(scope="module")
def found(cohort: Cohort) -> GroupsLeftOut:
    return leave_one_group_out(by_study, cohort, by="study", method=METHOD, key=KEY, level="laplace", progress=False)


def test_a_left_out_study_is_predicted_from_the_population_of_studies(cohort: Cohort, found: GroupsLeftOut) -> None:
    """The same fit; each patient a normal with the variance between studies added, in closed form."""
    fit_key, _ = jax.random.split(jax.random.fold_in(KEY, 0))
    ids = cohort.subjects.index[cohort.subjects["study"].astype(str) == "A"]
    posterior = fit(by_study, cohort.exclude(ids, "left out"), method=METHOD, key=fit_key)
    names = ("level", "slope", "spread", "noise", "level_study_sd")
    draws = np.stack([posterior.draws[name].to_numpy().ravel() for name in names], axis=1)
    for name in ids:
        own = cohort.visits[cohort.visits["subject"] == name]
        t, y = own["time"].to_numpy(), own["score"].to_numpy()
        exact = [
            stats.multivariate_normal(
                level + slope * t,
                (spread**2 + study**2 * (1 + 1 / 4)) * np.ones((len(t), len(t))) + noise**2 * np.eye(len(t)),
            ).logpdf(y)
            for level, slope, spread, noise, study in draws
        ]
        row = found.subjects.loc[name]
        assert abs(row["elpd"] - (logsumexp(exact) - np.log(len(draws)))) < 4.5 * row["mcse"]
        assert row["group"] == "A" and 0 < row["mcse"] < 0.2


def test_groups_are_sums_of_their_patients(cohort: Cohort, found: GroupsLeftOut) -> None:
    assert list(found.groups.index) == list(STUDIES) and (found.groups["n"] == 6).all()
    assert list(found.subjects.index) == list(cohort.subjects.index)
    each = found.subjects.groupby("group")["elpd"]
    np.testing.assert_allclose(found.groups["elpd"], each.sum())
    np.testing.assert_allclose(found.groups["se"], np.sqrt(6 * each.var(ddof=1)))
    assert found.elpd == pytest.approx(found.subjects["elpd"].sum())
    assert (found.groups["drawn_anew"] == "level_study_new").all()


def test_progress_is_told(cohort: Cohort, capsys: pytest.CaptureFixture[str]) -> None:
    two = cohort.subset(cohort.subjects.index[cohort.subjects["study"].astype(str).isin(["A", "B"])])

    def alone(records: Records) -> None:
        level = numpyro.sample("level", dist.Normal(10.0, 5.0))
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            z = numpyro.sample("z", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", records.time.shape[0], dim=-2):
                mean = level + z + 2.0 * records.time
                numpyro.sample("score", dist.Normal(mean, 1.0), obs=jnp.asarray(records.values["score"]))

    found = leave_one_group_out(alone, two, by="study", method=METHOD, key=KEY, level="laplace")
    assert "leave one study out: refits: 1 of 2, about" in capsys.readouterr().err
    assert (found.groups["drawn_anew"] == "").all()


def test_what_cannot_be_left_out_is_refused(cohort: Cohort) -> None:
    with pytest.raises(CheckError, match="one of: study, got 'site'"):
        leave_one_group_out(by_study, cohort, by="site", method=METHOD, key=KEY)
    with pytest.raises(CheckError, match="at least two levels, got 1 in 6 subjects"):
        leave_one_group_out(by_study, cohort.where(study="A"), by="study", method=METHOD, key=KEY)
