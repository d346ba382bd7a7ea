"""Maximum likelihood of a logistic model with three correlated effects: dpm, TMB, nlme and lme4 at growing sizes.

The model is `simulators.logistic`. dpm and TMB maximise the same criterion, Laplace's approximation with the exact
Hessian of the effects, from the same start; nlmer's has the Gauss-Newton Hessian, which is dpm's level "focei"; nlme
linearises.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

import dpm
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from experiments.benchmarks import programs, simulators
from experiments.benchmarks.timing import markdown, shown

RIVALS = Path(__file__).parent / "rivals"
SAME = 1e-6
"""How far log-likelihoods of the same criterion may lie apart, relative."""

NAMES = {
    "dpm": "dpm `Laplace`, compiled",
    "tmb": "TMB, `nlminb` and `sdreport`",
    "nlme": "nlme",
    "nlmer": "lme4 `nlmer`",
}
SITES = {
    "asymptote": "y_asymptote",
    "midpoint": "y_midpoint",
    "scale": "y_scale",
    "asymptote_sd": "y_asymptote_sd",
    "midpoint_sd": "y_midpoint_sd",
    "scale_sd": "y_scale_sd",
    "sigma": "y_sd",
}
"""What a rival calls a population value, and what dpm does."""

KEPT = ("log_likelihood", "iterations", "asymptote_se", "peak_gb", "version")
"""What is kept of what a rival says, where it says it."""

OWN = ("log_likelihood", "newton_decrement", "estimates", "se", "peak_gb", "read_peak_gb", "read_gb", "fit_peak_gb")
"""What is kept of what dpm says beside times: memory at most, while reading, after it, and while fitting [GB]."""


def starts() -> list[str]:
    """Where dpm's search begins, as words for a rival; correlations begin at zero."""
    hierarchy = Hierarchy.of(simulators.logistic(), simulators.cohort("logistic", 10).records())
    centre = hierarchy.constrain(hierarchy.prior_centre())
    return [f"{name}={float(centre[site]):.10g}" for name, site in SITES.items()]


def by_dpm(
    file: Path, times: int, cache: Path, *, name: str = "logistic", objective: str = "ml", limit: float = 1200.0
) -> dict[str, Any] | str:
    """One process with nothing compiled before, then `times` that find it compiled by that one.

    With `times` 0 the first process alone, which fits once: its time without tracing and compiling stands for that of a
    compiled fit, for sizes at which it is most of a process.
    """
    runs = []
    for _ in range(times + 1):
        env = {"DPM_COMPILATION_CACHE": str(cache)}
        often = "twice" if times else "once"
        ran = programs.python("dpm_laplace", name, file, objective, "laplace", often, env=env, limit=limit)
        if isinstance(ran, str):
            return ran
        runs.append(ran)
    empty = runs[0]
    if not times:
        return _only(empty)
    warm = runs[1:]
    best = min(warm, key=lambda ran: ran.found["again"]["cpu"])
    return {
        **{key: best.found[key] for key in OWN},
        "cpu": [_all(ran.found["again"], "cpu") for ran in warm],
        "wall": [_all(ran.found["again"], "wall") for ran in warm],
        "first_cpu": [_all(ran.found["first"], "cpu") for ran in warm],
        "process_cpu": [ran.cpu - _all(ran.found["again"], "cpu") for ran in warm],
        "process_wall": [ran.wall - _all(ran.found["again"], "wall") for ran in warm],
        "first_cpu_empty": _all(empty.found["first"], "cpu"),
    }


def _only(ran: programs.Ran) -> dict[str, Any]:
    """What the one fit of a process took, nothing compiled before."""
    first = ran.found["first"]
    return {
        **{key: ran.found[key] for key in OWN},
        "cpu": [first["cpu"]],
        "wall": [first["wall"]],
        "first_cpu": [_all(first, "cpu")],
        "process_cpu": [ran.cpu],
        "process_wall": [ran.wall],
        "first_cpu_empty": _all(first, "cpu"),
    }


def _all(seconds: dict[str, float], clock: str) -> float:
    """Of a fit with what it still had to trace and compile [s]."""
    return seconds[clock] + seconds[f"compile_{clock}"]


def by_rival(name: str, file: Path, times: int, folder: Path, begin: list[str], limit: float) -> dict[str, Any] | str:
    """`times` processes of R, what TMB had to build counted apart."""
    command = ["Rscript", str(RIVALS / f"{name}.R"), str(RIVALS), str(folder), str(file), *begin]
    runs: list[programs.Ran] = []
    for _ in range(times):
        ran = programs.run(command, limit=limit)
        if isinstance(ran, str):
            return ran
        runs.append(ran)
    found = runs[0].found
    estimates = {site: found[key] for key, site in SITES.items()}
    places = ("1,0", "2,0", "2,1")
    estimates |= {f"subject_correlation[{at}]": r for at, r in zip(places, found["correlation"], strict=True)}
    return {
        **{key: found[key] for key in KEPT if key in found},
        "estimates": estimates,
        "build_cpu": found.get("build_cpu", 0.0),
        **{clock: [ran.found[clock] for ran in runs] for clock in ("cpu", "wall")},
        "process_cpu": [ran.cpu - ran.found.get("build_cpu", 0.0) for ran in runs],
    }


