"""What bends a course: closed forms on a line and on a curve, nothing at no effect, and the truth of a trial found."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from scipy import integrate

from dpm.cohort import Records
from dpm.components.change import Change
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.components.treatment import (
    AddedSlope,
    ByVisit,
    CaptureMode,
    CareDrift,
    ProportionalDecline,
    Shift,
    Slowing,
    TimeSaved,
    Treatment,
    TrialEntry,
)
from dpm.components.waning import HalfLife, Onset, Until, Waning
from dpm.errors import ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.types import Array

KEY = jax.random.key(6)
TIME = jnp.array([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
T = np.asarray(TIME)[:, 1]
UNSEEN = Records(
    TIME, {}, {}, {"treated": jnp.array([0.0, 1.0])}, {}, origins={"calendar": jnp.array([2001.0, 2005.0])}
)


def line(time: Array) -> Array:
    return 10.0 - 2.0 * time


def curve(time: Array) -> Array:
    return 30.0 * jax.nn.sigmoid(1.0 - time)


def bent(change: Change, course: Any = line, **values: float | Array) -> np.ndarray:
    given = {name: jnp.asarray(value) for name, value in values.items()}
    return np.asarray(change.course(course, TIME, UNSEEN, **given))


TREATMENTS = (ProportionalDecline, Slowing, TimeSaved, Shift, AddedSlope)


@pytest.mark.parametrize("kind", TREATMENTS)
def test_no_effect_and_the_untreated_change_nothing(kind: type[Treatment]) -> None:
    for course in (line, curve):
        plain = np.asarray(course(TIME))
        np.testing.assert_allclose(bent(kind(effect=0.0), course, effect=0.0), plain, rtol=1e-12)
        np.testing.assert_allclose(bent(kind(effect=0.3), course, effect=0.3)[:, 0], plain[:, 0], rtol=1e-12)
        for effect in (0.3, -0.5):
            late = bent(kind(effect=effect, start=0.5), course, effect=effect)
            np.testing.assert_allclose(late[:2], plain[:2], rtol=1e-12)
            assert np.abs(late[2:, 1] - plain[2:, 1]).min() > 0.01


def test_closed_forms_on_a_line() -> None:
    """There slowing and proportional decline are the same, and time saved is a constant difference once reached."""
    for kind in (ProportionalDecline, Slowing):
        np.testing.assert_allclose(bent(kind(effect=0.3), effect=0.3)[:, 1], 10.0 - 2.0 * 0.7 * T)
    np.testing.assert_allclose(bent(TimeSaved(effect=0.5), effect=0.5)[:, 1], 10.0 - 2.0 * np.maximum(T - 0.5, 0.0))
    np.testing.assert_allclose(bent(Shift(effect=1.5), effect=1.5)[:, 1], 10.0 - 2.0 * T + 1.5 * (T > 0))
    np.testing.assert_allclose(bent(AddedSlope(effect=0.4), effect=0.4)[:, 1], 10.0 - 1.6 * T)
    np.testing.assert_allclose(
        bent(AddedSlope(effect=0.4, start=1.0), effect=0.4)[:, 1], 10.0 - 2.0 * T + 0.4 * np.maximum(T - 1, 0)
    )


def test_on_a_curve_each_bends_its_own_parameter() -> None:
    plain = np.asarray(curve(TIME))[:, 1]
    half = bent(ProportionalDecline(effect=0.5), curve, effect=0.5)[:, 1]
    np.testing.assert_allclose(half - plain[0], 0.5 * (plain - plain[0]), rtol=1e-12)
    slow = bent(Slowing(effect=0.5), curve, effect=0.5)[:, 1]
    np.testing.assert_allclose(slow, np.asarray(curve(jnp.asarray(0.5 * T))), rtol=1e-12)
    assert not np.allclose(slow, half, atol=0.1)


def test_by_visit_is_the_constant_effect_where_its_values_are_equal() -> None:
    at = (0.5, 1.0, 4.0)
    prior = dist.Normal(jnp.zeros(3), 1.0).to_event(1)
    for bends, kind in (("decline", ProportionalDecline), ("time", Slowing)):
        found = bent(ByVisit(effects=prior, at=at, bends=bends), curve, effects=jnp.full(3, 0.3))
        np.testing.assert_allclose(
            found[[0, 1, 2, 4]], bent(kind(effect=0.3), curve, effect=0.3)[[0, 1, 2, 4]], rtol=1e-12
        )
    assert np.allclose(
        bent(ByVisit(effects=prior, at=at), effects=jnp.array([0.0, 0.3, 0.6]))[3, 1], 10 - 4 * (1 - 0.4)
    )
    with pytest.raises(ModelError, match="rising times above 0"):
        ByVisit(effects=prior, at=(1.0, 0.5, 2.0))
    with pytest.raises(ModelError, match='"decline" or "time"'):
        ByVisit(effects=prior, at=at, bends="slope")


def test_waning() -> None:
    half = bent(Shift(effect=1.0, waning=HalfLife(half_life=2.0)), effect=1.0, half_life=2.0)[:, 1] - (10 - 2 * T)
    np.testing.assert_allclose(half[1:], 2.0 ** (-T[1:] / 2.0))
    stop = bent(Shift(effect=1.0, waning=Until(until=1.0, half_life=0.5)), effect=1.0, until=1.0, half_life=0.5)[:, 1]
    np.testing.assert_allclose((stop - (10 - 2 * T))[1:], 2.0 ** (-np.maximum(T[1:] - 1, 0) / 0.5))
    slow = bent(Shift(effect=1.0, waning=Onset(delay=2.0)), effect=1.0, delay=2.0)[:, 1] - (10 - 2 * T)
    np.testing.assert_allclose(slow, 1.0 - np.exp(-T / 2.0))
    assert set(Shift(effect=1.0, waning=Onset(delay=2.0)).scalars()) == {"effect", "delay"}


WANINGS: tuple[tuple[Waning, dict[str, float]], ...] = (
    (HalfLife(half_life=2.0), {"half_life": 2.0}),
    (Until(until=1.0, half_life=0.01), {"until": 1.0, "half_life": 0.01}),
    (Until(until=1.3, half_life=0.5), {"until": 1.3, "half_life": 0.5}),
    (Onset(delay=2.0), {"delay": 2.0}),
)


@pytest.mark.parametrize(("waning", "values"), WANINGS)
def test_an_effect_on_a_rate_keeps_what_it_has_gained(waning: Waning, values: dict[str, float]) -> None:
    """What is left of it, added up by quadrature; slowing that stops leaves the course beside the untreated one."""

    def left(v: float) -> float:
        given = {name: jnp.asarray(value) for name, value in values.items()}
        return float(waning.left(jnp.full((1, 1), v), **given)[0, 0])

    ends = [value for name, value in values.items() if name == "until"]
    total = [integrate.quad(left, 0.0, t, points=[p for p in ends if p < t] or None, epsabs=1e-11)[0] for t in T]
    slope = bent(AddedSlope(effect=0.4, waning=waning), effect=0.4, **values)[:, 1]
    np.testing.assert_allclose(slope, 10.0 - 2.0 * T + 0.4 * np.array(total), atol=1e-7)
    slow = bent(Slowing(effect=0.3, waning=waning), curve, effect=0.3, **values)[:, 1]
    np.testing.assert_allclose(slow, np.asarray(curve(jnp.asarray(T - 0.3 * np.array(total)))), atol=1e-7)


def test_trial_entry_and_drift_of_care() -> None:
    entry = bent(TrialEntry(size=1.5, rate=3.0, half_life=1.0), size=1.5, rate=3.0, half_life=1.0)[:, 0] - (10 - 2 * T)
    np.testing.assert_allclose(entry, 1.5 * (1 - np.exp(-3 * T)) * 2.0**-T)
    only = bent(TrialEntry(size=1.5, by="treated"), size=1.5, rate=12.0)
    np.testing.assert_allclose(only[:, 0], 10 - 2 * T)
    drift = bent(CareDrift(yearly=0.1), yearly=0.1)
    np.testing.assert_allclose(drift[:, 1], 10 - 2 * T + 0.1 * (5 + T))


def test_a_mode_shifts_its_own_visits_alone() -> None:
    modes = jnp.zeros((2, 5, 2)).at[0].set(1.0).at[:, 2, 1].set(jnp.array([0.0, 1.0]))
    seen = replace(UNSEEN, levels={"mode": modes})
    change = CaptureMode(shifts=dist.Normal(jnp.zeros(1), 1.0).to_event(1))
    at_visits = np.asarray(change.course(line, seen.time, seen, shifts=jnp.array([3.0])))
    np.testing.assert_allclose(at_visits - np.asarray(line(TIME)), 3.0 * np.asarray(modes[1]))
    np.testing.assert_allclose(
        change.course(line, jnp.ones((1, 2)), seen, shifts=jnp.array([3.0])), line(jnp.ones((1, 2)))
    )
    with pytest.raises(ModelError, match="a value for each of 1 modes"):
        change.course(line, seen.time, seen, shifts=jnp.zeros(2))
    parameter = Parameter(0.0)
    order = {"mode": change, "treatment": Shift(effect=1.0)}
    with pytest.raises(ModelError, match="mode after all others"):
        ProgressionModel(outcomes={"y": Outcome(Linear(level=parameter, slope=parameter), Gaussian(sd=1.0), order)})


@cache
def trial() -> tuple[ProgressionModel, Records, dict[str, float]]:
    """A randomised trial of 120 patients: treatment spares 40 % of the decline, and both arms have a placebo effect."""
    spared = ProportionalDecline(effect=dist.Normal(0.0, 1.0))
    placebo = TrialEntry(size=dist.Normal(0.0, 2.0), rate=4.0)
    level = Parameter(dist.Normal(0.0, 50.0), subject=dist.HalfNormal(10.0))
    slope = Parameter(dist.Normal(0.0, 10.0), subject=dist.HalfNormal(5.0))
    outcome = Outcome(
        Linear(level=level, slope=slope), Gaussian(sd=dist.HalfNormal(5.0)), {"treatment": spared, "entry": placebo}
    )
    model = ProgressionModel(outcomes={"y": outcome}, correlation=None)
    truth = {"y_level": 40.0, "y_slope": -6.0, "y_level_sd": 5.0, "y_slope_sd": 1.5, "y_sd": 1.0}
    truth |= {"y_treatment_effect": 0.4, "y_entry_size": 2.0}
    n, times = 120, jnp.array([0.0, 0.25, 0.5, 1.0, 1.5, 2.0])[:, None]
    time = jnp.broadcast_to(times, (6, n))
    treated = jnp.asarray(np.arange(n) % 2, dtype=float)
    empty = Records(time, {"y": 0.0 * time}, {"y": jnp.ones((6, n), bool)}, {"treated": treated}, {})
    given = {name: jnp.asarray(value) for name, value in truth.items()}
    free = handlers.seed(handlers.substitute(handlers.uncondition(model), data=given), KEY)
    y = handlers.trace(free).get_trace(empty)["y"]["value"]
    return model, replace(empty, values={"y": y}), truth


@pytest.mark.slow
def test_a_trial_gives_its_truth_back() -> None:
    model, data, truth = trial()
    found = Laplace(objective="ml").maximise(Marginal(Hierarchy.of(model, data)), data, key=KEY).estimates
    for name, value in truth.items():
        assert abs(found["estimate"][name] - value) < 3.0 * found["se"][name], name
    assert found["se"]["y_treatment_effect"] < 0.1
