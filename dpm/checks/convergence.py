"""Has the sampler found the posterior? Diagnostics, a gate, and what to do when it is shut."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from arviz_stats.sampling_diagnostics import bfmi, ess, mcse, rhat

from dpm.errors import CheckError
from dpm.inference.importance import LARGEST_PARETO_K
from dpm.posterior.posterior import Posterior


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a chain has to reach (Vehtari et al. 2021, doi 10.1214/20-BA1221; Betancourt 2016, arXiv:1604.00695).

    Conventions, not laws: a study file may relax them, and the report then shows it.

    Attributes:
        r_hat: largest rank-normalised split R-hat.
        ess_bulk, ess_tail: smallest effective sample size, over all chains.
        divergences: most divergent transitions.
        e_bfmi: smallest energy fraction of missing information of a chain.
    """

    r_hat: float = 1.01
    ess_bulk: float = 400.0
    ess_tail: float = 400.0
    divergences: int = 0
    e_bfmi: float = 0.3


LIMITS = {"newton_decrement": 1e-6, "pareto_k": LARGEST_PARETO_K}
"""Of a fit that was maximised; the fit itself refuses what is above them, so no study file relaxes them."""

REMEDIES = {
    "r_hat": (
        "Run longer (fit.warmup, fit.draws); if it stays, the chains disagree: look for two modes or a parameter the "
        "data do not identify."
    ),
    "ess_bulk": "Draw more (fit.draws), or raise fit.warmup.",
    "ess_tail": "Draw more (fit.draws); tails need more than means.",
    "divergences": (
        "Raise fit.target_accept to 0.95 or 0.99; if it stays, a prior lets a spread go to zero: tighten it."
    ),
    "e_bfmi": "Raise fit.warmup; if it stays, reconsider the priors of the subject-level spreads.",
}


def parameter_table(posterior: Posterior) -> pd.DataFrame:
    """Per population value: mean, sd, quantiles, diagnostics, and the Laplace estimate it was started from.

    What another row says already is left out: the upper half of a symmetric matrix, the ones on the diagonal of a
    correlation matrix, the zeros above the diagonal of a triangular one, and the Cholesky factor of a matrix shown
    itself. Any other value is shown, a constant one too: a chain that never moves must not pass for converged.

    Returns:
        columns `site`, `mean`, `sd`, `q2.5`, `q97.5`, `rhat`, `ess_bulk`, `ess_tail`, `mcse_mean`,
        `laplace_estimate`, `laplace_se`.
    """
    rows = []
    for name, values in posterior.draws.data_vars.items():
        if str(name).endswith("_cholesky") and str(name).removesuffix("_cholesky") in posterior.draws:
            continue
        array = values.to_numpy()
        for index in _informative(array):
            label = f"{name}[{','.join(map(str, index))}]" if index else str(name)
            element: tuple[Any, ...] = (..., *index)
            rows.append({"site": label, **_row(array[element])})
    table = pd.DataFrame(rows)
    # A sampler run by hand did not start from a Laplace estimate: both columns are then NaN.
    laplace = posterior.estimates.reindex(index=table["site"], columns=["estimate", "se"])
    return table.assign(laplace_estimate=laplace["estimate"].to_numpy(), laplace_se=laplace["se"].to_numpy())


def _informative(array: np.ndarray) -> list[tuple[Any, ...]]:
    """The elements of a site, of shape (chain, draw, ...), that no other element determines."""
    every = list(np.ndindex(array.shape[2:]))
    if array.ndim != 4 or array.shape[2] != array.shape[3] or array.shape[2] < 2:
        return every
    upper = [index for index in every if index[0] < index[1]]
    symmetric = np.allclose(array, np.swapaxes(array, 2, 3), rtol=1e-12)
    triangular = all(bool(np.all(array[..., row, column] == 0.0)) for row, column in upper)
    if not (symmetric or triangular):
        return every
    ones = [(k, k) for k in range(array.shape[2]) if np.allclose(array[..., k, k], 1.0, rtol=1e-12)]
    return [index for index in every if index not in upper and index not in ones]


