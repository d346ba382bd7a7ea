"""Where a density is not a finite number, and why: in words, with the site and the subjects."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from numpyro.distributions.distribution import validation_enabled

from dpm.cohort.buckets import Buckets, Data
from dpm.cohort.records import Records
from dpm.errors import InferenceError
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array, Float, Sites

type Messages = dict[str, dict[str, Any]]

SHOWN = 6
"""Population values that are named beside a fault."""

FAR = 3.0
"""Effects that few subjects have, where they are standard normal."""

UNLIKELY = (
    "Keep the course a number at every time and at every value that the priors allow, and the measurements within what "
    "the noise can give."
)
"""What to do where the density of a subject is lost."""

FLAT = "A square root, a logarithm or a division has no slope at the edge of its range: keep its argument inside."
"""What to do where a value is finite and its slope is not."""


class Fault(NamedTuple):
    """Why nothing can be computed, or nothing is determined.

    Attributes:
        why: in words, a phrase.
        do: the remedy; empty where there is none in general.
        subjects: positions of those it is about.
    """

    why: str
    do: str = ""
    subjects: tuple[int, ...] = ()


def fault_of(hierarchy: Hierarchy, vector: Array | np.ndarray, data: Data, *, away: float = 0.0) -> Fault | None:
    """The first site, in the model's order, that is not finite for subjects whose effects are `away`; then slopes.

    Args:
        hierarchy: of the model.
        vector: population values, unconstrained scale.
        data: of all subjects.
        away: every effect of every subject, unconstrained scale.

    Returns:
        None where density and slopes are finite.
    """
    at = jnp.asarray(vector)
    with validation_enabled(False):
        for records, places in _parts(data):
            effects = jnp.full((hierarchy.n_effects, records.n_subjects), away)
            each = hierarchy.log_subject(hierarchy.constrain(at), effects, records)
            one = hierarchy.by_class()[0]
            log_probs, trace = one._log_probs({**one.constrain(at), **one.effect_values(effects)}, records)
            found = _of_population(one, log_probs) or _of_subjects(log_probs, trace, records, np.asarray(each))
            if found is None:
                found = _of_slopes(hierarchy, at, effects, records)
            if found is not None:
                beside = _beside(hierarchy, at) + (f" and effects of {away:g}" if away else "")
                return Fault(found.why + beside, found.do, tuple(int(places[k]) for k in found.subjects))
    return None


def located(problem: InferenceError, hierarchy: Hierarchy, vector: Array | np.ndarray, data: Data) -> InferenceError:
    """The same refusal, with what is not finite at `vector` and effects of zero or `FAR`; itself where all of it is."""
    faults = (fault_of(hierarchy, vector, data, away=away) for away in (0.0, FAR, -FAR))
    fault = next((one for one in faults if one is not None), None)
    if fault is None:
        return problem
    got = f"{problem.got}: {fault.why}"
    return InferenceError(problem.where, problem.expected, got, fault.do or problem.do, fault.subjects)


def _parts(data: Data) -> list[tuple[Records, np.ndarray]]:
    """Records, and the position in the cohort of each of their subjects."""
    if not isinstance(data, Buckets):
        return [(data, np.arange(data.n_subjects))]
    stops = np.cumsum([part.n_subjects for part in data.parts])[:-1]
    return list(zip(data.parts, np.split(np.asarray(data.order), stops), strict=True))


def _of_population(hierarchy: Hierarchy, log_probs: Sites) -> Fault | None:
    for site in hierarchy.population:
        value = np.asarray(log_probs[site.name])
        if not np.isfinite(value).all():
            return Fault(f"the prior density of {site.name} is {_said(value)}", "Mend its prior.")
    return None


def _of_subjects(
    log_probs: Sites, trace: Messages, records: Records, each: Float[np.ndarray, " subject"]
) -> Fault | None:
    """The first site at which subjects have no finite density, and the measurement where the first of them lost it."""
    if np.isfinite(each).all():
        return None
    for name, log_prob in log_probs.items():
        value = np.asarray(log_prob)
        if not value.ndim or value.shape[-1] != records.n_subjects:
            continue
        wrong = ~np.isfinite(value.reshape(-1, records.n_subjects)).all(axis=0)
        if not wrong.any():
            continue
        which = np.flatnonzero(wrong)
        count = f"{len(which):,} of {records.n_subjects:,} subjects"
        why = f"the density of {name} is {_said(value[..., which[0]])} in {count}"
        return Fault(why + _measurement(name, value, trace, records, int(which[0])), UNLIKELY, tuple(which))
    which = np.flatnonzero(~np.isfinite(each))
    return Fault(f"the density of {len(which):,} of {records.n_subjects:,} subjects is not finite", "", tuple(which))


def _measurement(name: str, log_prob: np.ndarray, trace: Messages, records: Records, subject: int) -> str:
    """What was measured and expected where a subject's density is lost."""
    if name not in records.values or log_prob.shape != records.time.shape:
        return ""
    visit = int(np.flatnonzero(~np.isfinite(log_prob[:, subject]))[0])
    time, value = float(records.time[visit, subject]), float(np.asarray(trace[name]["value"])[visit, subject])
    said = f" (the first: {value:g} measured at {time:g} years"
    if (mean := trace.get(f"{name}_mean")) is not None and np.shape(mean["value"]) == log_prob.shape:
        expected = float(np.asarray(mean["value"])[visit, subject])
        said += ", where the course is not a number" if np.isnan(expected) else f", where {expected:g} is expected"
    return f"{said})"


def _of_slopes(hierarchy: Hierarchy, vector: Array, effects: Array, records: Records) -> Fault | None:
    def total(at: Array, own: Array) -> Array:
        each = hierarchy.log_subject(hierarchy.constrain(at), own, records)
        return jnp.sum(each) + hierarchy.log_population(at, records, prior=True)

    of_population, of_effects = (np.asarray(slope) for slope in jax.grad(total, (0, 1))(vector, effects))
    lost = np.flatnonzero(~np.isfinite(of_effects).all(axis=0))
    if lost.size:
        names = np.repeat([site.name for site in hierarchy.subject], [site.size for site in hierarchy.subject])
        rows = ", ".join(dict.fromkeys(names[~np.isfinite(of_effects).all(axis=1)]))
        count = f"{lost.size:,} of {records.n_subjects:,} subjects"
        return Fault(f"the slope of the density in {rows} is not a number in {count}", FLAT, tuple(lost))
    flat = [name for name, g in zip(hierarchy.population_names(), of_population, strict=True) if not np.isfinite(g)]
    return Fault(f"the slope of the density in {', '.join(flat[:SHOWN])} is not a number", FLAT) if flat else None


def _said(value: np.ndarray) -> str:
    """What a log density is that is not finite."""
    if np.isnan(value).any():
        return "not a number"
    return "zero" if np.isneginf(value).any() else "infinite"


def _beside(hierarchy: Hierarchy, vector: Array) -> str:
    """The population values at which a fault shows, a few of them."""
    values = hierarchy.constrain(vector)
    shown = [f"{name} = {float(value):.4g}" for name, value in values.items() if np.size(value) == 1][:SHOWN]
    return f", at {', '.join(shown)}" if shown else ""
