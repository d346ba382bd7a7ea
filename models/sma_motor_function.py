r"""Spinal muscular atrophy types 2 and 3, the three domains of the Motor Function Measure [% of the maximum], by age.

$$\mathrm{logit}\,\frac{\mu_i(a)}{100} = p_i + w\,k(u),\qquad u = (a - \tau)/w$$

for each domain: the logit rises by $g$ a year as motor function develops, peaks at $p_i$ at age $\tau$, and falls by
$d_i$ a year ($k$ as in `PeakedScore`). Type 3 shifts peak and loss, and a patient's six effects are correlated across
domains. Clock: age.

Source: no values were found. The structure, development and then deterioration, correlated across domains, is that
reported for 190 healthy subjects and 277 patients, where sparse data made the estimates numerically unstable. Every
prior is ours, weakly informative, and there are no typical values. Left out: the healthy.

Data needed: `standing` (standing and transfers), `proximal` (axial and proximal) and `distal` motor function, each of
kind bounded, 0 to 100, at visits; a clock `age`; baseline `type3` (1 for type 3, 0 for type 2).
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
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedScore
from dpm.components.sigmoid import PeakedScore
from dpm.types import Key
from dpm.virtual.design import Design

PEAKS = {"standing": -2.0, "proximal": 0.5, "distal": 1.5}
"""Where the prior of each domain's peak in type 2 is centred [logit of the scale]: who never stood scores low."""

UNITS = {
    "peak": "logit of the scale",
    "peak_type3": "logit of the scale",
    "peak_sd": "logit of the scale",
    "peak_time": "years of age",
    "gain": "log 1/years",
    "loss": "log 1/years",
    "loss_type3": "log 1/years",
    "loss_sd": "log 1/years",
    "precision": "1",
    "cuts": "logit of the scale",
}

REASONS = {
    "peak": "a typical peak of type 2 anywhere but on a bound (2 sd): 1 to 69 %, 9 to 96 %, 21 to 99 % by domain",
    "peak_type3": "expected higher: between one logit below and five above type 2 (2 sd)",
    "peak_sd": "patients of one type spread over the whole scale",
    "peak_time": "between 2 and 10 years of age (2 sd)",
    "gain": "between 4 and 41 % of the scale a year (2 sd) near half of it",
    "loss": "between 1 and 10 % of the scale a year (2 sd) near half of it",
    "loss_type3": "up to a factor of 2.7 (2 sd), either way",
    "loss_sd": "patients differ by up to a factor of five (2 sd) either way",
    "precision": "a visit's score within 3 to 10 % of the scale of its course (sd)",
    "cuts": "0 and 100 % are reached, rarely from far within the scale",
}

CARD = ModelCard(
    title="Motor function in spinal muscular atrophy types 2 and 3, by domain and age",
    context_of_use="Expected development and loss of motor function by age without disease-modifying treatment.",
    population="Children and adults with spinal muscular atrophy types 2 and 3.",
    disease="Spinal muscular atrophy",
    endpoint="Motor Function Measure, three domains (0-100 %)",
    source="structure only",
    status="documented priors",
    units={f"{domain}_{key}": unit for domain in PEAKS for key, unit in UNITS.items()},
    covariates={"type3": "type 3 against type 2"},
    reasons={
        **{f"{domain}_{key}": reason for domain in PEAKS for key, reason in REASONS.items()},
        "subject_correlation": "slightly favours uncorrelated effects; domains of one patient go together",
    },
    limitations=(
        "No published values: the priors are weak, and the data have to speak.",
        "Scores in steps are taken as continuous between the bounds.",
        "Before treatments that modify the disease.",
    ),
)


def domain_of(peak: float) -> Outcome:
    """The course and noise of one domain."""
    course = PeakedScore(
        floor=0.0,
        ceiling=100.0,
        peak=Parameter(dist.Normal(peak, 1.4), subject=dist.HalfNormal(1.5), effects={"type3": dist.Normal(2.0, 1.5)}),
        peak_time=Parameter(dist.Normal(6.0, 2.0)),
        gain=Parameter(dist.Normal(np.log(0.5), 0.6), link=jnp.exp),
        loss=Parameter(
            dist.Normal(np.log(0.12), 0.6),
            subject=dist.HalfNormal(0.8),
            effects={"type3": dist.Normal(0.0, 0.5)},
            link=jnp.exp,
        ),
        width=1.0,
    )
    cuts = dist.Normal(jnp.array([-5.0, np.log(10.0)]), jnp.array([1.0, 0.3])).to_event(1)
    noise = BoundedScore(
        lower=0,
        upper=100,
        precision=dist.LogNormal(np.log(80.0), 0.6),
        cuts=dist.TransformedDistribution(cuts, transforms.OrderedTransform()),
    )
    return Outcome(course, noise)


DESIGN = Design(
    n=277,
    times=(0.0, 0.5, 1.0, 1.5, 2.0),
    outcomes={
        domain: OutcomeRole(
            column=domain, label=f"{domain} function", unit="%", kind="bounded", lower=0, upper=100, higher_is="better"
        )
        for domain in PEAKS
    },
    covariates={"type3": dist.Bernoulli(0.5)},
    clocks={"age": dist.Uniform(2.0, 30.0)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    outcomes = {domain: domain_of(peak) for domain, peak in PEAKS.items()}
    return ProgressionModel(clock=Since("age"), outcomes=outcomes, correlation=LKJ(2.0), card=CARD)


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from the medians of its priors, of `n` subjects where given."""
    return DESIGN.simulate(build(), None, key=key, n=n)
