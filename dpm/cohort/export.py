"""A cohort as a long table, and the roles that read it again."""

from pathlib import Path

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.event_role import CENSORED, EventRole
from dpm.cohort.index_date import IndexRule
from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.read import read_cohort
from dpm.cohort.roles import CovariateRole, Roles, parse_roles
from dpm.cohort.transforms import TRANSFORMS
from dpm.errors import CohortError

Frame = dict[str, object]


def write_cohort(cohort: Cohort, path: str | Path) -> tuple[Path, ...]:
    """Write a cohort as `.csv` or `.parquet`; `read_written` gives it back.

    Three files: `path` with a row per visit, history included, values in their own units through the inverse of the
    transform; `<stem>_events` beside it, where events are followed; `<stem>_roles.json`. Subjects, visits, history and
    events come back equal, numbers that a transform changes to rounding; `file` and `row` are those of the new file,
    rows of history are grouped by subject, and the ledger and the attrition so far are not kept.

    Returns:
        The files, the table of visits first.

    Raises:
        CohortError: the suffix is another one, the cohort holds clones, or a subject lacks a visit at time zero or any
            measurement, so that it could not be read again.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise CohortError(str(path), "a file ending in .csv or .parquet", repr(path.suffix))
    roles = written_roles(cohort)
    refuse_unreadable(cohort)
    _write(_long(cohort), path)
    files = [path]
    if roles.events:
        events = _beside(path, "events", path.suffix)
        _write(cohort.events.drop(columns=["file", "row"]), events)
        files.append(events)
    declared = _beside(path, "roles", ".json")
    declared.write_text(roles.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return (*files, declared)


def read_written(path: str | Path) -> Cohort:
    """The cohort that `write_cohort` wrote to `path` and beside it.

    Raises:
        CohortError: a file is missing or was changed so that it can no longer be read.
    """
    path = Path(path)
    declared = _beside(path, "roles", ".json")
    if not declared.is_file():
        raise CohortError(str(declared), "the roles that write_cohort wrote", "no such file", "Write the cohort again.")
    try:
        roles = parse_roles(Roles.model_validate_json(declared.read_bytes()))
    except ValueError as error:
        got = str(error).splitlines()[0][:200]
        raise CohortError(str(declared), "roles as JSON", got, "Write the cohort again.") from None
    events = _beside(path, "events", path.suffix) if roles.events else None
    index = IndexRule(time_zero="origin") if roles.time is not None else None
    return read_cohort(path, roles, events=events, index=index)


def written_roles(cohort: Cohort) -> Roles:
    """The roles of the table that `write_cohort` writes: the same names, scales, kinds and units, other columns.

    Raises:
        CohortError: a group or a subgroup has the name of a column that the table uses itself.
    """
    roles = cohort.roles
    return parse_roles(
        {
            "subject": "subject",
            "time": {"column": "visit.time", "unit": "years"} if roles.time else None,
            "arm": "arm" if roles.arm else None,
            **{key: key for key in ("study", "site", "era") if getattr(roles, key)},
            **{key: f"visit.{key}" for key in roles.factors},
            "clocks": {name: {"column": f"clock.{name}"} for name in roles.clocks},
            "outcomes": {name: _outcome_role(cohort, name, role) for name, role in roles.outcomes.items()},
            "covariates": {name: _covariate_role(name, role) for name, role in roles.covariates.items()},
            "subgroups": roles.subgroups,
            "groups": roles.groups,
            "events": {name: _event_role(name, role) for name, role in roles.events.items()},
        }
    )


def refuse_unreadable(cohort: Cohort) -> None:
    """Refuse a cohort whose tables `read_cohort` would not read again.

    Raises:
        CohortError: it holds clones, or a subject lacks a visit at time zero or any measurement.
    """
    if "person" in cohort.subjects:
        do = "Write the cohort before they are made, and apply the index rule again."
        raise CohortError("write_cohort", "subjects", 'clones of subjects (time_zero = "all")', do)
    start = cohort.visits.loc[cohort.visits["time"] == 0, "subject"]
    rows = cohort.visits
    measured = rows.loc[rows[list(cohort.roles.outcomes)].notna().any(axis=1), "subject"]
    needs = {"a visit at time 0": start, "a measurement": measured if cohort.roles.outcomes else start}
    for what, there in needs.items():
        bare = ~cohort.subjects.index.isin(there)
        if bare.any():
            got = f"none of {cohort.subjects.index[bare][0]} ({int(bare.sum()):,} of {len(bare):,} subjects)"
            do = "Write the cohort before visits are dropped, or exclude these subjects."
            raise CohortError("write_cohort", f"{what} of every subject", got, do)


def in_own_unit(role: OutcomeRole, values: pd.Series) -> np.ndarray:
    """Values of an outcome without its transform; rounding does not take them over a bound."""
    raw = TRANSFORMS[role.transform].inverse(values.to_numpy(dtype=np.float64))
    return np.clip(raw, role.lower, role.upper)


def indicator_text(role: CovariateRole, values: pd.Series) -> list[str]:
    """An indicator as its level, or as `not <level>`."""
    assert role.level is not None
    texts = {1.0: role.level, 0.0: f"not {role.level}"}
    return [texts.get(value, "") for value in values.tolist()]


def visits_and_history(cohort: Cohort) -> pd.DataFrame:
    """The rows of both, each subject's history just before its first visit."""
    if not len(cohort.history):
        return cohort.visits
    visits = cohort.visits.reset_index(drop=True)
    first = visits.drop_duplicates("subject").reset_index().set_index("subject")["index"]
    place = cohort.history["subject"].map(first).to_numpy(dtype=np.float64) - 0.5
    rows = pd.concat([cohort.history, visits], ignore_index=True)
    order = np.argsort(np.concatenate([place, np.arange(len(visits))]), kind="stable")
    return rows.iloc[order].reset_index(drop=True)


