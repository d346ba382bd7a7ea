r"""Serum bilirubin in untreated primary biliary cholangitis.

$$\log y_{ij} = \ell_i + s_i t_{ij} + \varepsilon_{ij}$$

with a correlated random level $\ell_i$ [log mg/dL] and slope $s_i$ [log mg/dL/year], both shifted by the five baseline
covariates of the Mayo natural-history model other than bilirubin itself (Dickson et al. 1989, doi
10.1002/hep.1840100102): age, sex, albumin, prothrombin time, oedema.

Data needed: `log_bilirubin` (log of mg/dL) at visits; baseline `age`, `log_albumin`, `log_protime` (standardised by the
cohort of the fit), `female` (0/1) and `edema_score` (0 none, 0.5 controlled, 1 despite diuretics).
The structure and the size of the slope follow the published joint models of these data (Murtaugh et al. 1994, doi
10.1002/hep.1840200120); the priors are weakly informative and explained in the card.
"""

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

COVARIATES = {
    "age": "age, per sd",
    "female": "women against men",
    "log_albumin": "log albumin, per sd",
    "log_protime": "log prothrombin time, per sd",
    "edema_score": "oedema despite diuretics against none",
}

LEVEL_EFFECT = "a factor of up to e (2 sd) on bilirubin, either way"
SLOPE_EFFECT = "up to 0.2 log units a year (2 sd), either way: as large as the slope itself"

CARD = ModelCard(
    title="Log serum bilirubin in untreated primary biliary cholangitis",
    context_of_use=(
        "Expected untreated course of serum bilirubin over the years after a baseline visit, for patients like those "
        "of the Mayo Clinic trial of 1974-84, as comparator for a treated arm."
    ),
    population=(
        "Adults with histologically confirmed primary biliary cholangitis, referred to the Mayo Clinic before ursodiol."
    ),
    disease="Primary biliary cholangitis",
    endpoint="log bilirubin",
    source="Murtaugh 1994, doi 10.1002/hep.1840200120",
    status="documented priors",
    units={
        "log_bilirubin_level": "log mg/dL",
        "log_bilirubin_level_sd": "log mg/dL",
        "log_bilirubin_slope": "log mg/dL/year",
        "log_bilirubin_slope_sd": "log mg/dL/year",
        "log_bilirubin_sd": "log mg/dL",
        **{f"log_bilirubin_level_{name}": "log mg/dL" for name in COVARIATES},
        **{f"log_bilirubin_slope_{name}": "log mg/dL/year" for name in COVARIATES},
    },
    covariates=COVARIATES,
    reasons={
        "log_bilirubin_level": "geometric mean between 0.2 and 12 mg/dL: normal to deeply jaundiced",
        "log_bilirubin_level_sd": "patients differ by up to a factor of 50 at entry",
        "log_bilirubin_slope": "between falling 20 % and rising 80 % a year",
        "log_bilirubin_slope_sd": "patients' yearly slopes within 0.4 log units of each other",
        "log_bilirubin_sd": "assay and day-to-day variation of up to a factor of 2.7",
        "subject_correlation": "slightly favours uncorrelated level and slope",
        **{f"log_bilirubin_level_{name}": LEVEL_EFFECT for name in COVARIATES},
        **{f"log_bilirubin_slope_{name}": SLOPE_EFFECT for name in COVARIATES},
    },
    limitations=(
        "One hospital, one era, before ursodiol: standard of care has moved.",
        "Linear on the log scale: the faster rise in the months before death is not in the model.",
        "Death and transplant are not modelled; the course is that of a patient who stays under observation, with "
        "missing visits assumed to depend on what was measured before (missing at random).",
    ),
)

DESIGN = Design(
    n=312,
    times=(0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
    outcomes={
        "log_bilirubin": OutcomeRole(
            column="log_bilirubin", label="log serum bilirubin", unit="log mg/dL", higher_is="worse"
        )
    },
    covariates={
        "age": dist.Normal(0.0, 1.0),
        "female": dist.Bernoulli(0.88),
        "log_albumin": dist.Normal(0.0, 1.0),
        "log_protime": dist.Normal(0.0, 1.0),
        "edema_score": dist.Bernoulli(0.1),
    },
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    level = Parameter(
        dist.Normal(0.5, 1.0),
        subject=dist.HalfNormal(1.0),
        effects={name: dist.Normal(0.0, 0.5) for name in COVARIATES},
    )
    slope = Parameter(
        dist.Normal(0.2, 0.2),
        subject=dist.HalfNormal(0.2),
        effects={name: dist.Normal(0.0, 0.1) for name in COVARIATES},
    )
    return ProgressionModel(
        outcomes={"log_bilirubin": Outcome(Linear(level=level, slope=slope), Gaussian(sd=dist.HalfNormal(0.5)))},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from the medians of its priors, of `n` subjects where given."""
    return DESIGN.simulate(build(), None, key=key, n=n)
