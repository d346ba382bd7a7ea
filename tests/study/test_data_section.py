"""The data section of a study file: several files, rules, an index date; all of it read and hashed."""

from pathlib import Path

import pandas as pd
import pytest

from dpm.errors import StudyError
from dpm.study.materials import Materials
from dpm.study.read import read_study

from .example import write_study

SUBJECTS = "id,arm,stage,event,futime\nA1,active,1,death,900\nB2,placebo,2,censored,1200\n"
VISITS = "id,day,marker\nA1,0,2.5\nA1,180,3.0\nB2,0,1.5\nB2,200,2.0\nB2,400,999\n"


def materials(study: Path) -> Materials:
    return Materials(file=read_study(study), run=study.parent / "run")


def split(folder: Path, extra: str = "") -> Path:
    """The small study with its subjects in a table of their own."""
    study = write_study(folder, {'file = "patients.csv"': f'file = "visits.csv"\nsubjects = "subjects.csv"\n{extra}'})
    (folder / "visits.csv").write_text(VISITS, encoding="utf-8")
    (folder / "subjects.csv").write_text(SUBJECTS, encoding="utf-8")
    return study


def test_two_tables_a_rule_and_an_index_date(tmp_path: Path) -> None:
    rule = '{ when = "marker > 900", do = "drop rows", reason = "code for not done" }'
    extra = f'rules = [{rule}]\nindex = {{ eligible = {{ "marker from 2 mg/dL" = "marker >= 2" }} }}'
    of = materials(split(tmp_path, extra))
    cohort = of.cohort
    assert [(line.kind, line.reason, line.rows) for line in cohort.ledger] == [
        ("exclude rows", "code for not done", (("visits.csv", 6),))
    ]
    assert cohort.visits["subject"].tolist() == ["A1", "A1", "B2"]
    assert cohort.visits["time"].tolist() == pytest.approx([0.0, 180 / 365.25, 0.0])
    assert cohort.history["subject"].tolist() == ["B2"]
    assert cohort.events.set_index("subject")["time"].to_dict() == pytest.approx(
        {"A1": 900 / 365.25, "B2": 1000 / 365.25}
    )
    assert set(of.data_sha256) == {"visits.csv", "subjects.csv"}


def test_sources_are_stacked(tmp_path: Path) -> None:
    spec = """
[data.sources.registry]
file = "registry.csv"
rename = { bili = "marker" }
units = { marker = "g/L" }
[data.sources.trial]
file = "patients.csv"
"""
    study = write_study(
        tmp_path, {'[data]\nfile = "patients.csv"\n': spec, 'subject = "id"': 'subject = "id"\nstudy = "study"'}
    )
    frame = pd.read_csv(tmp_path / "patients.csv")
    frame.assign(marker=frame["marker"] / 100).rename(columns={"marker": "bili"}).to_csv(
        tmp_path / "registry.csv", index=False
    )
    cohort = materials(study).cohort
    assert cohort.subjects["study"].astype(str).to_dict() == {
        "registry/A1": "registry",
        "registry/B2": "registry",
        "trial/A1": "trial",
        "trial/B2": "trial",
    }
    marker = cohort.visits["marker"].to_numpy()
    assert marker[:4] == pytest.approx(marker[4:])
    assert [line.kind for line in cohort.ledger] == ["convert"]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ('rules = [{ when = "marker >> 2", do = "drop rows", reason = "x" }]', "data.rules"),
        ('rules = [{ when = "marker > 2", do = "drop rows" }]', "reason"),
        ('index = { time_zero = "someday" }', "data.index.time_zero"),
        ('index = { eligible = { a = "marker" } }', "data.index"),
        ('events = "none.csv"', "data.events"),
    ],
)
def test_what_the_section_refuses(tmp_path: Path, extra: str, expected: str) -> None:
    with pytest.raises(StudyError, match=expected.replace(".", r"\.")):
        _ = materials(split(tmp_path, extra)).cohort


def test_a_file_and_sources_are_one_too_many(tmp_path: Path) -> None:
    study = split(tmp_path, '\n[data.sources.more]\nfile = "visits.csv"')
    with pytest.raises(StudyError, match="one of file, sources, adam, nonmem"):
        read_study(study)


def test_adam_data_sets(tmp_path: Path) -> None:
    adam = 'adam = { adsl = "adsl.csv", bds = ["adlb.csv"], adtte = "adtte.csv" }'
    roles = {
        'subject = "id"\narm = "arm"\nsubgroups = ["stage"]': 'subject = "USUBJID"\narm = "TRT01P"',
        '{ column = "day", unit = "days" }': '{ column = "DAY", unit = "days" }',
        'column = "marker"': 'column = "MARK"',
        'events.end = { column = "event", time = "futime"': 'events.end = { column = "CNSR01", time = "AVAL"',
        'types = ["death"]': 'censored = "1", types = { 0 = "death" }',
        'subgroups = ["stage"]\n\n[[estimand]]': "\n[[estimand]]",
    }
    study = write_study(tmp_path, {'file = "patients.csv"': adam, **roles})
    (tmp_path / "adsl.csv").write_text("USUBJID,TRT01P\nA1,active\nB2,placebo\n", encoding="utf-8")
    rows = "A1,MARK,Marker (mg/dL),2.5,1\nA1,MARK,Marker (mg/dL),3,181\nB2,MARK,Marker (mg/dL),1.5,1\n"
    (tmp_path / "adlb.csv").write_text(f"USUBJID,PARAMCD,PARAM,AVAL,ADY\n{rows}", encoding="utf-8")
    events = "A1,DTH,Death (days),900,0\nB2,DTH,Death (days),1200,1\n"
    (tmp_path / "adtte.csv").write_text(f"USUBJID,PARAMCD,PARAM,AVAL,CNSR\n{events}", encoding="utf-8")
    cohort = materials(study).cohort
    assert cohort.visits["time"].tolist() == pytest.approx([0.0, 180 / 365.25, 0.0])
    assert cohort.ends["event"].tolist() == ["death", "censored"]


def test_a_nonmem_data_set(tmp_path: Path) -> None:
    nonmem = 'nonmem = { file = "pk.csv", names = { 1 = "conc" } }'
    roles = {
        'subject = "id"\narm = "arm"\nsubgroups = ["stage"]': 'subject = "ID"\narm = "ARM"',
        '{ column = "day", unit = "days" }': '{ column = "TIME", unit = "days" }',
        'column = "marker"': 'column = "conc"',
        'events.end = { column = "event", time = "futime", unit = "days", types = ["death"], terminal = true }\n': "",
        "intercurrent": "# intercurrent",
        'subgroups = ["stage"]\n\n[[estimand]]': "\n[[estimand]]",
    }
    study = write_study(tmp_path, {'file = "patients.csv"': nonmem, **roles})
    rows = "1,active,0,.,100,1\n1,active,0.5,2.5,.,0\n2,placebo,0,.,100,1\n2,placebo,1,1.5,.,0\n"
    (tmp_path / "pk.csv").write_text(f"ID,ARM,TIME,DV,AMT,EVID\n{rows}", encoding="utf-8")
    cohort = materials(study).cohort
    assert cohort.n_subjects == 2 and cohort.visits["marker"].notna().sum() == 2
    assert [line.rule for line in cohort.ledger] == ["records that are no observation (EVID, or AMT without DV)"]
