"""What a model predicts, given population values: courses and measurements, of known subjects or of new ones."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
from jax import lax
from numpyro import handlers

from dpm.cohort.records import Records
from dpm.inference.batching import batch_size
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array, Float, Key


class Predicted(NamedTuple):
    """Predictions per outcome.

    Attributes:
        course: the expected course, without residual noise (`<outcome>_mean`).
        measurement: a measurement around it.
        events: per event process of the model, the time [years] and the number of the cause of what happens next after
            what is known; 0 where nothing does up to the horizon of the process.
    """

    course: Mapping[str, Float[Array, "*draw visit subject"]]
    measurement: Mapping[str, Float[Array, "*draw visit subject"]]
    events: Mapping[str, Float[Array, "*draw subject 2"]]


def predict_subject(hierarchy: Hierarchy, vector: Array, effects: Array, records: Records, *, key: Key) -> Predicted:
    """One prediction of every subject in `records`, at its times, given its effects."""
    values = {**hierarchy.constrain(vector), **hierarchy.effect_values(effects)}
    return _run(hierarchy, values, records, key=key)


def predict_population(hierarchy: Hierarchy, vector: Array, records: Records, *, key: Key) -> Predicted:
    """One prediction of new subjects with these covariates and times: effects are drawn from the population."""
    return _run(hierarchy, hierarchy.constrain(vector), records, key=key)


def _run(hierarchy: Hierarchy, values: Mapping[str, Array], records: Records, *, key: Key) -> Predicted:
    names, processes = list(records.values), list(records.events)
    with handlers.block():
        # The seed stands outside, so that it draws no key for a given site.
        as_observed = handlers.seed(handlers.substitute(hierarchy.model, data=dict(values)), key)
        observed = handlers.trace(as_observed).get_trace(records)
        # What a handler holds fixed is observed too, but it is not a measurement to be made anew.
        held = {
            name: site["value"]
            for name, site in observed.items()
            if site.get("is_observed") and name not in (*names, *processes)
        }
        given = {**values, **held}
        filled = handlers.seed(handlers.substitute(handlers.uncondition(hierarchy.model), data=given), key)
        trace = handlers.trace(filled).get_trace(records)
    return Predicted(
        {name: trace[f"{name}_mean"]["value"] for name in names if f"{name}_mean" in trace},
        {name: trace[name]["value"] for name in names if name in trace},
        {name: trace[name]["value"][..., 0, :] for name in processes if name in trace},
    )


def predict_draws(
    hierarchy: Hierarchy,
    vectors: Float[Array, "draw population"],
    effects: Float[Array, "draw replicate effect subject"],
    records: Records,
    *,
    key: Key,
) -> Predicted:
    """Predictions with leading axes `(draw, replicate)`."""
    return _predict_draws(vectors, effects, records, key, hierarchy)


@partial(jax.jit, static_argnums=4)
def _predict_draws(vectors: Array, effects: Array, records: Records, key: Key, hierarchy: Hierarchy) -> Predicted:
    def one_draw(item: tuple[Array, Array, Key]) -> Predicted:
        vector, replicates, draw_key = item
        keys = jax.random.split(draw_key, replicates.shape[0])
        return jax.vmap(lambda b, k: predict_subject(hierarchy, vector, b, records, key=k))(replicates, keys)

    keys = jax.random.split(key, vectors.shape[0])
    return lax.map(one_draw, (vectors, effects, keys), batch_size=batch_size(vectors.shape[0]))


def simulate_draws(
    hierarchy: Hierarchy, vectors: Float[Array, "draw population"], records: Records, *, key: Key
) -> Predicted:
    """One simulated cohort of new subjects per draw, leading axis `draw`."""
    return _simulate_draws(vectors, records, key, hierarchy)


@partial(jax.jit, static_argnums=3)
def _simulate_draws(vectors: Array, records: Records, key: Key, hierarchy: Hierarchy) -> Predicted:
    def one_draw(item: tuple[Array, Key]) -> Predicted:
        return predict_population(hierarchy, item[0], records, key=item[1])

    keys = jax.random.split(key, vectors.shape[0])
    return lax.map(one_draw, (vectors, keys), batch_size=batch_size(vectors.shape[0]))
