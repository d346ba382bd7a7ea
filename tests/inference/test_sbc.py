"""Ranks of the truth are uniform for an engine that is exact; experiments/sbc holds the long run and every engine."""

import json
from dataclasses import dataclass
from functools import cache

import jax
import numpy as np
import pandas as pd
import pytest
from jax import numpy as jnp
from scipy.stats import binom

from dpm.cohort.buckets import Data
from dpm.inference.draws import Draws, Method, host
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.population import population_draws
from dpm.types import Key, Model
from experiments.sbc import summary, uniform
from experiments.sbc.run import RESULTS, remaining
from experiments.sbc.simulations import ENGINES, quantities, record, simulation
from experiments.sbc.worlds import WORLDS, World, growth

SIMULATIONS = 80


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """An engine whose draws are moved by `shift` sds and shrunk by `shrink`, on the unconstrained scale."""

    method: Method
    shift: float = 0.0
    shrink: float = 1.0

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        found, hierarchy = self.method.run(model, records, key=key), Hierarchy.of(model, records)
        sites = {site.name: jnp.asarray(found.sites[site.name][0]) for site in hierarchy.population}
        vectors = np.asarray(jax.vmap(hierarchy.unconstrain)(sites))
        mean, sd = vectors.mean(axis=0), vectors.std(axis=0)
        moved = mean + self.shift * sd + self.shrink * (vectors - mean)
        values = host(population_draws(jnp.asarray(moved), hierarchy, records))
        return Draws(sites={name: value[None] for name, value in values.items()}, facts=found.facts)


@cache
def world() -> World:
    return growth()


def smallest_p(method: Method) -> float:
    """Of all quantities, times their number."""
    names, fits = quantities(world()), []
    for number in range(SIMULATIONS):
        fit = record(world(), simulation(world(), 0, number), method, key=jax.random.key(number))
        fits.append({"number": number, "world": "growth", "engine": "laplace_weighted", **fit})
    assert sum("refused" in fit for fit in fits) <= SIMULATIONS // 20
    table = uniform.table(summary.fractions(fits, {"growth": names}))
    assert set(table["quantity"]) == set(names)
    return float(table["p"].min() * len(names))


@pytest.mark.slow
def test_weighted_laplace_is_calibrated_and_a_wrong_engine_is_found_out() -> None:
    right = Laplace(level="quadrature", importance=2048)
    assert smallest_p(right) > 0.05
    assert smallest_p(Wrong(method=right, shrink=0.5)) < 0.001
    assert smallest_p(Wrong(method=right, shift=0.5)) < 0.001


def test_uniform_fractions_pass_as_often_as_they_should() -> None:
    rng = np.random.default_rng(7)
    p = np.array([uniform.p_value(rng.random(50)) for _ in range(2000)])
    for level in (0.05, 0.2, 0.5):
        low, high = binom.interval(0.999, len(p), level)
        assert low <= (p <= level).sum() <= high


def test_the_band_holds_whole_curves_as_often_as_it_says() -> None:
    rng, n = np.random.default_rng(8), 60
    grid, low, high = uniform.band(n, 0.9)
    samples = rng.random((2000, n))
    curves = (samples[:, :, None] <= grid).mean(axis=1)
    inside = ((curves >= low - 1e-12) & (curves <= high + 1e-12)).all(axis=1)
    least, most = binom.interval(0.999, len(samples), 0.9)
    assert least <= inside.sum() <= most


def test_ranks_out_of_fewer_draws_are_uniform_too() -> None:
    rng = np.random.default_rng(9)
    of = rng.integers(5, 100, 600)
    ranks = rng.integers(0, of + 1)
    assert uniform.p_value(uniform.fractions(ranks, of, seed=1)) > 0.05
    assert uniform.p_value(uniform.fractions(np.minimum(ranks + 5, of), of, seed=1)) < 0.01


@pytest.fixture(scope="module")
def stored() -> list[dict[str, object]]:
    lines = (RESULTS / "simulations.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_readme_shows_the_stored_results(stored: list[dict[str, object]]) -> None:
    readme = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    kept = json.loads((RESULTS / "summary.json").read_text(encoding="utf-8"))
    names = kept["quantities"]
    table = uniform.table(summary.fractions(stored, names))
    pd.testing.assert_frame_equal(pd.DataFrame(kept["table"]), table, rtol=1e-6)
    assert summary.calibration_text(table, stored) in readme
    accuracy = json.loads((RESULTS / "accuracy.json").read_text(encoding="utf-8"))
    assert summary.accuracy_text(accuracy) in readme


def test_every_engine_was_fitted_to_the_same_simulations(stored: list[dict[str, object]]) -> None:
    done = {(fit["number"], fit["world"], fit["engine"]) for fit in stored}
    assert len(done) == len(stored)
    wanted = len(done) // (len(WORLDS) * len(ENGINES))
    assert wanted >= 100
    assert list(remaining(RESULTS / "simulations.jsonl", wanted)) == []
