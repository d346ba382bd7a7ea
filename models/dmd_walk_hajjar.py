r"""Duchenne muscular dystrophy, six-minute walk distance: gain and accelerating loss.

$$\frac{dW}{da} = 12\,\{k_{in} - k_{out}\,W\,(1 + \alpha e^{\beta a})\},\quad W(1.75) = 0$$

in metres at age $a$ [years], with $k_{in}$ [m/month] and $k_{out}$ [1/month]. Clock: age.

Source: Hajjar et al. 2018, ACoP9 poster T-011: 16 healthy and 219 boys with the disease, six sources, digitised. Values
transcribed, those of the disease ($k_{in}$ is 0.63 of that of the healthy). The age at which walking begins and
$k_{in}$ are nearly unidentified in the source (relative standard errors 323 and 138 %): they are fixed here.

Data needed: `walk` [m] at visits, a clock `age`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import nn
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.clock import Since
from dpm.components.dynamics import Dynamics
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.types import Array, Key
from dpm.virtual.design import Design

MONTHS = 12.0
"""In a year."""

GAIN = 321.0 * 0.63
"""$k_{in}$ in the disease [m/month]."""

TYPICAL = {
    "walk_turnover": float(np.log(0.48)),
    "walk_turnover_sd": 0.167,
    "walk_damage": float(np.log(9.85e-6)),
    "walk_damage_sd": 0.322,
    "walk_pace": float(np.log(0.995)),
    "walk_pace_sd": 0.193,
    "walk_sd": 42.0,
}

CARD = ModelCard(
    title="Six-minute walk distance in Duchenne muscular dystrophy, as turnover",
    context_of_use="Expected walk distance of boys by age, through the loss of ambulation.",
    population="Boys with Duchenne muscular dystrophy.",
    disease="Duchenne muscular dystrophy",
    endpoint="6MWT",
    source="Hajjar 2018, ACoP9 poster T-011",
    status="published values",
    units={
        "walk_turnover": "log 1/month",
        "walk_turnover_sd": "log 1/month",
        "walk_damage": "log 1",
        "walk_damage_sd": "log 1",
        "walk_pace": "log 1/years",
        "walk_pace_sd": "log 1/years",
        "walk_sd": "m",
    },
    reasons={
        "walk_turnover": "published 0.48 a month; healthy boys reach about 420 m",
        "walk_turnover_sd": "published 16.7 %",
        "walk_damage": "published 9.85e-6",
        "walk_damage_sd": "published 32.2 %",
        "walk_pace": "published 0.995 a year",
        "walk_pace_sd": "published 19.3 %",
        "walk_sd": "published 42 m",
    },
    limitations=("Gain and the age at which walking begins are fixed: the data hardly determine them.",),
)


@dataclass(frozen=True, kw_only=True)
class Turnover(Dynamics):
    r"""$W' = 12\{k_{in} - k_{out} W (1 + \alpha e^{\beta a})\}$, zero until it begins at 1.75 years.

    Attributes:
        turnover: $k_{out}$ [1/month].
        damage: $\alpha$.
        pace: $\beta$ [1/years].
    """

    turnover: Parameter
    damage: Parameter
    pace: Parameter

    begin = 1.75
    equation = r"\mu'(a) = 12\,\{202.2 - \mathrm{turnover}\;\mu\,(1 + \mathrm{damage}\;e^{\mathrm{pace}\;a})\}"

    def initial(self, **values: Any) -> Array:
        return jnp.zeros(1)

    def rate(self, time: Array, state: Array, *, turnover: Array, damage: Array, pace: Array) -> Array:
        # With the loss fifty times that of the healthy nothing is left to walk with; more would only be stiff.
        most = 4.0 - 0.1 * nn.softplus((4.0 - jnp.log(damage) - pace * time) / 0.1)
        loss = turnover * state * (1.0 + jnp.exp(most))
        return MONTHS * (GAIN - loss)


DESIGN = Design(
    n=219,
    times=(0.0, 0.5, 1.0, 1.5, 2.0),
    outcomes={"walk": OutcomeRole(column="walk", label="6-minute walk", unit="m", higher_is="better")},
    clocks={"age": dist.Uniform(4.0, 10.0)},
)
"""Size as in the source where it says; who comes when is an assumption: at an age at which nearly all can walk."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = Turnover(
        turnover=Parameter(dist.Normal(np.log(0.48), 0.2), subject=dist.HalfNormal(0.3), link=jnp.exp),
        damage=Parameter(dist.Normal(np.log(9.85e-6), 0.5), subject=dist.HalfNormal(0.5), link=jnp.exp),
        pace=Parameter(dist.Normal(np.log(0.995), 0.1), subject=dist.HalfNormal(0.2), link=jnp.exp),
    )
    return ProgressionModel(
        clock=Since("age"),
        outcomes={"walk": Outcome(course, Gaussian(sd=dist.HalfNormal(60.0)))},
        correlation=None,
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
