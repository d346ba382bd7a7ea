"""Scores between bounds whose noise is normal on the logit scale."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
from jax import numpy as jnp
from jax.scipy.stats import norm
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.components.outcome import Noise
from dpm.components.scalar import Scalar
from dpm.components.score import logit_of, off_bounds, share_of
from dpm.types import Array, Key, PerVisit


@dataclass(frozen=True, kw_only=True)
class LogitNormal(Noise):
    r"""A score between two bounds, with normal noise on the logit scale; the course is the median.

    $$\mathrm{logit}\,\frac{y - L}{U - L} \sim N(\mathrm{logit}\,m,\ \sigma^2),\qquad m = \frac{\mu - L}{U - L}$$

    Values on a bound are impossible under it: say of them that they lie beyond the last step before it (`limits`).

    Attributes:
        lower, upper: $L$, $U$ [points].
        sd: $\sigma$, on the logit scale.

    Source: Aitchison & Shen 1980, doi 10.1093/biomet/67.2.261.
    """

    lower: int
    upper: int
    sd: Scalar

    equation = (
        r"\mathrm{logit}\{(y - \mathrm{lower}) / (\mathrm{upper} - \mathrm{lower})\} \sim "
        r"\mathrm{Normal}(\mathrm{logit}\,m,\ \mathrm{sd}^2)"
    )
    kinds = ("bounded", "continuous")

    @property
    def safe(self) -> float:
        return 0.5 * (self.lower + self.upper)

    def possible(self, values: np.ndarray) -> np.ndarray:
        return (values > self.lower) & (values < self.upper)

    def expected(self, course: PerVisit, *, sd: Array) -> PerVisit:
        """By Gauss's rule for a normal, of twenty nodes."""
        x, w = np.polynomial.hermite_e.hermegauss(20)
        logit = logit_of(share_of(course, self.lower, self.upper))
        shares = (each * jax.nn.sigmoid(logit + sd * node) for node, each in zip(x, w / w.sum(), strict=True))
        return self.lower + (self.upper - self.lower) * sum(shares, jnp.zeros(()))

    def distribution(self, course: PerVisit, *, sd: Array) -> dist.Distribution:
        return ScoreLogitNormal(logit_of(share_of(course, self.lower, self.upper)), sd, self.lower, self.upper)

    def log_cdf(self, value: Array, course: PerVisit, *, sd: Array) -> Array:
        return norm.logcdf(self._distance(value, course) / sd)

    def log_sf(self, value: Array, course: PerVisit, *, sd: Array) -> Array:
        return norm.logcdf(-self._distance(value, course) / sd)

    def _distance(self, value: Array, course: PerVisit) -> Array:
        """Of a value from the course, on the logit scale."""
        share = jnp.clip((value - self.lower) / (self.upper - self.lower), 1e-12, 1.0 - 1e-12)
        return logit_of(share) - logit_of(share_of(course, self.lower, self.upper))


class ScoreLogitNormal(dist.Distribution):
    """Of a score that is normal on the logit scale; see `LogitNormal`."""

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("logit", "sd")
    pytree_aux_fields = ("lower", "upper")

    def __init__(self, logit: PerVisit, sd: Array, lower: int, upper: int) -> None:
        self.logit, self.sd, self.lower, self.upper = logit, sd, lower, upper
        dist.Distribution.__init__(self, batch_shape=logit.shape, validate_args=False)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        drawn = dist.Normal(self.logit, self.sd).sample(key, sample_shape)
        return self.lower + (self.upper - self.lower) * off_bounds(jax.nn.sigmoid(drawn))

    def log_prob(self, value: Array) -> Array:
        width = self.upper - self.lower
        share = jnp.clip((value - self.lower) / width, 1e-12, 1.0 - 1e-12)
        slope = jnp.log(share) + jnp.log1p(-share) + jnp.log(width)
        return norm.logpdf(logit_of(share), self.logit, self.sd) - slope
