r"""Multiple sclerosis, the eight functional scores of EDSS as items of one latent disability, untreated.

$$D_i(t) = \eta_i + (s + \zeta_i)\,t^{p},\qquad P(y_j \ge k) = \sigma\{a_j (D_i - b_{jk})\}$$

with $\eta_i$ standard normal, which fixes the scale, $\zeta_i$ normal and correlated with it, and graded items (item
response theory). Clock: years of 365 days since baseline in the source, of 365.25 here.

Source: Novakovic et al. 2017, doi 10.1208/s12248-016-9977-z (cladribine, relapsing-remitting disease). Values
transcribed, the thresholds from the model deposited as DDMODEL00000223. The source's run ended with rounding errors
(0.6 significant digits). Left out: the effects of cladribine (progression by 22.8 % less, and a symptomatic part by
exposure) and the covariates age, months since diagnosis and relapse rate, which the source models as random effects.

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
from dpm.components.categorical import Ordinal
from dpm.components.correlation import LKJ
from dpm.components.growth import Power
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.types import Key
from dpm.virtual.design import Design

ITEMS = {
    "pyramidal": (3.16, (-1.57, 1.27, 0.823, 1.43, 1.31)),
    "cerebellar": (2.81, (-0.929, 0.979, 1.03, 1.64, 1.11)),
    "brainstem": (1.02, (-0.121, 1.74, 2.02, 2.81)),
    "sensory": (0.980, (-0.799, 1.20, 1.97, 2.39, 3.02, 2.35)),
    "bowel_bladder": (1.25, (-0.151, 1.90, 1.54, 3.03, 0.962)),
    "visual": (0.424, (0.0351, 3.87, 2.76, 1.76, 1.77, 1.75)),
    "mental": (0.907, (0.400, 1.12, 4.17, 2.90)),
    "ambulation": (3.71, (1.14, 0.243, 0.225, 0.423, 0.439, 0.477, 0.139, 0.257, 0.349)),
}
"""Of each item the published discrimination, the first threshold, and the steps to the next ones."""


TYPICAL = {
    "disability_change": 0.0870,
    "disability_change_sd": float(np.sqrt(0.199)),
    "disability_exponent": 0.707,
    **{f"{item}_discrimination": discrimination for item, (discrimination, _) in ITEMS.items()},
    **{f"{item}_thresholds": np.cumsum(steps).tolist() for item, (_, steps) in ITEMS.items()},
    "subject_correlation": [[1.0, 0.114], [0.114, 1.0]],
}
"""Published."""

CARD = ModelCard(
    title="The eight functional scores of EDSS in relapsing-remitting multiple sclerosis",
    context_of_use="Expected course of disability behind the functional scores of EDSS, without treatment.",
    population="Adults with relapsing-remitting multiple sclerosis in trials.",
    disease="Multiple sclerosis",
    endpoint="EDSS functional scores",
    source="Novakovic 2017, doi 10.1208/s12248-016-9977-z",
    status="published values",
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
        **{f"{item}_discrimination": f"published {value:g}" for item, (value, _) in ITEMS.items()},
        **{f"{item}_thresholds": "published first threshold and steps, within a factor of 3" for item in ITEMS},
        "subject_correlation": "published 0.114; slightly favours uncorrelated baseline and change",
    },
    limitations=(
        "The source's run ended with rounding errors: its values have less than one significant digit.",
        "Relapses, which move scores for weeks, are in the noise.",
        "Treatment and covariates of the source are left out.",
    ),
)


def near(first: float, *steps: float) -> dist.Distribution:
    """A prior of ordered thresholds around published ones."""
    start = jnp.asarray([first, *np.log(steps)])
    scale = jnp.asarray([1.0, *([0.5] * len(steps))])
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
            levels=tuple(str(level) for level in range(len(steps) + 1)),
            higher_is="worse",
        )
        for item, (_, steps) in ITEMS.items()
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
            thresholds=near(*steps),
            discrimination=dist.LogNormal(np.log(discrimination), 0.5),
        )
        for item, (discrimination, steps) in ITEMS.items()
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
