"""A small simulated cohort whose subjects have telling names, a model for it, and one fit for all tests."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pandas as pd
from numpyro import distributions as dist

from dpm.cohort import Cohort, read_cohort
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from dpm.posterior.posterior import Posterior

SUBJECTS, VISITS, DRAWS = 37, 5, 200
KEY = jax.random.key(31)
HOSPITALS = ("north", "east", "south")
ROLES: dict[str, Any] = {
    "subject": "patient",
    "time": {"column": "month", "unit": "months"},
    "outcomes": {"score": {"column": "score", "unit": "points", "higher_is": "worse"}},
    "covariates": {
        "age": {"column": "age", "unit": "years", "standardise": True},
        "female": {"column": "sex", "level": "female", "levels": ["female", "male"]},
    },
    "groups": ["hospital"],
}


def table(seed: int = 0, *, older: float = 0.0, hospitals: tuple[str, ...] = HOSPITALS) -> pd.DataFrame:
    """A row per visit: a line per subject with level 10, slope 2 a year, and noise of sd 0.5."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(SUBJECTS):
        age, female = rng.normal(50.0 + older, 10.0), rng.uniform() < 0.5
        level = 10.0 + 0.8 * (age - 50.0) / 10.0 + rng.normal()
        slope = 2.0 + 0.5 * female + 0.6 * rng.normal()
        for visit in range(VISITS):
            month = 6.0 * visit
            rows.append(
                {
                    "patient": f"patient-{seed}-{k:04d}",
                    "month": month,
                    "score": level + slope * month / 12.0 + 0.5 * rng.normal(),
                    "age": age,
                    "sex": "female" if female else "male",
                    "hospital": hospitals[k % len(hospitals)],
                }
            )
    return pd.DataFrame(rows)


@cache
def cohort() -> Cohort:
    return read_cohort(table(), ROLES)


@cache
def others() -> Cohort:
    """Older patients of two known hospitals and one that the model has not met."""
    return read_cohort(table(1, older=15.0, hospitals=("east", "west", "north")), ROLES)


MODEL = ProgressionModel(
    outcomes={
        "score": Outcome(
            Linear(
                level=Parameter(
                    dist.Normal(10.0, 5.0), subject=dist.HalfNormal(2.0), effects={"age": dist.Normal(0.0, 1.0)}
                ),
                slope=Parameter(
                    dist.Normal(0.0, 2.0),
                    subject=dist.HalfNormal(1.0),
                    effects={"female": dist.Normal(0.0, 1.0)},
                    groups={"hospital": dist.HalfNormal(0.5)},
                ),
            ),
            Gaussian(sd=dist.HalfNormal(1.0)),
        )
    }
)


@cache
def posterior() -> Posterior:
    return fit(MODEL, cohort(), method=Laplace(draws=DRAWS), key=KEY)
