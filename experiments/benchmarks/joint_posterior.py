"""The posterior of the joint model of bilirubin and death or transplant, all 312 patients, in one process on one core.

    python -m experiments.benchmarks.joint_posterior SEED

is one run. The association and its sd stand beside the maximum of the exact likelihood (1.23122, standard error 0.0859)
and a published posterior with a spline hazard (1.2433, sd 0.0847).
"""

import json
import sys
import tomllib
from typing import Any

import jax

import dpm
from experiments.benchmarks import programs
from experiments.benchmarks.sampling import STUDY, worst
from experiments.benchmarks.stopwatch import Stopwatch
from experiments.benchmarks.timing import markdown, shown
from models import pbc_joint

CHAINS, DRAWS = 2, 500
ASSOCIATION = "end_log_bilirubin"


def one(seed: int) -> dict[str, Any]:
    """Times and the worst diagnostics of one fit by `NUTS`."""
    roles = tomllib.loads(STUDY.read_text(encoding="utf-8"))["data"]["roles"]
    data = dpm.read_cohort("data:pbc/pbc_longitudinal.csv", roles)
    method = dpm.NUTS(chains=CHAINS, draws=DRAWS, chain_method="sequential", progress=False)
    with Stopwatch() as watch:
        posterior = dpm.fit(pbc_joint.build(), data, method=method, key=jax.random.key(seed))
    found = worst(posterior)
    association = {name: found.pop(name)[ASSOCIATION] for name in ("means", "sds", "mcse")}
    return {"seed": seed, **found, "association": association, "seconds": watch.seconds()}


def run(times: int) -> dict[str, Any]:
    """Seeds 1 to `times`, nothing compiled before."""
    env = {"DPM_COMPILATION_CACHE": "off"}
    ran = [programs.python("joint_posterior", seed, env=env) for seed in range(1, times + 1)]
    return {"chains": CHAINS, "draws": DRAWS, "runs": [each if isinstance(each, str) else each.found for each in ran]}


def text(result: dict[str, Any]) -> str:
    rows = []
    for each in result["runs"]:
        if isinstance(each, str):
            rows.append([each, *[""] * 6])
            continue
        seconds, association = each["seconds"], each["association"]
        rows.append(
            [
                str(each["seed"]),
                f"{each['least_ess_bulk']:,.0f}",
                f"{each['worst_r_hat']:.3f}",
                str(each["divergences"]),
                f"{association['means']:.3f} ({association['sds']:.4f})",
                shown(seconds["compile_wall"]),
                shown(seconds["wall"]),
            ]
        )
    heads = [
        "seed",
        "least bulk ESS",
        "worst R-hat",
        "divergences",
        "association (sd)",
        "compiling, wall",
        "rest, wall",
    ]
    return markdown(heads, rows)


if __name__ == "__main__":
    print(json.dumps(one(int(sys.argv[1]))))
