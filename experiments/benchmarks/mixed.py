"""Maximum likelihood of one linear mixed model by dpm, statsmodels and nlme.

Log bilirubin of all 312 randomised patients at all visits, straight lines, correlated random level and slope.
With `--first`, this file is a process that imports dpm and fits once, and says how long the fit took.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from numpyro import distributions as dist
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

import dpm
from dpm.components.correlation import LKJ
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from experiments.benchmarks.timing import Seconds, markdown, shown, timed

HERE = Path(__file__).parent
SAME = 1e-4
"""How far the log-likelihoods may lie apart."""

ROLES: dict[str, object] = {
    "subject": "id",
    "time": {"column": "day", "unit": "days"},
    "outcomes": {
        "log_bilirubin": {
            "column": "bilirubin",
            "unit": "mg/dL",
            "transform": "log",
            "lower": 0.05,
            "higher_is": "worse",
        }
    },
}
NAMES = {
    "dpm_first_empty": "dpm, first fit of a process, nothing compiled before",
    "dpm_first_cached": "dpm, first fit of a process, compiled in an earlier one",
    "dpm_compiled": "dpm, compiled",
    "nlme": "R nlme, `lme`, default tolerances",
    "statsmodels": "statsmodels `MixedLM`",
}


def cohort() -> dpm.Cohort:
    return dpm.read_cohort(dpm.data_path("pbc/pbc_longitudinal.csv"), ROLES)


def model() -> dpm.ProgressionModel:
    """The priors play no part in maximum likelihood; their medians are where the search starts."""
    level = dpm.Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0))
    slope = dpm.Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0))
    outcome = dpm.Outcome(dpm.Linear(level=level, slope=slope), dpm.Gaussian(sd=dist.HalfNormal(1.0)))
    return dpm.ProgressionModel(outcomes={"log_bilirubin": outcome}, correlation=LKJ(1.0))


def first_fit() -> None:
    """Print seconds and log-likelihood of this process's only fit."""
    data, method = cohort(), dpm.Laplace(objective="ml")
    began = time.perf_counter()
    posterior = dpm.fit(model(), data, method=method, key=jax.random.key(0))
    print(time.perf_counter() - began, posterior.provenance["log_likelihood"])


def first_fits(times: int) -> dict[str, tuple[Seconds, float]]:
    """`first_fit` in new processes, each time with an empty folder for compiled code and then with a filled one."""
    every: dict[str, list[float]] = {"dpm_first_empty": [], "dpm_first_cached": []}
    likelihood = np.nan
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            for seconds in every.values():
                printed = subprocess.run(
                    [sys.executable, "-m", "experiments.benchmarks.mixed", "--first"],
                    env={**os.environ, "DPM_COMPILATION_CACHE": folder},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                took, likelihood = map(float, printed.stdout.split()[-2:])
                seconds.append(took)
    return {name: (Seconds(seconds), likelihood) for name, seconds in every.items()}


def compiled(times: int) -> tuple[Seconds, float]:
    """From the start to the maximum and its information, with functions compiled before."""
    records, method = cohort().records(), dpm.Laplace(objective="ml")
    marginal = Marginal(Hierarchy.of(model(), records))
    optimum = method.maximise(marginal, records, key=jax.random.key(0))
    return timed(lambda: method.maximise(marginal, records, key=jax.random.key(0)), times), optimum.log_likelihood


def statsmodels(times: int) -> tuple[Seconds, float]:
    """Its default optimisers; time in units of five years, which they need to converge quickly."""
    visits = cohort().visits
    design = np.column_stack([np.ones(len(visits)), visits["time"] / 5.0])

    def fit() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = MixedLM(visits["log_bilirubin"].to_numpy(), design, visits["subject"].to_numpy(), exog_re=design)
            return float(fitted.fit(reml=False).llf)

    likelihood = fit()
    return timed(fit, times), likelihood


def nlme(times: int) -> tuple[Seconds, float, str] | str:
    """Timed inside R, without its start; a reason where it cannot run."""
    if shutil.which("Rscript") is None:
        return "Rscript is not installed"
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "visits.csv"
        cohort().visits.drop(columns="row").to_csv(table, index=False)
        command = ["Rscript", str(HERE / "nlme.R"), str(table), str(times)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        return "R or its package nlme failed: " + ran.stderr.strip().splitlines()[-1]
    lines = ran.stdout.split("\n")
    seconds, likelihood = [float(word) for word in lines[0].split()], float(lines[1])
    return Seconds(seconds), likelihood, lines[2]


def run(times: int) -> dict[str, object]:
    """All of them; refuses to compare times of different answers."""
    found: dict[str, tuple[Seconds, float]] = {"dpm_compiled": compiled(times), "statsmodels": statsmodels(times)}
    found |= first_fits(times)
    other = nlme(times)
    result: dict[str, object] = {"skipped": {}}
    if isinstance(other, str):
        result["skipped"] = {"nlme": other}
    else:
        found["nlme"] = other[:2]
        result["r"] = other[2]
    reference = found["dpm_compiled"][1]
    apart = {name: likelihood - reference for name, (_, likelihood) in found.items()}
    if max(map(abs, apart.values())) > SAME:
        raise RuntimeError(f"log-likelihoods differ by more than {SAME}: {apart}")
    result["log_likelihood"] = {name: likelihood for name, (_, likelihood) in found.items()}
    result["seconds"] = {name: found[name][0].to_dict() for name in NAMES if name in found}
    return result


def text(result: dict[str, Any]) -> str:
    table = pd.DataFrame(result["seconds"]).T
    base = table.loc["dpm_compiled"]
    likelihoods = result["log_likelihood"]
    assert isinstance(likelihoods, dict)
    rows = [
        [
            NAMES[str(name)],
            shown(row["min"]),
            shown(row["median"]),
            f"{row['min'] / base['min']:.2g}",
            f"{row['median'] / base['median']:.2g}",
            f"{likelihoods[name]:.5f}",
        ]
        for name, row in table.iterrows()
    ]
    return markdown(["fit", "min", "median", "ratio of mins", "ratio of medians", "log-likelihood"], rows)


if __name__ == "__main__" and "--first" in sys.argv:
    first_fit()
