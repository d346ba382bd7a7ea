"""Events, from the cells of a table to one checked row per subject and process."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpm.cohort import checks
from dpm.cohort.event_role import CENSORED, EventRole
from dpm.cohort.role import PER_YEAR
from dpm.cohort.table import Table
from dpm.errors import CohortError
from dpm.types import Float, Int

COLUMNS = ("subject", "process", "event", "entry", "time", "until", "file", "row")


@dataclass(frozen=True, kw_only=True, eq=False)
class Who:
    """The subjects a table of events is about.

    Attributes:
        ids: of all subjects.
        code: per row of the table, the position in `ids`.
        first: per subject, the row that speaks for it where a table has several, and all have to say the same;
            None for a table with a row per event.
        shift: per subject, how far time zero was moved [years].
    """

    ids: pd.Index
    code: Int[np.ndarray, " row"]
    first: Int[np.ndarray, " subject"] | None
    shift: Float[np.ndarray, " subject"]


def follow(table: Table, name: str, role: EventRole, subject: str, who: Who) -> pd.DataFrame:
    """The rows of one process: the columns `COLUMNS`, times in years since time zero.

    Raises:
        CohortError: an event is unknown, has no time, or comes before entry.
    """
    years = {key: _years(table, role, column) - who.shift[who.code] for key, column in role.times.items()}
    event, time = _what_and_when(table, role, years)
    if who.first is not None:
        _same_in_each_row(table, role, subject, who)
    rows = _speaking(table, name, role, who, event)
    if role.recurrent:
        # What recurred before a time zero that was moved is history: follow-up begins there.
        rows = rows[(event[rows] == CENSORED) | (time[rows] > 0) | (who.shift[who.code[rows]] == 0)]
    entry = years.get("entry", np.zeros(len(table)))
    entry = np.where(np.isnan(entry), 0.0, np.maximum(entry, 0.0))
    until = _until(table, role, years, event, time)
    _in_order(table, role, who, rows, time, entry, until)
    frame = pd.DataFrame(
        {
            "subject": who.ids[who.code[rows]],
            "process": name,
            "event": pd.Series(event[rows], dtype="str"),
            "entry": entry[rows],
            "time": time[rows],
            "until": until[rows],
            "file": np.array(table.origin.names, dtype=object)[table.origin.file[rows]],
            "row": table.origin.line[rows],
        }
    )
    return frame[list(COLUMNS)]


def nothing_followed() -> pd.DataFrame:
    """A table of events without rows."""
    kinds = {"subject": "str", "process": "str", "event": "str", "file": "str", "row": "int64"}
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "float64")) for name in COLUMNS})


def _years(table: Table, role: EventRole, column: str) -> Float[np.ndarray, " row"]:
    return np.asarray((table.number(column) - (role.origin or 0.0)) / PER_YEAR[role.unit])


def _what_and_when(
    table: Table, role: EventRole, years: dict[str, Float[np.ndarray, " row"]]
) -> tuple[np.ndarray, Float[np.ndarray, " row"]]:
    if role.column is None:
        assert role.end is not None
        checks.check_present(table, role.end, "the end of follow-up in every row", "Fill it in in every row.")
        happened = ~np.isnan(years["time"])
        after = happened & (years["time"] > years["end"] + 1e-9)
        table.refuse(role.time, after, f"an event up to the end of follow-up in {role.end}")
        return np.where(happened, role.names[0], CENSORED), np.where(happened, years["time"], years["end"])
    checks.check_present(table, role.column, "an event in every row", f"Write {role.censored!r} where there was none.")
    codes, texts = table.codes(role.column)
    meaning = {role.censored: CENSORED, **role.types}
    known = np.array([text in meaning for text in texts], dtype=bool)
    expected = f"one of: {', '.join(meaning)}"
    table.refuse(role.column, ~known[codes], expected, do="Correct the cell, or declare the event in types.")
    check = "the time of the event or of the end of follow-up"
    checks.check_present(table, role.time, check, "Fill it in in every row.")
    event = np.array([meaning[text] for text in texts], dtype=object)[codes]
    return event, years["time"]


def _same_in_each_row(table: Table, role: EventRole, subject: str, who: Who) -> None:
    for column, what in (
        *(((role.column, "the event"),) if role.column else ()),
        *((column, "the time of the event") for column in role.times.values()),
    ):
        checks.check_constant(table, subject, column, who.code, what)


def _speaking(table: Table, name: str, role: EventRole, who: Who, event: np.ndarray) -> Int[np.ndarray, " kept"]:
    """The rows to keep: one per subject, or every event and the end of follow-up where events recur."""
    if role.recurrent:
        ends = np.bincount(who.code[event == CENSORED], minlength=len(who.ids))
        if (ends != 1).any():
            first = int(np.argmax(ends != 1))
            got = f"{ends[first]} for subject {who.ids[first]} ({int((ends != 1).sum()):,} of {len(ends):,} subjects)"
            do = f"Give each subject a row {role.censored!r} at the end of its follow-up, in a table of events."
            raise CohortError(f"{table.name}: events.{name}", "one censored row per subject, its last", got, do)
        return np.arange(len(table))
    if who.first is not None:
        return who.first
    rows = np.bincount(who.code, minlength=len(who.ids))
    if (rows != 1).any():
        first = int(np.argmax(rows != 1))
        got = f"{rows[first]} for subject {who.ids[first]} ({int((rows != 1).sum()):,} of {len(rows):,} subjects)"
        do = "Keep the first event, or the end of follow-up; declare recurrent = true where it may occur again."
        raise CohortError(f"{table.name}: events.{name}", "one row per subject", got, do)
    return np.argsort(who.code, kind="stable")


def _in_order(
    table: Table,
    role: EventRole,
    who: Who,
    rows: np.ndarray,
    time: np.ndarray,
    entry: np.ndarray,
    until: np.ndarray,
) -> None:
    spoken = np.zeros(len(table), dtype=bool)
    spoken[rows] = True
    if role.recurrent:
        last = pd.Series(time).groupby(who.code).transform("max").to_numpy()
        checks.refuse_subjects(
            table,
            role.time,
            (np.asarray(time) < last) & _is_end(table, role),
            who.code,
            "the end of follow-up as the last row of a subject",
            "{} before an event",
            "Correct the time.",
        )
    do = "Correct the time; an event on the day of entry has no follow-up: drop the subject's rows."
    # An event in an interval that begins at entry is one before the first visit after it.
    late = spoken & ((time < entry) | (until <= entry))
    checks.refuse_subjects(table, role.time, late, who.code, "an event or end of follow-up after entry", "{}", do)


def _is_end(table: Table, role: EventRole) -> np.ndarray:
    assert role.column is not None
    return np.asarray(table.text(role.column) == role.censored)


def _until(
    table: Table, role: EventRole, years: dict[str, np.ndarray], event: np.ndarray, time: np.ndarray
) -> Float[np.ndarray, " row"]:
    """The later end of an interval; the time itself where it is known."""
    if role.until is None:
        return time
    until = years["until"]
    table.refuse(role.until, until < time - 1e-9, f"a time from {role.time} upwards")
    wrong = ~np.isnan(until) & (event == CENSORED) & (until > time + 1e-9)
    table.refuse(role.until, wrong, "an upper end only beside an event")
    return np.asarray(np.where(np.isnan(until), time, until))
