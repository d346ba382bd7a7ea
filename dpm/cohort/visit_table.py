"""How often subjects were seen and for how long they were followed."""

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.event_role import CENSORED
from dpm.cohort.quality import by_source, end_of_follow_up
from dpm.cohort.role import PER_YEAR
from dpm.errors import CohortError
from dpm.types import Bool, Float


def visit_table(cohort: Cohort, *, by: str | None = "study", lost_after: float = 1.0) -> pd.DataFrame:
    """Visits, gaps, follow-up and dropout of each source: a row each.

    Args:
        cohort: as read.
        by: what is a source, as in `quality_table`.
        lost_after: a subject whose terminal process ends without an event more than this after its last visit counts
            as dropped out of the visits [years].

    Returns:
        `source`, `subjects`, `visits`; visits per subject `visits_median`, `visits_q1`, `visits_q3`, `visits_max`; gaps
        between consecutive visits `gaps`, `gap_median`, `gap_q1`, `gap_q3`, `gap_max` [days]; `gap_spread`, their
        quartile distance over their median (0: regular); `follow_up_median`, by reverse Kaplan-Meier, and
        `follow_up_max` [years]; the share of subjects with a terminal event `ended`, and the share `dropped_out`;
        `single_visit`, the share with one visit; `padding`, the share of the arrays of `Records` that holds nothing.
        Follow-up, events and dropout are NaN without a terminal process.

    Raises:
        CohortError: there is no label `by`, or `lost_after` is negative.
    """
    if lost_after < 0:
        raise CohortError("visit_table: lost_after", "years that are not negative", repr(lost_after))
    return pd.DataFrame([_row(source, part, lost_after) for source, part in by_source(cohort, by)])


def median_follow_up(time: Float[np.ndarray, " subject"], ended: Bool[np.ndarray, " subject"]) -> float:
    r"""Median time of observation by reverse Kaplan-Meier: events censor the end of observation [unit of `time`].

    The estimate of $S(t) = \prod_{t_j \le t} (1 - c_j / n_j)$ with $c_j$ subjects censored among $n_j$ observed until
    $t_j$ or longer; the median is the first time at which it is at most one half, or the middle of the interval where
    it is exactly that (Schemper and Smith, Control Clin Trials 1996;17:343-346). NaN where it stays above.
    """
    times, place = np.unique(time, return_inverse=True)
    censored = np.bincount(place, weights=~ended, minlength=len(times))
    leaving = np.bincount(place, minlength=len(times))
    at_risk = leaving[::-1].cumsum()[::-1]
    survival = np.cumprod(1 - censored / at_risk)
    below = np.flatnonzero(survival <= 0.5 + 1e-12)
    if not len(below):
        return float("nan")
    first = int(below[0])
    later = np.flatnonzero(survival < 0.5 - 1e-12)
    if abs(survival[first] - 0.5) <= 1e-12 and len(later):
        return float((times[first] + times[int(later[0])]) / 2)
    return float(times[first])


def _row(source: str, cohort: Cohort, lost_after: float) -> dict[str, object]:
    visits = cohort.visits
    counts = visits.groupby("subject").size().reindex(cohort.subjects.index, fill_value=0).to_numpy()
    gap = (visits.groupby("subject")["time"].diff().dropna() * PER_YEAR["days"]).to_numpy(dtype=np.float64)
    row: dict[str, object] = {"source": source, "subjects": cohort.n_subjects, "visits": cohort.n_visits}
    row |= _quartiles("visits", counts.astype(np.float64))
    row |= {"gaps": len(gap)} | _quartiles("gap", gap)
    quartiles = np.quantile(gap, [0.25, 0.5, 0.75]) if len(gap) else np.full(3, np.nan)
    row["gap_spread"] = float((quartiles[2] - quartiles[0]) / quartiles[1]) if len(gap) else float("nan")
    row |= _ends(cohort, lost_after)
    row["single_visit"] = float(np.mean(counts == 1))
    row["padding"] = 1 - cohort.n_visits / (max(int(counts.max()), 1) * cohort.n_subjects)
    return row


def _quartiles(name: str, values: Float[np.ndarray, " value"]) -> dict[str, object]:
    keys = [f"{name}_{key}" for key in ("median", "q1", "q3", "max")]
    found = np.quantile(values, [0.5, 0.25, 0.75, 1]) if len(values) else np.full(4, np.nan)
    return dict(zip(keys, found.tolist(), strict=True))


def _ends(cohort: Cohort, lost_after: float) -> dict[str, object]:
    keys = ("follow_up_median", "follow_up_max", "ended", "dropped_out")
    ends = cohort.ends
    if cohort.roles.terminal is None or ends.empty:
        return dict.fromkeys(keys, float("nan"))
    time, ended = ends["time"].to_numpy(dtype=np.float64), (ends["event"] != CENSORED).to_numpy(dtype=bool)
    last = cohort.visits.groupby("subject")["time"].max()
    unseen = end_of_follow_up(cohort) - last.reindex(cohort.subjects.index).fillna(0.0)
    alive = ~cohort.subjects.index.isin(ends.loc[ended, "subject"])
    found = (median_follow_up(time, ended), float(time.max()), float(ended.mean()))
    return dict(zip(keys, (*found, float(np.mean((unseen > lost_after) & alive))), strict=True))
