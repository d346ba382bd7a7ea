"""Which population values enter a model only as a product with a spread, as the levels of a group do."""

from functools import partial

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from numpyro.distributions.transforms import ExpTransform, IndependentTransform

from dpm.cohort.buckets import Buckets, Data
from dpm.cohort.records import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.site import Site
from dpm.types import Array, Float, PerSubject

FACTOR = 1.7
"""By which a spread is multiplied and its partner divided."""

SAME = 1e-9
"""Relative difference of densities that is rounding."""


def products(hierarchy: Hierarchy, data: Data) -> dict[int, int]:
    r"""By position of a value in the population vector, that of the spread that multiplies it.

    A site $g$ with a standard normal prior and a positive one $s$ are such a pair where every subject's density is the
    same at $(g/c, s\,c)$ as at $(g, s)$, and not everyone's at $(g/c, s)$. Looked for at one point, which is enough to
    shape coordinates that are exact whatever they are made of.
    """
    places = _places(hierarchy)
    levels = [site for site in hierarchy.population if _is_standard(site)]
    spreads = [site for site in hierarchy.population if site.size == 1 and _is_positive(site)]
    if not (levels and spreads):
        return {}
    rng = np.random.default_rng(0)
    vector = np.asarray(hierarchy.prior_centre()) + 0.1 * rng.standard_normal(hierarchy.n_population)
    points = _points(vector, [places[level.name] for level in levels], [places[spread.name] for spread in spreads])
    acts, together = np.zeros(len(levels), bool), np.ones((len(spreads), len(levels)), bool)
    for records in _largest_first(data):
        effects = 0.3 * rng.standard_normal((hierarchy.n_effects, records.n_subjects))
        here, *moved = np.asarray(_densities(jnp.asarray(points), jnp.asarray(effects), records, hierarchy))
        same = np.array([_same(one, here) for one in moved])
        acts |= ~same[: len(levels)]
        together &= same[len(levels) :].reshape(together.shape)
        if np.all(acts):
            break
    return {
        place: places[spreads[i].name].start
        for i, j in np.argwhere(together & acts)
        for place in range(places[levels[j].name].start, places[levels[j].name].stop)
    }


def spreads_of_levels(hierarchy: Hierarchy, data: Data) -> str:
    """The names of the spreads that multiply levels of a group, in words; empty where there are none."""
    names = hierarchy.population_names()
    return ", ".join(sorted({names[spread] for spread in products(hierarchy, data).values()}))


def _largest_first(data: Data) -> list[Records]:
    """Buckets, in turn looked at where a level does not act in a larger one, as one on a slope before its time."""
    return sorted(data.parts, key=lambda part: -part.n_subjects) if isinstance(data, Buckets) else [data]


def _points(vector: np.ndarray, levels: list[slice], spreads: list[slice]) -> Float[np.ndarray, "point population"]:
    """A vector; with each level divided; and with that, by spread, each level divided and the spread multiplied."""
    divided = [_divided(vector, level) for level in levels]
    return np.stack([vector, *divided, *(_multiplied(point, spread) for spread in spreads for point in divided)])


def _places(hierarchy: Hierarchy) -> dict[str, slice]:
    ends = np.cumsum([site.size for site in hierarchy.population]).tolist()
    return {site.name: slice(end - site.size, end) for site, end in zip(hierarchy.population, ends, strict=True)}


def _is_standard(site: Site) -> bool:
    """Whether its prior is centred at zero with a unit spread, on an unconstrained scale that is the natural one."""
    return not site.bounded and not site.new_level and not np.any(site.centre) and bool(np.all(site.unit == 1.0))


def _is_positive(site: Site) -> bool:
    transform = site.transform
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return isinstance(transform, ExpTransform)


def _divided(vector: np.ndarray, place: slice) -> np.ndarray:
    other = vector.copy()
    other[place] /= FACTOR
    return other


def _multiplied(vector: np.ndarray, place: slice) -> np.ndarray:
    other = vector.copy()
    other[place] += np.log(FACTOR)
    return other


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether densities are, of subjects that have one at both points."""
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    return bool(np.all(np.abs(one - other) <= SAME * (1.0 + np.abs(other))))


@partial(jax.jit, static_argnums=3)
def _densities(
    vectors: Float[Array, "point population"],
    effects: Float[Array, "effect subject"],
    records: Data,
    hierarchy: Hierarchy,
) -> Float[Array, "point subject"]:
    def at(vector: Array) -> PerSubject:
        return hierarchy.log_subject(hierarchy.constrain(vector), effects, records)

    return lax.map(at, vectors)
