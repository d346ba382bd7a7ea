r"""Steps along a trajectory of Hamiltonian dynamics, some of them exact where the density is a reference normal.

With $v$ the variances of a normal around zero, which are the inverse of the masses too, the energy is

$$H(z, r) = \underbrace{\tfrac12 \textstyle\sum z^2 / v + \tfrac12 \sum v r^2}_A
          + \underbrace{U(z) - \tfrac12 \textstyle\sum z^2 / v}_B .$$

The flow of $A$ by a time $t$ is a rotation, $z \mapsto z \cos t + v r \sin t$, $r \mapsto r \cos t - (z / v) \sin t$;
that of $B$ is a kick, $r \mapsto r - t\,(\nabla U(z) - z / v)$. A step of size $h$ is kicks and rotations in turn,
$K(k_0 h)\, R(a_1 h)\, K(k_1 h) \cdots R(a_n h)\, K(k_n h)$, reversible and volume-preserving, so that a sampler that
weighs states by $H$ is exact whatever the error of its steps.

Two kinds of step:

- **leapfrog**: the whole of $U$ in the kick and $z \mapsto z + h v r$ between two of them, one gradient, error
  $O(h^2)$. Of a standard normal in $d$ dimensions it errs too, and for that alone its step must shrink as $d^{-1/4}$.
- **Lobatto**: kicks of $B$ at the four nodes of Gauss and Lobatto, three gradients, error
  $O(\epsilon h^6 + \epsilon^2 h^2)$ for a $B$ of size $\epsilon$: where that is small, one step may span a fifth of a
  turn.

Sources: Shahbaba, Lan, Johnson & Neal (2014), *Statistics and Computing* 24:339, for the split; Laskar & Robutel
(2001), *Celestial Mechanics and Dynamical Astronomy* 80:39, for the nodes (their $\mathcal{SBAB}_3$).
"""

from collections.abc import Callable
from math import sqrt

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from numpyro.infer.hmc_util import IntegratorState

from dpm.types import Array, Sites

LEAPFROG, LOBATTO = 0, 1
"""Kinds of step."""

_OUTER, _INNER = (1.0 - 1.0 / sqrt(5.0)) / 2.0, 1.0 / sqrt(5.0)
MOVES = np.array([[1.0, 0.0, 0.0], [_OUTER, _INNER, _OUTER]])
KICKS = np.array([[1.0 / 2.0, 1.0 / 2.0, 0.0, 0.0], [1.0 / 12.0, 5.0 / 12.0, 5.0 / 12.0, 1.0 / 12.0]])
"""Shares of a step, by its kind; what a kind does not have is zero."""

State = tuple[Sites, Sites, Array, Sites]
"""Position, momentum, potential and its gradient; NumPyro's `IntegratorState` or a plain tuple."""

Step = Callable[[Array, Array, State], IntegratorState]
"""From a signed step size [radians of the reference], the variances of the flat position, and a state, to the next."""


def gradients(kind: Array) -> Array:
    """That a step of this kind takes."""
    return jnp.where(kind == LOBATTO, 3, 1)


def stepping(potential: Callable[[Sites], Array], kind: Array) -> Step:
    """Steps of one kind, whose gradient is compiled once whichever kind it is.

    Args:
        potential: minus the log density of a position.
        kind: `LEAPFROG` or `LOBATTO`, a scalar that may be traced.
    """
    moves, kicks = (jnp.asarray(shares, jnp.result_type(float))[kind] for shares in (MOVES, KICKS))
    turns, count = kind == LOBATTO, gradients(kind)

    def step(size: Array, variances: Array, state: State) -> IntegratorState:
        position, momentum, energy, slope = state
        z, whole = ravel_pytree(position)
        r, g = ravel_pytree(momentum)[0], ravel_pytree(slope)[0]

        def kicked(r: Array, z: Array, g: Array, k: Array) -> Array:
            return r - kicks[k] * size * (g - jnp.where(turns, z / variances, 0.0))

        def part(k: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            z, r, _, g = carry
            r, time = kicked(r, z, g, k), moves[k] * size
            cosine, sine = jnp.where(turns, jnp.cos(time), 1.0), jnp.where(turns, jnp.sin(time), time)
            back = jnp.where(turns, sine * z / variances, 0.0)
            z, r = cosine * z + sine * (variances * r), cosine * r - back
            energy, slope = jax.value_and_grad(potential)(whole(z))
            return z, r, energy, ravel_pytree(slope)[0]

        z, r, energy, g = lax.fori_loop(0, count, part, (z, r, energy, g))
        return IntegratorState(whole(z), whole(kicked(r, z, g, count)), energy, whole(g))

    return step
