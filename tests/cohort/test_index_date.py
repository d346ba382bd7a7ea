"""Time zero: which visit it is, what stays history, what it costs, and which rules are refused."""

import io
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from dpm.cohort import Cohort, IndexRule, flow_table, ledger_table, read_cohort
from dpm.errors import CohortError

TABLE = """id,arm,day,marker,weight,dose,event,stop
A,active,0,1,70,0,death,3652.5
A,active,365.25,5,,0,death,3652.5
A,active,730.5,6,,0,death,3652.5
B,active,0,4,80,365.25,censored,1826.25
B,active,365.25,2,81,365.25,censored,1826.25
B,active,1461,7,82,365.25,censored,1826.25
C,placebo,0,1,60,,censored,1461
C,placebo,730.5,2,61,,censored,1461
D,placebo,0,8,90,,death,1095.75
"""
ROLES: dict[str, Any] = {
    "subject": "id",
    "time": {"column": "day", "unit": "days"},
    "arm": "arm",
    "outcomes": {"marker": {"column": "marker", "unit": "1", "higher_is": "worse"}},
    "events": {"end": {"column": "event", "time": "stop", "unit": "days", "types": ["death"], "terminal": True}},
}
HIGH = {"high marker": "marker >= 4"}


def read(index: IndexRule, roles: dict[str, Any] = ROLES, text: str = TABLE, seed: int | None = None) -> Cohort:
    key = None if seed is None else jax.random.key(seed)
    return read_cohort(pd.read_csv(io.StringIO(text)), roles, index=index, key=key)


def zeros(cohort: Cohort) -> dict[str, float]:
    """The marker at time zero of each subject."""
    return dict(cohort.visits.loc[cohort.visits["time"] == 0, ["subject", "marker"]].itertuples(index=False))


def flow(cohort: Cohort) -> list[tuple[str, str, str, int, int]]:
    return list(flow_table(cohort).itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("time_zero", "expected"),
    [
        ("first", {"A": 5, "B": 4, "D": 8}),
        ("last", {"A": 6, "B": 7, "D": 8}),
        ("origin", {"B": 4, "D": 8}),
        ("all", {"A#1": 5, "A#2": 6, "B#1": 4, "B#2": 7, "D#1": 8}),
    ],
)
def test_which_visit_is_time_zero(time_zero: Any, expected: dict[str, float]) -> None:
    cohort = read(IndexRule(eligible=HIGH, time_zero=time_zero))
    assert zeros(cohort) == expected
    assert cohort.subjects.index.tolist() == list(expected)


def test_visits_and_events_count_from_time_zero_and_what_was_before_is_history() -> None:
    cohort = read(IndexRule(eligible=HIGH, time_zero="last"))
    visits = cohort.visits[["subject", "time", "marker"]].values.tolist()
    history = cohort.history[["subject", "time", "marker"]].values.tolist()
    assert visits == [["A", 0, 6], ["B", 0, 7], ["D", 0, 8]]
    assert history == [["A", -2, 1], ["A", -1, 5], ["B", -4, 4], ["B", -3, 2]]
    assert cohort.events["time"].tolist() == [10 - 2, 5 - 4, 3]
    assert cohort.events["until"].tolist() == [8, 1, 3]
    assert cohort.events["entry"].tolist() == [0, 0, 0]
    assert cohort.history["row"].tolist() == [2, 3, 5, 6]
    records = cohort.records()
    assert int(np.asarray(records.observed["marker"]).sum()) == 3


def test_a_delayed_entry_is_shifted_too() -> None:
    text = TABLE.replace(",stop\n", ",stop,seen\n").replace("3652.5\n", "3652.5,1095.75\n")
    text = text.replace("1826.25\n", "1826.25,365.25\n").replace("1461\n", "1461,0\n")
    text = text.rstrip("\n") + ",0\n"
    events = {"end": {**ROLES["events"]["end"], "entry": "seen"}}
    cohort = read(IndexRule(eligible=HIGH, time_zero="first"), {**ROLES, "events": events}, text)
    # A enters a year after its origin and is seen from year 3, two years later; B was seen after its time zero.
    assert cohort.events[["subject", "entry", "time"]].values.tolist() == [["A", 2, 9], ["B", 1, 5], ["D", 0, 3]]


def test_clones_share_a_person_and_count_each_from_its_own_zero() -> None:
    cohort = read(IndexRule(eligible=HIGH, time_zero="all"))
    assert cohort.subjects["person"].tolist() == ["A", "A", "B", "B", "D"]
    assert cohort.events.set_index("subject")["time"].to_dict() == {"A#1": 9, "A#2": 8, "B#1": 5, "B#2": 1, "D#1": 3}
    mine = cohort.visits[cohort.visits["subject"] == "B#1"]
    assert mine["time"].tolist() == [0, 1, 4]
    assert cohort.history.groupby("subject").size().to_dict() == {"A#1": 1, "A#2": 2, "B#2": 2}
    assert "person" not in read(IndexRule(eligible=HIGH)).subjects


