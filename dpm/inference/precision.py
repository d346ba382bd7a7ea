"""Sampling in single precision: half the memory and its traffic, and how far that is from double."""

from contextlib import AbstractContextManager
from typing import Any, Literal

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from dpm.errors import InferenceError
from dpm.types import Array, Float

Precision = Literal["float64", "float32"]
"""Of the numbers that a sampler's density is computed with."""

COMPARED = 100
"""Draws at which both precisions are compared."""

MOST_ERROR = 0.1
r"""Standard deviation, over draws, of the error of the log density. Draws of a density off by an error $e$ have means
that lie at most about $\mathrm{sd}(e)$ of their sds from the right ones where both densities are above zero (Cauchy and
Schwarz). Where single precision has no density, no draw lies that could tell: moves there are rejected, and count as
divergences."""


def computing(precision: Precision) -> AbstractContextManager[Any]:
    """While this is entered, what JAX traces and runs is of this precision."""
    context: AbstractContextManager[Any] = jax.enable_x64(precision == "float64")
    return context


def cast(tree: Any, precision: Precision) -> Any:
    """Arrays of a pytree with numbers of 32 bits, whole ones too; as they are for double precision."""
    if precision == "float64":
        return tree

    def single(leaf: Any) -> Any:
        kinds = ((jnp.floating, jnp.float32), (jnp.signedinteger, jnp.int32))
        found = [to for kind, to in kinds if jnp.issubdtype(leaf.dtype, kind)]
        return jnp.asarray(leaf, found[0]) if found else leaf

    return jax.tree_util.tree_map(single, tree)


def error_of(computed: Float[np.ndarray, " draw"], exact: Any, positions: Any) -> float:
    """The sd over some draws of the error of a density in single precision.

    Args:
        computed: of every draw, in single precision, up to a constant.
        exact: from a position to the same in double precision.
        positions: of every draw, first axis `draw`.

    Raises:
        InferenceError: it is larger than `MOST_ERROR`.
    """
    some = np.unique(np.linspace(0, computed.size - 1, COMPARED).astype(int))
    taken = jax.tree_util.tree_map(lambda leaf: jnp.asarray(leaf[some], float), positions)
    values: Array = jax.jit(lambda given: lax.map(exact, given))(taken)
    error = float(np.std(np.asarray(computed[some], float) - np.asarray(values)))
    if not error <= MOST_ERROR:
        expected = f"log densities in single precision that err by at most {MOST_ERROR} (sd over draws)"
        raise InferenceError("NUTS", expected, f"{error:.3g}", 'Use precision="float64".')
    return error
