"""Why a criterion of convergence failed, most likely, and what to do."""

from typing import Any

import numpy as np

from dpm.checks.sampler import divergence_table, elements, moves_with_energy
from dpm.posterior.posterior import Posterior

LIKELY = {
    "r_hat": (
        "Likely cause: the chains disagree, since they are too short, there are two modes, or the data do not "
        "identify a value. Run longer (fit.warmup, fit.draws); if it stays, give the worst value a stronger prior or "
        "take it out."
    ),
    "ess_bulk": (
        "Likely cause: draws follow each other too closely, as along a ridge of values that trade against each other. "
        "Draw more (fit.draws), or raise fit.warmup."
    ),
    "ess_tail": (
        "Likely cause: chains visit the tails seldom, as where a spread runs towards zero or a tail is heavy. Draw "
        "more (fit.draws); tails need more than means."
    ),
    "saturation": (
        "Likely cause: steps far shorter than the posterior is long, from values of very different scale or strongly "
        "correlated. Rescale covariates and outcomes, or raise fit.max_tree_depth; each doubling doubles the time."
    ),
    "newton_decrement": (
        "Likely cause: the search stopped where the objective is not smooth. Fit again from other starting points."
    ),
    "elbo_rise": (
        "Likely cause: too few steps, or a bound too noisy to tell. Raise steps, or samples per step; or sample with "
        "NUTS()."
    ),
    "narrow": (
        "Likely cause: a guide of a family too small for this posterior, whose sds its weights cannot be trusted to "
        'mend. Take family="structured" with start="laplace", or sample with NUTS().'
    ),
    "pareto_k": (
        "Likely cause: the posterior is skew, heavy-tailed or in many dimensions, and the approximation too narrow for "
        'it. Take family="structured", or sample with NUTS().'
    ),
}
"""By criterion, where the draws themselves need not be asked."""

NARROWED, NEAR_ZERO = 0.5, 3.0
"""A funnel: divergent draws lie at least so many sds low in a spread; a value comes near zero where its lower bound is
less than one in so many of its median."""


def cause_and_remedy(criterion: str, posterior: Posterior) -> str:
    """Two sentences or three: the likely cause of a failed criterion, and the remedy."""
    if criterion == "divergences":
        return _of_divergences(posterior)
    if criterion == "e_bfmi":
        return _of_energy(posterior)
    return LIKELY[criterion]


def _of_divergences(posterior: Posterior) -> str:
    table = divergence_table(posterior)
    located: list[dict[Any, Any]] = table[table["located"]].to_dict("records")
    if not located:
        return (
            "Likely cause: steps too long for the curvature; the divergent draws lie in no one place. Raise "
            "fit.target_accept to 0.95 or 0.99."
        )
    for row in located:
        if row["difference"] < -NARROWED and _is_spread(posterior, row):
            return (
                f"Likely cause: a funnel, since the divergent draws lie where {row['site']} is small "
                f"({row['difference']:+.1f} sd). Sample with MarginalNUTS(), in which there is no funnel since effects "
                "are integrated out; or give it a prior that keeps away from zero, or take the spread out."
            )
    row = located[0]
    side = "low" if row["difference"] < 0 else "high"
    who = f" of subject {row['subject']}" if row["subject"] else ""
    return (
        f"Likely cause: the density bends sharply where {row['site']}{who} is {side} "
        f"({row['difference']:+.1f} sd in the divergent draws). Tighten the prior that lets it go there, or raise "
        "fit.target_accept to 0.95 or 0.99."
    )


def _is_spread(posterior: Posterior, row: dict[Any, Any]) -> bool:
    """Whether a located value is a spread, by its name, or comes near zero as one."""
    if row["subject"] or row["scale"] != "log":
        return False
    low, median = np.quantile(dict(elements(posterior))[row["site"]], [0.025, 0.5])
    return str(row["site"]).partition("[")[0].endswith("sd") or bool(low < median / NEAR_ZERO)


def _of_energy(posterior: Posterior) -> str:
    site, strength = moves_with_energy(posterior)
    which = f"; {site} goes most with the energy (correlation {strength:+.2f})" if abs(strength) > NARROWED else ""
    return (
        f"Likely cause: heavy tails, or a spread that the data hardly determine{which}. Sample with MarginalNUTS(), "
        "or give that spread a stronger prior; raise fit.warmup where neither applies."
    )
