"""A process that reads a cohort, fits it by `Laplace` twice, and says what each took: the second finds all compiled.

python -m experiments.benchmarks.dpm_laplace NAME FILE OBJECTIVE [LEVEL [once]]

With `once` it fits once, for sizes at which a second fit tells no more.
"""

import json
import sys
import time

import jax

import dpm
from experiments.benchmarks import simulators
from experiments.benchmarks.programs import forget_peak, memory_gb, peak_gb
from experiments.benchmarks.stopwatch import Stopwatch


def main(name: str, file: str, objective: str, level: str = "laplace", often: str = "twice") -> None:
    """Print one line of JSON."""
    model, method = simulators.MODELS[name](), dpm.Laplace(objective=objective, level=level)  # type: ignore[arg-type]
    began, clock = time.process_time(), time.perf_counter()
    data = dpm.read_written(file)
    reading = {"cpu": time.process_time() - began, "wall": time.perf_counter() - clock}
    memory = {"read_peak_gb": peak_gb(), "read_gb": memory_gb()}
    forget_peak()
    found = {}
    for which in ("first",) if often == "once" else ("first", "again"):
        with Stopwatch() as watch:
            posterior = dpm.fit(model, data, method=method, key=jax.random.key(0))
        found[which] = watch.seconds()
    print(
        json.dumps(
            {
                "n": data.n_subjects,
                "reading": reading,
                **found,
                "peak_gb": max(memory["read_peak_gb"], peak_gb()),
                **memory,
                "fit_peak_gb": peak_gb(),
                "log_likelihood": posterior.provenance["log_likelihood"],
                "newton_decrement": posterior.provenance["newton_decrement"],
                "n_population": posterior.provenance["n_population"],
                "estimates": posterior.estimates["estimate"].to_dict(),
                "se": posterior.estimates["se"].to_dict(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
