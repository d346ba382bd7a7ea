"""A cohort that was written reads as it was."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm.cohort import Cohort, IndexRule, Roles, read_adam, read_cohort, read_written, write_adam, write_cohort
from dpm.cohort.column import TextColumn
from dpm.cohort.csv_file import _parse, _plain
from dpm.errors import CohortError

from .random_cohorts import ROLES, read, tables
from .same import assert_same
from .tables import PBC_ROLES, SMALL, SMALL_ROLES


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(table=tables())
@settings(max_examples=15)
def test_what_was_written_reads_the_same(
    table: pd.DataFrame, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cohort = read(table)
    path = tmp_path_factory.mktemp("written") / f"cohort{suffix}"
    write_cohort(cohort, path)
    assert_same(cohort, read_written(path))


@pytest.mark.parametrize("suffix", [".xpt", ".csv"])
@given(table=tables(plain_ids=True))
@settings(max_examples=12)
def test_adam_reads_as_it_was(table: pd.DataFrame, suffix: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    cohort = read(table, ROLES)
    folder = tmp_path_factory.mktemp("adam")
    roles = write_adam(cohort, folder, suffix=suffix)
    tables = read_adam(folder / f"adsl{suffix}", folder / f"adlb{suffix}", folder / f"adtte{suffix}")
    again = read_cohort(tables, roles, index=IndexRule(time_zero="origin"))
    assert_same(cohort, renamed(again))


def renamed(cohort: Cohort) -> Cohort:
    return replace(cohort, subjects=cohort.subjects.rename(columns={"STAGE": "stage"}))


def test_a_written_trial_reads_the_same(tmp_path: Path) -> None:
    trial = read_cohort("data:pbc/pbc_longitudinal.csv", PBC_ROLES)
    files = write_cohort(trial, tmp_path / "pbc.parquet")
    assert [file.name for file in files] == ["pbc.parquet", "pbc_events.parquet", "pbc_roles.json"]
    again = read_written(tmp_path / "pbc.parquet")
    assert_same(trial, again)
    assert again.roles.label("log_bilirubin") == "Serum bilirubin"
    assert Roles.model_validate_json((tmp_path / "pbc_roles.json").read_text()) == again.roles


def test_a_trial_as_adam(tmp_path: Path) -> None:
    trial = read_cohort("data:pbc/pbc_longitudinal.csv", PBC_ROLES)
    names = {"log_bilirubin": "BILI", "cholesterol": "CHOL", "log_albumin": "ALB"}
    with pytest.raises(CohortError, match="up to 8 capitals, digits and _, got 'LOG_BILIRUBIN'"):
        write_adam(trial, tmp_path)
    roles = write_adam(trial, tmp_path, names=names)
    tables = read_adam(tmp_path / "adsl.xpt", [tmp_path / "adlb.xpt"], tmp_path / "adtte.xpt")
    assert tables.visits.units["BILI"] == "mg/dL"
    assert tables.visits.units["DAY"] == "days"
    again = read_cohort(tables, roles)
    subjects = again.subjects.rename(columns={"STAGE": "stage", "EDEMA": "edema"})
    assert_same(trial, replace(again, subjects=subjects))


def small() -> Cohort:

    return read_cohort(pd.read_csv(io.StringIO(SMALL)), SMALL_ROLES)


REFUSED_CSV: dict[str, tuple[Any, str]] = {
    "no baseline": (lambda c, p: write_cohort(c.after(0.1), p / "c.csv"), "a visit at time 0 of every subject"),
    "suffix": (lambda c, p: write_cohort(c, p / "c.xlsx"), "a file ending in .csv or .parquet"),
    "roles gone": (lambda c, p: read_written(p / "none.csv"), "the roles that write_cohort wrote"),
    "roles spoilt": (
        lambda c, p: ((p / "c_roles.json").write_text("{"), read_written(p / "c.csv")),
        "roles as JSON",
    ),
    "unknown name": (lambda c, p: write_adam(c, p, names={"x": "X"}), "names among"),
    "long name": (lambda c, p: write_adam(c, p), "up to 8 capitals"),
    "same name": (
        lambda c, p: write_adam(c, p, names={"log_marker": "AGE"}),
        "names that differ, got 'AGE' twice",
    ),
    "own name": (lambda c, p: write_adam(c, p, names={"log_marker": "TRT01P"}), "up to 8 capitals"),
}


@pytest.mark.parametrize("case", REFUSED_CSV)
def test_what_could_not_be_read_again_is_refused(case: str, tmp_path: Path) -> None:
    action, message = REFUSED_CSV[case]
    with pytest.raises(CohortError, match=message):
        action(small(), tmp_path)
    assert not list(tmp_path.glob("*.xpt")) and not list(tmp_path.glob("c.csv"))


@given(table=tables(plain_ids=True))
@settings(max_examples=5)
def test_adam_refuses_what_it_would_lose(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(CohortError, match="what ADaM has a place for"):
        write_adam(read(table), tmp_path_factory.mktemp("adam"))


def test_adam_refuses_part_days_and_text_that_is_not_ascii(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["é", "é"], "hour": [0.0, 0.3], "y": [1.0, 2.0]})
    outcome = {"y": {"column": "y", "unit": "1", "higher_is": "worse"}}
    roles: dict[str, object] = {"subject": "id", "time": {"column": "hour", "unit": "days"}, "outcomes": outcome}
    with pytest.raises(CohortError, match="not whole days"):
        write_adam(read_cohort(frame, roles), tmp_path)
    with pytest.raises(CohortError, match="plain ASCII"):
        write_adam(read_cohort(frame.assign(hour=[0.0, 2.0]), roles), tmp_path)
    assert not list(tmp_path.iterdir())


@given(table=tables(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_order_of_subjects_and_columns_changes_nothing(
    table: pd.DataFrame, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cohort = read(table)
    path = tmp_path_factory.mktemp("shuffled") / "cohort.parquet"
    write_cohort(cohort, path)
    rng = np.random.default_rng(seed)
    written = pd.read_parquet(path)
    order = rng.permutation(cohort.subjects.index.to_numpy())
    mixed = pd.concat([written[written["subject"] == who] for who in order], ignore_index=True)
    mixed[rng.permutation(written.columns)].to_parquet(path, index=False)
    again = read_written(path)
    assert again.subjects.index.tolist() == order.tolist()
    assert_same(cohort.subset(order), _in_order(again, cohort))


def _in_order(cohort: Cohort, like: Cohort) -> Cohort:
    """The same cohort with its subjects in the order of another."""
    place = pd.Series(np.arange(like.n_subjects), index=like.subjects.index)

    def ordered(frame: pd.DataFrame, *by: str) -> pd.DataFrame:
        keys = [frame["subject"].map(place).to_numpy()]
        keys = [frame[column].to_numpy() for column in by] + keys
        return frame.iloc[np.lexsort(keys)].reset_index(drop=True)

    events = cohort.events.assign(code=pd.Categorical(cohort.events["process"], list(like.roles.events)).codes)
    return replace(
        cohort,
        subjects=cohort.subjects.loc[like.subjects.index],
        visits=ordered(cohort.visits, "time"),
        history=ordered(cohort.history, "time"),
        events=events.assign(place=events["subject"].map(place))
        .sort_values(["code", "place"], kind="stable")
        .drop(columns=["code", "place"])
        .reset_index(drop=True),
    )


@given(text=st.text('ab,."\n\r 01;\t#é\ufeff\x0b\x0c\x1c\x85\u2028', max_size=40))
@settings(max_examples=150)
def test_the_fast_and_the_strict_reader_agree(text: str) -> None:
    """Wherever the fast one reads a file at all, the strict one reads the same cells on the same lines."""
    content = text.encode()
    if not content.strip():
        return
    try:
        fast = _plain(content, "t.csv")
    except CohortError:
        fast = None
    if fast is None:
        return
    header, rows, lines = _parse(text, "t.csv")
    columns, places = fast
    assert list(columns) == header
    assert places.tolist() == lines
    strict = dict(zip(header, zip(*rows, strict=True), strict=True))
    for name, cells in strict.items():
        assert columns[name].text().tolist() == TextColumn.of(cells).text().tolist()


@given(table=st.lists(st.tuples(*[st.text("ab .\"é'0\x0b\u2028", max_size=3)] * 3), min_size=1, max_size=5))
@settings(max_examples=200)
def test_the_readers_agree_on_tables(table: list[tuple[str, str, str]]) -> None:
    text = "x,y,z\n" + "\n".join(",".join(row) for row in table) + "\n"
    fast = _plain(text.encode(), "t.csv")
    if fast is None:
        return
    header, rows, lines = _parse(text, "t.csv")
    assert fast[1].tolist() == lines
    for position, name in enumerate(header):
        assert fast[0][name].text().tolist() == [row[position].strip() for row in rows]
