"""Every course: defined with derivatives everywhere, at its stated limits, and a solution of its equation."""

from dataclasses import fields
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.interpolate import BSpline

from dpm.components.dynamics import Dynamics
from dpm.components.growth import ExponentialApproach, ExponentialGrowth, Gompertz, Power, Richards
from dpm.components.parameter import Parameter
from dpm.components.piecewise import ChangePoint, DevelopmentAndDecline, PiecewiseLinear
from dpm.components.sigmoid import LogisticDecline, LogisticRise, LogitLinear, PeakedScore, RiseAndFall, SigmoidEmax
from dpm.components.smooth import GaussianProcess, MonotoneSpline, PenalisedSpline, Smooth, cubic, cubic_integral
from dpm.components.trajectory import Constant, Linear, LogisticGrowth, Trajectory
from dpm.errors import ModelError
from dpm.types import Array

P = Parameter(0.0)
CASES: dict[str, tuple[Trajectory, dict[str, float]]] = {
    "constant": (Constant(level=P), {"level": 3.0}),
    "linear": (Linear(level=P, slope=P), {"level": 3.0, "slope": -0.5}),
    "logistic growth": (
        LogisticGrowth(asymptote=P, midpoint=P, scale=P),
        {"asymptote": 5.0, "midpoint": 2.0, "scale": 0.5},
    ),
    "approach": (
        ExponentialApproach(level=P, asymptote=P, rate=P),
        {"level": 1.0, "asymptote": 4.0, "rate": 0.7},
    ),
    "exponential": (ExponentialGrowth(level=P, rate=P), {"level": 1.0, "rate": 0.3}),
    "power": (Power(level=P, change=P, exponent=P), {"level": 1.0, "change": 2.0, "exponent": 0.7}),
    "gompertz": (Gompertz(asymptote=P, midpoint=P, rate=P), {"asymptote": 4.0, "midpoint": 1.0, "rate": 0.8}),
    "richards": (
        Richards(level=P, rate=P, asymptote=70.0, shape=P, origin=0.0),
        {"level": 22.2, "rate": 0.153, "asymptote": 70.0, "shape": 6.91, "origin": 0.0},
    ),
    "piecewise": (
        PiecewiseLinear(level=P, slope=P, changes=(P, P), knots=(1.0, 2.0)),
        {"level": 1.0, "slope": 0.5, "change_1": -1.0, "change_2": 2.0},
    ),
    "change point": (
        ChangePoint(level=P, before=P, after=P, change=P, width=0.1),
        {"level": 5.0, "before": 0.2, "after": -1.0, "change": 3.0, "width": 0.1},
    ),
    "development": (
        DevelopmentAndDecline(start=P, gain=P, reserve=P, loss=P, width=5.0),
        {"start": 270.0, "gain": 19.6, "reserve": 1298.0, "loss": 84.9, "width": 5.0},
    ),
    "decline": (
        LogisticDecline(ceiling=48.0, floor=0.0, midpoint=P, rate=P),
        {"ceiling": 48.0, "floor": 0.0, "midpoint": 3.0, "rate": 1.2},
    ),
    "rise": (
        LogisticRise(floor=0.0, ceiling=1.0, midpoint=P, rate=P),
        {"floor": 0.0, "ceiling": 1.0, "midpoint": 3.0, "rate": 1.2},
    ),
    "logit line": (
        LogitLinear(floor=0.0, ceiling=70.0, level=P, slope=P),
        {"floor": 0.0, "ceiling": 70.0, "level": -0.77, "slope": 0.25},
    ),
    "peak": (
        PeakedScore(floor=0.0, ceiling=34.0, peak=P, peak_time=P, gain=P, loss=P),
        {
            "floor": 0.0,
            "ceiling": 34.0,
            "peak": 1.2,
            "peak_time": 6.5,
            "gain": 0.5,
            "loss": 0.3,
            "width": 1.0,
        },
    ),
    "emax": (
        SigmoidEmax(baseline=P, maximum=P, half_time=P, steepness=P),
        {"baseline": 99.7, "maximum": -40.0, "half_time": 8.38, "steepness": 3.08},
    ),
    "rise and fall": (
        RiseAndFall(floor=0.0, height=P, rise=P, rise_rate=P, fall=P, fall_rate=P),
        {"floor": 0.0, "height": 30.0, "rise": 2.0, "rise_rate": 1.0, "fall": 9.0, "fall_rate": 0.8},
    ),
}
SHAPED = {
    "penalised": PenalisedSpline(level=P, slope=P, spread=1.0, between=(-1.0, 5.0), pieces=6),
    "monotone": MonotoneSpline(level=P, rise=P, between=(-1.0, 5.0), pieces=6),
    "process": GaussianProcess(level=P, slope=P, amplitude=1.0, length=2.0, between=(-1.0, 5.0)),
}
WIDE = jnp.asarray([-100.0, -10.0, -1.0, 0.0, 1e-3, 0.5, 1.0, 2.0, 3.0, 10.0, 100.0])


