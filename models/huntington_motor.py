r"""Huntington's disease, total motor score (0 to 124, higher is worse), by age and repeat length.

$$P(y \le k) = \Phi\{(z_{(k + 1)/125} - \mu_i)/\sigma\},\qquad \mu_i = \ell_i + s_i\,\frac{C_i(t) - 100}{100},\qquad
C_i(t) = \frac{(\mathrm{age}_i + t)\,(\mathrm{CAG}_i - 30)}{6.49}$$

with whole points cut from a normal (bounded integer), on a clock of age scaled by repeat length: the CAP score, 100 at
the expected diagnosis. Who enters a trial improves at first, which natural history does not contain. Clock: CAP.

Source: the noise of the bounded-integer model of the Critical Path Institute (more than 12,500 scores); the CAP score
with its published constants 30 and 6.49; the strong initial improvement of motor scores in the placebo arm of
GENERATION HD1 against Enroll-HD. Parameter values were not found: the priors are ours, weakly informative, and there
are no typical values. The straight line on the latent scale is ours.

Data needed: `motor` (kind integer, 0 to 124) at visits; a clock `age`; baseline `cag` (repeats of the longer allele,
not standardised, more than 30) and `trial` (1 in who entered a trial).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.clock import LatentTime
from dpm.components.correlation import LKJ
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedInteger
from dpm.components.trajectory import Trajectory
from dpm.components.treatment import TrialEntry
from dpm.types import Array, Key, PerVisit
from dpm.virtual.design import Design

REPEATS, YEARS = 30.0, 6.49
"""Published constants of the CAP score, 100 at the expected diagnosis."""

CARD = ModelCard(
    title="Total motor score in Huntington's disease, by age and repeat length",
    context_of_use="Expected motor score of carriers before and after diagnosis, in cohorts and in placebo arms.",
    population="Carriers of the expansion, 36 repeats or more.",
    disease="Huntington's disease",
    endpoint="total motor score (0-124)",
    source="structure only; CAP score and bounded-integer noise as cited",
    status="documented priors",
    units={
        "motor_level": "sd of a score drawn evenly",
        "motor_level_sd": "sd of a score drawn evenly",
        "motor_slope": "sd of a score drawn evenly per 100 CAP",
        "motor_slope_sd": "sd of a score drawn evenly per 100 CAP",
        "motor_entry_size": "sd of a score drawn evenly",
        "motor_entry_rate": "1/years",
        "motor_entry_half_life": "years",
        "motor_sd": "sd of a score drawn evenly",
    },
    covariates={"cag": "repeats"},
    reasons={
        "motor_level": "between 4 and 52 points (2 sd) at the expected diagnosis",
        "motor_level_sd": "carriers of one CAP score differ by up to half of the scale",
        "motor_slope": "a rise of between 14 and 105 points within 100 CAP of the expected diagnosis (2 sd)",
        "motor_slope_sd": "carriers differ by as much as the typical slope",
        "motor_entry_size": "up to ten points (2 sd) at 20, better or worse",
        "motor_entry_rate": "half of it within six days to ten months",
        "motor_entry_half_life": "half of it gone within two months to five years",
        "motor_sd": "a visit's score within one to twenty points of its course",
        "subject_correlation": "slightly favours uncorrelated level and slope",
    },
    limitations=(
        "No published values: the priors are weak, and the data have to speak.",
        "Repeat length enters through the CAP score alone, whose constants are taken as known.",
        "Motor, cognitive and functional scores go together less than one would think: this is one of them.",
    ),
)


def cap_rate(repeats: Array) -> Array:
    """Points of CAP in a year of age; at least those of one repeat above 30."""
    return jnp.maximum(repeats - REPEATS, 1.0) / YEARS


@dataclass(frozen=True, kw_only=True)
class FromDiagnosis(Trajectory):
    r"""$\mu = \ell + s\,(\tau - 100)/100$ on the clock of the CAP score.

    Attributes:
        level: at the expected diagnosis, $\ell$ [outcome unit].
        slope: $s$ [outcome unit per 100 CAP].
    """

    level: Parameter
    slope: Parameter

    equation = r"\mu = \mathrm{level} + \mathrm{slope}\,(\tau - 100) / 100"

    def curve(self, time: PerVisit, *, level: Any, slope: Any) -> PerVisit:
        return level + slope * (time / 100.0 - 1.0)


DESIGN = Design(
    n=1000,
    times=(0.0, 0.5, 1.0, 2.0, 3.0),
    outcomes={
        "motor": OutcomeRole(
            column="motor",
            label="total motor score",
            unit="points",
            kind="integer",
            lower=0,
            upper=124,
            higher_is="worse",
        )
    },
    covariates={"cag": dist.DiscreteUniform(40, 48), "trial": dist.Bernoulli(0.3)},
    clocks={"age": dist.Uniform(30.0, 60.0)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = FromDiagnosis(
        level=Parameter(dist.Normal(-1.0, 0.4), subject=dist.HalfNormal(0.7)),
        slope=Parameter(dist.Normal(2.0, 0.8), subject=dist.HalfNormal(1.0)),
    )
    entry = TrialEntry(
        size=dist.Normal(0.0, 0.15),
        rate=dist.LogNormal(np.log(6.0), 1.0),
        half_life=dist.LogNormal(0.0, 0.8),
        by="trial",
    )
    noise = BoundedInteger(maximum=124, sd=dist.HalfNormal(0.4))
    return ProgressionModel(
        clock=LatentTime(origin="age", onset=Parameter(0.0), pace=Parameter(0.0, effects={"cag": 1.0}, link=cap_rate)),
        outcomes={"motor": Outcome(course, noise, changes={"entry": entry})},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from the medians of its priors, of `n` subjects where given."""
    return DESIGN.simulate(build(), None, key=key, n=n)
