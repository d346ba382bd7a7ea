"""Cox regression for events that recur (Andersen-Gill), with standard errors clustered by subject."""

from dataclasses import dataclass

import numpy as np

from dpm.errors import CohortError
from dpm.types import Bool, Float, Int


@dataclass(frozen=True, kw_only=True)
class CoxFit:
    """A fitted log hazard ratio per unit of each column.

    Attributes:
        estimate: log hazard ratios.
        se: robust, clustered by subject.
        se_model: as if all rows were independent.
        log_likelihood: partial, Breslow's for ties.
    """

    estimate: Float[np.ndarray, " column"]
    se: Float[np.ndarray, " column"]
    se_model: Float[np.ndarray, " column"]
    log_likelihood: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fitted:
    log_likelihood: float
    score: Float[np.ndarray, " column"]
    information: np.ndarray
    residuals: np.ndarray


def andersen_gill(
    start: Float[np.ndarray, " row"],
    stop: Float[np.ndarray, " row"],
    happened: Bool[np.ndarray, " row"],
    covariates: Float[np.ndarray, "row column"],
    cluster: Int[np.ndarray, " row"],
) -> CoxFit:
    r"""Fit $\lambda(t) = \lambda_0(t) \exp(x^\top \beta)$ to intervals at risk (start, stop].

    Newton's method on Breslow's partial likelihood. The robust variance is $I^{-1} (\sum_c u_c u_c^\top) I^{-1}$ with
    $u_c$ the sum of the score residuals of cluster $c$ (Lin and Wei, JASA 1989;84:1074-1078), as R's
    `coxph(Surv(start, stop, status) ~ x + cluster(id), ties = "breslow")` has it. Risk sets are differences of
    cumulative sums, so that n intervals cost n log n.

    Raises:
        CohortError: nothing happens, or a covariate is constant or has no finite estimate.
    """
    if not happened.any() or (np.ptp(covariates, axis=0) == 0).any():
        got = f"{int(happened.sum()):,} events, and columns that vary by {np.ptp(covariates, axis=0)}"
        raise CohortError("andersen_gill", "events, and covariates that vary", got)
    x = covariates - covariates.mean(axis=0)
    beta = np.zeros(x.shape[1])
    found = _evaluate(beta, start, stop, happened, x)
    for _ in range(50):
        step = np.linalg.solve(found.information, found.score)
        trial = _evaluate(beta + step, start, stop, happened, x)
        while trial.log_likelihood < found.log_likelihood - 1e-10 and np.abs(step).max() > 1e-12:
            step = step / 2
            trial = _evaluate(beta + step, start, stop, happened, x)
        beta, found = beta + step, trial
        if np.abs(step).max() < 1e-10:
            break
    else:
        do = "Events may be told apart completely by a covariate."
        raise CohortError("andersen_gill", "a maximum of the partial likelihood", f"none at {beta}", do)
    inverse = np.linalg.inv(found.information)
    sums = np.zeros((int(cluster.max()) + 1, x.shape[1]))
    np.add.at(sums, cluster, found.residuals)
    robust = inverse @ (sums.T @ sums) @ inverse
    errors = np.sqrt(np.diag(robust)), np.sqrt(np.diag(inverse))
    return CoxFit(estimate=beta, se=errors[0], se_model=errors[1], log_likelihood=found.log_likelihood)


def _evaluate(
    beta: Float[np.ndarray, " column"],
    start: Float[np.ndarray, " row"],
    stop: Float[np.ndarray, " row"],
    happened: Bool[np.ndarray, " row"],
    x: Float[np.ndarray, "row column"],
) -> _Fitted:
    """Log-likelihood, score, information and score residuals at `beta`."""
    predictor = x @ beta
    weight = np.exp(predictor)
    times, place = np.unique(stop[happened], return_inverse=True)
    events = np.bincount(place).astype(np.float64)
    n = x.shape[1]
    outer = (x[:, :, None] * x[:, None, :]).reshape(len(x), n * n)
    sums = _at_risk(times, start, stop, weight[:, None] * np.column_stack([np.ones(len(x)), x, outer]))
    total = sums[:, 0]
    mean = sums[:, 1 : n + 1] / total[:, None]
    second = (sums[:, n + 1 :] / total[:, None]).reshape(-1, n, n)
    variance = second - mean[:, :, None] * mean[:, None, :]
    hazard = events / total
    # A row's residual: what it adds at its event, less what it was expected to add while at risk.
    since = np.vstack([np.zeros(n + 1), np.cumsum(hazard[:, None] * np.column_stack([np.ones(len(times)), mean]), 0)])
    passed = since[np.searchsorted(times, stop, "right")] - since[np.searchsorted(times, start, "right")]
    residuals = -weight[:, None] * (x * passed[:, :1] - passed[:, 1:])
    residuals[happened] += x[happened] - mean[place]
    return _Fitted(
        log_likelihood=float(predictor[happened].sum() - events @ np.log(total)),
        score=x[happened].sum(axis=0) - events @ mean,
        information=np.einsum("t,tij->ij", events, variance),
        residuals=residuals,
    )


def _at_risk(
    times: Float[np.ndarray, " time"],
    start: Float[np.ndarray, " row"],
    stop: Float[np.ndarray, " row"],
    terms: Float[np.ndarray, "row term"],
) -> np.ndarray:
    """Sums of `terms` over the rows with start < t <= stop: those that stop no earlier, less those not started."""
    out = np.zeros((len(times), terms.shape[1]))
    for sign, edge in ((1.0, stop), (-1.0, start)):
        order = np.argsort(edge, kind="stable")
        tail = np.vstack([np.cumsum(terms[order][::-1], axis=0)[::-1], np.zeros(terms.shape[1])])
        out += sign * tail[np.searchsorted(edge[order], times, "left")]
    return out
