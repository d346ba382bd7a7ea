"""Visual predictive check: do cohorts simulated from the model look like the one it was fitted to?"""

from collections.abc import Sequence
from itertools import pairwise

import jax
import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.errors import CheckError
from dpm.posterior.posterior import Posterior
from dpm.posterior.predict import simulate_draws
from dpm.types import Key

PERCENTILES = (5, 50, 95)


def visual_check(
    posterior: Posterior,
    cohort: Cohort,
    *,
    outcome: str,
    bins: Sequence[float],
    key: Key,
    n_simulations: int = 500,
    least: int = 20,
) -> pd.DataFrame:
    """Observed percentiles per time bin, with the 95 % interval of the same percentiles in simulated cohorts.

    Every simulation takes one population draw, new subjects with the observed covariates, and the observed visit
    times. Where values are censored, observed and simulated ones alike are taken to the highest limit below and the
    lowest limit above that any of them has, so that percentiles beyond a limit lie on it in both. It misleads where
    follow-up depends on the outcome: those who die of a fast course leave the observed percentiles but not the
    simulated ones.

    Args:
        posterior: of the model.
        cohort: the one it was fitted to.
        outcome: which.
        bins: edges of the time bins [years].
        key: for the simulations.
        n_simulations: how many cohorts.
        least: bins with fewer values are left out.

    Returns:
        columns `outcome`, `time` (mean in the bin), `bin_left`, `bin_right`, `n_subjects`, `n_values`, `percentile`,
        `observed`, `low`, `median`, `high`.

    Raises:
        CheckError: no bin has enough values, or values are known only to lie in an interval.
    """
    records = cohort.records(posterior.encodings)
    hierarchy = posterior.hierarchy(records)
    vectors = posterior.vectors(hierarchy, n_simulations, key=jax.random.fold_in(key, 1))
    simulated = np.asarray(simulate_draws(hierarchy, vectors, records, key=key).measurement[outcome])
    time, seen, values = (np.asarray(x) for x in (records.time, records.observed[outcome], records.values[outcome]))
    low_end, high_end = _limits(cohort, outcome)
    simulated, values = np.clip(simulated, low_end, high_end), np.clip(values, low_end, high_end)
    rows = []
    for left, right in pairwise(bins):
        inside = seen & (time >= left) & (time < right)
        if inside.sum() < least:
            continue
        observed = np.percentile(values[inside], PERCENTILES)
        spread = np.percentile(simulated[:, inside], PERCENTILES, axis=1)
        for percentile, value, draws in zip(PERCENTILES, observed, spread, strict=True):
            low, median, high = np.percentile(draws, [2.5, 50, 97.5])
            rows.append(
                {
                    "outcome": outcome,
                    "time": float(time[inside].mean()),
                    "bin_left": left,
                    "bin_right": right,
                    "n_subjects": int(inside.any(axis=0).sum()),
                    "n_values": int(inside.sum()),
                    "percentile": percentile,
                    "observed": value,
                    "low": low,
                    "median": median,
                    "high": high,
                }
            )
    if not rows:
        raise CheckError("vpc.bins", f"a bin with at least {least} values", "none", "Widen the bins.")
    return pd.DataFrame(rows)


def _limits(cohort: Cohort, outcome: str) -> tuple[float, float]:
    """Between them every value was measured; infinite where none is censored.

    Raises:
        CheckError: a value is known only to lie in an interval, or no value is certain to lie between the limits.
    """
    beyond = cohort.visits.loc[cohort.beyond_limits(outcome)]
    if beyond.empty:
        return -np.inf, np.inf
    how, limit = beyond[f"{outcome}_censored"], beyond[outcome]
    within = int((how == "interval").sum())
    do = "Leave this outcome out of the check: what was measured cannot be set beside what is simulated."
    if within:
        got = f"{within:,} known only to lie in an interval"
        raise CheckError(f"vpc: {outcome}", "values measured, below a limit or above one", got, do)
    low, high = float(limit[how == "below"].max()), float(limit[how == "above"].min())
    low, high = (-np.inf if np.isnan(low) else low), (np.inf if np.isnan(high) else high)
    if low >= high:
        raise CheckError(f"vpc: {outcome}", "limits below under those above", f"{low:g} and {high:g}", do)
    return low, high
