"""The gradient of Laplace's marginal likelihood, written out: a third of the code that differentiating it makes."""

from collections.abc import Callable

import jax
from jax import numpy as jnp

from dpm.inference import blocks
from dpm.inference.conditional import Density, Effects, derivatives
from dpm.types import Array, Bool, Float, PerSubject

Vector = Float[Array, " population"]


def laplace_slope(
    density: Callable[[Vector], Density], vector: Vector, modes: Effects, counted: Bool[Array, " subject"]
) -> tuple[PerSubject, Vector]:
    r"""$F_i = \ell_i(\hat b_i) + \tfrac q2 \log 2\pi - \tfrac12 \log|H_i|$ and $\nabla_\varphi \sum_i F_i$.

    With $H = L L^\top$ and $c_k$ the columns of $L^{-\top}$,
    $\partial(-\tfrac12 \log|H|) = \tfrac12 \sum_k \partial D^2_b \ell[c_k, c_k] =: \partial S$, and a mode moves by
    $\mathrm{d}\hat b = H^{-1} \partial_\varphi \nabla_b \ell$. So, with $L$ and $u = H^{-1} \nabla_b S$ held constant,

    $$\nabla_\varphi F = \nabla_\varphi \{\ell + S + D_b \ell[u]\}$$

    at fixed effects: no derivative goes through the search, the factor or its determinant.

    Args:
        density: per-subject log density of the effects, as a function of population values.
        vector: these.
        modes: where every subject's density is highest.
        counted: whose terms are summed in the gradient.

    Returns:
        each subject's value, not a number where its curvature is not definite, and the gradient.
    """
    value, _, curvature = derivatives(density(vector), modes)
    lower, definite = blocks.cholesky(curvature)
    q = modes.shape[0]
    columns = jnp.stack([blocks.solve_upper(lower, jnp.broadcast_to(e[:, None], modes.shape)) for e in jnp.eye(q)])

    def spread(effects: Effects, at: Vector) -> Float[Array, ""]:
        r"""$\sum_i (\ell_i + S_i)$."""
        own = density(at)

        def along(column: Effects) -> PerSubject:
            return jax.jvp(lambda b: jax.jvp(own, (b,), (column,))[1], (effects,), (column,))[1]

        return jnp.sum(jnp.where(counted, own(effects) + 0.5 * jax.vmap(along)(columns).sum(axis=0), 0.0))

    of_effects, slope = jax.grad(spread, argnums=(0, 1))(modes, vector)
    move = blocks.solve(lower, of_effects)

    def drift(at: Vector) -> Float[Array, ""]:
        return jnp.sum(jnp.where(counted, jax.jvp(density(at), (modes,), (move,))[1], 0.0))

    each = value + 0.5 * (q * jnp.log(2.0 * jnp.pi) - blocks.log_determinant(lower))
    return jnp.where(definite, each, jnp.nan), slope + jax.grad(drift)(vector)
