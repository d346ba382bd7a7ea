"""No-U-turn sampling of one model by dpm and by NumPyro alone: independent draws a second, compiling apart.

The model of the PBC study (`models/pbc_bilirubin.py`) on its placebo arm, the same callable for both: non-centred
subject effects. NumPyro samples it as it is; dpm starts from a Laplace fit and samples in whitened variables. With
`--one`, this file is a process that samples once, with nothing compiled before, and says what it found.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from numpyro.infer import MCMC, init_to_uniform, init_to_value
from numpyro.infer import NUTS as Kernel

import dpm
from dpm.cohort.encodings import Encodings
from dpm.types import Sites
from experiments.benchmarks.stopwatch import Stopwatch
from experiments.benchmarks.timing import markdown, shown
from models.pbc_bilirubin import build

STUDY = Path(__file__).parents[1] / "pbc_dpenicillamine" / "study.toml"
CHAINS, DRAWS = 4, 1000
SAMPLERS = {
    "dpm": "dpm `NUTS()`, 300 warm-up draws a chain (its default)",
    "numpyro_300": "NumPyro `NUTS`, 300 warm-up draws a chain",
    "numpyro_1000": "NumPyro `NUTS`, 1,000 warm-up draws a chain",
}
MEASURES = ("cpu", "wall")


def cohort() -> dpm.Cohort:
    """The placebo arm, its columns read as the study reads them."""
    roles = tomllib.loads(STUDY.read_text(encoding="utf-8"))["data"]["roles"]
    return dpm.read_cohort("data:pbc/pbc_longitudinal.csv", roles).where(arm="placebo")


def sample(
    sampler: str,
    model: dpm.ProgressionModel,
    data: dpm.Cohort,
    seed: int,
    *,
    chains: int = CHAINS,
    draws: int = DRAWS,
    start: Callable[[dpm.Records], Sites] | None = None,
) -> dpm.Posterior:
    """Chains one after the other, NumPyro's from `start`; what is not said is the sampler's own default."""
    key = jax.random.key(seed)
    if sampler == "dpm":
        method = dpm.NUTS(chains=chains, draws=draws, chain_method="sequential", progress=False)
        return dpm.fit(model, data, method=method, key=key)
    if sampler == "dpm_marginal":
        marginal = dpm.MarginalNUTS(chains=chains, draws=draws, chain_method="sequential", progress=False)
        return dpm.fit(model, data, method=marginal, key=key)
    encodings = Encodings.learn(data)
    warmup, records = int(sampler.removeprefix("numpyro_")), data.records(encodings)
    begin = init_to_uniform if start is None else init_to_value(values=start(records))
    plain = MCMC(
        Kernel(model, init_strategy=begin),
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="sequential",
        progress_bar=False,
    )
    plain.run(key, records, extra_fields=("diverging", "num_steps", "energy"))
    return dpm.Posterior.from_mcmc(model, data, encodings, plain)


def one(sampler: str, seed: int) -> dict[str, object]:
    """One run on the PBC study."""
    data = cohort()
    with Stopwatch() as watch:
        posterior = sample(sampler, build(), data, seed)
    return {"seed": seed, **worst(posterior), "seconds": watch.seconds()}


def worst(posterior: dpm.Posterior) -> dict[str, Any]:
    """The worst diagnostics over population values; the means of all."""
    table = dpm.parameter_table(posterior).set_index("site")
    stats = posterior.tree["sample_stats"].to_dataset()
    return {
        "least_ess_bulk": float(table["ess_bulk"].min()),
        "least_ess_bulk_of": str(table["ess_bulk"].idxmin()),
        "worst_r_hat": float(table["rhat"].max()),
        "divergences": int(stats["diverging"].sum()),
        "steps_per_draw": float(stats["n_steps"].mean()),
        "means": table["mean"].to_dict(),
        "mcse": table["mcse_mean"].to_dict(),
        "sds": table["sd"].to_dict(),
    }


def run(times: int) -> dict[str, object]:
    """Every sampler with `times` seeds, in turn, each in a process of its own; refuses to compare different answers."""
    found: dict[str, list[dict[str, object]]] = {name: [] for name in SAMPLERS}
    for seed in range(1, times + 1):
        for name, runs in found.items():
            printed = subprocess.run(
                [sys.executable, "-m", "experiments.benchmarks.sampling", "--one", name, str(seed)],
                env={**os.environ, "DPM_COMPILATION_CACHE": "off"},
                capture_output=True,
                text=True,
                check=True,
            )
            runs.append(json.loads(printed.stdout.splitlines()[-1]))
    require_same_answer(found)
    kept = {
        name: [{k: v for k, v in each.items() if k not in ("means", "mcse", "sds")} for each in runs]
        for name, runs in found.items()
    }
    return {"chains": CHAINS, "draws": DRAWS, "runs": kept}


def require_same_answer(found: dict[str, list[dict[str, object]]], most: float = 5.0) -> None:
    """Posterior means of every run lie within `most` Monte Carlo standard errors of those of the first."""
    (first, *others) = [pd.DataFrame(each)[["means", "mcse"]] for runs in found.values() for each in runs]
    for other in others:
        apart: pd.Series = (other["means"] - first["means"]).abs() / np.hypot(other["mcse"], first["mcse"])
        if apart.max() > most:
            raise RuntimeError(f"posterior means differ by {apart.max():.1f} standard errors at {apart.idxmax()}")


def text(result: dict[str, object]) -> str:
    runs = result["runs"]
    assert isinstance(runs, dict)
    tables = {name: pd.json_normalize(each) for name, each in runs.items()}
    rates = {
        name: {kind: float((table["least_ess_bulk"] / table[f"seconds.{kind}"]).median()) for kind in MEASURES}
        for name, table in tables.items()
    }
    rows = [
        [
            SAMPLERS[name],
            *(f"{table[column].median():.3g}" for column in ("least_ess_bulk", "steps_per_draw")),
            f"{table['divergences'].sum():.0f}",
            *(shown(table[f"seconds.{kind}"].median()) for kind in ("compile_cpu", *MEASURES)),
            *(f"{rates[name][kind]:.3g}" for kind in MEASURES),
            *(f"{rates['dpm'][kind] / rates[name][kind]:.2g}" for kind in MEASURES),
        ]
        for name, table in tables.items()
    ]
    header = ["sampler", "least bulk ESS", "steps a draw", "divergences", "compiling, CPU", "rest, CPU", "rest, wall"]
    return markdown([*header, "ESS per CPU s", "ESS per wall s", "dpm is × faster, CPU", "wall"], rows)


if __name__ == "__main__" and "--one" in sys.argv:
    print(json.dumps(one(sys.argv[-2], int(sys.argv[-1]))))
