"""Events: which process ends a subject's follow-up and when, and the tables that cannot be meant."""

from typing import Any

import jax
import pandas as pd
import pytest
from jax import numpy as jnp

from dpm.cohort import Cohort, IndexRule, Tables, read_cohort
from dpm.cohort.files import read_table
from dpm.errors import CohortError

VISITS = pd.DataFrame({"id": ["A", "A", "B", "C"], "year": [0.0, 1.0, 0.0, 0.0], "y": [1.0, 2.0, 3.0, 4.0]})
END = {"column": "what", "time": "when", "unit": "years", "types": ["death", "transplant"], "terminal": True}
Rows = list[dict[str, Any]]


def roles(**events: dict[str, Any]) -> dict[str, Any]:
    return {
        "subject": "id",
        "time": {"column": "year", "unit": "years"},
        "outcomes": {"y": {"column": "y", "unit": "1", "higher_is": "worse"}},
        "events": events,
    }


def beside(role: dict[str, Any], visits: pd.DataFrame = VISITS, **columns: dict[str, Any]) -> Cohort:
    """Events beside each visit, given by subject."""
    frame = visits.assign(**{name: visits["id"].map(cells) for name, cells in columns.items()})
    return read_cohort(frame, roles(end=role))


def apart(events: Rows, visits: pd.DataFrame = VISITS, **processes: dict[str, Any]) -> Cohort:
    """Events in a table of their own."""
    return read_cohort(visits, roles(**processes), events=pd.DataFrame(events))


def rows(cohort: Cohort, *columns: str) -> list[list[Any]]:
    return cohort.events[list(columns)].values.tolist()


WHAT = {"A": "death", "B": "censored", "C": "transplant"}
WHEN = {"A": 2.0, "B": 3.0, "C": 1.0}


def test_competing_types_end_one_process() -> None:
    cohort = beside(END, what=WHAT, when=WHEN)
    assert rows(cohort, "subject", "process", "event", "entry", "time", "until", "row") == [
        ["A", "end", "death", 0, 2, 2, 2],
        ["B", "end", "censored", 0, 3, 3, 4],
        ["C", "end", "transplant", 0, 1, 1, 5],
    ]
    assert cohort.ends.equals(cohort.events)


def test_texts_of_the_table_have_names() -> None:
    role = {**END, "types": {"1": "death", "2": "death", "3": "transplant"}, "censored": "0", "unit": "months"}
    cohort = beside(role, what={"A": 2.0, "B": 0.0, "C": 3.0}, when={"A": 24.0, "B": 36.0, "C": 12.0})
    assert rows(cohort, "event", "time") == [["death", 2], ["censored", 3], ["transplant", 1]]


def test_several_processes_side_by_side() -> None:
    fall = {"time": "fell", "end": "seen", "unit": "years", "types": ["fall"]}
    columns: dict[str, dict[str, Any]] = {
        "what": WHAT,
        "when": WHEN,
        "fell": {"A": 0.5},
        "seen": {"A": 2.0, "B": 2.5, "C": 1.0},
    }
    frame = VISITS.assign(**{name: VISITS["id"].map(cells) for name, cells in columns.items()})
    cohort = read_cohort(frame, roles(end=END, fall=fall))
    assert rows(cohort, "process", "subject", "event", "time")[3:] == [
        ["fall", "A", "fall", 0.5],
        ["fall", "B", "censored", 2.5],
        ["fall", "C", "censored", 1.0],
    ]
    assert cohort.ends["process"].tolist() == ["end"] * 3


def test_an_end_without_a_column_of_events() -> None:
    role = {"time": "fell", "end": "seen", "unit": "years", "types": ["fall"]}
    with pytest.raises(CohortError, match="an event up to the end of follow-up in seen, got 3 in row 2"):
        beside(role, fell={"A": 3.0}, seen={"A": 2.0, "B": 2.0, "C": 2.0})
    with pytest.raises(
        CohortError, match=r"seen: expected the end of follow-up in every row, got an empty cell in row 4"
    ):
        beside(role, fell={"A": 1.0}, seen={"A": 2.0, "C": 2.0})


PROCESSES = {
    "end": {**END, "where": "kind == end"},
    "relapse": {"column": "what", "time": "when", "unit": "years", "types": ["relapse"], "recurrent": True,
                "where": "kind == relapse"},
}  # fmt: skip


def event(kind: str, who: str, what: str, when: float) -> dict[str, Any]:
    return {"kind": kind, "id": who, "what": what, "when": when}


EVENTS = [
    event("relapse", "B", "censored", 3.0),
    event("end", "C", "transplant", 1.0),
    event("end", "A", "death", 2.0),
    event("end", "B", "censored", 3.0),
    event("relapse", "A", "relapse", 0.5),
    event("relapse", "A", "relapse", 1.5),
    event("relapse", "A", "censored", 2.0),
    event("relapse", "C", "censored", 1.0),
]


