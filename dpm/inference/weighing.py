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
from dpm.inference.guide import Effects, Guide, Parameters, Structured, Vector
from dpm.inference.importance import LARGEST_PARETO_K, smoothed
from dpm.inference.marginal import Marginal
from dpm.inference.whitening import Whitening
from dpm.types import Array, Float, Int, Key, PerSubject

MOST_CHECKED = 1000
"""Subjects, evenly spaced, whose own weights are looked at."""


class Weighing(NamedTuple):
    """Draws of a guide and what their weights say.

    Attributes:
        u, w: the draws, in whitened variables.
        share: smoothed weight of each, summing to one; not to be used where `pareto_k` is above 0.7.
        pareto_k: shape of the tail of the weights that decide: of the population values alone for a guide by subject,
            of everything for another; infinite where a weight could not be computed.
        pareto_k_joint: of the weights of everything.
        pareto_k_subjects: per subject looked at, of the weights of its effects given the population values.
        subjects: which these are, by position.
        lost: draws whose deciding weight could not be computed.
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
    def unreliable_subjects(self) -> Int[np.ndarray, " unreliable"]:
        """Positions of subjects whose conditional the guide does not reach."""
        return self.subjects[~(self.pareto_k_subjects <= LARGEST_PARETO_K)]


class _Ratios(NamedTuple):
    u: Array
    w: Array
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
    r"""Weights $p(y, b, \varphi)/q(b, \varphi)$ of everything; for a guide by subject those of its two parts also.

    The tail of the weights of everything grows with every subject's effects, so that no guide of a large cohort
    passes by them. A guide by subject has parts that can be weighed alone: $p(\varphi)\,p(y \mid \varphi)/q(\varphi)$
    with the effects integrated out by `marginal`, in as many dimensions as there are population values, and
    $p(b_i \mid y_i, \varphi)/q(b_i \mid \varphi)$ of each subject, in as many as it has effects.
    """
    checked = np.unique(np.linspace(0, records.n_subjects - 1, MOST_CHECKED).round().astype(int))
    keys = jax.random.split(key, count)
    found = _ratios(keys, parameters, whitening, records, jnp.asarray(checked), target, marginal)
    ratios = {name: np.asarray(getattr(found, name)) for name in ("joint", "population", "subjects")}
    joint_share, joint_k = _tail(ratios["joint"])
    by_subject = isinstance(target.guide, Structured)
    share, k = _tail(ratios["population"]) if by_subject else (joint_share, joint_k)
    each = [_tail(column)[1] for column in ratios["subjects"].T] if by_subject and target.shape.effects else []
    return Weighing(
        u=found.u,
        w=found.w,
        share=share,
        pareto_k=k,
        pareto_k_joint=joint_k,
        pareto_k_subjects=np.array(each, dtype=float),
        subjects=checked[: len(each)],
        lost=int((~np.isfinite(ratios["population" if by_subject else "joint"])).sum()),
        narrow=_narrow(np.asarray(found.u @ whitening.spread.T), share),
    )


def _tail(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Smoothed weights and their k; equal weights and infinity where some cannot be computed."""
    if not np.all(np.isfinite(log_weights)):
        return np.full(log_weights.shape, 1.0 / log_weights.size), np.inf
    return smoothed(log_weights)


def _narrow(vectors: np.ndarray, share: np.ndarray) -> float:
    centre = share @ vectors
    return float(np.sqrt(share @ (vectors - centre) ** 2 / vectors.var(axis=0)).max())


@partial(jax.jit, static_argnums=(5, 6))
def _ratios(
    keys: Array,
    parameters: dict[str, Parameters],
    whitening: Whitening,
    records: Data,
    checked: Array,
    target: Target,
    marginal: Marginal,
) -> _Ratios:
    guide: Guide = target.guide

    def one(key: Key) -> _Ratios:
        u, w = guide.sample(parameters, target.shape, key=key)
        log_p = log_joint(target.hierarchy, whitening, records, u, w)
        joint = log_p - guide.log_density(parameters, u, w)
        if not isinstance(guide, Structured):
            return _Ratios(u, w, joint, joint, joint[None])
        population, subjects = _by_part(guide, parameters, whitening, records, marginal, u, w)
        return _Ratios(u, w, joint, population, subjects[checked])

    return lax.map(one, keys, batch_size=batch_size(len(keys)))


def _by_part(
    guide: Structured,
    parameters: dict[str, Parameters],
    whitening: Whitening,
    records: Data,
    marginal: Marginal,
    u: Vector,
    w: Effects,
) -> tuple[Float[Array, ""], PerSubject]:
    """Log weights of the population values, and of each subject's effects given them."""
    vector, effects, _ = whitening.colour(u, w)
    _, start, _ = whitening.colour(u, guide.centre(parameters, u))
    each, _ = marginal.log_marginal(vector, records, start)
    hierarchy = marginal.hierarchy
    log_p = jnp.sum(each) + hierarchy.log_population(vector, records, prior=True) + log_unit(whitening)
    log_q = guide.log_subjects(parameters, u, w) - whitening.log_volumes(u)
    subjects = hierarchy.log_subject(hierarchy.constrain(vector), effects, records) - each - log_q
    return log_p - guide.log_population(parameters, u), subjects
