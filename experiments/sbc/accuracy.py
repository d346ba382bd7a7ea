"""Every engine against a long run of NUTS on one cohort of each world, simulated at the medians of the priors."""

from typing import Any

import jax
import numpy as np
from arviz_stats.sampling_diagnostics import ess
from scipy.stats import kurtosis

import dpm
from dpm.checks.sampler import elements
from dpm.errors import InferenceError
from dpm.inference.draws import Method
from experiments.sbc.simulations import ENGINES, SEED
from experiments.sbc.worlds import WORLDS, World

LONG = dpm.NUTS(warmup=2000, draws=10_000, target_accept=0.95, progress=False)
"""The reference: 40,000 draws."""

SAMPLED: dict[str, Method] = {
    "nuts": dpm.NUTS(draws=2500, progress=False),
    "marginal_nuts": dpm.MarginalNUTS(level="quadrature", draws=2500, progress=False),
    "laplace_weighted": dpm.Laplace(level="quadrature", importance=20_000, draws=20_000),
    "variational": dpm.Variational(proposals=20_000, draws=20_000, progress=False),
    "laplace": dpm.Laplace(draws=20_000),
}
"""The engines with more draws, so that what is left is theirs and not chance."""


def moments(posterior: dpm.Posterior) -> dict[str, dict[str, float]]:
    r"""Mean and sd of every population value on its natural scale, each with its Monte Carlo error.

    The error of a mean is $s/\sqrt{n}$, that of an sd $s\sqrt{(\kappa - 1)/(4 n)}$ with $\kappa$ the kurtosis and
    $n$ the effective size; of weighted draws, that of the proposals and of the draws resampled from them together.
    """
    weighted, found = posterior.provenance.get("importance_ess"), {}
    for label, draws in elements(posterior):
        sizes = {kind: float(draws.size) for kind in ("mean", "sd")}
        if weighted is not None:
            sizes = dict.fromkeys(sizes, 1.0 / (1.0 / weighted + 1.0 / draws.size))
        elif "sample_stats" in posterior.tree.children:
            sizes = {kind: float(ess(draws, method=kind)) for kind in sizes}
        mean, sd, peak = float(draws.mean()), float(draws.std(ddof=1)), float(kurtosis(draws, axis=None, fisher=False))
        errors = {
            "mean_error": sd / np.sqrt(sizes["mean"]),
            "sd_error": sd * np.sqrt((peak - 1.0) / (4.0 * sizes["sd"])),
        }
        found[label] = {"mean": mean, "sd": sd, **{name: float(value) for name, value in errors.items()}}
    return found


def compared(reference: dict[str, dict[str, float]], own: dict[str, dict[str, float]]) -> dict[str, Any]:
    r"""Largest $|\bar x - \bar x_0|/s_0$ and the ratio $s/s_0$ furthest from one, with the errors of both runs.

    The largest of several is expected to be above zero, by about two errors of the seven values here.
    """
    rows = {}
    for site, long in reference.items():
        short = own[site]
        shift, ratio = abs(short["mean"] - long["mean"]) / long["sd"], short["sd"] / long["sd"]
        shift_error = float(np.hypot(long["mean_error"], short["mean_error"]) / long["sd"])
        ratio_error = float(ratio * np.hypot(long["sd_error"] / long["sd"], short["sd_error"] / short["sd"]))
        rows[site] = {"shift": shift, "shift_error": shift_error, "ratio": ratio, "ratio_error": ratio_error}
    mean_at = max(rows, key=lambda site: rows[site]["shift"])
    sd_at = max(rows, key=lambda site: abs(np.log(rows[site]["ratio"])))
    return {
        "shift": rows[mean_at]["shift"],
        "shift_error": rows[mean_at]["shift_error"],
        "shift_of": mean_at,
        "ratio": rows[sd_at]["ratio"],
        "ratio_error": rows[sd_at]["ratio_error"],
        "ratio_of": sd_at,
        "values": rows,
    }


def measured(name: str, world: World) -> dict[str, Any]:
    """The long run and every engine, on one cohort."""
    cohort_key, long_key, *keys = jax.random.split(jax.random.fold_in(jax.random.key(SEED), 99), 2 + len(ENGINES))
    cohort = world.design.simulate(world.model, None, key=cohort_key)
    posterior = dpm.fit(world.model, cohort, method=LONG, key=long_key)
    long, gate = moments(posterior), dpm.convergence_table(posterior).set_index("criterion")["value"]
    found: dict[str, Any] = {"reference": long, "gate": {str(k): float(v) for k, v in gate.items()}, "engines": {}}
    for engine, key in zip(ENGINES, keys, strict=True):
        try:
            own = dpm.fit(world.model, cohort, method=SAMPLED[engine], key=key)
        except InferenceError as refusal:
            found["engines"][engine] = {"refused": str(refusal).splitlines()[0]}
        else:
            found["engines"][engine] = compared(long, moments(own))
        print(name, engine, {k: v for k, v in found["engines"][engine].items() if k != "values"}, flush=True)
    return found


def all_worlds() -> dict[str, Any]:
    return {name: measured(name, build()) for name, build in WORLDS.items()}