def test_a_table_of_events_holds_several_processes() -> None:
    cohort = apart(EVENTS, **PROCESSES)
    assert rows(cohort, "process", "subject", "event", "time", "row") == [
        ["end", "A", "death", 2.0, 4],
        ["end", "B", "censored", 3.0, 5],
        ["end", "C", "transplant", 1.0, 3],
        ["relapse", "B", "censored", 3.0, 2],
        ["relapse", "A", "relapse", 0.5, 6],
        ["relapse", "A", "relapse", 1.5, 7],
        ["relapse", "A", "censored", 2.0, 8],
        ["relapse", "C", "censored", 1.0, 9],
    ]
    none = {**PROCESSES["end"], "where": "kind == nothing"}
    with pytest.raises(CohortError, match=r"events\.end: expected rows with kind == nothing, got none of 8"):
        apart(EVENTS, end=none)


def test_recurrent_events_need_their_censored_row_at_the_end() -> None:
    without = [one for one in EVENTS if one != event("relapse", "A", "censored", 2.0)]
    with pytest.raises(CohortError, match=r"one censored row per subject, its last, got 0 for subject A \(1 of 3"):
        apart(without, **PROCESSES)
    with pytest.raises(CohortError, match="got 2 for subject B"):
        apart([*EVENTS, event("relapse", "B", "censored", 2.0)], **PROCESSES)
    early = [*without, event("relapse", "A", "censored", 1.0)]
    with pytest.raises(CohortError, match="the last row of a subject, got 1 before an event in row 9"):
        apart(early, **PROCESSES)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([*EVENTS[:-1], event("end", "A", "death", 4.0)], r"one row per subject, got 2 for subject A \(1 of 3"),
        (EVENTS[:1] + EVENTS[2:], r"one row per subject, got 0 for subject C \(1 of 3"),
        ([*EVENTS, event("end", "Z", "death", 4.0)], r"id: expected subjects of table, got 'Z' in row 10 \(1 of 9"),
    ],
)
def test_subjects_are_those_of_the_visits(events: Rows, message: str) -> None:
    with pytest.raises(CohortError, match=message):
        apart(events, end=PROCESSES["end"])


def test_events_without_visits_in_given_tables_are_in_the_ledger() -> None:
    events = [*EVENTS, event("end", "Z", "death", 4.0)]
    tables = Tables(visits=read_table(VISITS), events=read_table(pd.DataFrame(events)))
    cohort = read_cohort(tables, roles(**PROCESSES))
    assert set(cohort.events["subject"]) == {"A", "B", "C"}
    (line,) = cohort.ledger
    assert (line.kind, line.rows, line.subjects) == ("exclude rows", (("table", 10),), 1)
    assert "no visits" in line.rule


def test_a_where_needs_a_table_of_events() -> None:
    with pytest.raises(CohortError, match=r"events\.end\.where: expected a table of events"):
        beside({**END, "where": "y > 1"}, what=WHAT, when=WHEN)


def test_delayed_entry() -> None:
    cohort = beside({**END, "entry": "seen"}, what=WHAT, when=WHEN, seen={"A": 1.5, "B": -2.0})
    assert rows(cohort, "subject", "entry", "time") == [["A", 1.5, 2], ["B", 0, 3], ["C", 0, 1]]
    with pytest.raises(CohortError, match=r"an event or end of follow-up after entry, got 2 in row 2 \(1 of 4 rows\)"):
        beside({**END, "entry": "seen"}, what=WHAT, when=WHEN, seen={"A": 2.0})


def test_an_event_between_two_times() -> None:
    role = {**END, "until": "latest"}
    cohort = beside(role, what=WHAT, when=WHEN, latest={"A": 2.5, "B": 3.0})
    assert rows(cohort, "event", "time", "until") == [["death", 2, 2.5], ["censored", 3, 3], ["transplant", 1, 1]]
    with pytest.raises(CohortError, match=r"latest: expected a time from when upwards, got 1\.5 in row 2"):
        beside(role, what=WHAT, when=WHEN, latest={"A": 1.5})
    with pytest.raises(CohortError, match="latest: expected an upper end only beside an event, got 4 in row 4"):
        beside(role, what=WHAT, when=WHEN, latest={"B": 4.0})


def test_an_interval_may_begin_at_entry() -> None:
    """Found at the first visit after baseline: it lies in (0, 1]."""
    found = {"what": {"A": "death"}, "when": {"A": 0.0}, "latest": {"A": 1.0}}
    only = VISITS[VISITS["id"] == "A"].iloc[:1]
    cohort = beside({**END, "until": "latest"}, only, **found)
    assert rows(cohort, "event", "entry", "time", "until") == [["death", 0, 0, 1]]
    with pytest.raises(CohortError, match="an event or end of follow-up after entry"):
        beside({**END, "until": "latest"}, only, what={"A": "death"}, when={"A": 0.0}, latest={"A": 0.0})


def test_what_recurred_before_a_moved_time_zero_is_history() -> None:
    visits = pd.DataFrame({"id": ["A", "A", "B"], "year": [0.0, 1.0, 0.0], "y": [1.0, 5.0, 5.0]})
    events = [event for event in EVENTS if event["kind"] == "relapse" and event["id"] != "C"]
    index = IndexRule(eligible={"high": "y >= 5"})
    cohort = read_cohort(visits, roles(relapse=PROCESSES["relapse"]), events=pd.DataFrame(events), index=index)
    assert rows(cohort, "subject", "event", "time") == [
        ["B", "censored", 3.0],
        ["A", "relapse", 0.5],
        ["A", "censored", 1.0],
    ]


