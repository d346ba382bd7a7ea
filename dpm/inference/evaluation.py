"""The marginal objective of all subjects: its value, gradient and scores, one chunk of subjects after the other."""

from functools import partial
from typing import NamedTuple

import jax
from jax import lax
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from dpm.inference.chunks import AXIS, Chunks
from dpm.inference.marginal import Marginal
from dpm.types import Array, Bool, Float

Vector = Float[Array, " population"]
Starts = tuple[Float[Array, "_chunk effect _subject"], ...]
type Item = tuple[Array, Array, tuple[Array, ...]]
"""Of one chunk: where searches begin, which columns are subjects, and their records."""


class Subjects(NamedTuple):
    """What is known of the subjects of one part, all with the axes of its chunks.

    Attributes:
        log_marginal: each subject's, zero for what is no subject.
        effects: conditional modes; where one was not found, where the search began.
        converged: whether it was found.
    """

    log_marginal: Float[Array, "*_chunk _subject"]
    effects: Float[Array, "*_chunk effect _subject"]
    converged: Bool[Array, "*_chunk _subject"]


class Evaluated(NamedTuple):
    """One evaluation.

    Attributes:
        negative: minus the objective.
        slope: its gradient.
        log_likelihood: of the data, without the prior.
        subjects: per part.
    """

    negative: Float[Array, ""]
    slope: Vector
    log_likelihood: Float[Array, ""]
    subjects: tuple[Subjects, ...]


@partial(jax.jit, static_argnums=(1, 2, 3))
def evaluate(
    vector: Vector, marginal: Marginal, prior: bool, over: Mesh | None, starts: Starts, parts: tuple[Chunks, ...]
) -> Evaluated:
    r"""$-\sum_i \log p(y_i \mid \varphi) - \log p(\varphi)$ with its gradient, chunk after chunk.

    The gradient of a chunk is taken before the next one begins, so that memory holds one chunk's intermediate values
    however many there are, and a search for modes ends with the slowest subject of its chunk.

    Args:
        vector: population values, unconstrained scale.
        marginal: of the subjects' effects, at its level.
        prior: whether the prior is part of the objective.
        over: devices over which chunks are spread.
        starts: where the searches for modes begin, per part.
        parts: the subjects.
    """

    def outside(at: Vector) -> Float[Array, ""]:
        return -marginal.hierarchy.log_population(at, parts[0].first, prior=prior)

    negative, slope = jax.value_and_grad(outside)(vector)
    total, found = jnp.zeros(()), []
    for part, start in zip(parts, starts, strict=True):
        value, own, subjects = _over_devices(vector, marginal, over, start, part)
        total, slope = total + value, slope - own
        found.append(subjects)
    return Evaluated(negative - total, slope, total, tuple(found))


def _over_devices(
    vector: Vector, marginal: Marginal, over: Mesh | None, start: Array, part: Chunks
) -> tuple[Array, Vector, Subjects]:
    """A part's sum, on every device its own chunks."""

    def own(at: Vector, begin: Array, counted: Array, arrays: tuple[Array, ...]) -> tuple[Array, Vector, Subjects]:
        value, slope, subjects = _chunk_by_chunk(at, marginal, begin, counted, arrays, part)
        if over is None:
            return value, slope, subjects
        return lax.psum(value, AXIS), lax.psum(slope, AXIS), subjects

    if over is None:
        return own(vector, start, part.counted, part.arrays)
    rows, whole = PartitionSpec(AXIS), PartitionSpec()
    # The inner searches' loops mix values of a device with those of all, which the check of the types does not follow.
    spread_out = jax.shard_map(
        own, mesh=over, in_specs=(whole, rows, rows, rows), out_specs=(whole, whole, rows), check_vma=False
    )
    return spread_out(vector, start, part.counted, part.arrays)


def _chunk_by_chunk(
    vector: Vector, marginal: Marginal, start: Array, counted: Array, arrays: tuple[Array, ...], part: Chunks
) -> tuple[Array, Vector, Subjects]:
    def one(carry: tuple[Array, Vector], item: Item) -> tuple[tuple[Array, Vector], Subjects]:
        begin, real, own = item
        each, modes, move = marginal.log_marginal_and_slope(vector, part.records(own), begin, real)
        effects = jnp.where(modes.converged, modes.effects, begin)
        subjects = Subjects(each, effects, modes.converged)
        return (carry[0] + jnp.sum(each), carry[1] + move), subjects

    (value, slope), subjects = lax.scan(one, (jnp.zeros(()), jnp.zeros_like(vector)), (start, counted, arrays))
    return value, slope, subjects


@partial(jax.jit, static_argnums=(1, 2))
def all_totals(
    vectors: Float[Array, "draw population"],
    marginal: Marginal,
    prior: bool,
    starts: Starts,
    parts: tuple[Chunks, ...],
) -> Float[Array, " draw"]:
    def of_part(vector: Vector, part: Chunks, start: Array) -> Array:
        def of_chunk(item: Item) -> Array:
            begin, real, own = item
            return jnp.sum(jnp.where(real, marginal.log_marginal(vector, part.records(own), begin)[0], 0.0))

        return jnp.sum(lax.map(of_chunk, (start, part.counted, part.arrays)))

    def of_draw(vector: Vector) -> Array:
        each = [of_part(vector, part, start) for part, start in zip(parts, starts, strict=True)]
        outside = marginal.hierarchy.log_population(vector, parts[0].first, prior=True) if prior else jnp.zeros(())
        return sum(each, outside)

    return lax.map(of_draw, vectors)


@partial(jax.jit, static_argnums=1)
def scores(
    vector: Vector, marginal: Marginal, starts: Starts, parts: tuple[Chunks, ...]
) -> tuple[Float[Array, "_chunk _subject population"], ...]:
    r"""Each subject's score, $\partial \log p(y_i \mid \varphi)/\partial\varphi$; zero for what is no subject."""

    def of_part(part: Chunks, start: Array) -> Array:
        def of_chunk(item: Item) -> Array:
            begin, real, own = item
            each = jax.jacfwd(lambda at: marginal.log_marginal(at, part.records(own), begin)[0])(vector)
            return jnp.where(real[:, None], each, 0.0)

        return lax.map(of_chunk, (start, part.counted, part.arrays))

    return tuple(of_part(part, start) for part, start in zip(parts, starts, strict=True))
