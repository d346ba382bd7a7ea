"""`Table`: the text of a file, cell by cell, with the line each row stands on."""

import csv
import hashlib
import io
import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from dpm.cohort.shipped import data_path
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\s*[+-]?inf(inity)?\s*", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Table:
    """Text as it was read; an empty text is a missing value.

    Attributes:
        name: the path as given, or "table" for a data frame.
        columns: one array of text per column.
        row: line of each row in the file; the header is line 1 [lines].
        sha256: of the bytes of the file.
        path: of the file; None for a data frame.
    """

    name: str
    columns: dict[str, np.ndarray]
    row: Int[np.ndarray, " row"]
    sha256: str
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.row)

    def text(self, column: str) -> np.ndarray:
        """The cells of one column, stripped of surrounding spaces."""
        return self.columns[column]

    def number(self, column: str) -> Float[np.ndarray, " row"]:
        """The cells of one column as float64, NaN where empty.

        Raises:
            CohortError: a cell holds text that is not a finite number.
        """
        codes, levels = pd.factorize(self.columns[column])
        values = np.array([_number(text) for text in levels], dtype=np.float64)
        wrong = np.array([bool(text) for text in levels], dtype=bool) & np.isnan(values)
        hint = "Leave a missing value empty, write decimals with a point, and keep units and signs such as < out."
        self.refuse(column, wrong[codes], "numbers", "the text {}", hint)
        self.refuse(column, np.isinf(values)[codes], "finite numbers", "{}", "Leave a missing value empty.")
        return values[codes]

    def refuse(
        self, column: str, wrong: Bool[np.ndarray, " row"], expected: str, got: str = "{}", do: str = ""
    ) -> None:
        """Raise if any row is `wrong`, showing the first one; `{}` in `got` stands for its cell.

        Raises:
            CohortError: there is a row that is wrong.
        """
        if not wrong.any():
            return
        first = int(np.argmax(wrong))
        cell = self.columns[column][first]
        shown = got.replace("{}", cell if NUMBER.fullmatch(cell) else repr(cell) if cell else "nothing")
        count = f"in row {self.row[first]} ({int(wrong.sum()):,} of {len(wrong):,} rows)"
        raise CohortError(f"{self.name}: {column}", expected, f"{shown} {count}", do) from None

    def require(self, columns: tuple[str, ...]) -> None:
        """Refuse a table that lacks one of `columns`, and say which column may be meant.

        Raises:
            CohortError: a column is missing or has another name.
        """
        for column in columns:
            if column in self.columns:
                continue
            lower = {name.lower().strip(): name for name in self.columns}
            close = get_close_matches(column.lower(), lower, n=1, cutoff=0.6)
            meant = f"Did you mean {lower[close[0]]!r}? " if close else ""
            names = ", ".join(self.columns)
            raise CohortError(
                f"{self.name}: {column}", f"a column {column!r}", "none of this name", f"{meant}Columns: {names}."
            )


def read_table(source: str | Path | pd.DataFrame) -> Table:
    """Read a CSV file, or a data frame as if it had been written to one.

    Raises:
        CohortError: there is no such file, or it is not one table of comma-separated values.
    """
    return _from_frame(source) if isinstance(source, pd.DataFrame) else _from_file(source)


def _number(text: str) -> float:
    return float(text) if NUMBER.fullmatch(text) else np.nan


def _from_file(source: str | Path) -> Table:
    path, name = data_path(source) if str(source).startswith("data:") else Path(source), str(source)
    if not path.is_file():
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*.csv")] if path.parent.is_dir() else [])
        meant = f"Did you mean {near[0]!r}?" if near else "Check the path; a study file's paths are relative to it."
        raise CohortError(name, "a CSV file", "a folder" if path.is_dir() else "no such file", meant)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CohortError(name, "a file that may be read", error.strerror or str(error)) from None
    header, rows, lines = _parse(_decode(content, name), name)
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    columns = {column: _stripped(text) for column, text in cells.items()}
    return Table(name, columns, np.array(lines, dtype=np.int64), hashlib.sha256(content).hexdigest(), path)


def _decode(content: bytes, name: str) -> str:
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        raise CohortError(name, "a CSV file with a header and rows", "an empty file")
    do = "Save the table as CSV, comma-separated, in UTF-8."
    if b"\0" in content:
        raise CohortError(name, "text (CSV)", "a binary file", do)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise CohortError(name, "UTF-8 text", f"the byte 0x{content[error.start]:02x} in row {row}", do) from None


def _parse(text: str, name: str) -> tuple[list[str], list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines, before = [], [], 0
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise CohortError(
            name, "comma-separated values", f"{error} in row {before + 1}", "Repair the quotes."
        ) from None
    header = [column.strip() for column in rows[0]]
    _check_header(header, name)
    if len(rows) == 1:
        raise CohortError(name, "a header and rows", "a header only")
    uneven = [line for line, row in zip(lines, rows, strict=True) if len(row) != len(header)]
    if uneven:
        fields = len(rows[lines.index(uneven[0])])
        got = f"{fields} in row {uneven[0]} ({len(uneven):,} of {len(rows) - 1:,} rows)"
        do = "Quote a text that holds a comma; a file cut short has to be written again."
        raise CohortError(name, f"{len(header)} fields in each row, as in the header", got, do)
    return header, rows[1:], lines[1:]


def _check_header(header: list[str], name: str) -> None:
    twice = [column for column in dict.fromkeys(header) if header.count(column) > 1]
    if twice:
        got = f"a duplicated header: {twice[0]!r} {header.count(twice[0])} times"
        raise CohortError(f"{name}: {twice[0]}", "each column once", got, "Rename or drop one of them.")
    if len(header) == 1:
        other = next((sign for sign in (";", "\t", "|") if sign in header[0]), None)
        got = f"columns separated by {other!r}" if other else f"a single column {header[0][:40]!r}"
        raise CohortError(name, "comma-separated values", got, "Save the table as CSV, comma-separated.")


def _from_frame(frame: pd.DataFrame) -> Table:
    header = [str(column) for column in frame.columns]
    _check_header(header, "table")
    if not len(frame):
        raise CohortError("table", "a data frame with rows", "an empty one")
    columns = {name: _stripped(_cells(frame.iloc[:, i])) for i, name in enumerate(header)}
    digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    return Table("table", columns, np.arange(len(frame), dtype=np.int64) + 2, digest)


def _cells(values: pd.Series) -> list[str]:
    """Each value as text; a whole number has no decimals, so that level "1" is "1" in a file and in a frame."""
    if pd.api.types.is_float_dtype(values.dtype):
        return [
            "" if math.isnan(v) else str(int(v)) if v.is_integer() else repr(v) for v in values.astype(float).tolist()
        ]
    missing = values.isna().to_numpy()
    return ["" if gone else str(value) for value, gone in zip(values.tolist(), missing, strict=True)]


def _stripped(cells: list[str] | tuple[str, ...]) -> np.ndarray:
    out = np.empty(len(cells), dtype=object)
    out[:] = [cell.strip() for cell in cells]
    return out
