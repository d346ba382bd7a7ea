"""The sampler's variables are the linearisation they claim: under the Laplace approximation a standard normal."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.inference import blocks
from dpm.inference.conditional import derivatives, implicit_modes
from dpm.inference.laplace import Laplace, Optimum
from dpm.inference.whitening import Whitening
from dpm.types import Array

from .examples import hierarchy, marginal, records

NAME = "positive_effect"
STEP = 1e-4


@pytest.fixture(scope="module")
def optimum() -> Optimum:
    return Laplace(objective="map").maximise(marginal(NAME, "laplace", 1), records(NAME), key=jax.random.key(0))


@pytest.fixture(scope="module")
def whitening(optimum: Optimum) -> Whitening:
    return Whitening.at(hierarchy(NAME), records(NAME), optimum)


@jax.jit
def conditional(vector: Array) -> tuple[Array, Array]:
    """Every subject's mode, and the upper triangular root of its conditional covariance."""
    prepared, data = marginal(NAME, "laplace", 1), records(NAME)
    density = prepared.density(hierarchy(NAME).constrain(vector), data)
    modes = implicit_modes(density, prepared.modes(vector, data).effects)  # one more Newton step, to the last digit
    _, _, curvature = derivatives(density, modes)
    lower, _ = blocks.cholesky(curvature)
    unit = jnp.broadcast_to(jnp.eye(2)[:, :, None], (2, 2, modes.shape[-1]))
    return modes, jnp.stack([blocks.solve_upper(lower, unit[:, k]) for k in range(2)], axis=1)


def test_at_the_centre_it_is_the_optimum(whitening: Whitening, optimum: Optimum) -> None:
    n = records(NAME).n_subjects
    vector, effects, _ = whitening.colour(jnp.zeros(1), jnp.zeros((2, n)))
    np.testing.assert_allclose(vector, optimum.vector, rtol=1e-14)
    np.testing.assert_allclose(effects, conditional(jnp.asarray(optimum.vector))[0], atol=1e-8)


def test_population_values_have_the_covariance_of_laplace(whitening: Whitening, optimum: Optimum) -> None:
    slope = jax.jacfwd(lambda u: whitening.colour(u, jnp.zeros((2, records(NAME).n_subjects)))[0])(jnp.zeros(1))
    np.testing.assert_allclose(slope @ slope.T, optimum.covariance, rtol=1e-12)


def test_effects_follow_modes_and_spreads(whitening: Whitening, optimum: Optimum) -> None:
    """To first order, what `colour` does to effects is what searching modes and curvatures afresh would do."""
    n = records(NAME).n_subjects
    w = jax.random.normal(jax.random.key(5), (2, n))

    def coloured(u: Array) -> Array:
        return whitening.colour(u, w)[1]

    def searched(u: Array) -> Array:
        modes, root = conditional(whitening.population(u)[0])
        return modes + jnp.einsum("abi,bi->ai", root, w)

    np.testing.assert_allclose(coloured(jnp.zeros(1)), searched(jnp.zeros(1)), atol=1e-7)
    slope = jax.jacfwd(coloured)(jnp.zeros(1))[..., 0]
    numerical = (searched(jnp.full(1, STEP)) - searched(jnp.full(1, -STEP))) / (2 * STEP)
    np.testing.assert_allclose(slope, numerical, rtol=1e-5, atol=1e-6)


def test_volume_is_that_of_the_change_of_variables(whitening: Whitening) -> None:
    """The log determinant of d(vector, effects) / d(u, w), less its value at the centre."""
    n = records(NAME).n_subjects

    def flat(position: Array) -> Array:
        vector, effects, _ = whitening.colour(position[:1], position[1:].reshape(2, n))
        return jnp.concatenate([vector, effects.ravel()])

    def both(position: Array) -> tuple[Array, Array]:
        volume = whitening.colour(position[:1], position[1:].reshape(2, n))[2]
        return jnp.linalg.slogdet(jax.jacfwd(flat)(position))[1], volume

    centre = jnp.zeros(1 + 2 * n)
    reference = both(centre)
    for key in range(3):
        determinant, volume = both(jax.random.normal(jax.random.key(key), centre.shape))
        assert float(volume - reference[1]) == pytest.approx(float(determinant - reference[0]), abs=1e-10)


def test_the_prior_alone_is_a_change_of_unit() -> None:
    """Without a maximum: prior means and sds for the population, effects as they are, every volume one."""
    data = records(NAME)
    plain = Whitening.of_prior(hierarchy(NAME), data)
    w = jax.random.normal(jax.random.key(1), (2, data.n_subjects))
    vector, effects, log_volume = plain.colour(jnp.full(1, 0.5), w)
    np.testing.assert_allclose(vector, hierarchy(NAME).prior_centre() + 0.5 * hierarchy(NAME).prior_unit())
    np.testing.assert_array_equal(effects, w)
    assert float(log_volume) == 0.0


def test_volumes_by_subject_add_up(whitening: Whitening) -> None:
    u = jnp.full(1, 0.7)
    each = whitening.log_volumes(u)
    assert each.shape == (records(NAME).n_subjects,)
    total = whitening.colour(u, jnp.zeros((2, records(NAME).n_subjects)))[2]
    assert float(each.sum() + whitening.population(u)[2]) == pytest.approx(float(total), rel=1e-12)
