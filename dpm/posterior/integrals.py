"""Whether the integrals of a model's hazards are fine enough where the fit ended."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.records import Records
from dpm.components.event import Competing, Event, Process
from dpm.components.progression import ProgressionModel
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.estimable import composed
from dpm.posterior.posterior import Posterior
from dpm.types import Float, Key

COURSES = 4
"""Courses drawn for every subject, from its effects' prior at the posterior mean."""

MOST_CHANGE = 0.01
"""What twice the nodes may change of a subject's log density on average [nats]."""


def coarse_integrals(posterior: Posterior, records: Records, *, key: Key) -> tuple[str, ...]:
    r"""A note where $\int h_i$ by Gauss's rule moves with twice the nodes; none where no hazard is integrated.

    Each subject's log density is computed at the posterior mean of population values, at a few draws of effects from
    their prior, with the nodes that the model has and with twice as many. A hazard that follows a steep course may
    turn so sharply between two nodes that the integral is off by per cents, and nothing else shows it.

    Args:
        posterior: of a model built from components; of another there is no note.
        records: what it was fitted to.
        key: of the effects.
    """
    built = composed(posterior.model)
    if built is None or not built.events:
        return ()
    doubled = replace(built, events={name: _doubled(one) for name, one in built.events.items()})
    vector = jnp.mean(posterior.vectors(posterior.hierarchy(records), 200), axis=0)
    coarse, fine = (_densities(model, vector, records, key=key) for model in (built, doubled))
    changed = float(np.nanmean(np.abs(fine - coarse)))
    if changed <= MOST_CHANGE:
        return ()
    nodes = ", ".join(f"{name}: nodes={2 * one.nodes}" for name, one in built.events.items())
    return (
        f"integrals of hazards are coarse: with twice the nodes a subject's log density changes by {changed:.2g} on "
        f"average, at most {np.nanmax(np.abs(fine - coarse)):.2g}; a link follows a course that turns sharply. Fit "
        f"again with more ({nodes}).",
    )


def _doubled(process: Process) -> Process:
    assert isinstance(process, Event | Competing)
    return replace(process, nodes=2 * process.nodes)


def _densities(
    model: ProgressionModel, vector: Float[Any, " population"], records: Records, *, key: Key
) -> Float[np.ndarray, "course subject"]:
    hierarchy = Hierarchy.of(model, records)
    effects = jax.random.normal(key, (COURSES, hierarchy.n_effects, records.n_subjects))
    population = hierarchy.constrain(vector)
    each = jax.jit(lambda b: hierarchy.log_subject(population, b, records))
    return np.stack([np.asarray(each(one)) for one in effects])
