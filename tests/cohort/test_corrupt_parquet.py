"""Parquet files with errors of many kinds are refused, and none is half-read."""

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from dpm.cohort import read_cohort

from .tables import SMALL, SMALL_ROLES
from .test_refusals import refusal

TABLE = pa.Table.from_pandas(pd.read_csv(io.StringIO(SMALL)), preserve_index=False)
ROWS = TABLE.num_rows


def column(name: str, values: list[object], kind: pa.DataType | None = None) -> Callable[[], pa.Table]:
    """The table with another column of that name."""
    return lambda: TABLE.set_column(TABLE.column_names.index(name), name, pa.array(values, kind))


def marker(first: object, kind: pa.DataType | None = None) -> Callable[[], pa.Table]:
    return column("marker", [first] * ROWS, kind)


TABLES: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "lists": (marker([1.0, 2.0]), "a column of numbers or texts, got cells of list<"),
    "structs": (marker({"value": 1.0}), "a column of numbers or texts, got cells of struct<"),
    "maps": (marker([("a", 1.0)], pa.map_(pa.string(), pa.float64())), "got cells of map<"),
    "lists in a column of no role": (
        lambda: TABLE.append_column("notes", pa.array([["a"]] * ROWS)),
        "notes: expected a column of numbers or texts",
    ),
    "bytes": (column("id", [b"A1"] * ROWS), "a column of numbers or texts, got cells of binary"),
    "timestamps as values": (marker(pd.Timestamp("2020-01-01")), "marker: expected numbers, got the text '2020-01-01"),
    "dates as times": (column("day", [pd.Timestamp("2020-01-01").date()] * ROWS), "day: expected numbers"),
    "durations": (marker(pd.Timedelta("1D")), "marker: expected numbers"),
    "truth values": (marker(True), "marker: expected numbers, got the text 'True'"),
    "numbers as texts with units": (marker("2.5 mg"), "marker: expected numbers, got the text '2.5 mg'"),
    "text NaN": (marker("NaN"), "marker: expected numbers, got the text 'NaN'"),
    "infinite": (marker(float("inf")), "finite numbers"),
    "nothing at all": (column("day", [None] * ROWS, pa.null()), "day: expected a time at every visit"),
    "decimals out of bounds": (column("score", [Decimal("99.5")] * ROWS), "score: expected points in [0, 48]"),
    "a column twice": (lambda: TABLE.append_column("marker", TABLE["marker"]), "a duplicated header: 'marker'"),
    "a column gone": (lambda: TABLE.drop_columns(["futime"]), "futime: expected a column 'futime'"),
    "no rows": (lambda: TABLE.slice(0, 0), "a table with rows"),
    "no columns": (lambda: TABLE.select([]), "expected"),
    "a row twice": (lambda: pa.concat_tables([TABLE, TABLE.slice(1, 1)]), "a second row at time"),
    "identifiers missing": (column("id", [None] * ROWS, pa.string()), "a subject in every row"),
    "levels in a dictionary": (
        column("event", ["dead"] * ROWS, pa.dictionary(pa.int32(), pa.string())),
        "event: expected one of",
    ),
}


def footer(content: bytes) -> int:
    """Where the footer of a file starts."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "wrong magic at the end": lambda content: content[:-4] + b"XXXX",
    "a spoilt footer": lambda content: content[: footer(content)] + bytes(40) + content[footer(content) + 40 :],
    "a footer longer than the file": lambda content: content[:-8] + b"\xff\xff\xff\x7f" + content[-4:],
    "a footer only": lambda content: content[-300:],
    "a CSV by another name": lambda content: SMALL.encode(),
    "pages of noise": lambda content: content[:4] + bytes(range(256)) * 2 + content[516:],
    "pages of nothing": lambda content: content[:4] + bytes(600) + content[604:],
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_is_refused(case: str, tmp_path: Path) -> None:
    make, message = TABLES[case]
    parquet.write_table(make(), tmp_path / "trial.parquet")
    assert message in refusal(lambda: read_cohort(tmp_path / "trial.parquet", SMALL_ROLES))


@pytest.mark.parametrize("case", BYTES)
def test_a_broken_file_is_refused(case: str, tmp_path: Path) -> None:
    path = tmp_path / "trial.parquet"
    parquet.write_table(TABLE, path)
    read_cohort(path, SMALL_ROLES)
    path.write_bytes(BYTES[case](path.read_bytes()))
    refusal(lambda: read_cohort(path, SMALL_ROLES))


def test_long_identifiers_do_not_run_together(tmp_path: Path) -> None:
    """2**53 and 2**53 + 1 are one number in float64, and two subjects."""
    long = {"A1": 2**53, "B2": 2**53 + 1, "C3": 2**53 + 2}
    ids = [long[who] for who in TABLE["id"].to_pylist()]
    parquet.write_table(column("id", ids)(), tmp_path / "trial.parquet")
    cohort = read_cohort(tmp_path / "trial.parquet", SMALL_ROLES)
    assert cohort.subjects.index.tolist() == [str(who) for who in long.values()]
