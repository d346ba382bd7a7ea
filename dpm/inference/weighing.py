"""How far a guide is from the posterior, by importance weights of its own draws."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference.batching import batch_size
from dpm.inference.elbo import Target, log_joint, log_unit
from dpm.inference.guide import Parameters, Structured
from dpm.inference.importance import LARGEST_PARETO_K, ratios_of_sd, smoothed
from dpm.inference.marginal import Marginal
from dpm.inference.whitening import Whitening
from dpm.types import Array, Float, Int, Key

MOST_CHECKED = 1000
"""Subjects, evenly spaced, whose own weights are looked at."""


LARGEST_WIDENING = 1.5
"""Above this ratio of a weighted sd to the guide's own the weights are not relied on either.

A Pareto k below 0.7 alone lets pass, one time in five, a normal guide whose sd is 0.3 of the posterior's, and the
weights of 2,000 draws then bring it to 0.56. With this bound too, what passes is 0.6 of the posterior's or wider, and
weights bring it to 0.9 or more (`tests/inference/test_weighing.py`).
"""


class Weighing(NamedTuple):
    """Draws of a guide and what their weights say.

    Attributes:
        u, w: the draws, in whitened variables.
        share: smoothed weight of each, summing to one: of the population values for a guide by subject, of everything
            for another; not to be used unless `reliable`.
        pareto_k: shape of the tail of the weights that decide, those of the population values; for a guide that is not
            by subject the larger of this and `pareto_k_joint`. Infinite where a weight could not be computed.
        pareto_k_joint: of the weights of everything.
        pareto_k_subjects: per subject looked at, of the weights of its effects given the population values.
        subjects: which these are, by position.
        lost: draws whose weight of population values could not be computed.
        narrow: largest ratio over population values, on the unconstrained scale, of the weighted sd to the guide's.
    """

    u: Float[Array, "draw population"]
    w: Float[Array, "draw effect subject"]
    share: Float[np.ndarray, " draw"]
    pareto_k: float
    pareto_k_joint: float
    pareto_k_subjects: Float[np.ndarray, " checked"]
    subjects: Int[np.ndarray, " checked"]
    lost: int
    narrow: float

    @property
    def reliable(self) -> bool:
        """Whether draws resampled by these weights may stand for the posterior."""
        return reliable(self.pareto_k, self.narrow)

    @property
    def unreliable_subjects(self) -> Int[np.ndarray, " unreliable"]:
        """Positions of subjects whose conditional the guide does not reach."""
        return self.subjects[~(self.pareto_k_subjects <= LARGEST_PARETO_K)]


def reliable(pareto_k: float, narrow: float) -> bool:
    """Whether weights with this tail, which widen an sd by this ratio, may be relied on."""
    return bool(pareto_k <= LARGEST_PARETO_K and narrow <= LARGEST_WIDENING)


class _Ratios(NamedTuple):
    joint: Array
    population: Array
    subjects: Array


def weigh(
    target: Target,
    parameters: dict[str, Parameters],
    marginal: Marginal,
    whitening: Whitening,
    records: Data,
    *,
    count: int,
    key: Key,
) -> Weighing:
    r"""Weights $p(y, b, \varphi)/q(b, \varphi)$ of everything, and $p(\varphi)\,p(y \mid \varphi)/q(\varphi)$.

    The tail of the former grows with every subject's effects, so that no guide of a large cohort passes by them. The
    latter, with the effects integrated out by `marginal`, have as many dimensions as there are population values. A
    guide by subject has a second part that can be weighed alone, $p(b_i \mid y_i, \varphi)/q(b_i \mid \varphi)$ of each
    subject, in as many dimensions as it has effects.
    """
    checked = np.unique(np.linspace(0, records.n_subjects - 1, MOST_CHECKED).round().astype(int))
    keys = jax.random.split(key, count)
    u, w, found = _ratios(keys, parameters, whitening, records, jnp.asarray(checked), target, marginal)
    ratios = {name: np.asarray(getattr(found, name)) for name in ("joint", "population", "subjects")}
    joint_share, joint_k = smoothed_or_lost(ratios["joint"])
    share, k = smoothed_or_lost(ratios["population"])
    by_subject = isinstance(target.guide, Structured)
    checkable = by_subject and target.shape.effects > 0
    each = [smoothed_or_lost(column)[1] for column in ratios["subjects"].T] if checkable else []
    return Weighing(
        u=u,
        w=w,
        share=share if by_subject else joint_share,
        pareto_k=k if by_subject else max(k, joint_k),
        pareto_k_joint=joint_k,
        pareto_k_subjects=np.array(each, dtype=float),
        subjects=checked[: len(each)],
        lost=int((~np.isfinite(ratios["population"])).sum()),
        narrow=widening(np.asarray(u @ whitening.spread.T), share),
    )


def smoothed_or_lost(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Smoothed weights and their k; equal weights and infinity where some cannot be computed."""
    if not np.all(np.isfinite(log_weights)):
        return np.full(log_weights.shape, 1.0 / log_weights.size), np.inf
    return smoothed(log_weights)


def widening(vectors: np.ndarray, share: np.ndarray) -> float:
    """Largest ratio over values of the weighted sd of draws to their own."""
    return float(ratios_of_sd(vectors, share).max())


@partial(jax.jit, static_argnums=(5, 6))
def _ratios(
    keys: Array,
    parameters: dict[str, Parameters],
    whitening: Whitening,
    records: Data,
    checked: Array,
    target: Target,
    marginal: Marginal,
) -> tuple[Array, Array, _Ratios]:
    guide, hierarchy = target.guide, target.hierarchy

    def one(key: Key) -> _Ratios:
        u, w = guide.sample(parameters, target.shape, key=key)
        joint = log_joint(hierarchy, whitening, records, u, w) - guide.log_density(parameters, u, w)
        vector, effects, _ = whitening.colour(u, w)
        _, start, _ = whitening.colour(u, guide.centre(parameters, u, target.shape))
        each, _ = marginal.log_marginal(vector, records, start)
        log_volume = log_unit(whitening) + whitening.population(u)[2]
        log_p = jnp.sum(each) + hierarchy.log_population(vector, records, prior=True) + log_volume
        population = log_p - guide.log_population(parameters, u)
        if not isinstance(guide, Structured):
            return _Ratios(joint, population, joint[None])
        log_q = guide.log_subjects(parameters, u, w) - whitening.log_volumes(u)
        subjects = hierarchy.log_subject(hierarchy.constrain(vector), effects, records) - each - log_q
        return _Ratios(joint, population, subjects[checked])

    u, w = jax.vmap(lambda key: guide.sample(parameters, target.shape, key=key))(keys)
    # Sampled again where they are weighed: the map takes no array without elements, such as no effects.
    return u, w, lax.map(one, keys, batch_size=batch_size(len(keys)))
