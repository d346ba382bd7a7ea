r"""Serum bilirubin and death or transplant in primary biliary cholangitis, jointly.

$$\log y_{ij} = \ell_i + s_i t_{ij} + \varepsilon_{ij},\qquad
h_i(t) = \lambda\,k\,t^{k - 1} \exp\{\beta\,\mathrm{female}_i + \alpha(\ell_i + s_i t)\}$$

with a correlated random level $\ell_i$ [log mg/dL] and slope $s_i$ [log mg/dL/year], both shifted by sex, and a Weibull
hazard [1/years] that follows the current value of the marker (Murtaugh et al. 1994, doi 10.1002/hep.1840200120; the
joint form as in Rizopoulos 2012, *Joint Models for Longitudinal and Time-to-Event Data*).

Data needed: `log_bilirubin` (log of mg/dL) at visits, baseline `female` (0/1), and an event process `end` of which
every type counts. Typical values: the exact maximum likelihood estimate in the 312 patients of the Mayo Clinic trial,
by adaptive quadrature.
"""

from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.correlation import LKJ
from dpm.components.event import Event
from dpm.components.hazard import Weibull
from dpm.components.link import CurrentValue
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.types import Key
from dpm.virtual.design import Design

CARD = ModelCard(
    title="Log serum bilirubin, and death or transplant, in primary biliary cholangitis",
    context_of_use=(
        "Expected course of serum bilirubin and of survival without transplant after a baseline visit, where follow-up "
        "ends because of the disease: a course that death cuts short is not missing at random given visits alone."
    ),
    population="Adults with primary biliary cholangitis in the Mayo Clinic trial of 1974-84.",
    disease="Primary biliary cholangitis",
    endpoint="log bilirubin; death or transplant",
    source="Murtaugh 1994, doi 10.1002/hep.1840200120",
    status="values of the trial's 312 patients",
    units={
        "log_bilirubin_level": "log mg/dL",
        "log_bilirubin_level_female": "log mg/dL",
        "log_bilirubin_level_sd": "log mg/dL",
        "log_bilirubin_slope": "log mg/dL/year",
        "log_bilirubin_slope_female": "log mg/dL/year",
        "log_bilirubin_slope_sd": "log mg/dL/year",
        "log_bilirubin_sd": "log mg/dL",
        "end_log_rate": "log 1/years^k",
        "end_shape": "1",
        "end_female": "log hazard ratio",
        "end_log_bilirubin": "log hazard ratio per log mg/dL",
    },
    covariates={"female": "women against men"},
    reasons={
        "log_bilirubin_level": "geometric mean between 0.2 and 12 mg/dL: normal to deeply jaundiced",
        "log_bilirubin_level_female": "a factor of up to e (2 sd) on bilirubin, either way",
        "log_bilirubin_level_sd": "patients differ by up to a factor of 50 at entry",
        "log_bilirubin_slope": "between falling 20 % and rising 80 % a year",
        "log_bilirubin_slope_female": "up to 0.2 log units a year (2 sd), either way",
        "log_bilirubin_slope_sd": "patients' yearly slopes within 0.4 log units of each other",
        "log_bilirubin_sd": "assay and day-to-day variation of up to a factor of 2.7",
        "end_log_rate": "a yearly rate at a bilirubin of 1 mg/dL between 0.0003 and 1",
        "end_shape": "between falling with time and rising with its third power",
        "end_female": "a hazard ratio of up to 7 (2 sd), either way",
        "end_log_bilirubin": "a hazard ratio of up to e squared (2 sd) for a factor of e in bilirubin, either way",
        "subject_correlation": "slightly favours uncorrelated level and slope",
    },
    limitations=(
        "One hospital, one era, before ursodiol: standard of care has moved.",
        "Linear on the log scale: the faster rise in the months before death is not in the model.",
        "Death and transplant are one event; transplant depends on waiting lists too.",
    ),
)

TYPICAL = {
    "log_bilirubin_level": 0.72531,
    "log_bilirubin_level_female": -0.26581,
    "log_bilirubin_level_sd": 0.99744,
    "log_bilirubin_slope": 0.26567,
    "log_bilirubin_slope_female": -0.08697,
    "log_bilirubin_slope_sd": 0.18103,
    "log_bilirubin_sd": 0.34677,
    "end_log_rate": -4.15286,
    "end_shape": 1.08313,
    "end_female": -0.19263,
    "end_log_bilirubin": 1.23122,
    "subject_correlation": [[1.0, 0.4155], [0.4155, 1.0]],
}
"""The exact maximum likelihood estimate in the trial's 312 patients."""

DESIGN = Design(
    n=312,
    times=(0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0),
    outcomes={
        "log_bilirubin": OutcomeRole(
            column="log_bilirubin", label="log serum bilirubin", unit="log mg/dL", higher_is="worse"
        )
    },
    covariates={"female": dist.Bernoulli(0.88)},
    events={"end": ("death",)},
    follow_up=12.0,
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    level = Parameter(dist.Normal(0.5, 1.0), subject=dist.HalfNormal(1.0), effects={"female": dist.Normal(0.0, 0.5)})
    slope = Parameter(dist.Normal(0.2, 0.2), subject=dist.HalfNormal(0.2), effects={"female": dist.Normal(0.0, 0.1)})
    death_or_transplant = Event(
        hazard=Weibull(log_rate=dist.Normal(-4.0, 2.0), shape=dist.LogNormal(0.0, 0.5)),
        links={"log_bilirubin": CurrentValue(dist.Normal(0.0, 1.0))},
        effects={"female": dist.Normal(0.0, 1.0)},
    )
    return ProgressionModel(
        outcomes={"log_bilirubin": Outcome(Linear(level=level, slope=slope), Gaussian(sd=dist.HalfNormal(0.5)))},
        events={"end": death_or_transplant},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
