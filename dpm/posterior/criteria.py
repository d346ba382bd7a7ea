"""The marginal likelihood at its maximum, level by level of accuracy, and information criteria on it."""

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.cohort import Cohort
from dpm.inference.accuracy import described, finer
from dpm.inference.laplace import Laplace
from dpm.inference.surface import totals
from dpm.posterior.maximum import Maximum
from dpm.types import Key, Model


def likelihood_table(
    model: Model, cohort: Cohort, *, method: Laplace | None = None, levels: int = 2, key: Key
) -> pd.DataFrame:
    r"""$-2 \log L$ at the maximum, how far it is from the next level of accuracy, AIC and BIC.

    Effects are integrated out in all of them, so that the criteria compare models as populations: they ask how well
    a *new* patient is predicted. AIC is $-2 \log L + 2p$ and BIC $-2 \log L + p \log N$ with $p$ population values and
    $N$ subjects, not measurements, since subjects are what is independent. The maximum is that of the first level.

    Args:
        model: as for `fit`.
        cohort: as for `fit`.
        method: `Laplace(objective="ml")` by default.
        levels: how many, each finer than the one before; none after one that is exact.
        key: of the fit's starting points and of quasi-Monte-Carlo.

    Returns:
        index `level`; columns `deviance` ($-2 \log L$), `error` (that of the next level less this one's; not a number
        for the last), `aic`, `bic`.

    Raises:
        ModelError: the model cannot be fitted to this cohort, see `fit`.
        InferenceError: no maximum was found.
    """
    fit_key, level_key = jax.random.split(key)
    found = Maximum.of(model, cohort, method, key=fit_key)
    hierarchy, optimum, level = found.marginal.hierarchy, found.optimum, found.marginal
    names, deviance = [], []
    for _ in range(levels if hierarchy.n_effects else 1):
        names.append(described(level))
        total = totals(level, found.data, jnp.asarray(optimum.vector)[None], optimum.effects, prior=False)
        deviance.append(-2.0 * float(total[0]))
        if level.is_exact:
            break
        level = finer(level, found.data, key=jax.random.fold_in(level_key, len(names)))
    values = np.array(deviance)
    p, n = hierarchy.n_population, cohort.n_subjects
    return pd.DataFrame(
        {
            "deviance": values,
            "error": np.append(np.diff(values), np.nan),
            "aic": values + 2.0 * p,
            "bic": values + p * np.log(n),
        },
        index=pd.Index(names, name="level"),
    )
