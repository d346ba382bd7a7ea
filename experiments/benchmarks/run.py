"""The benchmarks of this folder, each with everything it compares in one run. Run from the root."""

import argparse
import json
from pathlib import Path

from experiments.benchmarks import (
    devices,
    engine,
    gradient,
    growth,
    integral,
    joint,
    joint_posterior,
    leaspy_kind,
    logistic,
    mixed,
    nlme_rest,
    outcomes,
    posteriors,
    sampling,
)
from experiments.benchmarks.timing import machine

RESULTS = Path(__file__).parent / "results"
BENCHMARKS = {
    "engine": ("engine.json", engine),
    "joint_posterior": ("joint_posterior.json", joint_posterior),
    "mixed": ("benchmarks.json", mixed),
    "sampling": ("sampling.json", sampling),
    "outcomes": ("outcomes.json", outcomes),
    "logistic": ("logistic.json", logistic),
    "nlme_rest": ("nlme_rest.json", nlme_rest),
    **{f"posterior_{name}": (f"posterior_{name}.json", posteriors) for name in posteriors.USUAL},
    "leaspy": ("leaspy.json", leaspy_kind),
    "joint": ("joint.json", joint),
    "growth": ("growth.json", growth),
    "integral": ("integral.json", integral),
    "gradient": ("gradient.json", gradient),
    "devices": ("devices.json", devices),
}
SIZED = (
    "logistic",
    "nlme_rest",
    "leaspy",
    "joint",
    "growth",
    "integral",
    "gradient",
    "devices",
    *(f"posterior_{name}" for name in posteriors.USUAL),
)
"""Those that run at several sizes, and leave out a program that is expected to take too long."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often everything is timed")
    parser.add_argument("--only", choices=BENCHMARKS, help="one of them instead of all")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"subjects, for {', '.join(SIZED)}")
    parser.add_argument("--limit", type=float, default=120.0, help="CPU seconds beyond which a fit is not begun")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in [arguments.only] if arguments.only else BENCHMARKS:
        file, benchmark = BENCHMARKS[name]
        extent = {"sizes": arguments.sizes, "limit": arguments.limit} if name in SIZED else {}
        if benchmark is posteriors:
            extent["name"] = name.removeprefix("posterior_")
        result = {"machine": machine(), "times": arguments.times, name: benchmark.run(arguments.times, **extent)}
        (arguments.out / file).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(benchmark.text(result[name]))


if __name__ == "__main__":
    main()
