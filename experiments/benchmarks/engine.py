"""What the choices inside dpm's engine cost: chunks of subjects, and spreads that the data leave near zero.

python -m experiments.benchmarks.engine SUBJECTS CELLS

is one compiling and timing of the gradient of the logistic model's marginal likelihood, in a process of its own.
"""

import json
import sys
import time
from typing import Any

import jax
import numpy as np
from arviz_stats.base.array import array_stats
from numpyro import distributions as dist

import dpm
from dpm.inference import chunks
from dpm.inference.draws import Draws
from dpm.inference.evaluation import evaluate
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.inference.surface import Surface
from experiments.benchmarks import programs, simulators
from experiments.benchmarks.timing import markdown, shown

SUBJECTS = 10_000
CELLS = {"chunks of 250": 2_000, "chunks of 500 (default)": 4_096, "chunks of 1,000": 8_000, "all at once": 80_000}
"""Visits times subjects of a chunk."""


def one(subjects: int, cells: int) -> dict[str, float]:
    """CPU seconds of compiling, and of one gradient whose searches for modes begin at the modes."""
    chunks.CELLS["cpu"] = cells
    records = simulators.cohort("logistic", subjects).records()
    hierarchy = Hierarchy.of(simulators.logistic(), records)
    surface, vector = Surface(Marginal(hierarchy), records, prior=False), hierarchy.prior_centre()
    traced = evaluate.lower(vector, surface.marginal, False, None, surface.starts, surface.parts)
    began = time.process_time()
    compiled = traced.compile()
    compiling = time.process_time() - began
    found = jax.block_until_ready(compiled(vector, surface.starts, surface.parts))
    starts, each = tuple(part.effects for part in found.subjects), []
    for _ in range(7):
        began = time.process_time()
        jax.block_until_ready(compiled(vector, starts, surface.parts))
        each.append(time.process_time() - began)
    return {"compiling": compiling, "gradient": min(each)}


def lines() -> dpm.ProgressionModel:
    """A line per child of the orthodont data, whose spread of levels at age zero the data leave near zero."""
    level = dpm.Parameter(dist.Normal(17.0, 5.0), subject=dist.HalfNormal(2.0))
    slope = dpm.Parameter(dist.Normal(0.7, 0.5), subject=dist.HalfNormal(0.5))
    noise = dpm.Gaussian(sd=dist.HalfNormal(2.0))
    return dpm.ProgressionModel(outcomes={"distance": dpm.Outcome(dpm.Linear(level=level, slope=slope), noise)})


def funnel(seeds: int) -> dict[str, list[dict[str, float]]]:
    """Divergences and least bulk ESS of 4 chains of 1,500 draws by both samplers."""
    table = dpm.load_data("orthodont")
    by_child = {name: table[name].to_numpy(float).reshape(27, 4).T for name in ("age_years", "distance_mm")}
    time_, values = (jax.numpy.asarray(by_child[name]) for name in ("age_years", "distance_mm"))
    observed = {"distance": jax.numpy.ones(time_.shape, bool)}
    records = dpm.Records(time=time_, values={"distance": values}, observed=observed, covariates={}, groups={})
    model = lines()
    methods: dict[str, dpm.NUTS | dpm.MarginalNUTS] = {
        "NUTS()": dpm.NUTS(draws=1500, progress=False),
        "MarginalNUTS()": dpm.MarginalNUTS(draws=1500, progress=False),
    }
    return {
        name: [told(method.run(model, records, key=jax.random.key(seed))) for seed in range(1, seeds + 1)]
        for name, method in methods.items()
    }


def told(draws: Draws) -> dict[str, float]:
    each = [values.reshape(*values.shape[:2], -1) for values in draws.sites.values()]
    ess = [float(array_stats.ess(v[..., k])) for v in each for k in range(v.shape[-1]) if np.ptp(v[..., k]) > 1e-12]
    return {"divergences": int(draws.stats["diverging"].sum()), "least_ess": min(ess)}


def run(times: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cells in CELLS.items():
        ran = programs.python("engine", SUBJECTS, cells, env={"DPM_COMPILATION_CACHE": "off"})
        found[name] = ran if isinstance(ran, str) else ran.found
    return {"subjects": SUBJECTS, "gradient": found, "funnel": funnel(times)}


def text(result: dict[str, Any]) -> str:
    rows = [
        [name, each, ""] if isinstance(each, str) else [name, shown(each["compiling"]), shown(each["gradient"])]
        for name, each in result["gradient"].items()
    ]
    first = markdown([f"gradient, {result['subjects']:,} subjects", "compiling, CPU", "one, CPU"], rows)
    rows = [
        [name, *("/".join(f"{one[key]:,.0f}" for one in runs) for key in ("divergences", "least_ess"))]
        for name, runs in result["funnel"].items()
    ]
    return first + "\n\n" + markdown(["27 children, 6,000 draws", "divergences, by seed", "least bulk ESS"], rows)


if __name__ == "__main__":
    print(json.dumps(one(*map(int, sys.argv[1:]))))
