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

ALONG = (-4.0, -3.0, -2.0, -1.25, -0.6, 0.6, 1.25, 2.0, 3.0)
"""Where the posterior is looked at, from its maximum [standard errors of the logarithm]."""

LOWER = np.arange(0.0, 3.1, 0.5)
"""How far below the maximum the bend may lie [log]."""

EVEN = 0.1
"""Least gain of evenness for which it is moved from the prior's mean."""

FINE = 400
"""Points of the curve through those values."""


def origins(surface: Surface, optimum: Optimum) -> Float[np.ndarray, " population"]:
    r"""For bent values, the logarithm at which the coordinate of `dpm.inference.bend` is zero.

    The prior's mean is right where the data say little of a spread. Where they tell it from zero, but not far, as
    $0.1 \pm 0.06$, a posterior that is normal in $s$ but for its end at zero is lopsided in the logarithm; far above
    the origin the coordinate is $s$ itself, so that it should lie below. Looked at is the posterior on the line through
    its maximum that others follow as in a normal approximation, and taken is the least lopsided.

    Args:
        surface: the posterior, in the coordinates of `optimum`.
        optimum: its maximum.
    """
    hierarchy = surface.marginal.hierarchy
    found = np.array(hierarchy.prior_centre())
    se = np.sqrt(np.diag(optimum.covariance))
    best, top = optimum.point, -float(surface.at(optimum.point).negative)
    for k in np.flatnonzero(hierarchy.near_zero() & (se > CLEAR)):
        line = optimum.covariance[:, k] / se[k]
        falls = {0.0: 0.0}
        for far in ALONG:
            surface.begin_at(optimum.effects)
            height = -float(surface.at(best + far * line).negative)
            if np.isfinite(height):
                falls[far] = height - top
        places = sorted(falls)
        grid = np.linspace(places[0], places[-1], FINE)
        log_density = CubicSpline(places, [falls[place] for place in places])(grid)
        logs = best[k] + se[k] * grid
        usual = _lopsided(logs - found[k], log_density)
        each = [_lopsided(logs - best[k] + lower, log_density) for lower in LOWER]
        if min(each) < usual - EVEN:
            found[k] = best[k] - LOWER[int(np.argmin(each))]
    return found


def _lopsided(logs: np.ndarray, log_density: np.ndarray) -> float:
    """Absolute skewness, in the bent coordinate, of a density given by that of the logarithm above its origin."""
    v = straightened(logs)
    height = log_density + np.asarray(log_slope(jnp.asarray(v)))
    weight = np.exp(height - height.max()) * np.gradient(v)
    weight /= weight.sum()
    off = v - weight @ v
    return float(abs(weight @ off**3) / (weight @ off**2) ** 1.5)
