"""Independent posterior draws a CPU second: dpm, NumPyro alone and Stan on the models of `simulators`.

A rate, so that a slow program gets fewer draws. Compiling and building stand apart. NumPyro and Stan start at the
centre of the prior with effects of zero, dpm where its Laplace fit ends, whose time counts.

    python -m experiments.benchmarks.posteriors SAMPLER MODEL FILE CHAINS DRAWS SEED

is one run in a process of its own, by dpm or NumPyro.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arviz_stats.base.array import array_stats
from jax import numpy as jnp

import dpm
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Sites
from experiments.benchmarks import programs, simulators
from experiments.benchmarks.sampling import sample, worst
from experiments.benchmarks.stopwatch import Stopwatch
from experiments.benchmarks.timing import markdown, shown

RIVALS = Path(__file__).parent / "rivals"
STAN_PYTHON = os.environ.get("BENCH_STAN_PYTHON", sys.executable)
"""A Python that has pystan: it cannot be installed beside dpm's locked packages."""

USUAL = {"logistic": 1_000, "latent_time": 100}
"""Subjects by model, where nothing else is said."""

LENGTHS = {
    "dpm": (4, 300, 1000),
    "dpm_marginal": (4, 200, 1000),
    "numpyro_1000": (2, 1000, 1000),
    "stan": (2, 1000, 1000),
}
"""Chains, warm-up draws and kept draws of each chain."""

FEWER = {"dpm": (4, 300, 500), "dpm_marginal": (4, 200, 1000), "numpyro_1000": (2, 1000, 500), "stan": (2, 500, 500)}
"""The same for the latent-time model with `MANY` subjects or more, of which Stan would take an hour for the above."""

MANY = 1_000
"""See `FEWER`."""

NAMES = {
    "dpm": "dpm `NUTS()`",
    "dpm_marginal": "dpm `MarginalNUTS()`",
    "numpyro_1000": "NumPyro `NUTS`",
    "stan": "Stan",
}
OWN = ("dpm", "dpm_marginal")
"""Which are dpm's."""

MOST = 5.0
"""Monte Carlo standard errors that posterior means may lie apart."""

MIXED = 1.05
"""Largest R-hat of chains whose effective sample size means something."""


def centre(name: str, records: dpm.Records) -> Sites:
    """The centre of the priors, subject effects at zero."""
    hierarchy = Hierarchy.of(simulators.MODELS[name](), records)
    effects = hierarchy.effect_values(jnp.zeros((hierarchy.n_effects, records.n_subjects)))
    return {**hierarchy.constrain(hierarchy.prior_centre()), **effects}


def one(sampler: str, name: str, file: str, chains: int, draws: int, seed: int) -> dict[str, Any]:
    """One run of dpm or NumPyro: its times and the worst of its diagnostics over population values."""
    data = dpm.read_written(file)
    with Stopwatch() as watch:
        model = simulators.MODELS[name]()
        posterior = sample(sampler, model, data, seed, chains=chains, draws=draws, start=lambda r: centre(name, r))
    return {"seed": seed, **worst(posterior), "seconds": watch.seconds(), "peak_gb": programs.peak_gb()}


Lengths = dict[str, tuple[int, int, int]]


def lengths(name: str, n: int) -> Lengths:
    """By sampler, for one model and size."""
    return FEWER if name == "latent_time" and n >= MANY else LENGTHS


def here(sampler: str, name: str, file: Path, seed: int, long: Lengths, limit: float) -> dict[str, Any] | str:
    """`one` in a new process, with nothing compiled before."""
    chains, _, draws = long[sampler]
    env = {"DPM_COMPILATION_CACHE": "off"}
    ran = programs.python("posteriors", sampler, name, file, chains, draws, seed, env=env, limit=limit)
    return ran if isinstance(ran, str) else ran.found


