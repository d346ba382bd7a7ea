"""Data that would run and be wrong are refused, and the refusal can be acted upon."""

import io
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dpm.cohort import Cohort, Encodings, VisitRule, baseline_table, data_path, parse_roles, read_cohort
from dpm.errors import CohortError

from .tables import SMALL, SMALL_ROLES, edited, with_roles

OUTCOMES, COVARIATES = SMALL_ROLES["outcomes"], SMALL_ROLES["covariates"]


def refusal(action: Callable[[], object]) -> str:
    """The message of a `CohortError`, which must not carry the traceback of another library."""
    with pytest.raises(CohortError) as caught:
        action()
    error = caught.value
    assert error.where and error.expected and error.got
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert "During handling" not in "".join(traceback.format_exception(error))
    message = str(error)
    assert len(message.splitlines()) <= 2 and "Traceback" not in message
    return message


def small() -> Cohort:
    return read_cohort(pd.read_csv(io.StringIO(SMALL)), SMALL_ROLES)


TABLES = {
    "renamed column": (
        SMALL.replace("marker", "Marker_mgdl"),
        ["trial.csv: marker: expected a column 'marker'", "Did you mean 'Marker_mgdl'?", "Columns: id, arm, day"],
    ),
    "missing column": (
        SMALL.replace("futime", "x"),
        ["trial.csv: futime: expected a column 'futime', got none of this name.", "Columns: id, arm, day, marker"],
    ),
    "duplicated header": (SMALL.replace("score", "marker"), ["marker", "a duplicated header: 'marker' 2 times"]),
    "header only": (SMALL.splitlines()[0], ["trial.csv: expected a header and rows, got a header only"]),
    "empty": ("", ["trial.csv: expected a CSV file with a header and rows, got an empty file"]),
    "blank": ("\n \n", ["an empty file"]),
    "byte order mark only": ("\ufeff", ["an empty file"]),
    "semicolons": (SMALL.replace(",", ";"), ["comma-separated values, got columns separated by ';'"]),
    "not a table": ("just text\nand more\n", ["comma-separated values, got a single column 'just text'"]),
    "cut short": (SMALL[: SMALL.rindex("female")], ["10 fields in each row", "got 7 in row 8 (1 of 7 rows)"]),
    "comma in a text": (edited("B2,placebo,200", "B2,placebo,2,00"), ["got 11 in row 6 (1 of 7 rows)", "Quote a text"]),
    "open quote": (edited("C3,placebo,400", '"C3,placebo,400'), ["comma-separated values", "in row 8", "quotes"]),
    "text in a number": (
        edited(",3.0,", ",<3,"),
        ["trial.csv: marker: expected numbers, got the text '<3' in row 3 (1 of 7 rows).", "Leave a missing value"],
    ),
    "NA in a number": (edited(",400,0.75,", ",400,NA,"), ["marker: expected numbers, got the text 'NA' in row 8"]),
    "decimal comma": (edited(",4.5,", ',"4,5",'), ["got the text '4,5' in row 4 (1 of 7 rows)", "with a point"]),
    "infinite": (edited(",4.5,", ",inf,"), ["marker: expected finite numbers, got inf in row 4"]),
    "out of bounds": (
        edited(",4.5,12,", ",4.5,50,"),
        ["trial.csv: score: expected points in [0, 48], got 50 in row 4 (1 of 7 rows).", "check the unit"],
    ),
    "log of zero": (
        edited(",0.75,", ",0,"),
        ["marker: expected numbers above 0 for transform = 'log', got 0 in row 8 (1 of 7 rows)"],
    ),
    "subject missing": (
        edited("B2,placebo,200", ",placebo,200"),
        ["id: expected a subject in every row", "row 6 (1 of"],
    ),
    "time missing": (edited("placebo,200", "placebo,"), ["day: expected a time at every visit", "row 6"]),
    "time as text": (
        edited("placebo,200", "placebo,day 200"),
        ["day: expected numbers, got the text 'day 200' in row 6"],
    ),
    "time negative": (edited("placebo,200", "placebo,-20"), ["day: expected days since baseline", "got -20 in row 6"]),
    "visit twice": (
        edited("active,365", "active,180"),
        ["one row per subject and visit, got subject A1: a second row at time 180 in row 4 (1 of 7 rows)", "merge"],
    ),
    "unsorted": (
        edited("active,365", "active,90"),
        [
            "time order within a subject, got subject A1: time 90 after a later one in row 4",
            "Sort the rows by id and day",
        ],
    ),
    "no baseline visit": (
        edited("C3,placebo,0", "C3,placebo,30"),
        ["a visit at time 0 for every subject, got subject C3: a first visit at 30 in row 7", "1 of 3 subjects"],
    ),
    "nothing measured": (
        SMALL.replace("0,0.5,7,", "0,,,").replace("400,0.75,,", "400,,,"),
        ["id: expected a measurement of marker, score for every subject, got subject C3: none", "1 of 3 subjects"],
    ),
    "arm missing": (edited("B2,placebo,200", "B2,,200"), ["arm: expected an arm in every row", "row 6"]),
    "arm changes": (
        edited("B2,placebo,200", "B2,active,200"),
        ["arm: expected one value per subject (the arm), got subject B2: 'active', unlike its first row, in row 6"],
    ),
    "covariate empty": (
        SMALL.replace(",50,", ",,").replace(",61,", ",,").replace(",44,", ",,"),
        ["age: expected values of covariates.age, got an empty column (7 rows)", "Drop covariates.age"],
    ),
    "covariate missing at baseline": (
        edited("0,0.5,7,44,", "0,0.5,7,,"),
        ["a value at baseline for every subject", "an empty cell in row 7 (1 of 3 subjects)", "a distribution of it"],
    ),
    "subgroup missing at baseline": (
        edited("0,1.5,8,61,male,2", "0,1.5,8,61,male,"),
        ["stage: expected a value at baseline", "(the grouping stage)", "row 5 (1 of 3 subjects)"],
    ),
    "event at entry": (
        SMALL.replace(",700", ",0"),
        ["futime: expected an event or end of follow-up after entry, got 0 in row 7 (1 of 7 rows)", "1 of 3 subjects"],
    ),
    "event before the last visit": (
        SMALL.replace(",900", ",200"),
        ["day: expected every visit up to the event", "subject A1: a visit at 365 after it in row 4 (1 of 7 rows)"],
    ),
    "unknown event": (
        SMALL.replace("transplant", "tranplant"),
        ["event: expected one of: censored, death, transplant, got 'tranplant' in row 7 (2 of 7 rows)"],
    ),
    "event missing": (SMALL.replace("death", ""), ["event: expected an event in every row", "Write 'censored'"]),
    "event time missing": (SMALL.replace(",900", ","), ["futime: expected the time of the event", "row 2 (3 of 7"]),
    "event changes": (
        edited("A1,active,180,3.0,,50,female,1,death", "A1,active,180,3.0,,50,female,1,censored"),
        ["event: expected one value per subject (the event), got subject A1: 'censored'", "row 3"],
    ),
    "event time changes": (
        edited("200,,9,61,male,2,censored,1200", "200,,9,61,male,2,censored,1300"),
        ["futime: expected one value per subject (the time of the event), got subject B2: 1300", "row 6"],
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case: str, tmp_path: Path) -> None:
    text, parts = TABLES[case]
    path = tmp_path / "trial.csv"
    path.write_text(text, encoding="utf-8")
    message = refusal(lambda: read_cohort(path, SMALL_ROLES))
    for part in parts:
        assert part in message


ROLES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one column, two outcomes": (
        with_roles(outcomes={**OUTCOMES, "again": OUTCOMES["score"]}),
        ["a column used twice: 'score' as outcomes.score and outcomes.again"],
    ),
    "outcome and covariate": (
        with_roles(covariates={"baseline_score": {"column": "score", "unit": "points"}}),
        ["a column used twice: 'score' as outcomes.score and covariates.baseline_score", "at time 0"],
    ),
    "subject and time": (with_roles(subject="day"), ["a column used twice: 'day' as subject and time"]),
    "one covariate twice": (
        with_roles(covariates={**COVARIATES, "years": {"column": "age", "unit": "years"}}),
        ["a column used twice: 'age' as covariates.age and covariates.years"],
    ),
    "subgroup twice": (with_roles(subgroups=["stage", "stage"]), ["'stage' as subgroups and subgroups"]),
    "covariate named as a subgroup": (
        with_roles(covariates={"stage": {"column": "stage", "unit": "1"}}),
        ["roles: covariates.stage: expected a name of its own", "stage_value"],
    ),
    "outcome named time": (
        with_roles(outcomes={"time": OUTCOMES["score"]}),
        ["roles: outcomes.time: expected a name dpm does not use itself"],
    ),
    "subgroup named arm": (with_roles(subgroups=["arm"]), ["columns other than the arm or the subject, got 'arm'"]),
    "unknown key": (
        with_roles(outcome={}),
        ["roles: outcome: expected a key dpm knows", "Keys: subject, time, outcomes, arm"],
    ),
    "missing key": (
        with_roles(time={"column": "day"}),
        ["roles: time.unit: expected a value, got none", "Keys: column, unit, origin"],
    ),
    "unknown unit of time": (
        with_roles(time={"column": "day", "unit": "hours"}),
        ["roles: time.unit: expected 'days', 'weeks', 'months' or 'years', got 'hours'"],
    ),
    "unlisted transform": (
        with_roles(outcomes={"score": {**OUTCOMES["score"], "transform": "cbrt"}}),
        ["roles: outcomes.score.transform: expected 'identity', 'log', 'log1p', 'sqrt' or 'logit', got 'cbrt'"],
    ),
    "nothing observed": (with_roles(outcomes={}, events={}), ["roles: expected at least one outcome or event"]),
    "name that is no name": (
        with_roles(outcomes={"Log Marker": OUTCOMES["score"]}),
        ["expected a name of lower-case letters, digits and _, got 'Log Marker'"],
    ),
    "bounds upside down": (
        with_roles(outcomes={"score": {**OUTCOMES["score"], "lower": 50}}),
        ["roles: outcomes.score: expected lower below upper, got {", "'lower': 50"],
    ),
    "number without a unit": (
        with_roles(covariates={"age": {"column": "age"}}),
        ["roles: covariates.age: expected a unit for a number", "got {'column': 'age'}"],
    ),
    "standardised indicator": (
        with_roles(covariates={"female": {"column": "sex", "level": "female", "standardise": True}}),
        ["an indicator without unit, transform and knots, and not standardised"],
    ),
    "levels without a level": (
        with_roles(covariates={"age": {"column": "age", "unit": "years", "levels": ["1"]}}),
        ["levels only beside a level"],
    ),
    "level not among levels": (
        with_roles(covariates={"female": {"column": "sex", "level": "f", "levels": ["female", "male"]}}),
        ["a level that is among levels, got {'column': 'sex', 'level': 'f'"],
    ),
    "censored is also an event": (
        with_roles(events={"end": {**SMALL_ROLES["events"]["end"], "types": ["death", "censored"]}}),
        ["censored and types that all differ"],
    ),
    "origin of visits only": (
        with_roles(time={"column": "day", "unit": "days", "origin": 1}),
        ["roles: events.end: expected an origin, because the time role has one (1), got none"],
    ),
}