def structural_codes(cohort: Cohort, name: str, rows: pd.DataFrame) -> np.ndarray:
    """Of each row, the number of the structural rule that its value of an outcome follows; 0 where none."""
    role = cohort.roles.outcomes[name]
    codes = np.zeros(len(rows), dtype=np.int64)
    if not role.structural:
        return codes
    reason, value = rows[f"{name}_reason"].astype(str).to_numpy(), rows[name].to_numpy(dtype=np.float64)
    for number, rule in enumerate(role.structural, 1):
        set_to = TRANSFORMS[role.transform].forward(np.array([role.structural_value(rule)]))[0]
        codes[(reason == rule.reason) & (value == set_to)] = number
    return codes


def _outcome_role(cohort: Cohort, name: str, role: OutcomeRole) -> Frame:
    column = f"outcome.{name}"
    kept = role.model_dump(exclude={"column", "limits", "structural", "reason"})
    limits: Frame | None = None
    if role.limits is not None:
        flags = {"below": "below", "above": "above", "interval": "measured"}
        limits = {"flag": f"{column}.censored", "flags": flags}
        limits |= {"until": f"{column}.until"} if f"{name}_until" in cohort.visits else {}
    structural = [
        {"when": f"{column}.structural == {number}", "value": rule.value, "reason": rule.reason}
        for number, rule in enumerate(role.structural, 1)
    ]
    reason = f"{column}.reason" if role.reason else None
    return {**kept, "column": column, "limits": limits, "structural": structural, "reason": reason}


def _covariate_role(name: str, role: CovariateRole) -> Frame:
    kept = role.model_dump(exclude={"column", "levels"})
    levels = (role.level, f"not {role.level}") if role.level is not None else ()
    return {**kept, "column": f"baseline.{name}", "levels": levels}


def _event_role(name: str, role: EventRole) -> Frame:
    return {
        "column": "event",
        "time": "time",
        "until": "until",
        "entry": "entry",
        "where": f"process == {name}",
        "unit": "years",
        "censored": CENSORED,
        "types": role.names,
        "recurrent": role.recurrent,
        "terminal": role.terminal,
        "visits_after": role.visits_after,
    }


def _long(cohort: Cohort) -> pd.DataFrame:
    """A row per visit, what belongs to the subject repeated in each."""
    rows, roles = visits_and_history(cohort), cohort.roles
    subjects = cohort.subjects.loc[rows["subject"]]
    columns: Frame = {"subject": rows["subject"].to_numpy()}
    if roles.time is not None:
        columns["visit.time"] = rows["time"].to_numpy()
    columns |= {f"visit.{key}": _text(rows[key]) for key in roles.factors}
    columns |= {f"clock.{name}": subjects[f"clock.{name}"].to_numpy() for name in roles.clocks}
    for name, role in roles.outcomes.items():
        columns |= _outcome_columns(cohort, name, role, rows)
    if roles.arm:
        columns["arm"] = subjects["arm"].to_numpy()
    for name, covariate in roles.covariates.items():
        values = subjects[name]
        numbers = covariate.level is None
        columns[f"baseline.{name}"] = (
            TRANSFORMS[covariate.transform].inverse(values.to_numpy()) if numbers else indicator_text(covariate, values)
        )
    columns |= {label: _text(subjects[label]) for label in roles.groupings}
    return pd.DataFrame(columns)


def _outcome_columns(cohort: Cohort, name: str, role: OutcomeRole, rows: pd.DataFrame) -> Frame:
    column = f"outcome.{name}"
    if role.levels:
        place = rows[name].to_numpy(dtype=np.float64)
        columns: Frame = {column: ["" if np.isnan(code) else role.levels[int(code)] for code in place]}
    else:
        columns = {column: in_own_unit(role, rows[name])}
    if f"{name}_censored" in rows:
        columns[f"{column}.censored"] = _text(rows[f"{name}_censored"])
    if f"{name}_until" in rows:
        columns[f"{column}.until"] = TRANSFORMS[role.transform].inverse(rows[f"{name}_until"].to_numpy())
    codes = structural_codes(cohort, name, rows)
    if role.structural:
        columns[f"{column}.structural"] = [str(code) if code else "" for code in codes.tolist()]
    if role.reason:
        columns[f"{column}.reason"] = np.where(codes > 0, "", _text(rows[f"{name}_reason"]))
    return columns


def _text(cells: pd.Series) -> np.ndarray:
    return cells.astype(object).where(cells.notna(), "").astype(str).to_numpy(dtype=object)


def _beside(path: Path, what: str, suffix: str) -> Path:
    return path.with_name(f"{path.stem}_{what}{suffix}")


def _write(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix.lower() == ".csv":
        frame.to_csv(path, index=False, lineterminator="\n")
    else:
        frame.to_parquet(path, index=False)
