"""`fit`: a model, a cohort and a method give a posterior."""

import sys

import jax

from dpm.cohort.cohort import Cohort
from dpm.errors import DPMError, InferenceError, ModelError
from dpm.inference.collector import old_objects_left_alone
from dpm.inference.draws import Method
from dpm.posterior.integrals import coarse_integrals
from dpm.posterior.posterior import Posterior
from dpm.posterior.prepared import prepared
from dpm.posterior.prior import information, told_by_prior, told_together
from dpm.posterior.spreads import spreads_near_zero
from dpm.types import Key, Model


def fit(model: Model, cohort: Cohort, *, method: Method | str, key: Key, keep_subjects: bool = False) -> Posterior:
    """Learn a model from a cohort.

    Args:
        model: any callable that keeps the subject-plate rule.
        cohort: all of it is used; take the natural-history patients out first.
        method: `NUTS()`, `MarginalNUTS()`, `Laplace()` or `Variational()`, or `"auto"`, which chooses from the size and
            the kind of the problem, says so and keeps the reason in `provenance["notes"]`;
            `NUTS(checkpoint=Checkpoint(folder="..."))` goes on after it was stopped.
        key: the same key gives the same draws on the same device.
        keep_subjects: store patient-level effects in the posterior too; they are patient data.

    Raises:
        ModelError: the model cannot be fitted to this cohort, see `prepared`.
        InferenceError: the method failed; the message says where, and at which subjects.
    """
    require_kinds(model=model, cohort=cohort, method=method, key=key)
    with old_objects_left_alone():
        return _fitted(model, cohort, method, key=key, keep_subjects=keep_subjects)


def _fitted(model: Model, cohort: Cohort, method: Method | str, *, key: Key, keep_subjects: bool) -> Posterior:
    ready = prepared(model, cohort)
    notes = ready.notes
    if isinstance(method, str):
        from dpm.inference.automatic import chosen  # imports the methods that it chooses from

        method, why = chosen(model, ready.data, method=method)
        sys.stderr.write(f"{why}\n")
        notes += (why,)
    try:
        draws = method.run(model, ready.data, key=key)
    except DPMError as error:
        if not error.subjects:
            raise
        raise error.named(cohort.subjects.index.to_list()) from error
    posterior = Posterior.of(model, cohort, ready.encodings, draws, method=repr(method), keep_subjects=keep_subjects)
    notes += tuple(draws.facts.get("notes", ()))
    notes += coarse_integrals(posterior, ready.records, key=jax.random.fold_in(key, 2))
    notes += told_by_prior(information(posterior, ready.records, key=jax.random.fold_in(key, 1)))
    notes += spreads_near_zero(posterior, ready.data)
    notes += told_together(posterior, ready.records, key=jax.random.fold_in(key, 1))
    return posterior.noted(notes) if notes else posterior


def require_kinds(*, model: object, cohort: object, method: object, key: object) -> None:
    """Refuse what is not a model, a cohort, a method or a key at all; see `fit`.

    Raises:
        ModelError: the model or the cohort is something else.
        InferenceError: the method or the key is, or JAX computes in 32 bits.
    """
    if isinstance(model, type) or not callable(model):
        do = "Build it first, such as by ProgressionModel(...), or pass the function itself."
        raise ModelError("fit: model", "a function of records, such as a ProgressionModel", _kind(model), do)
    if not isinstance(cohort, Cohort):
        do = "Read the table first: dpm.read_cohort(table, roles)."
        raise ModelError("fit: cohort", "a Cohort", _kind(cohort), do)
    if isinstance(method, type) or not isinstance(method, Method | str):
        raise InferenceError("fit: method", 'a method such as dpm.NUTS(), or "auto"', _kind(method))
    if not jax.config.jax_enable_x64:
        do = 'Take JAX_ENABLE_X64 out of the environment, or say jax.config.update("jax_enable_x64", True) first.'
        raise InferenceError("fit", "JAX with 64-bit numbers", "32 bits, which no method is made for", do)
    if not isinstance(key, jax.Array):
        raise InferenceError("fit: key", "a JAX key", _kind(key), "Make one of a number: jax.random.key(1).")


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
