"""Baseline hazards of events."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jax import numpy as jnp

from dpm.components.scalar import Scalar, scalars_of
from dpm.errors import ModelError
from dpm.types import Array, PerVisit


class Hazard(ABC):
    """A baseline hazard; a field that is a `Scalar` is a population value, any other is configuration."""

    equation: str
    """The hazard in LaTeX, with the field names as symbols."""

    def scalars(self) -> dict[str, Scalar]:
        """The population values, in order."""
        return scalars_of(self)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Times between which the hazard is smooth [years], for numerical integration."""
        return ()

    @abstractmethod
    def log_hazard(self, time: PerVisit, **values: Any) -> PerVisit:
        """Log hazard [1/years] at `time` [years since time zero], which is positive."""


@dataclass(frozen=True, kw_only=True)
class Exponential(Hazard):
    r"""$\log h(t) = r$.

    Attributes:
        log_rate: $r$ [log 1/years].
    """

    log_rate: Scalar

    equation = r"\log h(t) = \mathrm{log\_rate}"

    def log_hazard(self, time: PerVisit, *, log_rate: Array) -> PerVisit:
        return log_rate + 0.0 * time


@dataclass(frozen=True, kw_only=True)
class Weibull(Hazard):
    r"""$h(t) = \lambda\,k\,t^{k - 1}$.

    Attributes:
        log_rate: $\log\lambda$ [log 1/years to the power shape].
        shape: $k > 0$; above 1 the hazard rises.
    """

    log_rate: Scalar
    shape: Scalar

    equation = r"h(t) = e^{\mathrm{log\_rate}}\,\mathrm{shape}\;t^{\mathrm{shape} - 1}"

    def log_hazard(self, time: PerVisit, *, log_rate: Array, shape: Array) -> PerVisit:
        return log_rate + jnp.log(shape) + (shape - 1.0) * jnp.log(time)


@dataclass(frozen=True, kw_only=True)
class GompertzHazard(Hazard):
    r"""$\log h(t) = r + s\,t$.

    Attributes:
        log_rate: at time zero, $r$ [log 1/years].
        growth: $s$ [1/years].
    """

    log_rate: Scalar
    growth: Scalar

    equation = r"\log h(t) = \mathrm{log\_rate} + \mathrm{growth}\;t"

    def log_hazard(self, time: PerVisit, *, log_rate: Array, growth: Array) -> PerVisit:
        return log_rate + growth * time


@dataclass(frozen=True, kw_only=True)
class LogLogistic(Hazard):
    r"""$h(t) = (k/a)(t/a)^{k-1} / \{1 + (t/a)^k\}$: it rises and falls where $k > 1$.

    Attributes:
        log_median: $\log a$ [log years]; without covariates half have the event by then.
        shape: $k > 0$.
    """

    log_median: Scalar
    shape: Scalar

    equation = r"h(t) = \mathrm{shape}\,t^{-1} / \{1 + (t / e^{\mathrm{log\_median}})^{-\mathrm{shape}}\}"

    def log_hazard(self, time: PerVisit, *, log_median: Array, shape: Array) -> PerVisit:
        steps = shape * (jnp.log(time) - log_median)
        return jnp.log(shape) - jnp.log(time) - jnp.logaddexp(0.0, -steps)


@dataclass(frozen=True, kw_only=True)
class PiecewiseExponential(Hazard):
    r"""$\log h(t) = r_k$ for $\kappa_k \le t < \kappa_{k+1}$, with $\kappa_0 = 0$.

    Attributes:
        knots: $\kappa_1 < \kappa_2 < \dots$ [years].
        log_rates: a prior of one more value than there are knots [log 1/years].

    Raises:
        ModelError: the knots are not positive and rising, or the prior has another number of values.
    """

    knots: tuple[float, ...]
    log_rates: Scalar

    equation = r"\log h(t) = \mathrm{log\_rates}_k,\quad \mathrm{knots}_k \le t < \mathrm{knots}_{k+1}"

    def __post_init__(self) -> None:
        _check_knots(self.knots)
        wanted, shape = (len(self.knots) + 1,), getattr(self.log_rates, "shape", lambda: ())()
        if shape != wanted:
            raise ModelError("PiecewiseExponential: log_rates", f"a prior of shape {wanted}", f"shape {shape}")

    @property
    def breaks(self) -> tuple[float, ...]:
        return self.knots

    def log_hazard(self, time: PerVisit, *, log_rates: Array) -> PerVisit:
        piece = sum(((time >= knot).astype(int) for knot in self.knots), jnp.zeros(time.shape, int))
        return sum((jnp.where(piece == k, log_rates[k], 0.0) for k in range(len(self.knots) + 1)), jnp.zeros(()))


@dataclass(frozen=True, kw_only=True)
class SplineHazard(Hazard):
    r"""$\log h(t) = \sum_k c_k B_k(t)$ with cubic B-splines; constant in $B$'s value beyond the last knot.

    Attributes:
        knots: inner knots, then the end of the splines [years].
        weights: a prior of as many values as there are knots and three more, $c$ [log 1/years]; a random walk over
            them, such as `GaussianRandomWalk`, keeps the hazard smooth.

    Raises:
        ModelError: the knots are not positive and rising, or the prior has another number of values.

    Source: Rosenberg 1995, Biometrics 51, 874-887.
    """

    knots: tuple[float, ...]
    weights: Scalar

    equation = r"\log h(t) = \textstyle\sum_k \mathrm{weights}_k B_k(t)"

    def __post_init__(self) -> None:
        _check_knots(self.knots)
        wanted, shape = (len(self.knots) + 3,), getattr(self.weights, "shape", lambda: ())()
        if shape != wanted:
            raise ModelError("SplineHazard: weights", f"a prior of shape {wanted}", f"shape {shape}")

    @property
    def breaks(self) -> tuple[float, ...]:
        return self.knots

    def log_hazard(self, time: PerVisit, *, weights: Array) -> PerVisit:
        from scipy.interpolate import BSpline  # for this hazard alone

        ends = np.array([0.0] * 4 + list(self.knots) + [self.knots[-1]] * 3)
        inside = jnp.clip(time, 0.0, self.knots[-1])
        edges = np.unique(ends)
        value = jnp.zeros(time.shape)
        # Each basis function as a cubic of its own between two knots: plain vector operations.
        local = [BSpline(ends, row, 3) for row in np.eye(len(ends) - 4)]
        piece = sum(((inside >= edge).astype(int) for edge in edges[1:-1]), jnp.zeros(time.shape, int))
        for p, left in enumerate(edges[:-1]):
            cubic = np.array([[float(one(left, nu=d)) for d in range(4)] for one in local])
            a = [jnp.asarray(cubic[:, d]) @ weights for d in range(4)]
            x = inside - left
            value = jnp.where(piece == p, a[0] + x * (a[1] + x * (a[2] / 2.0 + x * a[3] / 6.0)), value)
        return value


def _check_knots(knots: tuple[float, ...]) -> None:
    if not knots or min(knots) <= 0 or any(later <= earlier for earlier, later in pairwise(knots)):
        raise ModelError("hazard: knots", "one or more positive times, in order", f"{knots}")
