"""Simulated measurements as the table that a cohort is read from, in the columns of the cohort they are like."""

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.role import PER_YEAR
from dpm.cohort.roles import CovariateRole, Roles
from dpm.cohort.transforms import TRANSFORMS
from dpm.errors import VirtualError
from dpm.types import Float, Int

Columns = dict[str, np.ndarray]


def simulated_roles(like: Cohort, outcomes: tuple[str, ...]) -> Roles:
    """The roles of `like` without what is not simulated: other outcomes, limits, structural values, events that
    happen, and how a visit was captured. Plausible bounds of a continuous outcome go too: a draw may lie beyond them.
    """
    roles = like.roles
    kept = {}
    for name in outcomes:
        without = {"limits": None, "structural": (), "reason": None}
        free = {"lower": -np.inf, "upper": np.inf} if roles.outcomes[name].kind == "continuous" else {}
        kept[name] = roles.outcomes[name].model_copy(update=without | free)
    covariates = {
        name: role.model_copy(update={"levels": _levels(like, role.column)}) if role.level is not None else role
        for name, role in roles.covariates.items()
    }
    events = {}
    if roles.terminal is not None:
        events[roles.terminal] = roles.events[roles.terminal].model_copy(
            update={"until": None, "entry": None, "where": None}
        )
    changed = {"outcomes": kept, "covariates": covariates, "events": events, "mode": None, "occasion": None}
    return roles.model_copy(update=changed)


def simulated_table(
    like: Cohort,
    roles: Roles,
    chosen: Int[np.ndarray, " subject"],
    times: Float[np.ndarray, " visit"],
    measured: dict[str, Float[np.ndarray, "visit subject"]],
    end: Float[np.ndarray, " subject"],
) -> pd.DataFrame:
    """A row per subject and visit that took place.

    Args:
        like: whose subjects.
        roles: as `simulated_roles` gives them.
        chosen: of each new subject, the position of the one in `like` whose covariates it has.
        times: of the planned visits [years].
        measured: per outcome, on its transformed scale, NaN where missing.
        end: of each subject's follow-up [years].
    """
    assert roles.time is not None
    n = len(chosen)
    baseline = {roles.subject: subject_ids(n)} | _baseline(like, roles, chosen) | _follow_up(roles, end)
    columns = {name: np.repeat(values, len(times)) for name, values in baseline.items()}
    columns[roles.time.column] = np.tile(times * PER_YEAR[roles.time.unit] + roles.time.origin, n)
    for name, values in measured.items():
        columns[roles.outcomes[name].column] = in_its_unit(name, roles.outcomes[name], values.T.ravel())
    took_place = np.tile(times, n) <= np.repeat(end, len(times))
    return pd.DataFrame(columns)[took_place].reset_index(drop=True)


def subject_ids(n: int) -> np.ndarray:
    """S1 to Sn, with zeros before the number so that text sorts them."""
    width = len(str(n))
    return np.array([f"S{k:0{width}d}" for k in range(1, n + 1)], dtype=object)


def _baseline(like: Cohort, roles: Roles, chosen: Int[np.ndarray, " subject"]) -> Columns:
    """Covariates in their own units, then arm and labels: the text of a column that is both is the label's."""
    subjects = like.subjects.iloc[chosen]
    columns: Columns = {}
    for name, role in roles.covariates.items():
        values = subjects[name].to_numpy(dtype=np.float64)
        if role.level is None:
            columns[role.column] = TRANSFORMS[role.transform].inverse(values)
        else:
            # Several indicators may read one column: each writes the subjects at its level.
            other = np.full(len(values), _other(role), dtype=object)
            text = np.where(values == 1.0, role.level, columns.get(role.column, other))
            columns[role.column] = np.where(np.isnan(values), "", text).astype(object)
    if roles.arm:
        columns[roles.arm] = subjects["arm"].to_numpy(dtype=object)
    for name, column in roles.labels.items():
        cells = subjects[name].astype(object)
        columns[column] = cells.where(cells.notna(), "").to_numpy(dtype=object)
    return columns


def _follow_up(roles: Roles, end: Float[np.ndarray, " subject"]) -> Columns:
    """The process that ends follow-up: censored in everybody."""
    if roles.terminal is None:
        return {}
    role = roles.events[roles.terminal]
    until = end * PER_YEAR[role.unit] + (role.origin or 0.0)
    if role.column is None:
        assert role.end is not None
        return {role.time: np.full(len(end), np.nan), role.end: until}
    return {role.column: np.full(len(end), role.censored, dtype=object), role.time: until}


def _other(role: CovariateRole) -> str:
    """A level of the column that no indicator of it counts as 1."""
    return role.levels[-1]


def _levels(like: Cohort, column: str) -> tuple[str, ...]:
    """What an indicator's column may hold: levels that are counted as 1 or met, and one more, last, for the rest."""
    indicators = [role for role in like.roles.covariates.values() if role.column == column and role.level is not None]
    counted = {str(role.level) for role in indicators}
    declared = [level for role in indicators for level in role.levels if level not in counted]
    met = [
        str(level)
        for name, of in ({"arm": like.roles.arm} | like.roles.labels).items()
        if of == column
        for level in like.subjects[name].dropna().unique()
    ]
    rest = next(iter(declared), "not " + " or ".join(sorted(counted)))
    return (*dict.fromkeys([*sorted(counted), *(level for level in (*declared, *met) if level != rest)]), rest)


def in_its_unit(name: str, role: OutcomeRole, values: Float[np.ndarray, " row"]) -> np.ndarray:
    if not role.levels:
        return TRANSFORMS[role.transform].inverse(values)
    there = ~np.isnan(values)
    wrong = there & ~np.isin(values, np.arange(len(role.levels)))
    if wrong.any():
        got = f"{values[wrong][0]:g} ({int(wrong.sum()):,} of {int(there.sum()):,} values)"
        expected = f"the place of one of the levels {', '.join(role.levels)}, counted from 0"
        raise VirtualError(f"simulate_cohort: {name}", expected, got, "Model the levels, not a number.")
    return np.array([role.levels[int(v)] if t else "" for v, t in zip(values, there, strict=True)], dtype=object)