@pytest.mark.parametrize("case", ROLES)
def test_roles(case: str) -> None:
    roles, parts = ROLES[case]
    message = refusal(lambda: parse_roles(roles))
    for part in parts:
        assert part in message


def test_misspelt_level() -> None:
    roles = with_roles(covariates={"female": {"column": "sex", "level": "Female"}})
    message = refusal(lambda: read_cohort(pd.read_csv(io.StringIO(SMALL)), roles))
    assert "table: sex: expected a level among: female, male, got 'Female' in covariates.female" in message


def test_level_that_was_not_declared() -> None:
    roles = with_roles(covariates={"female": {"column": "sex", "level": "female", "levels": ["female", "other"]}})
    message = refusal(lambda: read_cohort(pd.read_csv(io.StringIO(SMALL)), roles))
    assert "sex: expected one of the declared levels: female, other, got 'male' in row 5 (2 of 7 rows)" in message


def test_unit_against_the_dictionary_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "trial.csv").write_text(SMALL)
    (tmp_path / "columns.csv").write_text("column,unit,meaning\nmarker,µmol/L,the marker\nage,,at entry\n")
    message = refusal(lambda: read_cohort(tmp_path / "trial.csv", SMALL_ROLES))
    assert "marker: expected the unit 'µmol/L' that its data dictionary gives" in message
    assert "got 'mg/dL' declared in outcomes.log_marker" in message
    assert "Declare 'µmol/L', or convert the column" in message