def test_attrition_by_arm() -> None:
    cohort = read(IndexRule(eligible={"not light": "marker >= 2", **HIGH}, time_zero="first"))
    light, high = "2 eligible: not light", "3 eligible: high marker"
    last = "4 time zero: first eligible visit"
    assert flow(cohort) == [
        ("1 read", "", "active", 2, 6),
        ("1 read", "", "placebo", 2, 3),
        (light, "no visit with marker >= 2", "active", 0, 1),
        (light, "", "active", 2, 5),
        (light, "no visit with marker >= 2", "placebo", 0, 1),
        (light, "", "placebo", 2, 2),
        (high, "no visit with marker >= 4", "active", 0, 1),
        (high, "", "active", 2, 4),
        (high, "no visit with marker >= 4", "placebo", 1, 1),
        (high, "", "placebo", 1, 1),
        (last, "", "active", 2, 5),
        (last, "", "placebo", 1, 1),
    ]
    assert cohort.n_visits == 6
    assert flow(cohort.where(arm="placebo"))[-1] == ("5 keep arm placebo", "", "placebo", 1, 1)


def test_attrition_without_arms_counts_clones_and_never_below_nothing() -> None:
    roles = {key: value for key, value in ROLES.items() if key != "arm"}
    cohort = read(IndexRule(eligible=HIGH, time_zero="all"), roles)
    assert flow(cohort)[-1] == ("3 time zero: every eligible visit, as clones", "", "all", 5, cohort.n_visits)
    for time_zero in ("first", "last", "origin", "all"):
        for rules in ({}, HIGH):
            lines = flow_table(read(IndexRule(eligible=rules, time_zero=time_zero)))
            assert (lines[["patients", "visits"]] >= 0).all().all()
            last = lines[lines["step"] == lines["step"].iloc[-1]]
            kept = last[last["reason"] == ""]
            cohort = read(IndexRule(eligible=rules, time_zero=time_zero))
            assert kept["patients"].sum() == cohort.n_subjects and kept["visits"].sum() == cohort.n_visits


def test_subjects_without_a_visit_at_the_origin_are_counted() -> None:
    cohort = read(IndexRule(time_zero="origin"), text=TABLE.replace("D,placebo,0,", "D,placebo,30,"))
    assert cohort.subjects.index.tolist() == ["A", "B", "C"]
    assert flow(cohort)[-2:] == [
        ("2 time zero: the visit at the origin", "no such visit", "placebo", 1, 1),
        ("2 time zero: the visit at the origin", "", "placebo", 1, 2),
    ]
    with pytest.raises(CohortError, match="an eligible visit at the origin"):
        read(IndexRule(eligible={"late": "day > 10"}, time_zero="origin"))


def test_a_rule_that_leaves_nobody_is_refused() -> None:
    with pytest.raises(CohortError, match="visits with marker > 100, got none after the rules before it"):
        read(IndexRule(eligible={"huge": "marker > 100"}))


def test_a_random_visit_needs_a_key_and_the_same_key_gives_the_same_visits() -> None:
    index = IndexRule(time_zero="random")
    with pytest.raises(CohortError, match="a key"):
        read(index)
    drawn = [zeros(read(index, seed=seed)) for seed in range(40)]
    assert drawn[3] == zeros(read(index, seed=3))
    allowed = {"A": {1, 5, 6}, "B": {4, 2, 7}, "C": {1, 2}, "D": {8}}
    assert {who: {one[who] for one in drawn} for who in allowed} == allowed
    eligible = zeros(read(IndexRule(eligible=HIGH, time_zero="random"), seed=1))
    assert set(eligible) == {"A", "B", "D"} and min(eligible.values()) >= 4


def test_an_empty_baseline_value_is_carried_forward_as_far_as_allowed() -> None:
    roles = {**ROLES, "covariates": {"weight": {"column": "weight", "unit": "kg"}}}
    with pytest.raises(CohortError, match=r"an empty cell in row 3 \(1 of 3 subjects\)"):
        read(IndexRule(eligible=HIGH), roles)
    cohort = read(IndexRule(eligible=HIGH, carry=1.0), roles)
    assert cohort.subjects["weight"].to_dict() == {"A": 70, "B": 80, "D": 90}
    (line,) = cohort.ledger
    assert (line.kind, line.column, line.rows, line.subjects) == ("carry forward", "weight", (("table", 2),), 1)
    assert ledger_table(cohort.ledger)["first"].tolist() == ["table: row 2"]
    with pytest.raises(CohortError, match="an empty cell in row 4"):
        read(IndexRule(eligible=HIGH, time_zero="last", carry=1.9), roles)
    last = read(IndexRule(eligible=HIGH, time_zero="last", carry=2.0), roles)
    assert last.subjects["weight"].to_dict() == {"A": 70, "B": 82, "D": 90}


