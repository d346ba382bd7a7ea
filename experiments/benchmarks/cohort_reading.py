"""A million visits of 100,000 subjects: dpm reads, checks and pads them, beside what pandas needs to parse the file.

Each reading runs in a process of its own, so that the peak of memory is its own. Run from the root.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks.timing import machine, markdown, shown

RESULTS = Path(__file__).parent / "results"
SUBJECTS, VISITS = 100_000, 10
OUTCOME = {"column": "bilirubin", "unit": "mg/dL", "transform": "log", "lower": 0.001, "higher_is": "worse"}
ROLES: dict[str, Any] = {
    "subject": "id",
    "arm": "arm",
    "subgroups": ["stage"],
    "time": {"column": "day", "unit": "days"},
    "outcomes": {"log_bilirubin": OUTCOME},
    "covariates": {
        "age": {"column": "age", "unit": "years", "standardise": True},
        "female": {"column": "sex", "level": "female"},
        "albumin": {"column": "albumin", "unit": "g/dL"},
    },
}


def table(subjects: int) -> pd.DataFrame:
    """A random long table."""
    rng = np.random.default_rng(0)
    who, n = np.repeat(np.arange(subjects), VISITS), subjects * VISITS
    return pd.DataFrame(
        {
            "id": who,
            "arm": np.where(who % 2, "a", "b"),
            "day": np.tile(np.arange(VISITS), subjects) * 182,
            "bilirubin": np.maximum(np.exp(rng.normal(size=n)).round(2), 0.01),
            "albumin": rng.normal(3.5, 0.3, n).round(3),
            "age": np.repeat(rng.normal(50, 8, subjects).round(1), VISITS),
            "sex": np.where(who % 3, "female", "male"),
            "stage": who % 4 + 1,
        }
    )


def read_once(program: str, path: Path) -> dict[str, float]:
    """Seconds of one reading in this process, and the peak of its memory [GB], imports included."""
    if program == "pandas":
        began = perf_counter()
        pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        seconds = {"read": perf_counter() - began}
    else:
        from dpm.cohort import read_cohort

        began = perf_counter()
        cohort = read_cohort(path, ROLES)
        read = perf_counter() - began
        cohort.records().time.block_until_ready()
        seconds = {"read": read, "records": perf_counter() - began - read}
    return {**seconds, "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}


def run(times: int, subjects: int) -> dict[str, list[dict[str, float]]]:
    """Every reading, by program and kind of file; the programs take turns."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        frame = table(subjects)
        files = (Path(folder) / "big.csv", Path(folder) / "big.parquet")
        frame.to_csv(files[0], index=False)
        frame.to_parquet(files[1], index=False)
        for path in files * times:
            for program in ("dpm", "pandas"):
                module = "experiments.benchmarks.cohort_reading"
                command = [sys.executable, "-m", module, "--once", program, "--file", str(path)]
                answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found.setdefault(f"{program} {path.suffix}", []).append(json.loads(answer))
    return found


def text(found: dict[str, list[dict[str, float]]]) -> str:
    rows = []
    for name, every in found.items():
        least = {key: min(one[key] for one in every) for key in every[0]}
        records = shown(least["records"]) if "records" in least else ""
        rows.append([name, shown(least["read"]), records, f"{max(one['gigabytes'] for one in every):.2g} GB"])
    return markdown(["reading", "read, min", "records, min", "peak memory"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--subjects", type=int, default=SUBJECTS)
    parser.add_argument("--out", type=Path, default=RESULTS / "cohort_reading.json")
    parser.add_argument("--once", choices=("dpm", "pandas"), help="one reading of --file, in this process")
    parser.add_argument("--file", type=Path)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(read_once(arguments.once, arguments.file)))
        return
    found = run(arguments.times, arguments.subjects)
    result = {"machine": machine(), "subjects": arguments.subjects, "visits": arguments.subjects * VISITS}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({**result, "readings": found}, indent=1) + "\n", encoding="utf-8")
    print(text(found))


if __name__ == "__main__":
    main()
