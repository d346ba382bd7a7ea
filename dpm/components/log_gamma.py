"""The logarithm of the gamma function in plain vector operations.

XLA's own is a Lanczos series whose second derivative, which every curvature needs, sums a zeta series: a hundred times
the cost of the rest of a likelihood.
"""

from jax import numpy as jnp

from dpm.types import Array

SHIFT = 8
"""Steps up before Stirling's series, whose first term left out is then below 1e-15."""


def log_gamma(x: Array) -> Array:
    r"""$\log\Gamma(x)$ for $x > 0$, to about 1e-13 relative to $\max(1, |\log\Gamma|)$.

    $$\log\Gamma(x) = \log\Gamma(x + 8) - \log\prod_{k < 8}(x + k),\qquad
    \log\Gamma(z) \approx (z - \tfrac12)\log z - z + \tfrac12\log 2\pi + \tfrac1{12 z} - \tfrac1{360 z^3} + \dots$$

    Source: Abramowitz & Stegun 1964, 6.1.41.
    """
    return _stirling(x + SHIFT) + 0.5 * jnp.log(2.0 * jnp.pi) - jnp.log(_product(x))


def log_rising(x: Array, n: Array) -> Array:
    r"""$\log\Gamma(x + n) - \log\Gamma(x)$ for $x > 0$, $n \ge 0$, at the cost of little more than one of them."""
    steps = jnp.log(_product(x + n) / _product(x))
    return _stirling(x + n + SHIFT) - _stirling(x + SHIFT) - steps


def _product(x: Array) -> Array:
    r"""$\prod_{k < 8} (x + k)$, the first factor paired with the last and so on."""
    pair = x * (x + 7.0)
    return pair * (pair + 6.0) * (pair + 10.0) * (pair + 12.0)


def _stirling(z: Array) -> Array:
    """Stirling's series without its constant."""
    w = 1.0 / (z * z)
    series = 1 / 12 + w * (-1 / 360 + w * (1 / 1260 + w * (-1 / 1680 + w * (1 / 1188 + w * (-691 / 360360 + w / 156)))))
    return (z - 0.5) * jnp.log(z) - z + series * z * w
