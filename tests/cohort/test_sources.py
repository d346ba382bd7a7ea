"""Several files, one cohort: what is stacked, what is joined, and where a wrong cell stands."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dpm.cohort import Cohort, SourceFile, read_cohort
from dpm.errors import CohortError

ONE = "id,day,marker,age\n1,0,10,50\n1,30,12,50\n2,0,20,60\n"
TWO = "patient,day,bili,age\n1,0,300,70\n3,0,400,\n3,60,500,\n"
ROLES: dict[str, Any] = {
    "subject": "id",
    "study": "study",
    "time": {"column": "day", "unit": "days"},
    "outcomes": {"marker": {"column": "marker", "unit": "g/L", "lower": 0, "upper": 100, "higher_is": "worse"}},
    "covariates": {"age": {"column": "age", "unit": "years", "missing": "keep"}},
}
ALONE = {key: value for key, value in ROLES.items() if key != "study"}
RENAME = {"patient": "id", "bili": "marker"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sources, in folders of their own under one name."""
    for name, text in (("one", ONE), ("two", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "visits.csv").write_text(text)
    return tmp_path


def stacked(folder: Path, roles: dict[str, Any] = ROLES, *, first: dict[str, Any] | None = None, **more: Any) -> Cohort:
    second = {"rename": RENAME, "units": {"marker": "mg/dL"}, **(more.pop("second", {}))}
    sources = {
        "a": SourceFile(file=folder / "one" / "visits.csv", **(first or {})),
        "b": SourceFile(file=folder / "two" / "visits.csv", **second),
    }
    return read_cohort(sources, roles, **more)


def test_sources_are_stacked_under_their_names(folder: Path) -> None:
    cohort = stacked(folder)
    assert cohort.subjects.index.tolist() == ["a/1", "a/2", "b/1", "b/3"]
    assert cohort.subjects["study"].astype(str).tolist() == ["a", "a", "b", "b"]
    assert cohort.visits["marker"].tolist() == pytest.approx([10, 12, 20, 3, 4, 5])
    assert cohort.visits["row"].tolist() == [2, 3, 4, 2, 3, 4]
    assert [source.rows for source in cohort.sources] == [3, 3]
    (line,) = cohort.ledger
    assert (line.kind, line.subjects, len(line.rows)) == ("convert", 2, 3)
    assert cohort.where(study="b").n_subjects == 2


def test_a_column_that_a_source_lacks_is_said_to_be_absent(folder: Path) -> None:
    path = folder / "two" / "visits.csv"
    path.write_text(TWO.replace(",age", ",years"))
    with pytest.raises(CohortError, match=r"two.visits\.csv: age: expected a column 'age', got none"):
        stacked(folder)
    cohort = stacked(folder, second={"absent": ("age",)})
    assert cohort.subjects["age"].isna().tolist() == [False, False, True, True]
    assert cohort.subjects["age"].tolist()[:2] == [50, 60]
    with pytest.raises(CohortError, match=r"sources\.a: absent: expected columns that .* lacks, got 'age'"):
        stacked(folder, first={"absent": ("age",)}, second={"absent": ("age",)})


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"rename": {"patient": "id"}}, "a column 'marker'"),
        ({"rename": {**RENAME, "nobody": "x"}}, "a column 'nobody'"),
        ({"rename": {**RENAME, "day": "age"}}, "each column once, got two columns of this name after renaming"),
        ({"units": {"marker": "mmol/L"}}, "marker: expected the unit 'mmol/L'"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(second: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(CohortError, match=message):
        stacked(folder, second=second)


def test_sources_need_a_study(folder: Path) -> None:
    with pytest.raises(CohortError, match="roles: study: expected a column for the name of each source"):
        stacked(folder, ALONE)
    with pytest.raises(CohortError, match="at least one source, got none"):
        read_cohort({}, ROLES)


def test_an_error_in_a_stacked_table_names_the_file_and_line(folder: Path) -> None:
    (folder / "two" / "visits.csv").write_text(TWO.replace("400", "99000"))
    with pytest.raises(CohortError, match=r"two.visits\.csv: marker: expected g/L in .*, got 990.* in row 3 \(1 of 6"):
        stacked(folder)
    (folder / "two" / "visits.csv").write_text(TWO.replace("1,0,300", ",0,300"))
    with pytest.raises(CohortError, match=r"two.visits\.csv: id: expected a subject in every row, got .* in row 2"):
        stacked(folder)


def test_files_of_one_name_stay_apart_in_the_ledger(folder: Path) -> None:
    rules = [{"when": "day == 0", "do": "set", "column": "age", "value": 40, "reason": "for the test"}]
    cohort = stacked(folder, rules=rules)
    assert cohort.ledger[-1].rows == tuple(("visits.csv", line) for line in (2, 4, 2, 3))


PEOPLE = "code,id,age,sex\nx,2,60,f\ny,1,50,m\n"


def joined(folder: Path, people: str = PEOPLE, visits: str = "id,day,marker\n1,0,10\n1,30,12\n2,0,20\n") -> Cohort:
    (folder / "visits.csv").write_text(visits)
    (folder / "people.csv").write_text(people)
    return read_cohort(folder / "visits.csv", ALONE, subjects=folder / "people.csv")


def test_subjects_are_joined_to_their_visits(folder: Path) -> None:
    cohort = joined(folder)
    assert cohort.subjects["age"].to_dict() == {"1": 50, "2": 60}
    assert [source.file for source in cohort.sources] == ["visits.csv", "people.csv"]


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (PEOPLE.replace("60", "old"), r"people\.csv: age: expected numbers, got the text 'old' in row 2"),
        (PEOPLE + "z,1,51,m\n", r"people\.csv: id: expected one row per subject, got 1 in row 4 \(1 of 3 rows\)"),
        (PEOPLE + "z,7,51,m\n", r"people\.csv: id: expected subjects with a visit in .*, got 7 in row 4"),
        ("code,id,age\nx,2,60\n", r"visits\.csv: id: expected subjects of .*people\.csv, got 1 in row 2 \(2 of 3"),
        ("code,who,age\nx,2,60\n", r"people\.csv: id: expected a column 'id'"),
        (PEOPLE.replace("sex", "marker"), r"people\.csv: marker: expected a column that .*visits\.csv does not have"),
        (PEOPLE.replace("age", "years"), r"age: expected a column 'age'"),
    ],
)
def test_subjects_that_do_not_fit_are_refused(people: str, message: str, folder: Path) -> None:
    with pytest.raises(CohortError, match=message):
        joined(folder, people)


