"""Which effects enter straight: a subject's log density is quadratic in them, so that their integral has a formula."""

from functools import partial

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference.chunks import Chunks, chunked
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array, Bool, Float

FAR = (1.0, 3.0, 6.0)
"""How far apart effects are at which a density is looked at [prior standard deviations], each at other population
values: a course that is clipped is straight until it meets its limit."""

ROUNDING = 1e-9
"""Of a gradient, relative to its largest part, that is rounding."""


def straight(hierarchy: Hierarchy, data: Data) -> tuple[int, ...]:
    r"""Effects $s$, of all effects $b = (s, r)$, in which every $\ell_i$ is quadratic whatever $r$ and $\varphi$.

    So are random levels and slopes with normal noise, and what enters linearly given the others: a floor beside a
    random onset. As many as are so together, taken in turn. Looked for where the gradient by $s$ has no mixed
    difference, $g(b + d + d') - g(b + d) - g(b + d') + g(b) = 0$ for $d, d'$ along $s$, at a few places by chance and
    for every subject; `Marginal` holds each value that rests on it against the density itself.

    Args:
        hierarchy: the model, split at its plate; with discrete sites, straight is what is so at all their values.
        data: of all subjects.
    """
    q = hierarchy.n_effects
    parts = chunked(data)

    def all_straight(chosen: list[int]) -> bool:
        wanted = jnp.asarray(np.isin(np.arange(q), chosen))
        return not any(
            bool(_bends(wanted, place, FAR[place], one, part))
            for one in hierarchy.by_class()
            for place in range(len(FAR))
            for part in parts
        )

    everything = list(range(q))
    if not q or all_straight(everything):
        return tuple(everything)
    found: list[int] = []
    for k in everything:
        if all_straight([*found, k]):
            found.append(k)
    return tuple(found)


@partial(jax.jit, static_argnums=3)
def _bends(
    wanted: Bool[Array, " effect"], place: int | Array, far: float | Array, hierarchy: Hierarchy, part: Chunks
) -> Bool[Array, ""]:
    """Whether the gradient of some subject's density is not linear along these effects, or not a number."""
    key = jax.random.key(place)
    centre, unit = hierarchy.prior_centre(), jnp.minimum(hierarchy.prior_unit(), 1.0)
    vector = centre + 0.3 * unit * jax.random.normal(key, centre.shape)
    population = hierarchy.constrain(vector)
    shape = (3, len(wanted), part.counted.shape[1])

    def of_chunk(item: tuple[Array, Array, tuple[Array, ...]]) -> Bool[Array, ""]:
        number, counted, arrays = item
        records = part.records(arrays)
        base, one, other = jax.random.normal(jax.random.fold_in(key, number), shape)
        along = wanted[:, None]
        one, other = jnp.where(along, far * one, 0.0), jnp.where(along, far * other, 0.0)

        def gradient(effects: Float[Array, "effect subject"]) -> Float[Array, "effect subject"]:
            return jax.grad(lambda b: jnp.sum(hierarchy.log_subject(population, b, records)))(effects)

        corners = lax.map(gradient, jnp.stack([base + one + other, base + one, base + other, base]))
        mixed = jnp.abs(corners[0] - corners[1] - corners[2] + corners[3])
        size = 1.0 + jnp.sum(jnp.abs(corners), axis=0)
        same = mixed <= ROUNDING * jnp.max(jnp.where(along, size, 1.0), axis=0)
        return jnp.any(along & counted & ~same)

    numbers = jnp.arange(part.counted.shape[0])
    return jnp.any(lax.map(of_chunk, (numbers, part.counted, part.arrays)))
