"""What a fit says of each subject: how far its effects are shrunk, and whether its inner mode is found."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import lax
from jax import numpy as jnp

from dpm.cohort.cohort import Cohort
from dpm.cohort.records import Records
from dpm.errors import CheckError
from dpm.inference import blocks
from dpm.inference.batching import batch_size
from dpm.inference.conditional import derivatives, find_modes
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.posterior.posterior import Posterior
from dpm.types import Array, Float, PerSubject

REASONS = {
    "non_finite": "its density is not finite: a curve or a noise overflows, or a measurement is impossible under it",
    "indefinite": "its curvature is not definite: the effects are not determined, or have more than one mode",
    "unfinished": "the search did not converge: the density is not smooth, or the mode is far from where it began",
}
"""Why no mode is found, in words."""


class _Inner(NamedTuple):
    modes: Float[Array, "draw effect subject"]
    variance: Float[Array, "draw effect subject"]
    prior_variance: Float[Array, "draw effect subject"]
    found: Float[Array, "draw subject"]
    failures: Float[Array, "draw reason subject"]


def shrinkage_table(posterior: Posterior, cohort: Cohort, *, draws: int = 50) -> pd.DataFrame:
    r"""How far every subject's effects are drawn to the population.

    $$s_{ik} = \mathrm{var}(b_{ik} \mid y_i, \varphi) / \mathrm{var}(b_{ik} \mid \varphi)$$

    from the curvatures at the modes of the conditional and of the prior, averaged over draws of $\varphi$: zero for a
    subject whose data fix its effect, one for a subject who tells nothing of it. For a level with a normal spread
    $\omega$ and $n$ measurements with noise $\sigma$ it is $(\sigma^2/n) / (\omega^2 + \sigma^2/n)$.

    Args:
        posterior: of the fit.
        cohort: of the fit, or other subjects of the same kind.
        draws: of the posterior, evenly spaced.

    Returns:
        a row per subject and effect; columns `subject`, `effect`, `mode` (mean over draws, unconstrained scale),
        `prior_sd`, `shrinkage`; NaN where no mode was found in any draw, see `inner_failures`.

    Raises:
        CheckError: the model has no subject effects.
    """
    hierarchy, inner = _inner(posterior, cohort, draws)
    names = [
        site.name if site.size == 1 else f"{site.name}[{k}]" for site in hierarchy.subject for k in range(site.size)
    ]
    found = np.asarray(inner.found)[:, None, :] > 0.0
    count = np.maximum(found.sum(axis=0), 1)

    def mean(values: Array | np.ndarray) -> np.ndarray:
        total = np.where(found, np.asarray(values), 0.0).sum(axis=0)
        return np.where(found.any(axis=0), total / count, np.nan).ravel()

    return pd.DataFrame(
        {
            "subject": np.tile(cohort.subjects.index.to_numpy(), len(names)),
            "effect": np.repeat(names, cohort.n_subjects),
            "mode": mean(inner.modes),
            "prior_sd": np.sqrt(mean(inner.prior_variance)),
            "shrinkage": mean(np.asarray(inner.variance) / np.asarray(inner.prior_variance)),
        }
    )


def shrinkage_summary(table: pd.DataFrame) -> pd.DataFrame:
    r"""Shrinkage of each effect over the subjects of a `shrinkage_table`.

    `eb_variance` and `eb_sd` are those of empirical-Bayes estimates, $1 - \mathrm{var}_i(\hat b_i)/\omega^2$ and
    $1 - \mathrm{sd}_i(\hat b_i)/\omega$ (Savic & Karlsson 2009, doi 10.1208/s12248-009-9133-0): from about 0.3 of the
    latter, plots of these estimates mislead.

    Returns:
        a row per effect; columns `effect`, `eb_variance`, `eb_sd`, `mean` (of the subjects' own), `most` and `subject`
        (whose it is).
    """
    rows = []
    for effect, own in table.groupby("effect", sort=False):
        share = float(own["mode"].var(ddof=1) / (own["prior_sd"] ** 2).mean())
        most = own.sort_values("shrinkage", ascending=False, kind="stable").iloc[0]
        rows.append(
            {
                "effect": effect,
                "eb_variance": 1.0 - share,
                "eb_sd": 1.0 - np.sqrt(share),
                "mean": float(own["shrinkage"].mean()),
                "most": most["shrinkage"],
                "subject": most["subject"],
            }
        )
    return pd.DataFrame(rows)


def inner_failures(posterior: Posterior, cohort: Cohort, *, draws: int = 50) -> pd.DataFrame:
    """Which subjects' conditional modes are not found, why, and at what share of draws of the posterior.

    Args:
        posterior: of the fit.
        cohort: of the fit, or other subjects of the same kind.
        draws: of the posterior, evenly spaced.

    Returns:
        a row per subject that failed at any draw, worst first; columns `subject`, `share`, its parts `non_finite`,
        `indefinite` and `unfinished`, and `why` (the largest part, in words).

    Raises:
        CheckError: the model has no subject effects.
    """
    _, inner = _inner(posterior, cohort, draws)
    parts = np.asarray(inner.failures).mean(axis=0)
    table = pd.DataFrame(parts.T, columns=list(REASONS))
    table.insert(0, "subject", cohort.subjects.index.to_numpy())
    table.insert(1, "share", parts.sum(axis=0))
    table["why"] = [list(REASONS.values())[k] for k in parts.argmax(axis=0)]
    failed = table[table["share"] > 0.0]
    return failed.sort_values("share", ascending=False, kind="stable").reset_index(drop=True)


def _inner(posterior: Posterior, cohort: Cohort, draws: int) -> tuple[Hierarchy, _Inner]:
    records = cohort.records(posterior.encodings)
    hierarchy = posterior.hierarchy(records)
    if not hierarchy.n_effects:
        raise CheckError("posterior", "a model with subject effects", "one without", "There is nothing to shrink.")
    return hierarchy, _at_draws(posterior.vectors(hierarchy, draws), records, Marginal(hierarchy))


@partial(jax.jit, static_argnums=2)
def _at_draws(vectors: Array, records: Records, marginal: Marginal) -> _Inner:
    hierarchy = marginal.hierarchy

    def at(vector: Array) -> _Inner:
        population = hierarchy.constrain(vector)
        _, modes = marginal.log_marginal(vector, records)
        density = marginal.density(population, records)
        value, gradient, curvature = derivatives(density, modes.effects)
        _, definite = blocks.cholesky(curvature)
        finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient), axis=0)
        finite = finite & jnp.all(jnp.isfinite(curvature), axis=(0, 1))
        fine = finite & definite & modes.converged
        failures = jnp.stack([~finite, finite & ~definite, finite & definite & ~modes.converged])

        def prior(effects: Array) -> PerSubject:
            return hierarchy.log_subject(population, effects, records, part="latent")

        centre = find_modes(prior, jnp.zeros_like(modes.effects)).effects
        spread = _variances(derivatives(prior, centre)[2])
        return _Inner(modes.effects, _variances(curvature), spread, fine * 1.0, failures * 1.0)

    return lax.map(at, vectors, batch_size=batch_size(len(vectors)))


def _variances(curvature: Float[Array, "effect effect subject"]) -> Float[Array, "effect subject"]:
    """Diagonal of the inverse of every block."""
    lower, _ = blocks.cholesky(curvature)
    q, n = lower.shape[0], lower.shape[-1]
    each = [blocks.solve_lower(lower, jnp.broadcast_to(unit[:, None], (q, n))) for unit in jnp.eye(q)]
    return jnp.stack([jnp.sum(one**2, axis=0) for one in each])
