r"""Parkinson's disease, change in total UPDRS: progression and a symptomatic effect.

$$\mu_i(m) = s_i\,m - e_i\,(1 - e^{-k m})$$

in points, $m$ in months of four weeks since baseline, with slope $s_i$ and symptomatic effect $e_i$ normal and
independent, both shifted by treatment (rasagiline).

Source: Lee & Gobburu 2011, doi 10.1208/s12248-011-9293-6 (TEMPO; posterior means and sds, which are the priors here).
Values transcribed.

Data needed: `updrs_change` [points] at visits; baseline `treated` (0/1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Trajectory
from dpm.types import Key, PerVisit
from dpm.virtual.design import Design

PER_YEAR = 365.25 / 28.0
"""Months of four weeks in a year."""

TYPICAL = {
    "updrs_change_slope": 0.73,
    "updrs_change_slope_treated": -0.30,
    "updrs_change_slope_sd": float(np.sqrt(0.47)),
    "updrs_change_relief": 1.12,
    "updrs_change_relief_treated": 1.61,
    "updrs_change_relief_sd": float(np.sqrt(18.61)),
    "updrs_change_onset": float(np.log(1.46)),
    "updrs_change_sd": float(np.sqrt(8.53)),
}

CARD = ModelCard(
    title="Change in total UPDRS in early Parkinson's disease",
    context_of_use="Expected change without and with a symptomatic treatment in early disease.",
    population="Early Parkinson's disease without dopaminergic treatment (TEMPO).",
    disease="Parkinson's disease",
    endpoint="total UPDRS, change",
    source="Lee & Gobburu 2011, doi 10.1208/s12248-011-9293-6",
    status="published values",
    units={
        "updrs_change_slope": "points/month",
        "updrs_change_slope_treated": "points/month",
        "updrs_change_slope_sd": "points/month",
        "updrs_change_relief": "points",
        "updrs_change_relief_treated": "points",
        "updrs_change_relief_sd": "points",
        "updrs_change_onset": "log 1/month",
        "updrs_change_sd": "points",
    },
    covariates={"treated": "rasagiline against placebo"},
    reasons={
        "updrs_change_slope": "published 0.73 (0.09), wider",
        "updrs_change_slope_treated": "published -0.30 (0.11), centred on no effect",
        "updrs_change_slope_sd": "published variance 0.47",
        "updrs_change_relief": "published 1.12 (0.48), wider",
        "updrs_change_relief_treated": "published 1.61 (0.60), centred on no effect",
        "updrs_change_relief_sd": "published variance 18.61",
        "updrs_change_onset": "published 1.46 a month (0.61)",
        "updrs_change_sd": "published variance 8.53",
    },
    limitations=("Months of four weeks; the paper prints weeks.",),
)


@dataclass(frozen=True, kw_only=True)
class Relief(Trajectory):
    r"""$\mu = s\,m - e\,(1 - e^{-k m})$, $m$ in months of four weeks.

    Attributes:
        slope: $s$ [outcome unit/month].
        relief: symptomatic effect in the end, $e$ [outcome unit].
        onset: $k$ [1/month].
    """

    slope: Parameter
    relief: Parameter
    onset: Parameter

    equation = r"\mu = \mathrm{slope}\;m - \mathrm{relief}\,(1 - e^{-\mathrm{onset}\;m}),\quad m = 13.04\,t"

    def curve(self, time: PerVisit, *, slope: Any, relief: Any, onset: Any) -> PerVisit:
        months = time * PER_YEAR
        return slope * months + relief * jnp.expm1(-onset * jnp.maximum(months, 0.0))


DESIGN = Design(
    n=400,
    times=tuple(week * 7.0 / 365.25 for week in (0, 4, 8, 14, 20, 26)),
    outcomes={
        "updrs_change": OutcomeRole(column="updrs_change", label="change in UPDRS", unit="points", higher_is="worse")
    },
    covariates={"treated": dist.Bernoulli(0.5)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = Relief(
        slope=Parameter(
            dist.Normal(0.73, 0.3), subject=dist.HalfNormal(1.0), effects={"treated": dist.Normal(0.0, 0.5)}
        ),
        relief=Parameter(
            dist.Normal(1.12, 1.5), subject=dist.HalfNormal(6.0), effects={"treated": dist.Normal(0.0, 2.0)}
        ),
        onset=Parameter(dist.Normal(np.log(1.46), 0.4), link=jnp.exp),
    )
    return ProgressionModel(
        outcomes={"updrs_change": Outcome(course, Gaussian(sd=dist.HalfNormal(5.0)))}, correlation=None, card=CARD
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
