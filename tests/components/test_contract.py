"""One contract for every trajectory, noise and form of a parameter, written by dpm or by a modeller.

A density that is finite at draws from the prior, with a finite gradient; the same compiled or not; a subject that does
not depend on who else is in the batch; and, per component, the limits its docstring states.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.cohort import Records
from dpm.components.correlation import LKJ
from dpm.components.covariate_effect import Factor, Horseshoe, Spline
from dpm.components.grouping import Drift
from dpm.components.outcome import Gaussian, Noise, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear, LogisticGrowth, Trajectory
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array, Key

N, VISITS, DRAWS = 5, 4, 100
LEVEL = Parameter(dist.Normal(1.0, 1.0), subject=dist.HalfNormal(1.0))
POSITIVE = Parameter(dist.Normal(0.0, 0.5), subject=dist.HalfNormal(0.5), link=jnp.exp)
GAUSSIAN = Gaussian(sd=dist.HalfNormal(1.0))

TRAJECTORIES: dict[type[Trajectory], Trajectory] = {
    Linear: Linear(level=LEVEL, slope=LEVEL),
    LogisticGrowth: LogisticGrowth(asymptote=LEVEL, midpoint=LEVEL, scale=POSITIVE),
}
NOISES: dict[type[Noise], Noise] = {Gaussian: GAUSSIAN}
PARAMETERS = {
    "typical": Parameter(dist.Normal(0.0, 1.0)),
    "fixed": Parameter(0.3),
    "spread": LEVEL,
    "fixed spread": Parameter(dist.Normal(0.0, 1.0), subject=0.5),
    "effects": Parameter(dist.Normal(0.0, 1.0), effects={"age": dist.Normal(0.0, 1.0), "female": 0.4}),
    "groups": Parameter(dist.Normal(0.0, 1.0), groups={"stage": dist.HalfNormal(1.0)}),
    "link": POSITIVE,
    "everything": Parameter(
        dist.Normal(0.0, 0.5),
        subject=dist.HalfNormal(0.5),
        effects={"age": dist.Normal(0.0, 0.5)},
        groups={"stage": dist.HalfNormal(0.5), "site": 0.2},
        link=jnp.exp,
    ),
    "other effects": Parameter(
        dist.Normal(0.0, 1.0),
        effects={
            "age": Spline(coefficient=dist.Normal(0.0, 1.0), knots=(-1.0, 0.0, 1.0)),
            "age:female": dist.Normal(0.0, 1.0),
            "site": Factor(coefficient=dist.Normal(0.0, 1.0)),
        },
        groups={"stage": Drift(step=dist.HalfNormal(0.5), direction="down")},
        horseshoe=Horseshoe(covariates=("age", "female"), scale=0.1, slab=1.0),
    ),
}


def records() -> Records:
    """Five subjects, four visits of which some were missed, two covariates, two groupings."""
    rng = np.random.default_rng(5)
    observed = rng.uniform(size=(VISITS, N)) < 0.8
    observed[0] = True
    return Records(
        time=jnp.asarray(np.sort(rng.uniform(0.0, 5.0, (VISITS, N)), axis=0)),
        values={"y": jnp.asarray(rng.normal(size=(VISITS, N)) * observed)},
        observed={"y": jnp.asarray(observed)},
        covariates={"age": jnp.asarray(rng.normal(size=N)), "female": jnp.asarray([1.0, 0.0, 1.0, 1.0, 0.0])},
        groups={"stage": jnp.eye(3)[:, np.array([0, 1, 2, 1, 0])], "site": jnp.eye(2)[:, np.array([0, 1, 1, 1, 0])]},
    )


def model_of(trajectory: Trajectory, noise: Noise = GAUSSIAN, correlation: LKJ | None = None) -> ProgressionModel:
    return ProgressionModel(outcomes={"y": Outcome(trajectory, noise)}, correlation=correlation)


MODELS = {
    **{kind.__name__: model_of(trajectory) for kind, trajectory in TRAJECTORIES.items()},
    **{kind.__name__: model_of(TRAJECTORIES[Linear], noise) for kind, noise in NOISES.items()},
    **{name: model_of(Linear(level=parameter, slope=LEVEL)) for name, parameter in PARAMETERS.items()},
    "correlated": model_of(TRAJECTORIES[LogisticGrowth], correlation=LKJ(2.0)),
    "fixed noise": model_of(TRAJECTORIES[Linear], Gaussian(sd=0.7)),
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A model's density, and points drawn from its prior."""

    hierarchy: Hierarchy
    points: tuple[Array, Array]

    def joint(self, vector: Array, effects: Array, data: Records) -> Array:
        return jnp.sum(self.each(vector, effects, data)) + self.hierarchy.log_population(vector, data, prior=True)

    def each(self, vector: Array, effects: Array, data: Records) -> Array:
        return self.hierarchy.log_subject(self.hierarchy.constrain(vector), effects, data)


