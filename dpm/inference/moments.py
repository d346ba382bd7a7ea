"""Means and sds of Gaussian outcomes, and the information that they hold on effects."""

from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.errors import InferenceError
from dpm.inference.conditional import Effects
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.plate_rule import is_subject
from dpm.types import Array, PerSubject, Sites


def gaussian_moments(
    hierarchy: Hierarchy, population: Sites, effects: Effects, records: Records
) -> tuple[list[tuple[Array, Array]], list[Array]]:
    """Mean and sd of every observed Gaussian site of the subjects, subject axis last; and each value's weight.

    The weight is zero where a mask hides the value, and otherwise the scale that a handler gave its likelihood.
    """
    trace = hierarchy.trace(population, hierarchy.effect_values(effects), records)
    found, weights = [], []
    for name, message in trace.items():
        if message["type"] != "sample" or not message["is_observed"] or not is_subject(message):
            continue
        fn = whole = message["fn"]
        scale = 1.0 if message["scale"] is None else message["scale"]
        weight = _beside_events(jnp.broadcast_to(scale, whole.batch_shape), whole.event_dim)
        while isinstance(fn, dist.MaskedDistribution | dist.ExpandedDistribution | dist.Independent):
            if isinstance(fn, dist.MaskedDistribution):
                mask = _beside_events(jnp.broadcast_to(fn._mask, fn.batch_shape), fn.event_dim)
                weight = jnp.where(mask, weight, 0.0)
            fn = fn.base_dist
        if not isinstance(fn, dist.Normal):
            do = 'Use level="laplace", whose Hessian is exact for any outcome.'
            raise InferenceError(name, 'a Normal outcome for level="focei"', type(fn).__name__, do)
        events = tuple(range(-whole.event_dim, 0)), tuple(range(whole.event_dim))
        mean, sd, weight = (
            jnp.moveaxis(jnp.broadcast_to(part, whole.shape()), *events) for part in (fn.loc, fn.scale, weight)
        )
        found.append((mean, sd))
        weights.append(weight)
    return found, weights


def _beside_events(batch: Array, event_dim: int) -> Array:
    """Per batch, broadcastable over the event axes behind it."""
    return batch.reshape(batch.shape + (1,) * event_dim)


def information(
    values: list[tuple[Array, Array]],
    weights: list[Array],
    one: list[tuple[Array, Array]],
    other: list[tuple[Array, Array]],
) -> PerSubject:
    r"""$\sum_j w_j(\partial_a\mu\,\partial_b\mu + 2\,\partial_a\sigma\,\partial_b\sigma)/\sigma^2$."""
    total = jnp.zeros(())
    for (_, sd), weight, (mean_a, sd_a), (mean_b, sd_b) in zip(values, weights, one, other, strict=True):
        term = jnp.where(weight > 0.0, weight * (mean_a * mean_b + 2.0 * sd_a * sd_b) / sd**2, 0.0)
        total = total + jnp.sum(term.reshape(-1, term.shape[-1]), axis=0)
    return total
