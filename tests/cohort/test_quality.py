"""Quality tables against closed forms and planted faults."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from dpm.cohort import VisitRule, digit_preference, quality_table, read_cohort, visit_table
from dpm.cohort.digits import recorded_decimals, repeats_expected
from dpm.errors import CohortError

from .tables import SMALL_ROLES

ROWS = [
    # id, day, marker, end of follow-up, event
    ("A", 0, 1.5, 730, "death"),
    ("A", 180, 1.5, 730, "death"),
    ("A", 370, None, 730, "death"),
    ("B", 0, 2.0, 1200, "censored"),
    ("B", 365, 4.25, 1200, "censored"),
]
ROLES = {
    "subject": "id",
    "time": {"column": "day", "unit": "days"},
    "outcomes": {"marker": {"column": "marker", "unit": "mg/dL", "transform": "log", "higher_is": "worse"}},
    "events": {"end": {"column": "event", "time": "end", "unit": "days", "types": ["death"], "terminal": True}},
}


def small() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["id", "day", "marker", "end", "event"])


def marker(**options: object) -> pd.Series:
    table = quality_table(read_cohort(small(), ROLES), **options)
    return table[table["variable"] == "marker"].iloc[0]


def test_counts_by_hand() -> None:
    row = marker()
    assert (row["n"], row["available"], row["subjects_available"]) == (5, 0.8, 1.0)
    assert (row["minimum"], row["median"], row["maximum"], row["decimals"]) == (1.5, 1.75, 4.25, 2)
    assert (row["pairs"], row["repeated"], row["missing"]) == (2, 0.5, "no reason given 1")
    assert np.isnan(row["planned"]) and np.isnan(row["digit_p"])


def test_timing_counts_planned_visits_within_follow_up() -> None:
    """A is due at 0, 0.5 and 1 year (2 years are 730.5 days, half a day late); B at 0, 0.5, 1, 2 and 3."""
    row = marker(schedule=VisitRule(planned=(0.0, 0.5, 1.0, 2.0, 3.0, 4.0), off_schedule_days=30.0))
    assert row["planned"] == 8
    assert row["on_time"] == pytest.approx(4 / 8)  # A at 0 and 0.5, whose visit at 1 has no value; B at 0 and 1
    assert row["deviation_days"] == pytest.approx(np.median([0, 2.625, 0, 0.25]))


def test_sources_apart() -> None:
    table = quality_table(read_cohort(small().assign(study=["x", "x", "x", "y", "y"]), {**ROLES, "study": "study"}))
    rows = table[table["variable"] == "marker"].set_index("source")
    assert rows["n"].to_dict() == {"x": 3, "y": 2}
    assert rows["available"].tolist() == pytest.approx([2 / 3, 1])
    with pytest.raises(CohortError, match="nowhere"):
        quality_table(read_cohort(small(), ROLES), by="nowhere")


def test_visits_by_hand() -> None:
    row = visit_table(read_cohort(small(), ROLES)).iloc[0]
    assert (row["subjects"], row["visits"], row["visits_median"], row["visits_max"]) == (2, 5, 2.5, 3)
    assert row["gap_median"] == pytest.approx(190)
    assert row["padding"] == pytest.approx(1 / 6)
    assert (row["ended"], row["dropped_out"]) == (0.5, 0.5)
    assert row["follow_up_median"] == pytest.approx(1200 / 365.25)


def test_censored_values_are_counted() -> None:
    roles = {**SMALL_ROLES, "outcomes": {"marker": {**ROLES["outcomes"]["marker"], "limits": {"below": 1.8}}}}  # type: ignore[index]
    frame = small().assign(arm="a", age=50, sex="female", stage=1, futime=small()["end"])
    row = quality_table(read_cohort(frame, roles)).set_index("variable").loc["marker"]
    assert row["censored"] == pytest.approx(0.5)
    assert row["pairs"] == 1  # a value at its limit is no repeat


def test_recorded_precision() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(100, 10, 500)
    assert [recorded_decimals(np.round(values, d)) for d in (0, 1, 3)] == [0, 1, 3]
    assert recorded_decimals(np.append(np.round(values, 1), 1.2345)) == 1
    assert recorded_decimals(np.zeros(0)) == -1


DRAWS = {
    "wide": lambda rng: np.round(rng.normal(5000, 900, 1000)),
    "normal": lambda rng: np.round(rng.normal(100, 10, 1000)),
    "exponential": lambda rng: np.ceil(rng.exponential(40, 1000)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_digit_preference_is_calibrated(name: str) -> None:
    rng = np.random.default_rng(7)
    p = np.array([digit_preference(DRAWS[name](rng)).p for _ in range(300)])
    for level in (0.05, 0.5):
        assert binomtest(int((p < level).sum()), len(p), level).pvalue > 0.01


@pytest.mark.parametrize("name", DRAWS)
def test_planted_digit_preference_is_found(name: str) -> None:
    rng = np.random.default_rng(3)
    values = DRAWS[name](rng)
    rounded = np.where(rng.random(len(values)) < 0.2, np.round(values, -1), values)
    found = digit_preference(rounded)
    assert (found.digit, found.decimals) == (0, 0)
    assert found.share == pytest.approx(0.1 + 0.2 * 0.9, abs=0.05)
    assert found.p < 1e-6


def test_narrow_values_are_not_judged() -> None:
    assert np.isnan(digit_preference(np.random.default_rng(1).integers(0, 8, 500).astype(float)).p)


def test_repeats_by_chance_and_planted() -> None:
    rng = np.random.default_rng(5)
    steps = np.round(rng.normal(0, 8, 40_000)).astype(np.int64)
    chance = 1 / (8 * np.sqrt(2 * np.pi))
    assert repeats_expected(steps) == pytest.approx(chance, abs=0.005)
    copied = np.where(rng.random(len(steps)) < 0.1, 0, steps)
    excess = np.mean(copied == 0) - repeats_expected(copied)
    assert excess == pytest.approx(0.1, abs=0.012)
