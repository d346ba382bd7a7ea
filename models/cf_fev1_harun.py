r"""Cystic fibrosis in children, FEV1 [% predicted], by age.

$$\mu_i(a) = B_i - D_i\,\frac{a^h}{T_i^h + a^h}$$

Source: Harun et al. 2019, doi 10.1136/thoraxjnl-2018-211550: 79 children, 2,651 values, age 4.8 to 14.4. Values
transcribed. The published random effects are proportional, $1 + \eta$, and can turn negative; here they are log-normal
with the same variances, and the exponent is the same for all children. Left out: body mass, air trapping and
exacerbations.

Data needed: `fev1` [% predicted] at visits, a clock `age`.
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.clock import Since
from dpm.components.correlation import LKJ
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.sigmoid import SigmoidEmax
from dpm.types import Array, Key
from dpm.virtual.design import Design

TYPICAL = {
    "fev1_baseline": float(np.log(99.7)),
    "fev1_baseline_sd": float(np.sqrt(0.0172)),
    "fev1_maximum": float(np.log(40.0)),
    "fev1_maximum_sd": float(np.sqrt(0.405)),
    "fev1_half_time": float(np.log(8.38)),
    "fev1_half_time_sd": float(np.sqrt(0.09)),
    "fev1_steepness": 3.08,
    "fev1_sd": 9.32,
    "subject_correlation": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.7857], [0.0, 0.7857, 1.0]],
}

CARD = ModelCard(
    title="FEV1 in children with cystic fibrosis, by age",
    context_of_use="Expected lung function through childhood before modulators.",
    population="Children with cystic fibrosis aged 5 to 14.",
    disease="Cystic fibrosis",
    endpoint="FEV1, % predicted",
    source="Harun 2019, doi 10.1136/thoraxjnl-2018-211550",
    status="published values",
    units={
        "fev1_baseline": "log % predicted",
        "fev1_baseline_sd": "log % predicted",
        "fev1_maximum": "log % predicted",
        "fev1_maximum_sd": "log % predicted",
        "fev1_half_time": "log years",
        "fev1_half_time_sd": "log years",
        "fev1_steepness": "1",
        "fev1_sd": "% predicted",
    },
    reasons={
        "fev1_baseline": "published 99.7",
        "fev1_baseline_sd": "published variance 0.0172",
        "fev1_maximum": "published 40, fixed there",
        "fev1_maximum_sd": "published variance 0.405",
        "fev1_half_time": "published 8.38 years",
        "fev1_half_time_sd": "published variance 0.09",
        "fev1_steepness": "published 3.08",
        "fev1_sd": "published 9.32",
        "subject_correlation": "slightly favours uncorrelated effects",
    },
    limitations=("The formula gives 92.9 at age 5, where the paper calls 99.7 the baseline.", "Before modulators."),
)


def loss(log_size: Array) -> Array:
    """A loss of that size: what the course moves by in the end."""
    return -jnp.exp(log_size)


DESIGN = Design(
    n=79,
    times=tuple(0.25 * quarter for quarter in range(33)),
    outcomes={"fev1": OutcomeRole(column="fev1", label="FEV1", unit="% predicted", higher_is="better")},
    clocks={"age": dist.Uniform(4.8, 6.4)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = SigmoidEmax(
        baseline=Parameter(dist.Normal(np.log(99.7), 0.1), subject=dist.HalfNormal(0.3), link=jnp.exp),
        maximum=Parameter(dist.Normal(np.log(40.0), 0.3), subject=dist.HalfNormal(0.8), link=loss),
        half_time=Parameter(dist.Normal(np.log(8.38), 0.3), subject=dist.HalfNormal(0.5), link=jnp.exp),
        steepness=dist.LogNormal(np.log(3.08), 0.3),
    )
    return ProgressionModel(
        clock=Since("age"),
        outcomes={"fev1": Outcome(course, Gaussian(sd=dist.HalfNormal(15.0)))},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
