"""Numbers of things: lesions, relapses, seizures at a visit. The course is the log of the expected number."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.components.log_gamma import log_gamma, log_rising
from dpm.components.outcome import Noise
from dpm.components.scalar import Scalar
from dpm.types import Array, Key, PerVisit

MOST = 30.0
"""Of a log expected number, so that no sampler can overflow."""


def _whole(values: np.ndarray) -> np.ndarray:
    return (values >= 0) & (values == np.round(values))


@dataclass(frozen=True)
class Poisson(Noise):
    r"""Counts with variance equal to their mean.

    $$y \sim \mathrm{Poisson}(e^\mu)$$
    """

    equation = r"y \sim \mathrm{Poisson}(e^\mu)"
    kinds = ("count",)

    def possible(self, values: np.ndarray) -> np.ndarray:
        return _whole(values)

    def expected(self, course: PerVisit) -> PerVisit:
        return jnp.exp(jnp.minimum(course, MOST))

    def distribution(self, course: PerVisit) -> dist.Distribution:
        return dist.Poisson(jnp.exp(jnp.minimum(course, MOST)))


@dataclass(frozen=True, kw_only=True)
class NegativeBinomial(Noise):
    r"""Counts with overdispersion.

    $$y \sim \mathrm{NegativeBinomial}(m, c),\qquad m = e^\mu,\quad \mathrm{var}(y) = m + m^2/c$$

    Attributes:
        concentration: $c > 0$; larger means closer to Poisson.
    """

    concentration: Scalar

    equation = r"y \sim \mathrm{NegativeBinomial}(e^\mu, \mathrm{concentration})"
    kinds = ("count",)

    def possible(self, values: np.ndarray) -> np.ndarray:
        return _whole(values)

    def expected(self, course: PerVisit, *, concentration: Array) -> PerVisit:
        return jnp.exp(jnp.minimum(course, MOST))

    def distribution(self, course: PerVisit, *, concentration: Array) -> dist.Distribution:
        return GammaPoisson(jnp.minimum(course, MOST), concentration + 0.0 * course)


class GammaPoisson(dist.Distribution):
    """Of a count with overdispersion; see `NegativeBinomial`."""

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("log_mean", "concentration")

    def __init__(self, log_mean: PerVisit, concentration: PerVisit) -> None:
        self.log_mean, self.concentration = log_mean, concentration
        dist.Distribution.__init__(self, batch_shape=log_mean.shape, validate_args=False)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        drawn = dist.NegativeBinomial2(jnp.exp(self.log_mean), self.concentration).sample(key, sample_shape)
        return drawn.astype(self.log_mean.dtype)

    def log_prob(self, value: Array) -> Array:
        c = self.concentration
        log_whole = jnp.logaddexp(self.log_mean, jnp.log(c))
        choose = log_rising(c, value) - log_gamma(value + 1.0)
        return choose + c * (jnp.log(c) - log_whole) + value * (self.log_mean - log_whole)
