r"""Multiple sclerosis, the eight functional scores of EDSS as items of one latent disability, untreated.

$$D_i(t) = \eta_i + (s + \zeta_i)\,t^{p},\qquad P(y_j \ge k) = \sigma\{a_j (D_i - b_{jk})\}$$

with $\eta_i$ standard normal, which fixes the scale, $\zeta_i$ normal and correlated with it, and graded items (item
response theory). Clock: years of 365 days since baseline in the source, of 365.25 here.

Source: Novakovic et al. 2017, doi 10.1208/s12248-016-9977-z (cladribine, relapsing-remitting disease). Values
transcribed: slope, exponent, variances, correlation, every discrimination, and the thresholds of the pyramidal item.
The thresholds of the seven other items are in the source but were not at hand: their priors and typical values are
ours, evenly spaced. The source's run ended with rounding errors (0.6 significant digits). Left out: the effects of
cladribine (progression by 22.8 % less, and a symptomatic part by exposure) and the covariates age, months since
diagnosis and relapse rate, which the source models as random effects.

Data needed: items of kind ordinal, from 0: `pyramidal`, `cerebellar`, `bowel_bladder` (to 5), `brainstem`, `mental` (to
4), `sensory`, `visual` (to 6) and `ambulation` (to 9), at visits; each category met at least once, else merge it in the
roles.
"""

import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import transforms

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.categorical import Ordinal, thresholds
from dpm.components.correlation import LKJ
from dpm.components.growth import Power
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.types import Key
from dpm.virtual.design import Design

ITEMS = {
    "pyramidal": (5, 3.16),
    "cerebellar": (5, 2.81),
    "brainstem": (4, 1.02),
    "sensory": (6, 0.980),
    "bowel_bladder": (5, 1.25),
    "visual": (6, 0.424),
    "mental": (4, 0.907),
    "ambulation": (9, 3.71),
}
"""Of each item the highest score, and the published discrimination."""

PYRAMIDAL = np.cumsum([-1.57, 1.27, 0.823, 1.43, 1.31])
"""Published thresholds, the second and later ones as steps."""


def evenly(count: int) -> np.ndarray:
    """Thresholds of ours, where the prior of `thresholds` is centred."""
    return np.log(np.arange(1, count + 1) / np.arange(count, 0, -1))


TYPICAL = {
    "disability_change": 0.0870,
    "disability_change_sd": float(np.sqrt(0.199)),
    "disability_exponent": 0.707,
    **{f"{item}_discrimination": published for item, (_, published) in ITEMS.items()},
    **{f"{item}_thresholds": evenly(count).tolist() for item, (count, _) in ITEMS.items()},
    "pyramidal_thresholds": PYRAMIDAL.tolist(),
    "subject_correlation": [[1.0, 0.114], [0.114, 1.0]],
}
"""Published, but for the thresholds of all items except the pyramidal one, which are ours."""

OURS = "evenly spaced around the typical patient, wide; not those of the source"

CARD = ModelCard(
    title="The eight functional scores of EDSS in relapsing-remitting multiple sclerosis",
    context_of_use="Expected course of disability behind the functional scores of EDSS, without treatment.",
    population="Adults with relapsing-remitting multiple sclerosis in trials.",
    disease="Multiple sclerosis",
    endpoint="EDSS functional scores",
    source="Novakovic 2017, doi 10.1208/s12248-016-9977-z",
    status="published values; thresholds of seven items are ours",
    units={
        "disability_change": "sd of disability at baseline/year^exponent",
        "disability_change_sd": "sd of disability at baseline/year^exponent",
        "disability_exponent": "1",
        **{f"{item}_discrimination": "per sd of disability at baseline" for item in ITEMS},
        **{f"{item}_thresholds": "sd of disability at baseline" for item in ITEMS},
    },
    reasons={
        "disability_change": "published 0.0870, centred on no change",
        "disability_change_sd": "published variance 0.199",
        "disability_exponent": "published 0.707",
        **{f"{item}_discrimination": f"published {published:g}" for item, (_, published) in ITEMS.items()},
        **{f"{item}_thresholds": OURS for item in ITEMS},
        "pyramidal_thresholds": "published -1.57, then steps of 1.27, 0.823, 1.43 and 1.31",
        "subject_correlation": "published 0.114; slightly favours uncorrelated baseline and change",
    },
    limitations=(
        "The source's run ended with rounding errors: its values have less than one significant digit.",
        "Relapses, which move scores for weeks, are in the noise.",
        "Treatment and covariates of the source are left out.",
    ),
)


def near(values: np.ndarray) -> dist.Distribution:
    """A prior of ordered thresholds around published ones."""
    start = jnp.asarray(np.concatenate([values[:1], np.log(np.diff(values))]))
    scale = jnp.asarray(np.concatenate([[1.0], np.full(len(values) - 1, 0.5)]))
    return dist.TransformedDistribution(dist.Normal(start, scale).to_event(1), transforms.OrderedTransform())


DESIGN = Design(
    n=1300,
    times=(0.0, 0.25, 0.5, 1.0, 1.5, 2.0),
    outcomes={
        item: OutcomeRole(
            column=item,
            label=item.replace("_", " "),
            unit="category",
            kind="ordinal",
            levels=tuple(str(level) for level in range(count + 1)),
            higher_is="worse",
        )
        for item, (count, _) in ITEMS.items()
    },
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    disability = Power(
        level=Parameter(0.0, subject=1.0),
        change=Parameter(dist.Normal(0.0, 0.3), subject=dist.HalfNormal(0.6)),
        exponent=dist.LogNormal(np.log(0.707), 0.3),
    )
    items = {
        item: Ordinal(
            thresholds=near(PYRAMIDAL) if item == "pyramidal" else thresholds(count),
            discrimination=dist.LogNormal(np.log(published), 0.5),
        )
        for item, (count, published) in ITEMS.items()
    }
    return ProgressionModel(
        latent={"disability": disability},
        outcomes={item: Outcome("disability", noise) for item, noise in items.items()},
        correlation=LKJ(2.0),
        card=CARD,
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
