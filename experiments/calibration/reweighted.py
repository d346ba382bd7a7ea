"""The exact posterior of the simulated trials: Laplace draws, resampled by importance weights.

For a linear trajectory with normal noise the marginal likelihood is exact, so weights are all that lies between the
normal approximation of the population values and their posterior. It shows how much of a miss in coverage is that
approximation's.
"""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

import dpm
from dpm.inference.draws import Draws, host
from dpm.inference.effects import draw_effects
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.inference.population import population_draws
from dpm.types import Array, Key, Model


@dataclass(frozen=True, kw_only=True)
class Reweighted:
    r"""Draws with weights $p(\varphi)\,p(y \mid \varphi) / q(\varphi)$, with $q$ a $t_{12}$ around the Laplace maximum.

    Attributes:
        draws: how many to keep.
        proposals: how many to weight.
        freedom: degrees of freedom of the proposals, whose spread is 1.05 times the normal approximation's.
    """

    draws: int = 300
    proposals: int = 4096
    freedom: float = 12.0

    def run(self, model: Model, records: dpm.Records, *, key: Key) -> Draws:
        """Fit by Laplace, propose, weight, resample."""
        fit_key, normal_key, gamma_key, choice_key = jax.random.split(key, 4)
        marginal = Marginal(Hierarchy.of(model, records))
        optimum = dpm.Laplace().maximise(marginal, records, key=fit_key)
        size = optimum.vector.size
        shape = np.asarray(jax.random.gamma(gamma_key, self.freedom / 2, (self.proposals, 1))) / (self.freedom / 2)
        t = np.asarray(jax.random.normal(normal_key, (self.proposals, size))) / np.sqrt(shape)
        vectors = optimum.vector + 1.05 * t @ np.linalg.cholesky(optimum.covariance).T
        proposed = -(self.freedom + size) / 2 * np.log1p((t**2).sum(axis=1) / self.freedom)
        log_weight = np.asarray(_log_posterior(jnp.asarray(vectors), marginal, records)) - proposed
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        chosen = jax.random.choice(choice_key, self.proposals, (self.draws,), p=jnp.asarray(weight))
        sites = host(population_draws(jnp.asarray(vectors)[chosen], marginal.hierarchy, records))
        facts = {"ess": float(1.0 / (weight**2).sum())}
        return Draws(
            sites={name: value[None] for name, value in sites.items()}, estimates=optimum.estimates, facts=facts
        )


@partial(jax.jit, static_argnums=1)
def _log_posterior(vectors: Array, marginal: Marginal, records: dpm.Records) -> Array:
    def one(vector: Array) -> Array:
        each, _ = marginal.log_marginal(vector, records)
        return jnp.sum(each) + marginal.hierarchy.log_population(vector, records, prior=True)

    return jax.lax.map(one, vectors, batch_size=64)


def reweighted_course(arm: dpm.VirtualArm, treated: dpm.Cohort, method: Reweighted, *, key: Key) -> dpm.TreatedCourse:
    """`TreatedCourse.of`, which fits by Laplace, with this method."""
    fit_key, effect_key = jax.random.split(key)
    posterior = dpm.fit(arm.posterior.model, treated, method=method, key=fit_key)
    records = treated.records(posterior.encodings)
    hierarchy = posterior.hierarchy(records)
    vectors = posterior.vectors(hierarchy)
    return dpm.TreatedCourse(
        hierarchy, records, vectors, draw_effects(hierarchy, vectors, records, key=effect_key).effects
    )
