r"""Guides of variational inference: families of densities $q(u, w)$ on the whitened variables of `Whitening`.

Parameters are trees of arrays without bounds. Every guide samples by a smooth function of its parameters and of
standard normals, and knows its density.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax import numpy as jnp
from jax.scipy.special import gammaln
from numpyro import distributions as dist

from dpm.inference import blocks
from dpm.inference.importance import FREEDOM
from dpm.types import Array, Float, Key, PerSubject

Vector = Float[Array, " value"]
Effects = Float[Array, "effect subject"]
Parameters = dict[str, Array]

SMALL = 0.01
"""Sd of the first factors of `LowRank`: at zero their gradient is zero."""


class Shape(NamedTuple):
    """How many population values, effects of a subject, and subjects."""

    population: int
    effects: int
    subjects: int

    @property
    def size(self) -> int:
        return self.population + self.effects * self.subjects


@runtime_checkable
class Gaussian(Protocol):
    """A family of normal densities of one vector."""

    def begin(self, size: int, scale: float, *, key: Key) -> Parameters:
        """The member with mean zero and covariance near `scale` squared times the identity."""
        ...

    def sample(self, parameters: Parameters, *, key: Key) -> Vector:
        """One draw."""
        ...

    def log_density(self, parameters: Parameters, z: Vector) -> Float[Array, ""]:
        """Of the member with these parameters."""
        ...


@dataclass(frozen=True)
class Diagonal:
    r"""$N(m, \mathrm{diag}(s^2))$. Fitted to a normal with precision $P$, $s_i = P_{ii}^{-1/2}$: never too wide."""

    def begin(self, size: int, scale: float, *, key: Key) -> Parameters:
        return {"mean": jnp.zeros(size), "log_sd": jnp.full(size, jnp.log(scale))}

    def sample(self, parameters: Parameters, *, key: Key) -> Vector:
        mean = parameters["mean"]
        return mean + jnp.exp(parameters["log_sd"]) * jax.random.normal(key, mean.shape)

    def log_density(self, parameters: Parameters, z: Vector) -> Float[Array, ""]:
        return jnp.sum(dist.Normal(parameters["mean"], jnp.exp(parameters["log_sd"])).log_prob(z))


@dataclass(frozen=True)
class LowRank:
    r"""$N(m, \mathrm{diag}(s^2) + F F^\top)$ with `rank` columns of $F$."""

    rank: int

    def begin(self, size: int, scale: float, *, key: Key) -> Parameters:
        factor = SMALL * scale * jax.random.normal(key, (size, min(self.rank, size)))
        return {"mean": jnp.zeros(size), "log_sd": jnp.full(size, jnp.log(scale)), "factor": factor}

    def sample(self, parameters: Parameters, *, key: Key) -> Vector:
        mean, factor = parameters["mean"], parameters["factor"]
        own, shared = jax.random.split(key)
        alone = jnp.exp(parameters["log_sd"]) * jax.random.normal(own, mean.shape)
        return mean + alone + factor @ jax.random.normal(shared, factor.shape[1:])

    def log_density(self, parameters: Parameters, z: Vector) -> Float[Array, ""]:
        variance = jnp.exp(2.0 * parameters["log_sd"])
        return dist.LowRankMultivariateNormal(parameters["mean"], parameters["factor"], variance).log_prob(z)


@dataclass(frozen=True)
class Full:
    r"""$N(m, L L^\top)$, with $\log L_{kk}$ in place of the diagonal."""

    def begin(self, size: int, scale: float, *, key: Key) -> Parameters:
        return {"mean": jnp.zeros(size), "root": jnp.log(scale) * jnp.eye(size)}

    def sample(self, parameters: Parameters, *, key: Key) -> Vector:
        mean = parameters["mean"]
        return mean + self._lower(parameters) @ jax.random.normal(key, mean.shape)

    def log_density(self, parameters: Parameters, z: Vector) -> Float[Array, ""]:
        return dist.MultivariateNormal(parameters["mean"], scale_tril=self._lower(parameters)).log_prob(z)

    @staticmethod
    def _lower(parameters: Parameters) -> Float[Array, "value value"]:
        root = parameters["root"]
        return jnp.tril(root, -1) + jnp.diag(jnp.exp(jnp.diag(root)))


@dataclass(frozen=True)
class Heavy:
    r"""Multivariate $t$ with `FREEDOM` degrees of freedom around the centre and with the axes of a normal family.

    Its tails are those that importance weights need: the weights of a normal density against a posterior that is
    slightly skew already have a Pareto k near 0.7, however good the fit.
    """

    gaussian: Gaussian

    def begin(self, size: int, scale: float, *, key: Key) -> Parameters:
        return self.gaussian.begin(size, scale, key=key)

    def sample(self, parameters: Parameters, *, key: Key) -> Vector:
        normal_key, gamma_key = jax.random.split(key)
        mixing = jax.random.gamma(gamma_key, FREEDOM / 2) / (FREEDOM / 2)
        mean = parameters["mean"]
        return mean + (self.gaussian.sample(parameters, key=normal_key) - mean) / jnp.sqrt(mixing)

    def log_density(self, parameters: Parameters, z: Vector) -> Float[Array, ""]:
        peak = self.gaussian.log_density(parameters, parameters["mean"])
        distance = 2.0 * (peak - self.gaussian.log_density(parameters, z))
        half, p = FREEDOM / 2, z.size
        constant = gammaln(half + p / 2) - gammaln(half) - p / 2 * jnp.log(half)
        return peak + constant - (half + p / 2) * jnp.log1p(distance / FREEDOM)


@runtime_checkable
class Guide(Protocol):
    """A family of densities of population values and all subjects' effects."""

    def begin(self, shape: Shape, scale: float, *, key: Key) -> dict[str, Parameters]:
        """The member near independent normals with this sd."""
        ...

    def sample(self, parameters: dict[str, Parameters], shape: Shape, *, key: Key) -> tuple[Vector, Effects]:
        """One draw of `u` and `w`."""
        ...

    def log_density(self, parameters: dict[str, Parameters], u: Vector, w: Effects) -> Float[Array, ""]:
        """Of the member with these parameters."""
        ...

    def log_population(self, parameters: dict[str, Parameters], u: Vector) -> Float[Array, ""]:
        r"""$\log q(u)$, effects integrated out."""
        ...

    def centre(self, parameters: dict[str, Parameters], u: Vector, shape: Shape) -> Effects:
        """Where the effects are, given `u`; near enough for a search to begin there."""
        ...


