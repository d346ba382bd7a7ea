"""The same fits on this machine's processor and on JAX's other device, and from which size on the other is the faster.

python -m experiments.benchmarks.devices PLATFORM MODEL SUBJECTS FIT

is one of them, in a process of its own, on the platform that JAX calls so (`cpu`, `cuda`). Without words it runs all
and stores the table, where not everything that other benchmarks need is installed.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import dpm
from experiments.benchmarks import programs, simulators
from experiments.benchmarks.stopwatch import Stopwatch
from experiments.benchmarks.timing import machine, markdown, shown

FITS: dict[str, dpm.Laplace | dpm.NUTS] = {
    "laplace": dpm.Laplace(objective="map"),
    "nuts": dpm.NUTS(draws=500, progress=False),
    "nuts_float32": dpm.NUTS(draws=500, precision="float32", progress=False),
}
NAMES = {
    "laplace": "`Laplace()`",
    "nuts": "`NUTS(draws=500)`",
    "nuts_float32": '`NUTS(draws=500, precision="float32")`',
}
MODELS = ("logistic", "latent_time")


def one(model: str, n: int, fit: str) -> dict[str, Any]:
    """Seconds on the wall of a fit for which nothing is left to compile, and of compiling for the one before it."""
    cohort, found = simulators.cohort(model, n), []
    for _ in range(2):
        with Stopwatch() as watch:
            posterior = dpm.fit(simulators.MODELS[model](), cohort, method=FITS[fit], key=jax.random.key(0))
        found.append(watch.seconds())
    return {
        "fit": found[1]["wall"] + found[1]["compile_wall"],
        "compiling": found[0]["compile_wall"],
        "device": jax.devices()[0].device_kind,
        "mean": float(posterior.tree["posterior"]["subject_correlation"].mean()),
    }


def other() -> str | None:
    """The platform that JAX takes by itself, if it is not the processor."""
    ran = programs.python("devices", "name")
    name = ran.found["platform"] if isinstance(ran, programs.Ran) else "cpu"
    return None if name == "cpu" else name


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 120.0) -> dict[str, Any]:
    """Every fit at every size on both, until one is expected to take longer than `limit` seconds on the wall.

    Chains run one after the other on the processor and side by side on other devices, as `NUTS` has it.
    """
    found: dict[str, Any] = {}
    platforms = [name for name in ("cpu", other()) if name]
    for model in MODELS:
        for fit in FITS:
            for platform in platforms:
                runs: dict[int, Any] = {}
                for n in sorted(sizes or simulators.SIZES):
                    expected = max((once["fit"] * n / k for k, once in runs.items() if "fit" in once), default=0.0)
                    if expected > limit:
                        break
                    each = [_in_process(platform, model, n, fit, 5 * limit) for _ in range(times)]
                    whole = [once for once in each if isinstance(once, dict)]
                    runs[n] = min(whole, key=lambda once: once["fit"]) if whole else {"failed": each[0]}
                found[f"{model} {fit} {platform}"] = {str(n): once for n, once in runs.items()}
    return {"platforms": platforms, "runs": found}


def _in_process(platform: str, model: str, n: int, fit: str, limit: float) -> dict[str, Any] | str:
    env = {"DPM_COMPILATION_CACHE": "off"}
    ran = programs.python("devices", platform, model, n, fit, env=env, limit=limit)
    return ran if isinstance(ran, str) else ran.found


def text(result: dict[str, Any]) -> str:
    platforms = result["platforms"]
    if len(platforms) == 1:
        return _table(result, "cpu", None) + "\nJAX has no other device here."
    return _table(result, *platforms)


def _table(result: dict[str, Any], processor: str, device: str | None) -> str:
    rows = []
    for model in MODELS:
        for fit in FITS:
            on_cpu = result["runs"][f"{model} {fit} {processor}"]
            on_other = result["runs"][f"{model} {fit} {device}"] if device else {}
            for n in sorted({*on_cpu, *on_other}, key=int):
                both = [runs.get(n, {}).get("fit") for runs in (on_cpu, on_other)]
                ratio = f"{both[0] / both[1]:.2g}" if None not in both else ""
                words = ["" if took is None else shown(took) for took in both]
                rows.append([model, NAMES[fit], f"{int(n):,}", *words, ratio])
    return markdown(["model", "fit", "subjects", "processor", device or "other", "times as fast"], rows)


def main(words: Sequence[str]) -> None:
    """One fit, the name of JAX's own platform, or all."""
    if not words:
        found = run(1)
        result = {"machine": machine(), "times": 1, "devices": found}
        file = Path(__file__).parent / "results" / "devices.json"
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(text(found))
    elif words == ["name"]:
        print(json.dumps({"platform": jax.default_backend()}))
    else:
        platform, model, n, fit = words
        jax.config.update("jax_platforms", platform)
        print(json.dumps(one(model, int(n), fit)))


if __name__ == "__main__":
    main(sys.argv[1:])