@cache
def drawn(name: str) -> Drawn:
    split, data = Hierarchy.of(MODELS[name], records()), records()

    def draw(key: Key) -> tuple[Array, Array]:
        with handlers.block():
            trace = handlers.trace(handlers.seed(MODELS[name], key)).get_trace(data)
        values = {site: message["value"] for site, message in trace.items() if message["type"] == "sample"}
        return split.unconstrain(values), split.unconstrain_effects(values)

    return Drawn(split, jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), DRAWS)))


@pytest.mark.parametrize("name", MODELS)
def test_finite_with_a_finite_gradient_at_prior_draws(name: str) -> None:
    case, data = drawn(name), records()
    value, slopes = jax.jit(jax.vmap(lambda v, b: jax.value_and_grad(case.joint, (0, 1))(v, b, data)))(*case.points)
    assert value.shape == (DRAWS,)
    assert bool(jnp.isfinite(value).all())
    assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)


def test_the_same_compiled_or_not() -> None:
    case, data = drawn("everything"), records()
    vector, effects = (points[0] for points in case.points)
    plain, compiled = case.each(vector, effects, data), jax.jit(case.each)(vector, effects, data)
    np.testing.assert_allclose(plain, compiled, rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_subject_alone_is_that_subject_in_a_batch(name: str) -> None:
    case, data = drawn(name), records()
    vector, effects = (points[1] for points in case.points)
    together = case.each(vector, effects, data)
    for subject in (0, 3):
        one = np.array([subject])
        alone = case.each(vector, effects[:, one], data.take(one))
        np.testing.assert_allclose(alone, together[one], rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_unobserved_visits_do_not_matter(name: str) -> None:
    """What stands where nothing was measured, in value or in time, changes nothing."""
    case, data = drawn(name), records()
    vector, effects = (points[2] for points in case.points)
    gaps = ~data.observed["y"]
    other = Records(
        time=jnp.where(gaps, 99.0, data.time),
        values={"y": jnp.where(gaps, -1e3, data.values["y"])},
        observed=data.observed,
        covariates=data.covariates,
        groups=data.groups,
    )
    np.testing.assert_array_equal(case.each(vector, effects, data), case.each(vector, effects, other))


# Stated limits --------------------------------------------------------------------------------------------------------


def curve(kind: type[Trajectory], time: list[float], **values: float) -> Array:
    each: dict[str, Any] = {name: jnp.array([value]) for name, value in values.items()}
    return TRAJECTORIES[kind].curve(jnp.asarray(time)[:, None], **each)[:, 0]


def test_linear() -> None:
    np.testing.assert_allclose(curve(Linear, [0.0, 1.0, 2.5], level=3.0, slope=-2.0), [3.0, 1.0, -2.0])


def test_logistic_growth() -> None:
    """Zero before, the asymptote after, half of it at the midpoint, and about 73 % one scale later."""
    values = {"asymptote": 5.0, "midpoint": 2.0, "scale": 0.5}
    found = curve(LogisticGrowth, [-1e3, 2.0, 2.5, 1e3], **values)
    np.testing.assert_allclose(found, [0.0, 2.5, 5.0 / (1.0 + np.exp(-1.0)), 5.0], atol=1e-12)
    assert found[2] / 5.0 == pytest.approx(0.73, abs=0.005)


def test_gaussian() -> None:
    """One object scores and simulates: the density integrates to one and has the moments of its draws."""
    mean, sd = 1.5, 0.7
    noise = GAUSSIAN.distribution(jnp.array([[mean]]), sd=jnp.asarray(sd))
    grid = jnp.linspace(-5.0, 8.0, 4001)
    density = jnp.exp(jax.vmap(lambda y: noise.log_prob(jnp.array([[y]])))(grid))[:, 0, 0]
    step = float(grid[1] - grid[0])
    assert float(density.sum()) * step == pytest.approx(1.0, abs=1e-9)
    assert float(density @ grid) * step == pytest.approx(mean, abs=1e-9)
    draws = np.asarray(noise.sample(jax.random.key(0), (20_000,)))
    assert draws.mean() == pytest.approx(mean, abs=4.5 * sd / np.sqrt(20_000))
    assert draws.std() == pytest.approx(sd, rel=4.5 / np.sqrt(40_000))
