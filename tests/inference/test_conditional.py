"""Modes: found where there is one, reported where there is none, and followed exactly by their implicit derivative."""

from dataclasses import replace

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.cohort.records import Records
from dpm.inference import blocks
from dpm.inference.conditional import CLOSE, Density, Modes, derivatives, find_modes, implicit_modes
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.types import Array, PerSubject

from .examples import each, hierarchy, marginal, records, vector
from .hand_written import squared_effect

START = jnp.zeros((1, 5))


def odd_subjects(effects: Array) -> PerSubject:
    """Subjects 1 to 4 have no mode to be found from zero; the first is an ordinary one."""
    b = effects[0]
    ordinary = -0.5 * (b[0] - 3.0) ** 2
    undefined = jnp.log(b[1] - 1.0)  # NaN at the start
    saddle = 0.5 * b[2] ** 2 - 0.25 * b[2] ** 4  # two modes, and a minimum exactly between them
    flat = 0.0 * b[3]
    unbounded = jnp.exp(b[4])
    return jnp.stack([ordinary, undefined, saddle, flat, unbounded])


def test_a_subject_without_a_mode_is_reported() -> None:
    modes = jax.jit(lambda start: find_modes(odd_subjects, start))(START)
    assert modes.converged.tolist() == [True, False, False, False, False]
    assert float(modes.effects[0, 0]) == pytest.approx(3.0, abs=1e-8)
    assert bool(jnp.all(modes.decrement[1:] > 0.0))


def test_a_wall_of_nan_is_walked_around() -> None:
    """log(1 - b) + 5 b has its mode at 0.8; full Newton steps from zero leave the domain at 1."""

    def density(effects: Array) -> PerSubject:
        return 0.1 * jnp.log(1.0 - effects[0]) + 5.0 * effects[0]

    assert bool(jnp.isnan(density(jnp.full((1, 1), 1.5))).all())
    modes = find_modes(density, jnp.zeros((1, 1)))
    assert bool(modes.converged.all())
    assert float(modes.effects[0, 0]) == pytest.approx(1.0 - 0.1 / 5.0, abs=1e-10)


def test_heavy_tails_do_not_throw_the_search_off() -> None:
    """Newton's own step overshoots without end where the density is convex: a Cauchy density far from its peak."""
    away = jnp.array([0.5, 3.0, 30.0, 300.0])
    modes = find_modes(lambda b: -jnp.log1p((b[0] - away) ** 2), jnp.zeros((1, 4)))
    assert bool(modes.converged.all())
    np.testing.assert_allclose(modes.effects[0], away, atol=1e-7)


def test_what_has_not_converged_in_time_says_so() -> None:
    def far(effects: Array) -> PerSubject:
        return -jnp.log1p((effects[0] - 300.0) ** 2)

    modes = find_modes(far, jnp.zeros((1, 1)), max_steps=3)
    assert not bool(modes.converged.any())
    assert int(modes.steps) == 3


def test_near_a_mode_curvatures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts of a Poisson variate: the same modes as by Newton's steps alone, from fewer curvatures."""
    counts = jnp.array([0.0, 1.0, 5.0, 40.0])

    def density(effects: Array) -> PerSubject:
        return counts * effects[0] - jnp.exp(effects[0]) - 0.5 * effects[0] ** 2

    kept = find_modes(density, jnp.zeros((1, 4)))
    monkeypatch.setattr("dpm.inference.conditional.STEADY", 0.0)
    newton = find_modes(density, jnp.zeros((1, 4)))
    assert bool(kept.converged.all()) and bool(newton.converged.all())
    assert int(kept.steps) < int(newton.steps)
    np.testing.assert_allclose(kept.effects, newton.effects, atol=1e-9)
    np.testing.assert_allclose(counts - jnp.exp(kept.effects[0]) - kept.effects[0], 0.0, atol=1e-7)


def test_a_kept_curvature_that_does_not_serve_is_taken_anew() -> None:
    """It falls to a fiftieth within a tenth of a standard deviation: steps by the first would take thousands."""
    modes = find_modes(lambda b: -0.5 * b[0] ** 2 - 1e4 * b[0] ** 4, jnp.full((1, 1), 0.02))
    assert bool(modes.converged.all())
    assert 1 < int(modes.steps) < 10
    assert float(jnp.abs(modes.effects).max()) < 1e-8


