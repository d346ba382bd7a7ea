r"""Amyotrophic lateral sclerosis, ALSFRS-R (0 to 48) and death, jointly.

$$\mu_i(t) = 48\,\sigma\{-r_i(t - m_i)\},\qquad y \sim \mathrm{BetaBinomial}(48, \varphi),\qquad
\log h_i(t) = \log h_0(t) + \alpha\,\mu_i(t)/48$$

on the time since onset. No published model: the structure follows what is known of the scale, the priors are
documented. Registries report a mean loss of 0.89 to 0.99 points a month (PRO-ACT, PRECISION-ALS), decelerating, and
that the current score drives survival.

Data needed: `alsfrs` (kind integer, 0 to 48) at visits, a clock `onset` (time since onset at baseline), an event
process `death`.
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.clock import Since
from dpm.components.correlation import LKJ
from dpm.components.event import Event
from dpm.components.hazard import Weibull
from dpm.components.link import CurrentValue
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import IntegerScore
from dpm.components.sigmoid import LogisticDecline
from dpm.types import Key
from dpm.virtual.design import Design

TYPICAL = {
    "alsfrs_midpoint": 3.0,
    "alsfrs_midpoint_sd": 1.2,
    "alsfrs_rate": 0.0,
    "alsfrs_rate_sd": 0.4,
    "alsfrs_precision": 40.0,
    "death_log_rate": -1.0,
    "death_shape": 1.5,
    "death_alsfrs": -0.1,
    "subject_correlation": [[1.0, -0.3], [-0.3, 1.0]],
}
"""Ours, not published: a mean loss near 0.9 points a month two years after onset."""

CARD = ModelCard(
    title="ALSFRS-R and death in amyotrophic lateral sclerosis",
    context_of_use="Expected loss of function and survival after onset, as comparator for a single-arm trial.",
    population="Adults with ALS as in registries and trials.",
    disease="Amyotrophic lateral sclerosis",
    endpoint="ALSFRS-R; death",
    source="structure only; registry slopes as cited",
    status="documented priors",
    units={
        "alsfrs_midpoint": "years since onset",
        "alsfrs_midpoint_sd": "years",
        "alsfrs_rate": "log 1/years",
        "alsfrs_rate_sd": "log 1/years",
        "alsfrs_precision": "1",
        "death_log_rate": "log 1/years^k",
        "death_shape": "1",
        "death_alsfrs": "log hazard ratio per point",
    },
    reasons={
        "alsfrs_midpoint": "half of the scale is lost between half a year and six years after onset",
        "alsfrs_midpoint_sd": "patients differ by years",
        "alsfrs_rate": "a steepest loss of 4 to 33 points a year",
        "alsfrs_rate_sd": "95 % of patients lose between 0.04 and 2 points a month",
        "alsfrs_precision": "a visit's score within a few points of its course",
        "death_log_rate": "between few and nearly all dead within a year at a score of 0",
        "death_shape": "between falling with time and rising with its third power",
        "death_alsfrs": "up to a factor of e (2 sd) for five points",
        "subject_correlation": "slightly favours uncorrelated midpoint and rate",
    },
    limitations=("No published values: the priors are weak, and the data have to speak.",),
)

DESIGN = Design(
    n=1000,
    times=(0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
    outcomes={
        "alsfrs": OutcomeRole(
            column="alsfrs", label="ALSFRS-R", unit="points", kind="integer", lower=0, upper=48, higher_is="better"
        )
    },
    clocks={"onset": dist.Uniform(0.3, 3.0)},
    events={"death": ("death",)},
    follow_up=4.0,
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = LogisticDecline(
        ceiling=48.0,
        floor=0.0,
        midpoint=Parameter(dist.Normal(3.0, 1.5), subject=dist.HalfNormal(2.0)),
        rate=Parameter(dist.Normal(0.0, 0.5), subject=dist.HalfNormal(0.5), link=jnp.exp),
    )
    death = Event(
        hazard=Weibull(log_rate=dist.Normal(-1.0, 1.5), shape=dist.LogNormal(0.3, 0.4)),
        links={"alsfrs": CurrentValue(dist.Normal(0.0, 0.1))},
    )
    noise = IntegerScore(maximum=48, precision=dist.LogNormal(np.log(40.0), 0.7))
    return ProgressionModel(
        clock=Since("onset"),
        outcomes={"alsfrs": Outcome(course, noise)},
        events={"death": death},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
