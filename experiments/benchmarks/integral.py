"""How far is each level of the integral over effects from exact, and what does it cost?

The log likelihood of all subjects at draws of population values from Laplace's posterior, less that of a much finer
level. What weighs draws wrongly is not the error itself but how it differs between draws: its sd.
"""

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from dpm.inference.accuracy import described
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.inference.start import Start
from dpm.inference.surface import totals
from experiments.benchmarks import simulators
from experiments.benchmarks.timing import markdown, shown

DRAWS = 24
EXACT = {"logistic": 13, "latent_time": 15}
"""Nodes per effect, of those that do not enter linearly, that count as exact."""

NODES = {"logistic": (5, 7), "latent_time": (3, 5, 9)}
POINTS = 512


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 120.0) -> dict[str, Any]:
    """`times` keys of quasi-Monte-Carlo, which works on all effects here; `limit` plays no part."""
    return {f"{name} {n}": one(name, n, times) for name in EXACT for n in sizes or (1_000,)}


def one(name: str, n: int, times: int) -> list[dict[str, Any]]:
    """By level: mean and sd over draws of its error [log units], and CPU seconds a draw."""
    records = simulators.cohort(name, n).records()
    hierarchy = Hierarchy.of(simulators.MODELS[name](), records)
    start = Start.of_laplace(Marginal(hierarchy), records, key=jax.random.key(1))
    vectors = start.optimum.sample(DRAWS, key=jax.random.key(2))

    def total(level: Marginal) -> tuple[np.ndarray, float]:
        for _ in range(2):  # the second finds all compiled
            began = time.process_time()
            found = totals(level, records, vectors, start.optimum.effects, prior=False)
        return found, (time.process_time() - began) / DRAWS

    by_nodes = Marginal.at(hierarchy, "quadrature", records, n_nodes=EXACT[name])
    exact, _ = total(by_nodes)
    levels = [Marginal(hierarchy), *(by_nodes.with_nodes("quadrature", k) for k in NODES[name])]
    levels += [Marginal(hierarchy).with_nodes("qmc", POINTS, key=jax.random.key(k)) for k in range(times)]
    found = []
    for level in levels:
        value, seconds = total(level)
        error = value - exact
        found.append(
            {"level": described(level), "mean": float(error.mean()), "sd": float(error.std()), "seconds": seconds}
        )
    return found


def text(result: dict[str, Any]) -> str:
    rows = [
        [study, row["level"], f"{row['mean']:.2g}", f"{row['sd']:.2g}", shown(row["seconds"])]
        for study, each in result.items()
        for row in each
    ]
    return markdown(["study", "level", "mean error", "its sd over draws", "CPU a draw"], rows)