@dataclass(frozen=True)
class Joint:
    """One normal density of everything, of a family that does not know which value is whose."""

    gaussian: Diagonal | LowRank

    def begin(self, shape: Shape, scale: float, *, key: Key) -> dict[str, Parameters]:
        return {"all": self.gaussian.begin(shape.size, scale, key=key)}

    def sample(self, parameters: dict[str, Parameters], shape: Shape, *, key: Key) -> tuple[Vector, Effects]:
        z = self.gaussian.sample(parameters["all"], key=key)
        return z[: shape.population], z[shape.population :].reshape(shape.effects, shape.subjects)

    def log_density(self, parameters: dict[str, Parameters], u: Vector, w: Effects) -> Float[Array, ""]:
        return self.gaussian.log_density(parameters["all"], jnp.concatenate([u, w.ravel()]))

    def log_population(self, parameters: dict[str, Parameters], u: Vector) -> Float[Array, ""]:
        # In these families a part of the values has the same part of the parameters.
        return self.gaussian.log_density({name: value[: u.size] for name, value in parameters["all"].items()}, u)

    def centre(self, parameters: dict[str, Parameters], u: Vector, shape: Shape) -> Effects:
        return parameters["all"]["mean"][shape.population :].reshape(shape.effects, shape.subjects)


@dataclass(frozen=True)
class Structured:
    r"""$q(u) \prod_i N(w_i;\ c_i + J_i f(u),\ T_i T_i^\top)$, as the posterior factorises.

    $T_i$ is lower triangular with the logarithm of its diagonal in place of the diagonal. $f(u)$ is $u$ itself or, at
    order two, $u$ with its products: a non-centred effect, $(y - \text{level})/\text{sd}$, bends with the population
    values, and a guide that cannot bend with it stays where it need not, with an sd of population values up to a
    quarter too small (60 subjects with a line each).

    Attributes:
        population: the family of $q(u)$.
        order: 1 or 2.
    """

    population: Gaussian
    order: int = 1

    def begin(self, shape: Shape, scale: float, *, key: Key) -> dict[str, Parameters]:
        p, q, n = shape
        unit = jnp.broadcast_to(jnp.eye(q)[:, :, None], (q, q, n))
        slope = jnp.zeros((q, self._terms(jnp.zeros(p)).size, n))
        subjects = {"centre": jnp.zeros((q, n)), "slope": slope, "root": np.log(scale) * unit}
        return {"population": self.population.begin(p, scale, key=key), "subjects": subjects}

    def sample(self, parameters: dict[str, Parameters], shape: Shape, *, key: Key) -> tuple[Vector, Effects]:
        own, subjects = jax.random.split(key)
        u = self.population.sample(parameters["population"], key=own)
        z = jax.random.normal(subjects, shape[1:])
        return u, self._mean(parameters, u) + jnp.einsum("abn,bn->an", self._lower(parameters), z)

    def log_density(self, parameters: dict[str, Parameters], u: Vector, w: Effects) -> Float[Array, ""]:
        return self.log_population(parameters, u) + jnp.sum(self.log_subjects(parameters, u, w))

    def log_population(self, parameters: dict[str, Parameters], u: Vector) -> Float[Array, ""]:
        r"""$\log q(u)$."""
        return self.population.log_density(parameters["population"], u)

    def log_subjects(self, parameters: dict[str, Parameters], u: Vector, w: Effects) -> PerSubject:
        r"""$\log q(w_i \mid u)$ of each subject."""
        q = len(w)
        lower = self._lower(parameters)
        z = blocks.solve_lower(lower, w - self._mean(parameters, u))
        return -0.5 * (jnp.sum(z**2, axis=0) + q * jnp.log(2.0 * jnp.pi) + blocks.log_determinant(lower))

    def centre(self, parameters: dict[str, Parameters], u: Vector, shape: Shape) -> Effects:
        return self._mean(parameters, u)

    def _mean(self, parameters: dict[str, Parameters], u: Vector) -> Effects:
        """Of `w` given `u`."""
        own = parameters["subjects"]
        return own["centre"] + jnp.einsum("atn,t->an", own["slope"], self._terms(u))

    def _terms(self, u: Vector) -> Float[Array, " term"]:
        """What the means of `w` are linear in."""
        rows, columns = np.tril_indices(u.size)
        products = u[rows] * u[columns] - 1.0 * (rows == columns)
        return jnp.concatenate([u, products]) if self.order == 2 else u

    @staticmethod
    def _lower(parameters: dict[str, Parameters]) -> Float[Array, "effect effect subject"]:
        root = parameters["subjects"]["root"]
        place = np.arange(len(root))
        below, diagonal = place[:, None] > place[None, :], np.eye(len(root), dtype=bool)
        return jnp.where(diagonal[:, :, None], jnp.exp(root), jnp.where(below[:, :, None], root, 0.0))
