"""The shipped PBC study as Python objects, and a posterior with no uncertainty, for closed forms."""

from functools import cache

import jax
import numpy as np

from dpm.cohort.cohort import Cohort
from dpm.cohort.encodings import Encodings
from dpm.cohort.read import read_cohort
from dpm.inference.draws import Draws
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.posterior import Posterior
from dpm.study.read import read_study
from dpm.study.shipped import demo_study
from dpm.types import Model
from models.pbc_bilirubin import build

TYPICAL = {
    "log_bilirubin_level": 0.47,
    "log_bilirubin_slope": 0.17,
    "log_bilirubin_level_sd": 0.96,
    "log_bilirubin_slope_sd": 0.17,
    "log_bilirubin_sd": 0.36,
    "log_bilirubin_level_age": -0.07,
    "log_bilirubin_level_log_protime": 0.35,
    "log_bilirubin_slope_log_protime": 0.04,
}
"""Near the posterior means of the placebo arm; the other coefficients are zero."""

CORRELATION = 0.37


@cache
def pbc() -> Cohort:
    return read_cohort("data:pbc/pbc_longitudinal.csv", read_study(demo_study()).study.data.roles)


@cache
def history() -> Cohort:
    return pbc().where(arm="placebo")


@cache
def trial() -> Cohort:
    return pbc().where(arm="dpenicillamine")


@cache
def model() -> Model:
    return build()


@cache
def certain_posterior(draws: int = 50) -> Posterior:
    """A posterior whose draws are all the same: what is left is between patients and residual."""
    cohort = history()
    encodings = Encodings.learn(cohort)
    hierarchy = Hierarchy.of(model(), cohort.records(encodings))
    lower = np.array([[1.0, 0.0], [CORRELATION, np.sqrt(1 - CORRELATION**2)]])
    values = {site.name: np.asarray(TYPICAL.get(site.name, 0.0)) for site in hierarchy.population}
    values["subject_correlation_cholesky"] = lower
    sites = {name: np.broadcast_to(value, (1, draws, *value.shape)).copy() for name, value in values.items()}
    return Posterior.of(model(), cohort, encodings, Draws(sites=sites), method="fixed")


KEY = jax.random.key(20260101)
