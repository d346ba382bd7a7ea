"""Declared rules: what a condition says of a row, what a rule does with it, and what the ledger says was done."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpm.cohort import CleaningRule, Cohort, ledger_rows, ledger_table, read_cohort
from dpm.cohort.condition import Condition
from dpm.cohort.files import read_table
from dpm.errors import CohortError

FRAME = pd.DataFrame(
    {
        "x": [1.0, 2.0, 3.0, None],
        "written": ["1", "2.0", "", "3e0"],
        "site": ["north", "hand and foot", "", "worse, much"],
        "two words": ["a", "b", "c", ""],
    }
)

TABLE = """id,day,marker,site,event,stop
A,0,1,north,death,900
A,100,50,,death,900
B,0,2,north,censored,800
B,100,3,south,censored,800
C,0,4,south,death,700
"""
Rule = CleaningRule | dict[str, object]
ROLES: dict[str, Any] = {
    "subject": "id",
    "time": {"column": "day", "unit": "days"},
    "outcomes": {"marker": {"column": "marker", "unit": "1", "higher_is": "worse"}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x < 2", [1, 0, 0, 0]),
        ("x <= 2", [1, 1, 0, 0]),
        ("x > 2", [0, 0, 1, 0]),
        ("x >= 2", [0, 1, 1, 0]),
        ("x == 2", [0, 1, 0, 0]),
        ("x==2.0", [0, 1, 0, 0]),
        ("x != 2", [1, 0, 1, 0]),
        ("x in [1, 3]", [1, 0, 1, 0]),
        ("x not in [1, 3]", [0, 1, 0, 0]),
        ("x is missing", [0, 0, 0, 1]),
        ("x is present", [1, 1, 1, 0]),
        ("written == 2", [0, 1, 0, 0]),
        ("written >= 2", [0, 1, 0, 1]),
        ("written in [1.0, 3]", [1, 0, 0, 1]),
        ("written != 1", [0, 1, 0, 1]),
        ("x >= -1e3", [1, 1, 1, 0]),
        ("site == north", [1, 0, 0, 0]),
        ("site == hand", [0, 0, 0, 0]),
        ('site == "hand and foot"', [0, 1, 0, 0]),
        ("site == 'hand and foot' and x == 2", [0, 1, 0, 0]),
        ('site in ["worse, much", north]', [1, 0, 0, 1]),
        ('site not in ["worse, much", "hand and foot"]', [1, 0, 0, 0]),
        ("site is missing and x > 2", [0, 0, 1, 0]),
        ('"two words" == b', [0, 1, 0, 0]),
        ('"two words" is missing', [0, 0, 0, 1]),
        ("x  not  in  [1]  and  x  is  present", [0, 1, 1, 0]),
    ],
)
def test_what_a_condition_says(text: str, expected: list[int], tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    for table in (read_table(FRAME), read_table(tmp_path / "table.csv")):
        assert Condition.parse(text).holds(table).astype(int).tolist() == expected


@pytest.mark.parametrize(
    "text",
    ["", "x", "x >", "x = 2", "x === 2", "x == 2 or x == 3", "x == 2 or 3", "x > two", "x in 3", "x in []", "x in [3",
     "x is empty", "x is not missing", 'x == ""', "x <= ", "x == 1 and", "x == [1]", 'x == "open', "x in [1,,2]",
     "two words == b", "1 < x < 3", "__import__('os')"],
)  # fmt: skip
def test_a_bad_form_is_refused(text: str) -> None:
    with pytest.raises(CohortError) as caught:
        Condition.parse(text)
    assert caught.value.where.startswith("rule:")
    with pytest.raises(CohortError, match="rules"):
        read_cohort(FRAME, ROLES, rules=[{"when": text, "do": "drop rows", "reason": "none"}])


def test_a_condition_on_what_is_not_there_is_refused() -> None:
    table = read_table(FRAME)
    with pytest.raises(CohortError, match="a column 'sight'"):
        Condition.parse("sight == north").holds(table)
    with pytest.raises(CohortError, match=r"site: expected numbers, got the text 'north' in row 2 \(3 of 4 rows\)"):
        Condition.parse("site > 3").holds(table)


def read(folder: Path, rules: Sequence[Rule], roles: dict[str, Any] = ROLES, **more: Any) -> Cohort:
    (folder / "visits.csv").write_text(TABLE)
    return read_cohort(folder / "visits.csv", roles, rules=rules, **more)


def test_rows_are_dropped(tmp_path: Path) -> None:
    cohort = read(tmp_path, [{"when": "marker >= 3 and day > 0", "do": "drop rows", "reason": "device fault"}])
    assert cohort.visits[["subject", "marker"]].values.tolist() == [["A", 1], ["B", 2], ["C", 4]]
    (line,) = cohort.ledger
    assert (line.kind, line.reason, line.subjects) == ("exclude rows", "device fault", 2)
    assert line.rows == (("visits.csv", 3), ("visits.csv", 5))


def test_subjects_are_dropped_with_all_their_rows(tmp_path: Path) -> None:
    cohort = read(tmp_path, [{"when": "marker == 50", "do": "drop subjects", "reason": "withdrew consent"}])
    assert cohort.subjects.index.tolist() == ["B", "C"]
    (line,) = cohort.ledger
    assert (line.kind, line.subjects) == ("exclude subjects", 1)
    assert line.rows == (("visits.csv", 2), ("visits.csv", 3))


def test_cells_are_set(tmp_path: Path) -> None:
    rules: list[Rule] = [
        {"when": "marker == 50", "do": "set", "column": "marker", "value": 5.0, "reason": "decimal point"},
        {"when": "marker == 3", "do": "set", "column": "marker", "value": "", "reason": "illegible"},
    ]
    cohort = read(tmp_path, rules)
    np.testing.assert_array_equal(cohort.visits["marker"], [1, 5, 2, np.nan, 4])
    table = ledger_table(cohort.ledger)
    assert table["rule"].tolist() == ["marker == 50: set marker to 5.0", "marker == 3: set marker to missing"]
    assert table["kind"].tolist() == ["edit", "edit"] and table["column"].tolist() == ["marker", "marker"]
    assert table["rows"].tolist() == [1, 1] and table["first"].tolist() == ["visits.csv: row 3", "visits.csv: row 5"]
    assert ledger_rows(cohort.ledger).values.tolist() == [[1, "visits.csv", 3], [2, "visits.csv", 5]]


def test_rules_apply_in_their_order(tmp_path: Path) -> None:
    mend: Rule = {"when": "marker == 50", "do": "set", "column": "marker", "value": 5, "reason": "decimal point"}
    drop: Rule = {"when": "marker > 10", "do": "drop rows", "reason": "impossible"}
    assert read(tmp_path, [drop]).n_visits == 4
    with pytest.raises(CohortError, match=r"rule 'marker > 10': expected rows that it concerns, got none of 5"):
        read(tmp_path, [mend, drop])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"when": "marker > 99", "do": "drop rows", "reason": "r"}, "rows that it concerns, got none of 5"),
        ({"when": "marker > 0", "do": "drop rows", "reason": "r"}, "rows left, got none of 5"),
        ({"when": "day == 0", "do": "drop subjects", "reason": "r"}, "rows left"),
        ({"when": "day == 0", "do": "drop rows"}, "reason"),
        ({"when": "day == 0", "do": "drop rows", "reason": ""}, "reason"),
        ({"when": "day == 0", "do": "set", "column": "marker", "reason": "r"}, "a column and a value"),
        ({"when": "day == 0", "do": "drop rows", "column": "marker", "reason": "r"}, "neither of them elsewhere"),
        ({"when": "day == 0", "do": "drop rows", "value": "1", "reason": "r"}, "neither of them elsewhere"),
        ({"when": "day == 0", "do": "set", "column": "mark", "value": 1, "reason": "r"}, "a column 'mark'"),
        ({"when": "day == 0", "do": "halve", "reason": "r"}, "drop rows"),
        ({"when": "day == 0", "do": "drop rows", "reason": "r", "table": "events"}, "a table of events, got none"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=message):
        read(tmp_path, [rule])


def test_a_rule_on_joined_columns_names_the_file_they_stand_in(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id,age,sex\nC,60,f\nB,999,m\nA,50,f\n")
    roles = {**ROLES, "covariates": {"age": {"column": "age", "unit": "years"}}}
    rules = [{"when": "age > 120 and sex == m", "do": "set", "column": "age", "value": "99", "reason": "typing error"}]
    cohort = read(tmp_path, rules, roles, subjects=tmp_path / "people.csv")
    assert cohort.subjects["age"].to_dict() == {"A": 50, "B": 99, "C": 60}
    # Both visits of B hold the cell that stands once in the table of subjects.
    assert [(line.rows, line.subjects) for line in cohort.ledger] == [((("people.csv", 3),), 1)]
    rules = [{"when": "age > 120", "do": "drop rows", "reason": "typing error"}]
    cohort = read(tmp_path, rules, roles, subjects=tmp_path / "people.csv")
    assert cohort.ledger[0].rows == (("visits.csv", 4), ("visits.csv", 5))


def test_a_rule_about_the_table_of_events(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("id,what,when\nA,death,900\nB,censored,800\nC,death,700\nZ,death,9\n")
    events = {"end": {"column": "what", "time": "when", "unit": "days", "types": ["death"]}}
    roles = {**ROLES, "events": events}
    with pytest.raises(CohortError, match=r"events.csv: id: expected subjects of .*, got 'Z' in row 5 \(1 of 4 rows\)"):
        read(tmp_path, [], roles, events=tmp_path / "events.csv")
    rules = [CleaningRule(when="id == Z", do="drop rows", table="events", reason="screening failure")]
    cohort = read(tmp_path, rules, roles, events=tmp_path / "events.csv")
    assert cohort.events["subject"].tolist() == ["A", "B", "C"]
    assert [(line.kind, line.rows, line.subjects) for line in cohort.ledger] == [
        ("exclude rows", (("events.csv", 5),), 1)
    ]


def test_the_events_of_a_subject_left_out_are_in_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("id,what,when\nA,death,900\nB,censored,800\nC,death,700\n")
    events = {"end": {"column": "what", "time": "when", "unit": "days", "types": ["death"]}}
    rules: list[Rule] = [{"when": "id == B", "do": "drop subjects", "reason": "withdrew consent"}]
    cohort = read(tmp_path, rules, {**ROLES, "events": events}, events=tmp_path / "events.csv")
    assert cohort.events["subject"].tolist() == ["A", "C"]
    assert [line.rows for line in cohort.ledger] == [
        (("visits.csv", 4), ("visits.csv", 5)),
        (("events.csv", 3),),
    ]
