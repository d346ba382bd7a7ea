"""The marginal objective of all subjects: its value, gradient and scores, one chunk of subjects after the other."""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from dpm.inference.chunks import AXIS, Chunks
from dpm.inference.marginal import Marginal
from dpm.types import Array, Bool, Float, Int

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


class Share(NamedTuple):
    """Which subjects an evaluation is of; numbers, not shapes, so that a few are computed by what all are.

    Attributes:
        chunks: how many of each part's, on every device, from the first.
        weight: of each part's sum.
    """

    chunks: Int[Array, " part"]
    weight: Float[Array, " part"]


def shared(parts: tuple[Chunks, ...], over: Mesh | None, subjects: int) -> tuple[int, Share]:
    """The share of at least so many subjects, of every part as large a one, and how many it has.

    The weights are such that each part counts as all of it.
    """
    devices, of_all = 1 if over is None else over.size, sum(part.n_subjects for part in parts)
    chunks, weight, total = [], [], 0
    for part in parts:
        rows = part.counted.shape[0] // devices
        chunks.append(min(rows, -(-rows * subjects // of_all)))
        # Of a chunk that is not full the last subjects are missing: see `Chunks`.
        places = np.arange(part.counted.size).reshape(devices, rows, -1)[:, : chunks[-1]]
        taken = int(np.sum(places < part.n_subjects))
        weight.append(part.n_subjects / taken)
        total += taken
    return total, Share(jnp.asarray(chunks), jnp.asarray(weight))


@partial(jax.jit, static_argnums=(1, 2, 3))
def evaluate(
    vector: Vector,
    marginal: Marginal,
    prior: bool,
    over: Mesh | None,
    starts: Starts,
    parts: tuple[Chunks, ...],
    share: Share | None,
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
        share: of these, whose terms are summed, and how they count; all where it is not given. Who is not among them
            keeps the modes that a search would have begun at.
    """

    def outside(at: Vector) -> Float[Array, ""]:
        return -marginal.hierarchy.log_population(at, parts[0].first, prior=prior)

    negative, slope = jax.value_and_grad(outside)(vector)
    total, found = jnp.zeros(()), []
    for k, (part, start) in enumerate(zip(parts, starts, strict=True)):
        chunks, weight = (None, 1.0) if share is None else (share.chunks[k], share.weight[k])
        value, own, subjects = _over_devices(vector, marginal, over, start, part, chunks)
        total, slope = total + weight * value, slope - weight * own
        found.append(subjects)
    return Evaluated(negative - total, slope, total, tuple(found))


def _over_devices(
    vector: Vector, marginal: Marginal, over: Mesh | None, start: Array, part: Chunks, chunks: Array | None
) -> tuple[Array, Vector, Subjects]:
    """A part's sum, on every device its own chunks."""
    many = part.counted.shape[0] // (1 if over is None else over.size) if chunks is None else chunks

    def own(
        at: Vector, begin: Array, counted: Array, arrays: tuple[Array, ...], many: Array | int
    ) -> tuple[Array, Vector, Subjects]:
        value, slope, subjects = _chunk_by_chunk(at, marginal, begin, counted, arrays, part, many)
        if over is None:
            return value, slope, subjects
        return lax.psum(value, AXIS), lax.psum(slope, AXIS), subjects

    if over is None:
        return own(vector, start, part.counted, part.arrays, many)
    rows, whole = PartitionSpec(AXIS), PartitionSpec()
    # The inner searches' loops mix values of a device with those of all, which the check of the types does not follow.
    spread_out = jax.shard_map(
        own, mesh=over, in_specs=(whole, rows, rows, rows, whole), out_specs=(whole, whole, rows), check_vma=False
    )
    return spread_out(vector, start, part.counted, part.arrays, many)


def _chunk_by_chunk(
    vector: Vector,
    marginal: Marginal,
    start: Array,
    counted: Array,
    arrays: tuple[Array, ...],
    part: Chunks,
    many: Array | int,
) -> tuple[Array, Vector, Subjects]:
    def one(k: Array, sums: tuple[Array, Vector, Subjects]) -> tuple[Array, Vector, Subjects]:
        value, slope, before = sums
        begin, real, *own = (lax.dynamic_index_in_dim(rows, k, keepdims=False) for rows in (start, counted, *arrays))
        each, modes, move = marginal.log_marginal_and_slope(vector, part.records(tuple(own)), begin, real)
        now = Subjects(each, jnp.where(modes.converged, modes.effects, begin), modes.converged)
        subjects = jax.tree_util.tree_map(lambda rows, row: rows.at[k].set(row), before, now)
        return value + jnp.sum(each), slope + move, subjects

    untouched = Subjects(jnp.zeros(counted.shape), start, jnp.ones(counted.shape, bool))
    return lax.fori_loop(0, many, one, (jnp.zeros(()), jnp.zeros_like(vector), untouched))


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
