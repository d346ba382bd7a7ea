"""How far draws of a normal approximation are from the posterior they stand for."""

from dataclasses import dataclass
from functools import partial
from typing import get_args

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.records import Records
from dpm.errors import CheckError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.importance import LARGEST_PARETO_K, smoothed
from dpm.inference.laplace import Errors, Laplace
from dpm.inference.marginal import Level, Marginal
from dpm.posterior.likelihood import NODES, SubjectLikelihood
from dpm.posterior.posterior import Posterior
from dpm.types import Array, Float, Key


@dataclass(frozen=True)
class LogDensities:
    r"""$\log p(\varphi_s)\,p(y \mid \varphi_s)$ and $\log q(\varphi_s)$ of each draw, each up to a constant."""

    target: Float[np.ndarray, " draw"]
    proposal: Float[np.ndarray, " draw"]

    def require_near(self) -> None:
        """Refuse draws that no weights bring to the posterior.

        Raises:
            CheckError: the Pareto k of $p/q$ is too large.
        """
        _, k = smoothed(self.target - self.proposal)
        if not k <= LARGEST_PARETO_K:
            do = "Fit again with NUTS(), or with Laplace(importance=4000)."
            expected = f"draws near the posterior, whose weights have a Pareto k of at most {LARGEST_PARETO_K}"
            raise CheckError("loo", expected, f"{k:.2f} of a normal approximation", do)


def is_normal(posterior: Posterior) -> bool:
    """Whether the draws are those of `Laplace()`, and no weights have brought them to the posterior."""
    facts = posterior.provenance
    return str(facts["method"]).startswith("Laplace(") and not facts.get("importance")


def refuse_guide(posterior: Posterior) -> None:
    """Refuse a variational guide's own draws, whose density is not kept: weights would be of another distribution.

    Raises:
        CheckError: the draws are such.
    """
    facts = posterior.provenance
    if str(facts["method"]).startswith("Variational(") and not facts.get("importance"):
        do = "Fit again with NUTS(), or with Variational(importance=True), whose draws are weighted."
        raise CheckError("loo", "draws of the posterior", "the own draws of a variational guide", do)


def log_densities(
    posterior: Posterior, likelihood: SubjectLikelihood, each: Float[np.ndarray, "draw subject"], *, key: Key
) -> LogDensities:
    """Of draws of `Laplace()`, whose maximum is found again from their mean.

    Args:
        posterior: see `is_normal`.
        likelihood: its draws beside the cohort of the fit.
        each: what `likelihood.each()` gave.
        key: for the points of a fit by qmc, and other starts should one be needed.

    Raises:
        CheckError: the draws are not those of the normal approximation at that maximum.
        InferenceError: there is no maximum near the mean of the draws.
    """
    facts, hierarchy = posterior.provenance, likelihood.marginal.hierarchy
    prior = facts["objective"] == "map"
    level: Level = next(one for one in get_args(Level) if one == facts["level"])
    fitted = Marginal.at(hierarchy, level, likelihood.records, n_nodes=NODES.get(level, 9), key=key)
    errors: Errors = next(one for one in get_args(Errors) if one == facts.get("errors", "hessian"))
    method = Laplace(objective="map" if prior else "ml", level=level, errors=errors)
    optimum = method.maximise(fitted, likelihood.records, key=key, start=likelihood.centre)
    points = optimum.coordinates.of(np.asarray(likelihood.vectors))
    z = np.linalg.solve(np.linalg.cholesky(optimum.covariance), (points - optimum.point).T)
    _require_standard(z)
    log_population = np.asarray(_log_population(likelihood.vectors, hierarchy, likelihood.records, prior))
    log_volume = np.asarray(optimum.coordinates.all_values(jnp.asarray(points))[1])
    return LogDensities(each.sum(axis=1) + log_population, -0.5 * (z**2).sum(axis=0) - log_volume)


def _require_standard(z: Float[np.ndarray, "population draw"]) -> None:
    """Refuse draws whose mean, or mean square, lies six standard errors from that of a standard normal."""
    size = z.size
    off = max(np.abs(z.mean(axis=1)).max() * z.shape[1] ** 0.5, abs((z**2).mean() - 1.0) * (size / 2) ** 0.5)
    if not off < 6.0:
        do = "Fit again with NUTS() or Laplace(importance=4000): their draws need no such correction."
        got = f"others, {off:.0f} standard errors away"
        raise CheckError("loo", "the draws of a normal approximation at the maximum of this cohort", got, do)


@partial(jax.jit, static_argnums=(1, 3))
def _log_population(vectors: Array, hierarchy: Hierarchy, records: Records, prior: bool) -> Array:
    return jax.vmap(lambda vector: jnp.asarray(hierarchy.log_population(vector, records, prior=prior)))(vectors)
