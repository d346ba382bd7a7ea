"""Steps are reversible, keep volumes, are as exact as they claim, and exact for the reference normal."""

from functools import partial

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro.infer.hmc_util import IntegratorState, euclidean_kinetic_energy, velocity_verlet

from dpm.inference.integrator import KICKS, LEAPFROG, LOBATTO, MOVES, stepping
from dpm.types import Array, Sites

VARIANCES = jnp.array([0.5, 2.0, 1.0])
FLAT, MOMENTUM = jnp.array([0.6, -1.1, 0.4]), jnp.array([-0.3, 0.5, 1.2])
KINDS = (LEAPFROG, LOBATTO)


def potential(position: Sites, residual: float) -> Array:
    z = jnp.concatenate([position["u"], position["w"]])
    return 0.5 * jnp.sum(z**2 / VARIANCES) + residual * (jnp.sum(jnp.sin(z)) + z[0] * z[2] ** 2)


def placed(flat: Array) -> Sites:
    return {"u": flat[:2], "w": flat[2:]}


def flat(sites: Sites) -> Array:
    return jnp.concatenate([sites["u"], sites["w"]])


def state(z: Array, r: Array, residual: float) -> IntegratorState:
    energy, slope = jax.value_and_grad(potential)(placed(z), residual)
    return IntegratorState(placed(z), placed(r), energy, slope)


def moved(kind: int, size: float, z: Array, r: Array, residual: float, times: int = 1) -> tuple[Array, Array]:
    step, one = stepping(partial(potential, residual=residual), jnp.asarray(kind)), state(z, r, residual)
    for _ in range(times):
        one = step(jnp.asarray(size), VARIANCES, one)
    return flat(one.z), flat(one.r)


def energy(z: Array, r: Array, residual: float) -> Array:
    return potential(placed(z), residual) + euclidean_kinetic_energy(VARIANCES, r)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_back_undoes_a_step(kind: int) -> None:
    z, r = moved(kind, 0.8, FLAT, MOMENTUM, 0.7)
    back = moved(kind, -0.8, z, r, 0.7)
    np.testing.assert_allclose(back[0], FLAT, rtol=1e-12)
    np.testing.assert_allclose(back[1], MOMENTUM, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_keeps_volumes(kind: int) -> None:
    def both(whole: Array) -> Array:
        return jnp.concatenate(moved(kind, 0.8, whole[:3], whole[3:], 0.7))

    jacobian = jax.jacfwd(both)(jnp.concatenate([FLAT, MOMENTUM]))
    assert np.linalg.det(jacobian) == pytest.approx(1.0, abs=1e-12)


def test_lobattos_steps_are_exact_for_the_reference_whatever_their_size() -> None:
    z, r = moved(LOBATTO, 1.2, FLAT, MOMENTUM, 0.0)
    np.testing.assert_allclose(z, FLAT * np.cos(1.2) + VARIANCES * MOMENTUM * np.sin(1.2), rtol=1e-12)
    np.testing.assert_allclose(r, MOMENTUM * np.cos(1.2) - FLAT / VARIANCES * np.sin(1.2), rtol=1e-12)


def test_leapfrog_is_numpyros() -> None:
    begin, update = velocity_verlet(partial(potential, residual=0.7), euclidean_kinetic_energy)
    plain = update(jnp.asarray(0.3), VARIANCES, begin(placed(FLAT), placed(MOMENTUM)))
    z, r = moved(LEAPFROG, 0.3, FLAT, MOMENTUM, 0.7)
    np.testing.assert_allclose(z, flat(plain.z), rtol=1e-14)
    np.testing.assert_allclose(r, flat(plain.r), rtol=1e-14)


def _lost(kind: int, residual: float, times: int) -> float:
    """Energy lost over one radian in so many steps."""
    z, r = moved(kind, 1.0 / times, FLAT, MOMENTUM, residual, times)
    return abs(float(energy(z, r, residual) - energy(FLAT, MOMENTUM, residual)))


def test_errors_shrink_as_they_claim() -> None:
    """By halves of a step: a fourth for leapfrog; with Lobatto's nodes a 64th where the residual is small."""
    assert np.log2(_lost(LEAPFROG, 0.7, 16) / _lost(LEAPFROG, 0.7, 32)) == pytest.approx(2.0, abs=0.1)
    assert np.log2(_lost(LOBATTO, 1e-5, 2) / _lost(LOBATTO, 1e-5, 4)) == pytest.approx(6.0, abs=0.6)
    assert np.log2(_lost(LOBATTO, 0.7, 16) / _lost(LOBATTO, 0.7, 32)) == pytest.approx(2.0, abs=0.1)
    ratio = _lost(LOBATTO, 1e-5, 1) / _lost(LOBATTO, 1e-6, 1)
    assert ratio == pytest.approx(10.0, rel=0.01)  # the residual's first power where the step is long


def test_nodes_are_those_of_gauss_and_lobatto() -> None:
    """Their rule integrates powers up to the fifth exactly, and no higher one."""
    at = np.cumsum([0.0, *MOVES[LOBATTO]])
    for power in range(6):
        assert KICKS[LOBATTO] @ at**power == pytest.approx(1.0 / (power + 1), abs=1e-14)
    assert abs(KICKS[LOBATTO] @ at**6 - 1.0 / 7.0) > 1e-5
