"""Linear mixed models by statsmodels: a second program, independent of dpm's own engine."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from dpm.cohort.cohort import Cohort
from dpm.errors import ControlError


class MixedFit(NamedTuple):
    """Fixed effects of a linear mixed model with random level and slope, by maximum likelihood.

    Attributes:
        coefficients: by name.
        covariance: of the coefficients.
        log_likelihood: at the maximum.
    """

    coefficients: pd.Series
    covariance: pd.DataFrame
    log_likelihood: float

    def contrast(self, weights: Mapping[str, float]) -> tuple[float, float]:
        """A weighted sum of coefficients, and its standard error."""
        w = pd.Series(dict(weights), dtype=float).reindex(self.coefficients.index, fill_value=0.0)
        return float(w @ self.coefficients), float(np.sqrt(w @ self.covariance @ w))


def mixed_model(cohort: Cohort, outcome: str, treated: pd.Series | None = None) -> MixedFit:
    r"""$y_{ij} = \beta_0 + \beta_1 t_{ij} (+ \beta_2 A_i + \beta_3 A_i t_{ij}) + b_{0i} + b_{1i} t_{ij} + \varepsilon_{ij}$.

    Args:
        cohort: every measured visit is used.
        outcome: $y$.
        treated: $A$, 0 or 1 by subject; without it the arm terms are left out.

    Raises:
        ControlError: the fit did not converge.
    """
    visits = cohort.visits[cohort.visits[outcome].notna()]
    design = pd.DataFrame({"level": 1.0, "years": visits["time"]})
    if treated is not None:
        arm = visits["subject"].map(treated).astype(float).to_numpy()
        design = design.assign(treated=arm, treated_years=arm * visits["time"])
    # Years are scaled for the optimiser only: slopes an order smaller than levels stall it.
    random_part = np.column_stack([np.ones(len(visits)), visits["time"] / 5.0])
    model = MixedLM(visits[outcome].to_numpy(), design.to_numpy(), visits["subject"].to_numpy(), exog_re=random_part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = model.fit(reml=False, method=["lbfgs", "bfgs"], maxiter=500)
    if not result.converged:
        raise ControlError("mixed model", "convergence", "none", "Check the outcome for outliers or too few repeated visits.")
    names = list(design.columns)
    covariance = pd.DataFrame(np.asarray(result.cov_params())[: len(names), : len(names)], names, names)
    return MixedFit(pd.Series(np.asarray(result.fe_params), names), covariance, float(result.llf))
