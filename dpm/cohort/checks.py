"""Checks of concrete columns, each a refusal that says where, what was expected, what was found, and what to do."""

import numpy as np
import pandas as pd

from dpm.cohort.roles import CovariateRole, EventRole, OutcomeRole, Roles
from dpm.cohort.table import Table
from dpm.cohort.transforms import TRANSFORMS, TransformName
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int

Codes = Int[np.ndarray, " row"]
Values = Float[np.ndarray, " row"]


def check_units(table: Table, roles: Roles, units: dict[str, str]) -> None:
    """Refuse a role whose unit is not the one in the data dictionary.

    Raises:
        CohortError: the two differ.
    """
    for role, column, unit in roles.units:
        known = units.get(column, "")
        if known and known != unit:
            raise CohortError(
                f"{table.name}: {column}",
                f"the unit {known!r} that its data dictionary gives",
                f"{unit!r} declared in {role}",
                f"dpm does not convert units: declare {known!r}, or convert the column and its dictionary first.",
            )


def check_present(table: Table, column: str, what: str, do: str) -> None:
    """Refuse an empty cell.

    Raises:
        CohortError: a cell is empty.
    """
    table.refuse(column, table.text(column) == "", what, "an empty cell", do)


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


def check_times(table: Table, roles: Roles, subject: Codes, time: Values) -> None:
    """Refuse times that are missing, negative, repeated, out of order or do not start at 0 in each subject.

    Raises:
        CohortError: there is such a time.
    """
    column = roles.time.column
    table.refuse(column, np.isnan(time), "a time at every visit", "an empty cell", "Fill it in or drop the row.")
    do = "Drop the rows before baseline, or set origin in the time role to the column's value at baseline."
    table.refuse(column, time < 0, f"{roles.time.unit} since baseline, from 0 upwards", do=do)
    visits = pd.DataFrame({"subject": subject, "time": time})
    twice = visits.duplicated().to_numpy()
    do = "Keep one row per subject and visit: merge or average the rows."
    table.refuse(
        column, twice, "one row per subject and visit", f"{_of(table, roles, twice)}a second row at time {{}}", do
    )
    back = visits.groupby("subject")["time"].diff().lt(0).to_numpy()
    do = f"Sort the rows by {roles.subject} and {column}."
    got = f"{_of(table, roles, back)}time {{}} after a later one"
    table.refuse(column, back, "visits in time order within a subject", got, do)
    first = visits.groupby("subject")["time"].transform("min").to_numpy() > 0
    do = "Drop their rows, or shift their times so that 0 is baseline."
    got = f"{_of(table, roles, first)}a first visit at {{}}"
    _refuse_subjects(table, column, first, subject, "a visit at time 0 for every subject", got, do)


def check_measured(table: Table, roles: Roles, subject: Codes, measured: Bool[np.ndarray, " row"]) -> None:
    """Refuse a subject without a single measurement of any outcome.

    Raises:
        CohortError: there is such a subject.
    """
    bare = ~pd.Series(measured).groupby(subject).transform("any").to_numpy()
    names = ", ".join(role.column for role in roles.outcomes.values())
    got = f"{_of(table, roles, bare)}none at any of its visits"
    _refuse_subjects(
        table,
        roles.subject,
        bare,
        subject,
        f"a measurement of {names} for every subject",
        got,
        "Drop their rows.",
    )


def check_constant(table: Table, roles: Roles, column: str, subject: Codes, what: str) -> None:
    """Refuse a column that changes within a subject, such as the arm.

    Raises:
        CohortError: it changes.
    """
    codes, _ = pd.factorize(table.text(column))
    first = pd.Series(codes).groupby(subject).transform("first").to_numpy()
    changed = codes != first
    got = f"{_of(table, roles, changed)}{{}}, unlike its first row,"
    do = f"Give {what} in every row of a subject, the same in each."
    _refuse_subjects(table, column, changed, subject, f"one value per subject ({what})", got, do)


def check_events(table: Table, roles: Roles, role: EventRole, subject: Codes, visit: Values, time: Values) -> None:
    """Refuse an event that is unknown, changes within a subject, or comes before a visit.

    Args:
        table, roles, role: what is read.
        subject: code of the subject of each row.
        visit, time: of the visit and of the event [years].

    Raises:
        CohortError: there is such an event.
    """
    check_present(table, role.column, "an event in every row", f"Write {role.censored!r} where there was none.")
    known = np.isin(table.text(role.column).astype(str), [role.censored, *role.types])
    expected = f"one of: {', '.join((role.censored, *role.types))}"
    table.refuse(role.column, ~known, expected, do="Correct the cell, or declare the event in types.")
    check_present(table, role.time, "the time of the event or of the end of follow-up", "Fill it in in every row.")
    check_constant(table, roles, role.column, subject, "the event")
    check_constant(table, roles, role.time, subject, "the time of the event")
    do = "Correct the time; an event on the day of entry has no follow-up: drop the subject's rows."
    _refuse_subjects(table, role.time, time <= 0, subject, "an event or end of follow-up after entry", "{}", do)
    late = visit > time + 1e-9
    got = f"{_of(table, roles, late)}a visit after {{}} {role.unit}"
    do = "Correct the time of the visit or of the event, or drop the visit."
    _refuse_subjects(table, role.time, late, subject, "every visit up to the event or the end of follow-up", got, do)


def check_level(table: Table, name: str, role: CovariateRole) -> None:
    """Refuse an indicator whose level does not occur, or a level that was not declared.

    Raises:
        CohortError: there is such a level.
    """
    levels = sorted(set(table.text(role.column)) - {""})
    listed = ", ".join(levels[:20])
    if role.levels:
        odd = ~np.isin(table.text(role.column).astype(str), ["", *role.levels])
        table.refuse(role.column, odd, f"one of the declared levels: {', '.join(role.levels)}")
    elif role.level not in levels:
        do = "Name one of these, or list all the levels there may be in levels."
        raise CohortError(
            f"{table.name}: {role.column}", f"a level among: {listed}", f"{role.level!r} in covariates.{name}", do
        )


def check_baseline(table: Table, column: str, what: str, baseline: Int[np.ndarray, " subject"]) -> None:
    """Refuse a baseline variable with empty cells at time 0.

    Raises:
        CohortError: it is empty everywhere, or in some subjects.
    """
    text = table.text(column)
    if not (text != "").any():
        raise CohortError(
            f"{table.name}: {column}", f"values of {what}", f"an empty column ({len(text):,} rows)", f"Drop {what}."
        )
    missing = text[baseline] == ""
    if missing.any():
        row = table.row[baseline[int(np.argmax(missing))]]
        raise CohortError(
            f"{table.name}: {column}",
            f"a value at baseline for every subject ({what})",
            f"an empty cell in row {row} ({int(missing.sum()):,} of {len(baseline):,} subjects)",
            f"Drop {what} from the roles, or these subjects from the table; missing baseline values are not modelled.",
        )


def _refuse_subjects(
    table: Table, column: str, wrong: Bool[np.ndarray, " row"], subject: Codes, expected: str, got: str, do: str
) -> None:
    if wrong.any():
        n, of = len(np.unique(subject[wrong])), len(np.unique(subject))
        table.refuse(column, wrong, expected, got, f"This concerns {n:,} of {of:,} subjects. {do}")


def _of(table: Table, roles: Roles, wrong: Bool[np.ndarray, " row"]) -> str:
    """Names the first subject that is wrong."""
    return f"subject {table.text(roles.subject)[int(np.argmax(wrong))]}: " if wrong.any() else ""
