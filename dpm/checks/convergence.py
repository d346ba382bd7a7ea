"""Has the sampler found the posterior? Diagnostics, a gate, and what to do when it is shut."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from arviz_stats.sampling_diagnostics import ess, mcse, rhat

from dpm.checks.causes import cause_and_remedy
from dpm.checks.sampler import chain_table, elements
from dpm.errors import CheckError
from dpm.inference.importance import LARGEST_PARETO_K
from dpm.inference.weighing import LARGEST_WIDENING
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
        saturation: largest share of a chain's transitions whose tree was stopped at the largest depth.
    """

    r_hat: float = 1.01
    ess_bulk: float = 400.0
    ess_tail: float = 400.0
    divergences: int = 0
    e_bfmi: float = 0.3
    saturation: float = 0.01


LIMITS = {"newton_decrement": 1e-6, "elbo_rise": 1.0, "pareto_k": LARGEST_PARETO_K, "narrow": LARGEST_WIDENING}
"""Of a fit that was maximised or a guide; the fit itself refuses what is above them, so no study file relaxes them."""


def parameter_table(posterior: Posterior, information: pd.DataFrame | None = None) -> pd.DataFrame:
    """Per population value: mean, sd, quantiles, diagnostics, and the Laplace estimate it was started from.

    What another row says already is left out: the upper half of a symmetric matrix, the ones on the diagonal of a
    correlation matrix, the zeros above the diagonal of a triangular one, and the Cholesky factor of a matrix shown
    itself. Any other value is shown, a constant one too: a chain that never moves must not pass for converged.

    Args:
        posterior: of the fit.
        information: of `dpm.information`, how much the data took away of each value's prior variance.

    Returns:
        columns `site`, `mean`, `sd`, `q2.5`, `q97.5`, `rhat`, `ess_bulk`, `ess_tail`, `mcse_mean`,
        `laplace_estimate`, `laplace_se`; with `information` also `learned`, NaN for a flat prior and for values that
        have no single counterpart without bounds, such as correlations.
    """
    table = pd.DataFrame([{"site": label, **_row(draws)} for label, draws in elements(posterior)])
    # A sampler run by hand did not start from a Laplace estimate: both columns are then NaN.
    laplace = posterior.estimates.reindex(index=table["site"], columns=["estimate", "se"])
    table = table.assign(laplace_estimate=laplace["estimate"].to_numpy(), laplace_se=laplace["se"].to_numpy())
    if information is None:
        return table
    learned = information.set_index("name")["learned"].reindex(table["site"])
    return table.assign(learned=learned.to_numpy())


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
        columns `criterion`, `value`, `gate`, `passed`, `worst` (the parameter or chain it stands for), `remedy` (the
        likely cause and what to do; empty when passed) and `relaxed_from` (the default, where `gate` is looser).
    """
    gate = gate or Gate()
    observed = _sampled(posterior) if "sample_stats" in posterior.tree.children else _maximised(posterior)
    default, rows = asdict(Gate()), []
    for criterion, (value, worst) in observed.items():
        bound = asdict(gate).get(criterion, LIMITS.get(criterion, 0.0))
        upper = criterion in ("r_hat", "divergences", "saturation", *LIMITS)
        # R-hat has to stay below its bound, the others may reach theirs.
        within = (value < bound if criterion == "r_hat" else value <= bound) if upper else value >= bound
        # Equal weights, of a guide that is the posterior, have a Pareto k of minus infinity.
        passed = bool(within and (np.isfinite(value) or (criterion == "pareto_k" and value < 0)))
        usual = default.get(criterion, bound)
        relaxed = bound > usual if upper else bound < usual
        rows.append(
            {
                "criterion": criterion,
                "value": value,
                "gate": bound,
                "passed": passed,
                "worst": worst,
                "remedy": "" if passed else cause_and_remedy(criterion, posterior),
                "relaxed_from": usual if relaxed else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _sampled(posterior: Posterior) -> dict[str, tuple[float, str]]:
    table = parameter_table(posterior).set_index("site")
    chains = chain_table(posterior)
    # A chain that never moves, or a single one, has no R-hat: that is not convergence.
    r_hat = table["rhat"].fillna(np.inf)
    found = {
        "r_hat": (float(r_hat.max()), str(r_hat.idxmax())),
        "ess_bulk": (float(table["ess_bulk"].min()), str(table["ess_bulk"].idxmin())),
        "ess_tail": (float(table["ess_tail"].min()), str(table["ess_tail"].idxmin())),
        "divergences": (float(chains["divergences"].sum()), f"of {int(chains['draws'].sum())} transitions"),
    }
    if chains["e_bfmi"].notna().any():
        found["e_bfmi"] = (float(chains["e_bfmi"].min()), f"chain {int(chains['e_bfmi'].argmin())}")
    if chains["saturated"].notna().any():
        found["saturation"] = (float(chains["saturated"].max()), f"chain {int(chains['saturated'].argmax())}")
    return found


def _maximised(posterior: Posterior) -> dict[str, tuple[float, str]]:
    facts = posterior.provenance
    if "elbo_rise" in facts:
        found = {"elbo_rise": (float(facts["elbo_rise"]), f"after {facts['steps']:,} steps")}
    else:
        found = {"newton_decrement": (float(facts.get("newton_decrement", np.inf)), "at the maximum")}
    if "pareto_k" in facts:
        effective = f"effective sample size {facts['importance_ess']:.0f} of its proposals"
        found["pareto_k"] = (float(facts["pareto_k"]), effective)
    if "narrow" in facts:
        found["narrow"] = (float(facts["narrow"]), "of the sds of population values")
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
