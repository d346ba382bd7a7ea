"""What is read is what was written, whatever the order of columns and the kind of source."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm.cohort import Cohort, Encodings, Roles, parse_roles, read_cohort
from dpm.cohort.transforms import TRANSFORMS, TransformName
from dpm.errors import CohortError

from .tables import PBC_ROLES, SMALL, SMALL_ROLES, as_text, edited, with_roles

LONG_ROLES = parse_roles(
    {
        "subject": "who",
        "time": {"column": "when", "unit": "months"},
        "outcomes": {
            "one": {"column": "y1", "unit": "1", "higher_is": "better"},
            "two": {"column": "y2", "unit": "1", "higher_is": "worse"},
        },
        "covariates": {"z": {"column": "z", "unit": "1"}},
        "groups": ["site"],
    }
)


def without_file(frame: pd.DataFrame) -> pd.DataFrame:
    """All but the name of the file, which differs between a table and its file."""
    return frame.drop(columns="file", errors="ignore")


def read(text: str, roles: Roles | dict[str, Any] = SMALL_ROLES) -> Cohort:
    return read_cohort(pd.read_csv(io.StringIO(text)), roles)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """A long table of a few subjects, with gaps, whose rows need not be grouped by subject."""
    finite = st.floats(-1e6, 1e6, allow_nan=False)
    rows = []
    for who in draw(st.lists(st.text("abcXYZ019_", min_size=1, max_size=4), min_size=1, max_size=6, unique=True)):
        later = sorted(draw(st.sets(st.floats(0.01, 200.0), max_size=5)))
        z, site = draw(finite), draw(st.sampled_from(["north", "south", "7"]))
        first = draw(finite)
        for when in [0.0, *later]:
            y1 = first if when == 0 else draw(st.none() | finite)
            rows.append(
                {"who": f"s{who}", "when": when, "y1": y1, "y2": draw(st.none() | finite), "z": z, "site": site}
            )
    table = pd.DataFrame(rows).astype({"y1": float, "y2": float})
    return table.sort_values("when", kind="stable") if draw(st.booleans()) else table


@given(table=tables(), order=st.permutations(range(6)))
@settings(deadline=None, max_examples=40)
def test_the_order_of_columns_changes_nothing(table: pd.DataFrame, order: list[int]) -> None:
    one, two = read_cohort(table, LONG_ROLES), read_cohort(table.iloc[:, order], LONG_ROLES)
    for name in ("subjects", "visits", "events"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name))


@given(table=tables())
@settings(deadline=None, max_examples=40)
def test_a_file_reads_as_its_frame(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cohort") / "table.csv"
    path.write_text(as_text(table), encoding="utf-8")
    one, two = read_cohort(table, LONG_ROLES), read_cohort(path, LONG_ROLES)
    for name in ("subjects", "visits", "events"):
        pd.testing.assert_frame_equal(without_file(getattr(one, name)), without_file(getattr(two, name)))
    assert one.sources[0].sha256 == two.sources[0].sha256


@given(table=tables())
@settings(deadline=None, max_examples=40)
def test_every_measurement_survives_into_records(table: pd.DataFrame) -> None:
    cohort = read_cohort(table, LONG_ROLES)
    records = cohort.records()
    for name, column in (("one", "y1"), ("two", "y2")):
        values, observed = np.asarray(records.values[name]), np.asarray(records.observed[name])
        assert observed.sum() == table[column].notna().sum()
        assert (values[~observed] == 0).all()
        for position, who in enumerate(cohort.subjects.index):
            mine = table[(table["who"] == who) & table[column].notna()]
            seen = observed[:, position]
            np.testing.assert_array_equal(values[seen, position], mine[column])
            np.testing.assert_array_equal(np.asarray(records.time)[seen, position], mine["when"] / 12)


@given(table=tables())
@settings(deadline=None, max_examples=40)
def test_padding_is_consistent(table: pd.DataFrame) -> None:
    cohort = read_cohort(table, LONG_ROLES)
    records = cohort.records()
    sizes = cohort.visits.groupby("subject").size().reindex(cohort.subjects.index).to_numpy()
    assert cohort.subjects.index.tolist() == table["who"].drop_duplicates().tolist()
    assert records.time.shape == (sizes.max(), cohort.n_subjects)
    padded = np.arange(sizes.max())[:, None] >= sizes[None, :]
    assert (np.asarray(records.time)[padded] == 0).all()
    for observed in records.observed.values():
        assert not np.asarray(observed)[padded].any()
    assert (np.asarray(records.groups["site"]).sum(axis=0) == 1).all()


@given(table=tables(), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_a_subset_is_the_same_subjects(table: pd.DataFrame, seed: int) -> None:
    """Selecting subjects and taking their columns of the records is the same thing."""
    cohort = read_cohort(table, LONG_ROLES)
    chosen = np.random.default_rng(seed).random(cohort.n_subjects) < 0.5
    chosen[0] = True
    ids = cohort.subjects.index[chosen]
    encodings = Encodings.learn(cohort)
    mine, taken = cohort.subset(ids[::-1]).records(encodings), cohort.records(encodings).take(np.flatnonzero(chosen))
    depth = mine.time.shape[0]
    np.testing.assert_array_equal(mine.time, taken.time[:depth])
    np.testing.assert_array_equal(mine.values["two"], taken.values["two"][:depth])
    np.testing.assert_array_equal(mine.covariates["z"], taken.covariates["z"])
    np.testing.assert_array_equal(mine.groups["site"], taken.groups["site"])
    assert not taken.observed["two"][depth:].any()


@given(table=tables(), time=st.floats(0, 20))
@settings(deadline=None, max_examples=40)
def test_until_and_after_share_out_the_visits(table: pd.DataFrame, time: float) -> None:
    cohort = read_cohort(table, LONG_ROLES)
    before, later = cohort.until(time), cohort.after(time)
    assert before.n_visits + later.n_visits == cohort.n_visits
    assert (before.visits["time"] <= time).all()
    assert (later.visits["time"] > time).all()
    assert later.records().n_subjects == before.records().n_subjects == cohort.n_subjects


@pytest.mark.parametrize("name", TRANSFORMS)
@given(share=st.floats(0.001, 0.999))
def test_transforms_undo_themselves_and_increase(name: TransformName, share: float) -> None:
    rule, x = TRANSFORMS[name], np.array([share, share + 0.0005])
    assert rule.accepts(x).all()
    np.testing.assert_allclose(rule.inverse(rule.forward(x)), x, rtol=1e-12)
    assert np.diff(rule.forward(x))[0] > 0


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [("log", 1e-300, 0.0), ("log1p", -0.999, -1.0), ("sqrt", 0.0, -1e-300), ("logit", 0.999, 1.0)],
)
def test_transforms_know_where_they_end(name: TransformName, accepted: float, refused: float) -> None:
    rule = TRANSFORMS[name]
    assert rule.accepts(np.array([accepted, refused, np.nan])).tolist() == [True, False, False]
    assert math.isfinite(rule.forward(np.array([accepted]))[0])


@pytest.mark.parametrize(("unit", "years"), [("days", 400 / 365.25), ("weeks", 400 * 7 / 365.25), ("months", 400 / 12)])
def test_time_is_in_years(unit: str, years: float) -> None:
    cohort = read(SMALL, with_roles(time={"column": "day", "unit": unit}, events=None))
    assert cohort.visits["time"].iloc[-1] == pytest.approx(years, rel=1e-15)


def test_origin_moves_visits_and_events() -> None:
    shifted = pd.read_csv(io.StringIO(SMALL))
    shifted[["day", "futime"]] += 1000
    roles = with_roles(
        time={"column": "day", "unit": "days", "origin": 1000},
        events={"end": {**SMALL_ROLES["events"]["end"], "origin": 1000}},
    )
    moved, plain = read_cohort(shifted, roles), read(SMALL)
    pd.testing.assert_frame_equal(moved.visits, plain.visits)
    pd.testing.assert_frame_equal(moved.events, plain.events)


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(edited(",1.5,", ",0.30000000000000004,").replace(",0.75,", ", +7.5e-1 ,"))
    cohort = read_cohort(tmp_path / "t.csv", SMALL_ROLES)
    assert cohort.visits["log_marker"].tolist()[3] == np.log(0.30000000000000004)
    assert cohort.visits["log_marker"].tolist()[6] == np.log(0.75)


def test_the_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    marked = read_cohort(tmp_path / "t.csv", SMALL_ROLES).visits
    pd.testing.assert_frame_equal(without_file(marked), without_file(read(SMALL).visits))


def test_subject_ids_are_text_and_keep_their_zeros(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(SMALL.replace("A1", "007").replace("B2", "7"))
    cohort = read_cohort(tmp_path / "t.csv", SMALL_ROLES)
    assert cohort.subjects.index.tolist() == ["007", "7", "C3"]
    assert cohort.subset([7]).n_visits == 2


def test_levels_are_in_numeric_order_and_whole_in_a_frame_of_floats() -> None:
    frame = pd.read_csv(io.StringIO(SMALL)).astype({"stage": float})
    cohort = read_cohort(frame, SMALL_ROLES)
    assert cohort.subjects["stage"].cat.categories.tolist() == ["1", "2", "10"]
    assert Encodings.learn(cohort).levels == {"stage": ("1", "2", "10")}


def test_baseline_is_the_visit_at_time_zero() -> None:
    """Even where subjects interleave and the value changes later."""
    frame = pd.read_csv(io.StringIO(SMALL)).sort_values("day", kind="stable").reset_index(drop=True)
    frame.loc[frame["day"] > 0, "age"] += 10
    cohort = read_cohort(frame, SMALL_ROLES)
    assert cohort.subjects["age"].to_dict() == {"A1": 50, "B2": 61, "C3": 44}


def test_a_subject_first_measured_later_is_kept() -> None:
    cohort = read(edited("0,0.5,7,", "0,,,"))
    assert cohort.n_subjects == 3
    assert np.asarray(cohort.records().observed["log_marker"])[:, 2].tolist() == [False, True, False]


def test_spaces_around_a_text_do_not_make_a_level(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(SMALL.replace(",female,", ", female ,").replace("B2,", "B2 ,"))
    pd.testing.assert_frame_equal(read_cohort(tmp_path / "t.csv", SMALL_ROLES).subjects, read(SMALL).subjects)


def test_a_declared_level_may_be_absent() -> None:
    roles = with_roles(covariates={"other": {"column": "sex", "level": "x", "levels": ["female", "male", "x"]}})
    assert read(SMALL, roles).subjects["other"].tolist() == [0, 0, 0]


def test_without_arm_covariates_or_events() -> None:
    cohort = read(SMALL, with_roles(arm=None, covariates={}, subgroups=[], events=None))
    columns = ["subject", "process", "event", "entry", "time", "until", "file", "row"]
    assert cohort.arms.to_dict() == {"all": 3}
    assert (len(cohort.events), list(cohort.events.columns)) == (0, columns)
    records = cohort.records()
    assert (records.covariates, records.groups) == ({}, {})


def test_encodings_survive_json_and_replay() -> None:
    cohort = read_cohort("data:pbc/pbc_longitudinal.csv", PBC_ROLES)
    learned = Encodings.learn(cohort)
    back = Encodings.from_dict(json.loads(json.dumps(learned.to_dict())))
    assert back == learned
    one, two = cohort.records(learned), cohort.records(back)
    for name, values in one.covariates.items():
        np.testing.assert_array_equal(values, two.covariates[name])
    assert learned.levels["stage"] == ("1", "2", "3", "4")
    assert set(learned.levels) == {"stage", "edema"}


def test_an_unseen_level_is_a_column_of_zeros() -> None:
    cohort = read(SMALL)
    learned = Encodings.learn(cohort.subset(["A1", "B2"]))
    groups = np.asarray(cohort.records(learned).groups["stage"])
    np.testing.assert_array_equal(groups, [[1, 0, 0], [0, 1, 0]])


def test_roles_survive_json() -> None:
    assert Roles.model_validate_json(PBC_ROLES.model_dump_json()) == PBC_ROLES
    assert PBC_ROLES.label("log_bilirubin") == "Serum bilirubin"
    assert PBC_ROLES.label("log_albumin") == "log albumin"


def test_decimal_identifiers_too_long_for_them_are_refused() -> None:
    frame = pd.DataFrame({"id": [2.0**53 + 2.0, 1.0], "y": [1.0, 2.0], "t": [0.0, 0.0]})
    outcome = {"column": "y", "unit": "1", "higher_is": "worse"}
    roles = {"subject": "id", "time": {"column": "t", "unit": "years"}, "outcomes": {"y": outcome}}
    with pytest.raises(CohortError, match="identifiers that decimal numbers can hold"):
        read_cohort(frame, roles)
    assert read_cohort(frame.assign(id=[2.0**53, 1.0]), roles).n_subjects == 2
