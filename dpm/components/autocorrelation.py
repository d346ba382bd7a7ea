"""Residuals that remember: a measurement above its course is likely to be followed by another."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
from jax import lax
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.components.outcome import Noise
from dpm.components.scalar import Scalar
from dpm.types import Array, Bool, Key, PerVisit, Sites


@dataclass(frozen=True, kw_only=True)
class Autocorrelated(Noise):
    r"""Additive normal residuals with a correlation that fades with the time between visits.

    $$\mathrm{cov}(\varepsilon_j, \varepsilon_k) = \sigma^2 e^{-|t_j - t_k| / \tau}$$

    A measurement is scored given the last one of the same subject (an Ornstein-Uhlenbeck process is Markov), so that
    the cost is that of independent residuals. Values beyond a limit are not taken: their likelihood is an integral
    over all of them.

    Attributes:
        sd: $\sigma$ [outcome unit].
        memory: $\tau$ [years]; after it the correlation is 0.37.

    Source: Diggle 1988, Biometrics 44, 959-971.
    """

    sd: Scalar
    memory: Scalar

    equation = (
        r"y = \mu + \varepsilon,\quad \mathrm{cov}(\varepsilon_j, \varepsilon_k) = "
        r"\mathrm{sd}^2 e^{-|t_j - t_k| / \mathrm{memory}}"
    )
    serial = True

    def distribution(self, course: PerVisit, *, sd: Array, memory: Array) -> dist.Distribution:
        return dist.Normal(course, sd)

    def measure(self, course: PerVisit, time: PerVisit, observed: Array, values: Sites) -> dist.Distribution:
        return SerialNormal(course, time, observed, values["sd"] + 0.0 * course, values["memory"])


class SerialNormal(dist.Distribution):
    """Of the measurements of a subject whose residuals are autocorrelated; see `Autocorrelated`.

    The log probability at a visit is that of its measurement given the measured ones before it.
    """

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("course", "time", "observed", "sd", "memory")

    def __init__(
        self, course: PerVisit, time: PerVisit, observed: Bool[Array, "visit subject"], sd: Array, memory: Array
    ) -> None:
        self.course, self.time, self.observed, self.sd, self.memory = course, time, observed, sd, memory
        dist.Distribution.__init__(self, batch_shape=course.shape, validate_args=False)

    def _kept(self, gap: Array) -> tuple[Array, Array]:
        """What is kept of a residual over a gap, and the sd of what is new, as a share of the whole."""
        kept = jnp.exp(-jnp.abs(gap) / self.memory)
        return kept, jnp.sqrt(jnp.maximum(1.0 - kept**2, 1e-12))

    def log_prob(self, value: Array) -> Array:
        visits = jnp.arange(value.shape[0])[:, None]
        upto = lax.cummax(jnp.where(self.observed, visits, -1), axis=0)
        last = jnp.concatenate([jnp.full((1, value.shape[1]), -1), upto[:-1]])
        known, place = last >= 0, jnp.maximum(last, 0)
        z = (value - self.course) / self.sd
        gap = self.time - jnp.take_along_axis(self.time, place, axis=0)
        kept, new = self._kept(jnp.where(known, gap, 1.0))
        kept, new = jnp.where(known, kept, 0.0), jnp.where(known, new, 1.0)
        before = jnp.take_along_axis(jnp.where(self.observed, z, 0.0), place, axis=0)
        return dist.Normal(kept * before, new).log_prob(z) - jnp.log(self.sd)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        fresh = jax.random.normal(key, (*sample_shape, *self.course.shape))
        kept, new = self._kept(jnp.diff(self.time, axis=0))

        def step(z: Array, at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            keep, scale, noise = at
            z = keep * z + scale * noise
            return z, z

        moved = jnp.moveaxis(fresh, -2, 0)
        first = moved[0]
        _, rest = lax.scan(step, first, (kept, new, moved[1:]))
        z = jnp.moveaxis(jnp.concatenate([first[None], rest]), 0, -2)
        return self.course + self.sd * z
