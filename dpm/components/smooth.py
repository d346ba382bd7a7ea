"""Courses whose shape the data tell: penalised and monotone splines, and a Gaussian process.

The shape is the population's; a subject has a level and a slope, or a rise, of its own, and on a latent time an onset
and a pace. Fit them by sampling: at the maximum of a density, where `Laplace` stands, a learned `spread` or `amplitude`
is that of its prior more than of the data. Under `Laplace` give it a number.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.contrib.hsgp.laplacian import eigenfunctions
from numpyro.contrib.hsgp.spectral_densities import diag_spectral_density_squared_exponential

from dpm.components.parameter import Parameter
from dpm.components.scalar import Scalar, scalars_of
from dpm.components.trajectory import Trajectory
from dpm.errors import ModelError
from dpm.types import Array, Float, PerVisit


@dataclass(frozen=True, kw_only=True)
class Smooth(Trajectory):
    """A course whose shape is learned between two times.

    Attributes:
        between: the first and the last time at which its shape is learned, on the model's clock [years].

    Raises:
        ModelError: the times are not in order.
    """

    between: tuple[float, float]

    def __post_init__(self) -> None:
        if not self.between[0] < self.between[1]:
            raise ModelError(f"{type(self).__name__}: between", "an earlier and a later time", str(self.between))

    def scalars(self) -> dict[str, Scalar]:
        return {**scalars_of(self), "shape": self.shape}

    @property
    @abstractmethod
    def shape(self) -> dist.Distribution:
        """The prior of the weights that give it its shape, at the site `<name>_shape`."""


@dataclass(frozen=True, kw_only=True)
class PenalisedSpline(Smooth):
    r"""A straight line and smooth departures from it: a cubic spline whose second differences are penalised.

    $$\mu(t) = \ell + s\,t + \sigma \sum_k z_k \tilde B_k(t),\quad \tilde B = B D^\top (D D^\top)^{-1},\quad
    z_k \sim N(0, 1)$$

    $B$ are cubic B-splines on equal intervals and $D$ takes second differences, so that $\sigma$ is the sd of the
    second differences of the coefficients and zero leaves the line. Beyond `between` it goes on straight.

    Attributes:
        level: at time zero without departures, $\ell$ [outcome unit].
        slope: $s$ [outcome unit/year].
        spread: $\sigma$ [outcome unit].
        pieces: intervals of equal length between the two times.

    Source: Eilers & Marx 1996, doi 10.1214/ss/1038425655; as a mixed model, Eilers 1999, Applied Statistics 48, 300.
    """

    level: Parameter
    slope: Parameter
    spread: Scalar
    pieces: int = 8

    equation = r"\mu(t) = \mathrm{level} + \mathrm{slope}\;t + \mathrm{spread} \textstyle\sum_k z_k \tilde B_k(t)"

    @property
    def shape(self) -> dist.Distribution:
        return dist.Normal(jnp.zeros(self.pieces + 1), 1.0).to_event(1)

    @cached_property
    def _departures(self) -> Float[np.ndarray, "spline weight"]:
        second = np.diff(np.eye(self.pieces + 3), n=2, axis=0)
        return np.asarray(second.T @ np.linalg.inv(second @ second.T))

    def curve(self, time: PerVisit, *, level: Any, slope: Any, spread: Any, shape: Array) -> PerVisit:
        first, last = self.between
        inside = jnp.clip(time, first, last)
        weights = self._departures @ shape

        def departure(t: Array) -> Array:
            at = places(t, self.between, self.pieces)
            return sum((w * cubic(u) for w, u in zip(weights, at, strict=True)), jnp.zeros(()))

        value, steepness = jax.jvp(departure, (inside,), (jnp.ones_like(inside),))
        return level + slope * time + spread * (value + steepness * (time - inside))


@dataclass(frozen=True, kw_only=True)
class MonotoneSpline(Smooth):
    r"""A rise, or a fall, of any shape that never turns back.

    $$\mu(t) = \ell + r \sum_k w_k I_k(t),\quad w \sim \mathrm{Dirichlet}(a, \dots, a)$$

    $I_k$ are integrals of cubic B-splines on equal intervals, each from 0 at the first time to 1 at the last, and
    constant beyond. A rise $r$ whose link keeps its sign keeps every subject's course monotone.

    Attributes:
        level: at the first time, $\ell$ [outcome unit].
        rise: from the first time to the last, $r$ [outcome unit].
        concentration: $a$, a whole number; the larger, the more alike the weights and the steadier the rise.
        pieces: intervals of equal length between the two times.

    Source: Ramsay 1988, doi 10.1214/ss/1177012761.
    """

    level: Parameter
    rise: Parameter
    concentration: int = 2
    pieces: int = 8

    equation = r"\mu(t) = \mathrm{level} + \mathrm{rise} \textstyle\sum_k w_k I_k(t)"

    @property
    def shape(self) -> dist.Distribution:
        return dist.Dirichlet(self.concentration * jnp.ones(self.pieces + 3))

    def curve(self, time: PerVisit, *, level: Any, rise: Any, shape: Array) -> PerVisit:
        first, last = self.between
        inside, start, end = (
            [cubic_integral(u) for u in places(t, self.between, self.pieces)]
            for t in (jnp.clip(time, first, last), jnp.asarray(first), jnp.asarray(last))
        )
        total = jnp.zeros(())
        for weight, now, low, high in zip(shape, inside, start, end, strict=True):
            total = total + weight * (now - low) / (high - low)
        return level + rise * total


@dataclass(frozen=True, kw_only=True)
class GaussianProcess(Smooth):
    r"""A straight line and departures that are a Gaussian process with a squared exponential kernel.

    $$\mu(t) = \ell + s\,t + g(t),\quad g \sim \mathrm{GP}\{0,\ \alpha^2 e^{-(t - t')^2 / 2\rho^2}\}$$

    by $m$ eigenfunctions of the Laplacian on an interval twice as wide as `between` (NumPyro's HSGP), good for a
    length of a tenth of it and more with the default $m$. Beyond `between` it is not told by any data.

    Attributes:
        level: at time zero without departures, $\ell$ [outcome unit].
        slope: $s$ [outcome unit/year].
        amplitude: $\alpha$ [outcome unit].
        length: $\rho$ [years].
        functions: $m$.

    Source: Riutort-Mayol et al. 2023, doi 10.1007/s11222-022-10167-2.
    """

    level: Parameter
    slope: Parameter
    amplitude: Scalar
    length: Scalar
    functions: int = 30

    equation = (
        r"\mu(t) = \mathrm{level} + \mathrm{slope}\;t + g(t),\ g \sim \mathrm{GP}(\mathrm{amplitude}, \mathrm{length})"
    )

    @property
    def shape(self) -> dist.Distribution:
        return dist.Normal(jnp.zeros(self.functions), 1.0).to_event(1)

    def curve(self, time: PerVisit, *, level: Any, slope: Any, amplitude: Any, length: Any, shape: Array) -> PerVisit:
        first, last = self.between
        half = last - first
        x = (time - 0.5 * (first + last))[..., None]
        density = diag_spectral_density_squared_exponential(amplitude**2, length, half, self.functions, 1)
        basis = eigenfunctions(x, half, self.functions)
        return level + slope * time + basis @ (jnp.sqrt(density) * shape)


def places(time: Array, between: tuple[float, float], pieces: int) -> list[Array]:
    """Where `time` is on each cubic B-spline of `pieces` equal intervals: from its centre, in intervals."""
    first, last = between
    at = (time - first) * (pieces / (last - first))
    return [at - (k - 1) for k in range(pieces + 3)]


def cubic(u: Array) -> Array:
    """The cubic B-spline of unit intervals, centred: it is positive on (-2, 2) and sums to one over shifts."""
    far = jnp.abs(u)
    return jnp.where(far < 1.0, 2.0 / 3.0 - far**2 + 0.5 * far**3, jnp.maximum(2.0 - far, 0.0) ** 3 / 6.0)


def cubic_integral(u: Array) -> Array:
    r"""$\int_{-2}^u$ of it: from 0 to 1."""
    far = jnp.minimum(jnp.abs(u), 2.0)
    inner = 0.5 - (2.0 / 3.0 * far - far**3 / 3.0 + far**4 / 8.0)
    below = jnp.where(far < 1.0, inner, (2.0 - far) ** 4 / 24.0)
    return jnp.where(u < 0.0, below, 1.0 - below)
