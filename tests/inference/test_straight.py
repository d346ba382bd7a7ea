"""Effects that enter straight: which they are, and that their integral by formula is the integral."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal, norm

import dpm
from dpm.cohort import Records
from dpm.components.sigmoid import LogisticRise
from dpm.errors import InferenceError
from dpm.inference.accuracy import accuracy, described, finer
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Level, Marginal
from dpm.inference.straight import n_bent, straight
from dpm.inference.surface import Surface
from dpm.types import Array, Model, PerVisit

from .examples import each, evaluate, hierarchy, records
from .hand_written import counts

KEY = jax.random.key(3)


type Mean = Callable[[Array, PerVisit], PerVisit]


def course(mean: Mean, effects: int) -> Model:
    """A model of `score` with so many standard normal effects, of which `mean` makes a course."""

    def model(data: Records) -> None:
        typical = numpyro.sample("typical", dist.Normal(jnp.array([5.0, 1.0]), 1.0).to_event(1))
        sd = numpyro.sample("sd", dist.HalfNormal(1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            b = [numpyro.sample(f"effect_{k}", dist.Normal(0.0, 1.0)) for k in range(effects)]
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                values = numpyro.deterministic("score_mean", typical[0] + typical[1] * mean(jnp.stack(b), data.time))
                numpyro.sample("score", dist.Normal(values, sd).mask(data.observed["score"]), obs=data.values["score"])

    return model


def bend(b: Array, time: PerVisit) -> PerVisit:
    """An onset that bends; beside it a level, and a height whose part in the course depends on the onset."""
    rise = jnp.tanh(2.0 * (time - 1.0 - 0.7 * b[0]))
    return b[1] + (1.0 + 0.5 * b[2]) * rise


def clipped(b: Array, time: PerVisit) -> PerVisit:
    """Straight but where it leaves the scale."""
    return jnp.maximum(b[0] + 0.0 * time, 0.5)


COURSES: dict[str, tuple[Model, tuple[int, ...]]] = {
    "all straight": (course(lambda b, time: b[0] + b[1] * time, 2), (0, 1)),
    "an onset that bends": (course(bend, 3), (1, 2)),
    "a product": (course(lambda b, time: b[0] * b[1] * time, 2), (0,)),
    "bent first of a correlated pair": (course(lambda b, time: jnp.exp(b[0]) + (b[0] + 0.5 * b[1]) * time, 2), (1,)),
    "bent last of a correlated pair": (course(lambda b, time: b[0] * time + jnp.exp(b[0] + b[1]), 2), ()),
    "clipped": (course(clipped, 1), ()),
}


@pytest.mark.parametrize("name", COURSES)
def test_what_enters_straight_is_found(name: str) -> None:
    model, expected = COURSES[name]
    assert straight(Hierarchy.of(model, counts()), counts()) == expected


@pytest.mark.parametrize(("name", "expected"), [("orthodont", (0, 1)), ("poisson", ()), ("positive_effect", ())])
def test_of_the_models_of_other_tests(name: str, expected: tuple[int, ...]) -> None:
    assert straight(hierarchy(name), records(name)) == expected


def far_bend(b: Array, time: PerVisit) -> PerVisit:
    """A line to every digit unless `b` is below -10."""
    return jax.nn.softplus(3.0 * (b[0] + 20.0)) + 0.0 * time


def looped(b: Array, time: PerVisit) -> PerVisit:
    """A sum over visits by a loop, of which nothing is known."""

    def step(total: Array, row: Array) -> tuple[Array, Array]:
        return total + b[0] + jnp.sin(b[1]) * row, 2.0 * total

    return jax.lax.scan(step, jnp.zeros_like(b[0]), time)[1]


def of_cases(b: Array, time: PerVisit) -> PerVisit:
    """By time, not by effects, one line or another; and a branch."""
    late = jnp.where(time > 1.0, b[0] - b[1], b[0])
    return jax.lax.cond(time[0, 0] > 5.0, lambda: late, lambda: late + jnp.cos(b[1]))


@pytest.mark.parametrize(
    ("mean", "effects", "expected"),
    [
        (far_bend, 1, ()),
        (looped, 2, ()),
        (of_cases, 2, (0,)),
        (lambda b, time: jnp.where(b[0] > 0.0, b[1], b[2]) + 0.0 * time, 3, (1, 2)),
        (lambda b, time: jnp.concatenate([b[:1], b[1:] ** 2])[0] + b[1] / (1.0 + time), 2, (0, 1)),
        (lambda b, time: b[0] / b[1] + 0.0 * time, 2, (0,)),
        (lambda b, time: jnp.einsum("k,kn->n", jnp.array([1.0, 2.0]), b) + 0.0 * time, 2, (0, 1)),
        (lambda b, time: b[jnp.argmax(time[0])] + jnp.exp(b[0]), 2, (1,)),
        (lambda b, time: jnp.cumsum(b[0] + 0.0 * time, axis=0) + jnp.abs(b[1]), 2, (0,)),
        (lambda b, time: jax.jit(lambda x: -2.0 * x)(b[0]) + jnp.maximum(b[1], -50.0) + 0.0 * time, 2, (0,)),
        (lambda b, time: jax.lax.while_loop(lambda x: jnp.all(x < 9.0), lambda x: x + 1.0, b[0]) + b[1], 2, (1,)),
    ],
)
def test_it_is_read_off_the_operations(mean: Mean, effects: int, expected: tuple[int, ...]) -> None:
    assert straight(Hierarchy.of(course(mean, effects), counts()), counts()) == expected


def test_models_of_components() -> None:
    """A floor beside onset and pace; lines with correlated effects; a bend far from its prior; a spread by subject."""
    data = counts()

    def of(trajectory: dpm.Trajectory, **more: Any) -> tuple[int, ...]:
        outcome = dpm.Outcome(trajectory, dpm.Gaussian(sd=dist.HalfNormal(1.0)))
        return straight(Hierarchy.of(dpm.ProgressionModel(outcomes={"score": outcome}, **more), data), data)

    varying = dpm.Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0))
    positive = dpm.Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0), link=jnp.exp)
    assert of(dpm.Linear(level=varying, slope=varying)) == (0, 1)
    assert of(dpm.Linear(level=varying, slope=positive), correlation=None) == (0,)
    assert of(dpm.Linear(level=varying, slope=positive)) == ()  # the first effect is part of the slope's too
    clock = dpm.LatentTime(onset=dpm.onset(dist.HalfNormal(1.0)), pace=dpm.pace(dist.HalfNormal(0.3)))
    rise = LogisticRise(
        floor=varying, ceiling=1.0, midpoint=dpm.Parameter(dist.Normal(0.0, 1.0)), rate=dpm.Parameter(0.0)
    )
    assert of(rise, clock=clock) == (2,)
    late = dpm.Parameter(dist.Normal(20.0, 1.0), subject=dist.HalfNormal(1.0))
    bend = dpm.ChangePoint(level=varying, before=dpm.Parameter(0.0), after=dpm.Parameter(1.0), change=late, width=0.25)
    assert of(bend, correlation=None) == (0,)


BENDING = (5.5, 1.2), 0.6
"""Typical values and sd."""


@pytest.fixture(scope="module")
def bending() -> tuple[Hierarchy, Records, Array]:
    data = counts()
    split = Hierarchy.of(COURSES["an onset that bends"][0], data)
    return split, data, split.unconstrain({"typical": jnp.array(BENDING[0]), "sd": jnp.array(BENDING[1])})


def bending_columns(time: np.ndarray, b: float) -> tuple[np.ndarray | float, np.ndarray]:
    """What the level and the height of `bend` are multiplied by."""
    return 1.0, 0.5 * np.tanh(2.0 * (time - 1.0 - 0.7 * b))


def exactly(
    data: Records,
    typical: tuple[float, float],
    sd: float,
    columns: Callable[[np.ndarray, float], tuple[np.ndarray | float, np.ndarray]] = bending_columns,
    constant: float = 2.0,
) -> np.ndarray:
    r"""$\log p(y_i)$: two straight effects by the covariance of $y$, the bent one on a fine grid.

    `constant` times the second column is added to the mean.
    """
    bent, found = np.linspace(-8.0, 8.0, 2_001), []
    for subject in range(data.n_subjects):
        seen = np.asarray(data.observed["score"])[:, subject]
        time, y = (np.asarray(of)[seen, subject] for of in (data.time, data.values["score"]))
        log = []
        for b in bent:
            one, other = (np.broadcast_to(column, time.shape) for column in columns(time, b))
            spread = typical[1] ** 2 * (np.outer(one, one) + np.outer(other, other)) + sd**2 * np.eye(len(y))
            mean = typical[0] + typical[1] * constant * other
            log.append(multivariate_normal.logpdf(y, mean, spread, allow_singular=True) + norm.logpdf(b))
        found.append(np.log(trapezoid(np.exp(log), bent)))
    return np.array(found)


def test_the_formula_is_the_integral(bending: tuple[Hierarchy, Records, Array]) -> None:
    """Nodes for the onset alone come ever nearer to it, as near with 15 as 15 for each of the three effects."""
    split, data, at = bending
    nested = {n: Marginal.at(split, "quadrature", data, n_nodes=n) for n in (15, 61)}
    assert (nested[15].straight, nested[15].bent, len(nested[15].nodes)) == ((1, 2), (0,), 15)
    whole = Marginal(split).with_nodes("quadrature", 15)
    assert len(whole.nodes) == 15**3
    levels = {"Laplace": Marginal(split), "whole": whole, "15": nested[15], "61": nested[61]}
    exact = exactly(data, *BENDING)
    errors = {name: float(np.max(np.abs(each(level, at, data) - exact))) for name, level in levels.items()}
    assert errors["61"] < 1e-4
    assert errors["15"] < min(0.01, 1.2 * errors["whole"])
    assert errors["Laplace"] > 0.1


def test_points_by_chance_are_for_the_bent_effects_alone(bending: tuple[Hierarchy, Records, Array]) -> None:
    split, data, at = bending
    points = Marginal.at(split, "qmc", data, n_nodes=512, key=KEY)
    assert np.shape(points.nodes) == (512, 1)
    np.testing.assert_allclose(each(points, at, data), exactly(data, *BENDING), atol=0.03)


@pytest.mark.parametrize("level", ["quadrature", "qmc"])
def test_the_gradient_is_that_of_the_value(bending: tuple[Hierarchy, Records, Array], level: Level) -> None:
    split, data, at = bending
    prepared = Marginal.at(split, level, data, n_nodes={"quadrature": 5, "qmc": 16}[level], key=KEY)
    _, slope = evaluate(prepared, at, data)
    for k, move in enumerate(1e-3 * np.eye(at.size)):
        ahead, behind, far, back = (evaluate(prepared, at + c * move, data)[0] for c in (1.0, -1.0, 2.0, -2.0))
        numerical = (8.0 * (ahead - behind) - (far - back)) / 12e-3
        assert slope[k] == pytest.approx(numerical, rel=1e-6, abs=1e-7 * np.abs(slope).max())


def test_all_straight_is_one_node_and_laplace() -> None:
    split, data = hierarchy("orthodont"), records("orthodont")
    coarse = Marginal(split)
    fine = finer(coarse, data, key=KEY)
    assert (fine.is_exact, fine.nodes, described(fine)) == (True, ((),), "exact")
    at = split.prior_centre()
    np.testing.assert_allclose(each(fine, at, data), each(coarse, at, data), rtol=1e-12)
    vectors = at + 0.01 * jax.random.normal(KEY, (40, at.size))
    found = accuracy(coarse, data, vectors, np.zeros((2, data.n_subjects)), key=KEY)
    assert found.shift < 1e-9
    assert found.reliable


@pytest.mark.parametrize(("level", "n_nodes"), [("quadrature", 9), ("quadrature", 91), ("qmc", 512)])
def test_nodes_far_out_weigh_nothing(level: Level, n_nodes: int) -> None:
    """Where a course is huge the maximum over straight effects is a difference of huge numbers."""
    model, data = course(lambda b, time: b[0] + b[1] * jnp.exp(2.0 * b[2] * time), 3), counts()
    split = Hierarchy.of(model, data)
    at = split.unconstrain({"typical": jnp.array(BENDING[0]), "sd": jnp.array(BENDING[1])})
    found = Marginal.at(split, level, data, n_nodes=n_nodes, key=KEY)
    assert found.straight == (0, 1)
    exact = exactly(data, *BENDING, lambda time, b: (1.0, np.exp(2.0 * b * time)), constant=0.0)
    np.testing.assert_allclose(each(found, at, data), exact, atol={9: 0.15, 91: 1e-4, 512: 0.05}[n_nodes])
    value, slope = evaluate(found, at, data)
    assert np.isfinite(value) and np.all(np.isfinite(slope))


def test_impossible_places_weigh_nothing() -> None:
    """A limit of a bent effect, beyond which its density is zero, beside a straight one."""

    def model(data: Records) -> None:
        typical = numpyro.sample("typical", dist.Normal(5.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            level, other = (numpyro.sample(name, dist.Normal(0.0, 1.0)) for name in ("level", "other"))
            numpyro.factor("limit", jnp.where(other > 2.0, -jnp.inf, 0.3 * jnp.cos(other)))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                mean = numpyro.deterministic("score_mean", typical + level + 0.0 * data.time)
                numpyro.sample("score", dist.Normal(mean, 0.6).mask(data.observed["score"]), obs=data.values["score"])

    data = counts()
    split = Hierarchy.of(model, data)
    at = split.prior_centre()
    nested = Marginal.at(split, "quadrature", data, n_nodes=31)
    assert nested.straight == (0,)
    np.testing.assert_allclose(
        each(nested, at, data), each(Marginal(split).with_nodes("quadrature", 31), at, data), atol=1e-8
    )
    _, slope = evaluate(nested, at, data)
    assert np.all(np.isfinite(slope))


def test_quadrature_counts_the_effects_that_bend() -> None:
    """Four levels beside an onset are one effect for quadrature; five onsets are too many."""
    one = course(lambda b, time: jnp.tanh(time - b[0]) + b[1] + b[2] * time + b[3] * time**2 + b[4] * time**3, 5)
    many = course(lambda b, time: jnp.sum(jnp.tanh(time - b[:, None, :]), axis=0), 5)
    data = counts()
    split = Hierarchy.of(one, data)
    assert n_bent(split, data) == 1
    found = Marginal.at(split, "quadrature", data, n_nodes=7)
    assert len(found.nodes) == 7
    assert finer(Marginal(split), data, key=KEY).bent == (0,)
    assert n_bent(Hierarchy.of(many, data), data) == 5
    with pytest.raises(InferenceError, match="of those that do not enter linearly, got 5"):
        Marginal.at(Hierarchy.of(many, data), "quadrature", data)


def test_a_maximum_by_quadrature_of_five_effects() -> None:
    """Four of them straight: the maximum by 9 nodes is that by 25, and Laplace's another."""
    model = course(lambda b, time: jnp.tanh(2.0 * (time - 1.0 - b[0])) + b[1] + 0.3 * b[2] * time, 3)
    data = counts()
    split, method = Hierarchy.of(model, data), Laplace(objective="map")
    coarse, few, many = (
        method.maximise(level, data, key=KEY).vector
        for level in (Marginal(split), *(Marginal.at(split, "quadrature", data, n_nodes=n) for n in (15, 41)))
    )
    assert np.abs(few - many).max() < 0.1 * np.abs(coarse - many).max()


def test_surface_and_chunks_know_straight_effects(bending: tuple[Hierarchy, Records, Array]) -> None:
    split, data, at = bending
    prepared = Marginal.at(split, "quadrature", data, n_nodes=9)
    total = Surface(prepared, data, prior=False).totals(at[None])
    assert total[0] == pytest.approx(float(jnp.sum(each(prepared, at, data))), rel=1e-12)
