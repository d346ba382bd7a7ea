"""A marker and death, linked by the marker's current value (`models/pbc_joint.py`): dpm's Laplace fit and jmstate.

jmstate climbs the likelihood by stochastic gradients over a Metropolis sampler and stops by a criterion of its own, so
its estimates are held against dpm's in standard errors. JMbayes2 is not among Debian's packages.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import programs, simulators
from experiments.benchmarks.logistic import by_dpm
from experiments.benchmarks.timing import markdown, shown

SCRIPT = Path(__file__).parent / "rivals" / "jmstate_fit.py"
JMSTATE_PYTHON = os.environ.get("BENCH_JMSTATE_PYTHON", os.environ.get("BENCH_LEASPY_PYTHON", sys.executable))
"""A Python that has jmstate."""


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 120.0) -> dict[str, Any]:
    """Both programs; a process of jmstate may take ten times `limit` on the wall."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for n in sizes or (100, 1_000):
            file = simulators.stored("joint", n, folder)
            mine = by_dpm(file, times, folder / f"cache_{n}", name="joint")
            events = file.with_name(f"{file.stem}_events.csv")
            ran = programs.run([JMSTATE_PYTHON, str(SCRIPT), str(file), str(events), "1"], limit=10 * limit)
            theirs = ran if isinstance(ran, str) else {**ran.found, "process_cpu": ran.cpu}
            if isinstance(mine, dict) and isinstance(theirs, dict):
                theirs["off_in_se"] = {
                    site: (value - mine["estimates"][site]) / mine["se"][site]
                    for site, value in theirs["estimates"].items()
                }
            found[str(n)] = {"dpm": mine, "jmstate": theirs}
    return {"fits": found}


def text(result: dict[str, Any]) -> str:
    rows, lines = [], []
    for n, both in result["fits"].items():
        for name, one in both.items():
            if isinstance(one, str):
                lines.append(f"{name}, {int(n):,} subjects: {one}")
                continue
            cpu = min(one["cpu"]) if name == "dpm" else one["cpu"]
            base = both["dpm"]
            ratio = f"{cpu / min(base['cpu']):.3g}" if isinstance(base, dict) else ""
            worst = max((abs(z) for z in one.get("off_in_se", {}).values()), default=0.0)
            row = [f"{int(n):,}", name, shown(cpu), ratio, f"{one['log_likelihood']:.2f}", f"{worst:.2g}"]
            rows.append(row)
    header = ["subjects", "program", "CPU", "× dpm's", "its own log-likelihood", "worst estimate off by, se"]
    return "\n".join([markdown(header, rows), *lines])
