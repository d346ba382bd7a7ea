"""Visual predictive check: do cohorts simulated from the model look like the one it was fitted to?"""

from collections.abc import Sequence
from itertools import pairwise

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
    times. It misleads where follow-up depends on the outcome: those who die of a fast course leave the observed
    percentiles but not the simulated ones.

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
        CheckError: no bin has enough values.
    """
    records = cohort.records(posterior.encodings)
    hierarchy = posterior.hierarchy(records)
    vectors = posterior.vectors(hierarchy, n_simulations)
    simulated = np.asarray(simulate_draws(hierarchy, vectors, records, key=key).measurement[outcome])
    time, seen, values = (np.asarray(x) for x in (records.time, records.observed[outcome], records.values[outcome]))
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
