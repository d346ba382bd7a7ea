r"""A scale for values that may be near zero, on which a density that is flat there has a normal tail.

Of a spread $s$ that the data hardly tell from zero, the posterior of $\log s$ falls off like $e^{\log s}$: a long tail
that a sampler walks slowly. With $s = s_0\,e^{h(v)}$,

$$h(v) = \tfrac14\,(v\sqrt{v^2 + 4} - v^2) + \operatorname{arsinh}\tfrac v2,\qquad
  h'(v) = \tfrac12\,(\sqrt{v^2 + 4} - v),$$

$v$ is a logarithm around $s_0$ (where $h = 0$ and $h' = 1$), in proportion to $s$ far above it, and below it
$h \approx -v^2/2 - \log|v|$, so that a density that is flat at zero falls off like $e^{-v^2/2}$.
"""

import numpy as np
from jax import numpy as jnp

from dpm.types import Array


def bent(v: Array) -> Array:
    """$h(v)$."""
    root = jnp.sqrt(v * v + 4.0)
    # v (root - v) / 4 = v / (root + v), each where nothing cancels.
    half = jnp.where(v > 0, v / (root + jnp.where(v > 0, v, 0.0)), 0.25 * v * (root - jnp.where(v > 0, 0.0, v)))
    return half + jnp.arcsinh(0.5 * v)


def log_slope(v: Array) -> Array:
    r"""$\log h'(v) = -\operatorname{arsinh}(v/2)$."""
    return -jnp.arcsinh(0.5 * v)


def straightened(x: np.ndarray) -> np.ndarray:
    """The inverse of $h$, by Newton's steps, which from the left of a concave function do not overshoot."""
    v = np.where(x < 0, -np.sqrt(2.0 * np.maximum(-x, 0.0)) - 1.0, -1.0)
    for _ in range(100):
        step = (x - np.asarray(bent(jnp.asarray(v)))) * np.exp(np.arcsinh(0.5 * v))
        v = v + step
        if np.all(np.abs(step) <= 1e-15 * (1.0 + np.abs(v))):
            break
    return v
