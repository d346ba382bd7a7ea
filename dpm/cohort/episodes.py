"""Events as arrays: a column per subject, a row per episode."""

import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.event_role import CENSORED
from dpm.cohort.records import EventRecords
from dpm.types import Array


def event_records(events: pd.DataFrame, subjects: pd.Index, types: tuple[str, ...]) -> EventRecords:
    """The rows of one process.

    Args:
        events: as in `Cohort.events`, of one process, in any order.
        subjects: of the cohort, in order.
        types: of the process; the k-th of them is kind k.
    """
    ends = events["event"].astype(str) == CENSORED  # follow-up that ends on the day of an event ends after it
    events = events.assign(ends=ends).sort_values(["time", "ends"], kind="stable")
    subject = subjects.get_indexer(pd.Index(events["subject"]))
    episode = events.groupby(subject).cumcount().to_numpy()
    shape = (int(episode.max(initial=0)) + 1, len(subjects))

    def pad(values: np.ndarray) -> Array:
        out = np.zeros(shape, dtype=values.dtype)
        out[episode, subject] = values
        return jnp.asarray(out)

    place = {CENSORED: 0} | {name: k for k, name in enumerate(types, 1)}
    return EventRecords(
        **{key: pad(events[key].to_numpy(dtype=np.float64)) for key in ("entry", "time", "until")},
        kind=pad(events["event"].astype(str).map(place).to_numpy(dtype=np.int64)),
        present=pad(np.ones(len(events), dtype=bool)),
        types=types,
    )


def known_at(events: pd.DataFrame, time: float) -> pd.DataFrame:
    """What is known of events at `time` [years]: what comes later is censored there, or not there at all.

    An event known only to lie in an interval that ends later has not been seen yet: it is censored at the beginning of
    that interval, up to which it is known not to have happened.
    """
    begun = events[events["entry"] <= time].copy()
    later = begun["until"] > time
    begun.loc[later, "event"] = CENSORED
    begun.loc[later, "time"] = np.minimum(begun.loc[later, "time"], time)
    begun.loc[later, "until"] = begun.loc[later, "time"]
    # Of events that recur several may lie ahead: one episode says that none has happened since the last.
    again = later & begun[later].duplicated(["subject", "process"]).reindex(begun.index, fill_value=False)
    return begun[~again].reset_index(drop=True)
