"""The cohorts and models that programs are compared on, at any number of subjects; the same number, the same cohort."""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax
from jax import numpy as jnp
from numpyro import distributions as dist

import dpm
from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.sigmoid import LogisticRise
from models import pbc_joint

SIZES = (100, 1_000, 10_000, 100_000)

LOGISTIC_VALUES = {
    "y_asymptote": 10.0,
    "y_asymptote_sd": 1.5,
    "y_midpoint": 4.0,
    "y_midpoint_sd": 1.0,
    "y_scale": 1.2,
    "y_scale_sd": 0.15,
    "y_sd": 0.4,
    "subject_correlation": [[1.0, 0.4, 0.2], [0.4, 1.0, -0.3], [0.2, -0.3, 1.0]],
}
LOGISTIC_DESIGN = dpm.Design(
    n=1_000,
    times=(0.0, 1.2, 2.4, 3.6, 4.8, 6.0, 7.2, 8.4),
    outcomes={"y": OutcomeRole(column="y", label="a marker", unit="1", higher_is="worse")},
)


@cache
def logistic() -> dpm.ProgressionModel:
    r"""One marker, logistic in time, its asymptote, midpoint and scale correlated between subjects: R's `SSlogis`.

    $$y_{ij} \sim N\{A_i / (1 + e^{-(t_{ij} - m_i)/s_i}),\ \sigma^2\},\qquad (A_i, m_i, s_i) \sim N_3(\mu, \Omega)$$

    The priors play no part in maximum likelihood; their means are where everybody's search starts.
    """
    course = dpm.LogisticGrowth(
        asymptote=dpm.Parameter(dist.Normal(9.0, 4.0), subject=dist.HalfNormal(2.0)),
        midpoint=dpm.Parameter(dist.Normal(4.5, 2.0), subject=dist.HalfNormal(1.0)),
        scale=dpm.Parameter(dist.Normal(1.1, 0.5), subject=dist.HalfNormal(0.3)),
    )
    outcome = dpm.Outcome(course, dpm.Gaussian(sd=dist.HalfNormal(0.5)))
    return dpm.ProgressionModel(outcomes={"y": outcome}, correlation=dpm.LKJ(2.0))


MARKERS = {"a": (1.0, 1.0, -1.0), "b": (2.0, 0.8, 0.5), "c": (1.5, 1.3, 1.5)}
"""Ceiling, rate [1/years] and midpoint [years] by marker; every floor is 0."""

LATENT_TIME_VALUES = {
    **{f"{name}_floor": 0.0 for name in MARKERS},
    **{f"{name}_floor_sd": 0.2 for name in MARKERS},
    **{f"{name}_ceiling": ceiling for name, (ceiling, _, _) in MARKERS.items()},
    **{f"{name}_rate": math.log(rate) for name, (_, rate, _) in MARKERS.items()},
    **{f"{name}_midpoint": midpoint for name, (_, _, midpoint) in MARKERS.items()},
    **{f"{name}_sd": 0.1 for name in MARKERS},
    "a_floor_x1": 0.1,
    "b_floor_x2": 0.1,
    "clock_onset_sd": 1.5,
    "clock_onset_x1": 0.5,
    "clock_onset_x2": -0.5,
    "clock_onset_site": [1.0, 0.0, -1.0, 0.0],
    "clock_onset_site_sd": 0.6,
    "clock_pace_sd": 0.25,
    "clock_pace_x1": 0.1,
    "clock_pace_x2": -0.1,
    "clock_pace_site": [0.0, 1.0, 0.0, -1.0],
    "clock_pace_site_sd": 0.1,
    "subject_correlation": [
        [1.0, 0.3, 0.2, 0.2, 0.2],
        [0.3, 1.0, 0.0, 0.0, 0.0],
        [0.2, 0.0, 1.0, 0.3, 0.3],
        [0.2, 0.0, 0.3, 1.0, 0.3],
        [0.2, 0.0, 0.3, 0.3, 1.0],
    ],
}
LATENT_TIME_DESIGN = dpm.Design(
    n=1_000,
    times=(0.0, 0.75, 1.5, 2.25, 3.0, 4.0, 5.0, 6.0),
    outcomes={name: OutcomeRole(column=name, label=f"marker {name}", unit="1", higher_is="worse") for name in MARKERS},
    covariates={"x1": dist.Normal(0.0, 1.0), "x2": dist.Bernoulli(0.5)},
    groups={"site": ("east", "north", "south", "west")},
)