def at(name: str, time: Any, **changed: float) -> np.ndarray:
    course, values = CASES[name]
    each = {key: jnp.asarray([value]) for key, value in {**values, **changed}.items()}
    return np.asarray(course.curve(jnp.asarray(time, dtype=float)[:, None], **each))[:, 0]


def test_every_course_has_its_case() -> None:
    own = {kind for kind in Trajectory.__subclasses__() if kind.__module__.startswith("dpm.")} - {Dynamics, Smooth}
    assert own == {type(course) for course, _ in CASES.values()}
    for course, values in CASES.values():
        kind = type(course)
        assert course.equation
        assert all(item.name in (kind.__doc__ or "") for item in fields(course))
        assert {*course.parameters(), *course.scalars()} == set(values)


@pytest.mark.parametrize("name", CASES)
def test_value_slope_and_curvature_are_finite_at_any_time(name: str) -> None:
    """In every value, which are moved by up to a third, over two centuries: what the kernel takes derivatives of."""
    course, values = CASES[name]
    moved = {key: value * jnp.linspace(0.7, 1.3, 5) for key, value in values.items()}

    time = jnp.broadcast_to(WIDE[:, None], (len(WIDE), 5))

    def total(each: dict[str, Array]) -> Array:
        return jnp.sum(jnp.tanh(1e-3 * course.curve(time, **each)))

    value = course.curve(time, **moved)
    slope = jax.jit(jax.grad(total))(moved)
    bend = jax.jit(jax.grad(lambda each: sum(jnp.sum(leaf) for leaf in jax.grad(total)(each).values())))(moved)
    assert value.shape == (len(WIDE), 5)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree_util.tree_leaves((value, slope, bend)))


# Shapes that are learned ----------------------------------------------------------------------------------------------


def shaped(name: str, time: np.ndarray, shape: Array, **values: float) -> np.ndarray:
    course = jax.jit(lambda t, z: SHAPED[name].curve(t, shape=z, **values))
    return np.asarray(course(jnp.asarray(time)[:, None], shape))[:, 0]


def test_every_shape_has_its_case() -> None:
    assert {type(course) for course in SHAPED.values()} == set(Smooth.__subclasses__())
    with pytest.raises(ModelError, match="between: expected an earlier and a later time"):
        MonotoneSpline(level=P, rise=P, between=(2.0, 2.0))


def test_the_basis_is_that_of_scipy() -> None:
    t = np.linspace(-3.0, 3.0, 61)
    known = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    np.testing.assert_allclose(cubic(jnp.asarray(t)), np.nan_to_num(known(t)), atol=1e-14)
    whole = [known.integrate(-2.0, float(np.clip(each, -2.0, 2.0))) for each in t]
    np.testing.assert_allclose(cubic_integral(jnp.asarray(t)), whole, atol=1e-14)


