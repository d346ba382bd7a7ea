"""`Table`: the cells of one or more files, each with the file and the line it stands on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from dpm.cohort.column import NUMBER, Column, TextColumn, stacked
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that was read.

    Attributes:
        file: its name without the folder, or "table" for a data frame.
        sha256: of the bytes of the file, or of the data frame written as CSV.
        rows: how many were read, without the header.
        path: of the file; None for a data frame.
    """

    file: str
    sha256: str
    rows: int
    path: Path | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Origin:
    """Where cells stand.

    Attributes:
        files: names as given.
        file: per row, the position in `files`.
        line: per row, the line in a text file (its header is line 1), the record in any other;
            0 for a cell that stands nowhere.
    """

    files: tuple[str, ...]
    file: Int[np.ndarray, " row"]
    line: Int[np.ndarray, " row"]

    @classmethod
    def of(cls, name: str, line: Int[np.ndarray, " row"]) -> "Origin":
        """Rows of one file."""
        return cls((name,), np.zeros(len(line), dtype=np.int64), line)

    @property
    def names(self) -> tuple[str, ...]:
        """The files without their folders, as results may show them."""
        return tuple(Path(file).name for file in self.files)

    def take(self, rows: Int[np.ndarray, " taken"]) -> "Origin":
        """These rows, by position; -1 stands nowhere."""
        safe = np.maximum(rows, 0)
        return Origin(self.files, self.file[safe], np.where(rows < 0, 0, self.line[safe]))

    def place(self, row: int) -> tuple[str, int]:
        """File and line of one row."""
        return self.files[int(self.file[row])], int(self.line[row])


@dataclass(frozen=True, eq=False)
class Table:
    """Cells as they were read.

    Attributes:
        name: the path as given, or "table" for a data frame; of the first file where there are several.
        columns: by name.
        origin: where each row stands.
        sources: the files.
        origins: of columns whose cells stand elsewhere than the row, such as those joined from another table.
        units: by column, where the file says so.
    """

    name: str
    columns: dict[str, Column]
    origin: Origin
    sources: tuple[Source, ...]
    origins: dict[str, Origin] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.origin.line)

    def text(self, column: str) -> np.ndarray:
        """The cells of one column, stripped of surrounding spaces."""
        return self.columns[column].text()

    def empty(self, column: str) -> Bool[np.ndarray, " row"]:
        """Where a column holds nothing."""
        return self.columns[column].empty()

    def codes(self, column: str) -> tuple[Int[np.ndarray, " row"], np.ndarray]:
        """A code per row, in order of appearance, and the text of each code."""
        codes, levels = self.columns[column].factorize()
        order, first = np.unique(codes, return_index=True)
        appearing = order[np.argsort(first)]
        rank = np.zeros(len(levels), dtype=np.int64)
        rank[appearing] = np.arange(len(appearing))
        return rank[codes], levels[appearing]

    def number(self, column: str) -> Float[np.ndarray, " row"]:
        """The cells of one column as float64, NaN where empty.

        Raises:
            CohortError: a cell holds text that is not a finite number.
        """
        cells = self.columns[column]
        hint = "Leave a missing value empty, write decimals with a point, and keep units and signs such as < out."
        values = cells.numbers()
        self.refuse(column, np.isnan(values) & ~cells.empty(), "numbers", "the text {}", hint)
        self.refuse(column, np.isinf(values), "finite numbers", "{}", "Leave a missing value empty.")
        return values

    def take(self, rows: Int[np.ndarray, " taken"]) -> "Table":
        """These rows, by position."""
        return replace(
            self,
            columns={name: column.take(rows) for name, column in self.columns.items()},
            origin=self.origin.take(rows),
            origins={name: origin.take(rows) for name, origin in self.origins.items()},
        )

    def keep(self, rows: Bool[np.ndarray, " row"]) -> "Table":
        """The rows where `rows` is true."""
        return self.take(np.flatnonzero(rows))

    def with_columns(self, columns: Mapping[str, Column], origin: Origin | None = None) -> "Table":
        """The same rows with more columns, or others; `origin` where their cells stand elsewhere than the row."""
        origins = self.origins if origin is None else {**self.origins, **dict.fromkeys(columns, origin)}
        return replace(self, columns={**self.columns, **columns}, origins=origins)

    def rename(self, names: Mapping[str, str]) -> "Table":
        """The same cells under other names: new name by old name.

        Raises:
            CohortError: there is no such column, or two would have one name.
        """
        self.require(tuple(names))
        new = [names.get(name, name) for name in self.columns]
        twice = next((name for name in new if new.count(name) > 1), None)
        if twice is not None:
            do = "Rename the other one too, or drop it."
            raise CohortError(
                f"{self.name}: {twice}", "each column once", "two columns of this name after renaming", do
            )
        return replace(
            self,
            columns=dict(zip(new, self.columns.values(), strict=True)),
            origins={names.get(name, name): origin for name, origin in self.origins.items()},
            units={names.get(name, name): unit for name, unit in self.units.items()},
        )

    def place(self, column: str, row: int) -> tuple[str, int]:
        """File and line of one cell."""
        return self.origins.get(column, self.origin).place(row)

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
        file, line = self.place(column, first)
        cell = str(self.columns[column].take(np.array([first])).text()[0])
        shown = got.replace("{}", cell if NUMBER.fullmatch(cell) else repr(cell) if cell else "nothing")
        count = f"in row {line} ({int(wrong.sum()):,} of {len(wrong):,} rows)"
        raise CohortError(f"{file}: {column}", expected, f"{shown} {count}", do) from None

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


def stack(tables: Mapping[str, Table], study: str) -> Table:
    """Tables one under the other, with a column `study` that holds the name of each.

    Every table has to have the same columns; the order may differ.
    """
    parts = list(tables.values())
    codes = np.repeat(np.arange(len(parts)), [len(table) for table in parts])
    levels = np.empty(len(parts), dtype=object)
    levels[:] = list(tables)
    names = list(parts[0].columns)
    elsewhere = dict.fromkeys(name for table in parts for name in table.origins)
    return Table(
        parts[0].name,
        {name: stacked([table.columns[name] for table in parts]) for name in names}
        | {study: TextColumn(codes, levels)},
        _stacked_origin([table.origin for table in parts]),
        tuple(source for table in parts for source in table.sources),
        {name: _stacked_origin([table.origins.get(name, table.origin) for table in parts]) for name in elsewhere},
    )


def _stacked_origin(origins: list[Origin]) -> Origin:
    starts = np.cumsum([0, *(len(origin.files) for origin in origins)])
    file = np.concatenate([start + origin.file for start, origin in zip(starts, origins, strict=False)])
    return Origin(
        tuple(name for origin in origins for name in origin.files),
        file,
        np.concatenate([origin.line for origin in origins]),
    )
