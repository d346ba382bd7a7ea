"""A simulated table has the model's moments, is read as any other, and a fit to it finds the values given."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from numpyro import distributions as dist

import dpm
from dpm.errors import VirtualError
from tests.placebo import CORRELATION, TYPICAL, history, model
from tests.posterior.small import MODEL, cohort

R = 0.4
TRUTH = {
    "score_level": 10.0,
    "score_slope": 2.0,
    "score_level_age": 0.8,
    "score_slope_female": 0.5,
    "score_level_sd": 1.0,
    "score_slope_sd": 0.6,
    "score_slope_hospital_sd": 0.7,
    "score_slope_hospital": np.array([0.5, -1.2, 0.7]),
    "score_sd": 0.5,
    "subject_correlation_cholesky": np.array([[1.0, 0.0], [R, np.sqrt(1 - R**2)]]),
}
TIMES = (0.0, 1.0, 2.5)
PLANNED = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
KEY = jax.random.key(7)


def _like_small(count: int, **asked: Any) -> tuple[pd.DataFrame, dpm.Roles]:
    return dpm.simulate_cohort(MODEL, cohort(), n=count, times=TIMES, key=KEY, values=TRUTH, **asked)


@cache
def _pbc() -> tuple[pd.DataFrame, dpm.Roles]:
    zeros = dict.fromkeys(_coefficients(), 0.0)
    lower = np.array([[1.0, 0.0], [CORRELATION, np.sqrt(1 - CORRELATION**2)]])
    values = {**zeros, **TYPICAL, "subject_correlation_cholesky": lower}
    return dpm.simulate_cohort(
        model(),
        history(),
        n=500,
        times=PLANNED,
        key=jax.random.key(12),
        values=values,
        missing=0.2,
        dropout_rate=0.1,
    )


def _coefficients() -> list[str]:
    return [
        f"log_bilirubin_{part}_{name}"
        for part in ("level", "slope")
        for name in ("age", "female", "log_albumin", "log_protime", "edema_score")
    ]


def test_moments_are_the_models() -> None:
    frame, roles = _like_small(20_000)
    drawn = dpm.read_cohort(frame, roles)
    known = drawn.records(dpm.Encodings.learn(cohort()))
    level = 10.0 + 0.8 * np.asarray(known.covariates["age"])
    slope = 2.0 + 0.5 * np.asarray(known.covariates["female"])
    slope = slope + 0.7 * TRUTH["score_slope_hospital"] @ np.asarray(known.groups["hospital"])
    time = np.asarray(TIMES)
    rest = np.asarray(known.values["score"]) - level - slope * time[:, None]
    design = np.stack([np.ones(3), time], axis=1)
    spread = np.array([[1.0, R * 0.6], [R * 0.6, 0.36]])
    expected = design @ spread @ design.T + 0.25 * np.eye(3)
    assert (np.abs(rest.mean(axis=1)) < 4 * np.sqrt(np.diag(expected) / 20_000)).all()
    variances = np.diag(expected)
    error = np.sqrt((expected**2 + np.outer(variances, variances)) / 20_000)
    assert (np.abs(np.cov(rest) - expected) < 4 * error).all()


@pytest.mark.slow
def test_a_fit_recovers_the_values_given() -> None:
    frame, roles = _pbc()
    fitted = dpm.fit(model(), dpm.read_cohort(frame, roles), method=dpm.Laplace(draws=10), key=jax.random.key(0))
    assert fitted.estimates is not None
    names = [*TYPICAL, *(name for name in _coefficients() if name not in TYPICAL)]
    off = {
        name: (fitted.estimates.loc[name, "estimate"] - TYPICAL.get(name, 0.0)) / fitted.estimates.loc[name, "se"]
        for name in names
    }
    assert max(map(abs, off.values())) < 3.5, off


def test_missing_and_dropout_are_as_asked() -> None:
    frame, roles = _pbc()
    later = frame[frame["day"] > 0]
    assert frame.loc[frame["day"] == 0, "bilirubin"].notna().all()
    gone = later["bilirubin"].isna()
    assert abs(gone.mean() - 0.2) < 4 * np.sqrt(0.16 / len(gone))
    ends = dpm.read_cohort(frame, roles).ends
    assert (ends["event"] == "censored").all() and len(ends) == 500
    stayed = float((ends["time"] == 8.0).mean())
    assert abs(stayed - np.exp(-0.8)) < 4 * np.sqrt(stayed * (1 - stayed) / 500)
    last = frame.groupby("id", sort=False)["day"].max() / 365.25
    planned = np.array(PLANNED)
    expected = planned[np.searchsorted(planned, ends.set_index("subject")["time"], side="right") - 1]
    np.testing.assert_allclose(last, expected)


def test_the_table_is_read_as_the_shipped_one_is(tmp_path: Path) -> None:
    frame, roles = _pbc()
    whole = dpm.read_cohort(frame, roles)
    assert whole.n_subjects == 500 and whole.n_visits == len(frame)
    np.testing.assert_allclose(whole.visits["log_bilirubin"], np.log(frame["bilirubin"]))
    assert list(whole.roles.outcomes) == ["log_bilirubin"]
    columns = [name for name in history().subjects if name != "arm"]
    before = history().subjects[columns].astype(str).drop_duplicates()
    known = {tuple(row) for row in history().subjects[columns].round(9).astype(str).to_numpy()}
    drawn = {tuple(row) for row in whole.subjects[columns].round(9).astype(str).to_numpy()}
    assert drawn <= known and 100 < len(drawn) <= len(before)
    frame.to_csv(tmp_path / "simulated.csv", index=False)
    again = dpm.read_cohort(tmp_path / "simulated.csv", roles)
    pd.testing.assert_frame_equal(again.visits.drop(columns="file"), whole.visits.drop(columns="file"))
    pd.testing.assert_frame_equal(again.subjects, whole.subjects)


def test_indicators_that_share_a_column_keep_their_levels() -> None:
    rng = np.random.default_rng(1)
    smoking = ["never", "former", "current"] * 10
    table = pd.DataFrame(
        {"id": [f"p{k}" for k in range(30)], "year": 0.0, "y": rng.normal(size=30), "smoking": smoking}
    )
    roles = {
        "subject": "id",
        "time": {"column": "year", "unit": "years"},
        "outcomes": {"score": {"column": "y", "unit": "points", "higher_is": "worse"}},
        "covariates": {name: {"column": "smoking", "level": name} for name in ("former", "current")},
    }
    line = dpm.Linear(
        level=dpm.Parameter(dist.Normal(0.0, 1.0), subject=1.0, effects={"former": 5.0, "current": 9.0}),
        slope=dpm.Parameter(0.0),
    )
    given = dpm.ProgressionModel(outcomes={"score": dpm.Outcome(line, dpm.Gaussian(sd=0.1))})
    frame, read = dpm.simulate_cohort(given, dpm.read_cohort(table, roles), n=300, times=(0.0, 1.0), key=KEY)
    drawn = dpm.read_cohort(frame, read).subjects
    assert set(map(tuple, drawn[["former", "current"]].to_numpy())) == {(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)}
    means = frame.groupby("smoking")["y"].mean().sort_values()
    assert list(means.index)[1:] == ["former", "current"]
    assert all(2.0 < high - low < 7.0 for low, high in pairwise(means))


def test_the_same_key_gives_the_same_table_and_another_another() -> None:
    (one, _), (same, _) = _like_small(50, missing=0.3), _like_small(50, missing=0.3)
    pd.testing.assert_frame_equal(one, same)
    other, _ = dpm.simulate_cohort(MODEL, cohort(), n=50, times=TIMES, key=jax.random.key(8), values=TRUTH)
    assert not np.array_equal(one["score"], other["score"])


@pytest.mark.slow
def test_what_is_not_given_is_drawn_once_from_the_prior_and_told() -> None:
    drawn = [
        dpm.simulate_cohort(MODEL, cohort(), n=1, times=TIMES, key=key, values={"score_sd": 0.5})[0].attrs["values"]
        for key in jax.random.split(KEY, 60)
    ]
    assert {values["score_sd"] for values in drawn} == {0.5}
    levels = np.array([values["score_level"] for values in drawn])
    assert abs(levels.mean() - 10.0) < 4 * 5.0 / np.sqrt(60)
    assert 3.0 < levels.std() < 7.0
    assert set(drawn[0]) == set(TRUTH)


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"n": 0}, ": n"),
        ({"times": (0.5, 1.0)}, ": times"),
        ({"times": (0.0, 2.0, 1.0)}, ": times"),
        ({"missing": 1.0}, ": missing"),
        ({"dropout_rate": -0.1}, ": dropout_rate"),
        ({"values": {"level": 1.0}}, "level"),
        ({"values": {"score_sd": -1.0}}, "values.score_sd"),
        ({"values": {"score_level": [1.0, 2.0]}}, "values.score_level"),
    ],
)
def test_what_cannot_be_simulated_is_refused(asked: dict[str, Any], where: str) -> None:
    with pytest.raises(VirtualError, match=where):
        dpm.simulate_cohort(MODEL, cohort(), **{"n": 5, "times": TIMES, "key": KEY, **asked})


def test_a_flat_prior_needs_a_value() -> None:
    def flat(records: dpm.Records) -> None:
        level = numpyro.sample("level", dist.ImproperUniform(dist.constraints.real, (), ()))
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            own = numpyro.sample("own", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", records.time.shape[0], dim=-2):
                noise = dist.Normal(level + own, 0.5).expand(records.time.shape).mask(records.observed["score"])
                numpyro.sample("score", noise, obs=records.values["score"])

    with pytest.raises(VirtualError, match="flat"):
        dpm.simulate_cohort(flat, cohort(), n=5, times=TIMES, key=KEY)
    frame, _ = dpm.simulate_cohort(flat, cohort(), n=5, times=TIMES, key=KEY, values={"level": 100.0})
    assert frame["score"].between(90, 110).all()