def stan_given(name: str, file: Path) -> dict[str, Any]:
    """Stan's data, and where it begins: the centre of the priors."""
    records = dpm.read_written(file).records()
    visits, n = records.time.shape
    data: dict[str, Any] = {"n_visits": visits, "n": n, "time": records.time.tolist()}
    hierarchy = Hierarchy.of(simulators.MODELS[name](), records)
    begin = {site: np.asarray(value).tolist() for site, value in centre(name, records).items()}
    init = {"z": np.zeros((hierarchy.n_effects, n)).tolist(), "factor": begin["subject_correlation_cholesky"]}
    if name == "logistic":
        fields = ("y_asymptote", "y_midpoint", "y_scale")
        init |= {"typical": [begin[f] for f in fields], "spread": [begin[f"{f}_sd"] for f in fields]}
        return {"data": {**data, "y": records.values["y"].tolist()}, "init": {**init, "sigma": begin["y_sd"]}}
    data |= {"y": [records.values[m].tolist() for m in simulators.MARKERS]}
    data |= {x: records.covariates[x].tolist() for x in ("x1", "x2")}
    data["site"] = (np.asarray(records.groups["site"]).argmax(axis=0) + 1).tolist()
    data["ceiling_centre"] = [ceiling for ceiling, _, _ in simulators.MARKERS.values()]
    data["midpoint_centre"] = [midpoint for _, _, midpoint in simulators.MARKERS.values()]
    spread = ("clock_onset", "clock_pace", "a_floor", "b_floor", "c_floor")
    init |= {
        "spread": [begin[f"{f}_sd"] for f in spread],
        "sigma": [begin[f"{m}_sd"] for m in simulators.MARKERS],
        "ceiling": data["ceiling_centre"],
        "midpoint": data["midpoint_centre"],
        "onset_site_sd": begin["clock_onset_site_sd"],
        "pace_site_sd": begin["clock_pace_site_sd"],
        **{key: [0.0] * 3 for key in ("rate", "floor_", "onset_site", "pace_site")},
        **{key: [0.0] * 2 for key in ("onset_x", "pace_x", "floor_x")},
    }
    return {"data": data, "init": init}


