"""NONMEM and Monolix data sets: one record per dose or observation, to one row per subject and time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dpm.cohort import checks
from dpm.cohort.cleaning import LedgerLine, ledger_line
from dpm.cohort.column import Column, NumberColumn, TextColumn
from dpm.cohort.files import read_table
from dpm.cohort.pivot import Pivot, without_points
from dpm.cohort.sources import Readable, Tables
from dpm.cohort.table import Table
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int

OWN = ("C", "ID", "TIME", "DV", "MDV", "EVID", "CENS", "LIMIT", "DVID", "AMT", "RATE", "CMT", "SS", "II", "ADDL", "DUR")
"""Columns that say what a record is; any other is a covariate or the occasion."""

Records = Bool[np.ndarray, " record"]
Columns = dict[str, tuple[Column, Int[np.ndarray, " row"]]]


def read_nonmem(
    file: Readable, names: Mapping[int, str] | None = None, *, drop: Sequence[str] = (), positive: bool = False
) -> Tables:
    """Read a data set as NONMEM and Monolix use it, comma-separated, with a header in any case. `.` is missing.

    The table of visits has a row per ID and TIME: a column per outcome, and every other column under its name in
    capitals (covariates, OCC), which has to say the same in all records of a row. Left out, and counted in the ledger,
    are records whose EVID is not 0 (without EVID: those with an AMT and no DV). A subject's first record stays as a row
    without measurement where nothing was measured then, so that covariates have a baseline. MDV = 1 is a missing value.

    CENS = 1 says that the truth is below DV, or with a LIMIT between LIMIT and DV; CENS = -1 above DV, or between DV
    and LIMIT. Where there is a column CENS, `<name>_CENS` holds below, above or measured; where there is a LIMIT too,
    `<name>_UNTIL` holds the upper end of an interval, whose lower end is the value. Roles that read them, without
    `until` where there is no LIMIT:

        tables = dpm.read_nonmem("pk.csv", names={1: "conc"})
        roles = {
            "subject": "ID",
            "time": {"column": "TIME", "unit": "days"},
            "occasion": "OCC",
            "outcomes": {
                "conc": {
                    "column": "conc",
                    "unit": "mg/L",
                    "higher_is": "neither",
                    "limits": {
                        "flag": "conc_CENS",
                        "flags": {"below": "below", "above": "above", "measured": "measured"},
                        "until": "conc_UNTIL",
                    },
                }
            },
            "covariates": {"weight": {"column": "WT", "unit": "kg"}},
        }
        cohort = dpm.read_cohort(tables, roles)

    Args:
        file: the data set.
        names: the outcome of each DVID; 1 is that of a data set without DVID. By default `DV`, or `DV1`, `DV2`, ...
        drop: columns that are of no use, such as a line number that differs between records of one time.
        positive: DV cannot be below 0, so that a LIMIT of 0 beside CENS = 1 says no more than "below DV".

    Raises:
        CohortError: a record says what such a data set cannot say, or two of one outcome stand at one time.
    """
    table = _headed(without_points(read_table(file)), tuple(name.upper() for name in drop))
    table.require(("ID", "TIME", "DV"))
    table, lines = _without_comments(table)
    subject = _subjects(table)
    checks.check_present(table, "TIME", "a time in every record", "Fill it in: a record without a time is nowhere.")
    time = table.number("TIME")
    seen = _observations(table)
    first = np.zeros(len(table), dtype=bool)
    first[np.unique(subject, return_index=True)[1]] = True
    if not seen.all():
        lines += (_line(table, ~seen, "records that are no observation (EVID, or AMT without DV)"),)
    _refuse_steps_back(table, subject, time)
    measured, kept = _measured(table, seen), seen | first
    pivot = Pivot.of(table.keep(kept), subject[kept], time[kept])
    return Tables(visits=_visits(pivot, measured[kept], names, positive), ledger=lines)


def _headed(table: Table, drop: tuple[str, ...]) -> Table:
    """Names in capitals, the mark of a header taken away, without the columns to drop."""
    header = list(table.columns)
    names = [name.strip().upper() for name in header]
    names[0] = names[0].removeprefix("#").strip()
    if names[0] == "CID" and "ID" not in names:
        names[0] = "ID"
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        got = " and ".join(repr(column) for column, name in zip(header, names, strict=True) if name == twice)
        raise CohortError(f"{table.name}: {twice}", "each column once, in any case", got, "Rename or drop one of them.")
    unknown = [name for name in drop if name not in names]
    if unknown:
        raise CohortError(f"{table.name}: drop", "columns of the data set", repr(unknown[0]), f"It has {names}.")
    named = table.rename(dict(zip(header, names, strict=True)))
    return replace(named, columns={name: cells for name, cells in named.columns.items() if name not in drop})


def _without_comments(table: Table) -> tuple[Table, tuple[LedgerLine, ...]]:
    """A column C marks records that NONMEM ignores."""
    if "C" not in table.columns:
        return table, ()
    codes, texts = table.codes("C")
    odd = np.array([text.upper() not in ("", "C") for text in texts], dtype=bool)
    table.refuse(
        "C", odd[codes], "C for a record to ignore, or nothing", do="Rename the column if it is another thing."
    )
    out = np.array([bool(text) for text in texts], dtype=bool)[codes]
    if out.all():
        raise CohortError(f"{table.name}: C", "records that are not ignored", f"none of {len(table):,}")
    return (table.keep(~out), (_line(table, out, "records marked C"),)) if out.any() else (table, ())


def _line(table: Table, rows: Records, rule: str) -> LedgerLine:
    return ledger_line(table, rows, table.codes("ID")[0], "exclude rows", rule)


def _subjects(table: Table) -> Int[np.ndarray, " record"]:
    """A code per subject; an ID that comes again after another is a new subject to NONMEM, so that it is refused."""
    checks.check_present(table, "ID", "a subject in every record", "Fill it in, or drop the record.")
    codes, _ = table.codes("ID")
    starts = np.flatnonzero(np.diff(codes, prepend=-1) != 0)
    again = np.zeros(len(table), dtype=bool)
    again[starts] = np.isin(np.arange(len(starts)), np.unique(codes[starts], return_index=True)[1], invert=True)
    do = "Sort the records by ID, or give the second subject of this ID another one."
    table.refuse("ID", again, "the records of a subject one after the other", "{} again after another subject", do)
    return codes


def _refuse_steps_back(table: Table, subject: Int[np.ndarray, " record"], time: Float[np.ndarray, " record"]) -> None:
    back = np.zeros(len(table), dtype=bool)
    back[1:] = (np.diff(subject) == 0) & (np.diff(time) < 0)
    do = "Sort the records by ID and TIME; a time that starts again needs an occasion and a time of its own."
    table.refuse("TIME", back, "records in time order within a subject", "{} after a later one", do)


def _whole(
    table: Table, column: str, allowed: tuple[int, ...], what: str, *, complete: bool
) -> Int[np.ndarray, " record"]:
    """A column of codes; 0 where empty, if it may be."""
    if complete:
        checks.check_present(table, column, what, "Fill it in in every record.")
    values = table.number(column)
    wrong = ~np.isnan(values) & ~np.isin(values, allowed)
    table.refuse(column, wrong, f"one of: {', '.join(str(code) for code in allowed)}")
    return np.nan_to_num(values).astype(np.int64)


def _observations(table: Table) -> Records:
    if "EVID" in table.columns:
        seen = _whole(table, "EVID", (0, 1, 2, 3, 4), "an event code in every record", complete=True) == 0
    elif "AMT" in table.columns:
        seen = ~((np.nan_to_num(table.number("AMT")) != 0) & (_missing(table) | table.empty("DV")))
    else:
        seen = np.ones(len(table), dtype=bool)
    if not seen.any():
        raise CohortError(f"{table.name}: EVID", "observations", f"none in {len(table):,} records")
    return np.asarray(seen, dtype=bool)


def _missing(table: Table) -> Records:
    if "MDV" not in table.columns:
        return np.zeros(len(table), dtype=bool)
    return _whole(table, "MDV", (0, 1), "0 or 1", complete=False) == 1


def _measured(table: Table, seen: Records) -> Records:
    """Which records hold a measurement."""
    gone = _missing(table)
    bare = seen & ~gone & table.empty("DV")
    if "MDV" in table.columns:
        table.refuse("DV", bare, "a value where MDV is 0", do="Fill it in, or set MDV to 1.")
    return seen & ~gone & ~table.empty("DV")


def _visits(pivot: Pivot, measured: Records, names: Mapping[int, str] | None, positive: bool) -> Table:
    table = pivot.table
    columns: Columns = {name: (table.columns[name].take(pivot.first), pivot.first) for name in ("ID", "TIME")}
    for name in table.columns:
        if name not in OWN:
            do = f"Correct it, or leave it out with drop=({name!r},)."
            columns[name] = (pivot.same(name, do), pivot.first)
    low, until, flags = _censored(table, measured, positive)
    for name, mine in _outcomes(table, measured, names).items():
        taken = pivot.take(mine, name)
        parts: dict[str, Column] = {name: NumberColumn(low)}
        if "CENS" in table.columns:
            parts[f"{name}_CENS"] = TextColumn(flags, np.array(["measured", "below", "above"], dtype=object))
        if "CENS" in table.columns and "LIMIT" in table.columns:
            parts[f"{name}_UNTIL"] = NumberColumn(until)
        twice = next((part for part in parts if part in columns), None)
        if twice is not None:
            raise CohortError(
                f"{table.name}: {twice}", "an outcome whose name is no column yet", repr(twice), "Rename it."
            )
        columns |= {part: (cells.take(taken), taken) for part, cells in parts.items()}
    return pivot.rows(columns)


def _outcomes(table: Table, measured: Records, names: Mapping[int, str] | None) -> dict[str, Records]:
    """The records of each outcome, by its name."""
    if "DVID" not in table.columns:
        if names is not None and set(names) != {1}:
            got = f"names of {', '.join(str(key) for key in names)} and no column DVID"
            raise CohortError(f"{table.name}: names", "one name, of 1, without DVID", got)
        return {names[1] if names else "DV": measured}
    do = "Fill it in; it says which outcome was measured."
    table.refuse("DVID", measured & table.empty("DVID"), "an outcome for each measurement", "an empty cell", do)
    which = table.number("DVID")
    found = np.unique(which[measured])
    table.refuse("DVID", measured & (which != np.round(which)), "whole numbers")
    names = {int(code): f"DV{code:g}" for code in found} if names is None else names
    odd = measured & ~np.isin(which, list(names))
    listed = ", ".join(str(key) for key in names)
    table.refuse("DVID", odd, f"one of the named outcomes: {listed}", do="Name it, or drop its records.")
    absent = [key for key in names if key not in found]
    if absent:
        raise CohortError(f"{table.name}: DVID", f"measurements of {names[absent[0]]!r} ({absent[0]})", "none")
    return {name: measured & (which == key) for key, name in names.items()}


def _censored(
    table: Table, measured: Records, positive: bool
) -> tuple[Float[np.ndarray, " record"], Float[np.ndarray, " record"], Int[np.ndarray, " record"]]:
    """Value or lower end, upper end, and 0 measured or in an interval, 1 below, 2 above."""
    value = table.number("DV")
    until, flags = np.full(len(value), np.nan), np.zeros(len(value), dtype=np.int64)
    if "CENS" not in table.columns:
        return value, until, flags
    cens = _whole(table, "CENS", (-1, 0, 1), "a censoring code in every record", complete=False)
    table.refuse("CENS", measured & table.empty("CENS"), "a censoring code for each measurement", "an empty cell")
    limit = table.number("LIMIT") if "LIMIT" in table.columns else np.full(len(value), np.nan)
    limit = np.where(positive & (cens == 1) & (limit == 0), np.nan, limit)
    bounded = (cens != 0) & ~np.isnan(limit) & measured
    wrong = bounded & np.where(cens == 1, limit >= value, limit <= value)
    if wrong.any():
        table.refuse("LIMIT", wrong, "a LIMIT under DV where CENS = 1, and over it where CENS = -1")
    flags = np.where(bounded, 0, np.where(cens == 1, 1, np.where(cens == -1, 2, 0)))
    low = np.where(bounded & (cens == 1), limit, value)
    until = np.where(bounded, np.where(cens == 1, value, limit), np.nan)
    return low, until, flags
