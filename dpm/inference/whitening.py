"""A change of variables under which the posterior near its mode is a standard normal."""

from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference import blocks
from dpm.inference.conditional import derivatives, implicit_modes
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Optimum
from dpm.inference.marginal import Marginal
from dpm.types import Array, Float

Vector = Float[Array, " population"]
Effects = Float[Array, "effect subject"]


class Whitening(NamedTuple):
    r"""$\varphi = \hat\varphi + C u$ and $b_i = \hat b_i + J_i \delta + M_i(\delta)\, w_i$.

    Here $\delta = \varphi - \hat\varphi$; $C$ is the Cholesky factor of the Laplace covariance,
    $J_i = \mathrm{d}\hat b_i/\mathrm{d}\varphi$ the implicit derivative of subject $i$'s mode, and
    $M_i = L_i^{-\top}$ the upper triangular root of its conditional covariance, its diagonal log-linear and the rest
    linear in $\delta$. Following the conditional spread matters: with $M_i$ held
    constant, a change of a between-subject sd is resisted by every $w_i$ at once. Under the Laplace approximation
    $u$ and $w$ are independent standard normals, so that a sampler on them needs no mass matrix; the change costs
    $O(N q^2 p)$, where a dense mass matrix over everything would cost $O(N^2)$.
    """

    centre: Vector
    spread: Float[Array, "population population"]
    modes: Effects
    modes_slope: Float[Array, "effect subject population"]
    root: Float[Array, "effect effect subject"]
    root_slope: Float[Array, "effect effect subject population"]

    @classmethod
    def at(cls, hierarchy: Hierarchy, records: Data, optimum: Optimum) -> "Whitening":
        """Linearise around a Laplace optimum."""
        marginal, modes = Marginal(hierarchy), jnp.asarray(optimum.effects)

        def local(vector: Vector, data: Data) -> tuple[Array, Array]:
            density = marginal.density(hierarchy.constrain(vector), data)
            followed = implicit_modes(density, modes)
            _, _, curvature = derivatives(density, followed)
            return followed, _log_root(blocks.cholesky(curvature)[0])

        centre = jnp.asarray(optimum.vector)
        values, slopes = jax.jit(lambda v, r: (local(v, r), jax.jacfwd(local)(v, r)))(centre, records)
        spread = jnp.asarray(np.linalg.cholesky(optimum.covariance))
        return cls(centre, spread, values[0], slopes[0], values[1], slopes[1])

    def colour(self, u: Vector, w: Effects) -> tuple[Vector, Effects, Float[Array, ""]]:
        r"""From the whitened variables to population vector and effects, with $\sum_i \log|M_i|$ up to a constant."""
        move = self.spread @ u
        root = self.root + self.root_slope @ move
        q = w.shape[0]
        rows = [
            jnp.exp(root[a, a]) * w[a] + sum((root[a, b] * w[b] for b in range(a + 1, q)), jnp.zeros(()))
            for a in range(q)
        ]
        log_volume = sum((jnp.sum(root[a, a]) for a in range(q)), jnp.zeros(()))
        effects = self.modes + self.modes_slope @ move + (jnp.stack(rows) if rows else w)
        return self.centre + move, effects, log_volume


def _log_root(lower: Float[Array, "effect effect subject"]) -> Float[Array, "effect effect subject"]:
    r"""$L^{-\top}$ with the logarithm of its diagonal in place of the diagonal."""
    q, n = lower.shape[0], lower.shape[-1]
    columns = [blocks.solve_upper(lower, jnp.broadcast_to(unit[:, None], (q, n))) for unit in jnp.eye(q)]
    root = jnp.stack(columns, axis=1)
    diagonal = jnp.eye(q, dtype=bool)[:, :, None]
    return jnp.where(diagonal, jnp.log(jnp.where(diagonal, root, 1.0)), root)