def test_what_is_known_at_a_time() -> None:
    cohort = apart(EVENTS, **PROCESSES)
    known = cohort.known_at(1.0)
    assert known.events[["process", "subject", "event", "time"]].values.tolist() == [
        ["end", "A", "censored", 1.0],
        ["end", "B", "censored", 1.0],
        ["end", "C", "transplant", 1.0],
        ["relapse", "B", "censored", 1.0],
        ["relapse", "A", "relapse", 0.5],
        ["relapse", "A", "censored", 1.0],
        ["relapse", "C", "censored", 1.0],
    ]
    assert known.visits["time"].max() <= 1.0
    found = {"what": {"A": "death"}, "when": {"A": 0.5}, "latest": {"A": 2.0}}
    between = beside({**END, "until": "latest"}, VISITS[VISITS["id"] == "A"].iloc[:1], **found)
    assert rows(between.known_at(1.0), "event", "time", "until") == [["censored", 0.5, 0.5]]
    assert rows(between.known_at(2.0), "event", "time", "until") == [["death", 0.5, 2.0]]


def test_episodes_are_in_order_of_time_whatever_the_order_of_the_file() -> None:
    """A recurrent event is scored from the one before it: out of order, exposure would be lost without a sign."""
    found = [apart(events, **PROCESSES).records().events["relapse"] for events in (EVENTS, EVENTS[::-1])]
    for one, other in zip(*map(jax.tree_util.tree_leaves, found), strict=True):
        assert one.tolist() == other.tolist()
    others = [each for each in EVENTS if each not in EVENTS[5:7]]
    day = [*others, event("relapse", "A", "censored", 1.5), event("relapse", "A", "relapse", 1.5)]
    assert apart(day, **PROCESSES).records().events["relapse"].kind[:, 0].tolist() == [1, 1, 0]


def test_events_as_arrays() -> None:
    records = apart(EVENTS, **PROCESSES).records()
    assert records.events["end"].kind.tolist() == [[1, 0, 2]]
    relapse = records.events["relapse"]
    assert relapse.present.tolist() == [[True, True, True], [True, False, False], [True, False, False]]
    assert relapse.kind[:, 0].tolist() == [1, 1, 0]
    assert relapse.time[:, 0].tolist() == [0.5, 1.5, 2.0]
    assert not records.at(records.time).events["end"].present.any()
    assert records.hide(jnp.asarray([True, False, False])).events["relapse"].present.sum(axis=0).tolist() == [0, 1, 1]


def test_visits_after_the_end() -> None:
    when = {**WHEN, "A": 0.5}
    with pytest.raises(CohortError, match=r"got subject A: a visit at 1 after it in row 3 \(1 of 4 rows\)"):
        beside(END, what=WHAT, when=when)
    cohort = beside({**END, "visits_after": "drop"}, what=WHAT, when=when)
    assert cohort.visits["subject"].tolist() == ["A", "B", "C"]
    (line,) = cohort.ledger
    assert (line.kind, line.rows, line.subjects) == ("exclude rows", (("table", 3),), 1)
    assert line.rule == "visits after the end of follow-up (end)"
    between = beside({**END, "until": "latest"}, what=WHAT, when=when, latest={"A": 1.5})
    assert between.n_visits == 4 and not between.ledger
    assert beside({**END, "terminal": False}, what=WHAT, when=when).n_visits == 4


@pytest.mark.parametrize(
    ("what", "when", "message"),
    [
        ({**WHAT, "B": "lost"}, WHEN, "one of: censored, death, transplant, got 'lost' in row 4"),
        ({**WHAT, "B": ""}, WHEN, "what: expected an event in every row, got an empty cell in row 4"),
        (WHAT, {"A": 2.0, "C": 1.0}, "when: expected the time of the event or of the end of follow-up, got an empty"),
        (WHAT, {**WHEN, "C": 0.0}, r"after entry, got 0 in row 5 \(1 of 4 rows\)"),
        (WHAT, {**WHEN, "C": -1.0}, "after entry, got -1 in row 5"),
    ],
)
def test_an_event_that_cannot_be(what: dict[str, str], when: dict[str, float], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        beside(END, what=what, when=when)


def test_events_say_the_same_beside_each_visit() -> None:
    frame = VISITS.assign(what=["death", "censored", "censored", "death"], when=5.0)
    with pytest.raises(CohortError, match="subject A: 'censored', unlike its first row, in row 3"):
        read_cohort(frame, roles(end=END))


@pytest.mark.parametrize(
    "change",
    [
        {"types": []},
        {"types": ["death", "death"]},
        {"types": ["censored"]},
        {"end": "x"},
        {"column": None},
        {"recurrent": True},
    ],
)
def test_a_role_that_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CohortError, match=r"roles: events\.end"):
        beside({**END, **change}, what=WHAT, when=WHEN)
