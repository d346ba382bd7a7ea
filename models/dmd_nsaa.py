r"""Duchenne muscular dystrophy, North Star assessment (0 to 34) and loss of ambulation, jointly.

$$\mathrm{logit}\,\frac{\mu_i(a)}{34} = p_i + w\,k(u),\quad u = (a - \tau_i)/w,\qquad
\log h_i(a) = r + \gamma a + \alpha b_i$$

at age $a$ [years]: the logit rises by $g$ a year, peaks at $p_i$ at age $\tau_i$, and falls by $d_i = d\,e^{b_i}$ a
year ($k$ as in `PeakedScore`); who loses the score faster stops walking earlier. Clock: age.

Source: the structure of two models whose equations and values were not found: growth, then decline (Lingineni et al.
2022, 1,505 boys), and a modified indirect response by age, joined to loss of ambulation through each boy's rate of
loss, without covariates (Hibma et al. 2023, CINRG and a placebo arm). Every prior is ours. Typical values are ours,
chosen to give what is published of UK boys: a peak of 14, 20, 26, 30 and 32 points at the 10th to 90th centile, loss of
ambulation at 10.7, 12.2 and 14.3 years at the 25th to 75th, and a minimal detectable change (80 %) of 2.8 points. Left
out: lung function and timed tests.

Data needed: `nsaa` (kind integer, 0 to 34) at visits, a clock `age`, an event process `loss_of_ambulation`.
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import transforms

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.clock import Since
from dpm.components.correlation import LKJ
from dpm.components.event import Event
from dpm.components.hazard import Exponential
from dpm.components.link import DiseaseTime, RandomEffect
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedScore
from dpm.components.sigmoid import PeakedScore
from dpm.types import Key
from dpm.virtual.design import Design

TYPICAL = {
    "nsaa_peak": 1.18,
    "nsaa_peak_sd": 1.22,
    "nsaa_peak_time": 6.5,
    "nsaa_peak_time_sd": 1.0,
    "nsaa_gain": float(np.log(0.5)),
    "nsaa_loss": float(np.log(0.4)),
    "nsaa_loss_sd": 0.4,
    "nsaa_precision": 85.0,
    "nsaa_cuts": [-5.0, 5.0],
    "loss_of_ambulation_log_rate": -7.47,
    "loss_of_ambulation_age": 0.512,
    "loss_of_ambulation_nsaa_loss": 2.0,
    "subject_correlation": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
}
"""Ours, not published: those of the peak, of the event and the precision give the published numbers, the rest do not
enter them."""

CARD = ModelCard(
    title="North Star assessment and loss of ambulation in Duchenne muscular dystrophy, by age",
    context_of_use="Expected motor function and walking of boys by age, as comparator for a treated arm.",
    population="Boys with Duchenne muscular dystrophy, mostly on steroids.",
    disease="Duchenne muscular dystrophy",
    endpoint="NSAA (0-34); loss of ambulation",
    source="structure of Lingineni 2022 and Hibma 2023",
    status="documented priors; typical values are ours, near published centiles",
    units={
        "nsaa_peak": "logit of the scale",
        "nsaa_peak_sd": "logit of the scale",
        "nsaa_peak_time": "years of age",
        "nsaa_peak_time_sd": "years",
        "nsaa_gain": "log 1/years",
        "nsaa_loss": "log 1/years",
        "nsaa_loss_sd": "log 1/years",
        "nsaa_precision": "1",
        "nsaa_cuts": "logit of the scale",
        "loss_of_ambulation_log_rate": "log 1/years",
        "loss_of_ambulation_age": "log hazard ratio per year of age",
        "loss_of_ambulation_nsaa_loss": "log hazard ratio per log rate of loss",
    },
    reasons={
        "nsaa_peak": "a peak between 17 and 32 points (2 sd)",
        "nsaa_peak_sd": "boys' peaks spread over the whole scale",
        "nsaa_peak_time": "between 4 and 9 years of age (2 sd)",
        "nsaa_peak_time_sd": "boys differ by up to four years (2 sd)",
        "nsaa_gain": "between one and eleven points a year (2 sd) near half of the scale",
        "nsaa_loss": "between one and nine points a year (2 sd) near half of the scale",
        "nsaa_loss_sd": "the fastest boys lose several times what the slowest do",
        "nsaa_precision": "a visit's score within one to three points of its course (sd)",
        "nsaa_cuts": "0 and 34 are reached, rarely from far within the scale",
        "loss_of_ambulation_log_rate": "at birth; with the effect of age, next to nothing in the first years",
        "loss_of_ambulation_age": "between hardly falling and trebling with each year of age (2 sd)",
        "loss_of_ambulation_nsaa_loss": "a hazard ratio of up to 16 for a doubled rate of loss (2 sd), either way",
        "subject_correlation": "slightly favours uncorrelated effects",
    },
    limitations=(
        "No published values: the priors are weak, and the data have to speak.",
        "Individual scores are hard to foretell: the best published model explains 27 to 39 % of their variance.",
        "Steroids, genotype and standard of care are not in the model.",
        "Whole points are taken as continuous between the bounds.",
    ),
)

DESIGN = Design(
    n=400,
    times=tuple(0.5 * half for half in range(9)),
    outcomes={
        "nsaa": OutcomeRole(
            column="nsaa", label="NSAA", unit="points", kind="bounded", lower=0, upper=34, higher_is="better"
        )
    },
    clocks={"age": dist.Uniform(4.0, 10.0)},
    events={"loss_of_ambulation": ("loss_of_ambulation",)},
    follow_up=8.0,
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = PeakedScore(
        floor=0.0,
        ceiling=34.0,
        peak=Parameter(dist.Normal(1.2, 0.6), subject=dist.HalfNormal(1.5)),
        peak_time=Parameter(dist.Normal(6.5, 1.25), subject=dist.HalfNormal(2.0)),
        gain=Parameter(dist.Normal(np.log(0.4), 0.6), link=jnp.exp),
        loss=Parameter(dist.Normal(np.log(0.4), 0.5), subject=dist.HalfNormal(0.6), link=jnp.exp),
        width=1.0,
    )
    cuts = dist.Normal(jnp.array([-5.0, np.log(10.0)]), jnp.array([1.0, 0.3])).to_event(1)
    noise = BoundedScore(
        lower=0,
        upper=34,
        precision=dist.LogNormal(np.log(80.0), 0.7),
        cuts=dist.TransformedDistribution(cuts, transforms.OrderedTransform()),
    )
    loss_of_ambulation = Event(
        hazard=Exponential(log_rate=dist.Normal(-8.0, 3.0)),
        links={"age": DiseaseTime(dist.Normal(0.5, 0.3)), "nsaa_loss": RandomEffect(dist.Normal(0.0, 2.0))},
    )
    return ProgressionModel(
        clock=Since("age"),
        outcomes={"nsaa": Outcome(course, noise)},
        events={"loss_of_ambulation": loss_of_ambulation},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
