r"""Alzheimer's disease, ADAS-Cog (0 to 70, higher is worse), with placebo, a symptomatic drug and dropout.

$$\mathrm{logit}\,\frac{\mu_i(t)}{70} = \ell_i + s_i t,\qquad
y/70 \sim \mathrm{Beta}(\varphi\mu/70,\ \varphi(1 - \mu/70))$$

plus what entering a trial and a symptomatic drug do to the score [points], with the level at baseline shifted by MMSE,
the slope by age, sex and APOE4, and both pooled over studies. Dropout: a Weibull hazard shifted by age and MMSE at
baseline. Clock: years since baseline.

Source: the structure of Rogers et al. 2012, doi 10.1007/s10928-012-9263-3, and its simulator `adsim`: 3,223 patients of
CAMD, 186 of ADNI, and 73 literature references of 17,235 patients, jointly. Parameter values were not found: every
prior here is ours, weakly informative, and there are no typical values. Left out: the summary-level data of the
literature. The published placebo and drug terms may be on the logit scale; here they are points, as a change of the
course.

Data needed: `adas_cog` (kind bounded, 0 to 70, none on a bound) at visits; a group `study`; baseline `mmse` (score
above 20), `age` (decades above 75), `female` (0/1), `apoe4` (number of alleles), `trial` (1 in who entered a trial) and
`symptomatic` (1 in who began a symptomatic drug at baseline); an event process `dropout`.
"""

import numpy as np
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.correlation import LKJ
from dpm.components.event import Event
from dpm.components.hazard import Weibull
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedScore
from dpm.components.sigmoid import LogitLinear
from dpm.components.treatment import Shift, TrialEntry
from dpm.components.waning import Onset
from dpm.types import Key
from dpm.virtual.design import Design

CARD = ModelCard(
    title="ADAS-Cog in Alzheimer's disease, with placebo, symptomatic treatment and dropout",
    context_of_use="Expected ADAS-Cog, and who is still observed, in arms of trials of mild to moderate disease.",
    population="Mild to moderate Alzheimer's disease in trials and cohorts.",
    disease="Alzheimer's disease",
    endpoint="ADAS-Cog (0-70); dropout",
    source="structure of Rogers 2012, doi 10.1007/s10928-012-9263-3",
    status="documented priors",
    units={
        "adas_cog_level": "logit of the scale",
        "adas_cog_level_mmse": "logit of the scale per point",
        "adas_cog_level_study_sd": "logit of the scale",
        "adas_cog_level_sd": "logit of the scale",
        "adas_cog_slope": "logit of the scale/year",
        "adas_cog_slope_age": "logit of the scale/year per decade",
        "adas_cog_slope_female": "logit of the scale/year",
        "adas_cog_slope_apoe4": "logit of the scale/year per allele",
        "adas_cog_slope_study_sd": "logit of the scale/year",
        "adas_cog_slope_sd": "logit of the scale/year",
        "adas_cog_entry_size": "points",
        "adas_cog_entry_rate": "1/years",
        "adas_cog_entry_half_life": "years",
        "adas_cog_drug_effect": "points",
        "adas_cog_drug_delay": "years",
        "adas_cog_precision": "1",
        "dropout_log_rate": "log 1/years^k",
        "dropout_shape": "1",
        "dropout_age": "log hazard ratio per decade",
        "dropout_mmse": "log hazard ratio per point",
    },
    covariates={
        "mmse": "MMSE, per point",
        "age": "age, per decade",
        "female": "women against men",
        "apoe4": "APOE4, per allele",
    },
    reasons={
        "adas_cog_level": "between 11 and 40 of 70 points (2 sd) at an MMSE of 20",
        "adas_cog_level_mmse": "a point of MMSE moves the level by up to 0.3 (2 sd), five points near the middle",
        "adas_cog_level_study_sd": "studies differ by less than their patients do",
        "adas_cog_level_sd": "patients differ by up to 20 points (2 sd) either way",
        "adas_cog_slope": "between falling 3 and rising 10 points in the first year (2 sd)",
        "adas_cog_slope_age": "up to three points a year (2 sd) for ten years of age, either way",
        "adas_cog_slope_female": "up to three points a year (2 sd), either way",
        "adas_cog_slope_apoe4": "up to three points a year (2 sd) for an allele, either way",
        "adas_cog_slope_study_sd": "studies differ by less than their patients do",
        "adas_cog_slope_sd": "patients differ by up to ten points in a year's change",
        "adas_cog_entry_size": "up to four points (2 sd), better or worse",
        "adas_cog_entry_rate": "half of it within four days to eight months",
        "adas_cog_entry_half_life": "half of it gone within two months to four years",
        "adas_cog_drug_effect": "up to six points (2 sd), better or worse",
        "adas_cog_drug_delay": "63 % of it there within a month to a year",
        "adas_cog_precision": "a visit's score within two to seven points of its course (sd)",
        "dropout_log_rate": "between 3 and 80 % gone after a year",
        "dropout_shape": "between falling with time and rising with its second power",
        "dropout_age": "a hazard ratio of up to 2.7 (2 sd) for ten years, either way",
        "dropout_mmse": "a hazard ratio of up to 1.2 (2 sd) for a point, either way",
        "subject_correlation": "slightly favours uncorrelated level and slope",
    },
    limitations=(
        "No published values: the priors are weak, and the data have to speak.",
        "Studies known by their means alone cannot be used.",
        "Dropout does not follow the course: a patient who gets worse and leaves is not in the model.",
    ),
)

