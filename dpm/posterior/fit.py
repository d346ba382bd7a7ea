"""`fit`: a model, a cohort and a method give a posterior."""

from dataclasses import replace

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import bucketed
from dpm.cohort.cohort import Cohort
from dpm.cohort.encodings import Encodings
from dpm.cohort.records import Records
from dpm.errors import ModelError
from dpm.inference.draws import Method
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.estimable import refuse_impossible_data, refuse_missing_as_values, require_paces
from dpm.posterior.posterior import Posterior
from dpm.posterior.prior import information, told_by_prior
from dpm.types import Key, Model

BUCKETS_FROM = 100_000
"""Cells of an array of visits, padding included, from which compiling a model once per bucket pays for itself."""


def fit(model: Model, cohort: Cohort, *, method: Method, key: Key, keep_subjects: bool = False) -> Posterior:
    """Learn a model from a cohort.

    Args:
        model: any callable that keeps the subject-plate rule.
        cohort: all of it is used; take the natural-history patients out first.
        method: `NUTS()`, `Laplace()` or `Variational()`; `NUTS(checkpoint=Checkpoint(folder="..."))` goes
            on after it was stopped.
        key: the same key gives the same draws on the same device.
        keep_subjects: store patient-level effects in the posterior too; they are patient data.

    Raises:
        ModelError: a subject contributes neither a measurement nor an event, the model names what the cohort lacks,
            it takes censored or missing values as measured, or it cannot give what was observed, see
            `refuse_impossible_data` and `require_paces`.
        InferenceError: the method failed; the message says where.
    """
    encodings = Encodings.learn(cohort)
    records = cohort.records(encodings)
    something = [*records.observed.values(), *(rows.present for rows in records.events.values())]
    seen = jnp.stack([mask.any(axis=0) for mask in something]).any(axis=0)
    if not bool(seen.all()):
        missing = cohort.subjects.index[~jax.device_get(seen)]
        got = f"none for {len(missing)} of {cohort.n_subjects} (first: {missing[0]})"
        raise ModelError(
            "fit", "at least one measurement or event of every subject", got, "Exclude these subjects, with a reason."
        )
    refuse_missing_as_values(model, records)
    _refuse_limits_as_values(model, cohort, records)
    refuse_impossible_data(model, cohort, records)
    notes = require_paces(model, cohort)
    large = records.time.size > BUCKETS_FROM
    draws = method.run(model, bucketed(records, cohort.visit_counts) if large else records, key=key)
    posterior = Posterior.of(model, cohort, encodings, draws, method=repr(method), keep_subjects=keep_subjects)
    notes += tuple(draws.facts.get("notes", ()))
    notes += told_by_prior(information(posterior, records, key=jax.random.fold_in(key, 1)))
    return replace(posterior, provenance={**posterior.provenance, "notes": list(notes)}) if notes else posterior


def _refuse_limits_as_values(model: Model, cohort: Cohort, records: Records) -> None:
    """Refuse a model whose density moves with a censored value but not with the code that says what is known of it."""
    if not records.censored:
        return
    hierarchy = Hierarchy.of(model, records)
    population = hierarchy.constrain(hierarchy.prior_centre())
    effects = jnp.zeros((hierarchy.n_effects, records.n_subjects))

    def density(data: Records) -> np.ndarray:
        return np.asarray(hierarchy.log_subject(population, effects, data))

    as_read = density(records)
    for name, codes in records.censored.items():
        measured = replace(records, censored={**records.censored, name: jnp.zeros_like(codes)})
        moved = replace(records, values={**records.values, name: records.values[name] + 0.5 * (codes > 0)})
        reads_values = not np.array_equal(as_read, density(moved), equal_nan=True)
        if reads_values and np.array_equal(as_read, density(measured), equal_nan=True):
            got = f"a model in which {int((codes > 0).sum()):,} limits count as measured"
            do = f'Score them by records.censored["{name}"] (dpm.components.censoring.Censored), or leave them out.'
            raise ModelError(f"fit: {name}", "a model that scores censored values as such", got, do)
