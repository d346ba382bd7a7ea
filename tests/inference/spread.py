"""A fit whose subjects are spread over devices, or over processes: prints what it found as JSON.

Arguments: how many processes there are, which this is, and the port where they meet; none for one process.
"""

import json
import sys

import jax
import numpy as np
from numpyro import distributions as dist

import dpm  # noqa: F401  (float64 is switched on before JAX is used)
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from tests.inference import orthodont

SUBJECTS = 203


def main() -> None:
    if len(sys.argv) > 1:
        count, own, port = map(int, sys.argv[1:])
        jax.distributed.initialize(f"127.0.0.1:{port}", count, own)
    data = orthodont.records().take(np.arange(SUBJECTS) % 27)
    model = ProgressionModel(
        outcomes={
            "distance": Outcome(
                Linear(
                    level=Parameter(dist.Normal(17.0, 5.0), subject=dist.HalfNormal(2.0)),
                    slope=Parameter(dist.Normal(0.7, 0.5), subject=dist.HalfNormal(0.5)),
                ),
                Gaussian(sd=dist.HalfNormal(2.0)),
            )
        },
        correlation=None,
    )
    found = Laplace(errors="sandwich").maximise(Marginal(Hierarchy.of(model, data)), data, key=jax.random.key(0))
    print(
        json.dumps(
            {
                "devices": jax.device_count(),
                "vector": found.vector.tolist(),
                "covariance": found.covariance.tolist(),
                "log_likelihood": found.log_likelihood,
                "effects": np.asarray(found.effects).tolist(),
            }
        )
    )


if __name__ == "__main__":
    main()
