"""Viral decay below the limit of an assay: the censored likelihood recovers its rate, values in place of it do not.

The design is that of ACTG 315 (Wu & Ding 1999, doi 10.1111/j.0006-341X.1999.00410.x): log10 copies under treatment, a
limit of 100 copies/mL, and below it a value of half the limit in the table.
"""

from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal

N, LIMIT, PUT = 90, 2.0, np.log10(50.0)
WEEKS = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0])
TRUTH = {"rna_level": 5.0, "rna_slope": -20.0, "rna_level_sd": 0.6, "rna_slope_sd": 5.0, "rna_sd": 0.3}
FAST = dist.HalfNormal(20.0)
MODEL = ProgressionModel(
    outcomes={
        "rna": Outcome(
            Linear(
                level=Parameter(dist.Normal(5.0, 5.0), subject=dist.HalfNormal(2.0)),
                slope=Parameter(dist.Normal(0.0, 50.0), subject=FAST),
            ),
            Gaussian(sd=dist.HalfNormal(1.0)),
        )
    },
    correlation=None,
)


@cache
def truth() -> np.ndarray:
    """Log10 copies/mL of everybody, limit or not."""
    rng = np.random.default_rng(19)
    level, slope = 5.0 + 0.6 * rng.normal(size=N), -20.0 + 5.0 * rng.normal(size=N)
    return level + slope * WEEKS[:, None] / 52.18 + 0.3 * rng.normal(size=(len(WEEKS), N))


def records(values: np.ndarray, codes: np.ndarray | None = None) -> Records:
    time = np.tile(WEEKS[:, None] / 52.18, N)
    return Records(
        time=jnp.asarray(time),
        values={"rna": jnp.asarray(values)},
        observed={"rna": jnp.ones(time.shape, bool)},
        covariates={},
        groups={},
        censored={} if codes is None else {"rna": jnp.asarray(codes)},
    )


def fitted(data: Records) -> tuple[dict[str, float], dict[str, float]]:
    hierarchy = Hierarchy.of(MODEL, data)
    table = Laplace(objective="ml").maximise(Marginal(hierarchy), data, key=jax.random.key(0)).estimates
    return {name: float(table["estimate"][name]) for name in TRUTH}, {name: float(table["se"][name]) for name in TRUTH}


@pytest.mark.slow
def test_the_censored_likelihood_recovers_the_rate_of_decay_and_substitution_does_not() -> None:
    """A tenth of the values lies below the limit, as in the trial."""
    below = truth() < LIMIT
    assert below.mean() == pytest.approx(40 / 361, abs=0.02)
    censored, se = fitted(records(np.where(below, LIMIT, truth()), np.where(below, 1, 0).astype(np.int8)))
    for name, value in TRUTH.items():
        assert abs(censored[name] - value) < 3.0 * se[name], name
    for put in (LIMIT, PUT):
        substituted, wrong = fitted(records(np.where(below, put, truth())))
        assert substituted["rna_slope"] > TRUTH["rna_slope"] + 3.0 * wrong["rna_slope"]
        assert substituted["rna_slope_sd"] < TRUTH["rna_slope_sd"] - 3.0 * wrong["rna_slope_sd"]
