"""The visit process: does illness decide when a patient is seen?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from dpm.cohort.andersen_gill import CoxFit, andersen_gill
from dpm.cohort.cohort import Cohort
from dpm.cohort.event_role import CENSORED
from dpm.cohort.quality import end_of_follow_up
from dpm.cohort.role import PER_YEAR
from dpm.cohort.visits import VisitRule
from dpm.errors import CohortError
from dpm.types import Bool, Float

Clock = Literal["study", "gap"]

PLANNED_TIMES = 0.2
"""Share of those at risk who are seen at one and the same time, above which times are plans and not dates."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An estimate with its interval; NaN where the data do not hold it.

    Attributes:
        estimate, low, high: interval at 95 %.
        p: two-sided.
    """

    estimate: float
    low: float
    high: float
    p: float


UNKNOWN = Comparison(estimate=float("nan"), low=float("nan"), high=float("nan"), p=float("nan"))


@dataclass(frozen=True, kw_only=True)
class VisitProcess:
    """What visits have to do with an outcome.

    Attributes:
        outcome: its name.
        clock: of the hazard.
        rule: what is on schedule, and what is near the end.
        sd: of the last observed value, over intervals between visits [scale of the model].
        subjects, gaps, gaps_seen: of the hazard; gaps that ended with a visit among all.
        gaps_left_out: before a subject's first value of the outcome.
        tied: mean share of those at risk who are seen at the same time.
        hazard_ratio: of the next visit, per sd of the last observed value.
        visits, off_schedule: how many, and how many of them off schedule.
        ends, ends_with_visit: terminal events, and those with an off-schedule visit shortly before.
        near_end: rate of off-schedule visits shortly before a terminal event over the rate at other times.
        mean_scheduled, mean_off: of the outcome [scale of the model].
        difference: off schedule minus on schedule within subjects, at the same time [scale of the model].
        verdict: in words.
    """

    outcome: str
    clock: Clock
    rule: VisitRule
    sd: float
    subjects: int
    gaps: int
    gaps_seen: int
    gaps_left_out: int
    tied: float
    hazard_ratio: Comparison
    visits: int
    off_schedule: int
    ends: int
    ends_with_visit: int
    near_end: Comparison
    mean_scheduled: float
    mean_off: float
    difference: Comparison
    verdict: str

    @property
    def table(self) -> pd.DataFrame:
        """`measure`, `estimate`, `low`, `high`, `p`, `n` and `of`: a row per measure."""
        days = f"{self.rule.within_days:g} days"
        share = self.off_schedule / self.visits if self.visits else np.nan
        before = self.ends_with_visit / self.ends if self.ends else np.nan
        compared = {
            "hazard ratio of the next visit per sd": (self.hazard_ratio, self.gaps_seen, self.gaps),
            f"rate ratio of off-schedule visits, {days} before the end": (
                self.near_end,
                self.ends_with_visit,
                self.ends,
            ),
            "difference off schedule, same subject and time": (self.difference, self.off_schedule, self.visits),
        }
        counted = {
            "visits off schedule": (share, self.off_schedule, self.visits),
            f"ends with an off-schedule visit up to {days} before": (before, self.ends_with_visit, self.ends),
        }
        rows = [
            {"measure": name, "estimate": c.estimate, "low": c.low, "high": c.high, "p": c.p, "n": n, "of": of}
            for name, (c, n, of) in compared.items()
        ]
        rows += [{"measure": name, "estimate": value, "n": n, "of": of} for name, (value, n, of) in counted.items()]
        return pd.DataFrame(rows, columns=["measure", "estimate", "low", "high", "p", "n", "of"])


def visit_process(cohort: Cohort, outcome: str, rule: VisitRule, *, clock: Clock = "study") -> VisitProcess:
    r"""Ask in three ways whether visits depend on illness.

    1. The hazard of the next visit given the last observed value $y$ of the outcome,
       $\lambda_0(t) \exp(\beta y)$, over the gaps between visits; the gap after the last visit ends unseen where the
       subject's terminal process ends. Andersen-Gill with variance robust to clustering by subject.
    2. The rate of off-schedule visits within `rule.within_days` before a terminal event over their rate at all other
       times; variance by subjects.
    3. The outcome at off-schedule visits against scheduled ones of the same subject: least squares with a mean per
       subject and a common quadratic in time, variance by subjects. A course that speeds up at the end is in it.

    The verdict takes 5 % over all the questions that could be asked (Bonferroni). Visits that depend on the
    *observed* past alone can be left out of a likelihood; visits that depend on what was not observed cannot.

    Args:
        cohort: as read.
        outcome: its name.
        rule: the plan, and what is close to the end.
        clock: time of the hazard: `"study"` since time zero, so that the common plan is in $\lambda_0$, or `"gap"`
            since the visit before.

    Raises:
        CohortError: there is no such outcome, or no gap between visits after a value.
    """
    if outcome not in cohort.roles.outcomes:
        raise CohortError("visit_process: outcome", f"one of: {', '.join(cohort.roles.outcomes)}", repr(outcome))
    gaps = _gaps(cohort, outcome)
    known = gaps[~np.isnan(gaps["last"])]
    fit, sd, tied = _hazard(known, clock)
    off = rule.off_schedule(cohort.visits["time"].to_numpy())
    measured = ~np.isnan(cohort.visits[outcome].to_numpy())
    values = cohort.visits[outcome].to_numpy()
    ended = cohort.ends[cohort.ends["event"] != CENSORED]
    near = _near(cohort, rule)
    questions = {
        "hazard": UNKNOWN if tied > PLANNED_TIMES else _ratio(float(fit.estimate[0]), float(fit.se[0])),
        "near": _near_end(cohort, rule, off, near),
        "difference": _within(cohort.visits, values, off & measured, measured),
    }
    return VisitProcess(
        outcome=outcome,
        clock=clock,
        rule=rule,
        sd=sd,
        subjects=known["subject"].nunique(),
        gaps=len(known),
        gaps_seen=int(known["seen"].sum()),
        gaps_left_out=len(gaps) - len(known),
        tied=tied,
        hazard_ratio=questions["hazard"],
        visits=cohort.n_visits,
        off_schedule=int(off.sum()),
        ends=len(ended),
        ends_with_visit=cohort.visits.loc[off & near, "subject"].nunique(),
        near_end=questions["near"],
        mean_scheduled=_mean(values[measured & ~off]),
        mean_off=_mean(values[measured & off]),
        difference=questions["difference"],
        verdict=_verdict(questions, cohort.roles.outcomes[outcome].higher_is, tied),
    )


def _gaps(cohort: Cohort, outcome: str) -> pd.DataFrame:
    """A row per gap: subject, start, stop, seen, last (value observed until its start, NaN before the first)."""
    visits = cohort.visits[["subject", "time", outcome]]
    by_subject = visits.groupby("subject")
    following = by_subject["time"].shift(-1)
    ends = visits["subject"].map(end_of_follow_up(cohort)).to_numpy(dtype=np.float64)
    frame = pd.DataFrame(
        {
            "subject": visits["subject"],
            "start": visits["time"],
            "stop": following.fillna(pd.Series(ends, index=visits.index)),
            "seen": following.notna(),
            "last": by_subject[outcome].ffill(),
        }
    )
    return frame[frame["stop"] > frame["start"]].reset_index(drop=True)


def _hazard(gaps: pd.DataFrame, clock: Clock) -> tuple[CoxFit, float, float]:
    """The fit per sd of the last value, that sd, and how tied the visits are."""
    if not gaps["seen"].any() or not gaps["last"].std() > 0:
        got = f"{int(gaps['seen'].sum()):,} gaps that end with a visit"
        raise CohortError("visit_process", "gaps between visits after values that differ", got)
    start, stop = gaps["start"].to_numpy(dtype=np.float64), gaps["stop"].to_numpy(dtype=np.float64)
    if clock == "gap":
        start, stop = np.zeros(len(gaps)), np.round(stop - start, 9)
    last, sd = gaps["last"].to_numpy(dtype=np.float64), float(gaps["last"].std())
    seen = gaps["seen"].to_numpy(dtype=bool)
    cluster = pd.factorize(gaps["subject"])[0].astype(np.int64)
    fit = andersen_gill(start, stop, seen, (last / sd)[:, None], cluster)
    times, counts = np.unique(stop[seen], return_counts=True)
    at_risk = np.searchsorted(np.sort(start), times, "left") - np.searchsorted(np.sort(stop), times, "left")
    return fit, sd, float(np.average(counts / at_risk, weights=counts))


def _near(cohort: Cohort, rule: VisitRule) -> Bool[np.ndarray, " visit"]:
    """Visits shortly before a terminal event."""
    ended = cohort.ends[cohort.ends["event"] != CENSORED].set_index("subject")["time"]
    left = cohort.visits["subject"].map(ended).to_numpy(dtype=np.float64) - cohort.visits["time"].to_numpy()
    return np.asarray(left * PER_YEAR["days"] <= rule.within_days + 1e-6)


def _near_end(
    cohort: Cohort, rule: VisitRule, off: Bool[np.ndarray, " visit"], near: Bool[np.ndarray, " visit"]
) -> Comparison:
    """Off-schedule visits per year shortly before a terminal event, over the same at other times."""
    ids = cohort.subjects.index
    years = end_of_follow_up(cohort).to_numpy(dtype=np.float64)
    ended = ids.isin(cohort.ends.loc[cohort.ends["event"] != CENSORED, "subject"])
    close = np.where(ended, np.minimum(years, rule.within_days / PER_YEAR["days"]), 0.0)
    position = cohort.position
    counts = [np.bincount(position[off & where], minlength=len(ids)).astype(float) for where in (near, ~near)]
    exposure = (close, years - close)
    if min(count.sum() for count in counts) == 0 or min(time.sum() for time in exposure) <= 0:
        return UNKNOWN
    rates = [count.sum() / time.sum() for count, time in zip(counts, exposure, strict=True)]
    parts = [(c - r * t) / c.sum() for c, r, t in zip(counts, rates, exposure, strict=True)]
    se = float(np.sqrt(len(ids) / (len(ids) - 1) * np.sum((parts[0] - parts[1]) ** 2)))
    return _ratio(float(np.log(rates[0] / rates[1])), se)


def _within(
    visits: pd.DataFrame, values: Float[np.ndarray, " visit"], off: np.ndarray, measured: np.ndarray
) -> Comparison:
    """Off schedule minus scheduled within subjects, clustered by subject."""
    time = visits["time"].to_numpy()
    frame = pd.DataFrame({"off": off.astype(float), "time": time, "square": time**2, "value": values})[measured]
    subject = pd.factorize(visits["subject"][measured])[0]
    centred = (frame - frame.groupby(subject).transform("mean")).to_numpy()
    x, y = centred[:, :3], centred[:, 3]
    if np.linalg.matrix_rank(x) < 3:
        return UNKNOWN
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ (x.T @ y)
    sums = np.zeros((subject.max() + 1, 3))
    np.add.at(sums, subject, x * (y - x @ beta)[:, None])
    n = len(sums)
    variance = inverse @ (sums.T @ sums) @ inverse * n / (n - 1)
    return _normal(float(beta[0]), float(np.sqrt(variance[0, 0])))


def _normal(estimate: float, se: float) -> Comparison:
    if not se > 0:
        return UNKNOWN
    low, high = estimate - 1.959964 * se, estimate + 1.959964 * se
    return Comparison(estimate=estimate, low=low, high=high, p=float(2 * norm.sf(abs(estimate) / se)))


def _ratio(log: float, se: float) -> Comparison:
    found = _normal(log, se)
    low, high = float(np.exp(found.low)), float(np.exp(found.high))
    return Comparison(estimate=float(np.exp(found.estimate)), low=low, high=high, p=found.p)


def _mean(values: Float[np.ndarray, " value"]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _verdict(questions: dict[str, Comparison], higher_is: str, tied: float) -> str:
    asked = {name: found for name, found in questions.items() if not np.isnan(found.p)}
    planned = "; times of visits are plans, not dates, so that gaps say nothing" if tied > PLANNED_TIMES else ""
    if not asked:
        return f"cannot be judged{planned}"
    signs = {name: found for name, found in asked.items() if found.p < 0.05 / len(asked)}
    if not signs:
        return f"no sign of it at this n{planned}"
    reasons = [_reason(name, found, higher_is) for name, found in signs.items()]
    driven = "visits are driven by illness" if any(sick for sick, _ in reasons) else "visits depend on the outcome"
    return f"{driven}: {'; '.join(text for _, text in reasons)}{planned}"


def _reason(name: str, found: Comparison, higher_is: str) -> tuple[bool, str]:
    """Whether it speaks for visits because of illness, and what it is."""
    if name == "near":
        more = found.estimate > 1
        return more, f"off-schedule visits are {'more' if more else 'less'} frequent shortly before the end"
    larger = found.estimate > (1 if name == "hazard" else 0)
    worse = higher_is != "neither" and larger == (higher_is == "worse")
    state = ("worse" if worse else "better") if higher_is != "neither" else ("higher" if larger else "lower")
    if name == "hazard":
        return worse, f"the next visit comes sooner after {state} values"
    return worse, f"values are {state} at off-schedule visits"


def visit_distances(cohort: Cohort, rule: VisitRule) -> pd.DataFrame:
    """A row per visit: `subject`, `time` [years], `days_off_plan`, signed, from the nearest planned time, and
    `days_to_end`, until the subject's terminal event, NaN without one.
    """
    planned = np.sort(np.asarray(rule.planned))
    time = cohort.visits["time"].to_numpy()
    above = np.clip(np.searchsorted(planned, time), 0, len(planned) - 1)
    below = np.clip(above - 1, 0, None)
    nearest = np.where(np.abs(time - planned[above]) < np.abs(time - planned[below]), planned[above], planned[below])
    ended = cohort.ends[cohort.ends["event"] != CENSORED].set_index("subject")["time"]
    left = cohort.visits["subject"].map(ended).to_numpy(dtype=np.float64) - time
    days = PER_YEAR["days"]
    return pd.DataFrame(
        {
            "subject": cohort.visits["subject"],
            "time": time,
            "days_off_plan": (time - nearest) * days,
            "days_to_end": left * days,
        }
    )
