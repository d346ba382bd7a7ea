"""Linear algebra on one block per subject equals LAPACK's, block by block."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from dpm.inference import blocks
from dpm.types import Array

N = 7


@jax.jit
def everything(block: Array, vector: Array) -> dict[str, Array]:
    lower, definite = blocks.cholesky(block)
    return {
        "lower": lower,
        "definite": definite,
        "forward": blocks.solve_lower(lower, vector),
        "backward": blocks.solve_upper(lower, vector),
        "solution": blocks.solve(lower, vector),
        "log_determinant": blocks.log_determinant(lower),
    }


@settings(max_examples=40)
@given(q=st.integers(1, 4), seed=st.integers(0, 2**32 - 1), log_scale=st.floats(-6.0, 6.0))
def test_equal_to_lapack(q: int, seed: int, log_scale: float) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(N, q, q))
    # Units differ between effects: levels in hundreds, slopes in thousandths.
    units = np.exp(log_scale * rng.uniform(-1.0, 1.0, size=(N, q)))
    matrices = (root @ root.transpose(0, 2, 1) + 0.1 * np.eye(q)) * units[:, :, None] * units[:, None, :]
    vectors = rng.normal(size=(N, q)) * units
    found = everything(jnp.asarray(matrices.transpose(1, 2, 0)), jnp.asarray(vectors.T))
    lower = np.linalg.cholesky(matrices)
    close = partial(np.testing.assert_allclose, rtol=1e-9)
    assert found["definite"].all()
    close(found["lower"].transpose(2, 0, 1), lower, atol=1e-12 * np.abs(lower).max())
    forward = np.linalg.solve(lower, vectors[..., None])[..., 0]
    close(found["forward"].T, forward, atol=1e-9)
    for name, exact in {
        "backward": np.linalg.solve(lower.transpose(0, 2, 1), vectors[..., None])[..., 0],
        "solution": np.linalg.solve(matrices, vectors[..., None])[..., 0],
    }.items():
        close(found[name].T * units, exact * units, atol=1e-8 * np.abs(exact * units).max())
    close(found["log_determinant"], np.linalg.slogdet(matrices)[1], atol=1e-9)


@pytest.mark.parametrize(
    "bad", [np.diag([1.0, -1e-3]), np.diag([0.0, 1.0]), [[1.0, 2.0], [2.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]]]
)
def test_a_block_that_is_not_definite_is_flagged_alone(bad: np.ndarray) -> None:
    block = jnp.stack([jnp.eye(2), jnp.asarray(bad), 2.0 * jnp.eye(2)], axis=-1)
    lower, definite = blocks.cholesky(block)
    assert definite.tolist() == [True, False, True]
    np.testing.assert_array_equal(lower[..., 2], np.sqrt(2.0) * np.eye(2))


def test_the_gradient_of_a_good_block_is_untouched_by_a_bad_one() -> None:
    def total(scale: Array) -> Array:
        lower, definite = blocks.cholesky(jnp.stack([scale * jnp.eye(2), -jnp.eye(2)], axis=-1))
        return jnp.sum(jnp.where(definite, blocks.log_determinant(lower), 0.0))

    assert float(jax.grad(total)(jnp.asarray(4.0))) == pytest.approx(2.0 / 4.0)
