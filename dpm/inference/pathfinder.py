"""Where a search may begin: the best normal approximation along several quasi-Newton paths."""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from scipy.optimize import minimize

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.faults import located
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array, Float, Key

MEMORY = 6
"""Pairs of steps and gradient changes from which a curvature is estimated."""

SHORTEST = 1e-12
"""A pair of steps whose curvature is below this, relative to the gradient's change, is left out."""


class Approximation(NamedTuple):
    r"""$N(m, \mathrm{diag}(a) + B G B^\top)$ of population values and effects on their unconstrained scales.

    Attributes:
        mean: population vector, then effects in the order of their array.
        diagonal: $a$.
        factor: $B$.
        core: $G$.
        elbo: its evidence lower bound [nats].
    """

    mean: Float[np.ndarray, " value"]
    diagonal: Float[np.ndarray, " value"]
    factor: Float[np.ndarray, "value column"]
    core: Float[np.ndarray, "column column"]
    elbo: float


def pathfinder(
    hierarchy: Hierarchy, records: Data, *, key: Key, paths: int = 4, draws: int = 20, steps: int = 300
) -> Approximation:
    r"""The normal approximation of largest evidence lower bound on several L-BFGS paths (Zhang et al. 2022).

    Paths climb $\log p(y, b, \varphi)$ from around the prior means. Where it has no maximum, as in a funnel, or one far
    from the mass of the posterior, what is taken is not the end of a path but its point of largest bound.

    Args:
        hierarchy: the model, split at its plate.
        records: the data.
        key: of starts and draws.
        paths: how many.
        draws: for the bound of a point.
        steps: of a path at most.

    Raises:
        InferenceError: no path has a point with a finite bound.

    Source: Zhang, Carpenter, Gelman & Vehtari 2022, JMLR 23(306), algorithms 1 to 4.
    """
    centre, unit = np.asarray(hierarchy.prior_centre()), np.asarray(hierarchy.prior_unit())
    size = centre.size + hierarchy.n_effects * records.n_subjects
    best: Approximation | None = None
    for attempt, own in enumerate(jax.random.split(key, paths)):
        start_key, draw_key = jax.random.split(own)
        away = np.asarray(jax.random.normal(start_key, (size,)))
        start = np.concatenate([centre, np.zeros(size - centre.size)])
        start[: centre.size] += 0.5 * attempt * unit * away[: centre.size]
        start[centre.size :] += 0.1 * away[centre.size :]
        noise = np.asarray(jax.random.normal(draw_key, (draws, size)))
        found = _along(_path(hierarchy, records, start, steps), hierarchy, records, noise)
        if found is not None and (best is None or found.elbo > best.elbo):
            best = found
    if best is None:
        do = "The model overflows from where it begins: tighten its priors."
        problem = InferenceError("pathfinder", "a finite evidence bound on a path", f"none on {paths} paths", do)
        raise located(problem, hierarchy, centre, records)
    return best


