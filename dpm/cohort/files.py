"""A file in, a `Table` out: CSV, Parquet, SAS transport, or a data frame."""

import hashlib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dpm.cohort.column import column_of
from dpm.cohort.csv_file import check_header, read_csv
from dpm.cohort.shipped import data_path
from dpm.cohort.table import Origin, Source, Table
from dpm.cohort.transport_file import read_transport
from dpm.errors import CohortError

if TYPE_CHECKING:
    import pyarrow


def read_table(source: str | Path | pd.DataFrame) -> Table:
    """Read a table: `.csv`, `.parquet`, `.xpt` (SAS transport), `data:<set>/<file>`, or a data frame.

    Rows of a CSV file are counted as its lines, the header being line 1, and those of a data frame as if it had
    been written to one; records of any other file are counted from 1.

    Raises:
        CohortError: there is no such file, or it is not one table of a kind that dpm reads.
    """
    return _from_frame(source) if isinstance(source, pd.DataFrame) else _from_file(source)


def _from_file(source: str | Path) -> Table:
    path, name = data_path(source) if str(source).startswith("data:") else Path(source), str(source)
    if not path.is_file():
        kinds = [p.name for p in path.parent.glob("*") if p.suffix in READERS] if path.parent.is_dir() else []
        near = get_close_matches(path.name, kinds)
        meant = f"Did you mean {near[0]!r}?" if near else "Check the path; a study file's paths are relative to it."
        raise CohortError(name, "a table", "a folder" if path.is_dir() else "no such file", meant)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        do = "Save the table as one of these; CSV is comma-separated, in UTF-8."
        raise CohortError(name, f"a file of a kind dpm reads: {', '.join(READERS)}", repr(path.suffix or path.name), do)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CohortError(name, "a file that may be read", error.strerror or str(error)) from None
    return reader(content, path, name)


def _csv(content: bytes, path: Path, name: str) -> Table:
    columns, lines = read_csv(content, name)
    return Table(name, dict(columns), Origin.of(name, lines), (_source(content, path, len(lines)),))


def _parquet(content: bytes, path: Path, name: str) -> Table:
    import pyarrow
    from pyarrow import parquet  # the path from records to draws does without it

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(content), page_checksum_verification=True)
        check_header(list(file.schema_arrow.names), name)
        table = file.read()
        # Whole numbers beside missing ones stay whole: as floats, long identifiers would run together.
        frame = table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        do = "Write the file again; it may have been cut short."
        raise CohortError(name, "a Parquet file", str(error).splitlines()[0][:200], do) from None
    _refuse_nested(table.schema, name)
    return _typed(frame, content, path, name)


def _transport(content: bytes, path: Path, name: str) -> Table:
    return _typed(read_transport(content, path, name), content, path, name)


def _refuse_nested(schema: "pyarrow.Schema", name: str) -> None:
    import pyarrow

    for column in schema:
        kind = column.type
        if pyarrow.types.is_nested(kind) or pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
            do = "Write one number or text in each cell, or drop the column."
            raise CohortError(f"{name}: {column.name}", "a column of numbers or texts", f"cells of {kind}", do)


def _typed(frame: pd.DataFrame, content: bytes, path: Path, name: str) -> Table:
    header = [str(column) for column in frame.columns]
    if not header:
        raise CohortError(name, "a table with columns", "none")
    check_header(header, name)
    if not len(frame):
        raise CohortError(name, "a table with rows", "none")
    columns = {column: column_of(frame.iloc[:, i]) for i, column in enumerate(header)}
    lines = np.arange(len(frame), dtype=np.int64) + 1
    return Table(name, dict(columns), Origin.of(name, lines), (_source(content, path, len(frame)),))


def _from_frame(frame: pd.DataFrame) -> Table:
    header = [str(column) for column in frame.columns]
    check_header(header, "table")
    if not len(frame):
        raise CohortError("table", "a data frame with rows", "an empty one")
    columns = {name: column_of(frame.iloc[:, i]) for i, name in enumerate(header)}
    digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    lines = np.arange(len(frame), dtype=np.int64) + 2
    return Table(
        "table", dict(columns), Origin.of("table", lines), (Source(file="table", sha256=digest, rows=len(frame)),)
    )


def _source(content: bytes, path: Path, rows: int) -> Source:
    return Source(file=path.name, sha256=hashlib.sha256(content).hexdigest(), rows=rows, path=path)


READERS: dict[str, Callable[[bytes, Path, str], Table]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".xpt": _transport,
}
"""By suffix."""
