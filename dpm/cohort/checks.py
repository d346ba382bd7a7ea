"""Checks of concrete columns, each a refusal that says where, what was expected, what was found, and what to do."""

import numpy as np
import pandas as pd

from dpm.cohort.cleaning import LedgerLine, ledger_line
from dpm.cohort.column import LONGEST, NumberColumn
from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.roles import CovariateRole, Roles, TimeRole
from dpm.cohort.table import Table
from dpm.cohort.transforms import TRANSFORMS, TransformName
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int

Codes = Int[np.ndarray, " row"]
Values = Float[np.ndarray, " row"]


def check_present(table: Table, column: str, what: str, do: str) -> None:
    """Refuse an empty cell.

    Raises:
        CohortError: a cell is empty.
    """
    table.refuse(column, table.empty(column), what, "an empty cell", do)


def check_identifiers(table: Table, subject: str) -> None:
    """Refuse identifiers read as decimal numbers too long for them: two subjects may have become one.

    Raises:
        CohortError: there is such an identifier.
    """
    cells = table.columns[subject]
    if isinstance(cells, NumberColumn):
        do = "Store identifiers as text or as whole numbers."
        table.refuse(subject, np.abs(cells.values) > LONGEST, "identifiers that decimal numbers can hold", do=do)


def check_bounds(table: Table, role: OutcomeRole, values: Values) -> None:
    """Refuse a value outside the declared bounds, or outside what its transform is defined for.

    Raises:
        CohortError: there is such a value.
    """
    low, high = f"{role.lower:g}", f"{role.upper:g}"
    bounds = f"{'[' if np.isfinite(role.lower) else '('}{low}, {high}{']' if np.isfinite(role.upper) else ')'}"
    do = "Correct the value, check the unit, or widen lower and upper."
    outside = (values < role.lower) | (values > role.upper)
    table.refuse(role.column, outside, f"{role.unit} in {bounds}", do=do)
    check_domain(table, role.column, role.transform, values)


def check_domain(table: Table, column: str, transform: TransformName, values: Values) -> None:
    """Refuse a value that the transform is not defined for; NaN passes.

    Raises:
        CohortError: there is such a value.
    """
    rule = TRANSFORMS[transform]
    wrong = ~np.isnan(values) & ~rule.accepts(values)
    do = "Correct the value or leave it empty, or choose another transform."
    table.refuse(column, wrong, f"{rule.domain} for transform = {transform!r}", do=do)


def check_kind(table: Table, role: OutcomeRole, values: Values) -> None:
    """Refuse a value that its kind of outcome cannot have.

    Raises:
        CohortError: there is such a value.
    """
    whole = np.isnan(values) | (values == np.round(values))
    if role.kind in ("integer", "count"):
        expected = "whole numbers from 0 upwards" if role.kind == "count" else f"whole {role.unit}"
        do = 'Correct the value; for a continuous score declare kind = "bounded".' if role.kind == "integer" else ""
        table.refuse(role.column, ~whole | ((values < 0) & (role.kind == "count")), expected, do=do)
    if role.kind == "binary":
        table.refuse(role.column, ~np.isnan(values) & (values != 0) & (values != 1), "0 or 1")


def check_one_row(table: Table, subject: str, code: Codes) -> None:
    """Refuse a second row of a subject in a table without times.

    Raises:
        CohortError: there is one.
    """
    do = "Declare the time of a visit in the roles, or keep one row of each."
    table.refuse(subject, np.asarray(pd.Series(code).duplicated()), "one row per subject, without a time", do=do)


