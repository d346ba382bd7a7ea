r"""Bietti crystalline dystrophy, visual acuity [LogMAR], untreated.

$$\mu_{ie}(t) = \ell_{ie} + K_i t,\qquad \log K_i \sim N(\log 0.0566,\ 0.898^2)$$

for eye $e$ of patient $i$. Source: Zhang et al. 2025, doi 10.1136/bmjophth-2024-001908: 117 patients, 193 eyes, 14
digitised studies, built for gene-therapy trials of CYP4V2. Values transcribed. There the eyes of a patient are
independent and the course is the change from baseline; here a patient's eyes share the rate and have levels of their
own, whose priors are ours.

Data needed: `acuity` [LogMAR] at visits, a `part` (the eye).
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.correlation import LKJ
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.types import Key
from dpm.virtual.design import Design

TYPICAL = {
    "acuity_level": 0.6,
    "acuity_level_sd": 0.5,
    "acuity_level_part_sd": 0.3,
    "acuity_slope": float(np.log(0.0566)),
    "acuity_slope_sd": 0.898,
    "acuity_sd": 0.336,
    "subject_correlation": [[1.0, 0.0], [0.0, 1.0]],
}
"""The level's three values are ours, not published."""

CARD = ModelCard(
    title="Visual acuity in Bietti crystalline dystrophy",
    context_of_use="Expected untreated loss of acuity, eye by eye, as comparator for gene therapy.",
    population="Patients with biallelic CYP4V2 variants.",
    disease="Bietti crystalline dystrophy",
    endpoint="BCVA, LogMAR",
    source="Zhang 2025, doi 10.1136/bmjophth-2024-001908",
    status="published values; the level's are ours",
    units={
        "acuity_level": "LogMAR",
        "acuity_level_sd": "LogMAR",
        "acuity_level_part_sd": "LogMAR",
        "acuity_slope": "log LogMAR/year",
        "acuity_slope_sd": "log LogMAR/year",
        "acuity_sd": "LogMAR",
    },
    reasons={
        "acuity_level": "from normal to counting fingers at entry; not published",
        "acuity_level_sd": "patients differ by more than one LogMAR; not published",
        "acuity_level_part_sd": "eyes of one patient differ by less; not published",
        "acuity_slope": "published 0.0566 a year (0.0454 to 0.0678)",
        "acuity_slope_sd": "published 0.898: 95 % of slopes from 0.0097 to 0.329 a year",
        "acuity_sd": "published 0.336",
        "subject_correlation": "slightly favours uncorrelated level and slope",
    },
    limitations=("A slope that can only be positive.", "Acuity off the chart is coded 1.9 to 3.0."),
)

DESIGN = Design(
    n=117,
    times=(0.0, 1.0, 2.0, 4.0, 6.0, 8.0),
    outcomes={"acuity": OutcomeRole(column="acuity", label="visual acuity", unit="logMAR", higher_is="worse")},
    parts=("right", "left"),
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    level = Parameter(dist.Normal(0.6, 0.5), subject=dist.HalfNormal(0.7), within={"part": dist.HalfNormal(0.5)})
    slope = Parameter(dist.Normal(np.log(0.0566), 0.5), subject=dist.HalfNormal(1.0), link=jnp.exp)
    return ProgressionModel(
        outcomes={"acuity": Outcome(Linear(level=level, slope=slope), Gaussian(sd=dist.HalfNormal(0.5)))},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
