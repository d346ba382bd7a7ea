"""Does an interval cover as often as it says? Exact binomial ranges, and when a group is too small to tell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binom

from dpm.types import Bool, Float

INSIDE, OUTSIDE, SMALL = "inside", "outside", "cannot be judged at this n"


def binomial_range(n: int, nominal: float, level: float = 0.95) -> tuple[int, int]:
    r"""The central range of the number covered among $n$ independent units if coverage is `nominal`.

    $\{k : F^{-1}(\alpha/2) \le k \le F^{-1}(1 - \alpha/2)\}$ with $F$ the binomial distribution function;
    it holds at least `level` = $1 - \alpha$.
    """
    tail = (1 - level) / 2
    return int(binom.ppf(tail, n, nominal)), int(binom.ppf(1 - tail, n, nominal))


def power_against(n: int, nominal: float, shortfall: float) -> float:
    """Probability that the covered number falls below the range when coverage is `nominal - shortfall`."""
    low, _ = binomial_range(n, nominal)
    return float(binom.cdf(low - 1, n, max(nominal - shortfall, 0.0)))


def coverage_table(
    covered: dict[float, Bool[np.ndarray, " subject"]],
    groups: dict[str, pd.Series],
    *,
    shortfall: float = 0.15,
    least_power: float = 0.5,
) -> pd.DataFrame:
    """Coverage over all and by subgroup, judged against the exact binomial range for that n.

    A group is called too small to be judged when coverage lower than nominal by `shortfall` would go unnoticed
    more often than not (probability of detection below `least_power`) and nothing was noticed.

    Args:
        covered: per nominal level, whether each subject's value fell in its interval; one value per subject.
        groups: per subgroup, each subject's level.
        shortfall, least_power: see above.

    Returns:
        columns `subgroup`, `level`, `n`, `nominal`, `covered`, `observed`, `low`, `high`, `power`, `verdict`.
    """
    n_all = len(next(iter(covered.values())))
    every = {("overall", "all"): np.ones(n_all, bool)}
    for name, values in groups.items():
        text = values.astype(str).to_numpy()
        every |= {(name, level): text == level for level in sorted(set(text))}
    rows = []
    for (subgroup, level), members in every.items():
        for nominal, hit in covered.items():
            n, k = int(members.sum()), int(hit[members].sum())
            low, high = binomial_range(n, nominal)
            power = power_against(n, nominal, shortfall)
            verdict = OUTSIDE if not low <= k <= high else (INSIDE if power >= least_power else SMALL)
            rows.append(
                {
                    "subgroup": subgroup,
                    "level": level,
                    "n": n,
                    "nominal": nominal,
                    "covered": k,
                    "observed": k / n,
                    "low": low / n,
                    "high": high / n,
                    "power": power,
                    "verdict": verdict,
                }
            )
    return pd.DataFrame(rows)


def covered_by(
    draws: Float[np.ndarray, "draw subject"], value: Float[np.ndarray, " subject"], levels: Sequence[float]
) -> dict[float, Bool[np.ndarray, " subject"]]:
    """Per level, whether each value lies in the equal-tailed interval of its predictive draws."""
    found = {}
    for level in levels:
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        found[level] = (low <= value) & (value <= high)
    return found