def test_unit_against_the_argument() -> None:
    frame = pd.read_csv(io.StringIO(SMALL))
    assert read_cohort(frame, SMALL_ROLES, units={"marker": "mg/dL", "day": "days"}).n_subjects == 3
    message = refusal(lambda: read_cohort(frame, SMALL_ROLES, units={"futime": "mg/dL"}))
    assert "table: futime: expected the unit 'mg/dL'" in message and "got 'days' declared in events.end" in message


def test_unit_of_a_shipped_table() -> None:
    roles = with_roles(
        outcomes={"bilirubin": {"column": "bilirubin", "unit": "µmol/L", "higher_is": "worse"}},
        covariates={},
        events=None,
    )
    message = refusal(lambda: read_cohort("data:pbc/pbc_longitudinal.csv", roles))
    assert "data:pbc/pbc_longitudinal.csv: bilirubin: expected the unit 'mg/dL'" in message


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "trial.csv").write_text(SMALL)
    assert "Did you mean 'trial.csv'?" in refusal(lambda: read_cohort(tmp_path / "trail.csv", SMALL_ROLES))
    assert "expected a table, got a folder" in refusal(lambda: read_cohort(tmp_path, SMALL_ROLES))
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04\x00\x00")
    assert "a file of a kind dpm reads: .csv, .parquet, .xpt" in refusal(
        lambda: read_cohort(tmp_path / "book.xlsx", SMALL_ROLES)
    )
    (tmp_path / "latin.csv").write_bytes(SMALL.replace("score", "µ").encode("latin-1"))
    assert "expected UTF-8 text, got the byte 0xb5 in row 1" in refusal(
        lambda: read_cohort(tmp_path / "latin.csv", SMALL_ROLES)
    )
    assert "an empty one" in refusal(lambda: read_cohort(pd.DataFrame({"id": [], "day": []}), SMALL_ROLES))