def _path(hierarchy: Hierarchy, records: Data, start: np.ndarray, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points of one climb, each with the gradient of minus the log density."""
    seen: dict[bytes, np.ndarray] = {}
    points = []

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _negative(jnp.asarray(at), records, hierarchy)
        number, direction = float(value), np.asarray(slope)
        if not (np.isfinite(number) and np.all(np.isfinite(direction))):
            return 1e100, np.zeros_like(at)
        seen[at.tobytes()] = direction
        return number, direction

    def passed(point: np.ndarray) -> None:
        if point.tobytes() in seen:
            points.append((point.copy(), seen[point.tobytes()]))

    objective(start)
    passed(start)
    if points:
        options = {"maxiter": steps, "maxcor": MEMORY}
        minimize(objective, start, jac=True, method="L-BFGS-B", options=options, callback=passed)
    return points


@partial(jax.jit, static_argnums=2)
def _negative(at: Array, records: Data, hierarchy: Hierarchy) -> tuple[Array, Array]:
    return jax.value_and_grad(lambda point: -_log_density(point, records, hierarchy))(at)


@partial(jax.jit, static_argnums=2)
def _log_densities(at: Float[Array, "draw value"], records: Data, hierarchy: Hierarchy) -> Float[Array, " draw"]:
    return jax.vmap(lambda point: _log_density(point, records, hierarchy))(at)


def _log_density(at: Float[Array, " value"], records: Data, hierarchy: Hierarchy) -> Float[Array, ""]:
    vector = at[: hierarchy.n_population]
    effects = at[hierarchy.n_population :].reshape(hierarchy.n_effects, records.n_subjects)
    subjects = hierarchy.log_subject(hierarchy.constrain(vector), effects, records)
    return jnp.sum(subjects) + hierarchy.log_population(vector, records, prior=True)


def _along(
    points: list[tuple[np.ndarray, np.ndarray]], hierarchy: Hierarchy, records: Data, noise: np.ndarray
) -> Approximation | None:
    """The approximation of largest bound on one path."""
    best: Approximation | None = None
    diagonal = np.ones(noise.shape[1])
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for (before, old), (point, slope) in pairwise(points):
        step, change = point - before, slope - old
        if step @ change > SHORTEST * (change @ change):
            pairs = [*pairs[1 - MEMORY :], (step, change)]
            diagonal = _diagonal(diagonal, step, change)
        if not pairs:
            continue
        found = _evaluated(point, slope, diagonal, pairs, hierarchy, records, noise)
        if found is not None and (best is None or found.elbo > best.elbo):
            best = found
    return best


def _diagonal(diagonal: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The next diagonal of the inverse Hessian (Gilbert & Lemaréchal 1989, as in algorithm 3)."""
    a = change @ (diagonal * change)
    b = change @ step
    c = step @ (step / diagonal)
    return 1.0 / (a / (b * diagonal) + change**2 / b - (a * step**2) / (b * c * diagonal**2))


def _evaluated(
    point: np.ndarray,
    slope: np.ndarray,
    diagonal: np.ndarray,
    pairs: list[tuple[np.ndarray, np.ndarray]],
    hierarchy: Hierarchy,
    records: Data,
    noise: np.ndarray,
) -> Approximation | None:
    """The approximation at one point; None where its covariance is not definite or its bound not finite."""
    steps, changes = (np.stack(columns, axis=1) for columns in zip(*pairs, strict=True))
    upper = np.triu(steps.T @ changes)
    scaled = diagonal[:, None] * changes
    inverse = np.linalg.inv(upper)
    corner = inverse.T @ (np.diag(np.diag(upper)) + changes.T @ scaled) @ inverse
    core = np.block([[np.zeros_like(inverse), -inverse], [-inverse.T, corner]])
    factor = np.concatenate([scaled, steps], axis=1)
    mean = point - (diagonal * slope + factor @ (core @ (factor.T @ slope)))
    # A + B G B' = A^{1/2} (I + Q R G R' Q') A^{1/2} with Q R = A^{-1/2} B.
    root = np.sqrt(diagonal)
    basis, small = np.linalg.qr(factor / root[:, None])
    values, vectors = np.linalg.eigh(np.eye(small.shape[0]) + small @ core @ small.T)
    if not values[0] > 0.0:
        return None
    turned = basis @ vectors
    draws = mean + root * (noise + (noise @ turned * (np.sqrt(values) - 1.0)) @ turned.T)
    entropy = 0.5 * (np.log(values).sum() + np.log(diagonal).sum() + noise.shape[1] * (1.0 + np.log(2.0 * np.pi)))
    elbo = float(np.mean(np.asarray(_log_densities(jnp.asarray(draws), records, hierarchy))) + entropy)
    return Approximation(mean, diagonal, factor, core, elbo) if np.isfinite(elbo) else None
