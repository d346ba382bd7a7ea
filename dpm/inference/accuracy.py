"""How far a marginal likelihood is from the exact one: the next level of accuracy, at draws of population values."""

from typing import NamedTuple

import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference.importance import smoothed
from dpm.inference.marginal import Level, Marginal
from dpm.inference.surface import Surface
from dpm.types import Array, Float, Key

NODES = {1: 15, 2: 9, 3: 7}
"""Quadrature nodes per effect of the level above Laplace's, by how many effects there are."""

POINTS = 512
"""Sobol points of that level, where there are more effects."""


class Accuracy(NamedTuple):
    """What a finer level says of draws that rest on a coarser one.

    Attributes:
        finer: the finer level, in words.
        pareto_k: shape of the tail of the weights from the coarser posterior to the finer.
        shift: largest move of a mean under these weights [posterior standard deviations].
        widening: largest ratio, over or under one, of an sd under these weights to the one without.
        of: the value whose mean moves most.
        log_likelihood: mean of the finer log likelihood less the coarser.
    """

    finer: str
    pareto_k: float
    shift: float
    widening: float
    of: str
    log_likelihood: float


def finer(marginal: Marginal, *, key: Key) -> Marginal:
    """The next level of accuracy: quadrature for up to three effects, quasi-Monte-Carlo above, then more nodes."""
    hierarchy, q = marginal.hierarchy, marginal.hierarchy.n_effects
    if marginal.level == "quadrature":
        per_effect = round(len(marginal.nodes) ** (1.0 / q))
        return Marginal.at(hierarchy, "quadrature", n_nodes=per_effect + 4)
    if marginal.level == "qmc":
        return Marginal.at(hierarchy, "qmc", n_nodes=4 * len(marginal.nodes), key=key)
    if q in NODES:
        return Marginal.at(hierarchy, "quadrature", n_nodes=NODES[q])
    return Marginal.at(hierarchy, "qmc", n_nodes=POINTS, key=key)


def described(level: Level, nodes: int) -> str:
    """A level with its nodes, in words."""
    return f"{level}, {nodes:,} nodes" if nodes else level


def accuracy(
    marginal: Marginal, records: Data, vectors: Float[Array, "draw population"], effects: np.ndarray, *, key: Key
) -> Accuracy:
    r"""Weigh draws of $p(\varphi \mid y)$ at one level of the marginal by $\exp(\ell' - \ell)$ of the next.

    Args:
        marginal: the level that draws rest on.
        records: the data.
        vectors: draws, unconstrained scale; a few hundred will do.
        effects: modes near which all searches begin.
        key: of Sobol points.
    """
    exact = finer(marginal, key=key)
    coarse, fine = (totals(level, records, vectors, effects) for level in (marginal, exact))
    name = described(exact.level, len(exact.nodes))
    apart = fine - coarse
    if not np.all(np.isfinite(apart)):
        return Accuracy(name, np.inf, np.inf, np.inf, "", float("nan"))
    share, k = smoothed(apart)
    draws = np.asarray(vectors)
    mean, sd = draws.mean(axis=0), draws.std(axis=0)
    moved = share @ draws
    shift = np.abs(moved - mean) / sd
    ratio = np.sqrt(share @ (draws - moved) ** 2) / sd
    at = int(np.argmax(shift))
    return Accuracy(
        finer=name,
        pareto_k=k,
        shift=float(shift[at]),
        widening=float(np.max(np.maximum(ratio, 1.0 / ratio))),
        of=marginal.hierarchy.population_names()[at],
        log_likelihood=float(apart.mean()),
    )


def totals(
    marginal: Marginal, records: Data, vectors: Float[Array, "draw population"], effects: np.ndarray
) -> Float[np.ndarray, " draw"]:
    """The log likelihood at several population vectors; not a number where a subject's could not be computed."""
    surface = Surface(marginal, records, prior=False)
    surface.begin_at(effects)
    return np.array([surface.total(vector) for vector in jnp.asarray(vectors)])