def test_a_subject_that_a_kept_curvature_does_not_serve_holds_up_none() -> None:
    """The first comes nearer tenfold and more by every such step; the second never does."""

    def density(effects: Array) -> PerSubject:
        b = effects[0]
        return jnp.stack([-0.5 * b[0] ** 2 - 0.01 * b[0] ** 3, -0.5 * b[1] ** 2 - 1e4 * b[1] ** 4])

    modes = find_modes(density, jnp.array([[0.05, 0.02]]))
    assert bool(modes.converged.all())
    assert int(modes.steps) < 10
    np.testing.assert_allclose(modes.effects, 0.0, atol=1e-8)


def test_no_kept_curvature_leads_where_the_density_is_zero() -> None:
    modes = find_modes(lambda b: -0.5 * b[0] ** 2 + jnp.where(b[0] > -0.05, -jnp.inf, 0.0), jnp.full((1, 1), -0.09))
    assert not bool(modes.converged.any())
    assert float(modes.effects[0, 0]) <= -0.05


def saddle(data: Records) -> None:
    """Along the second effect the density curves downwards beside the plane on which the first has its mode."""
    numpyro.sample("x", dist.Normal())
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        a, b = (numpyro.sample(name, dist.Normal()) for name in "ab")
        numpyro.factor("rest", 0.5 * b**2 - 10.0 * (a - 0.01) * b**2 - 300.0 * b**4)


def test_a_saddle_is_no_mode_for_the_marginal() -> None:
    data = records("wang_additive")
    prepared = Marginal(Hierarchy.of(saddle, data))
    everybody = jnp.ones(data.n_subjects, bool)

    def found(b: float) -> tuple[PerSubject, Modes]:
        start = jnp.broadcast_to(jnp.array([[0.05], [b]]), (2, data.n_subjects))
        return prepared.log_marginal_and_slope(jnp.zeros(1), data, start, everybody)[:2]

    each, modes = found(1e-9)
    assert not bool(modes.converged.any()) and bool(jnp.isnan(each).all())
    each, modes = found(1e-3)
    assert bool(modes.converged.all()) and bool(jnp.isfinite(each).all())
    np.testing.assert_allclose(modes.effects[1] ** 2, (0.01 - modes.effects[0]) / 60.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["theophylline", "poisson", "positive_effect"])
def test_the_gradient_is_zero_at_the_mode(name: str) -> None:
    prepared = marginal(name, "laplace", 1)
    data, population = records(name), hierarchy(name).constrain(vector(name))

    @jax.jit
    def search(start: Array) -> tuple[Array, Array, Array, Array]:
        modes = prepared.modes(vector(name), data, start)
        _, gradient, curvature = derivatives(prepared.density(population, data), modes.effects)
        lower, definite = blocks.cholesky(curvature)
        return modes.effects, modes.converged & definite, blocks.solve_lower(lower, gradient), modes.decrement

    shape = (hierarchy(name).n_effects, data.n_subjects)
    effects, converged, scaled, decrement = search(jnp.zeros(shape))
    assert bool(converged.all())
    # In conditional standard deviations from the mode.
    assert float(jnp.abs(scaled).max()) < 1e-8
    assert float(decrement.max()) < CLOSE
    again, converged, *_ = search(effects + 0.3)
    assert bool(converged.all())
    np.testing.assert_allclose(again, effects, atol=1e-7)


def test_modes_of_a_batch_are_those_of_its_members() -> None:
    data = records("poisson")
    prepared = marginal("poisson", "laplace", 1)
    together = prepared.modes(vector("poisson"), data).effects
    for subject in range(data.n_subjects):
        alone = prepared.modes(vector("poisson"), data.take(np.array([subject]))).effects
        np.testing.assert_allclose(alone[:, 0], together[:, subject], atol=1e-7)


