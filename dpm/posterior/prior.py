"""What a model says before it has seen any data, and how much the data moved it."""

from functools import partial

import jax
import numpy as np
import pandas as pd

from dpm.cohort.records import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.tracing import PRIOR_DRAWS
from dpm.posterior.posterior import Posterior, unconstrained
from dpm.posterior.predict import predict_population
from dpm.types import Array, Float, Key, Model

LEARNED = 0.1
"""A value of which the data took away less than this share of its prior variance is told by its prior."""

TOGETHER = 0.2
"""A combination of values, each of which the data tell, is told by its prior under this share; higher, since it is the
extreme of several and is read from draws."""

PERCENTILES = (5, 25, 50, 75, 95)


def prior_vectors(hierarchy: Hierarchy, records: Records, count: int, *, key: Key) -> Float[Array, "draw population"]:
    """Draws of the population values from their priors, unconstrained; zero where a prior is flat."""
    return unconstrained(hierarchy.draw(records, jax.random.split(key, count)), hierarchy)


def information(posterior: Posterior, records: Records, *, key: Key) -> pd.DataFrame:
    r"""How much the data tell of each population value, against its prior.

    $$1 - \mathrm{var}(\varphi \mid y) / \mathrm{var}(\varphi)$$

    on the scale without bounds: one for a value that the data fix, zero for one that they do not identify, where the
    posterior is the prior again.

    Args:
        posterior: of the fit.
        records: of the fit, `cohort.records(posterior.encodings)`.
        key: of draws from the prior.

    Returns:
        Columns `name`, `prior_sd`, `posterior_sd`, `learned`; flat priors are left out.

    Raises:
        PosteriorError: the posterior is not of this model.

    Source: Betancourt 2018, "Calibrating Model-Based Inferences and Decisions", section 3.1 (posterior contraction).
    """
    hierarchy = posterior.hierarchy(records)
    prior = np.asarray(prior_vectors(hierarchy, records, PRIOR_DRAWS, key=key)).std(axis=0)
    told = np.asarray(posterior.vectors(hierarchy)).std(axis=0)
    table = pd.DataFrame({"name": hierarchy.population_names(), "prior_sd": prior, "posterior_sd": told})
    table = table[table["prior_sd"] > 0].reset_index(drop=True)
    return table.assign(learned=1.0 - (table["posterior_sd"] / table["prior_sd"]) ** 2)


def told_by_prior(table: pd.DataFrame) -> tuple[str, ...]:
    """A sentence on the values that the data hardly tell; none where they tell all of them."""
    weak = table.loc[table["learned"] < LEARNED, "name"]
    if weak.empty:
        return ()
    return (
        f"The data hardly tell {', '.join(weak)}: less than {LEARNED:.0%} of the prior variance is gone. What rests on "
        "these values rests on their priors.",
    )


def told_together(posterior: Posterior, records: Records, *, key: Key) -> tuple[str, ...]:
    r"""A sentence on values of which the data tell a combination alone; none where they tell each.

    Of two values that enter as their sum, each loses half of its prior variance and their difference nothing. Among
    values that are each learned, in prior sds, a principal axis $v$ of the posterior is looked at where
    $\mathrm{var}(v^\top\varphi \mid y) / \mathrm{var}(v^\top\varphi)$ is near one.

    Args:
        posterior: of the fit.
        records: of the fit, `cohort.records(posterior.encodings)`.
        key: of draws from the prior.
    """
    hierarchy = posterior.hierarchy(records)
    prior = np.asarray(prior_vectors(hierarchy, records, PRIOR_DRAWS, key=key))
    told = np.asarray(posterior.vectors(hierarchy))
    scale = prior.std(axis=0)
    learned = 1.0 - (told.std(axis=0) / np.where(scale > 0, scale, np.inf)) ** 2
    chosen = np.flatnonzero((scale > 0) & (learned >= LEARNED))
    if chosen.size < 2:
        return ()
    before, after = (draws[:, chosen] / scale[chosen] for draws in (prior, told))
    _, axes = np.linalg.eigh(np.cov(after, rowvar=False))
    kept = (after @ axes).var(axis=0) / (before @ axes).var(axis=0)
    names = np.array(hierarchy.population_names())[chosen]
    found = [
        ", ".join(names[np.abs(axes[:, k]) > 0.3])
        for k in np.flatnonzero(kept > 1.0 - TOGETHER)
        if np.isfinite(kept[k])
    ]
    return tuple(
        f"The data tell only a combination of {of}: along another, less than {TOGETHER:.0%} of the prior variance is "
        "gone. What rests on each of these values rests on their priors."
        for of in found
    )


def prior_predictive(model: Model, records: Records, *, key: Key, draws: int = 200) -> pd.DataFrame:
    """Percentiles of measurements that a model expects before it has seen any.

    Each draw takes population values from their priors and new subjects with the covariates and visit times of
    `records`; percentiles are over draws and subjects at each visit.

    Args:
        model: any callable that keeps the subject-plate rule, without flat priors.
        records: whose subjects and times; their measurements are not used.
        key: of the draws.
        draws: from the prior.

    Returns:
        Columns `outcome`, `visit` (counted from 0), `time` [years, the median over subjects], `percentile`, `value`.
    """
    hierarchy = Hierarchy.of(model, records)
    prior_key, course_key = jax.random.split(key)
    vectors = prior_vectors(hierarchy, records, draws, key=prior_key)
    drawn = _measured(vectors, records.at(records.time), course_key, hierarchy)
    time = np.median(np.asarray(records.time), axis=1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "outcome": outcome,
                    "visit": np.arange(len(time)),
                    "time": time,
                    "percentile": percentile,
                    "value": np.nanpercentile(np.asarray(values), percentile, axis=(0, 2)),
                }
            )
            for outcome, values in drawn.items()
            for percentile in PERCENTILES
        ],
        ignore_index=True,
    )


@partial(jax.jit, static_argnums=3)
def _measured(vectors: Array, records: Records, key: Key, hierarchy: Hierarchy) -> dict[str, Array]:
    """A measurement of every subject at each draw; events, which cost far more to draw, are never computed."""

    def one(vector: Array, own: Key) -> dict[str, Array]:
        return dict(predict_population(hierarchy, vector, records, key=own).measurement)

    return jax.vmap(one)(vectors, jax.random.split(key, len(vectors)))
