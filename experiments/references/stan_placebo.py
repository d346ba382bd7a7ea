"""Posterior of the placebo natural-history model by Stan, as a reference for dpm's own fit.

The model is `placebo.stan`, beside this file. Data: placebo arm of the Mayo primary biliary cholangitis trial, every
visit. Run from the repository root; see README.md for the environment. Exits 1 if a convergence gate fails.
"""

import argparse
import hashlib
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpstan
import numpy as np
import pandas as pd
import stan
from arviz_stats.base import array_stats

HERE = Path(__file__).parent
DATA = Path("data/pbc/pbc_longitudinal.csv")
COVARIATES = ("age", "female", "log_albumin", "log_protime", "edema")
STANDARDISED = ("age", "log_albumin", "log_protime")
DAYS_PER_YEAR = 365.25
RHAT_GATE = 1.005
ESS_GATE = 2000.0


def baseline_covariates(visits: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """Covariates at day 0, one row per patient, with the centre and scale (sd, ddof = 1) that were applied.

    Args:
        visits: long table of one arm, columns id, day, age [years], sex, albumin [g/dL], protime [s], edema.
    """
    first = visits[visits["day"] == 0].set_index("id").sort_index()
    raw = pd.DataFrame(
        {
            "age": first["age"],
            "female": (first["sex"] == "female").astype(float),
            "log_albumin": np.log(first["albumin"]),
            "log_protime": np.log(first["protime"]),
            "edema": first["edema"].astype(float),
        }
    )
    scaling = {
        name: {"centre": float(raw[name].mean()), "scale": float(raw[name].std(ddof=1))} for name in STANDARDISED
    }
    for name, by in scaling.items():
        raw[name] = (raw[name] - by["centre"]) / by["scale"]
    return raw[list(COVARIATES)], scaling


def stan_data(visits: pd.DataFrame, covariates: pd.DataFrame) -> dict[str, Any]:
    """The data block of `placebo.stan`: time in years since baseline, value = log(bilirubin in mg/dL)."""
    position = {subject: i + 1 for i, subject in enumerate(covariates.index)}
    return {
        "n_values": len(visits),
        "n_subjects": len(covariates),
        "n_covariates": len(COVARIATES),
        "subject": [position[subject] for subject in visits["id"]],
        "time": (visits["day"] / DAYS_PER_YEAR).tolist(),
        "value": np.log(visits["bilirubin"]).tolist(),
        "covariates": covariates.to_numpy().tolist(),
    }


def population_names() -> dict[str, str]:
    """Reported name of every population value -> its column in Stan's table of draws."""
    names = {"level": "level", "slope": "slope"}
    for effect in ("level", "slope"):
        names |= {f"{effect}_{name}": f"beta_{effect}.{k}" for k, name in enumerate(COVARIATES, start=1)}
    return names | {name: name for name in ("level_sd", "slope_sd", "correlation", "noise_sd")}


def by_chain(column: pd.Series, chains: int) -> np.ndarray:
    """Draws of one value as (chain, draw); in Stan's table the chain runs fastest."""
    return column.to_numpy().reshape(-1, chains).T


def summarise(draws: np.ndarray) -> dict[str, float]:
    """Moments, quantiles and convergence of one value from its (chain, draw) array; R-hat and ESS rank-normalised."""
    low, median, high = np.quantile(draws, [0.025, 0.5, 0.975])
    return {
        "mean": float(draws.mean()),
        "sd": float(draws.std(ddof=1)),
        "q2.5": float(low),
        "q50": float(median),
        "q97.5": float(high),
        "ess_bulk": float(array_stats.ess(draws, method="bulk")),
        "ess_tail": float(array_stats.ess(draws, method="tail", prob=(0.05, 0.95))),
        "rhat": float(array_stats.rhat(draws, method="rank")),
        "mcse_mean": float(array_stats.mcse(draws, method="mean")),
    }


def stan_version() -> str:
    """Version of the Stan library that httpstan carries, from its own header."""
    header = Path(httpstan.__file__).parent / "include" / "stan" / "version.hpp"
    words = [line.split() for line in header.read_text().splitlines()]
    number = {word[1]: word[2] for word in words if len(word) == 3 and word[0] == "#define"}
    return ".".join(number[f"STAN_{part}"] for part in ("MAJOR", "MINOR", "PATCH"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=10000, help="draws kept per chain")
    parser.add_argument("--seed", type=int, default=20240501)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "stan_placebo.json")
    return parser.parse_args()


def sampler_report(frame: pd.DataFrame, chains: int) -> dict[str, float]:
    """Stan on its own sampling: divergences, share of draws at the depth limit, mean path, smallest E-BFMI."""
    return {
        "divergences": int(frame["divergent__"].sum()),
        "share_at_tree_depth_10": float((frame["treedepth__"] >= 10).mean()),
        "mean_leapfrog_steps": float(frame["n_leapfrog__"].mean()),
        "smallest_ebfmi": float(np.min(array_stats.bfmi(by_chain(frame["energy__"], chains)))),
    }


def provenance(arguments: argparse.Namespace, program: str) -> dict[str, Any]:
    """What the run was made from: data, program, versions, seed, length."""
    return {
        "data": {"file": str(DATA), "sha256": hashlib.sha256(DATA.read_bytes()).hexdigest(), "arm": "placebo"},
        "program_sha256": hashlib.sha256(program.encode()).hexdigest(),
        "versions": {"stan": stan_version()}
        | {name: version(name) for name in ("pystan", "httpstan", "arviz-stats", "numpy", "pandas")},
        "seed": arguments.seed,
        "chains": arguments.chains,
        "warmup": arguments.warmup,
        "draws_per_chain": arguments.draws,
    }


def judge(parameters: dict[str, dict[str, float]], sampler: dict[str, float]) -> dict[str, Any]:
    """The gates, the worst values met, and whether all gates are passed."""
    rhat = max(value["rhat"] for value in parameters.values())
    ess = min(min(value["ess_bulk"], value["ess_tail"]) for value in parameters.values())
    return {
        "gates": {"rhat_below": RHAT_GATE, "ess_above": ESS_GATE, "divergences": 0},
        "worst": {"rhat": rhat, "ess": ess},
        "passed": rhat < RHAT_GATE and ess > ESS_GATE and sampler["divergences"] == 0,
    }


def main() -> int:
    """Fit, summarise, store; returns 1 when a gate fails."""
    arguments = parse_arguments()
    table = pd.read_csv(DATA)
    visits = table[table["arm"] == "placebo"]
    covariates, scaling = baseline_covariates(visits)
    program = (HERE / "placebo.stan").read_text()
    posterior = stan.build(program, data=stan_data(visits, covariates), random_seed=arguments.seed)
    start = time.perf_counter()
    # refresh=0: on a busy machine httpstan 4.17 can read a progress line cut in two and abort the chain over it.
    fit = posterior.sample(
        num_chains=arguments.chains, num_warmup=arguments.warmup, num_samples=arguments.draws, refresh=0
    )
    seconds = time.perf_counter() - start
    frame = fit.to_frame()
    columns = population_names()
    parameters = {name: summarise(by_chain(frame[column], arguments.chains)) for name, column in columns.items()}
    sampler = sampler_report(frame, arguments.chains)
    result = provenance(arguments, program) | {"n_subjects": len(covariates), "n_values": len(visits)}
    result |= {"standardisation": scaling, "wall_seconds": round(seconds, 1), "sampler": sampler}
    result |= judge(parameters, sampler) | {"parameters": parameters}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(pd.DataFrame(parameters).T.round(4).to_string())
    print(json.dumps({key: result[key] for key in ("sampler", "worst", "wall_seconds", "passed")}))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
