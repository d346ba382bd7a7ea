"""Overlap of sources against analytic normals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, ncx2, norm

from dpm.cohort import Cohort, compare_sources, joint_support, read_cohort, representativeness
from dpm.cohort.comparability import left_out_distances
from dpm.errors import CohortError

ROLES = {
    "subject": "id",
    "time": {"column": "day", "unit": "days"},
    "era": "era",
    "outcomes": {"y": {"column": "y", "unit": "points", "higher_is": "worse"}},
    "covariates": {
        "x": {"column": "x", "unit": "1", "missing": "keep"},
        "female": {"column": "sex", "level": "female", "levels": ["female", "male"]},
    },
}


def cohort(shift: float, *, seed: int, era: str = "old", n: int = 20_000, sex: str = "female") -> Cohort:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.arange(n), "day": 0, "y": rng.normal(0, 1, n), "x": rng.normal(shift, 1, n)})
    frame["sex"] = np.where(rng.random(n) < 0.5, sex, "male")
    return read_cohort(frame.assign(era=era), ROLES)


def test_overlap_of_normals() -> None:
    found = compare_sources(cohort(0, seed=1), cohort(1, seed=2, era="new"))
    row = found.covariates.set_index("variable").loc["x"]
    edge = norm.ppf(0.99)
    assert row["outside_percentiles"] == pytest.approx(norm.sf(edge - 1) + norm.cdf(-edge - 1), abs=0.01)
    assert row["smd"] == pytest.approx(-1, abs=0.03)
    eras = found.levels.set_index(["label", "level"])
    assert eras.loc[("era", "old"), ["share_a", "share_b"]].tolist() == [1, 0]


def test_joint_support_of_normals() -> None:
    rng = np.random.default_rng(4)
    a, b = (pd.DataFrame(rng.normal(0, 1, (20_000, 3)), columns=list("pqr")) for _ in range(2))
    same, moved = joint_support(a, b), joint_support(a, b + 1)
    limit = chi2.ppf(0.975, 3)
    assert same.limit == pytest.approx(limit, rel=0.03)
    assert same.outside == pytest.approx(0.025, abs=0.004)
    assert moved.outside == pytest.approx(ncx2.sf(limit, 3, 3), abs=0.015)


def test_left_out_distances_equal_leaving_out() -> None:
    x = np.random.default_rng(2).normal(size=(12, 2))
    direct = []
    for i in range(len(x)):
        others = np.delete(x, i, axis=0)
        away = x[i] - others.mean(axis=0)
        direct.append(away @ np.linalg.inv(np.cov(others, rowvar=False)) @ away)
    np.testing.assert_allclose(left_out_distances(x), direct, rtol=1e-10)


def test_missing_values_are_counted_and_not_judged() -> None:
    rng = np.random.default_rng(4)
    a, b = (pd.DataFrame(rng.normal(0, 1, (200, 2)), columns=list("pq")) for _ in range(2))
    b.loc[:49, "p"] = np.nan
    found = joint_support(a, b)
    assert (found.n_a, found.n_b, found.incomplete_b) == (200, 150, 50)
    assert "determine" in joint_support(a.assign(r=a["p"] + a["q"]), b.assign(r=0.0)).note
    assert np.isnan(joint_support(a.head(8), b).outside)


def test_a_level_that_a_lacks_is_outside() -> None:
    found = compare_sources(cohort(0, seed=1, n=50, sex="male"), cohort(0, seed=2, n=50))
    row = found.covariates.set_index("variable").loc["female"]
    assert row["outside_range"] == row["median_b"] > 0


def test_representativeness() -> None:
    source = cohort(0, seed=1)
    target = pd.DataFrame({"x": np.random.default_rng(3).normal(0.5, 1, 20_000)})
    rows = representativeness(source, target).set_index("variable")
    assert rows.loc["x", "smd"] == pytest.approx(-0.5, abs=0.03)
    assert rows.loc["all together", "outside_joint"] == pytest.approx(
        norm.sf(2.2414 - 0.5) + norm.cdf(-2.7414), abs=0.01
    )
    means = representativeness(source, pd.Series({"x": 0.5})).set_index("variable")
    assert means.loc["x", "smd"] == pytest.approx(-0.5, abs=0.03) and np.isnan(means.loc["x", "outside_range"])
    with pytest.raises(CohortError, match="height"):
        representativeness(source, pd.Series({"height": 170.0}))