def test_a_penalised_spline_is_a_line_and_penalised_differences() -> None:
    """No spread leaves the line; a weight is a second difference; the course and its slope go on straight outside."""
    course, weights = SHAPED["penalised"], jnp.asarray([0.3, -1.0, 0.5, 0.8, -0.2, 0.4, -0.6])
    assert isinstance(course, PenalisedSpline)
    assert np.diff(course._departures @ weights, n=2) == pytest.approx(np.asarray(weights))
    t = np.linspace(-3.0, 8.0, 45)
    np.testing.assert_allclose(shaped("penalised", t, weights, level=1.0, slope=2.0, spread=0.0), 1.0 + 2.0 * t)
    found = shaped("penalised", t, weights, level=0.0, slope=0.0, spread=1.0)
    knots = np.arange(-4.0, 9.0)
    known = BSpline(knots, course._departures @ weights, 3)
    inside = (t >= -1.0) & (t <= 5.0)
    np.testing.assert_allclose(found[inside], known(t[inside]), atol=1e-12)
    np.testing.assert_allclose(found[t > 5.0], known(5.0) + known(5.0, nu=1) * (t[t > 5.0] - 5.0), atol=1e-12)
    np.testing.assert_allclose(found[t < -1.0], known(-1.0) + known(-1.0, nu=1) * (t[t < -1.0] + 1.0), atol=1e-12)


def test_a_monotone_spline_never_turns_back() -> None:
    t = np.linspace(-3.0, 8.0, 200)
    shape = SHAPED["monotone"].scalars()["shape"]
    assert isinstance(shape, dist.Distribution)
    for weights in shape.sample(jax.random.key(1), (5,)):
        course = shaped("monotone", t, weights, level=2.0, rise=-3.0)
        assert (np.diff(course) <= 1e-12).all()
        assert course[[0, -1]].tolist() == pytest.approx([2.0, -1.0])
        inside = course[(t > -1.0) & (t < 5.0)]
        assert (np.diff(inside) < 0.0).all()


def test_a_gaussian_process_has_its_covariance() -> None:
    """Of the approximation, exactly that of its kernel where it is good: length a third of the interval."""
    t = np.linspace(-1.0, 5.0, 13)
    columns = [shaped("process", t, row, level=0.0, slope=0.0, amplitude=1.5, length=2.0) for row in jnp.eye(30)]
    known = 1.5**2 * np.exp(-0.5 * ((t[:, None] - t) / 2.0) ** 2)
    inner = slice(3, 10)
    found = np.stack(columns, axis=1) @ np.stack(columns)
    np.testing.assert_allclose(found[inner, inner], known[inner, inner], atol=0.02)
    line = shaped("process", t, jnp.zeros(30), level=1.0, slope=2.0, amplitude=1.5, length=2.0)
    np.testing.assert_allclose(line, 1.0 + 2.0 * t)


@pytest.mark.parametrize("name", SHAPED)
def test_shapes_have_derivatives_at_any_time(name: str) -> None:
    course = SHAPED[name]
    shape = course.scalars()["shape"]
    assert isinstance(shape, dist.Distribution)
    own = {key: jnp.full(3, 0.7) for key in course.parameters()}
    own |= {key: jnp.asarray(value) for key, value in course.scalars().items() if isinstance(value, float)}
    own["shape"] = shape.sample(jax.random.key(2))

    def total(time: Array, each: dict[str, Array]) -> Array:
        return jnp.sum(jnp.tanh(course.curve(time, **each)))

    time = jnp.broadcast_to(WIDE[:, None], (len(WIDE), 3))
    slopes = jax.grad(total, (0, 1))
    found = jax.jit(jax.grad(lambda *at: sum(jnp.sum(x) for x in jax.tree_util.tree_leaves(slopes(*at))), (0, 1)))(
        time, own
    )
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree_util.tree_leaves(found))


# Closed forms ---------------------------------------------------------------------------------------------------------


def slope_of(name: str, time: np.ndarray) -> np.ndarray:
    return (at(name, time + 1e-5) - at(name, time - 1e-5)) / 2e-5


def test_growth_solves_its_equation() -> None:
    t = np.linspace(-2.0, 6.0, 9)
    gompertz = at("gompertz", t)
    np.testing.assert_allclose(slope_of("gompertz", t), 0.8 * gompertz * np.log(4.0 / gompertz), rtol=1e-6, atol=1e-12)
    x = at("richards", t) / 70.0
    np.testing.assert_allclose(slope_of("richards", t) / 70.0, 0.153 * x * (1 - x**6.91), rtol=1e-6)
    assert at("richards", [0.0])[0] == pytest.approx(22.2, rel=1e-12)
    approach = at("approach", t)
    np.testing.assert_allclose(slope_of("approach", t), 0.7 * (4.0 - approach), rtol=1e-6)
    np.testing.assert_allclose(slope_of("exponential", t), 0.3 * at("exponential", t), rtol=1e-6)