def stan_sites(name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """By dpm's name of a population value, Stan's name and place of it."""
    if name == "logistic":
        fields: tuple[str, ...] = ("y_asymptote", "y_midpoint", "y_scale")
        size, sites = 3, {f: ("typical", (k,)) for k, f in enumerate(fields)} | {"y_sd": ("sigma", (0,))}
    else:
        fields, size = ("clock_onset", "clock_pace", "a_floor", "b_floor", "c_floor"), 5
        sites = {f"clock_{c}_x{k + 1}": (f"{c}_x", (k,)) for c in ("onset", "pace") for k in range(2)}
        sites |= {f"clock_{c}_site_sd": (f"{c}_site_sd", (0,)) for c in ("onset", "pace")}
        sites |= {"a_floor_x1": ("floor_x", (0,)), "b_floor_x2": ("floor_x", (1,))}
        for k, marker in enumerate(simulators.MARKERS):
            sites |= {f"{marker}_{f}": (f, (k,)) for f in ("ceiling", "midpoint", "rate")}
            sites |= {f"{marker}_floor": ("floor_", (k,)), f"{marker}_sd": ("sigma", (k,))}
    sites |= {f"{f}_sd": ("spread", (k,)) for k, f in enumerate(fields)}
    return sites | {f"subject_correlation[{i},{j}]": ("correlation", (i, j)) for i in range(size) for j in range(i)}


def by_stan(name: str, file: Path, seed: int, long: Lengths, limit: float) -> dict[str, Any] | str:
    """Stan in its own Python."""
    folder = file.parent
    given, out = folder / f"{name}.json", folder / f"{name}.npz"
    given.write_text(json.dumps(stan_given(name, file)), encoding="utf-8")
    words = [str(RIVALS / "stan_sampler.py"), str(RIVALS / f"{name}.stan"), str(given), str(out)]
    ran = programs.run([STAN_PYTHON, *words, *map(str, (*long["stan"], seed))], limit=limit)
    if isinstance(ran, str):
        return ran
    with np.load(out) as draws:
        values = {site: draws[key][(..., *at)] for site, (key, at) in stan_sites(name).items()}
        steps, divergent = draws["steps"], draws["divergent"]
        ess = {site: float(array_stats.ess(value, method="bulk")) for site, value in values.items()}
        return {
            "seed": seed,
            "least_ess_bulk": min(ess.values()),
            "least_ess_bulk_of": min(ess, key=lambda site: ess[site]),
            "worst_r_hat": max(float(array_stats.rhat(value, method="rank")) for value in values.values()),
            "divergences": int(divergent.sum()),
            "steps_per_draw": float(steps.mean()),
            "means": {site: float(value.mean()) for site, value in values.items()},
            "sds": {site: float(value.std(ddof=1)) for site, value in values.items()},
            "mcse": {site: float(array_stats.mcse(value, method="mean")) for site, value in values.items()},
            "seconds": {
                "compile_cpu": ran.found["build_cpu"],
                "cpu": ran.found["sampler_cpu"],
                "wall": ran.found["wall"],
            },
            "version": ran.found["version"],
        }


def run(
    times: int, sizes: Sequence[int] | None = None, limit: float = 120.0, *, name: str = "logistic"
) -> dict[str, Any]:
    """Every sampler `times` times on one model; a process may take five times `limit` on the wall."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for n in sizes or (USUAL[name],):
            file, long = simulators.stored(name, n, Path(place)), lengths(name, n)
            for seed in range(1, times + 1):
                runs = {s: here(s, name, file, seed, long, 5 * limit) for s in long if s != "stan"}
                runs["stan"] = by_stan(name, file, seed, long, 5 * limit)
                found[f"{name} {n} seed {seed}"] = {"lengths": long, **_told(runs)}
    return {"studies": found}


def _told(runs: dict[str, dict[str, Any] | str]) -> dict[str, Any]:
    """Rates; how far means and sds are from those of dpm's sampler that mixed better."""
    done: dict[str, dict[str, Any]] = {name: one for name, one in runs.items() if isinstance(one, dict)}
    for one in done.values():
        one["ess_per_cpu_second"] = one["least_ess_bulk"] / one["seconds"]["cpu"]
    own = min((name for name in OWN if name in done), key=lambda k: done[k]["worst_r_hat"], default="")
    mine = done.get(own)
    for name, one in done.items():
        if mine is None or name == own:
            continue
        both = [site for site in one["means"] if site in mine["means"]]
        apart = {s: abs(one["means"][s] - mine["means"][s]) / np.hypot(one["mcse"][s], mine["mcse"][s]) for s in both}
        site = max(apart, key=lambda s: apart[s])
        one |= {"means_apart_in_mcse": apart[site], "apart_at": site, "values_compared": len(both)}
        one["means_apart_in_sd"] = max(abs(one["means"][s] - mine["means"][s]) / mine["sds"][s] for s in both)
        one["sd_ratio"] = [f([one["sds"][s] / mine["sds"][s] for s in both]) for f in (min, max)]
    for one in done.values():
        del one["means"], one["mcse"], one["sds"]
    return {"runs": done, "skipped": {name: why for name, why in runs.items() if isinstance(why, str)}}


def _best(runs: dict[str, dict[str, Any]]) -> float | None:
    """The rate of dpm's faster sampler among those that mixed."""
    mine = (runs[name] for name in OWN if name in runs)
    return max((one["ess_per_cpu_second"] for one in mine if one["worst_r_hat"] <= MIXED), default=None)


def text(result: dict[str, Any]) -> str:
    lines = []
    for study, each in result["studies"].items():
        base, rows = _best(each["runs"]), []
        for name, one in each["runs"].items():
            rate = one["ess_per_cpu_second"]
            if one["worst_r_hat"] > MIXED:
                ratio = "chains not mixed"
            elif one.get("means_apart_in_mcse", 0.0) > MOST:
                ratio = "means differ"
            else:
                ratio = f"{base / rate:.3g}" if base else ""
            rows.append(
                [
                    NAMES[name],
                    f"{one['least_ess_bulk']:.0f} ({one['least_ess_bulk_of']})",
                    f"{one['steps_per_draw']:.0f}",
                    str(one["divergences"]),
                    f"{one['worst_r_hat']:.3f}",
                    shown(one["seconds"]["compile_cpu"]),
                    shown(one["seconds"]["cpu"]),
                    f"{rate:.3g}",
                    ratio,
                    f"{one.get('means_apart_in_mcse', 0.0):.1f}",
                ]
            )
        header = [
            "sampler",
            "least bulk ESS",
            "steps a draw",
            "divergences",
            "worst R-hat",
            "compiling, CPU",
            "rest, CPU",
        ]
        header += ["ESS per CPU s", "dpm is × faster", "means apart, Monte Carlo se"]
        lines += [
            study,
            markdown(header, rows),
            *(f"{NAMES[k]}: {why}" for k, why in each["skipped"].items()),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(one(*sys.argv[1:4], *map(int, sys.argv[4:7]))))  # type: ignore[arg-type]
