"""CDISC ADaM: subjects (ADSL), measurements (BDS: ADLB, ADQS) and times to events (ADTTE) to the tables of a cohort."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from dpm.cohort import checks
from dpm.cohort.cleaning import Kind, LedgerLine, ledger_line
from dpm.cohort.column import Column, NumberColumn, TextColumn, empty_column
from dpm.cohort.files import read_table
from dpm.cohort.pivot import Pivot, without_points
from dpm.cohort.sources import Readable, Tables
from dpm.cohort.table import Table, stack
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int

DAY = "DAY"
"""Of the table of visits: days since day 1, so that day 1 is 0 and the day before it is -1."""

_UNIT_AT_THE_END = re.compile(r"\(([^()]*[A-Za-zµμ%][^()]*)\)\s*$")
_BDS = ("AVALC", "AVALU", "PARAM", "AVISIT", "AVISITN", "ABLFL", "ANL01FL", "TRTP")
_ONE_PER_VISIT = ("AVISIT", "AVISITN", "TRTP")

Records = Bool[np.ndarray, " record"]
Lines = tuple[LedgerLine, ...]


def read_adam(
    adsl: Readable,
    bds: Readable | Sequence[Readable],
    adtte: Readable | None = None,
    *,
    baseline_window: int = 0,
) -> Tables:
    """Read ADaM data sets: SAS transport (.xpt), CSV or Parquet. A lone `.` is a missing value.

    The table of visits has a row per subject and day, sorted: USUBJID, `DAY` (days since day 1: ADY - 1 from day 1 on,
    ADY before it, for there is no day 0), a column per PARAMCD in the unit that AVALU, or the end of PARAM in brackets,
    says, AVISIT and AVISITN where given (an occasion), and the columns of ADSL. Every cell keeps its file and record.
    A PARAMCD with AVAL gives numbers; where AVAL is empty beside AVALC, or where an AVALC starts with `<`
    or `>`, AVAL is not what was read off, and the column holds AVALC: declare levels, or `limits = {signs = true}`.

    Records without ANL01FL = "Y", where there is such a column, and subjects of ADSL without a record are left out; the
    ledger counts them. A record with ABLFL = "Y" has to stand on day 1. With `baseline_window` it may stand up to so
    many days before, and is read as if on day 1, which the ledger says.

    The table of events is ADTTE with two columns more: `CNSR01` (0 event, 1 any kind of censoring) and `EVENT`
    ("censored", or EVNTDESC, or PARAMCD where there is no such column):

        EventRole(where="PARAMCD == OS", column="CNSR01", censored="1", types={"0": "death"}, time="AVAL", unit="days")

    AVAL is in AVALU, or the unit in PARAM, or in days; where it was counted as ADT - STARTDT + 1, give `origin=1`.

    Args:
        adsl: a row per subject.
        bds: one or several data sets of measurements.
        adtte: a row per subject and PARAMCD.
        baseline_window: how far before day 1 a baseline record may stand [days].

    Raises:
        CohortError: the data sets do not hold what ADaM says they hold, or do not fit together.
    """
    subjects = _subjects(adsl)
    records = _records([bds] if isinstance(bds, str | pd.DataFrame) or not isinstance(bds, Sequence) else bds)
    records, ledger = _analysed(records)
    visits, moved = _visits(records, subjects, baseline_window)
    visits, left = _joined(visits, subjects)
    events = _events(adtte, subjects, visits) if adtte is not None else None
    lines = ledger + moved + left
    if events is None:
        return Tables(visits=visits, ledger=lines)
    return Tables(visits=visits, events=events[0], ledger=lines + events[1])


def _subjects(adsl: Readable) -> Table:
    table = without_points(read_table(adsl))
    table.require(("USUBJID",))
    checks.check_present(table, "USUBJID", "a subject in every row", "Fill it in or drop the row.")
    if DAY in table.columns:
        raise CohortError(f"{table.name}: {DAY}", "a name that is no column of the visits", repr(DAY), "Rename it.")
    twice = np.asarray(pd.Index(table.text("USUBJID")).duplicated())
    table.refuse("USUBJID", twice, "one row per subject", do="Keep one row of each; ADSL has one.")
    return table


def _records(bds: Sequence[Readable]) -> Table:
    """The records of all data sets, those columns that dpm reads."""
    if not bds:
        raise CohortError("read_adam: bds", "at least one data set of measurements", "none")
    parts: dict[str, Table] = {}
    for number, source in enumerate(bds):
        table = without_points(read_table(source))
        table.require(("USUBJID", "PARAMCD", "AVAL", "ADY"))
        for column in ("USUBJID", "PARAMCD", "ADY"):
            checks.check_present(table, column, f"{column} in every record", "Fill it in, or drop the record.")
        columns = {name: table.columns[name] for name in ("USUBJID", "PARAMCD", "AVAL", "ADY")}
        columns |= {name: table.columns.get(name, empty_column(len(table))) for name in _BDS}
        if "ANL01FL" not in table.columns:
            columns["ANL01FL"] = TextColumn.of(["Y"] * len(table))
        parts[str(number)] = replace(table, columns=columns, units={})
    return stack(parts, "DATASET")


def _analysed(table: Table) -> tuple[Table, Lines]:
    """The records of the analysis."""
    out = ~_flagged(table, "ANL01FL")
    if out.all():
        raise CohortError(f"{table.name}: ANL01FL", "records with Y", f"none of {len(table):,}")
    if not out.any():
        return table, ()
    return table.keep(~out), (_line(table, out, "exclude rows", "records without ANL01FL = Y", "ANL01FL"),)


def _flagged(table: Table, column: str) -> Records:
    codes, texts = table.codes(column)
    odd = np.array([text not in ("Y", "N", "") for text in texts], dtype=bool)
    table.refuse(column, odd[codes], "Y, N or nothing", do="Correct the flag.")
    return np.asarray(texts == "Y", dtype=bool)[codes]


def _line(table: Table, rows: Records, kind: Kind, rule: str, reason: str, column: str = "") -> LedgerLine:
    return ledger_line(table, rows, table.codes("USUBJID")[0], kind, rule, column=column, reason=reason)


def study_day(table: Table) -> Float[np.ndarray, " record"]:
    """Days since day 1 from ADY, which has no day 0.

    Raises:
        CohortError: ADY is 0, or no whole day.
    """
    day = table.number("ADY")
    table.refuse(
        "ADY", day == 0, "a study day: 1 is the first, -1 the day before it", do="There is no day 0: correct it."
    )
    table.refuse("ADY", day != np.round(day), "whole study days")
    return np.where(day > 0, day - 1, day)


def _visits(table: Table, subjects: Table, window: int) -> tuple[Table, Lines]:
    order = pd.Index(subjects.text("USUBJID"))
    subject = order.get_indexer(pd.Index(table.text("USUBJID")))
    do = "Add their row, or drop these records."
    table.refuse("USUBJID", subject < 0, f"subjects of {subjects.name}", do=do)
    day, moved = _baseline(table, subject, study_day(table), window)
    pivot = Pivot.of(table, subject, day)
    columns: dict[str, tuple[Column, Int[np.ndarray, " row"]]] = {
        "USUBJID": (table.columns["USUBJID"].take(pivot.first), pivot.first),
        DAY: (NumberColumn(day[pivot.first]), pivot.first),
    }
    for name in _ONE_PER_VISIT:
        if not table.empty(name).all() and name not in subjects.columns:
            columns[name] = (pivot.same(name, f"Correct {name}, or empty it in all but one record."), pivot.first)
    units = {DAY: "days"}
    codes, params = table.codes("PARAMCD")
    for code, param in enumerate(params):
        if param in columns or param in subjects.columns:
            do = "Rename the parameter, or the column of ADSL."
            raise CohortError(f"{table.name}: PARAMCD", "a name that is no column yet", repr(str(param)), do)
        mine = codes == code
        taken = pivot.take(mine, f"PARAMCD {param}")
        columns[str(param)] = (_measured(table, mine).take(taken), taken)
        unit = _unit(table, mine)
        units |= {str(param): unit} if unit else {}
    return replace(pivot.rows(columns), units=units), moved


def _baseline(
    table: Table, subject: Int[np.ndarray, " record"], day: Float[np.ndarray, " record"], window: int
) -> tuple[Float[np.ndarray, " record"], Lines]:
    """Days with the baseline records on day 1, and what was moved there."""
    if window < 0:
        raise CohortError("read_adam: baseline_window", "days from 0 upwards", str(window))
    flagged = _flagged(table, "ABLFL")
    who = pd.DataFrame({"subject": subject, "code": table.codes("PARAMCD")[0]})
    twice = np.zeros(len(table), dtype=bool)
    twice[np.flatnonzero(flagged)] = who[flagged].duplicated().to_numpy()
    table.refuse("ABLFL", twice, "one baseline record per subject and PARAMCD", do="Take the flag from all but one.")
    far = flagged & ((day > 0) | (day < -window))
    do = "Correct the flag or the day; baseline_window reads a record up to so many days before as if on day 1."
    table.refuse("ADY", far, f"baseline records (ABLFL = Y) on day 1 or up to {window} days before it", do=do)
    moved = flagged & (day < 0)
    if not moved.any():
        return day, ()
    rule = f"baseline records up to {window} days before day 1 are read as if on day 1"
    return np.where(moved, 0.0, day), (_line(table, moved, "edit", rule, "ABLFL = Y", "ADY"),)


def _measured(table: Table, mine: Records) -> Column:
    """AVAL of one parameter, or AVALC where that is what was read off."""
    codes, texts = table.codes("AVALC")
    signed = np.array([text.startswith(("<", ">")) for text in texts], dtype=bool)[codes]
    given, bare = ~table.empty("AVALC"), table.empty("AVAL")
    if not (mine & (signed | (given & bare))).any():
        return table.columns["AVAL"]
    whole = np.where(given, table.text("AVALC"), table.text("AVAL"))
    return TextColumn.of(whole)


def _unit(table: Table, mine: Records) -> str:
    """The unit of one parameter, from AVALU, or else from the end of PARAM; empty where nothing says it."""
    for column, read in (("AVALU", str.strip), ("PARAM", _bracketed)):
        if column not in table.columns:
            continue
        codes, texts = table.codes(column)
        here = np.array([read(str(text)) for text in texts], dtype=object)[codes]
        units = list(dict.fromkeys(text for text in here[mine] if text))
        if units:
            other = mine & (here != units[0]) & (here != "")
            first = table.origin.place(int(np.argmax(mine & (here == units[0]))))[1]
            got = f"{{}}, unlike {units[0]!r} in row {first},"
            table.refuse(column, other, "one unit per PARAMCD", got, "Convert one of them, or give each its PARAMCD.")
            return units[0]
    return ""


def _bracketed(name: str) -> str:
    found = _UNIT_AT_THE_END.search(name)
    return found[1].strip() if found else ""


def _joined(visits: Table, subjects: Table) -> tuple[Table, Lines]:
    """Each visit with the columns of its subject; subjects without a record are left out."""
    place = pd.Index(subjects.text("USUBJID")).get_indexer(pd.Index(visits.text("USUBJID")))
    bare = ~np.isin(np.arange(len(subjects)), place)
    joined = subjects.take(place)
    columns = {name: cells for name, cells in joined.columns.items() if name != "USUBJID"}
    together = visits.with_columns(columns, joined.origin)
    whole = replace(together, sources=(*visits.sources, *subjects.sources))
    if not bare.any():
        return whole, ()
    return whole, (_line(subjects, bare, "exclude subjects", "subjects of ADSL without a record", "no measurement"),)


def _events(adtte: Readable, subjects: Table, visits: Table) -> tuple[Table, Lines]:
    table = without_points(read_table(adtte))
    table.require(("USUBJID", "PARAMCD", "AVAL", "CNSR"))
    for column in ("USUBJID", "PARAMCD", "AVAL", "CNSR"):
        checks.check_present(table, column, f"{column} in every record", "Fill it in, or drop the record.")
    known = np.isin(table.text("USUBJID").astype(str), subjects.text("USUBJID").astype(str))
    table.refuse("USUBJID", ~known, f"subjects of {subjects.name}", do="Add their row, or drop these records.")
    table.refuse("AVAL", table.number("AVAL") < 0, "a time from 0 upwards")
    lines: Lines = ()
    if "ANL01FL" in table.columns:
        table, lines = _analysed(table)
    seen = np.isin(table.text("USUBJID").astype(str), visits.text("USUBJID").astype(str))
    if not seen.all():
        lines += (_line(table, ~seen, "exclude rows", "events of subjects without a record", "no measurement"),)
        table = table.keep(seen)
    censored, line = _censoring(table)
    unit = _unit(table, np.ones(len(table), dtype=bool)).lower() or "days"
    words = "EVNTDESC" if "EVNTDESC" in table.columns else "PARAMCD"
    event = np.where(censored, "censored", table.text(words))
    columns = {"CNSR01": TextColumn.of(np.where(censored, "1", "0")), "EVENT": TextColumn.of(event)}
    return replace(table.with_columns(columns), units={"AVAL": unit}), (*lines, *line)


def _censoring(table: Table) -> tuple[Records, Lines]:
    codes = table.number("CNSR")
    wrong = (codes < 0) | (codes != np.round(codes))
    table.refuse("CNSR", wrong, "0 for an event, 1, 2 and so on for kinds of censoring")
    kinds = codes > 1
    if not kinds.any():
        return codes > 0, ()
    found = ", ".join(f"{code:g}" for code in np.unique(codes[kinds]))
    rule = f"CNSR {found} are read as censored (CNSR01 = 1)"
    return codes > 0, (_line(table, kinds, "edit", rule, "kinds of censoring", "CNSR"),)
