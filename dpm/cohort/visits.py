"""Visits that follow the schedule, and visits that exist only because the patient is dying."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpm.cohort.role import PER_YEAR
from dpm.errors import CohortError


@dataclass(frozen=True, kw_only=True)
class VisitRule:
    r"""Which visits count as terminal: off schedule, and shortly before an event.

    A visit at time $t$ of a subject whose event is at $T$ is terminal if
    $T - t \le$ `within_days` and $\\min_k |t - p_k| >$ `off_schedule_days`. Such a visit would not have
    taken place had the patient not been dying, so its measurements are not what a visit then shows.

    Attributes:
        within_days: largest gap to the event [days].
        off_schedule_days: how far from every planned time a visit is off schedule [days].
        planned: the planned times [years].
    """

    within_days: float = 90.0
    off_schedule_days: float = 60.0
    planned: tuple[float, ...] = (0.0, 0.5, *(float(year) for year in range(1, 31)))

    def __post_init__(self) -> None:
        if not self.planned or self.within_days < 0 or self.off_schedule_days < 0:
            raise CohortError("VisitRule", "planned times and days that are not negative", repr(self))

    def terminal(self, visits: pd.DataFrame, events: pd.DataFrame, censored: str) -> pd.Series:
        """A boolean per row of `visits`, on its index."""
        ends = events.loc[events["event"] != censored].set_index("subject")["time"]
        to_event = visits["subject"].map(ends).to_numpy(dtype=float) - visits["time"].to_numpy()
        return pd.Series(
            (to_event * PER_YEAR["days"] <= self.within_days + 1e-6) & self.off_schedule(visits["time"].to_numpy()),
            index=visits.index,
            name="terminal",
        )

    def off_schedule(self, time: np.ndarray) -> np.ndarray:
        """Which times [years] are further from every planned time than the rule allows."""
        planned = np.sort(np.asarray(self.planned))
        above = np.clip(np.searchsorted(planned, time), 0, len(planned) - 1)
        below = np.clip(above - 1, 0, None)
        gap = np.minimum(np.abs(time - planned[above]), np.abs(time - planned[below]))
        return np.asarray(gap * PER_YEAR["days"] > self.off_schedule_days + 1e-6)
