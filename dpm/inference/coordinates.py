r"""Coordinates of population values in which their posterior is nearer to a normal one.

From the model's unconstrained scale they differ in two places. A value that may be near zero is bent, see
`dpm.inference.bend`. And a value $g$ that enters the model only as a product $s\,g$ with a spread $s$, as the level of
a site does, has a posterior precision of $1 + I s^2$ given $s$, with $I$ the data's information on $s\,g$ and a
standard normal prior: the smaller the spread, the less the data say of $g$. So

$$g = \frac{s\,c}{1 + I s^2} + \frac{x}{\sqrt{1 + I s^2}}$$

where $x$ is a standard normal given $s$, if what the data say of the product is normal. Where they say nothing this is
$g$ itself ("not centred"), where they say all it is $s\,g$ in units of its standard error ("centred"). The joint mode
of $s$ and $x$ is that of $s$ with $g$ integrated out; that of $s$ and $g$ lies far above it where levels are few.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from dpm.inference.bend import bent, log_slope, straightened
from dpm.types import Array, Bool, Float, Int

Vector = Float[Array, " population"]
Numbers = Array | np.ndarray


class Coordinates(NamedTuple):
    r"""From $x$ to population values on the model's unconstrained scale.

    Attributes:
        bends: which values are bent.
        origin: where a bent value's coordinate is zero.
        scaled: which values a spread multiplies.
        spread: by position, which.
        known: the data's information on the product, $I$.
        pull: $c$, that information times the data's estimate of the product.
    """

    bends: Bool[Numbers, " population"]
    origin: Float[Numbers, " population"]
    scaled: Bool[Numbers, " population"]
    spread: Int[Numbers, " population"]
    known: Float[Numbers, " population"]
    pull: Float[Numbers, " population"]

    @classmethod
    def plain(cls, size: int) -> "Coordinates":
        """The unconstrained scale itself."""
        return cls(
            bends=np.zeros(size, bool),
            origin=np.zeros(size),
            scaled=np.zeros(size, bool),
            spread=np.zeros(size, int),
            known=np.zeros(size),
            pull=np.zeros(size),
        )

    @classmethod
    def around(cls, vector: np.ndarray, covariance: np.ndarray, spreads: dict[int, int]) -> "Coordinates":
        """For products with spreads, by what a normal approximation on the unconstrained scale says of them.

        Args:
            vector, covariance: of it.
            spreads: by position of a value, that of the spread that multiplies it, whose logarithm is in `vector`.
        """
        values, by = np.array(list(spreads), int), np.array(list(spreads.values()), int)
        diagonal, spread = np.diag(covariance), np.exp(vector[by])
        given_spread = diagonal[values] - covariance[values, by] ** 2 / diagonal[by]
        precision = np.maximum(1.0 / given_spread, 1.0)
        found = cls.plain(vector.size)
        found.scaled[values] = True
        found.spread[values] = by
        found.known[values] = (precision - 1.0) / spread**2
        found.pull[values] = vector[values] * precision / spread
        return found

    @property
    def is_plain(self) -> bool:
        return not (np.any(self.bends) or np.any(self.scaled))

    def values(self, x: Vector) -> tuple[Vector, Float[Array, ""]]:
        r"""Population values, and $\log|\mathrm{d}\varphi/\mathrm{d}x|$."""
        straight = jnp.where(self.bends, self.origin + bent(x), x)
        spread, precision = self._given(straight, jnp)
        vector = jnp.where(self.scaled, spread * self.pull / precision + x / jnp.sqrt(precision), straight)
        return vector, jnp.sum(jnp.where(self.bends, log_slope(x), 0.0)) - 0.5 * jnp.sum(jnp.log(precision))

    def all_values(
        self, points: Float[Array, "draw population"]
    ) -> tuple[Float[Array, "draw population"], Float[Array, " draw"]]:
        """`values` of many points, compiled as one."""
        return _all_values(points, self)

    def of(self, vector: Float[np.ndarray, "*draw population"]) -> Float[np.ndarray, "*draw population"]:
        """The inverse of `values`, on the host."""
        vector = np.asarray(vector)
        spread, precision = self._given(vector, np)
        x = np.where(self.scaled, (vector - spread * self.pull / precision) * np.sqrt(precision), vector)
        return np.where(self.bends, straightened(np.where(self.bends, vector - self.origin, 0.0)), x)

    def information(self, x: np.ndarray, information: np.ndarray, slope: np.ndarray) -> np.ndarray:
        r"""That of $x$ by a log density of the coordinates, from that by population values at the same place.

        With $F$ minus the log density of these and $J = \mathrm{d}\varphi/\mathrm{d}x$ it is
        $J^\top (\nabla^2 F) J + \sum_k \partial_k F\,\nabla^2\varphi_k - \nabla^2 \log|J|$.

        Args:
            x: the place.
            information: $\nabla^2 F$.
            slope: $\nabla F$.
        """
        along, bend = (np.asarray(part) for part in _turned(jnp.asarray(x), self, jnp.asarray(slope)))
        return along.T @ information @ along + bend

    def _given(self, straight: Any, xp: Any) -> tuple[Any, Any]:
        """The spread of each value, and the precision of the value given it; one where there is none."""
        spread = xp.exp(xp.where(self.scaled, straight[..., self.spread], 0.0))
        return spread, xp.where(self.scaled, 1.0 + self.known * spread**2, 1.0)


@jax.jit
def _turned(x: Vector, coordinates: Coordinates, slope: Vector) -> tuple[Array, Array]:
    """The Jacobian of population values, and the curvature of what is linear in them, less that of the log volume."""

    def linear(at: Vector) -> Float[Array, ""]:
        vector, volume = coordinates.values(at)
        return slope @ vector - volume

    return jax.jacfwd(lambda at: coordinates.values(at)[0])(x), jax.hessian(linear)(x)


@jax.jit
def _all_values(points: Float[Array, "draw population"], coordinates: Coordinates) -> tuple[Array, Array]:
    return jax.vmap(coordinates.values)(points)
