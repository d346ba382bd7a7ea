"""What a model scores of a cohort: likelihoods are compared only where they are of the same values."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
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
        discrete: whether the density is a probability.
    """

    values: Float[np.ndarray, "..."]
    used: Bool[np.ndarray, "..."]
    discrete: bool


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
    zeros = hierarchy.effect_values(jnp.zeros((hierarchy.n_effects, records.n_subjects)))
    vector = jax.tree_util.tree_map(lambda draws: draws[0], posterior.vectors(hierarchy, 1))
    found = {}
    for site, message in hierarchy.trace(hierarchy.constrain(vector), zeros, records).items():
        if message["type"] != "sample" or not message["is_observed"] or not is_subject(message):
            continue
        if message["scale"] is not None and np.any(np.asarray(message["scale"]) != 1.0):
            do = "Fit without the weights: what is left out would not be predicted by them."
            raise CheckError(f"{name}: {site}", "a likelihood of weight one", "a weighted one", do)
        used = _used(message["fn"])
        values = np.asarray(message["value"], dtype=float)
        used = np.broadcast_to(used.reshape(used.shape + (1,) * message["fn"].event_dim), values.shape)
        found[site] = Scored(values, used, bool(message["fn"].support.is_discrete))
    return found


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
    if one.discrete != other.discrete:
        return "a density and a probability"
    if one.values.shape != other.values.shape:
        return f"values of shapes {one.values.shape} and {other.values.shape}"
    if not np.array_equal(one.used, other.used):
        return f"{int(one.used.sum()):,} and {int(other.used.sum()):,} values, not the same ones"
    same = (one.values == other.values) | (np.isnan(one.values) & np.isnan(other.values))
    different = int((~same)[one.used].sum())
    return f"{different:,} of {int(one.used.sum()):,} values that differ, as after a transform" if different else ""
