"""`read_cohort`: raw table in, checked cohort out, or a refusal."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dpm.cohort import checks
from dpm.cohort.cohort import Cohort, Source, counts_by_arm
from dpm.cohort.flow import count_step
from dpm.cohort.levels import in_order
from dpm.cohort.roles import PER_YEAR, CovariateRole, Roles, parse_roles
from dpm.cohort.table import Table, read_table
from dpm.cohort.transforms import TRANSFORMS
from dpm.types import Float, Int


def read_cohort(
    source: str | Path | pd.DataFrame, roles: Roles | dict[str, object], *, units: Mapping[str, str] | None = None
) -> Cohort:
    """Read a table with one row per subject and visit, check it once, and align it.

    Rows are counted as lines of the file: the header is row 1. The baseline value of a covariate,
    group or subgroup is the one at the subject's visit at time 0.

    Args:
        source: a CSV file (UTF-8, comma-separated, one header row, empty = missing), `"data:<set>/<file>"`
            for a table shipped with dpm, or a data frame.
        roles: which column is what.
        units: unit by column, to hold the declared units against; by default what `columns.csv`
            beside the file says (columns `column`, `unit`).

    Raises:
        CohortError: the table cannot be used as it is; nothing is read by half.
    """
    roles = parse_roles(roles)
    table = read_table(source)
    table.require(roles.columns)
    checks.check_units(table, roles, dict(units) if units is not None else _dictionary(table))
    checks.check_present(table, roles.subject, "a subject in every row", "Fill it in or drop the row.")
    subject, ids = pd.factorize(table.text(roles.subject))
    raw_time = table.number(roles.time.column) - roles.time.origin
    checks.check_times(table, roles, subject, raw_time)
    time = raw_time / PER_YEAR[roles.time.unit]
    visits = _visits(table, roles, subject, time)
    # In time order a subject's first row is its visit at time 0, so these rows are in the order of the codes.
    baseline = np.flatnonzero(time == 0)
    index = pd.Index(ids, dtype="str", name="subject")
    cohort = Cohort(
        subjects=_subjects(table, roles, subject, baseline).set_index(index),
        visits=visits.assign(subject=index.take(subject))[["subject", "time", *roles.outcomes, "row"]],
        events=_events(table, roles, subject, time, baseline).assign(subject=index if roles.events else index[:0])[
            ["subject", "event", "time"]
        ],
        roles=roles,
        source=Source(file=table.path.name if table.path else table.name, sha256=table.sha256, rows=len(table)),
    )
    counts = counts_by_arm(cohort)
    return replace(cohort, flow=count_step("1 read", "", counts, counts))


def _dictionary(table: Table) -> dict[str, str]:
    """Units in the dictionary beside a file; none where there is none of this form."""
    path = table.path.with_name("columns.csv") if table.path else None
    if path is None or not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return {row.get("column") or "": (row.get("unit") or "").strip() for row in csv.DictReader(lines)}


def _visits(
    table: Table, roles: Roles, subject: Int[np.ndarray, " row"], time: Float[np.ndarray, " row"]
) -> pd.DataFrame:
    visits = {"time": time}
    measured = np.zeros(len(table), dtype=bool)
    for name, role in roles.outcomes.items():
        values = table.number(role.column)
        checks.check_bounds(table, role, values)
        measured |= ~np.isnan(values)
        visits[name] = TRANSFORMS[role.transform].forward(values)
    checks.check_measured(table, roles, subject, measured)
    return pd.DataFrame(visits).assign(row=table.row)


def _subjects(
    table: Table, roles: Roles, subject: Int[np.ndarray, " row"], baseline: Int[np.ndarray, " subject"]
) -> pd.DataFrame:
    subjects = pd.DataFrame(index=range(len(baseline)))
    if roles.arm:
        checks.check_present(table, roles.arm, "an arm in every row", "Fill it in, or drop the arm from the roles.")
        checks.check_constant(table, roles, roles.arm, subject, "the arm")
        subjects["arm"] = pd.Series(table.text(roles.arm)[baseline], dtype="str")
    for name, role in roles.covariates.items():
        subjects[name] = _covariate(table, name, role, baseline)
    for column in roles.groupings:
        checks.check_baseline(table, column, f"the grouping {column}", baseline)
        text = table.text(column)[baseline]
        subjects[column] = pd.Categorical(text, categories=in_order(text), ordered=True)
    return subjects


def _covariate(
    table: Table, name: str, role: CovariateRole, baseline: Int[np.ndarray, " subject"]
) -> Float[np.ndarray, " subject"]:
    checks.check_baseline(table, role.column, f"covariates.{name}", baseline)
    if role.level is not None:
        checks.check_level(table, name, role)
        return np.asarray(table.text(role.column)[baseline] == role.level, dtype=np.float64)
    values = table.number(role.column)
    checks.check_domain(table, role.column, role.transform, values)
    return TRANSFORMS[role.transform].forward(values[baseline])


def _events(
    table: Table,
    roles: Roles,
    subject: Int[np.ndarray, " row"],
    time: Float[np.ndarray, " row"],
    baseline: Int[np.ndarray, " subject"],
) -> pd.DataFrame:
    if roles.events is None:
        return pd.DataFrame({"event": pd.Series(dtype="str"), "time": pd.Series(dtype=float)})
    role = roles.events
    end = (table.number(role.time) - (role.origin or 0.0)) / PER_YEAR[role.unit]
    checks.check_events(table, roles, role, subject, time, end)
    return pd.DataFrame({"event": pd.Series(table.text(role.column)[baseline], dtype="str"), "time": end[baseline]})
