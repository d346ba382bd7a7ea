"""Where an integral looks at effects: Gauss–Hermite nodes, and Sobol points turned for each subject."""

from itertools import product

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Buckets, Data
from dpm.errors import InferenceError
from dpm.types import Array, Float, Key, PerSubject

MOST_EFFECTS = 3
"""Per subject that do not enter straight, for quadrature on a tensor grid."""

TAIL = 4.0
"""Degrees of freedom of proposals for effects: heavy tails, and a quantile function in closed form."""

COS_30 = 0.75**0.5

LOG_PEAK = float(np.log(3.0 / 8.0))
"""Log density of Student's $t_4$ at zero."""


def student_quantile(p: Array) -> Array:
    r"""Quantile of Student's $t_4$ (Shaw 2006, J. Computational Finance 9, 37-73).

    $\pm 2\sqrt{c/\sqrt a - 1}$ with $a = 4p(1-p)$ and $c = \cos(\tfrac13 \arccos \sqrt a)$, which is the root between
    $\cos 30°$ and 1 of $4c^3 - 3c = \sqrt a$: three of Newton's steps from a line find every digit of it, and are far
    cheaper than the two functions.
    """
    root = jnp.sqrt(4.0 * p * (1.0 - p))
    c = COS_30 + (1.0 - COS_30) * root
    for _ in range(3):
        c = c - (4.0 * c**3 - 3.0 * c - root) / (12.0 * c**2 - 3.0)
    inner = c / root - 1.0
    return jnp.sign(p - 0.5) * 2.0 * jnp.sqrt(jnp.maximum(inner, 0.0))


def proposed(u: Float[Array, "_effect subject"]) -> tuple[Float[Array, "_effect subject"], PerSubject]:
    """Draws of independent $t_4$ from places in the unit cube, and minus the log of their density."""
    z = student_quantile(jnp.clip(u, 1e-12, 1.0 - 1e-12))
    return z, jnp.sum(0.5 * (TAIL + 1.0) * jnp.log1p(z**2 / TAIL) - LOG_PEAK, axis=0)


def turn(records: Data, q: int) -> Float[Array, "_effect subject"]:
    """A place in the unit cube for every subject, by its own data: equal data have the same one.

    Points turned by it are as evenly spread as before (Cranley & Patterson 1976, doi 10.1137/0713071), and each
    subject's error is its own, so that in the sum over many they cancel; with the same points for all they add up.
    """
    if isinstance(records, Buckets):
        return records.join([turn(part, q) for part in records.parts])
    total = jnp.zeros(records.n_subjects)
    for k, leaf in enumerate(jax.tree_util.tree_leaves(records)):
        known = jnp.nan_to_num(leaf.astype(float)).reshape(-1, records.n_subjects)
        total += jnp.sqrt(k + 2.0) * jnp.sum(known, axis=0)
    primes = [n for n in range(2, 10 * (q + 2)) if all(n % k for k in range(2, n))][:q]
    return (1e3 * total * jnp.sqrt(jnp.array(primes, float))[:, None]) % 1.0


type Nodes = tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]

NO_EFFECTS: Nodes = ((),), (0.0,)
"""One node, of no effects."""


def gauss_hermite(q: int, n_nodes: int) -> Nodes:
    r"""Nodes and log weights of $\int f(z)\,dz = \sum w f(z)$ on a tensor grid, scaled for a standard normal peak."""
    if q > MOST_EFFECTS:
        do = 'Use level="qmc", or level="laplace".'
        expected = 'at most three effects per subject for level="quadrature", of those that do not enter linearly'
        raise InferenceError("level", expected, str(q), do)
    if not q:
        return NO_EFFECTS
    x, w = np.polynomial.hermite.hermgauss(n_nodes)
    z, log_w = np.sqrt(2.0) * x, np.log(w) + x**2 + 0.5 * np.log(2.0)
    nodes = tuple(product(z.tolist(), repeat=q))
    return nodes, tuple(sum(combination, 0.0) for combination in product(log_w.tolist(), repeat=q))


def sobol(q: int, n_nodes: int, key: Key | None) -> Nodes:
    """Scrambled Sobol points of the unit cube, and their log weights."""
    from scipy.stats import qmc  # half a second of imports, for this level alone

    if key is None:
        raise InferenceError("key", 'a JAX key for level="qmc"', "none")
    if n_nodes & (n_nodes - 1):
        raise InferenceError("n_nodes", "a power of two for Sobol points", str(n_nodes))
    if not q:
        return NO_EFFECTS
    seed = int(jax.random.randint(key, (), 0, np.iinfo(np.int32).max))
    u = qmc.Sobol(q, rng=np.random.default_rng(seed)).random(n_nodes)
    return tuple(map(tuple, u.tolist())), (-float(np.log(n_nodes)),) * n_nodes
