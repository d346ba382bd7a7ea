"""The cleaning ledger: whatever is left out, converted or edited is a rule with a count and the rows it touched."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dpm.cohort.column import NUMBER, NumberColumn, TextColumn
from dpm.cohort.condition import Condition, ConditionText
from dpm.cohort.table import Table
from dpm.errors import CohortError
from dpm.types import Bool, Int

Kind = Literal["exclude rows", "exclude subjects", "edit", "convert", "censor", "structural zero", "carry forward"]


@dataclass(frozen=True, kw_only=True)
class LedgerLine:
    """What one rule did.

    Attributes:
        kind: of change.
        rule: as declared.
        column: whose cells were changed; empty where rows were left out.
        reason: why, in the user's words.
        rows: file and line of every row touched.
        subjects: how many subjects they belong to.
    """

    kind: Kind
    rule: str
    column: str = ""
    reason: str = ""
    rows: tuple[tuple[str, int], ...] = ()
    subjects: int = 0


class CleaningRule(BaseModel):
    """One declared change to the raw table.

    Attributes:
        when: the rows it concerns, as a `Condition`.
        do: leave the rows out, leave their subjects out altogether, or set a column.
        column, value: what is set, and to what; an empty value makes the cell missing.
        table: of the tables of a cohort, the one it applies to.
        reason: why; printed with the counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    when: ConditionText
    do: Literal["drop rows", "drop subjects", "set"]
    column: str | None = None
    value: str | None = None
    table: Literal["visits", "subjects", "events"] = "visits"
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> "CleaningRule":
        given = (self.column is not None, self.value is not None)
        if given != ((True, True) if self.do == "set" else (False, False)):
            raise ValueError('a column and a value where do = "set", and neither of them elsewhere')
        return self


def clean(table: Table, rules: Iterable[CleaningRule], subject: str) -> tuple[Table, tuple[LedgerLine, ...]]:
    """Apply rules in their order.

    Args:
        table: raw.
        rules: that concern this table.
        subject: the column of the subject.

    Raises:
        CohortError: a rule names a column that is not there, concerns no row, or leaves none.
    """
    lines = []
    for rule in rules:
        table, line = _apply(table, rule, subject)
        lines.append(line)
    return table, tuple(lines)


def touched(table: Table, rows: Bool[np.ndarray, " row"], column: str | None = None) -> tuple[tuple[str, int], ...]:
    """File and line of the rows that are true, each once: a cell may stand in several, of clones or joined."""
    origin = table.origins.get(column, table.origin) if column else table.origin
    names = origin.names
    places = dict.fromkeys(zip(origin.file[rows].tolist(), origin.line[rows].tolist(), strict=True))
    return tuple((names[file], line) for file, line in places)


def ledger_line(
    table: Table,
    rows: Bool[np.ndarray, " row"],
    subject: Int[np.ndarray, " row"],
    kind: Kind,
    rule: str,
    *,
    column: str = "",
    reason: str = "",
) -> LedgerLine:
    """What a rule did to the rows that are true; `subject` is the code of the subject of each row."""
    return LedgerLine(
        kind=kind,
        rule=rule,
        column=column,
        reason=reason,
        rows=touched(table, rows, column or None),
        subjects=len(np.unique(subject[rows])),
    )


def ledger_table(lines: Iterable[LedgerLine]) -> pd.DataFrame:
    """The ledger, a row per rule: kind, rule, column, reason, rows (a count), subjects, first (file and line)."""
    return pd.DataFrame(
        [
            {
                "kind": line.kind,
                "rule": line.rule,
                "column": line.column,
                "reason": line.reason,
                "rows": len(line.rows),
                "subjects": line.subjects,
                "first": f"{line.rows[0][0]}: row {line.rows[0][1]}" if line.rows else "",
            }
            for line in lines
        ],
        columns=["kind", "rule", "column", "reason", "rows", "subjects", "first"],
    )


def ledger_rows(lines: Iterable[LedgerLine]) -> pd.DataFrame:
    """Every row that a rule touched: rule (its place in the ledger, from 1), file, line."""
    rows = [(number, file, line) for number, entry in enumerate(lines, 1) for file, line in entry.rows]
    return pd.DataFrame(rows, columns=["rule", "file", "line"])


def _apply(table: Table, rule: CleaningRule, subject: str) -> tuple[Table, LedgerLine]:
    table.require((subject,))
    concerned = Condition.parse(rule.when).holds(table)
    codes, _ = table.codes(subject)
    if not concerned.any():
        do = "Correct the rule, or remove it: a rule that does nothing hides a mistake."
        raise CohortError(f"{table.name}: rule {rule.when!r}", "rows that it concerns", f"none of {len(table):,}", do)
    if rule.do == "set":
        return _set(table, rule, concerned, codes)
    if rule.do == "drop subjects":
        concerned = np.isin(codes, codes[concerned])
    if concerned.all():
        raise CohortError(f"{table.name}: rule {rule.when!r}", "rows left", f"none of {len(table):,}")
    kind: Kind = "exclude subjects" if rule.do == "drop subjects" else "exclude rows"
    line = ledger_line(table, concerned, codes, kind, rule.when, reason=rule.reason)
    return table.keep(~concerned), line


def _set(
    table: Table, rule: CleaningRule, concerned: Bool[np.ndarray, " row"], codes: Int[np.ndarray, " row"]
) -> tuple[Table, LedgerLine]:
    column, value = rule.column or "", rule.value or ""
    table.require((column,))
    words = f"{rule.when}: set {column} to {value or 'missing'}"
    line = ledger_line(table, concerned, codes, "edit", words, column=column, reason=rule.reason)
    return replace_cells(table, column, concerned, value), line


def replace_cells(table: Table, column: str, where: Bool[np.ndarray, " row"], value: str) -> Table:
    """The table with one text in some cells of a column."""
    cells = table.columns[column]
    if isinstance(cells, NumberColumn) and (not value or NUMBER.fullmatch(value)):
        number = float(value) if value else np.nan
        changed: NumberColumn | TextColumn = NumberColumn(np.where(where, number, cells.values))
    else:
        changed = cells.as_text_column().replaced(where, value)
    return table.with_columns({column: changed}, table.origins.get(column))
