"""An outcome: a trajectory and the noise around it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

from jax import numpy as jnp
from jax.scipy.stats import norm
from numpyro import distributions as dist

from dpm.components.parameter import Scalar
from dpm.components.trajectory import Trajectory
from dpm.types import Array, PerVisit


class Noise(ABC):
    """Measurements around an expected course; every field of a subclass is a `Scalar`."""

    equation: str
    """The measurement distribution in LaTeX."""

    def scalars(self) -> dict[str, Scalar]:
        """The fields, in order."""
        return {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]

    @abstractmethod
    def distribution(self, mean: PerVisit, **values: Any) -> dist.Distribution:
        """The distribution of a measurement; it scores and simulates."""

    def log_cdf(self, value: Array, mean: PerVisit, **values: Any) -> Array:
        """Log probability of a measurement up to `value`; scores one below its limit. Override where tails matter."""
        return jnp.log(self.distribution(mean, **values).cdf(value))

    def log_sf(self, value: Array, mean: PerVisit, **values: Any) -> Array:
        """Log probability of a measurement above `value`. Override where tails matter."""
        return jnp.log1p(-self.distribution(mean, **values).cdf(value))


@dataclass(frozen=True, kw_only=True)
class Gaussian(Noise):
    r"""Additive normal noise.

    $$y \sim N(\mu, \sigma^2)$$

    Attributes:
        sd: $\sigma$ [outcome unit].
    """

    sd: Scalar

    equation = r"y \sim \mathrm{Normal}(\mu, \mathrm{sd}^2)"

    def distribution(self, mean: PerVisit, *, sd: Array) -> dist.Distribution:
        return dist.Normal(mean, sd)

    def log_cdf(self, value: Array, mean: PerVisit, *, sd: Array) -> Array:
        return norm.logcdf(value, mean, sd)

    def log_sf(self, value: Array, mean: PerVisit, *, sd: Array) -> Array:
        return norm.logcdf(-value, -mean, sd)


@dataclass(frozen=True)
class Outcome:
    """What is measured: its expected course and its noise."""

    trajectory: Trajectory
    noise: Noise