def test_limits() -> None:
    assert at("approach", [0.0, 100.0]).tolist() == pytest.approx([1.0, 4.0])
    assert at("power", [-5.0, 0.0, 1.0]).tolist() == pytest.approx([1.0, 1.0, 3.0])
    assert at("gompertz", [-100.0, 1.0, 100.0]).tolist() == pytest.approx([0.0, 4.0 / np.e, 4.0])
    assert at("richards", [-100.0, 100.0]).tolist() == pytest.approx([0.0, 70.0], abs=1e-4)
    assert at("decline", [-100.0, 3.0, 100.0]).tolist() == pytest.approx([48.0, 24.0, 0.0])
    assert at("rise", [-100.0, 3.0, 100.0]).tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert at("logit line", [-200.0, 3.08, 200.0]).tolist() == pytest.approx([0.0, 35.0, 70.0])
    assert at("logit line", [0.0])[0] == pytest.approx(70.0 / (1.0 + np.exp(0.77)), rel=1e-12)
    assert at("peak", [-200.0, 6.5, 200.0]).tolist() == pytest.approx([0.0, 34.0 / (1.0 + np.exp(-1.2)), 0.0])
    assert at("emax", [-5.0, 0.0, 8.38, 1e5]).tolist() == pytest.approx([99.7, 99.7, 79.7, 59.7])
    assert at("rise and fall", [-100.0, 2.0, 100.0]).tolist() == pytest.approx([0.0, 15.0, 0.0], abs=0.1)
    assert at("richards", [1.0, 3.0], shape=1.0).tolist() == pytest.approx(
        (70.0 / (1.0 + (70.0 / 22.2 - 1.0) * np.exp(-0.153 * np.array([1.0, 3.0])))).tolist()
    )


def test_a_peak_is_where_it_is_said_to_be() -> None:
    """Nothing lies above it; the logit rises by the gain before it, falls by the loss after it; two lines if sharp."""
    time = np.linspace(0.0, 20.0, 2001)
    for width in (1.0, 0.1):
        course = at("peak", time, width=width)
        assert time[course.argmax()] == pytest.approx(6.5)
        assert course.max() == pytest.approx(34.0 / (1.0 + np.exp(-1.2)), rel=1e-9)
        far = at("peak", [-21.0, -20.0, 20.0, 21.0], width=width)
        logit = np.log(far / (34.0 - far))
        assert [logit[1] - logit[0], logit[3] - logit[2]] == pytest.approx([0.5, -0.3], abs=1e-5)
    sharp = at("peak", time, width=1e-4)
    lines = 1.2 + np.minimum(0.5 * (time - 6.5), -0.3 * (time - 6.5))
    np.testing.assert_allclose(sharp, 34.0 / (1.0 + np.exp(-lines)), atol=1e-3)


def test_straight_pieces() -> None:
    assert at("piecewise", [0.0, 1.0, 2.0, 3.0]).tolist() == pytest.approx([1.0, 1.5, 1.0, 2.5])
    far = at("change point", [0.0, 3.0, 6.0])
    assert far.tolist() == pytest.approx([5.0 - 0.6, 5.0 - 1.2 * 0.1 * np.log(2.0), 2.0], abs=1e-9)
    ages = np.array([5.0, 9.837, 12.0, 14.0])
    sharp = at("development", ages, width=1e-3)
    np.testing.assert_allclose(sharp, np.minimum(270 + 19.6 * ages, 1298 - 84.9 * ages), atol=1e-3)
    assert (at("development", ages) < sharp + 1e-9).all()
    with pytest.raises(ModelError, match="knots that increase"):
        PiecewiseLinear(level=P, slope=P, changes=(P, P), knots=(2.0, 1.0))
    with pytest.raises(ModelError, match="one change of slope for each knot"):
        PiecewiseLinear(level=P, slope=P, changes=(P,), knots=(1.0, 2.0))
