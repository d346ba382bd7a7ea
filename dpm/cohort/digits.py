"""How values were written down: last digits that are liked too much, and values repeated from the visit before."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline
from scipy.stats import chi2

from dpm.types import Float, Int

MOST_DECIMALS = 6
FEWEST = 50
"""Values below which last digits are not judged: fewer than five of each are expected."""

NARROW, WIDE = 10, 300
"""Interquartile range in recorded steps: below the first, last digits follow the distribution itself and are not
judged; above the second, every digit is expected equally often; in between a smooth curve says how often."""

KNOT_GAP = 7
"""Steps between knots: closer ones would follow the cycle of the digits, wider ones miss the peak of a skewed
distribution (at 10 the test rejected 11 % of rounded lognormal samples at the 5 % level, at 7 it rejects 7 %)."""


@dataclass(frozen=True, kw_only=True)
class DigitPreference:
    """Last digits of the values of one variable.

    Attributes:
        decimals: recorded precision, the place of the last digit; -1 where there are no values.
        digit: the most frequent last digit; -1 where not judged.
        share: how often it occurs; NaN where not judged.
        p: of the test that last digits come as often as a smooth distribution of values makes them; NaN likewise.
    """

    decimals: int
    digit: int
    share: float
    p: float


def recorded_decimals(values: Float[np.ndarray, " value"]) -> int:
    """The fewest decimals (0 to 6) that write at least 99 % of the values without rounding; -1 without values.

    One value in a hundred may be finer: a few converted or computed values do not set the precision of a variable.
    """
    if not len(values):
        return -1
    for decimals in range(MOST_DECIMALS):
        scaled = values * 10.0**decimals
        exact = np.abs(scaled - np.round(scaled)) <= 1e-7 * np.maximum(1.0, np.abs(scaled))
        if exact.mean() >= 0.99:
            return decimals
    return MOST_DECIMALS


def digit_preference(values: Float[np.ndarray, " value"]) -> DigitPreference:
    r"""Test the last digits of some values, at the precision they were recorded with.

    The expected count $E_k$ of digit $k$ is $n / 10$ where the interquartile range is more than 300 recorded steps.
    Where it is 10 to 300 steps, counts per step follow a Poisson regression on a cubic B-spline with knots at
    quantiles, and $E_k$ is the sum of fitted counts of the values that end in $k$: in a skewed or narrow distribution
    digits differ in frequency although nobody rounds. The statistic is Rao's score test of ten digit effects added to
    that regression, $u^\top V^- u$ with $u_k = O_k - E_k$, against $\chi^2$ with the rank of $V$ as degrees of freedom
    (nine). It takes values as independent; with several values of a subject it is a screen.

    Args:
        values: in the unit of recording, without NaN, censored values and values at a bound.
    """
    decimals = recorded_decimals(values)
    steps = np.round(values * 10.0 ** max(decimals, 0)).astype(np.int64)
    spread = float(np.subtract(*np.quantile(steps, [0.75, 0.25]))) if len(steps) else 0.0
    if len(steps) < FEWEST or spread < NARROW:
        return DigitPreference(decimals=decimals, digit=-1, share=float("nan"), p=float("nan"))
    seen = np.bincount(np.abs(steps) % 10, minlength=10).astype(np.float64)
    excess, variance = _even(seen) if spread > WIDE else _smooth(steps)
    rank = int(np.linalg.matrix_rank(variance, hermitian=True, tol=1e-6 * np.trace(variance)))
    statistic = float(excess @ np.linalg.pinv(variance, rcond=1e-6, hermitian=True) @ excess)
    digit = int(np.argmax(seen))
    share = float(seen[digit] / len(steps))
    return DigitPreference(decimals=decimals, digit=digit, share=share, p=float(chi2.sf(statistic, rank)))


def repeats_expected(differences: Int[np.ndarray, " pair"]) -> float:
    r"""Share of differences that are exactly 0 by chance, from how often they are one and two steps.

    A parabola through the frequencies at ±1 and ±2 steps gives $(4 f_1 - f_2) / 3$ at 0, where $f_k$ is the mean of the
    frequencies at $k$ and $-k$. It needs values recorded finely against their change between visits, and it is too
    low where last digits are preferred.

    Args:
        differences: between consecutive visits of a subject, in recorded steps.
    """
    if not len(differences):
        return float("nan")
    one, two = (float(np.mean(np.abs(differences) == k)) / 2 for k in (1, 2))
    return min(max((4 * one - two) / 3, 0.0), 1.0)


def _even(seen: Float[np.ndarray, " digit"]) -> tuple[np.ndarray, np.ndarray]:
    """Observed minus expected and their covariance where each digit is as likely as the others."""
    n = seen.sum()
    return seen - n / 10, n * (np.eye(10) / 10 - 0.01)


def _smooth(steps: Int[np.ndarray, " value"]) -> tuple[np.ndarray, np.ndarray]:
    """The same where a smooth curve of counts per step says how likely each digit is.

    Values beyond six interquartile ranges from the quartiles are set aside, so that the grid stays short.
    """
    low, high = np.quantile(steps, [0.25, 0.75])
    inside = steps[np.abs(steps - (low + high) / 2) <= 6.5 * (high - low)]
    grid = np.arange(inside.min(), inside.max() + 1)
    counts = np.bincount(inside - inside.min(), minlength=len(grid)).astype(np.float64)
    basis = _splines(grid.astype(np.float64), inside.astype(np.float64))
    fitted = _poisson(counts, basis)
    digits = (np.abs(grid)[:, None] % 10 == np.arange(10)).astype(np.float64)
    weighted = fitted[:, None] * basis
    across = digits.T @ weighted
    within = np.linalg.pinv(basis.T @ weighted, rcond=1e-10, hermitian=True)
    return digits.T @ (counts - fitted), digits.T @ (fitted[:, None] * digits) - across @ within @ across.T


def _splines(grid: Float[np.ndarray, " step"], values: Float[np.ndarray, " value"]) -> np.ndarray:
    """Cubic B-splines on the grid, knots at the deciles of the values and no two within `KNOT_GAP` steps."""
    knots: list[float] = []
    for knot in np.quantile(values, np.linspace(0, 1, 11)[1:-1]):
        if knot - (knots[-1] if knots else grid[0]) >= KNOT_GAP and grid[-1] - knot >= KNOT_GAP:
            knots.append(float(knot))
    full = np.concatenate([np.repeat(grid[0], 4), knots, np.repeat(grid[-1], 4)])
    return np.asarray(BSpline.design_matrix(grid, full, 3).toarray())


def _poisson(counts: Float[np.ndarray, " step"], basis: np.ndarray) -> Float[np.ndarray, " step"]:
    """Fitted counts of a Poisson regression with log link, by Newton steps that are halved when they overshoot."""
    weights = np.linalg.lstsq(basis, np.log(counts + 0.5), rcond=None)[0]
    ridge = 1e-8 * np.eye(basis.shape[1])
    best = _log_likelihood(counts, basis @ weights)
    for _ in range(200):
        fitted = np.exp(basis @ weights)
        step = np.linalg.solve(basis.T @ (fitted[:, None] * basis) + ridge, basis.T @ (counts - fitted))
        size, found = 1.0, _log_likelihood(counts, basis @ (weights + step))
        while found < best and size > 1e-8:
            size /= 2
            found = _log_likelihood(counts, basis @ (weights + size * step))
        weights, gain, best = weights + size * step, found - best, max(best, found)
        if gain < 1e-9 * (1 + abs(best)):
            break
    return np.asarray(np.exp(basis @ weights))


def _log_likelihood(counts: Float[np.ndarray, " step"], predictor: Float[np.ndarray, " step"]) -> float:
    return float(np.sum(counts * predictor - np.exp(np.minimum(predictor, 50.0))))
