r"""Autosomal dominant polycystic kidney disease, total kidney volume and decline of eGFR by 30 %, jointly.

$$\log V_{ij} = \ell_i + s_i t_{ij} + \varepsilon_{ij},\qquad
\log h_i(t) = r_k + \alpha(\ell_i + s_i t)$$

with a hazard that is constant between knots. Source: the joint model of Perrone, Mouksassi and colleagues for the
polycystic kidney disease consortium; values transcribed from a printed output of 641 patients. The knots of the hazard
were not printed, those here are ours, and so are the hazard's values; the effects of eGFR and age, whose centring was
not stated, are left out.

Data needed: `log_volume` (log of mL) at visits, an event process `decline`.
"""

from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.correlation import LKJ
from dpm.components.event import Event
from dpm.components.hazard import PiecewiseExponential
from dpm.components.link import CurrentValue
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.types import Key
from dpm.virtual.design import Design

KNOTS = (2.0, 4.0, 6.0)
"""Ours, not published [years]."""

TYPICAL = {
    "log_volume_level": 6.6684,
    "log_volume_level_sd": 0.8733,
    "log_volume_slope": 0.0516,
    "log_volume_slope_sd": 0.0457,
    "log_volume_sd": 0.1353,
    "decline_log_volume": 0.8457,
    "decline_log_rates": [-9.0, -9.0, -9.0, -9.0],
    "subject_correlation": [[1.0, -0.4736], [-0.4736, 1.0]],
}
"""The hazard's four values are ours, near the published thirteen."""

CARD = ModelCard(
    title="Total kidney volume and decline of eGFR in polycystic kidney disease",
    context_of_use="Expected growth of the kidneys and the risk of an eGFR decline that follows it.",
    population="Adults with autosomal dominant polycystic kidney disease in registries.",
    disease="Polycystic kidney disease (ADPKD)",
    endpoint="total kidney volume; 30 % eGFR decline",
    source="Perrone, Mouksassi et al., joint model of the consortium",
    status="published values; the hazard's are ours",
    units={
        "log_volume_level": "log mL",
        "log_volume_level_sd": "log mL",
        "log_volume_slope": "log mL/year",
        "log_volume_slope_sd": "log mL/year",
        "log_volume_sd": "log mL",
        "decline_log_volume": "log hazard ratio per log mL",
        "decline_log_rates": "log 1/years",
    },
    reasons={
        "log_volume_level": "published 6.6684: 787 mL",
        "log_volume_level_sd": "published 0.8733",
        "log_volume_slope": "published 0.0516: 5.3 % a year",
        "log_volume_slope_sd": "published 0.0457",
        "log_volume_sd": "published 0.1353",
        "decline_log_volume": "published 0.8457 (0.1204): 1.80 per doubling; centred on no link",
        "decline_log_rates": "published -8.98 to -10.97, wide",
        "subject_correlation": "slightly favours uncorrelated level and slope",
    },
    limitations=("The hazard's knots and the effects of eGFR and age are not those of the source.",),
)

DESIGN = Design(
    n=641,
    times=(0.0, 1.0, 2.0, 3.0),
    outcomes={
        "log_volume": OutcomeRole(column="log_volume", label="log kidney volume", unit="log mL", higher_is="worse")
    },
    events={"decline": ("decline",)},
    follow_up=8.0,
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = Linear(
        level=Parameter(dist.Normal(6.7, 0.5), subject=dist.HalfNormal(1.0)),
        slope=Parameter(dist.Normal(0.05, 0.05), subject=dist.HalfNormal(0.1)),
    )
    decline = Event(
        hazard=PiecewiseExponential(knots=KNOTS, log_rates=dist.Normal(-8.0 * jnp.ones(4), 3.0).to_event(1)),
        links={"log_volume": CurrentValue(dist.Normal(0.0, 1.0))},
    )
    return ProgressionModel(
        outcomes={"log_volume": Outcome(course, Gaussian(sd=dist.HalfNormal(0.3)))},
        events={"decline": decline},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
