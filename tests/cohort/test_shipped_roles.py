"""The shipped tables read as cohorts in the units of their dictionaries, or are refused as their cards say."""

from typing import Any

import pytest

from dpm.cohort import data_path, load_data, read_cohort
from dpm.errors import CohortError

WEEKS = {"column": "time_weeks", "unit": "weeks"}

ROLES: dict[str, dict[str, Any]] = {
    "actg175": {
        "time": WEEKS,
        "arm": "arm",
        "outcomes": {"cd4": {"column": "cd4", "unit": "cells/mm³", "lower": 0, "higher_is": "better"}},
        "covariates": {
            "age": {"column": "age_years", "unit": "years"},
            "weight": {"column": "weight_kg", "unit": "kg"},
        },
        "subgroups": ["strat"],
    },
    "armd": {
        "time": WEEKS,
        "arm": "arm",
        "outcomes": {
            "acuity": {"column": "visual_acuity", "unit": "letters", "lower": 0, "upper": 100, "higher_is": "better"}
        },
        "covariates": {"lines": {"column": "lines_baseline", "unit": "lines"}},
    },
    "cav": {
        "time": {"column": "time_years", "unit": "years"},
        "outcomes": {"state": {"column": "state", "unit": "grade", "lower": 1, "upper": 4, "higher_is": "worse"}},
        "covariates": {"female": {"column": "sex", "level": "female"}},
    },
    "hiv_actg315": {
        "time": {"column": "time_days", "unit": "days"},
        "outcomes": {"log10_rna": {"column": "log10_rna", "unit": "log10 copies/mL", "higher_is": "worse"}},
    },
    "schizophrenia_nimh": {
        "time": WEEKS,
        "arm": "arm",
        "outcomes": {"imps79": {"column": "imps79", "unit": "points", "lower": 1, "upper": 7, "higher_is": "worse"}},
    },
}

ACTG_EVENT = {
    "first": {
        "column": "event",
        "time": "event_days",
        "unit": "days",
        "censored": "0",
        "types": {"1": "cd4_fall_aids_or_death"},
        "terminal": True,
    }
}


def roles(name: str, **more: Any) -> dict[str, Any]:
    return {"subject": "subject", **ROLES[name], **more}


@pytest.mark.parametrize(
    ("name", "subjects", "visits"), [("actg175", 2139, 5620), ("armd", 240, 1107), ("cav", 622, 2846)]
)
def test_a_set_reads(name: str, subjects: int, visits: int) -> None:
    cohort = read_cohort(data_path(name), roles(name))
    assert (cohort.n_subjects, cohort.n_visits) == (subjects, visits)


@pytest.mark.parametrize(("name", "left"), [("hiv_actg315", 43), ("schizophrenia_nimh", 434)])
def test_a_set_with_late_starters_reads_without_them(name: str, left: int) -> None:
    with pytest.raises(CohortError, match="This concerns 3 of"):
        read_cohort(data_path(name), roles(name))
    table = load_data(name)
    time = ROLES[name]["time"]["column"]
    from_zero = table.groupby("subject")[time].transform("min") == 0
    assert read_cohort(table[from_zero], roles(name)).n_subjects == left


def test_the_event_of_actg175_is_refused_with_later_visits() -> None:
    with pytest.raises(CohortError, match="This concerns 206 of 2,139 subjects"):
        read_cohort(data_path("actg175"), roles("actg175", events=ACTG_EVENT))
    first = {"first": {**ACTG_EVENT["first"], "visits_after": "drop"}}
    cohort = read_cohort(data_path("actg175"), roles("actg175", events=first))
    (dropped,) = cohort.ledger
    assert (len(dropped.rows), dropped.subjects, cohort.n_visits) == (214, 206, 5406)
    assert cohort.events["event"].value_counts().to_dict() == {"censored": 1618, "cd4_fall_aids_or_death": 521}


@pytest.mark.parametrize("name", ["actg175", "armd", "hiv_actg315", "schizophrenia_nimh"])
def test_another_unit_is_refused(name: str) -> None:
    (outcome,) = ROLES[name]["outcomes"]
    other = {outcome: {**ROLES[name]["outcomes"][outcome], "unit": "mg/dL"}}
    with pytest.raises(CohortError, match="that its data dictionary gives"):
        read_cohort(data_path(name), roles(name, outcomes=other))


def test_a_baseline_that_one_patient_lacks() -> None:
    with pytest.raises(CohortError, match=r"an empty cell in row \d+ \(1 of 240 subjects\)"):
        read_cohort(data_path("armd"), roles("armd", subgroups=["lesion_grade"]))