def test_hessian_blocks_are_those_of_the_whole_hessian() -> None:
    """q Jacobian-vector products against the full (q N) x (q N) Hessian, whose other blocks are zero."""
    name = "positive_effect"
    data, n = records(name), records(name).n_subjects
    density: Density = marginal(name, "laplace", 1).density(hierarchy(name).constrain(vector(name)), data)
    effects = 0.3 * jax.random.normal(jax.random.key(3), (2, n))
    value, gradient, curvature = jax.jit(lambda b: derivatives(density, b))(effects)
    total, slope, full = jax.jit(lambda b: (density(b), *_slopes(density, b)))(effects)
    np.testing.assert_allclose(curvature, -jnp.einsum("aibi->abi", full), rtol=1e-10, atol=1e-10)
    others = full * (1.0 - jnp.eye(n))[None, :, None, :]
    assert float(jnp.abs(others).max()) == 0.0
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)
    np.testing.assert_allclose(value, total, rtol=1e-12)


def _slopes(density: Density, effects: Array) -> tuple[Array, Array]:
    def total(b: Array) -> Array:
        return jnp.sum(density(b))

    return jax.grad(total)(effects), jax.hessian(total)(effects)


def test_implicit_derivative_is_that_of_the_modes() -> None:
    """d mode / d population by the implicit step against central differences of the search itself."""
    data, at = records("poisson"), vector("poisson")
    prepared = marginal("poisson", "laplace", 1)

    @jax.jit
    def searched(point: Array) -> Array:
        return prepared.modes(point, data).effects

    @jax.jit
    def slope(point: Array) -> Array:
        modes = prepared.modes(point, data).effects
        split = hierarchy("poisson")
        return jax.jacfwd(lambda p: implicit_modes(prepared.density(split.constrain(p), data), modes))(point)

    exact = slope(at)
    for k in range(at.size):
        move = 1e-5 * np.eye(at.size)[k]
        numerical = (searched(at + move) - searched(at - move)) / 2e-5
        np.testing.assert_allclose(exact[..., k], numerical, rtol=1e-6, atol=1e-7)


def test_an_unconverged_subject_has_no_marginal() -> None:
    """One subject's likelihood is not defined: its marginal is NaN, and everybody else's is what it was."""
    name = "poisson"
    data, prepared = records(name), marginal(name, "laplace", 1)
    spoilt = {**data.values, "seizures": data.values["seizures"].at[0, 2].set(jnp.nan)}
    good = each(prepared, vector(name), data)
    bad, modes = jax.jit(prepared.log_marginal)(vector(name), replace(data, values=spoilt))
    assert jnp.isnan(bad).tolist() == [False, False, True, False, False, False]
    assert modes.converged.tolist() == [True, True, False, True, True, True]
    np.testing.assert_allclose(np.delete(bad, 2), np.delete(good, 2), rtol=1e-12)


def test_a_subject_between_two_modes_has_no_marginal() -> None:
    data = records("poisson")
    value, modes = jax.jit(Marginal(Hierarchy.of(squared_effect, data)).log_marginal)(jnp.zeros(1), data)
    assert not bool(modes.converged.any())
    assert bool(jnp.isnan(value).all())


@pytest.mark.parametrize("name", ["wang_proportional", "orange"])
def test_hidden_subjects_add_nothing(name: str) -> None:
    """Without data, a subject whose normal effects are integrated out has marginal likelihood one."""
    data, prepared = records(name), marginal(name, "laplace", 1)
    hidden = jnp.arange(data.n_subjects) % 3 == 1
    whole = np.asarray(each(prepared, vector(name), data))
    part = np.asarray(each(prepared, vector(name), data.hide(hidden)))
    np.testing.assert_allclose(part[hidden], 0.0, atol=1e-14)
    np.testing.assert_allclose(part[~hidden], whole[~hidden], rtol=1e-13)


def test_the_kernel_is_invisible_to_an_enclosing_model() -> None:
    """A marginal inside a NumPyro model: its own sites stay out of that model's trace."""
    data = records("wang_proportional")
    prepared = marginal("wang_proportional", "laplace", 1)

    def outer() -> None:
        decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.0))
        numpyro.factor("likelihood", jnp.sum(prepared.log_marginal(jnp.log(decay)[None], data)[0]))

    trace = handlers.trace(handlers.seed(outer, jax.random.key(0))).get_trace()
    assert set(trace) == {"decay", "likelihood"}
