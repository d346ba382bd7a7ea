"""leaspy's logistic model without sources, one and three markers: leaspy's stochastic EM and dpm's Laplace fit.

The same model in other terms; leaspy also gives its population values a prior of sd 0.01 around parameters that it
learns, and computes in float32. Its estimates are held against dpm's likelihood: how far short of the maximum they are.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

import dpm
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from experiments.benchmarks import programs, simulators
from experiments.benchmarks.logistic import by_dpm
from experiments.benchmarks.timing import markdown, shown

SCRIPT = Path(__file__).parent / "rivals" / "leaspy_fit.py"
LEASPY_PYTHON = os.environ.get("BENCH_LEASPY_PYTHON", sys.executable)
"""A Python that has leaspy: its numpy is older than dpm's."""

DEFAULT_ITERATIONS = 10_000
MODELS = ("shifted_1", "shifted_3")


def in_dpm_terms(parameters: dict[str, Any], markers: list[str]) -> dict[str, float]:
    r"""From leaspy's $\{1 + g\exp(-v (1 + g)^2/g \cdot e^\xi (t - \tau))\}^{-1}$ to rates and midpoints."""
    g, velocity = (np.exp(np.atleast_1d(parameters[name])) for name in ("log_g_mean", "log_v0_mean"))
    rate = velocity * (1.0 + g) ** 2 / g
    noise = np.broadcast_to(np.atleast_1d(parameters["noise_std"]), rate.shape)
    first = {name: float(np.ravel(parameters[name])[0]) for name in ("tau_mean", "tau_std", "xi_std")}
    values = {"clock_onset": first["tau_mean"], "clock_onset_sd": first["tau_std"], "clock_pace_sd": first["xi_std"]}
    for k, marker in enumerate(markers):
        values |= {f"{marker}_rate": float(np.log(rate[k])), f"{marker}_midpoint": float(np.log(g[k]) / rate[k])}
        values[f"{marker}_sd"] = float(noise[k])
    return values


def judged(name: str, values: dict[str, float], file: Path) -> float:
    """The log-likelihood at these values by dpm."""
    records = dpm.read_written(file).records()
    hierarchy = Hierarchy.of(simulators.MODELS[name](), records)
    vector = hierarchy.unconstrain({site: jnp.asarray(value) for site, value in values.items()})
    return float(jnp.sum(jax.jit(lambda at: Marginal(hierarchy).log_marginal(at, records)[0])(vector)))


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 120.0) -> dict[str, Any]:
    """Both programs; leaspy for as many of its iterations as fit into about `limit` CPU seconds."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in MODELS:
            for n in sizes or (1_000,):
                file = simulators.stored(name, n, folder)
                mine = by_dpm(file, times, folder / f"cache_{name}_{n}", name=name)
                theirs = _leaspy(name, n, file, limit)
                if isinstance(mine, dict) and isinstance(theirs, dict):
                    best = mine["log_likelihood"]
                    theirs["short_of_optimum"] = best - judged(name, theirs["values"], file)
                    off = {
                        site: (value - mine["estimates"][site]) / mine["se"][site]
                        for site, value in theirs["values"].items()
                    }
                    theirs["off_in_se"] = off
                found[f"{name} {n}"] = {"dpm": mine, "leaspy": theirs}
    return {"default_iterations": DEFAULT_ITERATIONS, "fits": found}


def _leaspy(name: str, n: int, file: Path, limit: float) -> dict[str, Any] | str:
    """A short run to learn the price of an iteration, then one that fits the limit."""
    short = programs.run([LEASPY_PYTHON, str(SCRIPT), str(file), "100", "1"])
    if isinstance(short, str):
        return short
    iterations = int(min(DEFAULT_ITERATIONS, max(200, 100 * limit / short.found["cpu"])))
    ran = programs.run([LEASPY_PYTHON, str(SCRIPT), str(file), str(iterations), "1"], limit=8 * limit)
    if isinstance(ran, str):
        return ran
    one = ran.found
    scale = DEFAULT_ITERATIONS / iterations
    return {
        **{key: one[key] for key in ("cpu", "wall", "iterations", "peak_gb", "version")},
        "process_cpu": ran.cpu,
        "cpu_of_default_iterations": one["cpu"] * scale,
        "values": in_dpm_terms(one["parameters"], one["markers"]),
    }


def text(result: dict[str, Any]) -> str:
    rows, lines = [], []
    for fit, both in result["fits"].items():
        mine, theirs = both["dpm"], both["leaspy"]
        for name, one in both.items():
            if isinstance(one, str):
                lines.append(f"{name}, {fit} subjects: {one}")
        if isinstance(mine, str):
            continue
        cpu = min(mine["cpu"])
        rows.append([fit, "dpm `Laplace`, with standard errors", shown(cpu), "1", "", "0"])
        if isinstance(theirs, dict):
            for iterations in sorted({theirs["iterations"], result["default_iterations"]}):
                took = theirs["cpu"] * iterations / theirs["iterations"]
                label = f"leaspy, {iterations:,} iterations" + (
                    "" if iterations == theirs["iterations"] else ", at that rate"
                )
                short = f"{theirs['short_of_optimum']:.3g}" if iterations == theirs["iterations"] else ""
                worst = f"{max(map(abs, theirs['off_in_se'].values())):.2g}" if short else ""
                rows.append([fit, label, shown(took), f"{took / cpu:.3g}", worst, short])
    header = [
        "model, subjects",
        "fit",
        "CPU",
        "× dpm's",
        "worst estimate off by, se",
        "log-likelihood short of the maximum",
    ]
    return "\n".join([markdown(header, rows), *lines])
