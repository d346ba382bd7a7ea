"""What a cell of an outcome becomes: a number of each kind, a censored value, a structural value, a missing one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpm.cohort import Cohort, read_cohort
from dpm.errors import CohortError


def read(cells: list[Any], role: dict[str, Any], **columns: list[Any]) -> Cohort:
    """One outcome of one subject, seen every month; row 1 is the header."""
    n = len(cells)
    frame = pd.DataFrame({"id": ["A"] * n, "month": np.arange(float(n)), "y": cells, **columns})
    outcome = {"column": "y", "unit": "mg/dL", "higher_is": "worse", **role}
    roles = {"subject": "id", "time": {"column": "month", "unit": "months"}, "outcomes": {"y": outcome}}
    return read_cohort(frame, roles)


def said(cohort: Cohort) -> list[tuple[float, str]]:
    """Value and censoring of each visit."""
    return list(zip(cohort.visits["y"].tolist(), cohort.visits["y_censored"].astype(str).tolist(), strict=True))


@pytest.mark.parametrize(
    ("role", "cells", "expected"),
    [
        ({}, [1.5, None, -2.0], [1.5, np.nan, -2.0]),
        ({"transform": "log"}, ["1", "", "7.5"], [0.0, np.nan, np.log(7.5)]),
        ({"kind": "bounded", "lower": 0, "upper": 10}, [0.0, 10.0, 3.3], [0, 10, 3.3]),
        ({"kind": "integer", "lower": 0, "upper": 48}, [0.0, 48.0, None], [0, 48, np.nan]),
        ({"kind": "count"}, ["0", "12", ""], [0, 12, np.nan]),
        ({"kind": "binary"}, [0.0, 1.0, None], [0, 1, np.nan]),
        ({"kind": "ordinal", "levels": ["low", "mid", "high"]}, ["high", "", "low"], [2, np.nan, 0]),
        ({"kind": "ordinal", "levels": ["1", "2", "10"]}, [10.0, 1.0, 2.0], [2, 0, 1]),
        ({"kind": "state", "levels": ["well", "ill"]}, ["ill", "well", "ill"], [1, 0, 1]),
    ],
)
def test_every_kind(role: dict[str, Any], cells: list[Any], expected: list[float]) -> None:
    cohort = read(cells, role)
    np.testing.assert_allclose(cohort.visits["y"], expected)
    assert not [column for column in cohort.visits if str(column).startswith("y_")]


@pytest.mark.parametrize(
    ("role", "cells", "message"),
    [
        ({"kind": "bounded", "lower": 0, "upper": 10}, [1.0, 10.5], r"mg/dL in \[0, 10\], got 10.5 in row 3 \(1 of 2"),
        ({"kind": "integer", "lower": 0, "upper": 48}, [1.0, 2.5], r"whole mg/dL, got 2.5 in row 3"),
        ({"kind": "count"}, [1.0, -1.0], "whole numbers from 0 upwards, got -1 in row 3"),
        ({"kind": "count"}, [1.0, 0.5], "whole numbers from 0 upwards, got 0.5"),
        ({"kind": "binary"}, [1.0, 2.0], "0 or 1, got 2 in row 3"),
        (
            {"kind": "ordinal", "levels": ["low", "high"]},
            ["low", "mid"],
            "declared levels: low, high, got 'mid' in row",
        ),
        ({"kind": "state", "levels": ["0", "1"]}, [0.0, 2.0], "one of the declared levels: 0, 1, got 2"),
        ({}, ["1", "<2"], "numbers, got the text '<2' in row 3"),
    ],
)
def test_what_a_kind_cannot_be(role: dict[str, Any], cells: list[Any], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read(cells, role)


def test_a_limit_that_is_a_number() -> None:
    role = {"transform": "log", "lower": 0.0, "limits": {"below": 2.0, "above": 50.0}}
    cohort = read([0.0, 1.9, 2.0, 50.0, 51.0, None], role)
    low, high = np.log(2.0), np.log(50.0)
    expected = [(low, "below"), (low, "below"), (low, ""), (high, ""), (high, "above")]
    assert said(cohort)[:-1] == expected and np.isnan(said(cohort)[-1][0])
    assert [(line.kind, line.rule, [row for _, row in line.rows]) for line in cohort.ledger] == [
        ("censor", "y below its limit", [2, 3]),
        ("censor", "y above its limit", [6]),
    ]
    assert np.asarray(cohort.records().censored["y"])[:, 0].tolist() == [1, 1, 0, 0, 2, 0]


def test_a_limit_of_each_value() -> None:
    role = {"limits": {"below": "lloq", "above": "uloq"}}
    cohort = read([1.0, 1.0, 9.0, 9.0], role, lloq=[2.0, 0.5, 2.0, None], uloq=[8.0, 8.0, 8.0, None])
    assert said(cohort) == [(2, "below"), (1, ""), (8, "above"), (9, "")]


def test_flags() -> None:
    limits = {"below": "lloq", "flag": "f", "flags": {"BLQ": "below", "ALQ": "above", "ok": "measured"}}
    cohort = read([None, 1.0, 7.0, 3.0], {"limits": limits}, f=["BLQ", "ok", "ALQ", ""], lloq=[2.0, 2.0, 2.0, 2.0])
    assert said(cohort) == [(2, "below"), (1, ""), (7, "above"), (3, "")]
    with pytest.raises(CohortError, match=r"f: expected one of: BLQ, ALQ, ok, got 'LOW' in row 2 \(1 of 1 rows\)"):
        read([1.0], {"limits": limits}, f=["LOW"], lloq=[2.0])
    with pytest.raises(CohortError, match="lloq: expected a limit for each value flagged below, got an empty cell"):
        read([3.0, 1.0], {"limits": limits}, f=["ok", "BLQ"], lloq=[2.0, None])
    with pytest.raises(
        CohortError, match="y: expected the limit of each value flagged above, got an empty cell in row 3"
    ):
        read([3.0, None], {"limits": limits}, f=["ok", "ALQ"], lloq=[2.0, 2.0])


def test_signs() -> None:
    role = {"limits": {"signs": True}}
    cohort = read(["<0.3", "0.3", "> 500", "<=2", ">=7e1", "", "-1"], role)
    expected = [(0.3, "below"), (0.3, ""), (500, "above"), (2, "below"), (70, "above")]
    assert said(cohort)[:5] == expected and said(cohort)[6] == (-1, "")
    for wrong in ("<", "<<3", "<>3", "=3", "3<", "< x", "inf", "<inf", "nan"):
        with pytest.raises(CohortError, match=r"finite numbers after < or >, got .* in row 3 \(1 of 2 rows\)"):
            read(["1", wrong], role)


def test_a_sign_is_stronger_than_a_limit() -> None:
    cohort = read(["<0.3", ">0.3", "0.3", "<5"], {"limits": {"signs": True, "below": 1.0}})
    assert said(cohort) == [(0.3, "below"), (0.3, "above"), (1, "below"), (5, "below")]
    limits = {"signs": True, "flag": "f", "flags": {"L": "below"}}
    assert said(read(["<3", "2"], {"limits": limits}, f=["L", "L"])) == [(3, "below"), (2, "below")]
    with pytest.raises(CohortError, match="f: expected what y says by its sign, got 'L' in row 2"):
        read([">3", "2"], {"limits": limits}, f=["L", ""])


def test_intervals() -> None:
    role = {"transform": "log", "limits": {"until": "to"}}
    cohort = read([1.0, 2.0, 3.0, None], role, to=[4.0, 2.0, None, None])
    assert [one[1] for one in said(cohort)] == ["interval", "", "", ""]
    np.testing.assert_allclose(cohort.visits["y_until"], [np.log(4.0), np.nan, np.nan, np.nan])
    assert cohort.ledger[0].rule == "y within an interval" and len(cohort.ledger[0].rows) == 1
    for y, to, message in (
        (3.0, 2.0, "an upper end from y upwards, got 2 in row 2"),
        (None, 2.0, "no upper end where y is empty, got 2 in row 2"),
    ):
        with pytest.raises(CohortError, match=message):
            read([y, 1.0], {"limits": {"until": "to"}}, to=[to, None])
    with pytest.raises(CohortError, match="not both for one value"):
        read([1.0], {"limits": {"until": "to", "below": 2.0}}, to=[3.0])


WALK = [{"when": "walks == no", "value": 0, "reason": "cannot walk"}]


def test_structural_zeros() -> None:
    cohort = read([None, 0.0, 7.0, None], {"structural": WALK}, walks=["no", "no", "yes", "yes"])
    np.testing.assert_array_equal(cohort.visits["y"], [0, 0, 7, np.nan])
    assert cohort.visits["y_reason"].tolist() == ["cannot walk", "cannot walk", "", ""]
    (line,) = cohort.ledger
    assert (line.kind, line.rule, line.reason) == ("structural zero", "walks == no: y is 0", "cannot walk")
    assert [row for _, row in line.rows] == [2, 3] and line.subjects == 1
    with pytest.raises(CohortError, match="y: expected 0 or an empty cell where walks == no, got 7 in row 3"):
        read([None, 7.0], {"structural": WALK}, walks=["no", "no"])


def test_a_structural_value_is_exact_whatever_the_limits() -> None:
    role = {"structural": WALK, "limits": {"below": 5.0}}
    assert said(read([None, 3.0], role, walks=["no", "yes"])) == [(0, ""), (5, "below")]
    role = {"structural": WALK, "limits": {"signs": True}}
    assert said(read(["", "<3"], role, walks=["no", "yes"])) == [(0, ""), (3, "below")]
    with pytest.raises(CohortError, match=r"0 or an empty cell where walks == no, got '<3' in row 2"):
        read(["<3"], role, walks=["no"])


@pytest.mark.parametrize(
    ("levels", "value", "cells"),
    [(["none", "some"], "none", ["", "none", "some"]), (["0", "1"], 0, [None, 0.0, 1.0])],
)
def test_a_structural_level(levels: list[str], value: object, cells: list[Any]) -> None:
    structural = [{"when": "walks == no", "value": value, "reason": "cannot walk"}]
    role = {"kind": "ordinal", "levels": levels, "structural": structural}
    cohort = read(cells, role, walks=["no", "no", "yes"])
    assert cohort.visits["y"].tolist() == [0, 0, 1]
    assert cohort.visits["y_reason"].tolist() == ["cannot walk", "cannot walk", ""]
    with pytest.raises(CohortError, match=r"or an empty cell where walks == no, got .* in row 4"):
        read(cells, role, walks=["no", "no", "no"])


@pytest.mark.parametrize(
    "role",
    [
        {"kind": "ordinal", "levels": ["a", "b"], "structural": WALK},
        {"structural": [{**WALK[0], "value": "none"}]},
        {"structural": [{**WALK[0], "value": float("inf")}]},
        {"limits": {}},
        {"limits": {"flag": "f"}},
        {"kind": "count", "limits": {"below": 1}},
        {"kind": "ordinal"},
        {"kind": "bounded", "lower": 0},
        {"levels": ["a", "b"]},
        {"kind": "state", "levels": ["a", "a"]},
    ],
)
def test_a_role_that_cannot_be_meant_is_refused(role: dict[str, Any]) -> None:
    with pytest.raises(CohortError, match=r"roles: outcomes\.y"):
        read([1.0], role, walks=["no"], f=[""])


def test_reasons() -> None:
    role = {"reason": "why", "structural": WALK}
    walks = ["yes", "yes", "no", "yes"]
    cohort = read([1.0, None, None, None], role, why=["", "refused", "", ""], walks=walks)
    assert cohort.visits["y_reason"].tolist() == ["", "refused", "cannot walk", ""]
    with pytest.raises(
        CohortError, match="a reason only where the value is missing, got 'refused' beside a value in row 2"
    ):
        read([1.0], {"reason": "why"}, why=["refused"])


def test_a_flag_and_its_value_contradict_each_other() -> None:
    limits = {"below": 0.3, "flag": "f", "flags": {"1": "below", "0": "measured"}}
    with pytest.raises(CohortError, match=r"a value flagged below on that side of its limit, got 3 in row 3 \(1 of 2"):
        read([0.1, 3.0], {"limits": limits}, f=[1, 1])


@pytest.mark.parametrize(
    ("role", "message"),
    [({"upper": 2.0}, r"mg/dL up to 2, got 5"), ({"transform": "logit"}, r"shares between 0 and 1 .*, got 5")],
)
def test_the_upper_end_of_an_interval_is_a_value_too(role: dict[str, Any], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        read([0.5, 0.6], {**role, "limits": {"until": "u"}}, u=[None, 5.0])
