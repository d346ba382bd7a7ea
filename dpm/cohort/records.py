"""`Records`: the arrays a model sees."""

from dataclasses import dataclass, field, replace

import jax
import numpy as np
from jax import numpy as jnp

from dpm.types import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EventRecords:
    """What happened to each subject in one process; a pytree.

    A subject whose events do not recur has one episode; the last episode of one whose events do ends censored.

    Attributes:
        entry: from when the subject was observed [years].
        time: of the event, or of the end of follow-up without one [years].
        until: later than `time` where the event is only known to lie in (`time`, `until`], equal to it elsewhere.
        kind: 0 where there was none until `time`, k for the k-th type of the process.
        present: where there is an episode at all; the other arrays are zero elsewhere.
        types: of the process, in order.
    """

    entry: Float[Array, "episode subject"]
    time: Float[Array, "episode subject"]
    until: Float[Array, "episode subject"]
    kind: Int[Array, "episode subject"]
    present: Bool[Array, "episode subject"]
    types: tuple[str, ...] = field(default=(), metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Records:
    """Padded arrays of one cohort, subject axis last; a pytree.

    Attributes:
        time: since baseline, zero where padded [years].
        values: per outcome, the measurement, zero where there is none.
        observed: per outcome, where `values` holds a measurement.
        covariates: per covariate, the encoded baseline value; not a number where it was not measured.
        groups: per grouping, one-hot membership; a column of zeros is a level unseen at fit.
        censored: per outcome with censored values, 0 where measured, 1 where the truth lies below the value, 2 above
            it, 3 between it and `until`.
        until: per outcome with interval-censored values, their upper ends, zero elsewhere.
        missing: per covariate that some subject lacks, in whom.
        events: per process.
        levels: per factor of visits (`mode`, `occasion`, `part`), one-hot; the first level is the commonest at the fit.
        origins: per clock other than study time, its value at time zero [years].
        unseen: per grouping with levels that were not met at the fit, one-hot membership of these, in order.
        knots: per covariate whose role asks for them, its knots in the cohort of the fit, the same for every subject.
    """

    time: Float[Array, "visit subject"]
    values: dict[str, Float[Array, "visit subject"]]
    observed: dict[str, Bool[Array, "visit subject"]]
    covariates: dict[str, Float[Array, " subject"]]
    groups: dict[str, Float[Array, "group subject"]]
    censored: dict[str, Int[Array, "visit subject"]] = field(default_factory=dict)
    until: dict[str, Float[Array, "visit subject"]] = field(default_factory=dict)
    missing: dict[str, Bool[Array, " subject"]] = field(default_factory=dict)
    events: dict[str, EventRecords] = field(default_factory=dict)
    levels: dict[str, Float[Array, "level visit subject"]] = field(default_factory=dict)
    origins: dict[str, Float[Array, " subject"]] = field(default_factory=dict)
    unseen: dict[str, Float[Array, "level subject"]] = field(default_factory=dict)
    knots: dict[str, Float[Array, "knot subject"]] = field(default_factory=dict)

    @property
    def n_subjects(self) -> int:
        return int(self.time.shape[-1])

    def hide(self, subjects: Bool[Array, " subject"]) -> "Records":
        """The same arrays with every measurement and event of `subjects` masked: they add nothing to a likelihood.

        Of covariates that some subject lacks, `subjects` lack them too.
        """
        keep = ~subjects[None, :]
        observed = {name: mask & keep for name, mask in self.observed.items()}
        missing = {name: gone | subjects for name, gone in self.missing.items()}
        events = {name: replace(rows, present=rows.present & keep) for name, rows in self.events.items()}
        return replace(self, observed=observed, events=events, missing=missing)

    def at(self, time: Float[Array, "visit subject"]) -> "Records":
        """The same subjects at other times, nothing measured and no event known; visits of the first level.

        Events are then drawn from the time on up to which none is known to have happened.
        """
        nothing = {name: jnp.zeros(time.shape) for name in self.values}
        unseen = {name: jnp.zeros(time.shape, bool) for name in self.values}
        events = {
            name: replace(
                rows,
                entry=jnp.broadcast_to(jnp.maximum(rows.entry, rows.time).max(axis=0), rows.entry.shape),
                present=jnp.zeros_like(rows.present),
            )
            for name, rows in self.events.items()
        }
        first = {
            name: jnp.zeros((one_hot.shape[0], *time.shape)).at[0].set(1.0) for name, one_hot in self.levels.items()
        }
        return replace(
            self, time=time, values=nothing, observed=unseen, censored={}, until={}, events=events, levels=first
        )

    def first_visits(self, count: int) -> "Records":
        """The first `count` rows of every array of visits."""
        per_visit = ("values", "observed", "censored", "until")
        cut = {key: {name: rows[:count] for name, rows in getattr(self, key).items()} for key in per_visit}
        levels = {name: one_hot[:, :count] for name, one_hot in self.levels.items()}
        return replace(self, time=self.time[:count], levels=levels, **cut)

    def take(self, subjects: Array | np.ndarray) -> "Records":
        """The records of some subjects, by position."""
        return jax.tree_util.tree_map(lambda leaf: leaf[..., subjects], self)
