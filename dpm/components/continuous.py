"""Continuous measurements whose noise is not plainly additive and normal."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jax import numpy as jnp
from jax.scipy.special import betainc
from jax.scipy.stats import norm
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.components.outcome import Noise
from dpm.components.scalar import Scalar
from dpm.types import Array, Key, PerVisit

LEAST = 1e-9
"""Below this a course that has to be positive counts as this much."""


@dataclass(frozen=True, kw_only=True)
class StudentT(Noise):
    r"""Additive noise with heavy tails: a few wild measurements do not pull the course.

    $$y \sim t_\nu(\mu, \sigma^2)$$

    Attributes:
        scale: $\sigma$ [outcome unit].
        degrees: $\nu$; a number where values are censored, whose tail has no derivative in $\nu$ here.
    """

    scale: Scalar
    degrees: Scalar = 4.0

    equation = r"y \sim t_{\mathrm{degrees}}(\mu, \mathrm{scale}^2)"

    def distribution(self, course: PerVisit, *, scale: Array, degrees: Array) -> dist.Distribution:
        return dist.StudentT(degrees, course, scale)

    def log_cdf(self, value: Array, course: PerVisit, *, scale: Array, degrees: Array) -> Array:
        return _log_t(-(value - course) / scale, degrees)

    def log_sf(self, value: Array, course: PerVisit, *, scale: Array, degrees: Array) -> Array:
        return _log_t((value - course) / scale, degrees)


def _log_t(z: Array, degrees: Array) -> Array:
    """Log probability that a t variate exceeds `z`, from the tail that is nearer."""
    square = jnp.maximum(z**2, 1e-30)  # at zero the tail is one half, but its derivative would not be finite
    tail = 0.5 * betainc(0.5 * degrees, 0.5, degrees / (degrees + square))
    return jnp.where(z > 0.0, jnp.log(tail), jnp.log1p(-tail))


@dataclass(frozen=True, kw_only=True)
class LogNormal(Noise):
    r"""Multiplicative noise; the course is the median.

    $$\log y \sim N(\log\mu, \sigma^2)$$

    Attributes:
        sd: of the logarithm, $\sigma$.
    """

    sd: Scalar

    equation = r"\log y \sim \mathrm{Normal}(\log\mu, \mathrm{sd}^2)"
    safe = 1.0

    def possible(self, values: np.ndarray) -> np.ndarray:
        return values > 0.0

    def expected(self, course: PerVisit, *, sd: Array) -> PerVisit:
        return course * jnp.exp(0.5 * sd**2)

    def distribution(self, course: PerVisit, *, sd: Array) -> dist.Distribution:
        return dist.LogNormal(jnp.log(jnp.maximum(course, LEAST)), sd)

    def log_cdf(self, value: Array, course: PerVisit, *, sd: Array) -> Array:
        return norm.logcdf(jnp.log(value), jnp.log(jnp.maximum(course, LEAST)), sd)

    def log_sf(self, value: Array, course: PerVisit, *, sd: Array) -> Array:
        return norm.logcdf(-jnp.log(value), -jnp.log(jnp.maximum(course, LEAST)), sd)


@dataclass(frozen=True, kw_only=True)
class Combined(Noise):
    r"""Normal noise with a constant and a proportional part.

    $$y \sim N(\mu,\ \sigma^2 + c^2\mu^2)$$

    Attributes:
        sd: constant part, $\sigma$ [outcome unit]; 0 for proportional noise alone.
        cv: proportional part, $c$, a coefficient of variation.
    """

    sd: Scalar
    cv: Scalar

    equation = r"y \sim \mathrm{Normal}(\mu,\ \mathrm{sd}^2 + \mathrm{cv}^2\mu^2)"

    def distribution(self, course: PerVisit, *, sd: Array, cv: Array) -> dist.Distribution:
        return dist.Normal(course, _spread(course, sd, cv))

    def log_cdf(self, value: Array, course: PerVisit, *, sd: Array, cv: Array) -> Array:
        return norm.logcdf(value, course, _spread(course, sd, cv))

    def log_sf(self, value: Array, course: PerVisit, *, sd: Array, cv: Array) -> Array:
        return norm.logcdf(-value, -course, _spread(course, sd, cv))


def _spread(course: PerVisit, sd: Array, cv: Array) -> PerVisit:
    return jnp.sqrt(sd**2 + (cv * course) ** 2 + LEAST**2)


@dataclass(frozen=True, kw_only=True)
class BoxCox(Noise):
    r"""Normal noise after a power transform; the course is the median.

    $$g(y) \sim N(g(\mu), \sigma^2),\qquad g(y) = (y^\lambda - 1)/\lambda$$

    The mass that a normal variate puts where $g$ has no inverse is left out of account: keep $\sigma$ small beside
    $g(\mu) + 1/\lambda$.

    Attributes:
        power: $\lambda \neq 0$; towards 0 it becomes `LogNormal`.
        sd: on the transformed scale, $\sigma$.

    Source: Box & Cox 1964, J R Stat Soc B 26, 211-252.
    """

    power: Scalar
    sd: Scalar

    equation = r"(y^{\mathrm{power}} - 1) / \mathrm{power} \sim \mathrm{Normal}(g(\mu), \mathrm{sd}^2)"
    safe = 1.0

    def possible(self, values: np.ndarray) -> np.ndarray:
        return values > 0.0

    def expected(self, course: PerVisit, *, power: Array, sd: Array) -> PerVisit:
        nodes, weights = np.polynomial.hermite_e.hermegauss(15)
        centre, total = _power(course, power), float(weights.sum())
        return sum(
            (w / total * _inverse_power(centre + x * sd, power) for x, w in zip(nodes, weights, strict=True)),
            jnp.zeros(()),
        )

    def distribution(self, course: PerVisit, *, power: Array, sd: Array) -> dist.Distribution:
        return PowerNormal(_power(course, power), sd, power)

    def log_cdf(self, value: Array, course: PerVisit, *, power: Array, sd: Array) -> Array:
        return norm.logcdf(_power(value, power), _power(course, power), sd)

    def log_sf(self, value: Array, course: PerVisit, *, power: Array, sd: Array) -> Array:
        return norm.logcdf(-_power(value, power), -_power(course, power), sd)


def _power(value: Array, power: Array) -> Array:
    return jnp.expm1(power * jnp.log(jnp.maximum(value, LEAST))) / power


def _inverse_power(value: Array, power: Array) -> Array:
    return jnp.exp(jnp.log(jnp.maximum(power * value + 1.0, LEAST)) / power)


class PowerNormal(dist.Distribution):
    """Of a measurement that is normal after a power transform; see `BoxCox`."""

    support = constraints.positive
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("centre", "sd", "power")

    def __init__(self, centre: Array, sd: Array, power: Array) -> None:
        self.centre, self.sd, self.power = centre, sd, power
        dist.Distribution.__init__(self, batch_shape=jnp.shape(centre), validate_args=False)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        return _inverse_power(dist.Normal(self.centre, self.sd).sample(key, sample_shape), self.power)

    def log_prob(self, value: Array) -> Array:
        inside = dist.Normal(self.centre, self.sd).log_prob(_power(value, self.power))
        return inside + (self.power - 1.0) * jnp.log(value)
