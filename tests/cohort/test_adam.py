"""ADaM data sets read as their records say, and what they cannot say is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyreadstat
import pytest

from dpm.cohort import Tables, read_adam, read_cohort
from dpm.errors import CohortError

ADSL = """STUDYID,USUBJID,SITEID,TRT01P,AGE,SEX
ST1,ST1-001,10,Drug,64,F
ST1,ST1-002,20,Placebo,71,M
ST1,ST1-003,20,Placebo,58,F
"""
ADLB = """USUBJID,PARAMCD,PARAM,AVAL,AVALC,AVALU,ADY,AVISIT,AVISITN,ABLFL,ANL01FL
ST1-002,BILI,Bilirubin,1.5,1.5,mg/dL,1,Baseline,0,Y,Y
ST1-002,BILI,Bilirubin,0.3,<0.3,mg/dL,29,Week 4,4,,Y
ST1-001,BILI,Bilirubin,2.5,2.5,mg/dL,1,Baseline,0,Y,Y
ST1-001,BILI,Bilirubin,2.9,2.9,mg/dL,1,Baseline,0,,
ST1-001,BILI,Bilirubin,4.5,4.5,mg/dL,57,Week 8,8,,Y
"""
ADQS = """USUBJID,PARAMCD,PARAM,AVAL,ADY,ABLFL,ANL01FL
ST1-001,TOTAL,Total score (points),40,1,Y,Y
ST1-001,TOTAL,Total score (points),.,57,,Y
ST1-002,TOTAL,Total score (points),31,1,Y,Y
ST1-002,TOTAL,Total score (points),30,30,,Y
"""
ADTTE = """USUBJID,PARAMCD,PARAM,AVAL,CNSR,EVNTDESC,STARTDT
ST1-001,OS,Overall survival (days),900,0,Death,2020-01-01
ST1-002,OS,Overall survival (days),800,2,Lost to follow-up,2020-01-01
ST1-001,PFS,Progression (days),300,0,Progression,2020-01-01
ST1-002,PFS,Progression (days),800,1,No progression,2020-01-01
"""
ROLES: dict[str, Any] = {
    "subject": "USUBJID",
    "time": {"column": "DAY", "unit": "days"},
    "arm": "TRT01P",
    "study": "STUDYID",
    "site": "SITEID",
    "occasion": "AVISIT",
    "outcomes": {
        "bili": {"column": "BILI", "unit": "umol/L", "higher_is": "worse", "limits": {"signs": True}},
        "total": {"column": "TOTAL", "unit": "points", "higher_is": "better"},
    },
    "covariates": {"age": {"column": "AGE", "unit": "years"}, "female": {"column": "SEX", "level": "F"}},
    "events": {
        "death": {"where": "PARAMCD == OS", "column": "CNSR01", "time": "AVAL", "unit": "days", "censored": "1",
                  "types": {"0": "death"}, "terminal": True},
        "progression": {"where": "PARAMCD == PFS", "column": "EVENT", "time": "AVAL", "unit": "days",
                        "types": {"Progression": "progression"}},
    },
}  # fmt: skip
FILES = {"adsl": ADSL, "adlb": ADLB, "adqs": ADQS, "adtte": ADTTE}


def mgdl() -> dict[str, Any]:
    """The roles without a conversion of units."""
    bili = {**ROLES["outcomes"]["bili"], "unit": "mg/dL"}
    return {**ROLES, "outcomes": {**ROLES["outcomes"], "bili": bili}}


def read(folder: Path, suffix: str = ".csv", **options: Any) -> Tables:
    adsl, adlb, adqs, adtte = (folder / f"{name}{suffix}" for name in FILES)
    return read_adam(adsl, [adlb, adqs], adtte, **options)


def written(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **changed}.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def as_transport(folder: Path) -> None:
    """The same data sets as SAS transport files."""
    for name in FILES:
        frame = pd.read_csv(folder / f"{name}.csv", na_values=["."], keep_default_na=False, dtype={"SITEID": str})
        for column in ("AVAL", "AVISITN"):
            if column in frame:
                frame[column] = pd.to_numeric(frame[column])
        pyreadstat.write_xport(frame, str(folder / f"{name}.xpt"), table_name=name.upper(), file_format_version=5)


@pytest.mark.parametrize("suffix", [".csv", ".xpt"])
def test_data_sets_become_a_cohort(suffix: str, tmp_path: Path) -> None:
    written(tmp_path)
    as_transport(tmp_path)
    cohort = read_cohort(read(tmp_path, suffix), mgdl())
    visits = cohort.visits
    assert visits["subject"].tolist() == ["ST1-001", "ST1-001", "ST1-002", "ST1-002", "ST1-002"]
    assert (visits["time"] * 365.25).round(9).tolist() == [0, 56, 0, 28, 29]
    assert visits["bili"].fillna(-1).tolist() == [2.5, 4.5, 1.5, 0.3, -1]
    assert visits["bili_censored"].tolist() == ["", "", "", "below", ""]
    assert visits["total"].fillna(-1).tolist() == [40, -1, 31, -1, 30]
    assert visits["occasion"].tolist() == ["Baseline", "Week 8", "Baseline", "Week 4", ""]
    assert cohort.subjects["age"].tolist() == [64, 71]
    assert cohort.subjects["arm"].tolist() == ["Drug", "Placebo"]
    assert cohort.events["event"].tolist() == ["death", "censored", "progression", "censored"]
    rules = {line.rule: (len(line.rows), line.subjects) for line in cohort.ledger}
    assert rules["records without ANL01FL = Y"] == (1, 1)
    assert rules["subjects of ADSL without a record"] == (1, 1)
    assert rules["CNSR 2 are read as censored (CNSR01 = 1)"] == (1, 1)


def test_every_cell_keeps_its_record(tmp_path: Path) -> None:
    visits = read(written(tmp_path)).visits
    assert visits.place("BILI", 0) == (str(tmp_path / "adlb.csv"), 4)
    assert visits.place("TOTAL", 0) == (str(tmp_path / "adqs.csv"), 2)
    assert visits.place("AGE", 0) == (str(tmp_path / "adsl.csv"), 2)
    assert visits.units == {"DAY": "days", "BILI": "mg/dL", "TOTAL": "points"}


def test_a_parameter_is_converted_from_its_unit(tmp_path: Path) -> None:
    quiet = ADLB.replace("<0.3", "0.3").replace("mg/dL", "g/L")
    roles = mgdl()
    cohort = read_cohort(read(written(tmp_path, adlb=quiet)), roles)
    assert cohort.visits["bili"].tolist()[0] == pytest.approx(250)


def test_a_baseline_before_day_1_is_refused_or_moved_as_declared(tmp_path: Path) -> None:
    early = ADLB.replace("mg/dL,1,Baseline,0,Y", "mg/dL,-3,Baseline,0,Y", 1)
    written(tmp_path, adlb=early)
    with pytest.raises(CohortError, match="baseline records"):
        read(tmp_path)
    tables = read(tmp_path, baseline_window=7)
    assert tables.visits.number("DAY").tolist() == [0, 56, 0, 28, 29]
    assert next(line.rule for line in tables.ledger if line.kind == "edit").startswith("baseline records up to 7 days")
