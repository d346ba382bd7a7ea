r"""Friedreich ataxia, mFARS (0 to 93), SARA (0 to 40) and loss of ambulation, jointly.

$$\mu_i(\tau) = K\,\sigma\{r(\tau - m_i)\},\qquad \tau_i(t) = \alpha_i (t + o_i),\qquad
\log h_i(t) = \lambda + \beta\,\mu_i(t)$$

with $o_i$ the time since onset at baseline and a pace $\alpha_i$ that both scales share and that age at onset shifts. A
score can only approach its ceiling $K$. The hazard follows the current mFARS. Clock: years since onset.

Source: no published model whose values were found. The structure follows what registries report: baseline SARA and age
at onset foretell progression (EFACTS, 502 patients), and FARS reaches a ceiling. Every prior is ours. Typical values
are ours, chosen to give what is published: mFARS rises by 6.6 points in three years (FACOMS), here around half of the
scale; from onset to loss of ambulation 11.5 years, 8.6 to 16.2 at the quartiles (early onset).

Data needed: `mfars` (kind bounded, 0 to 93) and `sara` (kind bounded, 0 to 40) at visits, none on a bound; a clock
`since_onset` (at baseline); baseline `onset_age` (decades above 15 years); an event process `loss_of_ambulation`.
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.clock import LatentTime, pace
from dpm.components.correlation import LKJ
from dpm.components.event import Event
from dpm.components.hazard import Exponential
from dpm.components.link import CurrentValue
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedScore
from dpm.components.sigmoid import LogisticRise
from dpm.types import Key
from dpm.virtual.design import Design

MAXIMUM = {"mfars": 93, "sara": 40}
"""Of each scale [points]."""

RATE = 2.0 / 3.0 * float(np.log((93.0 + 6.6) / (93.0 - 6.6)))
"""Gives 6.6 points of 93 in the three years around the midpoint [1/years]."""

TYPICAL = {
    "clock_pace_sd": 0.42,
    "clock_pace_onset_age": -0.2,
    "mfars_midpoint": 12.0,
    "mfars_midpoint_sd": 2.0,
    "mfars_rate": float(np.log(RATE)),
    "mfars_precision": 150.0,
    "sara_midpoint": 12.0,
    "sara_midpoint_sd": 2.0,
    "sara_rate": float(np.log(RATE)),
    "sara_precision": 100.0,
    "loss_of_ambulation_log_rate": -8.67,
    "loss_of_ambulation_mfars": 0.15,
    "subject_correlation": np.eye(3).tolist(),
}
"""Ours, not published: the rate of mFARS, and pace, midpoint and event give the published numbers."""

CARD = ModelCard(
    title="mFARS, SARA and loss of ambulation in Friedreich ataxia, since onset",
    context_of_use="Expected course of ataxia scales and of walking after onset, as comparator for a treated arm.",
    population="Children and adults with Friedreich ataxia in registries.",
    disease="Friedreich ataxia",
    endpoint="mFARS (0-93); SARA (0-40); loss of ambulation",
    source="structure only; EFACTS and FACOMS as cited",
    status="documented priors; typical values are ours, near published rates",
    units={
        "clock_pace_sd": "log 1",
        "clock_pace_onset_age": "log 1 per decade",
        **{f"{name}_midpoint": "years since onset" for name in MAXIMUM},
        **{f"{name}_midpoint_sd": "years" for name in MAXIMUM},
        **{f"{name}_rate": "log 1/years" for name in MAXIMUM},
        **{f"{name}_precision": "1" for name in MAXIMUM},
        "loss_of_ambulation_log_rate": "log 1/years",
        "loss_of_ambulation_mfars": "log hazard ratio per point",
    },
    covariates={"onset_age": "age at onset, per decade"},
    reasons={
        "clock_pace_sd": "patients differ by up to a factor of three (2 sd) either way",
        "clock_pace_onset_age": "up to a factor of 2.7 (2 sd) for ten years of age at onset, either way",
        **{f"{name}_midpoint": "half of the scale between 6 and 24 years after onset" for name in MAXIMUM},
        **{f"{name}_midpoint_sd": "patients at one disease time differ by up to eight years of it" for name in MAXIMUM},
        **{f"{name}_rate": "a steepest rise of 1 to 12 % of the scale a year (2 sd)" for name in MAXIMUM},
        **{f"{name}_precision": "a visit's score within 2 to 9 % of the scale of its course (sd)" for name in MAXIMUM},
        "loss_of_ambulation_log_rate": "at a score of 0: next to nothing",
        "loss_of_ambulation_mfars": "up to a factor of 20 (2 sd) for ten points, either way",
        "subject_correlation": "slightly favours uncorrelated effects",
    },
    limitations=(
        "No published values: the priors are weak, and the data have to speak.",
        "Onset is what a patient or a parent remembers.",
        "Repeat length, which drives age at onset, is not in the model.",
    ),
)


def scale(name: str) -> Outcome:
    """The course and noise of one of the two scales."""
    course = LogisticRise(
        floor=0.0,
        ceiling=float(MAXIMUM[name]),
        midpoint=Parameter(dist.Normal(15.0, 4.5), subject=dist.HalfNormal(4.0)),
        rate=Parameter(dist.Normal(np.log(0.15), 0.6), link=jnp.exp),
    )
    return Outcome(course, BoundedScore(lower=0, upper=MAXIMUM[name], precision=dist.LogNormal(np.log(120.0), 0.7)))


DESIGN = Design(
    n=502,
    times=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
    outcomes={
        name: OutcomeRole(
            column=name, label=words, unit="points", kind="bounded", lower=0, upper=most, higher_is="worse"
        )
        for name, words, most in (("mfars", "mFARS", 93), ("sara", "SARA", 40))
    },
    covariates={"onset_age": dist.Normal(0.0, 0.8)},
    clocks={"since_onset": dist.Uniform(1.0, 20.0)},
    events={"loss_of_ambulation": ("loss_of_ambulation",)},
    follow_up=10.0,
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    loss_of_ambulation = Event(
        hazard=Exponential(log_rate=dist.Normal(-7.0, 2.0)), links={"mfars": CurrentValue(dist.Normal(0.0, 0.15))}
    )
    clock = LatentTime(
        origin="since_onset",
        onset=Parameter(0.0),
        pace=pace(dist.HalfNormal(0.6), effects={"onset_age": dist.Normal(0.0, 0.5)}),
    )
    return ProgressionModel(
        clock=clock,
        outcomes={name: scale(name) for name in MAXIMUM},
        events={"loss_of_ambulation": loss_of_ambulation},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
