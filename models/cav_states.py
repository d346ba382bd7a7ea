r"""Vasculopathy of the transplanted heart: none, mild or moderate, severe, death.

$$P(s_j \mid s_{j-1}) = \{e^{Q (t_j - t_{j-1})}\}_{s_{j-1} s_j}$$

with intensities [1/years] of 1→2, 1→4, 2→1, 2→3, 2→4, 3→2 and 3→4; the time of death is known (Sharples et al. 2003,
Transplantation 76, 679-682; the analysis of these data in Jackson 2011, doi 10.18637/jss.v038.i08).

Data needed: an outcome `state` of kind "state" with levels 1 to 4. Typical values: the maximum likelihood estimate in
the 622 patients of Papworth Hospital. Backward moves are partly errors of reading; a hidden version has
`misclassified`.
"""

from math import log

from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.card import ModelCard
from dpm.components.progression import ProgressionModel
from dpm.components.states import MultiState, Transition
from dpm.types import Key
from dpm.virtual.design import Design

STATES = ("1", "2", "3", "4")

RATES = {
    ("1", "2"): 0.12787,
    ("1", "4"): 0.04250,
    ("2", "1"): 0.22512,
    ("2", "3"): 0.34261,
    ("2", "4"): 0.04021,
    ("3", "2"): 0.13062,
    ("3", "4"): 0.30648,
}
"""The maximum likelihood estimate [1/years]."""

CARD = ModelCard(
    title="States of coronary disease after heart transplant, and death",
    context_of_use="Expected occupation of states, and survival, of heart recipients followed by yearly angiography.",
    population="Recipients of a heart at Papworth Hospital in the 1980s and 1990s.",
    disease="Cardiac allograft vasculopathy",
    endpoint="state at angiography; death",
    source="Sharples 2003; Jackson 2011, doi 10.18637/jss.v038.i08",
    status="published values",
    units={f"state_{one}_{other}_log_rate": "log 1/years" for one, other in RATES},
    reasons={f"state_{one}_{other}_log_rate": "a yearly rate between 0.003 and 7" for one, other in RATES},
    limitations=(
        "Intensities are the same for all patients and years.",
        "Backward moves are partly errors of reading the angiogram.",
    ),
)


TYPICAL = {f"state_{one}_{other}_log_rate": log(rate) for (one, other), rate in RATES.items()}

DESIGN = Design(
    n=622,
    times=tuple(float(year) for year in range(13)),
    outcomes={
        "state": OutcomeRole(
            column="state", label="state", unit="state", kind="state", levels=STATES, higher_is="worse"
        )
    },
)
"""Size as in the source where it says; who comes when is an assumption."""


def build() -> ProgressionModel:
    """The model, ready to fit."""
    transitions = {step: Transition(log_rate=dist.Normal(-2.0, 2.0)) for step in RATES}
    return ProgressionModel(
        states={"state": MultiState(states=STATES, transitions=transitions, exact=("4",))}, card=CARD
    )


def simulate(key: Key, n: int | None = None) -> Cohort:
    """A cohort of the design from its typical values, of `n` subjects where given."""
    return DESIGN.simulate(build(), TYPICAL, key=key, n=n)
