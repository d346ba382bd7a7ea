"""Theophylline: one-compartment oral model with log-normal absorption rate, clearance and volume; three effects."""

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records, load_data
from dpm.types import Array, PerSubject, PerVisit

PARAMETERS = {"log_ka": 0.45, "log_cl": 1.0, "log_v": 3.45}
FIXED = {**PARAMETERS, "log_ka_sd": 0.6**0.5, "log_cl_sd": 0.3**0.5, "log_v_sd": 0.1**0.5, "sigma": 0.7}


def records() -> Records:
    table = load_data("theophylline")

    def arranged(column: str) -> Array:
        return jnp.asarray(table[column].to_numpy(float).reshape(12, 11).T)

    return Records(
        time=arranged("time_hours"),
        values={"concentration": arranged("concentration_mg_per_l")},
        observed={"concentration": jnp.ones((11, 12), bool)},
        covariates={"dose": (arranged("dose_mg_per_kg") * arranged("weight_kg"))[0]},
        groups={},
    )


def concentration(dose: PerSubject, time: PerVisit, *, ka: PerSubject, cl: PerSubject, v: PerSubject) -> PerVisit:
    """D ka / V (exp(-ke t) - exp(-ka t)) / (ka - ke), finite where absorption is as fast as elimination (ka = ke)."""
    ke = cl / v
    same = jnp.abs(ka - ke) < 1e-6 * ke
    gap = jnp.where(same, 1.0, ka - ke)
    share = jnp.where(same, time * jnp.exp(-ke * time), (jnp.exp(-ke * time) - jnp.exp(-ka * time)) / gap)
    return dose * ka / v * share


def model(data: Records) -> None:
    """One-compartment oral model of theophylline."""
    typical = {name: numpyro.sample(name, dist.Normal(at, 1.0)) for name, at in PARAMETERS.items()}
    spread = {name: numpyro.sample(f"{name}_sd", dist.HalfNormal(1.0)) for name in PARAMETERS}
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        z = {name: numpyro.sample(f"{name}_z", dist.Normal(0.0, 1.0)) for name in PARAMETERS}
        ka, cl, v = (jnp.exp(typical[name] + spread[name] * z[name]) for name in PARAMETERS)
        mean = concentration(data.covariates["dose"], data.time, ka=ka, cl=cl, v=v)
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            numpyro.deterministic("concentration_mean", mean)
            noise = dist.Normal(mean, sigma).mask(data.observed["concentration"])
            numpyro.sample("concentration", noise, obs=data.values["concentration"])
