"""Ascent of the evidence lower bound of a guide, and when it has come to rest."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax import lax
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.guide import Effects, Guide, Parameters, Shape, Vector
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.progress import Line
from dpm.inference.whitening import Whitening
from dpm.types import Array, Float, Key

WINDOW = 500
"""Steps over which the bound is averaged, and over whose iterates the last parameters are."""

RATES = (0.02, 0.005, 0.00125)
"""Of Adam, one after the other, each until the bound has stopped rising."""

CAP = 0.01
"""The most that the bound may still rise over a window and count as at rest, whatever its size [nats]."""

FINITE = 0.5
"""Share of the steps of a window that must have a finite gradient."""

ADAM = optax.scale_by_adam(b2=0.99)


@dataclass(frozen=True)
class Target:
    """What a guide is fitted to, without the arrays: known when a function is compiled."""

    hierarchy: Hierarchy
    guide: Guide
    shape: Shape
    samples: int


class Climbed(NamedTuple):
    r"""Where an ascent ended.

    Attributes:
        parameters: of the guide, averaged over the last window.
        elbo: mean over the last window; below $\log p(y)$, but for its `error` [nats].
        error: Monte Carlo standard error of that mean [nats].
        rise: of the bound from the last window but one to the last, over what counts as at rest: converged up to 1.
        steps: taken.
    """

    parameters: dict[str, Parameters]
    elbo: float
    error: float
    rise: float
    steps: int


class _Window(NamedTuple):
    mean: float
    error: float

    @classmethod
    def of(cls, elbos: np.ndarray) -> "_Window":
        """The bound and its standard error over the steps of a window.

        Raises:
            InferenceError: most steps had no finite bound or gradient.
        """
        finite = elbos[np.isfinite(elbos)]
        if finite.size < FINITE * elbos.size:
            got = f"none in {elbos.size - finite.size} of {elbos.size} steps"
            do = "The model overflows at values its priors or guide allow: tighten the priors, or sample with NUTS()."
            raise InferenceError("Variational", "a finite log density and gradient at draws of the guide", got, do)
        return cls(float(finite.mean()), float(finite.std(ddof=1) / np.sqrt(finite.size)))

    def rise(self, before: "_Window", tolerance: float) -> float:
        """From `before`, over what counts as at rest: the tolerance, and what chance alone would give."""
        allowed = min(tolerance * abs(self.mean), CAP) + np.hypot(self.error, before.error)
        return float((self.mean - before.mean) / allowed)


def climb(
    target: Target,
    parameters: dict[str, Parameters],
    whitening: Whitening,
    records: Data,
    *,
    steps: int,
    tolerance: float,
    line: Line,
    key: Key,
) -> Climbed:
    r"""Raise $\mathrm E_q[\log p(y, b, \varphi) - \log q]$ by Adam until it rests at the last of `RATES`.

    Gradients are reparameterised, those of the score of $q$ left out since their mean is zero: where the guide is the
    posterior, the rest has no noise at all (Roeder, Wu & Duvenaud 2017, NeurIPS 30). A step whose gradient is not
    finite is not taken. At each rate the bound is compared between windows of `WINDOW` steps; at rest means that it
    rose by less than `tolerance` of its size, by `CAP` at most, or by no more than the standard error of the
    difference. The next rate is then tried (in the manner of Welandawe et al. 2024, JMLR 25(18)).

    Args:
        target: hierarchy, guide, their shape, and draws a step.
        parameters: where to begin.
        whitening: the variables of the guide.
        records: the data.
        steps: at most.
        tolerance: relative.
        line: tells the bound after every window.
        key: of all draws.

    Raises:
        InferenceError: see `_Window.of`.
    """
    parameters = _firm(parameters)
    state: Any = _firm(ADAM.init(parameters))
    taken, mean, rise, window = 0, parameters, np.inf, _Window(-np.inf, np.inf)
    try:
        for rate in RATES:
            before: _Window | None = None
            rise = np.inf
            while rise > 1.0 and taken + WINDOW <= steps:
                own = jax.random.fold_in(key, taken)
                parameters, state, mean, elbos = _advance(
                    parameters, state, jnp.asarray(rate), own, whitening, records, target
                )
                window, taken = _Window.of(np.asarray(elbos)), taken + WINDOW
                rise = np.inf if before is None else window.rise(before, tolerance)
                before = window
                line.tell(f"step {taken:,} of at most {steps:,}, bound {window.mean:,.2f} ± {window.error:.2f}")
    finally:
        line.end()
    return Climbed(mean, window.mean, window.error, rise, taken)


def _firm(tree: Any) -> Any:
    """The same arrays, their types not weak: those of a scalar may be, and each kind would be compiled for."""
    return jax.tree_util.tree_map(lambda leaf: jnp.array(leaf, dtype=leaf.dtype), tree)


def log_joint(hierarchy: Hierarchy, whitening: Whitening, records: Data, u: Vector, w: Effects) -> Float[Array, ""]:
    r"""$\log p(y, b, \varphi)$ as a density of the whitened variables, with every constant."""
    return whitening.log_density(hierarchy, u, w, records) + log_unit(whitening)


def log_unit(whitening: Whitening) -> Float[Array, ""]:
    r"""$\log|C|$."""
    return jnp.sum(jnp.log(jnp.diag(whitening.spread)))


@partial(jax.jit, static_argnums=6)
def _advance(
    parameters: dict[str, Parameters],
    state: Any,
    rate: Array,
    key: Key,
    whitening: Whitening,
    records: Data,
    target: Target,
) -> tuple[dict[str, Parameters], Any, dict[str, Parameters], Float[Array, " step"]]:
    """The steps of one window: parameters, state, parameters averaged over the window, and the bound at each step."""

    def step(carry: tuple[Any, Any, Any], own: Key) -> tuple[tuple[Any, Any, Any], Array]:
        parameters, state, total = carry
        value, slope = jax.value_and_grad(_negative_elbo)(parameters, whitening, records, target, own)
        finite = jnp.isfinite(value)
        for leaf in jax.tree_util.tree_leaves(slope):
            finite = finite & jnp.all(jnp.isfinite(leaf))
        updates, moved_state = ADAM.update(slope, state)
        moved = optax.apply_updates(parameters, jax.tree_util.tree_map(lambda update: -rate * update, updates))
        kept, kept_state = jax.tree_util.tree_map(
            lambda new, old: jnp.where(finite, new, old), (moved, moved_state), (parameters, state)
        )
        total = jax.tree_util.tree_map(lambda sum_, one: sum_ + one / WINDOW, total, kept)
        return (kept, kept_state, total), jnp.where(finite, -value, jnp.nan)

    none = jax.tree_util.tree_map(jnp.zeros_like, parameters)
    (parameters, state, mean), elbos = lax.scan(step, (parameters, state, none), jax.random.split(key, WINDOW))
    return _firm(parameters), _firm(state), _firm(mean), elbos


def _negative_elbo(
    parameters: dict[str, Parameters], whitening: Whitening, records: Data, target: Target, key: Key
) -> Float[Array, ""]:
    still = lax.stop_gradient(parameters)

    def one(own: Key) -> Array:
        u, w = target.guide.sample(parameters, target.shape, key=own)
        log_q = target.guide.log_density(still, u, w)
        return log_q - log_joint(target.hierarchy, whitening, records, u, w)

    return jnp.mean(jax.vmap(one)(jax.random.split(key, target.samples)))
