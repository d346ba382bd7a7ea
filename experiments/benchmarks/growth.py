"""How time and memory of dpm's Laplace fit grow with the number of subjects, on the models of `simulators`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import programs, simulators
from experiments.benchmarks.logistic import by_dpm
from experiments.benchmarks.timing import markdown, shown

MODELS = {
    "logistic": (*simulators.SIZES, 1_000_000),
    "latent_time": simulators.SIZES,
    "joint": simulators.SIZES,
}
"""Subjects by model, where nothing else is said."""

OBJECTIVE = {"logistic": "ml", "latent_time": "map", "joint": "ml"}
"""Without the prior of the values of its four sites nothing would determine their spread in the latent-time model."""


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 120.0) -> dict[str, Any]:
    """Every model at every size, until a fit is expected to take longer than `limit` CPU seconds.

    One that is expected to take longer than a twentieth of it is fitted once, with nothing compiled before. A process
    may take three times `limit` on the wall.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in MODELS}
    skipped: dict[str, dict[str, str]] = {name: {} for name in MODELS}
    for name, runs in found.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            for n in sorted(sizes or MODELS[name]):
                expected = max((min(one["cpu"]) * n / int(k) for k, one in runs.items()), default=0.0)
                if expected > limit:
                    skipped[name][str(n)] = f"expected to take {expected:.0f} s of CPU"
                    continue
                again = 0 if expected > limit / 20 else times
                file, most = simulators.stored(name, n, folder), max(1200.0, 3 * limit)
                one = by_dpm(file, again, folder / f"cache_{n}", name=name, objective=OBJECTIVE[name], limit=most)
                if isinstance(one, str):
                    skipped[name][str(n)] = one
                else:
                    runs[str(n)] = {key: one[key] for key in KEPT}
    cpu = {name: {int(n): min(one["cpu"]) for n, one in runs.items()} for name, runs in found.items()}
    return {
        "runs": found,
        "skipped": {name: why for name, why in skipped.items() if why},
        "exponent": {name: programs.exponent(each, least=1_000) for name, each in cpu.items()},
    }


TIMES = ("cpu", "wall", "first_cpu", "first_cpu_empty", "process_cpu", "process_wall")
KEPT = (*TIMES, "log_likelihood", "newton_decrement", "peak_gb", "read_peak_gb", "read_gb", "fit_peak_gb")


def text(result: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{int(n):,}",
            *(shown(min(one[key])) for key in ("cpu", "wall", "first_cpu", "process_cpu")),
            *(f"{one[key]:.2f} GB" for key in ("read_peak_gb", "read_gb", "fit_peak_gb")),
        ]
        for name, runs in result["runs"].items()
        for n, one in runs.items()
    ]
    header = [
        "model",
        "subjects",
        "fit, CPU",
        "fit, wall",
        "first fit of a process, CPU",
        "whole process, CPU",
        "peak memory, reading",
        "memory once read",
        "peak memory, fitting",
    ]
    lines = [markdown(header, rows)]
    lines += [
        f"{name}: time grows as size to the power {slope:.2f} (from 1,000 subjects on)"
        for name, slope in result["exponent"].items()
        if slope is not None
    ]
    lines += [
        f"{name}, {int(n):,} subjects: {why}" for name, each in result["skipped"].items() for n, why in each.items()
    ]
    return "\n".join(lines)
