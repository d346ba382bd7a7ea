"""Long records to one row per subject and time, each cell with the record it stands on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dpm.cohort.column import Column, TextColumn
from dpm.cohort.table import Table
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int

Records = Bool[np.ndarray, " record"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pivot:
    """Records, and the row each belongs to.

    Attributes:
        table: a row per record.
        row: of each record, the row it goes to.
        first: of each row, its first record.
    """

    table: Table
    row: Int[np.ndarray, " record"]
    first: Int[np.ndarray, " row"]

    @classmethod
    def of(cls, table: Table, subject: Int[np.ndarray, " record"], time: Float[np.ndarray, " record"]) -> "Pivot":
        """A row per subject and time, subjects in the order of their codes and times rising within a subject."""
        order = np.lexsort((time, subject))
        new = np.ones(len(order), dtype=bool)
        new[1:] = (np.diff(subject[order]) != 0) | (np.diff(time[order]) != 0)
        row = np.zeros(len(order), dtype=np.int64)
        row[order] = np.cumsum(new) - 1
        return cls(table=table, row=row, first=order[new])

    def take(self, records: Records, what: str) -> Int[np.ndarray, " row"]:
        """Of each row, the one of these records that belongs to it, by position; -1 where there is none.

        Raises:
            CohortError: two of them belong to the same row.
        """
        at = np.flatnonzero(records)
        taken = np.full(len(self.first), -1, dtype=np.int64)
        taken[self.row[at[::-1]]] = at[::-1]
        again = at[taken[self.row[at]] != at]
        if len(again):
            one, two = self.table.origin.place(int(taken[self.row[again[0]]])), self.table.origin.place(int(again[0]))
            got = f"two, in row {one[1]} and row {two[1]} ({len(again):,} of {len(at):,} records)"
            do = "Keep one of them, or give their mean."
            raise CohortError(f"{two[0]}: {what}", "one record per subject and time", got, do)
        return taken

    def same(self, column: str, do: str) -> Column:
        """A column that says the same in all records of a row, where it says anything.

        Raises:
            CohortError: two records of one row differ.
        """
        cells, filled = self.table.columns[column], ~self.table.empty(column)
        taken = np.full(len(self.first), -1, dtype=np.int64)
        at = np.flatnonzero(filled)
        taken[self.row[at[::-1]]] = at[::-1]
        codes, _ = cells.factorize()
        differs = filled & (codes != codes[np.maximum(taken[self.row], 0)])
        expected = "one value in all records of a subject and time"
        if differs.any():
            other = self.table.place(column, int(taken[self.row[int(np.argmax(differs))]]))
            self.table.refuse(column, differs, expected, f"{{}}, unlike row {other[1]},", do)
        return cells.take(taken)

    def rows(self, columns: Mapping[str, tuple[Column, Int[np.ndarray, " row"]]]) -> Table:
        """The table of rows: by name the cells of each row, and the record each stands on."""
        origin = self.table.origin
        return replace(
            self.table,
            columns={name: cells for name, (cells, _) in columns.items()},
            origin=origin.take(self.first),
            origins={name: origin.take(records) for name, (_, records) in columns.items()},
            units={},
        )


def without_points(table: Table) -> Table:
    """The table with a lone point, which stands for a missing value, taken away."""
    columns = {
        name: cells.replaced(np.asarray(cells.levels == ".", dtype=bool)[cells.codes], "")
        if isinstance(cells, TextColumn) and (cells.levels == ".").any()
        else cells
        for name, cells in table.columns.items()
    }
    return replace(table, columns=columns)
