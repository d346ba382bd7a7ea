"""An outcome: a trajectory and the noise around it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any

import numpy as np
from jax import numpy as jnp
from jax.scipy.stats import norm
from numpyro import distributions as dist

from dpm.components.change import Change
from dpm.components.scalar import Scalar, scalars_of
from dpm.components.trajectory import Trajectory
from dpm.errors import ModelError
from dpm.types import Array, PerVisit, Sites


class Noise(ABC):
    """Measurements around a course; a field that is a `Scalar` is a population value, any other is configuration."""

    equation: str
    """The measurement distribution in LaTeX."""

    kinds: tuple[str, ...] = ("continuous", "bounded", "integer", "count")
    """Kinds of outcome, as roles declare them, that it may describe."""

    safe: float = 0.0
    """A possible measurement, scored and thrown away where there is none."""

    serial: bool = False
    """Whether a measurement is scored given those before it; then none of them may be censored."""

    def possible(self, values: np.ndarray) -> np.ndarray:
        """Which measurements have a density above zero under it."""
        return np.isfinite(values)

    def scalars(self) -> dict[str, Scalar]:
        """The population values, in order."""
        return scalars_of(self)

    def expected(self, course: PerVisit, **values: Any) -> PerVisit:
        r"""The expected measurement, $E[y \mid \mathrm{course}]$; the course itself unless overridden."""
        return course

    def measure(self, course: PerVisit, time: PerVisit, observed: Array, values: Sites) -> dist.Distribution:
        """The distribution of the measurements at the visits of a subject; residuals are independent here."""
        return self.distribution(course, **values)

    @abstractmethod
    def distribution(self, mean: PerVisit, **values: Any) -> dist.Distribution:
        """The distribution of a measurement; it scores and simulates."""

    def log_cdf(self, value: Array, mean: PerVisit, **values: Any) -> Array:
        """Log probability of a measurement up to `value`; scores one below its limit. Override where tails matter."""
        return jnp.log(self._cdf(value, mean, values))

    def log_sf(self, value: Array, mean: PerVisit, **values: Any) -> Array:
        """Log probability of a measurement above `value`. Override where tails matter."""
        return jnp.log1p(-self._cdf(value, mean, values))

    def _cdf(self, value: Array, mean: PerVisit, values: Sites) -> Array:
        try:
            return self.distribution(mean, **values).cdf(value)
        except NotImplementedError:
            own = type(self).__name__
            do = "Leave these values out, or use a noise that has tails, such as LogitNormal for a bounded score."
            raise ModelError(own, f"measured values for {own}", "values beyond a limit", do) from None


def refuse_impossible(name: str, noise: Noise, kind: str, values: np.ndarray) -> None:
    """Refuse measurements that a noise cannot give.

    Args:
        name: of the outcome.
        noise: of the model.
        kind: of the outcome, as its role declares it.
        values: measured, on the scale of the model.

    Raises:
        ModelError: the noise does not describe this kind of outcome, a value is impossible under it, or a category
            that it gives a threshold never occurs.
    """
    where = f"fit: {name}"
    if kind not in noise.kinds:
        do = "Choose a noise for this kind of outcome, or declare the outcome's kind in the roles."
        raise ModelError(where, f"an outcome of kind {' or '.join(noise.kinds)} for {type(noise).__name__}", kind, do)
    wrong = ~noise.possible(values)
    if wrong.any():
        got = f"{values[wrong][0]:g} ({int(wrong.sum()):,} of {values.size:,} values)"
        do = "Choose a noise whose support holds every value, or correct the table."
        raise ModelError(where, f"values that {type(noise).__name__} can give", got, do)
    count = getattr(noise, "count", 0)
    unseen = sorted(set(range(count + 1)) - {int(value) for value in values}) if count else []
    if unseen:
        got = f"none at {', '.join(map(str, unseen))}"
        do = "Merge the level with its neighbour in the roles: its threshold would be the prior's alone."
        raise ModelError(where, f"values in each of the categories 0 to {count}", got, do)


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
    """What is measured.

    Attributes:
        trajectory: its course, or the name of a latent course of the model that several outcomes share.
        noise: how a measurement lies around the course.
        changes: what bends the course, in order, by a name of your own: treatment, trial entry, mode of capture.

    Raises:
        ModelError: one of them is something else, or lacks a value.
    """

    trajectory: Trajectory | str
    noise: Noise
    changes: Mapping[str, Change] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts: list[tuple[str, object, type | UnionType, str]] = [
            (
                "trajectory",
                self.trajectory,
                Trajectory | str,
                "a trajectory, such as Linear(...), or a latent one's name",
            ),
            ("noise", self.noise, Noise, "a noise, such as Gaussian(sd=...)"),
            *((f"changes.{name}", one, Change, "a change of the course") for name, one in self.changes.items()),
        ]
        for name, part, kind, expected in parts:
            if not isinstance(part, kind):
                raise ModelError(f"Outcome: {name}", expected, type(part).__name__)
            if isinstance(part, Trajectory | Noise | Change):
                part.scalars()
