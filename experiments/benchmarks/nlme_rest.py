"""Whether nlme stops early or comes to rest elsewhere: its search begun at dpm's maximum, and with tighter tolerances.

nlme's criterion is the likelihood of a model that is linear in the effects, around the effects of the last iteration
(Lindstrom and Bates 1990, doi 10.2307/2532087), so that its estimates are no maximum of the likelihood.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import simulators
from experiments.benchmarks.logistic import SITES, by_dpm, by_rival, judged, starts
from experiments.benchmarks.timing import markdown, shown

TIGHT = ("tolerance=1e-7", "pnls_tolerance=1e-6")
"""A hundredth and a thousandth of nlme's defaults; tighter still and it ends with an error."""

CORRELATIONS = {"correlation_10": "1,0", "correlation_20": "2,0", "correlation_21": "2,1"}


def words_of(estimates: dict[str, float]) -> list[str]:
    """The estimates of dpm as a start in nlme's words."""
    sites = SITES | {name: f"subject_correlation[{at}]" for name, at in CORRELATIONS.items()}
    return [f"{name}={estimates[site]:.10g}" for name, site in sites.items()]


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 120.0) -> dict[str, Any]:
    """Four fits by nlme at each size; a process may take five times `limit` on the wall."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for n in sizes or (1_000,):
            file = simulators.stored("logistic", n, folder)
            mine = by_dpm(file, times, folder / f"cache_{n}")
            if isinstance(mine, str):
                found[str(n)] = {"dpm": mine}
                continue
            begins = {"usual start": starts(), "dpm's maximum": words_of(mine["estimates"])}
            tight = {f"{name}, tight": [*words, *TIGHT] for name, words in begins.items()}
            runs = {
                way: by_rival("nlme", file, times, folder, words, 5 * limit) for way, words in (begins | tight).items()
            }
            for one in runs.values():
                if isinstance(one, dict):
                    one["short_of_optimum"] = mine["log_likelihood"] - judged(one["estimates"], file)
            found[str(n)] = {"dpm": mine, "nlme": runs}
    return {"tight": list(TIGHT), "fits": found}


def text(result: dict[str, Any]) -> str:
    rows, lines = [], []
    for n, both in result["fits"].items():
        if isinstance(both["dpm"], str):
            lines.append(f"dpm, {int(n):,} subjects: {both['dpm']}")
            continue
        base = min(both["dpm"]["cpu"])
        rows.append([f"{int(n):,}", "dpm", "", shown(base), "1", "0"])
        for way, one in both["nlme"].items():
            if isinstance(one, str):
                lines.append(f"nlme from {way}, {int(n):,} subjects: {one}")
                continue
            cpu = min(one["cpu"])
            short = f"{one['short_of_optimum']:.3g}"
            rows.append(
                [
                    f"{int(n):,}",
                    f"nlme from {way}",
                    f"{one['log_likelihood']:.4f}",
                    shown(cpu),
                    f"{cpu / base:.3g}",
                    short,
                ]
            )
    header = ["subjects", "fit", "its own log-likelihood", "CPU", "× dpm's", "short of the maximum"]
    return "\n".join([markdown(header, rows), *lines])
