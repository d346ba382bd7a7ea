"""Are ranks uniform? Their empirical distribution function against simultaneous bands (Säilynoja et al. 2022)."""

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import binom

SAMPLES = 20_000
"""Uniform samples from which the distribution of the statistic is read."""


def fractions(ranks: np.ndarray, of: np.ndarray, *, seed: int) -> np.ndarray:
    r"""$(r + u)/(L + 1)$ with $u$ uniform on (0, 1): uniform, whatever $L$, where $r$ is uniform on $0, \dots, L$."""
    return (ranks + np.random.default_rng(seed).random(np.shape(ranks))) / (of + 1.0)


def statistic(fractions: np.ndarray) -> np.ndarray:
    r"""The smallest tail probability of the empirical distribution function over a grid.

    At $z_k = k/n$, $n F(z_k) \sim \mathrm{Binomial}(n, z_k)$. Small where ranks bunch, in the middle or at an end.

    Args:
        fractions: samples in rows.

    Source: Säilynoja, Bürkner & Vehtari 2022, Statistics and Computing 32, 32, doi 10.1007/s11222-022-10090-6.
    """
    n = fractions.shape[-1]
    grid = np.arange(1, n) / n
    placed = np.ceil(fractions * n).astype(int) - 1  # the first grid point at or above each value
    counts = np.stack([np.bincount(row, minlength=n)[: n - 1].cumsum() for row in np.atleast_2d(placed)])
    low, high = _tails(n)
    at = np.arange(len(grid))
    return np.minimum(low[counts, at], high[counts, at]).min(axis=1)


@lru_cache
def _tails(n: int) -> tuple[np.ndarray, np.ndarray]:
    """P(X <= c) and P(X >= c) for every count, in rows, and every grid point."""
    counts, grid = np.arange(n + 1)[:, None], np.arange(1, n) / n
    return binom.cdf(counts, n, grid), binom.sf(counts - 1, n, grid)


@lru_cache
def _null(n: int) -> np.ndarray:
    """The statistic of uniform samples of this size, in order."""
    return np.sort(statistic(np.random.default_rng(n).random((SAMPLES, n))))


def p_value(fractions: np.ndarray) -> float:
    """Of the hypothesis that a sample is uniform."""
    null = _null(len(fractions))
    return float((np.searchsorted(null, statistic(fractions)[0], side="right") + 1) / (len(null) + 1))


def band(n: int, probability: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grid, lowest and highest value of the empirical distribution function within the simultaneous band."""
    least = np.quantile(_null(n), 1.0 - probability)
    low, high = (tail >= least for tail in _tails(n))
    inside = low & high
    return np.arange(1, n) / n, inside.argmax(axis=0) / n, (n - inside[::-1].argmax(axis=0)) / n


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Per world, engine and quantity, from a row per fit and quantity with `fraction`.

    Returns:
        `world`, `engine`, `quantity`, `n`, `p`, and of the fractions `mean` (0.5 if unbiased) and `spread`, their sd
        over that of a uniform variable (above one: intervals too narrow).
    """
    found = []
    for (world, engine, quantity), part in rows.groupby(["world", "engine", "quantity"], sort=False):
        values = part["fraction"].to_numpy()
        spread = float(values.std() * np.sqrt(12.0))
        found.append((world, engine, quantity, len(values), p_value(values), float(values.mean()), spread))
    return pd.DataFrame(found, columns=["world", "engine", "quantity", "n", "p", "mean", "spread"])
