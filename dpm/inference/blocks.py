"""Linear algebra on one small symmetric block per subject, subject axis last.

Blocks have shape `(effect, effect, subject)`. The loops over effects are unrolled, so that every operation is a
plain vector operation over subjects: a batched LAPACK call per subject is many times slower.
"""

from jax import numpy as jnp

from dpm.types import Array, Bool, Float


def cholesky(
    block: Float[Array, "effect effect subject"],
) -> tuple[Float[Array, "effect effect subject"], Bool[Array, " subject"]]:
    """Lower factor, and whether each block is positive definite.

    Where it is not, the factor is finite but means nothing.
    """
    q = block.shape[0]
    rows: list[list[Array]] = [[] for _ in range(q)]
    definite = jnp.ones(block.shape[-1], bool)
    for i in range(q):
        for j in range(i):
            partial = block[i, j] - sum((rows[i][k] * rows[j][k] for k in range(j)), jnp.zeros(()))
            rows[i].append(partial / rows[j][j])
        pivot = block[i, i] - sum((rows[i][k] ** 2 for k in range(i)), jnp.zeros(()))
        positive = pivot > 0.0
        definite = definite & positive
        rows[i].append(jnp.sqrt(jnp.where(positive, pivot, 1.0)))
    if not rows:
        return block, definite
    zero = jnp.zeros(block.shape[-1])
    lower = jnp.stack([jnp.stack([*row, *([zero] * (q - len(row)))]) for row in rows])
    return lower, definite


def solve_lower(
    lower: Float[Array, "effect effect subject"], vector: Float[Array, "effect subject"]
) -> Float[Array, "effect subject"]:
    """Solve $L x = v$."""
    x: list[Array] = []
    if not len(lower):
        return vector
    for i in range(lower.shape[0]):
        x.append((vector[i] - sum((lower[i, k] * x[k] for k in range(i)), jnp.zeros(()))) / lower[i, i])
    return jnp.stack(x)


def solve_upper(
    lower: Float[Array, "effect effect subject"], vector: Float[Array, "effect subject"]
) -> Float[Array, "effect subject"]:
    r"""Solve $L^\top x = v$."""
    q = lower.shape[0]
    x: list[Array] = [jnp.zeros(())] * q
    if not q:
        return vector
    for i in reversed(range(q)):
        x[i] = (vector[i] - sum((lower[k, i] * x[k] for k in range(i + 1, q)), jnp.zeros(()))) / lower[i, i]
    return jnp.stack(x)


def solve(
    lower: Float[Array, "effect effect subject"], vector: Float[Array, "effect subject"]
) -> Float[Array, "effect subject"]:
    r"""Solve $L L^\top x = v$."""
    return solve_upper(lower, solve_lower(lower, vector))


def times_upper(
    lower: Float[Array, "effect effect subject"], vector: Float[Array, "effect subject"]
) -> Float[Array, "effect subject"]:
    r"""$L^\top v$, the inverse of `solve_upper`."""
    q = lower.shape[0]
    rows = [sum((lower[k, i] * vector[k] for k in range(i, q)), jnp.zeros(())) for i in range(q)]
    return jnp.stack(rows) if rows else vector


def log_determinant(lower: Float[Array, "effect effect subject"]) -> Float[Array, " subject"]:
    r"""$\log|L L^\top|$."""
    return 2.0 * sum((jnp.log(lower[i, i]) for i in range(lower.shape[0])), jnp.zeros(lower.shape[-1]))
