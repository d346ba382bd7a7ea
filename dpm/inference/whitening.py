"""A change of variables under which the posterior near its mode is a standard normal."""

from functools import partial
from itertools import combinations_with_replacement
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference import blocks
from dpm.inference.conditional import derivatives, implicit_modes
from dpm.inference.coordinates import Coordinates
from dpm.inference.draws import host
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Optimum
from dpm.inference.marginal import Marginal
from dpm.inference.population import population_values
from dpm.types import Array, Float, PerSubject, Sites

STEP = 0.01
"""Of the differences that slopes are taken from [standard errors]. A slope only shapes the change of variables, which
is exact whatever it is; differentiating twice more takes far longer to compile."""

FARTHEST = 0.5
"""Of the log of a conditional spread from its value at the centre, in the change of variables alone. True spreads
level off: that of a standard normal effect at one, where a spread or a correlation takes the data out of it.
Extrapolated without end, few subjects' spreads are off by factors where the posterior still has mass, and a sampler
diverges there (24 subjects with five visits of a logistic course, see experiments/sbc)."""

Vector = Float[Array, " population"]
Effects = Float[Array, "effect subject"]


class Whitening(NamedTuple):
    r"""$x = \hat x + C u$, $\varphi = \varphi(x)$, and $b_i = \hat b_i + J_i \delta + M_i(\delta)\, w_i$.

    Here $x$ are the coordinates of `dpm.inference.coordinates`; $\delta = x - \hat x$; $C$ is the Cholesky factor of
    the Laplace covariance, $J_i = \mathrm{d}\hat b_i/\mathrm{d}x$ the implicit derivative of subject $i$'s mode, and
    $M_i = L_i^{-\top}$ the upper triangular root of its conditional covariance, its diagonal log-linear and the rest
    linear in $\delta$ near the centre, and bounded away from it: $c \tanh(\cdot/c)$ with $c$ of `FARTHEST`.
    Following the conditional spread matters: with $M_i$ held constant, a change of a between-subject sd is resisted by
    every $w_i$ at once. Under the Laplace approximation
    $u$ and $w$ are independent standard normals, so that a sampler on them needs no mass matrix; the change costs
    $O(N q^2 p)$, where a dense mass matrix over everything would cost $O(N^2)$. Of a root the upper triangle alone
    is kept, row after row; of its slopes population values come first, so that a sum over them runs through memory in
    order.
    """

    coordinates: Coordinates
    middle: Vector
    spread: Float[Array, "population population"]
    modes: Effects
    modes_slope: Float[Array, "effect subject population"]
    root: Float[Array, "pair subject"]
    root_slope: Float[Array, "population pair subject"]

    @classmethod
    def at(
        cls,
        hierarchy: Hierarchy,
        records: Data,
        optimum: Optimum,
        origin: Float[np.ndarray, " population"] | None = None,
    ) -> "Whitening":
        """Linearise around a Laplace optimum; bent values have their coordinate's zero at `origin`."""
        bent = optimum.bent(hierarchy, origin)
        coordinates = jax.tree_util.tree_map(jnp.asarray, bent.coordinates)
        middle = bent.point
        steps = STEP * np.sqrt(np.diag(bent.covariance))
        points = middle + np.concatenate([np.zeros((1, middle.size)), np.diag(steps), -np.diag(steps)])
        each = _local(jnp.asarray(points), coordinates, jnp.asarray(optimum.effects), records, hierarchy)
        values, slopes = zip(*(_differences(part, steps) for part in each), strict=True)
        return cls(
            coordinates=coordinates,
            middle=jnp.asarray(middle),
            spread=jnp.asarray(np.linalg.cholesky(bent.covariance)),
            modes=values[0],
            modes_slope=slopes[0],
            root=values[1],
            root_slope=jnp.moveaxis(slopes[1], -1, 0),
        )

    @classmethod
    def of_prior(cls, hierarchy: Hierarchy, records: Data) -> "Whitening":
        r"""Without a maximum to linearise around: the prior means, in units of the prior sds, and $b_i = w_i$."""
        centre, unit = hierarchy.prior_centre(), hierarchy.prior_unit()
        q, n, p = hierarchy.n_effects, records.n_subjects, centre.size
        pairs = len(_pairs(q))
        modes, root = jnp.zeros((q, n)), jnp.zeros((pairs, n))
        flat = jnp.zeros((q, n, p)), jnp.zeros((p, pairs, n))
        plain = jax.tree_util.tree_map(jnp.asarray, Coordinates.plain(p))
        return cls(plain, centre, jnp.diag(unit), modes, flat[0], root, flat[1])

    @property
    def centre(self) -> Vector:
        """The population vector of $u = 0$."""
        return self.population(jnp.zeros_like(self.middle))[0]

    def population(self, u: Vector) -> tuple[Vector, Vector, Float[Array, ""]]:
        r"""Population vector, $\delta$, and $\log|\mathrm{d}\varphi/\mathrm{d}x|$."""
        move = self.spread @ u
        vector, log_volume = self.coordinates.values(self.middle + move)
        return vector, move, log_volume

    def colour(self, u: Vector, w: Effects) -> tuple[Vector, Effects, Float[Array, ""]]:
        r"""From the whitened variables to population vector and effects, with the log volume up to $\log|C|$."""
        vector, move, log_volume = self.population(u)
        q = w.shape[0]
        root = self._root(move)
        rows = [
            jnp.exp(root[a, a]) * w[a] + sum((root[a, b] * w[b] for b in range(a + 1, q)), jnp.zeros(()))
            for a in range(q)
        ]
        log_volume = log_volume + sum((jnp.sum(root[a, a]) for a in range(q)), jnp.zeros(()))
        effects = self.modes + self.modes_slope @ move + (jnp.stack(rows) if rows else w)
        return vector, effects, log_volume

    def log_volumes(self, u: Vector) -> PerSubject:
        r"""$\log|M_i|$ of each subject."""
        root, q = self._root(self.spread @ u), len(self.modes)
        return sum((root[a, a] for a in range(q)), jnp.zeros(self.modes.shape[-1]))

    def _root(self, move: Vector) -> dict[tuple[int, int], PerSubject]:
        """Conditional roots by row and column, their diagonals as logarithms, a move away from the centre."""
        change = move @ self.root_slope.reshape(move.size, self.root.size)
        moved = self.root + FARTHEST * jnp.tanh(change.reshape(self.root.shape) / FARTHEST)
        return dict(zip(_pairs(len(self.modes)), moved, strict=True))

    def log_density(
        self, hierarchy: Hierarchy, u: Vector, w: Effects, records: Data, *, less: PerSubject | None = None
    ) -> Float[Array, ""]:
        r"""$\log p(y, b, \varphi)$ in the whitened variables, less $\log|C|$ and what is given of each subject."""
        vector, effects, log_volume = self.colour(u, w)
        subjects = hierarchy.log_subject(hierarchy.constrain(vector), effects, records)
        subjects = subjects if less is None else subjects - less
        return jnp.sum(subjects) + hierarchy.log_population(vector, records, prior=True) + log_volume

    def sites(
        self, hierarchy: Hierarchy, samples: Sites, records: Data
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Draws of `u` and `w`, leading axes `(chain, draw)`, as named population and subject sites, subjects last."""
        population, subjects = _sites(self, samples, records, hierarchy)
        axes = {site.name: site.subject_axis for site in hierarchy.subject}
        last = {name: jnp.moveaxis(value, 2 + (axes[name] or 0), -1) for name, value in subjects.items()}
        return host(population), host(last)


@partial(jax.jit, static_argnums=4)
def _local(
    points: Float[Array, "point population"],
    coordinates: Coordinates,
    modes: Effects,
    records: Data,
    hierarchy: Hierarchy,
) -> tuple[Array, Array]:
    """At each point, modes that follow `modes` to it, and the root of the conditional covariance there."""

    def local(point: Vector) -> tuple[Array, Array]:
        vector, _ = coordinates.values(point)
        density = Marginal(hierarchy).density(hierarchy.constrain(vector), records)
        followed = implicit_modes(density, modes)
        _, _, curvature = derivatives(density, followed)
        root = _log_root(blocks.cholesky(curvature)[0])
        return followed, root[np.triu_indices(len(root))]

    return lax.map(local, points)


@partial(jax.jit, static_argnums=3)
def _sites(whitening: Whitening, samples: Sites, records: Data, hierarchy: Hierarchy) -> tuple[Sites, Sites]:
    def one(position: Sites) -> tuple[Sites, Sites]:
        vector, effects, _ = whitening.colour(position["u"], position["w"])
        return population_values(hierarchy, vector, records), hierarchy.effect_values(effects)

    return jax.vmap(jax.vmap(one))(samples)


def _pairs(q: int) -> list[tuple[int, int]]:
    """Rows and columns of the upper triangle, row after row."""
    return list(combinations_with_replacement(range(q), 2))


def _differences(each: Float[Array, "point ..."], steps: Float[np.ndarray, " population"]) -> tuple[Array, Array]:
    """The first of some values, and slopes from the pairs behind it, `population` last."""
    ahead, behind = jnp.split(each[1:], 2)
    slopes = (ahead - behind) / (2.0 * steps.reshape(-1, *[1] * (each.ndim - 1)))
    return each[0], jnp.moveaxis(slopes, 0, -1)


def _log_root(lower: Float[Array, "effect effect subject"]) -> Float[Array, "effect effect subject"]:
    r"""$L^{-\top}$ with the logarithm of its diagonal in place of the diagonal."""
    q, n = lower.shape[0], lower.shape[-1]
    if not q:
        return lower
    columns = [blocks.solve_upper(lower, jnp.broadcast_to(unit[:, None], (q, n))) for unit in jnp.eye(q)]
    root = jnp.stack(columns, axis=1)
    diagonal = jnp.eye(q, dtype=bool)[:, :, None]
    return jnp.where(diagonal, jnp.log(jnp.where(diagonal, root, 1.0)), root)
