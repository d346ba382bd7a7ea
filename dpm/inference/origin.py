"""Where the bend of a spread's coordinate lies: so that the posterior along it is even on both sides."""

import numpy as np
from jax import numpy as jnp
from scipy.interpolate import CubicSpline

from dpm.inference.bend import log_slope, straightened
from dpm.inference.laplace import Optimum
from dpm.inference.surface import Surface
from dpm.types import Float

CLEAR = 0.2
"""Standard error of the logarithm of a spread below which it is far from zero, and is left at the prior's mean."""

ALONG = (-5.0, -3.0, -1.5, 0.0, 1.0, 2.0, 3.0)
"""Where the posterior is looked at, from its maximum [standard errors of the logarithm]."""

LOWER = np.arange(0.0, 3.1, 0.5)
"""How far below the maximum the bend may lie [log]."""

STEP = 1e-3
"""Of the differences that it is taken from [standard errors]."""

BEYOND = 3.0
"""How far to the left of these the density is continued [log]."""

NEWTON = 4
"""Evaluations on the way from the line to the maximum of all other values."""

SETTLED = 0.1
"""Squared Newton decrement at the last of these above which there is no such maximum nearby."""

EVEN = 0.1
"""Least gain of evenness for which it is moved from the prior's mean."""

FEWEST = 4
"""Places that a curve can be drawn through."""

FINE = 400
"""Points of the curve through those values."""


def origins(surface: Surface, optimum: Optimum) -> Float[np.ndarray, " population"]:
    r"""For bent values, the logarithm at which the coordinate of `dpm.inference.bend` is zero.

    The prior's mean is right where the data say little of a spread. Where they tell it from zero, but not far, as
    $0.1 \pm 0.06$, a posterior that is normal in $s$ but for its end at zero is lopsided in the logarithm; far above
    the origin the coordinate is $s$ itself, so that it should lie below. Taken is the place where Laplace's
    approximation of the marginal density, with all other values integrated out, is the least lopsided. Spreads of
    levels of a group stay at the prior's mean: few levels tell their logarithm about as well on both sides.

    Args:
        surface: the posterior, in the coordinates of `optimum`.
        optimum: its maximum.
    """
    hierarchy = surface.marginal.hierarchy
    found = np.array(hierarchy.prior_centre())
    se = np.sqrt(np.diag(optimum.covariance))
    of_levels = np.isin(np.arange(se.size), optimum.coordinates.spread[optimum.coordinates.scaled])
    for k in np.flatnonzero(hierarchy.near_zero() & (se > CLEAR) & ~of_levels):
        best, curve = float(optimum.point[k]), _marginal(surface, optimum, int(k))
        if curve is None:
            continue
        grid, log_density = curve
        logs = best + se[k] * grid
        usual = _lopsided(logs - found[k], log_density)
        each = [_lopsided(logs - best + lower, log_density) for lower in LOWER]
        if min(each) < usual - EVEN:
            found[k] = best - LOWER[int(np.argmin(each))]
    return found


def _marginal(surface: Surface, optimum: Optimum, k: int) -> tuple[np.ndarray, np.ndarray] | None:
    r"""Log density of one coordinate, from its maximum [standard errors], up to a constant; None where it has too few.

    $\log p(x_k, \hat x_{-k}(x_k) \mid y) - \tfrac12 \log |H_{-k}|$, as Tierney and Kadane (1986,
    doi 10.1080/01621459.1986.10478240) have it; $\hat x_{-k}$ lies Newton steps away from the line that the others
    follow in the normal approximation.
    """
    se = np.sqrt(optimum.covariance[k, k])
    found = {far: value for far in ALONG if np.isfinite(value := _height(surface, optimum, k, far))}
    if len(found) < FEWEST:
        return None
    first = min(found)
    # Towards zero the density of the spread itself is flat, and that of its logarithm falls as the spread.
    grid = np.linspace(first - BEYOND / se, max(found), FINE)
    curve = CubicSpline(list(found), list(found.values()))(np.maximum(grid, first))
    return grid, curve - se * np.maximum(first - grid, 0.0)


def _height(surface: Surface, optimum: Optimum, k: int, far: float) -> float:
    """One value of `_marginal`; not a number where it cannot be computed."""
    se = np.sqrt(np.diag(optimum.covariance))
    rest = np.delete(np.arange(se.size), k)
    surface.begin_at(optimum.effects)
    point = optimum.point + far * optimum.covariance[:, k] / se[k]
    information = surface.information(point, STEP * se, both=False)[np.ix_(rest, rest)]
    if not np.all(np.isfinite(information)):
        return np.nan
    sign, log_determinant = np.linalg.slogdet(information)
    if not sign > 0:
        return np.nan
    for _ in range(NEWTON):
        found = surface.at(point)
        step = np.linalg.solve(information, np.asarray(found.slope)[rest])
        decrement = float(np.asarray(found.slope)[rest] @ step)
        point[rest] -= step
    return -float(found.negative) - 0.5 * float(log_determinant) if decrement < SETTLED else np.nan


def _lopsided(logs: np.ndarray, log_density: np.ndarray) -> float:
    """Absolute skewness, in the bent coordinate, of a density given by that of the logarithm above its origin."""
    v = straightened(logs)
    height = log_density + np.asarray(log_slope(jnp.asarray(v)))
    weight = np.exp(height - height.max()) * np.gradient(v)
    weight /= weight.sum()
    off = v - weight @ v
    return float(abs(weight @ off**3) / (weight @ off**2) ** 1.5)
