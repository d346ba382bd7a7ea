"""dpm's whitened NUTS against NumPyro's own: the same model, data, number of chains and number of draws."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from arviz_stats.sampling_diagnostics import ess, mcse
from jax import numpy as jnp
from numpyro.infer import MCMC
from numpyro.infer import NUTS as Plain
from numpyro.infer.util import initialize_model

import dpm
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Optimum
from dpm.inference.marginal import Marginal
from dpm.inference.nuts import EXTRA, _potential, _sites
from dpm.inference.whitening import Whitening
from experiments.benchmarks.timing import markdown, shown, timed
from experiments.calibration.trials import real_cohorts
from models.pbc_bilirubin import build

CHAINS, DRAWS, WARMUP = 4, 1000, 300
FURTHEST = 4.0
"""How many Monte Carlo errors two posterior means may lie apart; 1 in 15,000 by chance, and there are 17."""


class Sampled(NamedTuple):
    """One sampler's work, without compiling.

    Attributes:
        draws: per population value, axes (chain, draw).
        start, sample: seconds to find starting values, and of warm-up and sampling.
        steps: mean number of gradient evaluations per draw.
        divergences: of all draws.
    """

    draws: dict[str, np.ndarray]
    start: float
    sample: float
    steps: float
    divergences: int

    @property
    def least(self) -> tuple[str, float]:
        """The population value with the smallest bulk ESS."""
        sizes = {name: float(ess(values, method="bulk")) for name, values in self.draws.items()}
        return min(sizes.items(), key=lambda item: item[1])

    @property
    def rate(self) -> float:
        """Smallest bulk ESS per second."""
        return self.least[1] / (self.start + self.sample)


class Problem:
    """The placebo arm, and what both samplers need of it, compiled."""

    def __init__(self) -> None:
        cohort, _ = real_cohorts()
        self.model, self.records = build(), cohort.records()
        self.hierarchy = Hierarchy.of(self.model, self.records)
        self.marginal = Marginal(self.hierarchy)
        self.whitening = Whitening.at(self.hierarchy, self.records, self.optimum())
        self.method = dpm.NUTS(chains=CHAINS, warmup=WARMUP, draws=DRAWS, progress=False)

    def optimum(self) -> Optimum:
        return dpm.Laplace().maximise(self.marginal, self.records, key=jax.random.key(0))

    def whitened(self) -> Callable[[int], Sampled]:
        """The sampler of `dpm.NUTS`; its start is the Laplace fit."""
        sampler = self.method._sampler(_potential(self.hierarchy, self.whitening, self.records))

        def sample(seed: int) -> Sampled:
            began = perf_counter()
            self.optimum()
            started = perf_counter()
            start_key, run_key = jax.random.split(jax.random.key(seed))
            starts = self.method._starts(self.hierarchy, self.records, key=start_key)
            _finish(sampler, lambda: sampler.run(run_key, init_params=starts, extra_fields=EXTRA))
            ended = perf_counter()
            population, _ = _sites(
                self.hierarchy, self.whitening, self.records, sampler.get_samples(group_by_chain=True)
            )
            return _sampled(population, self.hierarchy, sampler, started - began, ended - started)

        return sample

    def plain(self, warmup: int) -> Callable[[int], Sampled]:
        """NumPyro's sampler with its defaults, which finds its own starting values."""
        kernel = Plain(self.model, target_accept_prob=self.method.target_accept)
        sampler = MCMC(
            kernel,
            num_warmup=warmup,
            num_samples=DRAWS,
            num_chains=CHAINS,
            chain_method="vectorized",
            progress_bar=False,
        )

        def sample(seed: int) -> Sampled:
            began = perf_counter()
            _finish(sampler, lambda: sampler.run(jax.random.key(seed), self.records, extra_fields=EXTRA))
            took = perf_counter() - began
            samples = {name: np.asarray(x) for name, x in sampler.get_samples(group_by_chain=True).items()}
            return _sampled(samples, self.hierarchy, sampler, 0.0, took)

        return sample

    def gradients(self, times: int) -> dict[str, object]:
        """Value and gradient of the log density, one chain, compiled, a thousand at a time."""
        whitened = _potential(self.hierarchy, self.whitening, self.records)
        shape = (self.hierarchy.n_effects, self.records.n_subjects)
        at = {"u": jnp.zeros(self.hierarchy.n_population), "w": jnp.zeros(shape)}
        info = initialize_model(jax.random.key(0), self.model, model_args=(self.records,))
        found = {}
        for name, potential, position in (("dpm", whitened, at), ("numpyro", info.potential_fn, info.param_info.z)):
            each = timed(_thousand(potential, position), times)
            found[name] = {"min": each.least / 1000, "median": each.median / 1000}
        return {"seconds": found}


