"""Censored measurements: what a value below, above or between limits adds to a likelihood."""

from typing import Any, ClassVar

from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.components.outcome import Noise
from dpm.types import Array, Key, PerVisit


class Censored(dist.Distribution):
    r"""Measurements of which some are known only to lie below, above or between limits.

    $$\log p = \begin{cases}
    \log f(y) & \text{measured} \\ \log F(y) & \text{below } y \\ \log\{1 - F(y)\} & \text{above } y \\
    \log\{F(u) - F(y)\} & \text{in } (y, u]
    \end{cases}$$

    Drawing from it gives measurements without limits.

    Args:
        noise: whose distribution is censored.
        course: expected course.
        values: of the noise's scalars.
        code: as `Records.censored`.
        until: upper ends of intervals; None where there is none.
    """

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("course", "values", "code", "until")
    pytree_aux_fields = ("noise",)

    def __init__(
        self, noise: Noise, course: PerVisit, values: dict[str, Array], code: Array, until: PerVisit | None
    ) -> None:
        # Not `mean`: that name is a property of every distribution.
        self.noise, self.course, self.values, self.code, self.until = noise, course, values, code, until
        dist.Distribution.__init__(self, batch_shape=course.shape, validate_args=False)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        return self.noise.distribution(self.course, **self.values).sample(key, sample_shape)

    def log_prob(self, value: Array) -> Array:
        below = self.noise.log_cdf(value, self.course, **self.values)
        above = self.noise.log_sf(value, self.course, **self.values)
        exact = self.noise.distribution(self.course, **self.values).log_prob(value)
        scored = jnp.where(self.code == 1, below, jnp.where(self.code == 2, above, exact))
        if self.until is None:
            return scored
        between = self.code == 3
        upper = jnp.where(between, self.until, value + 1.0)  # no interval: any finite one, so that no gradient is NaN
        return jnp.where(between, self._log_between(value, upper, below, above), scored)

    def _log_between(self, lower: Array, upper: Array, below: Array, above: Array) -> Array:
        """From the nearer tail: the difference of two numbers close to 1 would lose every digit."""
        in_upper_tail = lower > self.course
        larger = jnp.where(in_upper_tail, above, self.noise.log_cdf(upper, self.course, **self.values))
        smaller = jnp.where(in_upper_tail, self.noise.log_sf(upper, self.course, **self.values), below)
        return larger + jnp.log(-jnp.expm1(jnp.minimum(smaller - larger, -1e-12)))
