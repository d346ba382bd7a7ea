"""The mixed model of the PBC trial: dpm, statsmodels and nlme on the same data in one run. Run from the root."""

import argparse
import json
from pathlib import Path

from experiments.benchmarks import mixed
from experiments.benchmarks.timing import machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often everything is timed")
    parser.add_argument("--out", type=Path, default=RESULTS / "benchmarks.json")
    arguments = parser.parse_args()
    result = {"machine": machine(), "times": arguments.times}
    result["mixed"] = mixed.run(arguments.times)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(mixed.text(result["mixed"]))


if __name__ == "__main__":
    main()
