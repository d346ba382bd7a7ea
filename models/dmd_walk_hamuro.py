r"""Duchenne muscular dystrophy, six-minute walk distance: development and decline.

$$\mu_i(a) = \min(270 + g_i a,\ 1298 - d_i a)$$

in metres at age $a$ [years], with $\log g_i$ and $\log d_i$ normal. The minimum is rounded within 5 m of the crossing,
so that gradients exist. Clock: age.

Source: Hamuro et al. 2017, doi 10.1002/psp4.12220: 88 boys, 228 records digitised from figures. Values transcribed.

Data needed: `walk` [m] at visits, censored below 50 m (`limits`), a clock `age`.
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import Limits, OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.clock import Since
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.piecewise import DevelopmentAndDecline
from dpm.components.progression import ProgressionModel
from dpm.types import Key
from dpm.virtual.design import Design

TYPICAL = {
    "walk_start": 270.0,
    "walk_gain": float(np.log(19.6)),
    "walk_gain_sd": 0.22,
    "walk_reserve": 1298.0,
    "walk_loss": float(np.log(84.9)),
    "walk_loss_sd": 0.23,
    "walk_sd": 56.9,
}

CARD = ModelCard(
    title="Six-minute walk distance in Duchenne muscular dystrophy, by age",
    context_of_use="Expected walk distance of ambulant boys on steroids, by age.",
    population="Boys with Duchenne muscular dystrophy, mostly on steroids.",
    disease="Duchenne muscular dystrophy",
    endpoint="6MWT",
    source="Hamuro 2017, doi 10.1002/psp4.12220",
    status="published values",
    units={
        "walk_start": "m",
        "walk_gain": "log m/year",
        "walk_gain_sd": "log m/year",
        "walk_reserve": "m",
        "walk_loss": "log m/year",
        "walk_loss_sd": "log m/year",
        "walk_sd": "m",
    },
    reasons={
        "walk_start": "published 270 m (95 % interval 197 to 344)",
        "walk_gain": "published 19.6 m a year (9.4 to 29.8)",
        "walk_gain_sd": "published 22 %",
        "walk_reserve": "published 1,298 m (1,158 to 1,437)",
        "walk_loss": "published 84.9 m a year (72.2 to 97.6)",
        "walk_loss_sd": "published 23 %",
        "walk_sd": "published 56.9 m (52.2 to 61.6)",
    },
    limitations=(
        "Its second line goes below zero metres after loss of ambulation: only what lies above 50 m is to be read.",
        'It bends within 5 m: fit it by Laplace(level="quadrature", n_nodes=11) or NUTS; plain Laplace mostly refuses.',
        "Digitised data of few boys; another published model of the same endpoint differs by 100 m at age 12.",
    ),
)

DESIGN = Design(
    n=88,
    times=(0.0, 1.0, 2.0),
    outcomes={
        "walk": OutcomeRole(
            column="walk", label="6-minute walk", unit="m", higher_is="better", limits=Limits(below=50.0)
        )
    },
    clocks={"age": dist.Uniform(5.0, 13.0)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = DevelopmentAndDecline(
        start=Parameter(dist.Normal(270.0, 80.0)),
        gain=Parameter(dist.Normal(np.log(19.6), 0.5), subject=dist.HalfNormal(0.5), link=jnp.exp),
        reserve=Parameter(dist.Normal(1298.0, 200.0)),
        loss=Parameter(dist.Normal(np.log(84.9), 0.3), subject=dist.HalfNormal(0.5), link=jnp.exp),
        width=5.0,
    )
    return ProgressionModel(
        clock=Since("age"),
        outcomes={"walk": Outcome(course, Gaussian(sd=dist.HalfNormal(80.0)))},
        correlation=None,
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
