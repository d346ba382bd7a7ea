"""Integrals of hazards too coarse for a course are said beside the fit."""

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import distributions as dist

from dpm.cohort import Cohort, read_cohort
from dpm.components.event import Event
from dpm.components.hazard import Exponential
from dpm.components.link import CurrentValue
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import LogisticGrowth
from dpm.posterior.fit import fit

from .test_estimable import PriorMeans

KEY = jax.random.key(5)
ROLES = {
    "subject": "id",
    "time": {"column": "year", "unit": "years"},
    "outcomes": {"score": {"column": "score", "unit": "points", "higher_is": "worse"}},
    "events": {
        "death": {"column": "dead", "time": "died", "unit": "years", "censored": "0", "types": {"1": "death"}},
    },
}


def cohort() -> Cohort:
    rows = [
        {"id": k, "year": float(year), "score": 20.0, "died": 10.0, "dead": k % 2} for k in range(6) for year in (0, 5)
    ]
    return read_cohort(pd.DataFrame(rows), ROLES)


def model(scale: float, nodes: int = 20) -> ProgressionModel:
    """A logistic course from 0 to 40 points that turns within `scale` years, and a hazard that follows it."""
    midpoint = Parameter(dist.Normal(5.0, 0.1), subject=dist.HalfNormal(1.0))
    course = LogisticGrowth(asymptote=Parameter(40.0), midpoint=midpoint, scale=Parameter(scale))
    event = Event(hazard=Exponential(log_rate=dist.Normal(-6.0, 0.5)), links={"score": CurrentValue(0.15)}, nodes=nodes)
    return ProgressionModel(
        outcomes={"score": Outcome(course, Gaussian(sd=5.0))}, events={"death": event}, correlation=None
    )


def notes(built: ProgressionModel) -> list[str]:
    posterior = fit(built, cohort(), method=PriorMeans(), key=KEY)
    return [note for note in posterior.provenance.get("notes", ()) if "integrals" in note]


def test_a_sharp_turn_is_said() -> None:
    (note,) = notes(model(0.05))
    assert "death: nodes=40" in note


@pytest.mark.parametrize(("scale", "nodes"), [(2.0, 20), (0.05, 400)])
def test_a_gentle_turn_or_enough_nodes_are_not(scale: float, nodes: int) -> None:
    assert notes(model(scale, nodes)) == []


def test_the_note_is_right_about_the_error() -> None:
    """The cumulative hazard by 20 nodes against a fine sum: off by per cents where the note speaks."""
    t = (np.arange(400_000) + 0.5) / 40_000
    exact = np.exp(-6.0 + 0.15 * 40.0 / (1.0 + np.exp(-(t - 5.0) / 0.05))).mean() * 10.0
    x, w = np.polynomial.legendre.leggauss(20)
    s = 0.5 * (1.0 + x)
    at = 10.0 * s**5
    found = (0.5 * w * 5.0 * s**4 * 10.0 * np.exp(-6.0 + 0.15 * 40.0 / (1.0 + np.exp(-(at - 5.0) / 0.05)))).sum()
    assert abs(found / exact - 1.0) > 0.005
