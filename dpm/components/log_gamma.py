"""The logarithm of the gamma function in plain vector operations.

XLA's own is a Lanczos series whose second derivative, which every curvature needs, sums a zeta series: a hundred times
the cost of the rest of a likelihood.
"""

from functools import partial

import jax
from jax import numpy as jnp
from jax.custom_derivatives import SymbolicZero

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


@jax.custom_jvp
def log_rising(x: Array, n: Array) -> Array:
    r"""$\log\Gamma(x + n) - \log\Gamma(x)$ for $x > 0$, $n \ge 0$, at the cost of little more than one of them.

    Its derivative by $x$ is $\psi(x + n) - \psi(x)$, and the two series share one logarithm.

    Source: Abramowitz & Stegun 1964, 6.3.18.
    """
    steps = jnp.log(_product(x + n) / _product(x))
    return _stirling(x + n + SHIFT) - _stirling(x + SHIFT) - steps


@partial(log_rising.defjvp, symbolic_zeros=True)
def _(primals: tuple[Array, Array], tangents: tuple[Array | SymbolicZero, Array | SymbolicZero]) -> tuple[Array, Array]:
    (x, n), (dx, dn) = primals, tangents
    value, high, low = log_rising(x, n), x + n + SHIFT, x + SHIFT
    top = _psi(high) - _product_slope(x + n)
    moved = jnp.zeros_like(value)
    if not isinstance(dx, SymbolicZero):
        moved = moved + (jnp.log(high / low) + top - _psi(low) + _product_slope(x)) * dx
    if not isinstance(dn, SymbolicZero):
        moved = moved + (jnp.log(high) + top) * dn
    return value, moved


def _psi(z: Array) -> Array:
    r"""$\psi(z) - \log z$ for a large $z$."""
    v = 1.0 / z
    w = v * v
    return -0.5 * v - w * (1 / 12 - w * (1 / 120 - w * (1 / 252 - w * (1 / 240 - w * (1 / 132 - w * (691 / 32760))))))


def _product_slope(x: Array) -> Array:
    """The derivative of the logarithm of `_product`."""
    pair = x * (x + 7.0)
    inner = 720.0 + pair * (504.0 + pair * (84.0 + 4.0 * pair))
    return inner * (2.0 * x + 7.0) / _product(x)


def _product(x: Array) -> Array:
    r"""$\prod_{k < 8} (x + k)$, the first factor paired with the last and so on."""
    pair = x * (x + 7.0)
    return pair * (pair + 6.0) * (pair + 10.0) * (pair + 12.0)


def _stirling(z: Array) -> Array:
    """Stirling's series without its constant."""
    w = 1.0 / (z * z)
    series = 1 / 12 + w * (-1 / 360 + w * (1 / 1260 + w * (-1 / 1680 + w * (1 / 1188 + w * (-691 / 360360 + w / 156)))))
    return (z - 0.5) * jnp.log(z) - z + series * z * w
