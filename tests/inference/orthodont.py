"""Distance from pituitary to pterygomaxillary fissure [mm] in 27 children at 8, 10, 12 and 14 years of age.

Potthoff RF, Roy SN. A generalized multivariate analysis of variance model useful especially for growth curve problems.
Biometrika 1964, doi 10.1093/biomet/51.3-4.313.
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records, load_data
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear


def records() -> Records:
    """Time is age itself, so that the level is the intercept of the published fits."""
    table = load_data("orthodont")
    values = jnp.asarray(table["distance_mm"].to_numpy(float).reshape(27, 4).T)
    girl = jnp.asarray((table["sex"].to_numpy()[::4] == "female").astype(float))
    return Records(
        time=jnp.asarray(table["age_years"].to_numpy(float).reshape(27, 4).T),
        values={"distance": values},
        observed={"distance": jnp.ones(values.shape, bool)},
        covariates={"girl": girl},
        groups={},
    )


def model(*, sex: bool = False) -> ProgressionModel:
    """A straight line per child, level and slope correlated; with `sex`, girls differ in both."""
    level = Parameter(
        dist.Normal(17.0, 5.0),
        subject=dist.HalfNormal(2.0),
        effects={"girl": dist.Normal(0.0, 2.0)} if sex else {},
    )
    slope = Parameter(
        dist.Normal(0.7, 0.5),
        subject=dist.HalfNormal(0.5),
        effects={"girl": dist.Normal(0.0, 0.5)} if sex else {},
    )
    return ProgressionModel(
        outcomes={"distance": Outcome(Linear(level=level, slope=slope), Gaussian(sd=dist.HalfNormal(2.0)))}
    )


def factor(correlation: float) -> np.ndarray:
    """The Cholesky factor of a 2 x 2 correlation matrix."""
    return np.array([[1.0, 0.0], [correlation, np.sqrt(1.0 - correlation**2)]])


VALUES = {
    "distance_level": 16.5,
    "distance_slope": 0.7,
    "distance_level_sd": 2.0,
    "distance_slope_sd": 0.25,
    "subject_correlation_cholesky": factor(-0.5),
    "distance_sd": 1.4,
}