DESIGN = Design(
    n=1000,
    times=(0.0, 0.25, 0.5, 1.0, 1.5, 2.0),
    outcomes={
        "adas_cog": OutcomeRole(
            column="adas_cog", label="ADAS-Cog", unit="points", kind="bounded", lower=0, upper=70, higher_is="worse"
        )
    },
    covariates={
        "mmse": dist.Normal(0.0, 3.0),
        "age": dist.Normal(0.0, 0.8),
        "female": dist.Bernoulli(0.55),
        "apoe4": dist.Binomial(2, 0.35),
        "trial": dist.Bernoulli(0.8),
        "symptomatic": dist.Bernoulli(0.5),
    },
    groups={"study": tuple(f"study {k}" for k in range(1, 10))},
    events={"dropout": ("dropout",)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    course = LogitLinear(
        floor=0.0,
        ceiling=70.0,
        level=Parameter(
            dist.Normal(-0.7, 0.5),
            subject=dist.HalfNormal(0.7),
            effects={"mmse": dist.Normal(0.0, 0.15)},
            groups={"study": dist.HalfNormal(0.3)},
        ),
        slope=Parameter(
            dist.Normal(0.2, 0.2),
            subject=dist.HalfNormal(0.3),
            effects={name: dist.Normal(0.0, 0.1) for name in ("age", "female", "apoe4")},
            groups={"study": dist.HalfNormal(0.1)},
        ),
    )
    changes = {
        "entry": TrialEntry(
            size=dist.Normal(0.0, 2.0),
            rate=dist.LogNormal(np.log(8.0), 1.0),
            half_life=dist.LogNormal(np.log(0.8), 0.8),
            by="trial",
        ),
        "drug": Shift(
            effect=dist.Normal(0.0, 3.0), by="symptomatic", waning=Onset(delay=dist.LogNormal(np.log(0.25), 0.7))
        ),
    }
    noise = BoundedScore(lower=0, upper=70, precision=dist.LogNormal(np.log(80.0), 0.7))
    dropout = Event(
        hazard=Weibull(log_rate=dist.Normal(-1.5, 1.0), shape=dist.LogNormal(0.0, 0.5)),
        effects={"age": dist.Normal(0.0, 0.5), "mmse": dist.Normal(0.0, 0.1)},
    )
    return ProgressionModel(
        outcomes={"adas_cog": Outcome(course, noise, changes=changes)},
        events={"dropout": dropout},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from the medians of its priors, of `n` subjects where given."""
    return DESIGN.simulate(build(), None, key=key, n=n)
