"""Marginal likelihoods of subjects: effects integrated out, at four levels of accuracy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.scipy.special import logsumexp

from dpm.cohort.buckets import Buckets, Data
from dpm.errors import InferenceError
from dpm.inference import blocks
from dpm.inference.conditional import Blocks, Density, Effects, Modes, derivatives, implicit_modes, search_modes
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.moments import gaussian_moments, information
from dpm.inference.nodes import gauss_hermite, proposed, sobol, turn
from dpm.inference.slope import laplace_slope
from dpm.inference.straight import straight
from dpm.types import Array, Bool, Float, Key, PerSubject, Sites

Level = Literal["focei", "laplace", "quadrature", "qmc"]


@dataclass(frozen=True)
class Marginal:
    r"""$\log p(y_i \mid \varphi) = \log \int \exp \ell_i(b, \varphi)\,\mathrm{d}b$ for every subject.

    With $\hat b$ the conditional mode, $H = -\nabla^2 \ell_i(\hat b)$ and $q$ effects:

    - `laplace`: $\ell_i(\hat b) + \tfrac q2 \log 2\pi - \tfrac12 \log|H|$, exact Hessian;
    - `focei`: the same with the expected (Gauss–Newton) Hessian of Gaussian outcomes, as NONMEM's FOCE with
      interaction (Wang 2007, doi 10.1007/s10928-007-9060-6);
    - `quadrature`: adaptive Gauss–Hermite, a tensor grid around $\hat b$ scaled by $H^{-1/2}$, for up to three
      effects (Pinheiro & Bates 1995);
    - `qmc`: importance sampling at scrambled Sobol points, independent $t_4$ along the axes of $H^{-1/2}$ around
      $\hat b$ (a Gaussian proposal has too light tails and converges badly), turned for each subject by another
      amount, so that subjects' errors cancel.

    The last two work on the effects $r$ that are left when those are integrated out that enter straight (`straight`):
    $\ell_i$ is quadratic in $s$, so that with $\hat s(r)$ its maximum there, $H_{ss}(r)$ its curvature and $m$ its
    dimension

    $$\int \exp \ell_i(s, r)\,\mathrm{d}s
    = \exp\{\ell_i(\hat s(r), r) + \tfrac m2 \log 2\pi - \tfrac12 \log|H_{ss}(r)|\},$$

    and the nodes for $r$ lie around its mode, scaled by the root of its covariance in $H^{-1}$. So three effects are
    the most for quadrature that do not enter straight.

    Attributes:
        hierarchy: the model, split at its plate.
        level: which of the four.
        nodes: quadrature points for a standard normal peak, or Sobol points of the unit cube; none where the level
            needs none. Plain numbers, so that equal marginals compile once.
        log_weights: of those nodes.
        straight: effects that are integrated by the formula at each node.
    """

    hierarchy: Hierarchy
    level: Level = "laplace"
    nodes: tuple[tuple[float, ...], ...] = ()
    log_weights: tuple[float, ...] = ()
    straight: tuple[int, ...] = ()

    @classmethod
    def at(
        cls, hierarchy: Hierarchy, level: Level, data: Data, *, n_nodes: int = 9, key: Key | None = None
    ) -> "Marginal":
        """Prepare one level.

        Args:
            hierarchy: the model, split at its plate.
            level: which of the four.
            data: whose subjects' densities tell which effects enter straight.
            n_nodes: for quadrature per effect that does not, for qmc in all.
            key: of Sobol points.

        Raises:
            InferenceError: there is no such level, too many effects for quadrature, points that are not a power of
                two, or no key for them.
        """
        if level in ("focei", "laplace"):
            return cls(hierarchy, level)
        if level not in ("quadrature", "qmc"):
            raise InferenceError("level", '"focei", "laplace", "quadrature" or "qmc"', repr(level))
        return cls(hierarchy, "quadrature", straight=straight(hierarchy, data)).with_nodes(level, n_nodes, key=key)

    def with_nodes(self, level: Level, n_nodes: int, *, key: Key | None = None) -> "Marginal":
        """Quadrature or qmc with so many nodes, of the same effects."""
        left = len(self.bent)
        nodes, log_weights = gauss_hermite(left, n_nodes) if level == "quadrature" else sobol(left, n_nodes, key)
        return replace(self, level=level, nodes=nodes, log_weights=log_weights)

    @property
    def is_exact(self) -> bool:
        """Whether every effect is integrated by the formula."""
        return bool(self.nodes) and not self.bent

    @property
    def bent(self) -> tuple[int, ...]:
        """Effects that nodes are for: those that are not `straight`."""
        return tuple(k for k in range(self.hierarchy.n_effects) if k not in self.straight)

    def density(self, population: Sites, records: Data) -> Density:
        """Per-subject log density as a function of the effects alone."""
        return lambda effects: self.hierarchy.log_subject(population, effects, records)

    def by_class(self) -> list["Marginal"]:
        """The same at every combination of the values of the model's discrete sites; itself where there are none."""
        if not self.hierarchy.summed:
            return [self]
        return [replace(self, hierarchy=one) for one in self.hierarchy.by_class()]

    def modes(self, vector: Float[Array, " population"], records: Data, start: Effects | None = None) -> Modes:
        """Every subject's conditional mode given population values; not differentiable.

        A search begins at `start`, see `search_modes`; with none, at the best of a few values.
        """
        if start is None:
            start = jnp.full((self.hierarchy.n_effects, records.n_subjects), jnp.nan)
        return search_modes(self.density(self.hierarchy.constrain(vector), records), start)

    def log_marginal(
        self, vector: Float[Array, " population"], records: Data, start: Effects | None = None
    ) -> tuple[PerSubject, Modes]:
        """Each subject's log marginal likelihood, differentiable in `vector`, and the modes it stands on.

        A subject whose mode did not converge, or whose curvature there is not definite, gets NaN: nothing
        downstream can mistake it for a likelihood. With discrete sites it is the sum over their values, and the modes
        are those of each subject's likeliest value.
        """
        if self.hierarchy.summed:
            each = [one.log_marginal(vector, records, start) for one in self.by_class()]
            values = jnp.stack([value for value, _ in each])
            return logsumexp(values, axis=0), _likeliest(values, [modes for _, modes in each])
        density = self.density(self.hierarchy.constrain(vector), records)
        modes = self.modes(lax.stop_gradient(vector), records, start)
        effects = implicit_modes(density, modes.effects)
        value, _, exact = derivatives(density, effects)
        curvature = self._gauss_newton(vector, effects, records) if self.level == "focei" else exact
        if self.nodes:
            log_marginal, definite = self._integrate(density, effects, curvature, records)
        else:
            lower, definite = blocks.cholesky(curvature)
            log_marginal = value + 0.5 * (effects.shape[0] * jnp.log(2 * jnp.pi) - blocks.log_determinant(lower))
        return jnp.where(modes.converged & definite, log_marginal, jnp.nan), modes

    def log_marginal_and_slope(
        self,
        vector: Float[Array, " population"],
        records: Data,
        start: Effects,
        counted: Bool[Array, " subject"],
    ) -> tuple[PerSubject, Modes, Float[Array, " population"]]:
        """`log_marginal`, zero for whom is not `counted`, and the gradient of its sum."""
        if self.level == "laplace" and not self.hierarchy.summed and self.hierarchy.n_effects:
            modes = self.modes(vector, records, start)

            def density(at: Float[Array, " population"]) -> Density:
                return self.density(self.hierarchy.constrain(at), records)

            each, slope = laplace_slope(density, vector, modes.effects, counted)
            # A search that keeps curvatures may end where the density curves upwards: that is no mode.
            modes = modes._replace(converged=modes.converged & ~jnp.isnan(each))
            return jnp.where(counted, jnp.where(modes.converged, each, jnp.nan), 0.0), modes, slope

        def total(at: Float[Array, " population"]) -> tuple[Float[Array, ""], tuple[PerSubject, Modes]]:
            each, modes = self.log_marginal(at, records, start)
            each = jnp.where(counted, each, 0.0)
            return jnp.sum(each), (each, modes)

        (_, (each, modes)), slope = jax.value_and_grad(total, has_aux=True)(vector)
        return each, modes, slope

    def _integrate(
        self, density: Density, centre: Effects, curvature: Blocks, records: Data
    ) -> tuple[PerSubject, Bool[Array, " subject"]]:
        """The sum over nodes, and for whom they have a place."""
        order = np.array([*self.straight, *self.bent], int)
        lower, definite = blocks.cholesky(curvature[order][:, order])
        back, first = np.argsort(order), len(self.straight)
        still = jnp.zeros((first, centre.shape[-1]))
        turned = turn(records, len(self.bent)) if self.level == "qmc" else None

        def at_node(node: Float[Array, " bent"]) -> PerSubject:
            z = jnp.broadcast_to(node[:, None], (len(node), centre.shape[-1]))
            log_weight = jnp.zeros(())
            if turned is not None:
                z, log_weight = proposed((z + turned) % 1.0)
            # With straight effects where they are likeliest by the curvature at the centre.
            effects = centre + blocks.solve_upper(lower, jnp.concatenate([still, z]))[back]
            return log_weight + (self._straightened(density, effects, centre) if self.straight else density(effects))

        values = self._over(at_node)(jnp.array(self.nodes)) + jnp.array(self.log_weights)[:, None]
        return logsumexp(values, axis=0) - 0.5 * blocks.log_determinant(lower[first:, first:]), definite

    def _over[Out](self, f: Callable[[Array], Out]) -> Callable[[Float[Array, "node bent"]], Out]:
        """A function of each node: with straight effects, on a CPU, one after the other, since its cache holds one.

        Of 1,000 subjects with eight visits of three markers, 81 nodes take 42 ms so and 109 ms all at once; the
        gradient of nine 64 ms, with nothing stored for the way back (120 ms with), and 86 ms all at once. Without
        straight effects a node is so little work that the gradient is no quicker, and of 100 subjects slower (logistic,
        125 nodes: 3.8 ms so, 2.4 ms all at once).
        """
        if not self.straight or jax.default_backend() != "cpu":
            return jax.vmap(f)
        return lambda nodes: lax.map(jax.checkpoint(f), nodes)

    def _straightened(self, density: Density, effects: Effects, centre: Effects) -> PerSubject:
        r"""$\log \int \exp \ell_i\,\mathrm{d}s$ with the other effects as given.

        Minus infinity where $\ell_i$ is: derivatives are then taken at the centre, and not used.
        """
        rows = np.array(self.straight)
        impossible = jnp.isneginf(lax.stop_gradient(density(effects)))
        effects = jnp.where(impossible, centre, effects)
        begin = lax.stop_gradient(effects[rows])

        def along(own: Effects) -> PerSubject:
            return density(effects.at[rows].set(own))

        _, gradient, curvature = derivatives(along, begin)
        lower, _ = blocks.cholesky(curvature)
        # At a maximum over them, in which the slope along straight effects is zero. The rise to it, by the formula too,
        # would be a difference of huge numbers where a node is far out.
        top = along(lax.stop_gradient(begin + blocks.solve(lower, gradient)))
        value = top + 0.5 * (len(rows) * jnp.log(2.0 * jnp.pi) - blocks.log_determinant(lower))
        return jnp.where(impossible, -jnp.inf, value)

    def _gauss_newton(self, vector: Float[Array, " population"], effects: Effects, records: Data) -> Blocks:
        r"""$-\nabla^2$ of the effects' prior plus the expected information of Gaussian values.

        The latter is $\sum_j J_j^\top I(\theta_j) J_j$ with $\theta_j$ mean and sd of value $j$, $J_j$ its Jacobian.
        """
        if isinstance(records, Buckets):
            pairs = zip(records.split(effects), records.parts, strict=True)
            return records.join([self._gauss_newton(vector, own, bucket) for own, bucket in pairs])
        population = self.hierarchy.constrain(vector)
        _, _, prior = derivatives(lambda b: self.hierarchy.log_subject(population, b, records, part="latent"), effects)

        def moments(b: Effects) -> tuple[list[tuple[Array, Array]], list[Array]]:
            return gaussian_moments(self.hierarchy, population, b, records)

        values, tangents, weights = jax.linearize(moments, effects, has_aux=True)
        columns = [tangents(jnp.broadcast_to(e[:, None], effects.shape)) for e in jnp.eye(effects.shape[0])]
        rows = [[information(values, weights, one, other) for other in columns] for one in columns]
        return prior + jnp.stack([jnp.stack(row) for row in rows])


def _likeliest(values: Float[Array, "class subject"], modes: list[Modes]) -> Modes:
    """Each subject's modes at the value of the largest marginal; converged where all of them are."""
    best = jnp.argmax(values, axis=0)
    effects = jnp.stack([mode.effects for mode in modes])
    return Modes(
        jnp.take_along_axis(effects, best[None, None, :], axis=0)[0],
        jnp.stack([mode.decrement for mode in modes]).max(axis=0),
        jnp.stack([mode.converged for mode in modes]).all(axis=0),
        jnp.stack([mode.steps for mode in modes]).max(),
    )