def check_times(
    table: Table, subject_column: str, role: TimeRole, subject: Codes, time: Values, part: Codes, *, from_zero: bool
) -> None:
    """Refuse times that are missing, repeated or out of order in a subject, and those that do not count from 0.

    Args:
        table, subject_column, role: what is read.
        subject, time: code and time of each row, in the unit of the role.
        part: code of the part of the body a row is about; each may have a row at the same time.
        from_zero: time zero is the origin of the role, and not a visit that an index rule finds.

    Raises:
        CohortError: there is such a time.
    """
    column = role.column
    table.refuse(column, np.isnan(time), "a time at every visit", "an empty cell", "Fill it in or drop the row.")
    if from_zero:
        do = "Drop the rows before baseline, or set origin in the time role to the column's value at baseline."
        table.refuse(column, time < 0, f"{role.unit} since baseline, from 0 upwards", do=do)
    order = np.lexsort((part, time, subject))
    same = (np.diff(subject[order]) == 0) & (np.diff(time[order]) == 0) & (np.diff(part[order]) == 0)
    twice = np.zeros(len(time), dtype=bool)
    twice[order[1:][same]] = True
    do = "Keep one row per subject and visit: merge or average the rows."
    got = f"{_of(table, subject_column, twice)}a second row at time {{}}"
    table.refuse(column, twice, "one row per subject and visit", got, do)
    back = _steps_back(subject, time)
    do = f"Sort the rows by {subject_column} and {column}."
    got = f"{_of(table, subject_column, back)}time {{}} after a later one"
    table.refuse(column, back, "visits in time order within a subject", got, do)
    if from_zero:
        earliest = np.full(int(subject.max(initial=-1)) + 1, np.inf)
        np.minimum.at(earliest, subject, time)
        first = earliest[subject] > 0
        do = "Drop their rows, or shift their times so that 0 is baseline."
        got = f"{_of(table, subject_column, first)}a first visit at {{}}"
        refuse_subjects(table, column, first, subject, "a visit at time 0 for every subject", got, do)


def _steps_back(subject: Codes, time: Values) -> Bool[np.ndarray, " row"]:
    """Rows that come after a later row of the same subject."""
    order = np.argsort(subject, kind="stable")
    back = np.zeros(len(time), dtype=bool)
    back[order[1:]] = (np.diff(subject[order]) == 0) & (np.diff(time[order]) < 0)
    return back


def check_measured(table: Table, roles: Roles, subject: Codes, measured: Bool[np.ndarray, " row"]) -> None:
    """Refuse a subject without a single measurement of any outcome.

    Raises:
        CohortError: there is such a subject.
    """
    bare = ~np.bincount(subject, weights=measured).astype(bool)[subject]
    names = ", ".join(role.column for role in roles.outcomes.values())
    got = f"{_of(table, roles.subject, bare)}none at any of its visits from time zero on"
    refuse_subjects(
        table,
        roles.subject,
        bare,
        subject,
        f"a measurement of {names} for every subject",
        got,
        "Drop their rows.",
    )


def check_constant(table: Table, subject_column: str, column: str, subject: Codes, what: str) -> None:
    """Refuse a column that changes within a subject, such as the arm.

    Raises:
        CohortError: it changes.
    """
    codes, _ = table.columns[column].factorize()
    first = np.full(int(subject.max(initial=-1)) + 1, -1, dtype=np.int64)
    first[subject[::-1]] = codes[::-1]
    changed = codes != first[subject]
    got = f"{_of(table, subject_column, changed)}{{}}, unlike its first row,"
    do = f"Give {what} in every row of a subject, the same in each."
    refuse_subjects(table, column, changed, subject, f"one value per subject ({what})", got, do)


def visits_after_the_end(
    table: Table, roles: Roles, visits: pd.DataFrame, events: pd.DataFrame, subject: Codes
) -> tuple[pd.DataFrame, tuple[LedgerLine, ...]]:
    """The visits up to the end of each subject's follow-up, and what was dropped.

    Args:
        table, roles: what is read.
        visits: a row per row of `table`.
        events: of every process.
        subject: code of the subject of each row.

    Raises:
        CohortError: there is a later visit, and the role does not say to drop it.
    """
    if roles.terminal is None:
        return visits, ()
    role = roles.events[roles.terminal]
    ends = events[events["process"] == roles.terminal].set_index("subject")["until"]
    late = (visits["time"].to_numpy() > visits["subject"].map(ends).to_numpy(dtype=float) + 1e-9).astype(bool)
    if not late.any():
        return visits, ()
    column = roles.time.column if roles.time else roles.subject
    if role.visits_after == "refuse":
        got = f"{_of(table, roles.subject, late)}a visit at {{}} after it"
        do = (
            "Correct the time of the visit or of the event, drop the visit by a rule, or declare "
            f'visits_after = "drop" in events.{roles.terminal}.'
        )
        refuse_subjects(table, column, late, subject, "every visit up to the event or the end of follow-up", got, do)
    rule = f"visits after the end of follow-up ({roles.terminal})"
    line = ledger_line(table, late, subject, "exclude rows", rule, reason="declared in the roles")
    return visits[~late], (line,)


