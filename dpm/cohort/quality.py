"""Quality of the data by variable and source: what is there, when, in which range, and how it was written down."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.digits import digit_preference, recorded_decimals, repeats_expected
from dpm.cohort.event_role import CENSORED
from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.role import PER_YEAR
from dpm.cohort.transforms import TRANSFORMS
from dpm.cohort.visits import VisitRule
from dpm.errors import CohortError
from dpm.types import Bool, Float

ALL = "all"
"""The source where none is declared."""

TEXT = ("variable", "role", "source", "unit", "missing")
COLUMNS = (
    *("variable", "role", "source", "unit", "n", "available", "subjects", "subjects_available"),
    *("planned", "on_time", "deviation_days"),
    *("minimum", "q1", "median", "q3", "maximum"),
    *("decimals", "digit", "digit_share", "digit_p"),
    *("pairs", "repeated", "repeated_expected", "censored", "structural", "missing"),
)

Row = dict[str, object]


def quality_table(cohort: Cohort, *, schedule: VisitRule | None = None, by: str | None = "study") -> pd.DataFrame:
    """Quality of each variable of each source: a row each.

    Args:
        cohort: as read.
        schedule: the planned visits, and from how many days on a visit is off schedule. A planned visit is due where
            it lies within the subject's follow-up (until the end of the terminal process, else until the last visit),
            and on time where a visit with a value lies within that many days. Without a schedule timing is not judged,
            and without a terminal process the share is not: nobody knows whether a visit was missed.
        by: what is a source: `"study"` where it is declared (else all is one source), `"arm"`, another label of
            subjects, or None for one source.

    Returns:
        `variable`, `role` (outcome, covariate, label, event), `source`, `unit`; `n` values that could be there (visits,
        or subjects) and the share `available`, `subjects` and the share with any value, `subjects_available`;
        `planned` visits due, the share `on_time` and the median distance of those from the plan, `deviation_days`;
        `minimum`, quartiles and `maximum` in `unit` (a time of an event: years); `decimals` recorded, the most frequent
        last `digit`, its share `digit_share` and `digit_p` (see `digit_preference`); `pairs` of consecutive values of
        a subject, the share `repeated` to all recorded digits and the share `repeated_expected` by chance (see
        `repeats_expected`); the shares of values `censored` (of event processes: of subjects) and `structural`; and
        `missing`, the count of missing values by reason. What does not apply is NaN.

    Raises:
        CohortError: there is no label `by`.
    """
    rows: list[Row] = []
    for source, part in by_source(cohort, by):
        for name, role in cohort.roles.outcomes.items():
            rows.append({"source": source, **_outcome(part, name, role, schedule)})
        rows += [{"source": source, **row} for row in (*_covariates(part), *_labels(part), *_processes(part))]
    order = {str(row["variable"]): place for place, row in reversed(list(enumerate(rows)))}
    rows.sort(key=lambda row: order[str(row["variable"])])
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({name: "str" if name in TEXT else "float64" for name in COLUMNS})


def by_source(cohort: Cohort, by: str | None) -> Iterator[tuple[str, Cohort]]:
    """The cohort by source: by the label `by`, or as a whole.

    Raises:
        CohortError: there is no such label.
    """
    allowed = (*(("arm",) if cohort.roles.arm else ()), *cohort.roles.groupings)
    if by is None or (by == "study" and "study" not in allowed):
        yield ALL, cohort
        return
    if by not in allowed:
        raise CohortError("quality: by", f"None or one of: {', '.join(('study', *allowed))}", repr(by))
    for level in dict.fromkeys(cohort.subjects[by].sort_values().astype(str)):
        yield level, cohort.where(**{by: level})


def measured_values(cohort: Cohort, name: str) -> Float[np.ndarray, " visit"]:
    """An outcome at each visit in the unit of its role, free of the rounding of its transform; NaN where missing."""
    return _in_unit(cohort.visits[name].to_numpy(dtype=np.float64), cohort.roles.outcomes[name].transform)


def _in_unit(values: Float[np.ndarray, " value"], transform: str) -> Float[np.ndarray, " value"]:
    """Back from the scale of the model. Twelve significant digits undo log and exp and keep what was recorded."""
    raw = TRANSFORMS[transform].inverse(values)  # type: ignore[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(raw == 0, 1.0, 10.0 ** (11 - np.floor(np.log10(np.abs(raw)))))
    return np.where(np.isfinite(raw), np.round(raw * size) / size, raw)


def _outcome(cohort: Cohort, name: str, role: OutcomeRole, schedule: VisitRule | None) -> Row:
    visits = cohort.visits
    values = measured_values(cohort, name)
    there = ~np.isnan(values)
    subject = visits["subject"].to_numpy()
    with_any = len(set(subject[there]))
    censored = _flag(visits, f"{name}_censored") & there
    structural = _flag(visits, f"{name}_reason") & there
    read_off = there & ~censored & ~structural
    row = _presence(name, "outcome", role.unit, there) | _summary(values[there])
    row |= {"subjects": cohort.n_subjects, "subjects_available": with_any / cohort.n_subjects}
    row |= _timing(cohort, there, schedule)
    numeric = role.kind in ("continuous", "bounded", "integer", "count")
    if numeric:
        bound = (values == role.lower) | (values == role.upper)
        row |= _digits(values[read_off & ~bound])
    row |= _repeats(values[read_off], subject[read_off], numeric)
    some = there.any()
    row |= {"censored": censored[there].mean() if some else np.nan}
    row |= {"structural": structural[there].mean() if some else np.nan}
    return row | {"missing": _reasons(visits.get(f"{name}_reason"), ~there)}


def _presence(name: str, role: str, unit: str, there: Bool[np.ndarray, " value"]) -> Row:
    available = there.mean() if len(there) else np.nan
    return {"variable": name, "role": role, "unit": unit, "n": len(there), "available": available, "missing": ""}


def _summary(values: Float[np.ndarray, " value"]) -> Row:
    keys = ("minimum", "q1", "median", "q3", "maximum")
    found = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]) if len(values) else np.full(5, np.nan)
    return dict(zip(keys, found.tolist(), strict=True))


def _digits(values: Float[np.ndarray, " value"]) -> Row:
    found = digit_preference(values)
    digit = found.digit if found.digit >= 0 else np.nan
    decimals = found.decimals if found.decimals >= 0 else np.nan
    return {"decimals": decimals, "digit": digit, "digit_share": found.share, "digit_p": found.p}


def _repeats(values: Float[np.ndarray, " value"], subject: np.ndarray, numeric: bool) -> Row:
    """Consecutive values of one subject that are the same; `values` in the order of the visits."""
    pair = subject[1:] == subject[:-1]
    if not pair.any():
        return {"pairs": 0}
    steps = np.round(values * 10.0 ** max(recorded_decimals(values), 0)).astype(np.int64)
    difference = (steps[1:] - steps[:-1])[pair]
    expected = repeats_expected(difference) if numeric else np.nan
    return {"pairs": len(difference), "repeated": np.mean(difference == 0), "repeated_expected": expected}


def _timing(cohort: Cohort, there: Bool[np.ndarray, " visit"], schedule: VisitRule | None) -> Row:
    if schedule is None:
        return {}
    visits = cohort.visits[there]
    end = end_of_follow_up(cohort)
    planned = np.asarray(schedule.planned)
    distances = []
    times = {str(key): rows.to_numpy() for key, rows in visits.groupby("subject")["time"]}
    for subject, last in end.items():
        due = planned[planned <= last + 1e-9]
        seen = times.get(str(subject), np.array([np.inf]))
        distances.append(np.min(np.abs(due[:, None] - seen), axis=1, initial=np.inf) * PER_YEAR["days"])
    days = np.concatenate(distances) if distances else np.zeros(0)
    near = days <= schedule.off_schedule_days + 1e-6
    deviation = float(np.median(days[near])) if near.any() else np.nan
    return {
        "planned": len(days),
        "on_time": near.mean() if len(days) and cohort.roles.terminal else np.nan,
        "deviation_days": deviation,
    }


def end_of_follow_up(cohort: Cohort) -> pd.Series:
    """Per subject, until when it was observed [years]: the end of the terminal process, else the last visit."""
    last = cohort.visits.groupby("subject")["time"].max()
    ends = cohort.ends.groupby("subject")["time"].max()
    return ends.reindex(cohort.subjects.index).fillna(last.reindex(cohort.subjects.index)).fillna(0.0)


def _covariates(cohort: Cohort) -> Iterator[Row]:
    for name, role in cohort.roles.covariates.items():
        values = cohort.subjects[name].to_numpy(dtype=np.float64)
        there = ~np.isnan(values)
        unit = role.unit if role.level is None else f"{role.column} {role.level}"
        raw = _in_unit(values[there], role.transform)
        row = _presence(name, "covariate", unit, there) | _summary(raw) | _of_subjects(there)
        missing = _reasons(None, ~there)
        yield row | (_digits(raw) if role.level is None else {}) | {"missing": missing}


def _of_subjects(there: Bool[np.ndarray, " subject"]) -> Row:
    return {"subjects": len(there), "subjects_available": there.mean() if len(there) else np.nan}


def _labels(cohort: Cohort) -> Iterator[Row]:
    for name in (*(("arm",) if cohort.roles.arm else ()), *cohort.roles.groupings):
        levels = cohort.subjects[name].astype("str")
        there = (levels != "").to_numpy() & cohort.subjects[name].notna().to_numpy()
        unit = f"{levels[there].nunique()} levels"
        yield _presence(name, "label", unit, there) | _of_subjects(there) | {"missing": _reasons(None, ~there)}


def _processes(cohort: Cohort) -> Iterator[Row]:
    """A row per process of events: who was followed, and when events came; the times of censoring are not events."""
    for name in cohort.roles.events:
        rows = cohort.events[cohort.events["process"] == name]
        there = np.asarray(cohort.subjects.index.isin(rows["subject"]))
        happened = rows[rows["event"] != CENSORED]
        without = 1 - cohort.subjects.index.isin(happened["subject"])[there].mean() if there.any() else np.nan
        row = _presence(name, "event", "years", there) | _summary(happened["time"].to_numpy(dtype=np.float64))
        yield row | _of_subjects(there) | {"censored": without, "missing": _reasons(None, ~there)}


def _flag(visits: pd.DataFrame, column: str) -> Bool[np.ndarray, " visit"]:
    """Where a column of codes says something; nowhere if there is no such column."""
    if column not in visits:
        return np.zeros(len(visits), dtype=bool)
    return (visits[column].astype("str").fillna("") != "").to_numpy(dtype=bool)


def _reasons(reasons: pd.Series | None, gone: Bool[np.ndarray, " value"]) -> str:
    """Counts by reason, the most frequent first, as in "too ill 12; no reason given 3"."""
    if not gone.any():
        return ""
    given = ["" for _ in gone] if reasons is None else reasons.astype("str").fillna("").tolist()
    counts = Counter(text or "no reason given" for text, missing in zip(given, gone.tolist(), strict=True) if missing)
    return "; ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items(), key=lambda item: -item[1]))
