"""leaspy's fit of its logistic model, without sources, in the Python that has it.

    python leaspy_fit.py VISITS.csv ITERATIONS SEED      (columns subject, visit.time, outcome.NAME ...)

Prints one line of JSON: what the iterations took, and the parameters.
"""

import json
import resource
import sys
import time

import leaspy
import pandas as pd
import torch
from leaspy.io.data import Data
from leaspy.models import LogisticModel


def main(file: str, iterations: int, seed: int) -> None:
    table = pd.read_csv(file).rename(columns={"subject": "ID", "visit.time": "TIME"})
    table.columns = [name.removeprefix("outcome.") for name in table.columns]
    markers = [name for name in table.columns if name not in ("ID", "TIME")]
    data = Data.from_dataframe(table[["ID", "TIME", *markers]])
    model = LogisticModel(name="logistic", dimension=len(markers), source_dimension=0)
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit(data, "mcmc_saem", n_iter=iterations, seed=seed, progress_bar=False)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        json.dumps(
            {
                "cpu": cpu,
                "wall": wall,
                "iterations": iterations,
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                "markers": markers,
                "parameters": {name: value.tolist() for name, value in model.parameters.items()},
                "version": f"leaspy {leaspy.__version__}, torch {torch.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
