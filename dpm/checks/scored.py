"""What a model scores of a cohort: likelihoods are compared only where they are of the same values."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.fingerprint import fingerprints, scales
from dpm.errors import CheckError
from dpm.inference.plate_rule import is_subject
from dpm.posterior.posterior import Posterior
from dpm.types import Bool, Float


class Scored(NamedTuple):
    """One observed site of subjects.

    Attributes:
        values: as the density takes them.
        used: where a mask leaves them in.
        atomic: where the value is scored by a probability and not by a density, as far as draws show.
    """

    values: Float[np.ndarray, "..."]
    used: Bool[np.ndarray, "..."]
    atomic: Bool[np.ndarray, "..."]


DRAWS = 64
"""Of each site, from which it is seen where it has probability."""


def require_fitted_to(posterior: Posterior, cohort: Cohort, *, name: str = "the posterior") -> None:
    """Refuse a cohort that is not the one of the fit.

    Raises:
        CheckError: it has other subjects, or other values of what was observed, or these on another scale.
    """
    facts, here = posterior.provenance, fingerprints(cohort)
    theirs: Mapping[str, str] = facts.get("observed", {})
    if not theirs:
        do = "Fit again: it was made by an earlier version, or by hand."
        raise CheckError(name, "a posterior that says what it was fitted to", "one that does not", do)
    shared = [one for one in theirs if one in here]
    other = [one for one in shared if theirs[one] != here[one]]
    scale_here, scale_there = scales(cohort), facts.get("scales", {})
    do = "Give the cohort of the fit, read with the same roles, or fit again to this one."
    for one in other:
        if one in scale_there and scale_there[one] != scale_here.get(one):
            do = "Densities on two scales differ by a Jacobian and are not comparable. " + do
            raise CheckError(
                f"{name}: {one}", f"a cohort with {one} as {scale_there[one]}, as fitted", scale_here[one], do
            )
    if other or not shared or facts["n_subjects"] != cohort.n_subjects:
        got = f"one of {cohort.n_subjects:,} subjects with other values of {', '.join(other or here)}"
        if not other and shared:
            got = f"one of {cohort.n_subjects:,} subjects"
        raise CheckError(name, f"the cohort of the fit, of {facts['n_subjects']:,} subjects", got, do)


def scored(posterior: Posterior, cohort: Cohort, *, name: str = "the posterior") -> dict[str, Scored]:
    """The observed sites of subjects, by name.

    Raises:
        CheckError: a likelihood is weighted, so that it is no predictive density.
    """
    records = cohort.records(posterior.encodings)
    hierarchy = posterior.hierarchy(records).by_class()[0]
    # Patients unlike each other, so that some of them reach the ends of a scale.
    effects = 1.5 * jax.random.normal(jax.random.key(0), (hierarchy.n_effects, records.n_subjects))
    population = hierarchy.constrain(posterior.vectors(hierarchy, 1)[0])
    found = {}
    for site, message in hierarchy.trace(population, hierarchy.effect_values(effects), records).items():
        if message["type"] != "sample" or not message["is_observed"] or not is_subject(message):
            continue
        if message["scale"] is not None and np.any(np.asarray(message["scale"]) != 1.0):
            do = "Fit without the weights: what is left out would not be predicted by them."
            raise CheckError(f"{name}: {site}", "a likelihood of weight one", "a weighted one", do)
        used = _used(message["fn"])
        values = np.asarray(message["value"], dtype=float)
        used = np.broadcast_to(used.reshape(used.shape + (1,) * message["fn"].event_dim), values.shape)
        event = site in cohort.roles.events  # scored by density and probability in all models alike
        atomic = np.zeros(values.shape, dtype=bool) if event else _atomic(message["fn"], values, used)
        found[site] = Scored(values, used, atomic)
    return found


def _atomic(fn: dist.Distribution, values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Where a value has probability: everywhere if draws are whole numbers, else where draws meet again and again.

    Not from `support`: a distribution of whole scores may take real numbers, and one may have both kinds of values.
    """
    try:
        each = jax.vmap(fn.sample)(jax.random.split(jax.random.key(1), DRAWS))
    except NotImplementedError:
        return np.full(values.shape, bool(fn.support.is_discrete))
    draws = np.broadcast_to(np.asarray(each), (DRAWS, *values.shape))[:, used]
    if (draws == np.round(draws)).all():
        return np.ones(values.shape, dtype=bool)
    met, times = np.unique(draws, return_counts=True)
    return np.isin(values, met[times > 1])


def _used(fn: dist.Distribution) -> np.ndarray:
    """Where no mask hides a value, per batch."""
    batch, used = fn.batch_shape, np.ones(fn.batch_shape, dtype=bool)
    while isinstance(fn, dist.MaskedDistribution | dist.ExpandedDistribution | dist.Independent):
        if isinstance(fn, dist.MaskedDistribution) and np.ndim(fn._mask) <= len(batch):
            used &= np.broadcast_to(np.asarray(fn._mask), batch)
        fn = fn.base_dist
    return used


def require_same_values(by_model: Mapping[str, Mapping[str, Scored]]) -> None:
    """Refuse models whose likelihoods are of different things.

    Raises:
        CheckError: they score other sites, other values of one, one of them transformed, or one of them as a density
            and the other as a probability.
    """
    (first, own), *rest = by_model.items()
    for name, theirs in rest:
        where = f"compare_models: {first} and {name}"
        if set(own) != set(theirs):
            got = f"{', '.join(sorted(own))} and {', '.join(sorted(theirs))}"
            do = "Compare models of the same outcomes and events: a likelihood of more values is not a worse one."
            raise CheckError(where, "models that score the same observed sites", got, do)
        for site, one in own.items():
            if why := _unlike(one, theirs[site]):
                do = "Marginal likelihoods of these are not comparable: score the same values on the same scale."
                raise CheckError(f"{where}: {site}", "the same values, scored alike", why, do)


def _unlike(one: Scored, other: Scored) -> str:
    """How two sites differ, in words; empty where they do not."""
    if one.values.shape != other.values.shape:
        return f"values of shapes {one.values.shape} and {other.values.shape}"
    if not np.array_equal(one.used, other.used):
        return f"{int(one.used.sum()):,} and {int(other.used.sum()):,} values, not the same ones"
    same = (one.values == other.values) | (np.isnan(one.values) & np.isnan(other.values))
    different = int((~same)[one.used].sum())
    if different:
        return f"{different:,} of {int(one.used.sum()):,} values that differ, as after a transform"
    mixed = int((one.atomic != other.atomic)[one.used].sum())
    return f"a probability beside a density for {mixed:,} of {int(one.used.sum()):,} values" if mixed else ""
