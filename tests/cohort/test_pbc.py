"""The shipped PBC trial reads to its published counts."""

import numpy as np
import pandas as pd
import pytest
from jax import numpy as jnp

from dpm.cohort import Cohort, Encodings, VisitRule, baseline_table, flow_table, load_data, read_cohort

from .tables import PBC_ROLES

FILE = "data:pbc/pbc_longitudinal.csv"


@pytest.fixture(scope="module")
def pbc() -> Cohort:
    return read_cohort(FILE, PBC_ROLES)


def test_counts(pbc: Cohort) -> None:
    assert (pbc.n_subjects, pbc.n_visits) == (312, 1945)
    assert pbc.events["event"].value_counts().to_dict() == {"censored": 143, "death": 140, "transplant": 29}
    assert pbc.arms.to_dict() == {"dpenicillamine": 158, "placebo": 154}
    placebo = pbc.where(arm="placebo")
    assert (placebo.n_subjects, len(placebo.events), placebo.n_visits) == (154, 154, 967)
    assert set(placebo.visits["subject"]) == set(placebo.events["subject"]) == set(placebo.subjects.index)
    assert pbc.visits["cholesterol"].isna().sum() == 821
    assert "312 subjects (dpenicillamine 158, placebo 154), 1,945 visits" in repr(pbc)


def test_values_are_those_of_the_file(pbc: Cohort) -> None:
    raw = load_data("pbc/pbc_longitudinal.csv")
    assert pbc.visits["subject"].tolist() == raw["id"].astype(str).tolist()
    np.testing.assert_array_equal(pbc.visits["time"], raw["day"] / 365.25)
    np.testing.assert_array_equal(pbc.visits["log_bilirubin"], np.log(raw["bilirubin"]))
    np.testing.assert_array_equal(pbc.visits["row"], np.arange(len(raw)) + 2)
    first = raw[raw["day"] == 0]
    np.testing.assert_array_equal(pbc.subjects["female"], first["sex"] == "female")
    np.testing.assert_array_equal(pbc.subjects["log_albumin"], np.log(first["albumin"]))
    assert pbc.subjects["edema"].cat.categories.tolist() == ["0", "0.5", "1"]
    assert pbc.sources[0].file == "pbc_longitudinal.csv"
    assert pbc.sources[0].rows == 1945


def test_records(pbc: Cohort) -> None:
    records = pbc.records()
    visits = int(pbc.visits.groupby("subject").size().max())
    assert records.time.shape == (visits, 312)
    assert records.time.dtype == jnp.float64
    assert records.n_subjects == 312
    assert {name: int(mask.sum()) for name, mask in records.observed.items()} == {
        "log_bilirubin": 1945,
        "cholesterol": 1124,
    }
    assert records.groups["stage"].sum(axis=1).tolist() == [16, 67, 120, 109]
    assert float(records.covariates["age"].mean()) == pytest.approx(0, abs=1e-12)
    assert float(jnp.std(records.covariates["age"], ddof=1)) == pytest.approx(1)
    assert set(np.unique(records.covariates["female"])) == {0.0, 1.0}


def test_visits_made_because_the_patient_was_dying(pbc: Cohort) -> None:
    terminal = pbc.terminal_visits(VisitRule(within_days=90.0, off_schedule_days=60.0))
    assert int(terminal.sum()) == 40
    assert (pbc.visits.loc[terminal, "time"] > 0).all()
    kept = pbc.drop_visits(terminal, "terminal visit")
    assert (kept.n_subjects, kept.n_visits) == (312, 1905)
    assert kept.terminal_visits(VisitRule()).sum() == 0


def test_terminal_visits_by_hand(pbc: Cohort) -> None:
    """The rule once more, visit by visit."""
    raw = load_data("pbc/pbc_longitudinal.csv")
    planned = [0, 0.5, *range(1, 31)]
    expected = [
        event != "censored" and end - day <= 90 and min(abs(day - 365.25 * p) for p in planned) > 60
        for day, end, event in zip(raw["day"], raw["futime_days"], raw["event"], strict=True)
    ]
    assert pbc.terminal_visits(VisitRule()).tolist() == expected


