"""Clocks beside study time, and factors of visits: what a model is given of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from jax import numpy as jnp

from dpm.cohort import Cohort, IndexRule, read_cohort, read_written, write_cohort
from dpm.cohort.encodings import Encodings
from dpm.errors import CohortError

FRAME = pd.DataFrame(
    {
        "id": ["A", "A", "A", "B", "B"],
        "month": [0.0, 12.0, 24.0, 0.0, 6.0],
        "y": [1.0, 2.0, 5.0, 5.0, 6.0],
        "age": [60.0, 60.0, 60.0, 70.0, 70.0],
        "year": [2001.0, 2002.0, 2003.0, 2010.0, 2010.5],
        "where": ["clinic", "clinic", "home", "clinic", "home"],
    }
)
ROLES: dict[str, Any] = {
    "subject": "id",
    "time": {"column": "month", "unit": "months"},
    "outcomes": {"y": {"column": "y", "unit": "1", "higher_is": "worse"}},
    "clocks": {"age": {"column": "age"}, "calendar": {"column": "year", "of": "visit"}},
    "mode": "where",
}


def test_a_clock_moves_with_time_zero() -> None:
    cohort = read_cohort(FRAME, ROLES)
    assert cohort.records().origins["age"].tolist() == [60, 70]
    moved = read_cohort(FRAME, ROLES, index=IndexRule(eligible={"high": "y >= 5"}))
    assert moved.records().origins["age"].tolist() == [62, 70]
    assert moved.records().origins["calendar"].tolist() == [2003, 2010]


def test_a_clock_of_the_subject_is_the_same_in_every_row() -> None:
    changing = {**ROLES, "clocks": {"calendar": {"column": "year"}}}
    with pytest.raises(CohortError, match="one value per subject"):
        read_cohort(FRAME, changing)
    with pytest.raises(CohortError, match="clock age"):
        read_cohort(FRAME.assign(age=[np.nan, 60.0, 60.0, 70.0, 70.0]), ROLES)


def test_modes_are_one_hot_and_replay() -> None:
    cohort = read_cohort(FRAME, ROLES)
    encodings = Encodings.learn(cohort)
    assert encodings.factors == {"mode": ("clinic", "home")}
    assert cohort.records().levels["mode"][:, :, 0].tolist() == [[1, 1, 0], [0, 0, 1]]
    again = Encodings.from_dict(encodings.to_dict())
    assert again == encodings
    elsewhere = read_cohort(FRAME.assign(where="device"), ROLES)
    with pytest.raises(CohortError, match=r"one of the levels met at the fit: clinic, home, got 'device' \(5 of 5"):
        elsewhere.records(encodings)
    planned = cohort.records().at(jnp.zeros((4, 2)))
    assert planned.levels["mode"][0].min() == 1


def test_two_parts_may_be_measured_at_one_time() -> None:
    eyes = pd.concat([FRAME.assign(eye="left"), FRAME.assign(eye="right", y=FRAME["y"] + 1)])
    eyes = eyes.sort_values(["id", "month"], kind="stable")
    with pytest.raises(CohortError, match="one row per subject and visit"):
        read_cohort(eyes, ROLES)
    cohort = read_cohort(eyes, {**ROLES, "part": "eye"})
    records = cohort.records()
    assert records.time.shape == (6, 2)
    assert records.levels["part"][:, :, 0].sum(axis=1).tolist() == [3, 3]
    with pytest.raises(CohortError, match="one row per subject and visit"):
        read_cohort(pd.concat([eyes, eyes.iloc[[-1]]]), {**ROLES, "part": "eye"})


def same(one: Cohort, other: Cohort) -> None:
    pd.testing.assert_frame_equal(one.subjects, other.subjects)
    hidden = ["file", "row"]
    pd.testing.assert_frame_equal(
        one.visits.drop(columns=hidden), other.visits.drop(columns=hidden), check_categorical=False
    )


def test_clocks_and_parts_come_back_from_a_file(tmp_path: Any) -> None:
    eyes = pd.concat([FRAME.assign(eye="left"), FRAME.assign(eye="right", y=FRAME["y"] + 1)])
    cohort = read_cohort(eyes.sort_values(["id", "month"], kind="stable"), {**ROLES, "part": "eye"})
    write_cohort(cohort, tmp_path / "eyes.csv")
    same(read_written(tmp_path / "eyes.csv"), cohort)