def _thousand(potential: Callable[[Mapping[str, jax.Array]], jax.Array], position: object) -> Callable[[], object]:
    """A thousand evaluations one after the other in one compiled loop, as a sampler makes them."""
    gradient = jax.value_and_grad(potential)

    @jax.jit
    def loop(start: object) -> object:
        def step(_: int, carry: tuple[object, jax.Array]) -> tuple[object, jax.Array]:
            value, slope = gradient(carry[0])
            return jax.tree.map(lambda x, g: x - 1e-12 * g, carry[0], slope), value

        return jax.lax.fori_loop(0, 1000, step, (start, jnp.zeros(())))

    jax.block_until_ready(loop(position))
    return lambda: jax.block_until_ready(loop(position))


def _finish(sampler: MCMC, run: Callable[[], None]) -> None:
    run()
    jax.block_until_ready(sampler.get_samples())


def _sampled(
    sites: Mapping[str, np.ndarray], hierarchy: Hierarchy, sampler: MCMC, start: float, sample: float
) -> Sampled:
    draws = {site.name: sites[site.name] for site in hierarchy.population if sites[site.name].ndim == 2}
    draws["correlation"] = sites["subject_correlation"][:, :, 1, 0]
    extra = sampler.get_extra_fields()
    return Sampled(draws, start, sample, float(extra["num_steps"].mean()), int(extra["diverging"].sum()))


def furthest(one: Sampled, other: Sampled) -> tuple[str, float]:
    """The population value whose posterior means lie furthest apart, in Monte Carlo errors of their difference."""
    apart = {}
    for name, values in one.draws.items():
        error = np.hypot(float(mcse(values, method="mean")), float(mcse(other.draws[name], method="mean")))
        apart[name] = abs(float(values.mean() - other.draws[name].mean())) / error
    return max(apart.items(), key=lambda item: item[1])


def run(times: int) -> dict[str, object]:
    """Each sampler `times` times after a first run that compiles it; refuses to compare different posteriors."""
    problem = Problem()
    samplers = {
        "dpm": problem.whitened(),
        "numpyro": problem.plain(WARMUP),
        "numpyro_long": problem.plain(1000),
    }
    results: dict[str, list[Sampled]] = {}
    for name, sample in samplers.items():
        sample(0)
        results[name] = [sample(seed) for seed in range(1, times + 1)]
    worst = {name: furthest(results["dpm"][0], other[0]) for name, other in results.items() if name != "dpm"}
    if max(distance for _, distance in worst.values()) > FURTHEST:
        raise RuntimeError(f"posterior means differ by more than {FURTHEST} Monte Carlo errors: {worst}")
    return {
        "runs": {name: [_facts(one) for one in several] for name, several in results.items()},
        "furthest_in_mcse": {name: {"value": value, "apart": apart} for name, (value, apart) in worst.items()},
        "gradient": problem.gradients(times),
    }


def _facts(one: Sampled) -> dict[str, object]:
    name, size = one.least
    return {
        "seconds_start": one.start,
        "seconds_sample": one.sample,
        "least_ess": size,
        "least_ess_of": name,
        "ess_per_second": one.rate,
        "steps_per_draw": one.steps,
        "divergences": one.divergences,
    }


NAMES = {
    "dpm": f"dpm `NUTS()`, warm-up {WARMUP}",
    "numpyro": f"NumPyro `NUTS`, warm-up {WARMUP}",
    "numpyro_long": "NumPyro `NUTS`, warm-up 1000",
}


def text(result: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Rows by sampler: medians over its runs, and the ratio of dpm's rate to its own."""
    tables = {name: pd.DataFrame(runs) for name, runs in result["runs"].items()}
    base = tables["dpm"]["ess_per_second"]
    rows = []
    for name, table in tables.items():
        rate = table["ess_per_second"]
        seconds = table["seconds_start"] + table["seconds_sample"]
        rows.append(
            [
                NAMES[name],
                f"{shown(seconds.min())}, {shown(seconds.median())}",
                f"{table['steps_per_draw'].median():.0f}",
                f"{table['least_ess'].median():.0f}",
                f"{rate.max():.3g}, {rate.median():.3g}",
                f"{base.max() / rate.max():.2g}, {base.median() / rate.median():.2g}",
                f"{table['divergences'].sum():.0f}",
            ]
        )
    header = ["sampler", "seconds (min, median)", "gradients per draw", "smallest bulk ESS (median)"]
    return markdown([*header, "ESS per second (best, median)", "dpm is faster by", "divergences"], rows)


def gradient_text(result: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    seconds = result["gradient"]["seconds"]
    base = seconds["numpyro"]
    names = {"dpm": "dpm, whitened", "numpyro": "NumPyro"}
    rows = [
        [
            names[name],
            shown(took["min"]),
            shown(took["median"]),
            f"{took['min'] / base['min']:.2f}",
            f"{took['median'] / base['median']:.2f}",
        ]
        for name, took in seconds.items()
    ]
    return markdown(["log density and gradient", "min", "median", "ratio of mins", "ratio of medians"], rows)
