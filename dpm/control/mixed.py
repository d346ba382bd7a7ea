"""Linear mixed models by statsmodels: a second program, independent of dpm's own engine."""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from dpm.errors import ControlError


class MixedFit(NamedTuple):
    """Fixed effects of a linear mixed model with random level and slope, by maximum likelihood.

    Attributes:
        estimate, se: by column of the design.
        log_likelihood: at the maximum.
    """

    estimate: pd.Series
    se: pd.Series
    log_likelihood: float


def mixed_model(visits: pd.DataFrame, outcome: str, design: pd.DataFrame) -> MixedFit:
    r"""$y_{ij} = x_{ij}^\top \beta + b_{0i} + b_{1i} t_{ij} + \varepsilon_{ij}$, with $b_i \sim N(0, \Omega)$.

    Args:
        visits: `subject`, `time` and the outcome, measured in every row.
        outcome: $y$.
        design: $x$, a column per coefficient, a row per visit.

    Raises:
        ControlError: the fit did not converge.
    """
    # Years are scaled for the optimiser only: slopes an order smaller than levels stall it.
    random_part = np.column_stack([np.ones(len(visits)), visits["time"] / 5.0])
    model = MixedLM(visits[outcome].to_numpy(), design.to_numpy(), visits["subject"].to_numpy(), exog_re=random_part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = model.fit(reml=False, method=["lbfgs", "bfgs"], maxiter=500)
    if not result.converged:
        do = "Check the outcome for outliers or too few repeated visits."
        raise ControlError("mixed model", "convergence", "none", do)
    names = list(design.columns)
    return MixedFit(
        pd.Series(np.asarray(result.fe_params), names), pd.Series(np.asarray(result.bse_fe), names), float(result.llf)
    )


def straight_lines(visits: pd.DataFrame, treated: pd.Series | None = None) -> pd.DataFrame:
    """Design `level`, `years`, and with `treated` (0 or 1 by subject) also `treated`, `treated_years`."""
    design = pd.DataFrame({"level": 1.0, "years": visits["time"]})
    if treated is None:
        return design
    arm = visits["subject"].map(treated).astype(float)
    return design.assign(treated=arm, treated_years=arm * visits["time"])


def visit_means(visits: pd.DataFrame, planned: np.ndarray, treated: pd.Series) -> pd.DataFrame:
    """Design with a mean per planned visit and a treatment effect per planned visit after the first.

    Columns `visit_<k>` and `treated_<k>`, k the position in `planned`; a visit belongs to the planned time nearest to
    it. Both arms share the first mean: the constrained longitudinal analysis of Liang & Zeger 2000 (Sankhyā B 62,
    134-148), which adjusts for baseline without dropping anyone.
    """
    nearest = np.abs(visits["time"].to_numpy()[:, None] - planned[None, :]).argmin(axis=1)
    arm = visits["subject"].map(treated).to_numpy(dtype=float)
    columns = {f"visit_{k}": (nearest == k).astype(float) for k in range(len(planned))}
    columns |= {f"treated_{k}": arm * (nearest == k) for k in range(1, len(planned))}
    return pd.DataFrame(columns, index=visits.index)
