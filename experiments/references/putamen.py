"""leaspy's synthetic putamen: what each accuracy of the integral says of the published fit. Run from the root.

    python -m experiments.references.putamen FILE

with leaspy's file of 200 subjects (BSD-3-Clause-Clear, columns ID, TIME [years of age], PUTAMEN), which is not shipped.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.read import read_cohort
from dpm.cohort.roles import ClockRole, Roles, TimeRole
from dpm.components.clock import Since
from dpm.components.correlation import LKJ
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.sigmoid import LogisticRise
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal

RESULTS = Path(__file__).parent / "results" / "putamen.json"
PUBLISHED = {
    "full": (
        {"rate": -2.106714, "midpoint": 57.435293, "rate_sd": 0.462663, "midpoint_sd": 10.189821},
        0.247,
        0.0212002,
    ),
    "diagonal": ({"rate": -2.10421, "midpoint": 57.49015, "rate_sd": 0.45446, "midpoint_sd": 9.99673}, None, 0.0212303),
}
"""Lindstrom-Bates maxima: log likelihoods 3973.99949 and 3968.30204."""

LEVELS: tuple[dict[str, Any], ...] = (
    {"level": "focei"},
    {"level": "laplace"},
    {"level": "quadrature", "n_nodes": 11},
    {"level": "quadrature", "n_nodes": 41},
)


def model(*, full: bool) -> ProgressionModel:
    """The logistic course of age with a log-normal rate and a normal midpoint; priors too wide to matter."""
    course = LogisticRise(
        floor=0.0,
        ceiling=1.0,
        rate=Parameter(dist.Normal(-2.0, 10.0), subject=dist.HalfNormal(10.0), link=jnp.exp),
        midpoint=Parameter(dist.Normal(60.0, 100.0), subject=dist.HalfNormal(100.0)),
    )
    return ProgressionModel(
        clock=Since("age"),
        outcomes={"putamen": Outcome(course, Gaussian(sd=dist.HalfNormal(1.0)))},
        correlation=LKJ(1.0) if full else None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    role = OutcomeRole(column="PUTAMEN", unit="share", higher_is="worse")
    frame = pd.read_csv(parser.parse_args().file).sort_values(["ID", "TIME"])
    frame["age"] = frame.groupby("ID")["TIME"].transform("min")
    roles = Roles(
        subject="ID",
        time=TimeRole(column="years", unit="years"),
        outcomes={"putamen": role},
        clocks={"age": ClockRole(column="age")},
    )
    records = read_cohort(frame.assign(years=frame["TIME"] - frame["age"]), roles).records()
    found: dict[str, Any] = {}
    for form, (values, correlation, noise) in PUBLISHED.items():
        hierarchy = Hierarchy.of(model(full=form == "full"), records)
        given = {f"putamen_{key}": jnp.asarray(value) for key, value in values.items()} | {
            "putamen_sd": jnp.asarray(noise)
        }
        if correlation is not None:
            matrix = np.array([[1.0, correlation], [correlation, 1.0]])
            # Effects in the order of the model's parameters; a correlation of two is the same either way.
            given["subject_correlation_cholesky"] = jnp.linalg.cholesky(jnp.asarray(matrix))
        vector = hierarchy.unconstrain(given)
        for setting in LEVELS:
            marginal = Marginal.at(
                hierarchy, setting["level"], records, n_nodes=setting.get("n_nodes", 9), key=jax.random.key(1)
            )
            each, _ = marginal.log_marginal(vector, records, jnp.zeros((hierarchy.n_effects, records.n_subjects)))
            method = Laplace(objective="ml", **setting)
            best = method.maximise(marginal, records, key=jax.random.key(2), start=vector)
            estimates = hierarchy.constrain(jnp.asarray(best.vector))
            name = " ".join(str(value) for value in setting.values())
            found[f"{form}, {name}"] = {
                "at published values": float(jnp.sum(each)),
                "maximum": best.log_likelihood,
                "estimates": {site: np.asarray(value).tolist() for site, value in estimates.items()},
            }
            print(form, name, found[f"{form}, {name}"], flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