def check_known(events: Table, visits: tuple[Table, Table], roles: Roles) -> None:
    """Refuse events of a subject that had no visits before cleaning (a rule may leave them out) nor has any after it.

    Raises:
        CohortError: there are such events.
    """
    events.require((roles.subject,))
    known = np.concatenate([table.text(roles.subject).astype(str) for table in visits])
    strange = ~np.isin(events.text(roles.subject).astype(str), known)
    do = 'Drop their rows, by a rule with table = "events", or add their visits.'
    events.refuse(roles.subject, strange, f"subjects of {visits[0].name}", do=do)


def check_level(table: Table, name: str, role: CovariateRole) -> None:
    """Refuse an indicator whose level does not occur, or a level that was not declared.

    Raises:
        CohortError: there is such a level.
    """
    codes, texts = table.codes(role.column)
    levels = sorted(set(texts) - {""})
    listed = ", ".join(levels[:20])
    if role.levels:
        odd = np.array([text not in ("", *role.levels) for text in texts], dtype=bool)
        table.refuse(role.column, odd[codes], f"one of the declared levels: {', '.join(role.levels)}")
    elif role.level not in levels:
        do = "Name one of these, or list all the levels there may be in levels."
        raise CohortError(
            f"{table.name}: {role.column}", f"a level among: {listed}", f"{role.level!r} in covariates.{name}", do
        )


def check_baseline(
    table: Table, column: str, what: str, baseline: Int[np.ndarray, " subject"], *, keep: bool = False
) -> None:
    """Refuse a baseline variable that is empty everywhere, or at the baseline of some subjects unless these are kept.

    Raises:
        CohortError: it is.
    """
    empty = table.empty(column)
    if empty.all():
        raise CohortError(
            f"{table.name}: {column}", f"values of {what}", f"an empty column ({len(empty):,} rows)", f"Drop {what}."
        )
    missing = empty[baseline]
    if missing.any() and not keep:
        file, line = table.place(column, int(baseline[int(np.argmax(missing))]))
        keeping = (
            ', or set missing = "keep" in its role and give the model a distribution of it (covariates=)'
            if what.startswith("covariates.")
            else "; it cannot be modelled where it is missing"
        )
        raise CohortError(
            f"{file}: {column}",
            f"a value at baseline for every subject ({what})",
            f"an empty cell in row {line} ({int(missing.sum()):,} of {len(baseline):,} subjects)",
            f"Drop {what} from the roles, or these subjects from the table{keeping}.",
        )


def refuse_subjects(
    table: Table, column: str, wrong: Bool[np.ndarray, " row"], subject: Codes, expected: str, got: str, do: str
) -> None:
    """Refuse rows, and say how many subjects they concern.

    Raises:
        CohortError: there is such a row.
    """
    if wrong.any():
        n, of = len(np.unique(subject[wrong])), len(np.unique(subject))
        table.refuse(column, wrong, expected, got, f"This concerns {n:,} of {of:,} subjects. {do}")


def _of(table: Table, subject_column: str, wrong: Bool[np.ndarray, " row"]) -> str:
    """Names the first subject that is wrong."""
    if not wrong.any():
        return ""
    first = table.columns[subject_column].take(np.array([int(np.argmax(wrong))]))
    return f"subject {first.text()[0]}: "