def _row(draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mean": float(draws.mean()),
            "sd": float(draws.std(ddof=1)),
            "q2.5": float(low),
            "q97.5": float(high),
            "rhat": float(rhat(draws)) if draws.shape[0] > 1 else np.nan,
            "ess_bulk": float(ess(draws, method="bulk")),
            "ess_tail": float(ess(draws, method="tail", prob=(0.05, 0.95))),
            "mcse_mean": float(mcse(draws, method="mean")),
        }


def convergence_table(posterior: Posterior, gate: Gate | None = None) -> pd.DataFrame:
    """Every criterion against its gate.

    Returns:
        columns `criterion`, `value`, `gate`, `passed`, `worst` (the parameter or chain it stands for), `remedy` (empty
        when passed) and `relaxed_from` (the default, where `gate` is looser than it).
    """
    gate = gate or Gate()
    observed = _sampled(posterior) if "sample_stats" in posterior.tree.children else _maximised(posterior)
    default, rows = asdict(Gate()), []
    for criterion, (value, worst) in observed.items():
        bound = asdict(gate).get(criterion, LIMITS.get(criterion, 0.0))
        upper = criterion in ("r_hat", "divergences", *LIMITS)
        # R-hat has to stay below its bound, the others may reach theirs.
        passed = (value < bound if criterion == "r_hat" else value <= bound) if upper else value >= bound
        usual = default.get(criterion, bound)
        relaxed = bound > usual if upper else bound < usual
        rows.append(
            {
                "criterion": criterion,
                "value": value,
                "gate": bound,
                "passed": bool(passed and np.isfinite(value)),
                "worst": worst,
                "remedy": "" if passed else REMEDIES.get(criterion, "Fit again from other starting points."),
                "relaxed_from": usual if relaxed else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _sampled(posterior: Posterior) -> dict[str, tuple[float, str]]:
    table = parameter_table(posterior).set_index("site")
    stats = posterior.tree["sample_stats"].to_dataset()
    # A chain that never moves, or a single one, has no R-hat: that is not convergence.
    r_hat = table["rhat"].fillna(np.inf)
    found = {
        "r_hat": (float(r_hat.max()), str(r_hat.idxmax())),
        "ess_bulk": (float(table["ess_bulk"].min()), str(table["ess_bulk"].idxmin())),
        "ess_tail": (float(table["ess_tail"].min()), str(table["ess_tail"].idxmin())),
        "divergences": (float(stats["diverging"].sum()), f"of {stats['diverging'].size} transitions"),
    }
    if "energy" in stats:
        energy = np.asarray(bfmi(stats["energy"].to_numpy()))
        found["e_bfmi"] = (float(energy.min()), f"chain {int(energy.argmin())}")
    return found


def _maximised(posterior: Posterior) -> dict[str, tuple[float, str]]:
    found = {"newton_decrement": (float(posterior.provenance.get("newton_decrement", np.inf)), "at the maximum")}
    if posterior.provenance.get("importance"):
        effective = f"effective sample size {posterior.provenance['importance_ess']:.0f} of its proposals"
        found["pareto_k"] = (float(posterior.provenance["pareto_k"]), effective)
    return found


def require_converged(posterior: Posterior, gate: Gate | None = None) -> None:
    """Refuse a posterior that has not converged.

    Raises:
        CheckError: naming every criterion that failed, where, and what to try.
    """
    table = convergence_table(posterior, gate)
    failed = table[~table["passed"]]
    if failed.empty:
        return
    expected = "; ".join(f"{row.criterion} within {row.gate:g}" for row in failed.itertuples())
    got = "; ".join(f"{row.criterion} {row.value:.4g} ({row.worst})" for row in failed.itertuples())
    raise CheckError("convergence", expected, got, " ".join(dict.fromkeys(failed["remedy"])))
