"""No-U-turn sampling of population values and subject effects together."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import jax
import numpy as np
from jax import numpy as jnp
from numpyro.infer import MCMC
from numpyro.infer import NUTS as Kernel

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.draws import Draws, host
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.inference.population import population_values
from dpm.inference.whitening import Whitening
from dpm.types import Array, Key, Model, Sites

EXTRA = ("diverging", "energy", "num_steps", "accept_prob", "adapt_state.step_size", "potential_energy")
"""Sampler statistics kept, by NumPyro's names."""


@dataclass(frozen=True, kw_only=True)
class NUTS:
    """No-U-turn sampling (Hoffman & Gelman 2014) of everything, started and preconditioned from a Laplace fit.

    The sampler moves in the variables of `Whitening`, where the Laplace approximation is a standard normal: what is
    left for it is what that approximation misses. Chains start at independent draws of `dispersion` times that
    normal.

    Attributes:
        chains: run side by side.
        warmup: adaptation steps per chain.
        draws: kept per chain.
        target_accept: of the step-size adaptation.
        max_tree_depth: doublings per draw.
        dispersion: how far apart chains start, in Laplace standard errors.
        chain_method: NumPyro's: `"vectorized"`, `"parallel"` or `"sequential"`.
        progress: show a progress bar.
    """

    chains: int = 4
    warmup: int = 300
    draws: int = 1000
    target_accept: float = 0.85
    max_tree_depth: int = 10
    dispersion: float = 2.0
    chain_method: Literal["vectorized", "parallel", "sequential"] = "vectorized"
    progress: bool = True

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit by Laplace, then sample.

        Raises:
            InferenceError: if the Laplace start fails, or the model has discrete sites: its subjects' effects may then
                have several modes, between which the whitened sampler does not move.
        """
        began = perf_counter()
        optimum_key, start_key, run_key = jax.random.split(key, 3)
        hierarchy = Hierarchy.of(model, records)
        if hierarchy.classes:
            do = "Use Laplace(), whose marginal sums them out exactly and whose draws are weighted by it."
            raise InferenceError("NUTS", "a model without discrete sites of subjects", hierarchy.classes[0][0], do)
        optimum = Laplace(objective="map").maximise(Marginal(hierarchy), records, key=optimum_key)
        whitening = Whitening.at(hierarchy, records, optimum)
        started = perf_counter()
        sampler = self._sampler(_potential(hierarchy, whitening, records))
        sampler.run(run_key, init_params=self._starts(hierarchy, records, key=start_key), extra_fields=EXTRA)
        sites, subject_sites = _sites(hierarchy, whitening, records, sampler.get_samples(group_by_chain=True))
        facts = {
            "chains": self.chains,
            "warmup": self.warmup,
            "log_likelihood_laplace": optimum.log_likelihood,
            "n_population": hierarchy.n_population,
            "seconds_laplace": started - began,
            "seconds": perf_counter() - began,
        }
        return Draws(
            sites=sites,
            subject_sites=subject_sites,
            stats=_statistics(sampler),
            estimates=optimum.estimates,
            facts=facts,
        )

    def _sampler(self, potential: Callable[[Sites], Array]) -> MCMC:
        kernel = Kernel(
            potential_fn=potential, target_accept_prob=self.target_accept, max_tree_depth=self.max_tree_depth
        )
        return MCMC(
            kernel,
            num_warmup=self.warmup,
            num_samples=self.draws,
            num_chains=self.chains,
            chain_method=self.chain_method,
            progress_bar=self.progress,
        )

    def _starts(self, hierarchy: Hierarchy, records: Data, *, key: Key) -> Sites:
        """One starting point per chain; subject effects at their modes given it, to keep the first steps cheap."""
        chains = (self.chains,) if self.chains > 1 else ()  # NumPyro's shape of a single chain's start
        u = self.dispersion * jax.random.normal(key, (*chains, hierarchy.n_population))
        return {"u": u, "w": jnp.zeros((*chains, hierarchy.n_effects, records.n_subjects))}


def _potential(hierarchy: Hierarchy, whitening: Whitening, records: Data) -> Callable[[Sites], Array]:
    def potential(position: Sites) -> Array:
        vector, effects, log_volume = whitening.colour(position["u"], position["w"])
        subjects = hierarchy.log_subject(hierarchy.constrain(vector), effects, records)
        return -(jnp.sum(subjects) + hierarchy.log_population(vector, records, prior=True) + log_volume)

    return potential


def _sites(
    hierarchy: Hierarchy, whitening: Whitening, records: Data, samples: Sites
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Whitened draws back as named population and subject sites."""

    def one(position: Sites) -> tuple[Sites, Sites]:
        vector, effects, _ = whitening.colour(position["u"], position["w"])
        return population_values(hierarchy, vector, records), hierarchy.effect_values(effects)

    population, subjects = jax.jit(jax.vmap(jax.vmap(one)))(samples)
    axes = {site.name: site.subject_axis for site in hierarchy.subject}
    last = {name: jnp.moveaxis(value, 2 + (axes[name] or 0), -1) for name, value in subjects.items()}
    return host(population), host(last)


def _statistics(sampler: MCMC) -> dict[str, np.ndarray]:
    extra = host(sampler.get_extra_fields(group_by_chain=True))
    return {
        "diverging": extra["diverging"],
        "energy": extra["energy"],
        "n_steps": extra["num_steps"],
        "tree_depth": np.ceil(np.log2(extra["num_steps"] + 1)).astype(int),
        "acceptance_rate": extra["accept_prob"],
        "step_size": extra["adapt_state.step_size"],
        "lp": -extra["potential_energy"],
    }