@cache
def latent_time() -> dpm.ProgressionModel:
    r"""Three markers on one latent time with 44 population values: two covariates, four sites, five effects a subject.

    $$y^k_{ij} \sim N\{f^k_i + (c^k - f^k_i)\,\sigma(r^k\,(\tau_{ij} - m^k)),\ \sigma_k^2\},\qquad
    \tau_{ij} = \alpha_i\,(t_{ij} - \delta_i)$$

    The three floors $f^k_i$ enter linearly, given onset $\delta_i$ and log pace $\log \alpha_i$.
    """
    shift = {"x1": dist.Normal(0.0, 1.0), "x2": dist.Normal(0.0, 1.0)}
    pull = {"x1": dist.Normal(0.0, 0.3), "x2": dist.Normal(0.0, 0.3)}
    own = {"a": {"x1": dist.Normal(0.0, 0.5)}, "b": {"x2": dist.Normal(0.0, 0.5)}, "c": {}}
    outcomes = {
        name: dpm.Outcome(
            LogisticRise(
                floor=dpm.Parameter(dist.Normal(0.0, 0.5), subject=dist.HalfNormal(0.5), effects=own[name]),
                ceiling=dist.Normal(ceiling, 0.5),
                midpoint=dpm.Parameter(dist.Normal(midpoint, 1.0)),
                rate=dpm.Parameter(dist.Normal(0.0, 0.5), link=jnp.exp),
            ),
            dpm.Gaussian(sd=dist.HalfNormal(0.5)),
        )
        for name, (ceiling, _, midpoint) in MARKERS.items()
    }
    clock = dpm.LatentTime(
        onset=dpm.onset(dist.HalfNormal(2.0), effects=shift, groups={"site": dist.HalfNormal(1.0)}),
        pace=dpm.pace(dist.HalfNormal(0.5), effects=pull, groups={"site": dist.HalfNormal(0.3)}),
    )
    return dpm.ProgressionModel(outcomes=outcomes, clock=clock, correlation=dpm.LKJ(2.0))


SHIFTED = {"a": (1.2, -1.5), "b": (0.9, 0.0), "c": (1.5, 1.5)}
"""Rate [1/years] and midpoint [years of latent time] by marker."""


def _shifted(markers: tuple[str, ...]) -> tuple[dpm.Design, dict[str, object]]:
    design = dpm.Design(
        n=1_000,
        times=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
        outcomes={m: OutcomeRole(column=m, label=f"marker {m}", unit="1", higher_is="worse") for m in markers},
    )
    values: dict[str, object] = {"clock_onset": 4.0, "clock_onset_sd": 1.5, "clock_pace_sd": 0.3}
    for m in markers:
        rate, midpoint = SHIFTED[m]
        values |= {f"{m}_rate": math.log(rate), f"{m}_midpoint": midpoint, f"{m}_sd": 0.05}
    return design, values


@cache
def shifted(markers: tuple[str, ...]) -> dpm.ProgressionModel:
    r"""Logistic courses of leaspy, without sources, from 0 to 1, each subject earlier or later, faster or slower.

    $$y^k_{ij} \sim N\{\sigma(r^k\,(\alpha_i\,(t_{ij} - \delta_i) - m^k)),\ \sigma_k^2\},\qquad
    \delta_i \sim N(\delta, \omega_\delta^2),\quad \log\alpha_i \sim N(0, \omega_\alpha^2)$$
    """
    outcomes = {
        m: dpm.Outcome(
            LogisticRise(
                floor=0.0,
                ceiling=1.0,
                midpoint=dpm.Parameter(dist.Normal(0.0, 2.0)),
                rate=dpm.Parameter(dist.Normal(0.0, 0.5), link=jnp.exp),
            ),
            dpm.Gaussian(sd=dist.HalfNormal(0.2)),
        )
        for m in markers
    }
    clock = dpm.LatentTime(
        onset=dpm.onset(dist.HalfNormal(2.0), typical=dist.Normal(3.0, 3.0)), pace=dpm.pace(dist.HalfNormal(0.5))
    )
    return dpm.ProgressionModel(outcomes=outcomes, clock=clock, correlation=None)


MODELS: dict[str, Callable[[], dpm.ProgressionModel]] = {
    "logistic": logistic,
    "latent_time": latent_time,
    "joint": cache(pbc_joint.build),
}
MODELS |= {"shifted_1": lambda: shifted(("b",)), "shifted_3": lambda: shifted(("a", "b", "c"))}
"""One object each, so that what was compiled for it is used again."""


def cohort(name: str, n: int) -> dpm.Cohort:
    """`n` subjects of the cohort that belongs to one of `MODELS`."""
    design, values = {
        "logistic": (LOGISTIC_DESIGN, LOGISTIC_VALUES),
        "latent_time": (LATENT_TIME_DESIGN, LATENT_TIME_VALUES),
        "joint": (pbc_joint.DESIGN, pbc_joint.TYPICAL),
        "shifted_1": _shifted(("b",)),
        "shifted_3": _shifted(("a", "b", "c")),
    }[name]
    return design.simulate(MODELS[name](), values, key=jax.random.key(n), n=n)


def stored(name: str, n: int, folder: Path) -> Path:
    """The cohort as a file that every program reads (and `dpm.read_written`), written once."""
    path = folder / f"{name}_{n}.csv"
    if not path.exists():
        dpm.write_cohort(cohort(name, n), path)
    return path
