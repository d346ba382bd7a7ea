"""Population values on their natural scale, with what is derived from them."""

from functools import partial

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.buckets import Buckets, Data
from dpm.inference.coordinates import Coordinates
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array, Float, Sites


def population_values(hierarchy: Hierarchy, vector: Float[Array, " population"], records: Data) -> Sites:
    """Population sites on their natural scale, with the deterministic sites that stand outside the plate.

    A deterministic value per subject is that subject's, wherever it was computed, and is left out; so is one that
    moves with subjects' effects, such as their mean: population values do not determine it.
    """
    values = hierarchy.constrain(vector)
    if isinstance(records, Buckets):
        records = records.largest
    zeros = hierarchy.effect_values(jnp.zeros((hierarchy.n_effects, records.n_subjects)))
    trace = hierarchy.trace(values, zeros, records)
    derived = {
        name: message["value"]
        for name, message in trace.items()
        if message["type"] == "deterministic"
        and name not in hierarchy.of_effects
        and not message.get("cond_indep_stack")
        and records.n_subjects not in np.shape(message["value"])
    }
    return {**values, **derived}


@partial(jax.jit, static_argnums=1)
def population_draws(vectors: Float[Array, "draw population"], hierarchy: Hierarchy, records: Data) -> Sites:
    """`population_values` of many draws."""
    return jax.vmap(lambda vector: population_values(hierarchy, vector, records))(vectors)


@partial(jax.jit, static_argnums=1)
def _natural(
    point: Float[Array, " population"], hierarchy: Hierarchy, records: Data, coordinates: Coordinates
) -> tuple[Sites, Sites]:
    """Population values, and their Jacobian with respect to coordinates."""

    def values(at: Float[Array, " population"]) -> Sites:
        return population_values(hierarchy, coordinates.values(at)[0], records)

    return values(point), jax.jacfwd(values)(point)


def natural_table(
    hierarchy: Hierarchy, records: Data, point: np.ndarray, coordinates: Coordinates, covariance: np.ndarray
) -> pd.DataFrame:
    """Estimates and delta-method standard errors on the natural scale, of a point and a covariance in coordinates."""
    values, slopes = _natural(jnp.asarray(point), hierarchy, records, coordinates)
    rows = {}
    for name, value in values.items():
        slope = np.asarray(slopes[name]).reshape(-1, point.size)
        se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slope, covariance, slope), 0.0))
        flat = np.asarray(value).ravel()
        for k, index in enumerate(np.ndindex(np.shape(value))):
            label = f"{name}[{','.join(map(str, index))}]" if index else name
            rows[label] = {"estimate": flat[k], "se": se[k]}
    return pd.DataFrame.from_dict(rows, orient="index")
