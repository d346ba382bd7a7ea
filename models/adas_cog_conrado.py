r"""Alzheimer's disease, ADAS-Cog (0 to 70, higher is worse).

$$\frac{\mu_i(t)}{70} = \frac{B_i}{\{B_i^b + (70^b - B_i^b)\,e^{-b S_i t}\}^{1/b}},\qquad
y/70 \sim \mathrm{Beta}(\tau\mu/70,\ \tau(1 - \mu/70))$$

with $\log B_i$ and $S_i$ correlated and normal, and men 4.7 % lower at baseline. Clock: years since baseline.

Source: Conrado et al. 2014, doi 10.1007/s10928-014-9375-z: 4,494 subjects of 15 studies (CAMD). Values transcribed.
Left out: the study level on both parameters, whose variances were not found, and the effects of age, APOE4 and
co-medication.

Data needed: `adas_cog` (kind bounded, 0 to 70, none on a bound) at visits; baseline `male` (0/1).
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.correlation import LKJ
from dpm.components.growth import Richards
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedScore
from dpm.types import Key
from dpm.virtual.design import Design

TYPICAL = {
    "adas_cog_level": float(np.log(22.2)),
    "adas_cog_level_male": float(np.log(0.953)),
    "adas_cog_level_sd": float(np.sqrt(0.156)),
    "adas_cog_rate": 0.153,
    "adas_cog_rate_sd": float(np.sqrt(0.0413)),
    "adas_cog_shape": 6.91,
    "adas_cog_precision": 87.5,
    "subject_correlation": [[1.0, 0.279], [0.279, 1.0]],
}

CARD = ModelCard(
    title="ADAS-Cog in Alzheimer's disease",
    context_of_use="Expected course of ADAS-Cog in patients on placebo or symptomatic treatment.",
    population="Mild to moderate Alzheimer's disease in trials.",
    disease="Alzheimer's disease",
    endpoint="ADAS-Cog (0-70)",
    source="Conrado 2014, doi 10.1007/s10928-014-9375-z",
    status="published values",
    units={
        "adas_cog_level": "log points",
        "adas_cog_level_male": "log points",
        "adas_cog_level_sd": "log points",
        "adas_cog_rate": "1/years",
        "adas_cog_rate_sd": "1/years",
        "adas_cog_shape": "1",
        "adas_cog_precision": "1",
    },
    covariates={"male": "men against women"},
    reasons={
        "adas_cog_level": "published 22.2 points; a factor of 2 (2 sd) either way",
        "adas_cog_level_male": "published 0.953; a factor of 1.5 (2 sd) either way",
        "adas_cog_level_sd": "published 0.39",
        "adas_cog_rate": "published 0.153 a year",
        "adas_cog_rate_sd": "published 0.20 a year",
        "adas_cog_shape": "published 6.91",
        "adas_cog_precision": "published 87.5",
        "subject_correlation": "slightly favours uncorrelated level and rate",
    },
    limitations=("One level between subjects: studies differ, by an amount that was not found.",),
)

DESIGN = Design(
    n=4494,
    times=(0.0, 0.25, 0.5, 1.0, 1.5, 2.0),
    outcomes={
        "adas_cog": OutcomeRole(
            column="adas_cog", label="ADAS-Cog", unit="points", kind="bounded", lower=0, upper=70, higher_is="worse"
        )
    },
    covariates={"male": dist.Bernoulli(0.45)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    level = Parameter(
        dist.Normal(np.log(22.2), 0.35),
        subject=dist.HalfNormal(0.8),
        effects={"male": dist.Normal(0.0, 0.2)},
        link=jnp.exp,
    )
    rate = Parameter(dist.Normal(0.15, 0.15), subject=dist.HalfNormal(0.4))
    course = Richards(level=level, rate=rate, asymptote=70.0, shape=dist.LogNormal(np.log(6.9), 0.5))
    noise = BoundedScore(lower=0, upper=70, precision=dist.LogNormal(np.log(87.5), 0.5))
    return ProgressionModel(outcomes={"adas_cog": Outcome(course, noise)}, correlation=LKJ(2.0), card=CARD)


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
