"""Wang 2007: ten subjects, two visits, one effect; a nonlinear model whose marginal likelihood is known exactly.

Wang Y. Derivation of various NONMEM estimation methods. J Pharmacokinet Pharmacodyn 2007,
doi 10.1007/s10928-007-9060-6.
"""

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.types import Model

FIRST = [10.680, 10.402, 9.8814, 9.3408, 10.082, 9.8938, 9.8908, 10.234, 9.9882, 9.6736]
SECOND = [3.6837, 6.4540, 5.8565, 5.6209, 6.7583, 6.5049, 6.9557, 6.4488, 6.7112, 6.6402]
PUBLISHED = {"decay": 0.5}


def records() -> Records:
    values = jnp.array([FIRST, SECOND])
    time = jnp.tile(jnp.array([[0.0], [1.0]]), (1, 10))
    return Records(time=time, values={"y": values}, observed={"y": jnp.ones((2, 10), bool)}, covariates={}, groups={})


def model(error: str) -> Model:
    """f = 10 exp(-k t), k = decay exp(eta), eta ~ N(0, 0.04); error variance 0.1, proportional or additive."""

    def wang(data: Records) -> None:
        decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                mean = numpyro.deterministic("y_mean", 10.0 * jnp.exp(-decay * jnp.exp(eta) * data.time))
                sd = jnp.sqrt(0.1) * (mean if error == "proportional" else jnp.ones_like(mean))
                numpyro.sample("y", dist.Normal(mean, sd).mask(data.observed["y"]), obs=data.values["y"])

    return wang
