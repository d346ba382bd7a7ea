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
    with pytest.raises(StudyError, match="a file, or sources"):
        read_study(study)