def test_attrition_adds_up(pbc: Cohort) -> None:
    placebo = pbc.where(arm="placebo")
    last = placebo.drop_visits(placebo.terminal_visits(VisitRule()), "terminal visit").until(5.0)
    last = last.exclude(last.subjects.index[:3], "protocol violation")
    table = flow_table(last)
    assert table.columns.tolist() == ["step", "reason", "arm", "patients", "visits"]
    kept = table[table["reason"] == ""].groupby("step", sort=False)[["patients", "visits"]].sum()
    lost = table[table["reason"] != ""].groupby("step", sort=False)[["patients", "visits"]].sum()
    assert kept.iloc[0].tolist() == [312, 1945]
    for step, before in zip(kept.index[1:], kept.index[:-1], strict=True):
        assert (kept.loc[before] - lost.loc[step] == kept.loc[step]).all(), step
    assert kept.iloc[-1].tolist() == [last.n_subjects, last.n_visits]
    assert set(table["reason"]) == {"", "other arm", "terminal visit", "after 5 years", "protocol violation"}


def test_baseline_table_against_published_and_direct_numbers(pbc: Cohort) -> None:
    table = baseline_table(pbc)
    assert table.columns.tolist() == ["variable", "unit", "statistic", "dpenicillamine", "placebo", "smd"]
    rows = table.set_index("variable")
    assert rows.loc["subjects", ["dpenicillamine", "placebo"]].tolist() == ["158", "154"]
    assert rows.loc["age", ["dpenicillamine", "placebo"]].tolist() == ["51.4 (11.0)", "48.6 (9.96)"]
    assert rows.loc["sex: female", "placebo"] == "139 (90.3 %)"
    assert rows.loc["Serum bilirubin", ["unit", "statistic"]].tolist() == ["mg/dL", "median (Q1, Q3)"]
    assert rows.loc["cholesterol: missing", "placebo"] == "10 (6.5 %)"
    raw = load_data("pbc/pbc_longitudinal.csv").query("day == 0")
    one, two = raw.query("arm == 'dpenicillamine'"), raw.query("arm == 'placebo'")
    age = (one["age"].mean() - two["age"].mean()) / np.sqrt((one["age"].var() + two["age"].var()) / 2)
    assert rows.loc["age", "smd"] == pytest.approx(age)
    p, q = (one["stage"] == 4).mean(), (two["stage"] == 4).mean()
    share = (p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert rows.loc["stage: 4", "smd"] == pytest.approx(share)
    median = two["bilirubin"].median()
    assert str(rows.loc["Serum bilirubin", "placebo"]).startswith(f"{median:.2f}")


def test_baseline_table_of_more_than_two_columns_has_no_difference(pbc: Cohort) -> None:
    table = baseline_table(pbc, by="stage")
    assert table.columns.tolist()[3:-1] == ["1", "2", "3", "4"]
    assert table["smd"].isna().all()
    assert not table["variable"].str.startswith("stage").any()


def test_encodings_of_one_arm_replay_on_the_other(pbc: Cohort) -> None:
    placebo, treated = pbc.where(arm="placebo"), pbc.where(arm="dpenicillamine")
    learned = Encodings.learn(placebo)
    ages = treated.subjects["age"].to_numpy()
    mine = placebo.subjects["age"]
    np.testing.assert_allclose(treated.records(learned).covariates["age"], (ages - mine.mean()) / mine.std())
    assert abs(float(treated.records(learned).covariates["age"].mean())) > 0.1


def test_a_reader_sees_nothing_change(pbc: Cohort) -> None:
    before = pbc.visits.copy(deep=True)
    pbc.where(arm="placebo").until(1.0).records()
    pbc.after(1.0)
    pd.testing.assert_frame_equal(pbc.visits, before)
    assert len(pbc.flow) == 2