def test_an_empty_cell_of_a_joined_column_is_named_where_it_stands(folder: Path) -> None:
    roles = {**ALONE, "covariates": {"age": {"column": "age", "unit": "years"}}}
    (folder / "visits.csv").write_text("id,day,marker\n1,0,10\n1,30,12\n2,0,20\n")
    (folder / "people.csv").write_text("id,age\n2,\n1,50\n")
    with pytest.raises(CohortError, match=r"people\.csv: age: .*, got an empty cell in row 2 \(1 of 2 subjects\)"):
        read_cohort(folder / "visits.csv", roles, subjects=folder / "people.csv")


def test_a_visit_twice_is_refused_in_each_kind_of_source(folder: Path) -> None:
    (folder / "two" / "visits.csv").write_text(TWO + "3,60,500,\n")
    with pytest.raises(
        CohortError, match=r"two.visits\.csv: day: .* got subject b/3: a second row at time 60 in row 5"
    ):
        stacked(folder)
    with pytest.raises(CohortError, match=r"visits\.csv: day: .* subject 1: a second row at time 30 in row 4"):
        joined(folder, visits="id,day,marker\n1,0,10\n1,30,12\n1,30,13\n2,0,20\n")


def test_stacked_sources_with_subjects_and_events_of_their_own(folder: Path) -> None:
    (folder / "one" / "visits.csv").write_text("id,day,marker\n1,0,10\n2,0,20\n")
    (folder / "two" / "visits.csv").write_text("patient,day,bili\n1,0,300\n")
    (folder / "people.csv").write_text("id,age\nb/1,70\na/1,50\na/2,60\n")
    events = pd.DataFrame({"id": ["a/2", "a/1", "b/1"], "what": ["death", "censored", "death"], "at": [1.0, 2.0, 3.0]})
    end = {"column": "what", "time": "at", "unit": "years", "types": ["death"]}
    cohort = stacked(folder, {**ROLES, "events": {"end": end}}, subjects=folder / "people.csv", events=events)
    assert cohort.subjects["age"].to_dict() == {"a/1": 50, "a/2": 60, "b/1": 70}
    assert cohort.events.set_index("subject")["time"].to_dict() == {"a/1": 2, "a/2": 1, "b/1": 3}
    bare = events.assign(id=["2", "1", "1"])
    with pytest.raises(CohortError, match=r"id: expected subjects of .*, got 2 in row 2 \(3 of 3 rows\)"):
        stacked(folder, {**ROLES, "events": {"end": end}}, subjects=folder / "people.csv", events=bare)


def test_a_table_of_events_without_a_role_is_refused(folder: Path) -> None:
    events = pd.DataFrame({"id": ["1"], "what": ["death"]})
    with pytest.raises(CohortError, match=r"events: expected roles for the events of this table, got none"):
        read_cohort(folder / "one" / "visits.csv", ALONE, events=events)
