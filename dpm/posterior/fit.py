"""`fit`: a model, a cohort and a method give a posterior."""

import jax

from dpm.cohort.cohort import Cohort
from dpm.cohort.encodings import Encodings
from dpm.errors import ModelError
from dpm.inference.draws import Method
from dpm.posterior.posterior import Posterior
from dpm.types import Key, Model


def fit(model: Model, cohort: Cohort, *, method: Method, key: Key, keep_subjects: bool = False) -> Posterior:
    """Learn a model from a cohort.

    Args:
        model: any callable that keeps the subject-plate rule.
        cohort: all of it is used; take the natural-history patients out first.
        method: `NUTS()` or `Laplace()`.
        key: the same key gives the same draws on the same device.
        keep_subjects: store patient-level effects in the posterior too; they are patient data.

    Raises:
        ModelError: a subject contributes no measurement, or the model names what the cohort lacks.
        InferenceError: the method failed; the message says where.
    """
    encodings = Encodings.learn(cohort)
    records = cohort.records(encodings)
    seen = jax.numpy.stack([mask.any(axis=0) for mask in records.observed.values()]).any(axis=0)
    if not bool(seen.all()):
        missing = cohort.subjects.index[~jax.device_get(seen)]
        got = f"none for {len(missing)} of {cohort.n_subjects} (first: {missing[0]})"
        raise ModelError(
            "fit", "at least one measurement of every subject", got, "Exclude these subjects, with a reason."
        )
    draws = method.run(model, records, key=key)
    return Posterior.of(model, cohort, encodings, draws, method=repr(method), keep_subjects=keep_subjects)
