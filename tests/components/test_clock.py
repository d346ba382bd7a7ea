"""Clocks: what the cohort declares, and the latent time that no calendar shows, against its other forms."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from scipy.special import expit, logit

from dpm.cohort import Records
from dpm.components.clock import Clock, LatentTime, Since, StudyTime, classical_course, onset, pace
from dpm.components.correlation import LKJ
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.scalar import Scalar
from dpm.components.trajectory import Linear, LogisticGrowth, Trajectory
from dpm.errors import ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.types import Array

KEY = jax.random.key(17)
N = 40
LINE = Linear(level=Parameter(0.0), slope=Parameter(1.0))
NOISE = dist.HalfNormal(0.1)
SCALE = Parameter(dist.Normal(2.0, 1.0), link=jnp.exp)


@cache
def records() -> Records:
    """Visits over a few years of people of 45 to 75, whose putamen shrinks along a logistic course of their own."""
    rng = np.random.default_rng(8)
    age, risk = rng.uniform(45.0, 75.0, N), rng.normal(size=N)
    time = np.sort(rng.uniform(0.0, 8.0, (6, N)), axis=0)
    # log rate and midpoint as fitted to leaspy's synthetic putamen: -2.1 (sd .46), 57 years (sd 10), r .25.
    z = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.25], [0.25, 1.0]], N).T
    rate, midpoint = np.exp(-2.1 + 0.46 * z[0]), 57.0 + 4.0 * risk + 10.0 * z[1]
    values = expit(rate * (time + age - midpoint)) + 0.02 * rng.normal(size=time.shape)
    return Records(
        time=jnp.asarray(time),
        values={"putamen": jnp.asarray(values)},
        observed={"putamen": jnp.ones(time.shape, bool)},
        covariates={"risk": jnp.asarray(risk)},
        groups={},
        origins={"age": jnp.asarray(age), "calendar": jnp.asarray(2000.0 + age / 10.0)},
    )


def model_of(
    trajectory: Trajectory, clock: Clock, noise: Scalar = 0.1, correlation: LKJ | None = None
) -> ProgressionModel:
    return ProgressionModel(
        outcomes={"putamen": Outcome(trajectory, Gaussian(sd=noise))}, clock=clock, correlation=correlation
    )


# Clocks of the cohort -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("origin", "reference"), [("age", 60.0), ("calendar", 2005.0), ("age", 0.0)])
def test_a_declared_clock_runs_from_its_value_at_time_zero(origin: str, reference: float) -> None:
    data = records()
    line = Linear(level=Parameter(1.0), slope=Parameter(2.0))
    clock = Since(origin, reference=reference)
    trace = handlers.trace(
        handlers.seed(ProgressionModel(outcomes={"putamen": Outcome(line, Gaussian(sd=0.1))}, clock=clock), KEY)
    )
    expected = 1.0 + 2.0 * (data.time + data.origins[origin] - reference)
    np.testing.assert_allclose(trace.get_trace(data)["putamen_mean"]["value"], expected, rtol=1e-12)
    assert f"{reference:g}" in clock.equation or not reference
    np.testing.assert_array_equal(StudyTime().at(data.time, data), data.time)


@pytest.mark.parametrize(
    "clock", [Since("diagnosis"), LatentTime(onset=onset(1.0), pace=pace(0.2), origin="diagnosis")]
)
def test_a_clock_that_the_cohort_lacks_is_refused(clock: Any) -> None:
    model = ProgressionModel(
        outcomes={"putamen": Outcome(Linear(level=Parameter(0.0), slope=Parameter(1.0)), Gaussian(sd=1.0))}, clock=clock
    )
    with pytest.raises(ModelError) as refusal:
        Hierarchy.of(model, records())
    assert str(refusal.value) == (
        'clock: expected "diagnosis" among the cohort\'s clocks, got age, calendar.\n'
        "Declare it under clocks in the roles when the cohort is read."
    )


# Latent time ----------------------------------------------------------------------------------------------------------


def test_latent_time_is_its_equation() -> None:
    data = records()
    clock = LatentTime(onset=onset(10.0), pace=pace(0.5), origin="age", reference=57.0)
    late, fast = jnp.linspace(-10.0, 10.0, N), jnp.exp(jnp.linspace(-1.0, 1.0, N))
    expected = fast * (data.time + data.origins["age"] - 57.0 - late)
    np.testing.assert_allclose(clock.at(data.time, data, onset=late, pace=fast), expected, rtol=1e-12)


def test_the_typical_subject_runs_on_the_clock_itself() -> None:
    """`onset` and `pace` leave nothing typical to learn: with effects at zero, latent time is the clock."""
    data = records()
    clock = LatentTime(
        onset=onset(dist.HalfNormal(10.0)), pace=pace(dist.HalfNormal(1.0)), origin="age", reference=57.0
    )
    model = ProgressionModel(
        outcomes={"putamen": Outcome(Linear(level=Parameter(0.0), slope=Parameter(1.0)), Gaussian(sd=1.0))}, clock=clock
    )
    nobody = {"clock_onset_z": jnp.zeros(N), "clock_pace_z": jnp.zeros(N)}
    trace = handlers.trace(handlers.seed(handlers.substitute(model, data=nobody), KEY)).get_trace(data)
    assert {name for name in trace if name.startswith("clock")} == {
        "clock_onset_sd",
        "clock_pace_sd",
        "clock_onset_z",
        "clock_pace_z",
    }
    np.testing.assert_allclose(trace["putamen_mean"]["value"], data.time + data.origins["age"] - 57.0, rtol=1e-12)


def test_the_quantities_of_schiratti_and_leaspy() -> None:
    r"""Latent time in its classical form, $\{1 + g e^{-v_0 e^{\xi_i}(t - \tau_i) (1+g)^2 / g}\}^{-1}$."""
    data = records()
    clock = LatentTime(onset=onset(10.0), pace=pace(0.5), origin="age", reference=57.0)
    rng = np.random.default_rng(1)
    late, fast = jnp.asarray(rng.normal(0.0, 10.0, N)), jnp.asarray(np.exp(rng.normal(0.0, 0.5, N)))
    values: dict[str, Array | float] = {"asymptote": 1.0, "midpoint": 6.0, "scale": 5.0}
    course = LogisticGrowth(asymptote=Parameter(1.0), midpoint=Parameter(6.0), scale=Parameter(5.0))
    tau, xi = clock.classical(onset=late, pace=fast)
    p0, v0 = classical_course(course, **values)
    g = 1.0 / p0 - 1.0
    age = data.time + data.origins["age"]
    theirs = 1.0 / (1.0 + g * jnp.exp(-v0 * (1.0 + g) ** 2 / g * jnp.exp(xi) * (age - tau)))
    ours = course.curve(clock.at(data.time, data, onset=late, pace=fast), **values)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert float(logit(p0)) == pytest.approx(-6.0 / 5.0)
    assert float(v0) == pytest.approx(float(p0 * (1.0 - p0)) / 5.0)


# The midpoint form ----------------------------------------------------------------------------------------------------


def midpoint_form() -> ProgressionModel:
    """Every subject a logistic of its own: $y = \\sigma\\{e^{k_i}(t - m_i)\\}$."""
    logistic = LogisticGrowth(
        asymptote=Parameter(1.0),
        midpoint=Parameter(dist.Normal(57.0, 10.0), subject=dist.HalfNormal(10.0)),
        scale=Parameter(dist.Normal(2.0, 1.0), subject=dist.HalfNormal(1.0), link=jnp.exp),
    )
    return model_of(logistic, Since("age"), NOISE, LKJ(1.0))


def latent_form() -> ProgressionModel:
    """One logistic, fixed at zero of a latent time whose typical onset is learned."""
    logistic = LogisticGrowth(
        asymptote=Parameter(1.0), midpoint=Parameter(0.0), scale=Parameter(dist.Normal(2.0, 1.0), link=jnp.exp)
    )
    clock = LatentTime(
        onset=onset(dist.HalfNormal(10.0), typical=dist.Normal(57.0, 10.0)),
        pace=pace(dist.HalfNormal(1.0)),
        origin="age",
    )
    outcomes = {"putamen": Outcome(logistic, Gaussian(sd=dist.HalfNormal(0.1)))}
    return ProgressionModel(outcomes=outcomes, clock=clock, correlation=LKJ(1.0))


def log_likelihood(model: ProgressionModel, **values: Any) -> np.ndarray:
    split = Hierarchy.of(model, records())
    vector = split.unconstrain({name: jnp.asarray(value) for name, value in values.items()})
    each, modes = jax.jit(Marginal(split).log_marginal)(vector, records())
    assert bool(modes.converged.all())
    return np.asarray(each)


def test_latent_time_is_the_midpoint_form_of_the_logistic() -> None:
    r"""$k_i = k + \log\alpha_i$ and $m_i = \delta_i$: typical scale $e^{-k}$, the same spreads, $r$ of the other sign
    (a scale is the inverse of a rate). Subject by subject the same likelihood.
    """
    r = 0.25

    def cholesky(corr: float) -> np.ndarray:
        return np.linalg.cholesky(np.array([[1.0, corr], [corr, 1.0]]))

    by_midpoint = log_likelihood(
        midpoint_form(),
        putamen_midpoint=57.0,
        putamen_midpoint_sd=10.0,
        putamen_scale=2.1,
        putamen_scale_sd=0.46,
        subject_correlation_cholesky=cholesky(-r),
        putamen_sd=0.02,
    )
    by_latent_time = log_likelihood(
        latent_form(),
        clock_onset=57.0,
        clock_onset_sd=10.0,
        clock_pace_sd=0.46,
        putamen_scale=2.1,
        subject_correlation_cholesky=cholesky(r),
        putamen_sd=0.02,
    )
    np.testing.assert_allclose(by_latent_time, by_midpoint, atol=1e-8)
    assert by_midpoint.sum() > 300.0


@pytest.mark.slow
def test_effects_on_onset_and_pace_are_recovered() -> None:
    """A later midpoint by 4 years per unit of risk, and no other pace."""
    logistic = LogisticGrowth(
        asymptote=Parameter(1.0),
        midpoint=Parameter(dist.Normal(0.0, 10.0)),
        scale=Parameter(dist.Normal(2.0, 1.0), link=jnp.exp),
    )
    clock = LatentTime(
        onset=onset(dist.HalfNormal(10.0), effects={"risk": dist.Normal(0.0, 10.0)}),
        pace=pace(dist.HalfNormal(1.0), effects={"risk": dist.Normal(0.0, 1.0)}),
        origin="age",
        reference=57.0,
    )
    model = model_of(logistic, clock, NOISE, LKJ(2.0))
    found = Laplace().maximise(Marginal(Hierarchy.of(model, records())), records(), key=KEY).estimates
    for site, truth in {
        "clock_onset_risk": 4.0,
        "clock_pace_risk": 0.0,
        "clock_pace_sd": 0.46,
        "clock_onset_sd": 10.0,
    }.items():
        assert abs(found["estimate"][site] - truth) < 3.0 * found["se"][site], site
    assert found["se"]["clock_onset_risk"] < 2.5
