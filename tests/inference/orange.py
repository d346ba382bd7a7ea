"""Growth of five orange trees: circumference of the trunk [mm] by age [days].

Draper NR, Smith H. Applied Regression Analysis. Wiley, New York 1981, p. 524.
"""

from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import LogisticGrowth

AGE = [118, 484, 664, 1004, 1231, 1372, 1582]
CIRCUMFERENCE = [
    [30, 58, 87, 115, 120, 142, 145],
    [33, 69, 111, 156, 172, 203, 203],
    [30, 51, 75, 108, 115, 139, 140],
    [32, 62, 112, 167, 179, 209, 214],
    [30, 49, 81, 125, 142, 174, 177],
]


def records() -> Records:
    values = jnp.asarray(CIRCUMFERENCE, float).T
    time = jnp.tile(jnp.asarray(AGE, float)[:, None], (1, len(CIRCUMFERENCE)))
    observed = {"circumference": jnp.ones(values.shape, bool)}
    return Records(time=time, values={"circumference": values}, observed=observed, covariates={}, groups={})


MODEL = ProgressionModel(
    outcomes={
        "circumference": Outcome(
            LogisticGrowth(
                asymptote=Parameter(dist.Normal(180.0, 50.0), subject=dist.HalfNormal(50.0)),
                midpoint=Parameter(dist.Normal(700.0, 200.0)),
                scale=Parameter(dist.Normal(350.0, 100.0)),
            ),
            Gaussian(sd=dist.HalfNormal(20.0)),
        )
    }
)
VALUES = {
    "circumference_asymptote": 185.0,
    "circumference_midpoint": 700.0,
    "circumference_scale": 340.0,
    "circumference_asymptote_sd": 30.0,
    "circumference_sd": 9.0,
}
