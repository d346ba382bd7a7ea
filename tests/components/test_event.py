"""Events: likelihoods against closed forms and scipy, drawn times against survival, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from scipy import integrate, stats

from dpm.cohort import Records
from dpm.cohort.records import EventRecords
from dpm.components.categorical import Ordinal, thresholds
from dpm.components.course import Courses
from dpm.components.event import Competing, Event, Process, refuse_without_events
from dpm.components.event_time import EventTime
from dpm.components.hazard import (
    Exponential,
    GompertzHazard,
    Hazard,
    LogLogistic,
    PiecewiseExponential,
    SplineHazard,
    Weibull,
)
from dpm.components.link import Area, CurrentValue, DiseaseTime, Link, RandomEffect, Slope
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import ModelError
from dpm.types import Array

KEY = jax.random.key(5)
SPLINE = (-2.0, -1.5, -1.0, -1.2, -0.8)
HAZARDS: dict[str, tuple[Hazard, Callable[[float], float]]] = {
    "exponential": (Exponential(log_rate=-1.2), lambda t: np.exp(-1.2)),
    "weibull": (Weibull(log_rate=-1.0, shape=1.7), lambda t: np.exp(-1.0) * 1.7 * t**0.7),
    "early weibull": (Weibull(log_rate=-1.0, shape=0.6), lambda t: np.exp(-1.0) * 0.6 * t**-0.4),
    "gompertz": (GompertzHazard(log_rate=-2.0, growth=0.3), lambda t: np.exp(-2.0 + 0.3 * t)),
    "log-logistic": (LogLogistic(log_median=0.9, shape=2.2), lambda t: _log_logistic(t, np.exp(0.9), 2.2)),
    "piecewise": (
        PiecewiseExponential(knots=(1.0, 2.5), log_rates=dist.Delta(jnp.array([-2.0, -1.0, -1.5]), event_dim=1)),
        lambda t: np.exp([-2.0, -1.0, -1.5][int(t >= 1.0) + int(t >= 2.5)]),
    ),
    "spline": (
        SplineHazard(knots=(2.0, 5.0), weights=dist.Delta(jnp.array(SPLINE), event_dim=1)),
        lambda t: np.exp(_spline(t)),
    ),
}


def _log_logistic(t: float, a: float, k: float) -> float:
    law = stats.fisk(k, scale=a)
    return float(law.pdf(t) / law.sf(t))


def _spline(t: float) -> float:
    from scipy.interpolate import BSpline

    return float(BSpline([0.0] * 4 + [2.0] + [5.0] * 4, np.array(SPLINE), 3)(min(t, 5.0)))


def rows(
    *subjects: list[tuple[float, float, float, int]], types: tuple[str, ...] = ("death", "transplant")
) -> EventRecords:
    """Per subject its episodes: entry, time, until, kind."""
    longest = max(map(len, subjects))
    cells = np.zeros((5, longest, len(subjects)))
    for i, episodes in enumerate(subjects):
        for j, episode in enumerate(episodes):
            cells[:, j, i] = (*episode, 1.0)
    entry, time, until, kind, present = (jnp.asarray(each) for each in cells)
    return EventRecords(entry, time, until, kind.astype(int), present.astype(bool), types)


def records(events: EventRecords, **covariates: Array) -> Records:
    n = events.time.shape[1]
    return Records(jnp.zeros((1, n)), {}, {}, dict(covariates), {}, events={"end": events})


def scored(process: Process, data: Records, courses: Courses | None = None, **values: Any) -> np.ndarray:
    """Log likelihood of each subject."""
    empty = Courses(outcomes={}, clock=lambda t: t, deviations={})
    given = {name: jnp.asarray(value) for name, value in values.items()}

    def model() -> None:
        process.observe("end", data, courses or empty)

    site = handlers.trace(handlers.seed(handlers.substitute(model, data=given), KEY)).get_trace()["end"]
    return np.asarray(site["fn"].log_prob(site["value"]))


SEEN = rows(
    [(0.0, 2.0, 2.0, 1)], [(0.0, 3.0, 3.0, 0)], [(1.5, 4.0, 4.0, 2)], [(0.5, 1.0, 3.0, 1)], [(0.0, 0.0, 0.0, 0)]
)


DEATH, TRANSPLANT = Event(hazard=Exponential(log_rate=-1.0)), Event(hazard=Exponential(log_rate=-2.0))
TWO = Competing(by_type={"death": DEATH, "transplant": TRANSPLANT})


@pytest.mark.parametrize("name", HAZARDS)
def test_every_hazard_is_scored_as_its_integral_says(name: str) -> None:
    """An event, follow-up without one, delayed entry, an interval, and no follow-up at all, against quadrature."""
    hazard, h = HAZARDS[name]

    def total(a: float, b: float) -> float:
        points = [p for p in hazard.breaks if a < p < b]
        return float(integrate.quad(h, a, b, points=points or None, epsabs=1e-12)[0])

    expected = [
        np.log(h(2.0)) - total(0.0, 2.0),
        -total(0.0, 3.0),
        np.log(h(4.0)) - total(1.5, 4.0),
        np.log(np.exp(-total(0.5, 1.0)) - np.exp(-total(0.5, 3.0))),
        0.0,
    ]
    np.testing.assert_allclose(scored(Event(hazard=hazard), records(SEEN)), expected, rtol=1e-6, atol=1e-9)


def test_effects_and_types() -> None:
    data = records(SEEN, age=jnp.arange(5.0))
    rate = np.exp(-1.0 + 0.2 * np.arange(5.0))
    exposure = np.array([2.0, 3.0, 2.5, 0.5, 0.0])
    both = Event(hazard=Exponential(log_rate=-1.0), effects={"age": dist.Normal(0.0, 1.0)})
    found = scored(both, data, end_age=0.2)
    interval = np.log(np.exp(-rate[3] * 0.5) - np.exp(-rate[3] * 2.5)) + rate[3] * 0.5
    np.testing.assert_allclose(found, -rate * exposure + [np.log(rate[0]), 0, np.log(rate[2]), interval, 0], rtol=1e-9)
    death = replace(both, types=("death",))
    np.testing.assert_allclose(scored(death, data, end_age=0.2)[2], -rate[2] * 2.5, rtol=1e-9)
    with pytest.raises(ModelError, match="expected types among death, transplant, got relapse"):
        scored(replace(both, types=("relapse",)), data)
    with pytest.raises(ModelError, match='"weight" among the cohort\'s covariates'):
        scored(Event(hazard=Exponential(log_rate=-1.0), effects={"weight": 0.1}), data)


def test_competing_types_have_hazards_of_their_own() -> None:
    a, b = np.exp(-1.0), np.exp(-2.0)
    expected = [np.log(a) - 2 * (a + b), -3 * (a + b), np.log(b) - 2.5 * (a + b)]
    inside = np.log(a / (a + b)) + np.log(np.exp(-0.5 * (a + b)) - np.exp(-2.5 * (a + b)))
    np.testing.assert_allclose(scored(TWO, records(SEEN)), [*expected, inside, 0.0], rtol=1e-9)


def test_recurrent_events_are_at_risk_from_the_last_one_on() -> None:
    """Andersen and Gill: over all episodes the exposure is follow-up, and each event adds its log hazard."""
    weibull, h = HAZARDS["weibull"]
    again = rows([(0.5, 1.0, 1.0, 1), (0.5, 2.5, 2.5, 1), (0.5, 4.0, 4.0, 0)], [(0.0, 3.0, 3.0, 0)], types=("relapse",))
    found = scored(Event(hazard=weibull), records(again))
    whole = [integrate.quad(h, 0.5, 4.0)[0], integrate.quad(h, 0.0, 3.0)[0]]
    np.testing.assert_allclose(found, [np.log(h(1.0) * h(2.5)) - whole[0], -whole[1]], rtol=1e-7)


# Links ----------------------------------------------------------------------------------------------------------------


def test_a_link_to_a_latent_course_is_one_to_an_item_of_it() -> None:
    """By its own name, where no item has a change of course."""
    item = Outcome("severity", Ordinal(thresholds=thresholds(2)))
    line = Linear(level=Parameter(0.4, subject=1.0), slope=Parameter(0.5))
    models = {
        key: ProgressionModel(
            outcomes={"gait": item},
            latent={"severity": line},
            events={"end": Event(hazard=Exponential(log_rate=-1.0), links={"follows": CurrentValue(0.7, of=key)})},
        )
        for key in ("gait", "severity")
    }
    data = records(rows([(0.0, 2.0, 2.0, 1)], [(0.5, 1.0, 3.0, 1)]))
    data = replace(data, values={"gait": jnp.ones((1, 2))}, observed={"gait": jnp.ones((1, 2), bool)})
    found = {}
    for key, model in models.items():
        site = handlers.trace(handlers.seed(model, KEY)).get_trace(data)["end"]
        found[key] = np.asarray(site["fn"].log_prob(site["value"]))
    np.testing.assert_allclose(found["severity"], found["gait"], rtol=1e-12)
    assert found["severity"][0] != pytest.approx(-1.0 - 2.0 * np.exp(-1.0), abs=0.01)


def test_links_follow_the_course() -> None:
    """A quadratic course: its value, slope and area are known."""
    b = jnp.array([0.3, -0.2, 0.5, 0.1, 0.4])
    courses = Courses(outcomes={"y": lambda t: 1.0 + b * t**2}, clock=lambda t: t + 10.0, deviations={"y_rise": b})
    time = jnp.array([[0.5], [2.0]]) * jnp.ones(5)
    t = np.asarray(time)
    known: dict[Link, Array] = {
        CurrentValue(0.1): 1.0 + b * t**2,
        Slope(0.1): 2.0 * b * time,
        Area(0.1): time + b * t**3 / 3.0,
        RandomEffect(0.1, of="y_rise"): b + 0.0 * t,
        DiseaseTime(0.1): time + 10.0,
    }
    for link, expected in known.items():
        np.testing.assert_allclose(link.follow("y", courses, time), expected, rtol=1e-9)
    absent: dict[Link, str] = {CurrentValue(0.1): "outcomes", RandomEffect(0.1): "subject-level effects"}
    for link, what in absent.items():
        with pytest.raises(ModelError, match=what):
            link.follow("z", courses, time)
    event = Event(hazard=Weibull(log_rate=-1.5, shape=1.3), links={"y": CurrentValue(dist.Normal(0.0, 1.0))})
    found = scored(event, records(SEEN), courses, end_y=0.7)

    def h(t: float, i: int) -> float:
        return float(np.exp(-1.5) * 1.3 * t**0.3 * np.exp(0.7 * (1.0 + b[i] * t**2)))

    integrals = [np.log(h(2.0, 0)) - integrate.quad(h, 0, 2, (0,))[0], -integrate.quad(h, 0, 3, (1,))[0]]
    np.testing.assert_allclose(found[:2], integrals, rtol=1e-6)


# Draws ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weibull", "piecewise", "log-logistic"])
def test_drawn_times_have_the_survival_of_the_hazard(name: str) -> None:
    hazard, h = HAZARDS[name]
    n = 4000
    values = {key: jnp.asarray(getattr(each, "v", each)) for key, each in hazard.scalars().items()}
    entered = rows(*[[(0.5, 0.5, 0.5, 0)]] * n)
    drawn = EventTime((lambda t: hazard.log_hazard(t, **values),), hazard.breaks, entered, horizon=8.0).sample(KEY)
    assert drawn.shape == (n, 1, 2)
    time, kind = np.asarray(drawn[:, 0]).T
    assert ((kind == 1) | (time == 8.0)).all()
    for t in (1.0, 2.0, 4.0, 7.0):
        expected = np.exp(-integrate.quad(h, 0.5, t, points=[p for p in hazard.breaks if p < t] or None)[0])
        assert (time > t).mean() == pytest.approx(expected, abs=4.5 * np.sqrt(expected * (1 - expected) / n) + 1e-3)


def test_drawn_causes_are_in_proportion_to_their_hazards() -> None:
    entered = rows(*[[(0.0, 0.0, 0.0, 0)]] * 4000)
    hazards = tuple((lambda t, r=rate: jnp.log(r) + 0.0 * t) for rate in (0.2, 0.6))
    drawn = np.asarray(EventTime(hazards, (), entered, horizon=1e3).sample(KEY))[:, 0]
    assert (drawn[:, 1] == 2).mean() == pytest.approx(0.75, abs=4.5 * np.sqrt(0.75 * 0.25 / 4000))
    assert drawn[:, 0].mean() == pytest.approx(1 / 0.8, rel=4.5 / np.sqrt(4000))


# Refusals -------------------------------------------------------------------------------------------------------------


def test_a_hazard_to_be_learned_without_events_is_refused() -> None:
    quiet = records(rows([(0.0, 2.0, 2.0, 1)], [(0.0, 1.0, 1.0, 0)]))
    unknown = Event(hazard=Exponential(log_rate=dist.Normal(0.0, 1.0)))
    with pytest.raises(ModelError, match=r"fit: events\.end: transplant: expected at least one event, got none"):
        refuse_without_events("end", Competing(by_type={"death": unknown, "transplant": unknown}), quiet)
    refuse_without_events("end", unknown, quiet)
    refuse_without_events("end", TWO, quiet)  # its hazards are numbers: nothing is to be learned


def normal(size: int) -> dist.Distribution:
    return dist.Normal(jnp.zeros(size), 1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PiecewiseExponential(knots=(2.0, 1.0), log_rates=dist.Normal(jnp.zeros(3), 1.0)),
            "positive times, in order",
        ),
        (lambda: PiecewiseExponential(knots=(1.0,), log_rates=dist.Normal(0.0, 1.0)), r"a prior of shape \(2,\)"),
        (lambda: SplineHazard(knots=(1.0, 2.0), weights=dist.Normal(jnp.zeros(4), 1.0)), r"a prior of shape \(5,\)"),
    ],
)
def test_knots_that_cannot_be_meant_are_refused(make: Callable[[], Hazard], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()
