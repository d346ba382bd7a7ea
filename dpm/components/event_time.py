"""The distribution of when something happens, and what: it scores and draws time and type together."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import jax
import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.cohort.records import EventRecords
from dpm.types import Array, Float, Key, PerVisit

type LogHazard = Callable[[PerVisit], PerVisit]
"""Log hazard of every subject at study times of shape `(time, subject)`."""

GRID = 400
"""Points of the cumulative hazard that draws are read from."""


class EventTime(dist.Distribution):
    """Time [years] and cause of what happens in one process, per subject and episode.

    A value has shape `(subject, episode, 2)`: the time, and the number of the cause, 0 where follow-up ended without.

    Args:
        log_hazards: of each cause.
        breaks: times between which they are smooth.
        rows: what is known of observation: entry, the ends of intervals, which episodes there are.
        nodes: Gauss nodes of each integral.
        horizon: until when events are drawn [years].
    """

    support = constraints.independent(constraints.real, 2)
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        log_hazards: tuple[LogHazard, ...],
        breaks: tuple[float, ...],
        rows: EventRecords,
        nodes: int = 20,
        horizon: float = 50.0,
    ) -> None:
        self.log_hazards, self.breaks, self.rows, self.nodes, self.horizon = log_hazards, breaks, rows, nodes, horizon
        episodes, n = rows.time.shape
        dist.Distribution.__init__(self, batch_shape=(n,), event_shape=(episodes, 2), validate_args=False)

    def log_prob(self, value: Float[Array, "subject episode 2"]) -> Float[Array, " subject"]:
        rows, time, kind = self.rows, value[..., 0].T, value[..., 1].T
        before = jnp.concatenate([rows.entry[:1], time[:-1]])
        start = jnp.where(rows.present, jnp.maximum(rows.entry, before), 0.0)
        end = jnp.where(rows.present, time, 0.0)
        total = -sum(self._cumulative(start, end), jnp.zeros(()))
        between = rows.present & (rows.until > time) & (kind > 0)
        exact = rows.present & (kind > 0) & ~between
        log_hazards = [each(jnp.where(exact, time, 1.0)) for each in self.log_hazards]
        for k, log_hazard in enumerate(log_hazards, 1):
            total = total + jnp.where(exact & (kind == k), log_hazard, 0.0)
        return jnp.sum(total + self._within(between, time, kind), axis=0)

    def _within(self, between: Array, time: Array, kind: Array) -> Array:
        """What an event in an interval adds to its beginning without one."""
        parts = self._cumulative(jnp.where(between, time, 0.0), jnp.where(between, self.rows.until, 0.0))
        whole = jnp.where(between, sum(parts, jnp.zeros(())), 1.0)
        log_any = jnp.log(-jnp.expm1(-whole))
        own = sum((jnp.where(kind == k, part, 0.0) for k, part in enumerate(parts, 1)), jnp.zeros(()))
        return jnp.where(between, log_any + jnp.log(jnp.where(between, own, 1.0) / whole), 0.0)

    def _cumulative(self, start: PerVisit, end: PerVisit) -> list[PerVisit]:
        """The integral of each hazard, zero where `end` is not later than `start`.

        Gauss's rule in $s$ with $t = a + (b - a)s^5$: a hazard such as $t^{k-1}$ has no derivative at time zero.
        """
        x, w = np.polynomial.legendre.leggauss(self.nodes)
        s, weight = 0.5 * (1.0 + x), 0.5 * w
        totals = [jnp.zeros(start.shape) for _ in self.log_hazards]
        for left, right in pairwise((0.0, *self.breaks, np.inf)):
            a, b = jnp.clip(start, left, right), jnp.clip(end, left, right)
            real = b > a
            length = jnp.where(real, b - a, 1.0)
            at = jnp.where(real, a, 0.0) + length * s[:, None, None] ** 5
            measure = 5.0 * weight[:, None, None] * s[:, None, None] ** 4 * length
            flat = at.reshape(-1, at.shape[-1])
            for k, log_hazard in enumerate(self.log_hazards):
                values = jnp.exp(log_hazard(flat)).reshape(at.shape)
                totals[k] = totals[k] + jnp.where(real, jnp.sum(measure * values, axis=0), 0.0)
        return totals

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """The first event after entry, in the first episode; the other episodes stay at the horizon, censored."""
        assert key is not None and not sample_shape
        when_key, what_key = jax.random.split(key)
        episodes, n = self.rows.time.shape
        entry = self.rows.entry[0]
        share = np.linspace(0.0, 1.0, GRID + 1)[:, None] ** 2
        grid = entry + jnp.maximum(self.horizon - entry, 0.0) * share
        middle = jnp.maximum(0.5 * (grid[1:] + grid[:-1]), 1e-9)
        rates = jnp.stack([jnp.exp(each(middle)) for each in self.log_hazards])
        steps = jnp.diff(grid, axis=0)
        total = jnp.concatenate([jnp.zeros((1, n)), jnp.cumsum(rates.sum(axis=0) * steps, axis=0)])
        wanted = jax.random.exponential(when_key, (n,), dtype=total.dtype)
        place = jnp.clip(jnp.sum(total < wanted, axis=0) - 1, 0, GRID - 1)

        def at(table: Array) -> Array:
            return jnp.take_along_axis(table, place[None], axis=0)[0]

        rate = jnp.stack([at(each) for each in rates])
        happened = total[-1] >= wanted
        inside = (wanted - at(total[:-1])) / jnp.maximum(rate.sum(axis=0), 1e-300)
        time = jnp.where(happened, at(grid[:-1]) + inside, grid[-1])
        cause = 1 + jax.random.categorical(what_key, jnp.log(rate), axis=0)
        first = jnp.stack([time, jnp.where(happened, cause, 0).astype(time.dtype)], axis=-1)
        rest = jnp.stack([grid[-1], jnp.zeros(n)], axis=-1)
        return jnp.stack([first, *([rest] * (episodes - 1))], axis=1)
