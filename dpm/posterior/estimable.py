"""What a cohort cannot tell of a model: refused before the fit, or said beside it."""

import warnings
from dataclasses import replace

import jax
import numpy as np
from jax import numpy as jnp
from numpyro.distributions.distribution import validation_enabled
from numpyro.primitives import Messenger

from dpm.cohort.cohort import Cohort
from dpm.cohort.records import Records
from dpm.components.clock import LatentTime
from dpm.components.event import refuse_without_events
from dpm.components.outcome import refuse_impossible
from dpm.components.progression import ProgressionModel
from dpm.components.states import refuse_other_states
from dpm.errors import ModelError, ModelWarning
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array, Model

FEW_REVISITED = 0.5
"""Share of subjects measured at two times, under which the paces of most are the prior's."""


def composed(model: Model) -> ProgressionModel | None:
    """The model that was built from components, from under the NumPyro handlers it may be in; None of another."""
    while isinstance(model, Messenger):
        model = model.fn
    return model if isinstance(model, ProgressionModel) else None


def refuse_impossible_data(model: Model, cohort: Cohort, records: Records) -> None:
    """Refuse a model built from components whose noises, states or events cannot give what was observed.

    Raises:
        ModelError: the cohort lacks an outcome or an event process, an outcome is of another kind or has a value that
            is impossible under its noise, states are others or unknown at a subject's first visit, or nobody had an
            event whose hazard is to be learned.
    """
    built = composed(model)
    if built is None:
        return
    built.check_names(records)
    for name, outcome in built.outcomes.items():
        measured = cohort.visits[name].dropna().to_numpy(dtype=np.float64)
        refuse_impossible(name, outcome.noise, cohort.roles.outcomes[name].kind, measured)
        if outcome.noise.serial:
            _refuse_equal_times(name, cohort)
    for name, states in built.states.items():
        refuse_other_states(name, states, cohort.roles.outcomes[name].levels, records)
    for name, process in built.events.items():
        refuse_without_events(name, process, records)


def _refuse_equal_times(name: str, cohort: Cohort) -> None:
    """Refuse two measurements of one subject at one time, such as of two eyes, whose residuals would have to be equal.

    Raises:
        ModelError: there are such.
    """
    seen = cohort.visits.loc[cohort.visits[name].notna(), ["subject", "time"]]
    again = seen[seen.duplicated(["subject", "time"])]
    if not again.empty:
        got = f"two or more in {again['subject'].nunique():,} of {cohort.n_subjects:,}"
        do = "Give each part of the body an outcome of its own, or use a noise whose residuals are independent."
        raise ModelError(f"fit: {name}", "one measurement of a subject at a time, for residuals that remember", got, do)


def refuse_missing_as_values(model: Model, records: Records) -> None:
    """Refuse a model that computes with a covariate where it was not measured.

    A model built from components refuses by itself. One written by hand meets a value that is not a number, and
    gives a density, or a gradient, that is none.

    Raises:
        ModelError: see above.
    """
    if not records.missing or composed(model) is not None:
        return
    hierarchy = Hierarchy.of(model, _filled(records))
    if _finite(hierarchy, records) or not _finite(hierarchy, _filled(records)):
        return  # what is not a number for another reason, the method will name
    for name, gone in records.missing.items():
        if not _finite(hierarchy, _filled(records, but=name)):
            got = f"none in {int(gone.sum()):,} of {records.n_subjects:,}, with which it computes"
            do = "Model what is missing (records.missing says where), exclude these subjects, or drop the covariate."
            raise ModelError(f"fit: {name}", "a covariate of every subject, or a model of what is missing", got, do)


def _filled(records: Records, but: str = "") -> Records:
    """The same records, a zero for each missing covariate but one."""
    zeros = {
        name: jnp.where(gone, 0.0, records.covariates[name]) for name, gone in records.missing.items() if name != but
    }
    return replace(records, covariates={**records.covariates, **zeros})


def _finite(hierarchy: Hierarchy, records: Records) -> bool:
    """Whether density and gradient are numbers."""

    def total(vector: Array, effects: Array) -> Array:
        each = hierarchy.log_subject(hierarchy.constrain(vector), effects, records)
        return jnp.sum(each) + hierarchy.log_population(vector, records, prior=True)

    start = hierarchy.prior_centre(), jnp.zeros((hierarchy.n_effects, records.n_subjects))
    with validation_enabled(False):
        value, slopes = jax.value_and_grad(total, (0, 1))(*start)
    return all(bool(jnp.all(jnp.isfinite(part))) for part in (value, *slopes))


def require_paces(model: Model, cohort: Cohort) -> tuple[str, ...]:
    r"""What a reader has to know of paces on a latent time that this cohort hardly tells.

    Measured at one time $t$, a subject shows $\alpha(t - \delta)$ and neither pace nor onset. Where nobody was
    measured twice, their spreads rest on the shape of the prior alone, and the fit is refused; where few were, those
    few tell the spread of paces, the others borrow it, and a note says so.

    Raises:
        ModelError: nobody was measured at two times, and no event stands beside the measurements.
    """
    built = composed(model)
    if built is None or not isinstance(built.clock, LatentTime) or built.clock.pace.subject is None:
        return ()
    visits = cohort.visits[cohort.visits[list(built.outcomes)].notna().any(axis=1)]
    again = visits.groupby("subject")["time"].nunique().gt(1).reindex(cohort.subjects.index, fill_value=False)
    share = float(again.mean())
    if not again.any() and not built.events:
        do = "Take the spread of pace out (pace(None)), or add follow-up: one time shows a place on the course alone."
        got = f"one time in each of {cohort.n_subjects:,}"
        raise ModelError("fit: clock", "subjects measured at two times, to tell pace from onset", got, do)
    if share >= FEW_REVISITED:
        return ()
    note = (
        f"Pace on the latent time: {int(again.sum()):,} of {len(again):,} subjects ({share:.0%}) were measured at two "
        "times or more. The others show no pace of their own; theirs is that of the population."
    )
    warnings.warn(note, ModelWarning, stacklevel=3)
    return (note,)