def judged(estimates: dict[str, float], file: Path, level: Any = "laplace") -> float:
    """The log-likelihood at another program's estimates by dpm."""
    records = dpm.read_written(file).records()
    hierarchy = Hierarchy.of(simulators.logistic(), records)
    correlation = np.eye(3)
    for row, column in ((1, 0), (2, 0), (2, 1)):
        correlation[row, column] = correlation[column, row] = estimates[f"subject_correlation[{row},{column}]"]
    values = {site: jnp.asarray(estimates[site]) for site in SITES.values()}
    values["subject_correlation_cholesky"] = jnp.linalg.cholesky(jnp.asarray(correlation))
    each = jax.jit(lambda at: Marginal(hierarchy, level).log_marginal(at, records)[0])(hierarchy.unconstrain(values))
    return float(jnp.sum(each))


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 120.0) -> dict[str, Any]:
    """Every program at every size until a fit of it is expected to take longer than `limit` CPU seconds."""
    found: dict[str, dict[str, Any]] = {name: {} for name in NAMES}
    skipped: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    with tempfile.TemporaryDirectory() as place:
        folder, begin = Path(place), starts()
        for n in sorted(sizes or simulators.SIZES):
            file = simulators.stored("logistic", n, folder)
            for name, runs in found.items():
                expected = max((min(runs[k]["cpu"]) * n / int(k) for k in runs), default=0.0)
                if expected > limit:
                    skipped[name][str(n)] = f"expected to take {expected:.0f} s of CPU"
                    continue
                again = 1 if expected > limit / 4 else times
                cache = folder / f"cache_{n}"
                one = (
                    by_dpm(file, again, cache)
                    if name == "dpm"
                    else by_rival(name, file, again, folder, begin, max(540.0, 6 * limit))
                )
                if isinstance(one, str):
                    skipped[name][str(n)] = one
                else:
                    runs[str(n)] = one
            _compare(found, str(n), file)
    cpu = {name: {int(n): min(one["cpu"]) for n, one in runs.items()} for name, runs in found.items()}
    return {
        "runs": found,
        "skipped": {name: why for name, why in skipped.items() if why},
        "exponent": {name: programs.exponent(times, least=1_000) for name, times in cpu.items()},
    }


def _compare(found: dict[str, dict[str, Any]], n: str, file: Path) -> None:
    """Add to every rival how far it is from dpm's optimum.

    Raises:
        RuntimeError: dpm and TMB, which maximise the same, disagree: their times say nothing.
    """
    if n not in found["dpm"]:
        return
    mine = found["dpm"][n]
    best = mine["log_likelihood"]
    for name in ("tmb", "nlme", "nlmer"):
        if n not in found[name]:
            continue
        one = found[name][n]
        here = one["log_likelihood"] if name == "tmb" else judged(one["estimates"], file)
        one["short_of_optimum"] = best - here
        se = mine["se"]
        one["worst_in_se"] = max(abs(v - mine["estimates"][k]) / se[k] for k, v in one["estimates"].items())
        if name == "nlmer":
            one["same_criterion_by_dpm"] = judged(one["estimates"], file, "focei")
        if name == "tmb" and abs(best - here) > SAME * abs(best):
            raise RuntimeError(f"{n} subjects: log-likelihoods of dpm and TMB differ: {best:.6f} and {here:.6f}")


def text(result: dict[str, Any]) -> str:
    runs, rows = result["runs"], []
    for n in sorted({n for each in runs.values() for n in each}, key=int):
        for name, label in NAMES.items():
            if n not in runs[name]:
                continue
            one, base = runs[name][n], runs["dpm"].get(n)
            ratio = f"{min(one['cpu']) / min(base['cpu']):.3g}" if base else ""
            whole = f"{min(one['process_cpu']) / min(base['process_cpu']):.2g}" if base else ""
            rows.append(
                [
                    f"{int(n):,}",
                    label,
                    shown(min(one["cpu"])),
                    shown(min(one["wall"])),
                    ratio,
                    shown(min(one["process_cpu"])),
                    whole,
                    f"{one['peak_gb']:.2f} GB",
                    f"{one['log_likelihood']:.4f}",
                    f"{one.get('short_of_optimum', 0.0):.2g}",
                    f"{one.get('worst_in_se', 0.0):.2g}",
                ]
            )
    header = ["subjects", "program", "CPU", "wall", "× dpm's CPU", "whole process, CPU", "× dpm's"]
    header += ["peak memory", "log-likelihood", "short of optimum", "worst estimate off by, se"]
    lines = [markdown(header, rows)]
    for name, slope in result["exponent"].items():
        if slope is not None:
            lines.append(f"{NAMES[name]}: time grows as size to the power {slope:.2f} (from 1,000 subjects on)")
    for name, why in result["skipped"].items():
        lines += [f"{NAMES[name]}, {int(n):,} subjects: {reason}" for n, reason in why.items()]
    return "\n".join(lines)
