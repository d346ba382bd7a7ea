"""Fits of cohorts whose population values were drawn from the prior, and the rank of the truth among their draws."""

from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

import dpm
from dpm.errors import InferenceError
from dpm.inference.draws import Method
from dpm.inference.marginal import Marginal
from dpm.inference.surface import Surface
from dpm.types import Key
from experiments.sbc.worlds import Drawn, World

SEED = 2018
MOST = 99
"""Draws that the truth is ranked among."""

LIKELIHOOD = "log likelihood"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A method under test.

    Attributes:
        name: for the reader.
        method: as a user would call it; of `MarginalNUTS` fewer draws, as many as ranks need.
        exact: whether it claims draws of the posterior, but for Monte Carlo error.
    """

    name: str
    method: Method
    exact: bool


ENGINES = {
    "nuts": Engine(name="NUTS()", method=dpm.NUTS(progress=False), exact=True),
    "marginal_nuts": Engine(
        name='MarginalNUTS(level="quadrature")',
        method=dpm.MarginalNUTS(level="quadrature", draws=200, progress=False),
        exact=True,
    ),
    "laplace_weighted": Engine(
        name='Laplace(level="quadrature", importance=4096)',
        method=dpm.Laplace(level="quadrature", importance=4096),
        exact=True,
    ),
    "variational": Engine(name="Variational()", method=dpm.Variational(progress=False), exact=False),
    "laplace": Engine(name="Laplace()", method=dpm.Laplace(), exact=False),
}


def quantities(world: World) -> list[str]:
    """What is ranked: every population value, and the log likelihood, which looks at the data (Modrák et al. 2023)."""
    return [*world.hierarchy.population_names(), LIKELIHOOD]


def simulation(world: World, place: int, number: int) -> Drawn:
    """Simulation `number` of the world at `place`; the same for every engine."""
    return world.draw(key=_key(place, number))


def _key(place: int, number: int) -> Key:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(SEED), place), number)


def record(world: World, drawn: Drawn, method: Method, *, key: Key) -> dict[str, Any]:
    """One fit: ranks of `quantities`, out of how many draws, what a gate would say; or why it was refused."""
    began, spent = perf_counter(), process_time()
    try:
        posterior = dpm.fit(world.model, drawn.cohort, method=method, key=key)
    except InferenceError as refusal:
        return {"refused": str(refusal).splitlines()[0], "seconds": round(perf_counter() - began, 3)}
    took = {"seconds": round(perf_counter() - began, 3), "cpu": round(process_time() - spent, 3)}
    said = diagnostics(posterior)
    count = int(min(MOST, said["ess"]))
    vectors = np.asarray(posterior.vectors(world.hierarchy, count))
    return {"ranks": ranks(world, drawn, vectors), "of": count, **said, **took}


def diagnostics(posterior: dpm.Posterior) -> dict[str, float]:
    """What the convergence gate looks at: smallest effective size, and R-hat and divergences of a sampler."""
    if "sample_stats" not in posterior.tree.children:
        facts = posterior.provenance
        return {"ess": round(float(facts.get("importance_ess", posterior.n_draws)), 1)}
    table = dpm.parameter_table(posterior)
    return {
        "ess": round(float(table["ess_bulk"].min()), 1),
        "r_hat": round(float(table["rhat"].max()), 4),
        "divergences": int(posterior.tree["sample_stats"]["diverging"].sum()),
    }


def ranks(world: World, drawn: Drawn, vectors: np.ndarray) -> list[int]:
    """How many draws lie below the truth, for each of `quantities`."""
    below = (vectors < drawn.vector).sum(axis=0)
    # Padded to one length, so that the likelihood is compiled once.
    padded = np.concatenate([drawn.vector[None], vectors, np.repeat(vectors[:1], MOST - len(vectors), axis=0)])
    records = drawn.cohort.records(dpm.Encodings.learn(drawn.cohort))
    marginal = Marginal.at(world.hierarchy, "quadrature", records, n_nodes=9)
    likelihood = Surface(marginal, records, prior=False).totals(jnp.asarray(padded))
    if not np.all(np.isfinite(likelihood)):
        raise ArithmeticError("a log likelihood that is not a number")
    return [*map(int, below), int((likelihood[1 : len(vectors) + 1] < likelihood[0]).sum())]
