"""What every fit does first: a cohort as arrays, and refusals of what would run and be wrong."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data, bucketed
from dpm.cohort.cohort import Cohort
from dpm.cohort.encodings import Encodings
from dpm.cohort.records import Records
from dpm.errors import ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.estimable import refuse_impossible_data, refuse_missing_as_values, require_paces
from dpm.posterior.separation import separations
from dpm.posterior.spreads import spreads_from_one
from dpm.types import Model

BUCKETS_FROM = 100_000
"""Cells of an array of visits, padding included, from which compiling a model once per bucket pays for itself."""


class Prepared(NamedTuple):
    """A cohort ready for a method.

    Attributes:
        encodings: learned from it.
        records: its arrays.
        data: the same, in buckets where that pays.
        notes: what a reader of the fit should know.
    """

    encodings: Encodings
    records: Records
    data: Data
    notes: tuple[str, ...]


def prepared(model: Model, cohort: Cohort) -> Prepared:
    """The arrays of a cohort that a model can be fitted to.

    Raises:
        ModelError: a subject contributes neither a measurement nor an event, the model names what the cohort lacks,
            it takes censored or missing values as measured, or it cannot give what was observed, see
            `refuse_impossible_data` and `require_paces`.
    """
    encodings = Encodings.learn(cohort)
    records = cohort.records(encodings)
    _refuse_empty_subjects(cohort, records)
    refuse_missing_as_values(model, records)
    _refuse_limits_as_values(model, cohort, records)
    refuse_impossible_data(model, cohort, records)
    notes = (*require_paces(model, cohort), *spreads_from_one(model, cohort), *separations(model, records))
    large = records.time.size > BUCKETS_FROM
    return Prepared(encodings, records, bucketed(records, cohort.visit_counts) if large else records, notes)


def _refuse_empty_subjects(cohort: Cohort, records: Records) -> None:
    something = [*records.observed.values(), *(rows.present for rows in records.events.values())]
    seen = np.stack([np.asarray(mask).any(axis=0) for mask in something]).any(axis=0)
    if seen.all():
        return
    missing = cohort.subjects.index[~seen]
    got = f"none for {len(missing)} of {cohort.n_subjects} (first: {missing[0]})"
    raise ModelError(
        "fit", "at least one measurement or event of every subject", got, "Exclude these subjects, with a reason."
    )


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
