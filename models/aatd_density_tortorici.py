r"""Alpha-1 antitrypsin deficiency, CT lung density [g/L]: a line that bends once.

$$\mu_i(t) = \ell_i + s_i t + c\,(t - \kappa)_+,\qquad \kappa = 720\ \text{days}$$

Source: Tortorici et al. 2017, doi 10.1111/bcp.13358: 134 subjects. Values of placebo transcribed; the effects of
exposure (0.06 per µmol/L) and of FEV1 (0.56 per litre above 1.6) on the slope are covariates here.

Data needed: `density` [g/L] at visits; baseline `exposure` [µmol/L above placebo] and `fev1_excess` [L above 1.6].
"""

from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.correlation import LKJ
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.piecewise import PiecewiseLinear
from dpm.components.progression import ProgressionModel
from dpm.types import Key
from dpm.virtual.design import Design

KNOT = 720.0 / 365.25
"""When the slope changes [years]."""

TYPICAL = {
    "density_level": 46.89,
    "density_level_sd": 15.28,
    "density_slope": -2.18,
    "density_slope_exposure": 0.06,
    "density_slope_fev1_excess": 0.56,
    "density_slope_sd": 1.32,
    "density_change_1": 0.20,
    "density_sd": 2.60,
    "subject_correlation": [[1.0, -0.27], [-0.27, 1.0]],
}

CARD = ModelCard(
    title="CT lung density in alpha-1 antitrypsin deficiency",
    context_of_use="Expected loss of lung density without and with augmentation.",
    population="Adults with alpha-1 antitrypsin deficiency and emphysema.",
    disease="Alpha-1 antitrypsin deficiency",
    endpoint="CT lung density",
    source="Tortorici 2017, doi 10.1111/bcp.13358",
    status="published values",
    units={
        "density_level": "g/L",
        "density_level_sd": "g/L",
        "density_slope": "g/L/year",
        "density_slope_exposure": "g/L/year per µmol/L",
        "density_slope_fev1_excess": "g/L/year per L",
        "density_slope_sd": "g/L/year",
        "density_change_1": "g/L/year",
        "density_sd": "g/L",
    },
    covariates={"exposure": "exposure, per µmol/L", "fev1_excess": "FEV1, per L"},
    reasons={
        "density_level": "published 46.89",
        "density_level_sd": "published 15.28",
        "density_slope": "published -2.18",
        "density_slope_exposure": "published 0.06, centred on no effect",
        "density_slope_fev1_excess": "published 0.56, centred on no effect",
        "density_slope_sd": "published 1.32",
        "density_change_1": "published +0.20, centred on no change",
        "density_sd": "published 2.60",
        "subject_correlation": "slightly favours uncorrelated level and slope",
    },
    limitations=("The change of slope is the same for everybody: its published spread is small.",),
)

DESIGN = Design(
    n=134,
    times=(0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0),
    outcomes={"density": OutcomeRole(column="density", label="CT lung density", unit="g/L", higher_is="better")},
    covariates={"exposure": dist.Uniform(0.0, 12.0), "fev1_excess": dist.Normal(0.0, 0.4)},
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    effects = {"exposure": dist.Normal(0.0, 0.1), "fev1_excess": dist.Normal(0.0, 1.0)}
    course = PiecewiseLinear(
        level=Parameter(dist.Normal(47.0, 15.0), subject=dist.HalfNormal(20.0)),
        slope=Parameter(dist.Normal(-2.0, 1.5), subject=dist.HalfNormal(2.0), effects=effects),
        changes=(Parameter(dist.Normal(0.0, 1.0)),),
        knots=(KNOT,),
    )
    return ProgressionModel(
        outcomes={"density": Outcome(course, Gaussian(sd=dist.HalfNormal(5.0)))}, correlation=LKJ(2.0), card=CARD
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
