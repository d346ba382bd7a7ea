"""The posterior of the joint model of bilirubin and death or transplant, all 312 patients: dpm's `NUTS` and JMbayes2.

    python -m experiments.benchmarks.joint_posterior SEED

is one run of dpm, in one process on one core. The association and its sd stand beside the maximum of the exact
likelihood (1.23122, standard error 0.0859) and a published posterior with a spline hazard (1.2433, sd 0.0847). JMbayes2
fits the same model at its default lengths, by Metropolis steps over every patient's effects; its priors of the marker's
values and of the hazard are its own.
"""

import json
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from arviz_stats.base.array import array_stats

import dpm
from experiments.benchmarks import programs
from experiments.benchmarks.sampling import STUDY, worst
from experiments.benchmarks.stopwatch import Stopwatch
from experiments.benchmarks.timing import markdown, shown
from models import pbc_joint

CHAINS, DRAWS = 2, 500
ASSOCIATION = "end_log_bilirubin"
RIVALS = Path(__file__).parent / "rivals"
HAZARDS = ("weibull", "splines")
NAMES = {
    "dpm": "dpm `NUTS()`",
    "jmbayes2_weibull": "JMbayes2, Weibull hazard",
    "jmbayes2_splines": "JMbayes2, its own spline hazard",
}


def cohort() -> dpm.Cohort:
    """All patients, as the study reads them."""
    roles = tomllib.loads(STUDY.read_text(encoding="utf-8"))["data"]["roles"]
    return dpm.read_cohort("data:pbc/pbc_longitudinal.csv", roles)


def one(seed: int) -> dict[str, Any]:
    """Times and the worst diagnostics of one fit by `NUTS`."""
    data = cohort()
    method = dpm.NUTS(chains=CHAINS, draws=DRAWS, chain_method="sequential", progress=False)
    with Stopwatch() as watch:
        posterior = dpm.fit(pbc_joint.build(), data, method=method, key=jax.random.key(seed))
    found = worst(posterior)
    association = {name: found.pop(name)[ASSOCIATION] for name in ("means", "sds", "mcse")}
    association["ess_bulk"] = float(dpm.parameter_table(posterior).set_index("site")["ess_bulk"][ASSOCIATION])
    return {"seed": seed, **found, "association": association, "seconds": watch.seconds()}


def by_jmbayes2(hazard: str, seed: int, folder: Path, limit: float) -> dict[str, Any] | str:
    """One fit by JMbayes2 in a process of R; its draws are judged as dpm's are.

    Args:
        hazard: "weibull", or "splines" as it does by itself.
        seed: of its chains.
        folder: for files.
        limit: on the wall [s].
    """
    visits, events, *_ = dpm.write_cohort(cohort(), folder / "pbc.csv")
    out = folder / f"draws_{hazard}_{seed}.csv"
    words = [str(RIVALS / "jmbayes2.R"), str(RIVALS), *map(str, (visits, events, out, seed)), hazard]
    ran = programs.run(["Rscript", *words], limit=limit)
    if isinstance(ran, str):
        return ran
    said = ran.found
    kept = ("subjects", "events", "chains", "warmup", "draws", "peak_gb", "version")
    return {
        "seed": seed,
        **judged(pd.read_csv(out)),
        "seconds": {"wall": said["wall"], "cpu": said["cpu"]},
        **{key: said[key] for key in kept},
    }


def judged(draws: pd.DataFrame) -> dict[str, Any]:
    """The worst diagnostics of the values that dpm's model has too, and apart from them of the hazard's basis.

    Args:
        draws: chains of one length one below the other, with a column `chain` and one for each value.
    """
    chains = [chain.drop(columns="chain") for _, chain in draws.groupby("chain")]
    values = {name: np.stack([chain[name].to_numpy() for chain in chains]) for name in chains[0].columns}
    ess = {name: float(array_stats.ess(value, method="bulk")) for name, value in values.items()}
    r_hat = {name: float(array_stats.rhat(value, method="rank")) for name, value in values.items()}
    hazard = [name for name in values if name.startswith("hazard_")]
    alike = [name for name in values if name not in hazard]
    linked = values[ASSOCIATION]
    found: dict[str, Any] = {
        "least_ess_bulk": min(ess[name] for name in alike),
        "least_ess_bulk_of": min(alike, key=lambda name: ess[name]),
        "worst_r_hat": max(r_hat[name] for name in alike),
        "association": {
            "means": float(linked.mean()),
            "sds": float(linked.std(ddof=1)),
            "mcse": float(array_stats.mcse(linked, method="mean")),
            "ess_bulk": ess[ASSOCIATION],
        },
    }
    if hazard:
        found["hazard"] = {
            "least_ess_bulk": min(ess[name] for name in hazard),
            "worst_r_hat": max(r_hat[name] for name in hazard),
        }
    return found


def run(times: int, limit: float = 900.0) -> dict[str, Any]:
    """Seeds 1 to `times`, nothing compiled before; JMbayes2 is left out, with the reason, where R lacks it."""
    env = {"DPM_COMPILATION_CACHE": "off"}
    ran: dict[str, list[dict[str, Any] | str]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as place:
        for seed in range(1, times + 1):
            mine = programs.python("joint_posterior", seed, env=env)
            ran["dpm"].append(mine if isinstance(mine, str) else mine.found)
            for hazard in HAZARDS:
                ran[f"jmbayes2_{hazard}"].append(by_jmbayes2(hazard, seed, Path(place), limit))
    return {"chains": CHAINS, "draws": DRAWS, "runs": ran}


def text(result: dict[str, Any]) -> str:
    rows, lines = [], []
    for name, runs in result["runs"].items():
        for each in runs:
            if isinstance(each, str):
                lines.append(f"{NAMES[name]}: {each}")
            else:
                rows.append(_row(name, each))
    heads = ["fit", "seed", "least bulk ESS", "worst R-hat", "R-hat of its hazard", "divergences", "association (sd)"]
    heads += ["its bulk ESS", "compiling, wall", "rest, wall", "rest, CPU", "least ESS per CPU s"]
    return "\n".join([markdown(heads, rows), *lines])


def _row(name: str, each: dict[str, Any]) -> list[str]:
    seconds, association = each["seconds"], each["association"]
    return [
        NAMES[name],
        str(each["seed"]),
        f"{each['least_ess_bulk']:,.0f}",
        f"{each['worst_r_hat']:.3f}",
        f"{each['hazard']['worst_r_hat']:.3f}" if "hazard" in each else "",
        str(each.get("divergences", "")),
        f"{association['means']:.3f} ({association['sds']:.4f})",
        f"{association['ess_bulk']:,.0f}",
        *(shown(seconds[key]) if key in seconds else "" for key in ("compile_wall", "wall", "cpu")),
        f"{each['least_ess_bulk'] / seconds['cpu']:.3g}",
    ]


if __name__ == "__main__":
    print(json.dumps(one(int(sys.argv[1]))))