def test_the_value_carried_is_the_latest_one_and_never_a_later_one() -> None:
    roles = {**ROLES, "covariates": {"weight": {"column": "weight", "unit": "kg"}}}
    text = TABLE.replace("A,active,365.25,5,,", "A,active,365.25,5,75,")
    assert read(IndexRule(eligible=HIGH, time_zero="last", carry=9), roles, text).subjects["weight"]["A"] == 75
    text = TABLE.replace("A,active,0,1,70,", "A,active,0,1,,").replace("A,active,730.5,6,,", "A,active,730.5,6,75,")
    with pytest.raises(CohortError, match="an empty cell in row 3"):
        read(IndexRule(eligible=HIGH, carry=9), roles, text)


def test_a_rule_that_reads_the_future_is_refused_unless_a_reason_is_given() -> None:
    rules = {"long enough": "stop > 1500"}
    with pytest.raises(CohortError, match=r"'stop', which is events.end.time, in the rule 'long enough'"):
        read(IndexRule(eligible=rules))
    with pytest.raises(CohortError, match=r"'event', which is events\.end\.column"):
        read(IndexRule(eligible={"alive": "marker > 0 and event != death"}))
    cohort = read(IndexRule(eligible=rules, future="landmark analysis"))
    assert cohort.subjects.index.tolist() == ["A", "B"]
    assert "known only later: landmark analysis" in flow_table(cohort)["reason"].str.cat()


def test_immortal_time_is_refused_with_its_person_years() -> None:
    with pytest.raises(CohortError) as caught:
        read(IndexRule(start="dose"))
    assert "time zero before it in 1 of 4 subjects, together 1.0 person-years" in str(caught.value)
    assert "first: subject B, 1.00 years" in str(caught.value)
    assert read(IndexRule(eligible={"treated": "marker != 4"}, start="dose")).n_subjects == 4
    with pytest.raises(CohortError, match="a column 'doze'"):
        read(IndexRule(start="doze"))


def test_a_start_needs_a_time() -> None:
    roles = {key: value for key, value in ROLES.items() if key not in ("time", "outcomes")}
    once = TABLE.splitlines()
    text = "\n".join([once[0], once[1], once[4], once[7], once[9]])
    assert read(IndexRule(), roles, text).n_subjects == 4
    with pytest.raises(CohortError, match="a time role"):
        read(IndexRule(start="dose"), roles, text)


def test_a_table_of_events_is_about_every_clone() -> None:
    frame = pd.read_csv(io.StringIO(TABLE))
    events = frame.drop_duplicates("id")[["id", "event", "stop"]]
    visits = frame.drop(columns=["event", "stop"])
    for time_zero in ("all", "first"):
        rule = IndexRule(eligible=HIGH, time_zero=time_zero)
        apart, beside = read_cohort(visits, ROLES, events=events, index=rule), read(rule)
        pd.testing.assert_frame_equal(apart.events.drop(columns="row"), beside.events.drop(columns="row"))


def test_a_random_time_zero_does_not_depend_on_the_order_of_subjects() -> None:
    lines = TABLE.splitlines()
    turned = "\n".join([lines[0], *lines[7:], *lines[4:7], *lines[1:4]])
    rule = IndexRule(time_zero="random")
    draws = [(zeros(read(rule, seed=seed)), zeros(read(rule, text=turned, seed=seed))) for seed in range(8)]
    assert all(one == other for one, other in draws)
    assert len({tuple(one.items()) for one, _ in draws}) > 1


def test_attrition_begins_with_the_file() -> None:
    """Rules that leave rows out are steps of their own, and so are visits after the end of follow-up."""
    late = TABLE + "D,placebo,1200,9,90,,death,1095.75\n"
    drops = {**ROLES["events"]["end"], "visits_after": "drop"}
    cohort = read_cohort(
        pd.read_csv(io.StringIO(late)),
        {**ROLES, "events": {"end": drops}},
        rules=[
            {"when": "weight == 60", "do": "drop rows", "reason": "not a visit"},
            {"when": "id == B", "do": "drop subjects", "reason": "withdrawn"},
        ],
        index=IndexRule(),
    )
    steps = flow_table(cohort)
    kept = steps[steps["reason"] == ""].groupby("step", sort=False)[["patients", "visits"]].sum()
    assert kept.reset_index().values.tolist() == [
        ["1 read", 4, 10],
        ["2 without: weight == 60", 4, 9],
        ["3 without: id == B", 3, 6],
        ["4 time zero: first eligible visit", 3, 6],
        ["5 visits up to the end of follow-up", 3, 5],
    ]


def test_a_subject_measured_only_before_time_zero_is_refused() -> None:
    text = TABLE.replace("B,active,365.25,2", "B,active,365.25,").replace("B,active,1461,7", "B,active,1461,")
    assert read(IndexRule(), text=text).n_subjects == 4
    with pytest.raises(CohortError, match="none at any of its visits from time zero on"):
        read(IndexRule(eligible={"heavier": "weight >= 82"}, time_zero="last"), text=text)


def test_an_unreadable_rule_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="a number after >="):
        IndexRule(eligible={"high": "marker >= much"})
