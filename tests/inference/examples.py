"""Every model of these tests with its records and a point in the middle of its parameter space."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Level, Marginal
from dpm.inference.surface import Surface
from dpm.types import Array, Model, PerSubject

from . import hand_written, orange, orthodont, theophylline, wang


@dataclass(frozen=True, eq=False)
class Example:
    """A model, the records it is fitted to, and population values on their natural scale."""

    model: Model
    data: Callable[[], Records]
    values: Mapping[str, np.ndarray | float]


EXAMPLES = {
    "wang_proportional": Example(wang.model("proportional"), wang.records, wang.PUBLISHED),
    "wang_additive": Example(wang.model("additive"), wang.records, wang.PUBLISHED),
    "theophylline": Example(theophylline.model, theophylline.records, theophylline.FIXED),
    "orthodont": Example(orthodont.model(), orthodont.records, orthodont.VALUES),
    "orange": Example(orange.MODEL, orange.records, orange.VALUES),
    "poisson": Example(hand_written.poisson, hand_written.counts, hand_written.POISSON),
    "joint_effects": Example(hand_written.joint_effects, hand_written.counts, hand_written.LINES),
    "separate_effects": Example(hand_written.separate_effects, hand_written.counts, hand_written.LINES),
    "positive_effect": Example(hand_written.positive_effect, hand_written.counts, hand_written.POSITIVE),
    "unbounded_effect": Example(hand_written.unbounded_effect, hand_written.counts, hand_written.POSITIVE),
}


@cache
def records(name: str) -> Records:
    return EXAMPLES[name].data()


@cache
def hierarchy(name: str) -> Hierarchy:
    return Hierarchy.of(EXAMPLES[name].model, records(name))


@cache
def vector(name: str) -> Array:
    """The example's population values, unconstrained scale."""
    values = {site: jnp.asarray(np.asarray(value, float)) for site, value in EXAMPLES[name].values.items()}
    return hierarchy(name).unconstrain(values)


@cache
def marginal(name: str, level: Level, n_nodes: int = 9, seed: int = 0) -> Marginal:
    """One `Marginal` per level, so that what is compiled for it serves every test."""
    return Marginal.at(hierarchy(name), level, records(name), n_nodes=n_nodes, key=jax.random.key(seed))


def evaluate(prepared: Marginal, at: Array, data: Records) -> tuple[float, np.ndarray]:
    """Log marginal likelihood of all subjects and its gradient, by the function that `Laplace` climbs."""
    found = Surface(prepared, data, prior=False).at(at)
    return -float(found.negative), -np.asarray(found.slope)


@partial(jax.jit, static_argnums=0)
def each(prepared: Marginal, at: Array, data: Records) -> PerSubject:
    """Log marginal likelihood of each subject."""
    return prepared.log_marginal(at, data)[0]
