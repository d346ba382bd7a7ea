"""The gradient of Laplace's marginal likelihood, written out: forward derivatives of the joint density's gradient."""

from collections.abc import Callable

import jax
from jax import lax
from jax import numpy as jnp

from dpm.inference import blocks
from dpm.inference.conditional import Density, Effects
from dpm.types import Array, Bool, Float, PerSubject

Vector = Float[Array, " population"]


def laplace_slope(
    density: Callable[[Vector], Density], vector: Vector, modes: Effects, counted: Bool[Array, " subject"]
) -> tuple[PerSubject, Vector]:
    r"""$F_i = \ell_i(\hat b_i) + \tfrac q2 \log 2\pi - \tfrac12 \log|H_i|$ and $\nabla_\varphi \sum_i F_i$.

    With $H = L L^\top$ and $c_k$ the columns of $L^{-\top}$,
    $\partial(-\tfrac12 \log|H|) = \tfrac12 \sum_k \partial D^2_b \ell[c_k, c_k] =: \partial S$, and a mode moves by
    $\mathrm{d}\hat b = H^{-1} \partial_\varphi \nabla_b \ell$. So, with $L$ and $u = H^{-1} \nabla_b (\ell + S)$ held
    constant,

    $$\nabla_\varphi F = \nabla_\varphi \{\ell + S + D_b \ell[u]\}$$

    at fixed effects. No derivative goes through the search, the factor or its determinant. $\nabla S$ is the second
    derivative of $\nabla \ell$ along $c_k$, one column after the other, and $\nabla D_b \ell[u]$ the first along $u$:
    forward derivatives keep nothing for a way back, and cost half of what the gradient of $S$ does. To first
    order $F$ is higher at the mode itself than where a search ended by $r^\top u$, with $r = \nabla_b \ell$ what it
    left, which is added.

    Args:
        density: per-subject log density of the effects, as a function of population values.
        vector: these.
        modes: where every subject's density is highest.
        counted: whose terms are summed in the gradient.

    Returns:
        each subject's value, not a number where its curvature is not definite, and the gradient.
    """

    def total(effects: Effects, at: Vector) -> tuple[Float[Array, ""], PerSubject]:
        each = density(at)(effects)
        return jnp.sum(jnp.where(counted, each, 0.0)), each

    def gradient(effects: Effects) -> tuple[tuple[Effects, Vector], PerSubject]:
        return jax.grad(total, argnums=(0, 1), has_aux=True)(effects, vector)

    q, shape = len(modes), modes.shape
    units = [jnp.broadcast_to(unit[:, None], shape) for unit in jnp.eye(q)]
    (rest, slope), tangents, value = jax.linearize(gradient, modes, has_aux=True)
    hessian = jnp.stack([tangents(unit)[0] for unit in units], axis=1)
    curvature = jnp.where(counted, -0.5 * (hessian + jnp.swapaxes(hessian, 0, 1)), jnp.eye(q)[:, :, None])
    lower, definite = blocks.cholesky(curvature)

    def along(sums: tuple[Effects, Vector], column: Effects) -> tuple[tuple[Effects, Vector], None]:
        def once(effects: Effects) -> tuple[Effects, Vector]:
            return jax.jvp(lambda b: gradient(b)[0], (effects,), (column,))[1]

        twice = jax.jvp(once, (modes,), (column,))[1]
        return (sums[0] + 0.5 * twice[0], sums[1] + 0.5 * twice[1]), None

    columns = jnp.stack([blocks.solve_upper(lower, unit) for unit in units])
    (of_effects, slope), _ = lax.scan(along, (rest, slope), columns)
    move = blocks.solve(lower, of_effects)

    each = value + 0.5 * (q * jnp.log(2.0 * jnp.pi) - blocks.log_determinant(lower)) + jnp.sum(rest * move, axis=0)
    return jnp.where(definite, each, jnp.nan), slope + tangents(move)[1]