def test_rows_are_lines_of_the_file(tmp_path: Path) -> None:
    """A blank line and a text with a line break both shift the lines below them."""
    lines = SMALL.replace("SMALL", "").splitlines()
    lines[1] = lines[1].replace("female", '"fe\nmale"')
    (tmp_path / "trial.csv").write_text("\n".join([*lines[:3], "", *lines[3:]]).replace("0.75", "low"))
    message = refusal(lambda: read_cohort(tmp_path / "trial.csv", SMALL_ROLES))
    assert "got the text 'low' in row 10 (1 of 7 rows)" in message


def test_shipped_names() -> None:
    message = refusal(lambda: data_path("pbc/pbc_longitudnal.csv"))
    assert "Did you mean 'pbc/pbc_longitudinal.csv'?" in message and "theophylline/theophylline.csv" in message
    refusal(lambda: data_path("data:../pyproject.toml"))
    refusal(lambda: data_path("data:/etc/passwd"))
    refusal(lambda: read_cohort("data:nothing.csv", SMALL_ROLES))


def test_selections_that_leave_nobody() -> None:
    cohort = small()
    assert "expected one of: active (1), placebo (2), got 'Placebo'" in refusal(lambda: cohort.where(arm="Placebo"))
    assert "expected one of: placebo (2), got 'active'" in refusal(
        lambda: cohort.where(arm="placebo").where(arm="active")
    )
    assert "expected one of: arm, stage, got 'sex'" in refusal(lambda: cohort.where(sex="female"))
    assert "at least one subject left, got none of 3" in refusal(lambda: cohort.exclude(["A1", "B2", "C3"], "all"))
    assert "at least one subject left" in refusal(lambda: cohort.subset([]))
    assert "subset: subject: expected ids among the 3 subjects, got 'D4' (1 of 2 ids unknown)" in refusal(
        lambda: cohort.subset(["A1", "D4"])
    )
    assert "baseline_table: by: expected one of: arm, stage, got 'sex'" in refusal(
        lambda: baseline_table(cohort, by="sex")
    )


def test_masks_and_rules_that_do_not_fit() -> None:
    cohort = small()
    without = read_cohort(pd.read_csv(io.StringIO(SMALL)), with_roles(events=None))
    assert "a cohort with a terminal process, got none" in refusal(lambda: without.terminal_visits(VisitRule()))
    assert "one true or false for each of 7 visits" in refusal(
        lambda: cohort.drop_visits(pd.Series([True, False]), "x")
    )
    assert "planned times" in refusal(lambda: VisitRule(planned=()))


def test_encodings_that_cannot_be_learned_or_replayed() -> None:
    cohort = small()
    message = refusal(lambda: cohort.subset(["A1"]).records())
    assert "covariates.age: expected values that differ between subjects" in message
    assert "got 50 in all 1 subjects" in message and "standardise = false" in message
    learned = Encodings.learn(cohort)
    frame = pd.read_csv(io.StringIO(SMALL))
    bare = read_cohort(frame, with_roles(covariates={"age": COVARIATES["age"]}))
    assert "covariates: female: expected the variables the encodings were learned with" in refusal(
        lambda: bare.records(learned)
    )
    other = read_cohort(frame, with_roles(covariates={**COVARIATES, "age": {**COVARIATES["age"], "transform": "log"}}))
    assert "covariates.age: expected identity [years], as learned, got log [years]" in refusal(
        lambda: other.records(learned)
    )
    ungrouped = read_cohort(frame, with_roles(subgroups=[]))
    assert "groups or subgroups: stage" in refusal(lambda: ungrouped.records(learned))
