"""Importance weights between the normal approximation of population values and their posterior."""

from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.coordinates import Coordinates
from dpm.inference.marginal import Marginal
from dpm.inference.surface import totals
from dpm.types import Array, Float, Key

FREEDOM, WIDER = 12.0, 1.05
"""Of the proposals: degrees of freedom, and their spread over that of the normal approximation."""

LARGEST_PARETO_K = 0.7
"""Above it, the mean of importance weights cannot be relied on (Vehtari et al. 2024, JMLR 25(72))."""

FEWEST = 30
"""Weights that a tail can be fitted to."""

LEAST_SPREAD = 1e-6
"""Log weights that differ by less are equal but for rounding, and no tail can be fitted to them."""


class Weighted(NamedTuple):
    """Resampled draws of population values.

    Attributes:
        vectors: unconstrained scale.
        pareto_k: shape of the tail of the weights.
        effective: proposals as good as this many draws of the posterior, by the smoothed weights.
    """

    vectors: Float[Array, "draw population"]
    pareto_k: float
    effective: float


def resample(
    marginal: Marginal,
    records: Data,
    *,
    centre: np.ndarray,
    coordinates: Coordinates,
    covariance: np.ndarray,
    effects: np.ndarray,
    proposals: int,
    count: int,
    key: Key,
) -> Weighted:
    r"""Draws of $p(\varphi \mid y)$: a multivariate $t$ around the maximum, $q$, with weights
    $p(\varphi)\,p(y \mid \varphi) / q(\varphi)$.

    Weights are Pareto-smoothed and `count` proposals resampled. What is left of the approximation is that of the
    marginal likelihood: none for effects that enter linearly with normal noise, else that of the marginal's level.

    Args:
        marginal: of the subjects' effects, at its level.
        records: the data.
        centre, covariance: the maximum of the posterior and the inverse information there, in `coordinates`.
        coordinates: in which proposals are made.
        effects: conditional modes at the maximum, where every inner search starts.
        proposals: how many to weigh.
        count: how many to keep.
        key: for proposals and resampling.

    Raises:
        InferenceError: the marginal of a proposal cannot be computed, or the weights are too uneven (Pareto k).
    """
    proposal_key, choice_key = jax.random.split(key)
    points, log_density = _propose(centre, covariance, proposals, key=proposal_key)
    vectors, log_volume = coordinates.all_values(points)
    log_proposal = log_density - np.asarray(log_volume)
    log_weights = totals(marginal, records, vectors, effects, prior=True) - log_proposal
    lost = int(np.isnan(log_weights).sum())
    do = "Sample with NUTS() instead."
    if lost:
        expected = "a marginal likelihood at every proposal around the maximum"
        raise InferenceError("Laplace(importance=...)", expected, f"none at {lost} of {proposals}", do)
    share, k = smoothed(log_weights)
    if not k <= LARGEST_PARETO_K:
        expected = f"weights with a Pareto k of at most {LARGEST_PARETO_K}"
        raise InferenceError("Laplace(importance=...)", expected, f"{k:.2f}: far from normal", do)
    chosen = jax.random.choice(choice_key, proposals, (count,), p=jnp.asarray(share))
    return Weighted(vectors[chosen], k, effective_size(share))


def smoothed(log_weights: Float[np.ndarray, " draw"]) -> tuple[Float[np.ndarray, " draw"], float]:
    """Pareto-smoothed weights that sum to one, and the shape k of their tail (Vehtari et al. 2024, JMLR 25(72)).

    Equal weights have no tail: their k is minus infinity. That of fewer than `FEWEST` cannot be told, nor that of the
    largest where these are all equal, as of a chain that stands still: it is infinite, and nothing is smoothed.
    """
    if np.ptp(log_weights) < LEAST_SPREAD:
        return np.full(log_weights.shape, 1.0 / log_weights.size), -np.inf
    share = np.exp(log_weights - np.max(log_weights))
    plain = share / share.sum(), np.inf
    if log_weights.size < FEWEST:
        return plain
    from arviz_stats.base.array import array_stats  # a second of imports, and not on every machine with a GPU

    try:
        # It takes log likelihoods, whose weights are their inverse.
        log_smoothed, k = array_stats.psislw(-log_weights)
    except ValueError:  # "All tail values are the same"
        return plain
    share = np.exp(log_smoothed - np.max(log_smoothed))
    return share / share.sum(), float(k)


def ratios_of_sd(
    vectors: Float[np.ndarray, "draw population"], share: Float[np.ndarray, " draw"]
) -> Float[np.ndarray, " population"]:
    """Of each value, the sd of draws under weights that sum to one over their sd without."""
    return np.sqrt(share @ (vectors - share @ vectors) ** 2 / vectors.var(axis=0))


def effective_size(share: Float[np.ndarray, " draw"]) -> float:
    """Of importance weights that sum to one."""
    return float(1.0 / (share**2).sum())


def _propose(
    centre: np.ndarray, covariance: np.ndarray, count: int, *, key: Key
) -> tuple[Float[Array, "draw population"], Float[np.ndarray, " draw"]]:
    """Multivariate t draws and their log densities up to a constant."""
    normal_key, gamma_key = jax.random.split(key)
    size = centre.size
    mixing = np.asarray(jax.random.gamma(gamma_key, FREEDOM / 2, (count, 1))) / (FREEDOM / 2)
    t = np.asarray(jax.random.normal(normal_key, (count, size))) / np.sqrt(mixing)
    log_density = -(FREEDOM + size) / 2 * np.log1p((t**2).sum(axis=1) / FREEDOM)
    return jnp.asarray(centre + WIDER * t @ np.linalg.cholesky(covariance).T), log_density
