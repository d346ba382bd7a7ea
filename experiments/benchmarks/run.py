"""Fits and samplers against others', on the same data in one run. See README.md; run from the root."""

import argparse
import json
from pathlib import Path

from experiments.benchmarks import mixed, sampling
from experiments.benchmarks.timing import machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often everything is timed")
    parser.add_argument("--out", type=Path, default=RESULTS / "benchmarks.json")
    arguments = parser.parse_args()
    result = {"machine": machine(), "times": arguments.times}
    result["mixed"] = mixed.run(arguments.times)
    result["sampling"] = sampling.run(arguments.times)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(text(result))


def text(result: dict) -> str:
    """The tables of the README."""
    parts = [mixed.text(result["mixed"]), sampling.text(result["sampling"]), sampling.gradient_text(result["sampling"])]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
