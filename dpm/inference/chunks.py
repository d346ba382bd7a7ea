"""`Chunks`: subjects in parts of one shape, worked on one after the other in what memory and cache hold."""

import math
from dataclasses import dataclass, field

import jax
import numpy as np
from jax import numpy as jnp
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.tree_util import PyTreeDef

from dpm.cohort.buckets import Buckets, Data
from dpm.cohort.records import Records
from dpm.types import Array, Bool

CELLS = {"cpu": 4_096, "gpu": 4_000_000}
"""Visits times subjects of one chunk, by kind of device. On a CPU its arrays lie in a core's cache: of 10,000 subjects
with 8 visits, a gradient of the marginal costs 15 ms of CPU in chunks of 250 or 500 and 60 ms with all of them at once.
On a GPU it only bounds memory."""

LEAST = 32
"""Subjects of a chunk, however many their visits."""

AXIS = "chunk"
"""Name of the mesh's one axis."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Chunks:
    """The records of many subjects cut into parts of one shape; a pytree.

    Attributes:
        arrays: of the records of all parts, in order, with a leading axis `chunk`.
        structure: of the records of one.
        counted: where a column is a subject; elsewhere it repeats the last one and counts for nothing.
        n_subjects: of all parts.
        shuffled: whether subjects are in an order of chance, so that the first chunks are a fair sample of them, and
            not in the cohort's.
    """

    arrays: tuple[Array, ...]
    counted: Bool[Array, "chunk subject"]
    structure: PyTreeDef = field(metadata={"static": True})
    n_subjects: int = field(metadata={"static": True})
    shuffled: bool = field(default=False, metadata={"static": True})

    @property
    def first(self) -> Records:
        """One part: what does not depend on the subject is found there as anywhere."""
        return self.records(tuple(array[0] for array in self.arrays))

    def records(self, arrays: tuple[Array, ...]) -> Records:
        """The arrays of one part as records."""
        return jax.tree_util.tree_unflatten(self.structure, arrays)

    def split(self, values: Array | np.ndarray) -> Array:
        """An array whose last axis is the subjects, cut on the host as they are; axes `(chunk, ..., subject)`."""
        places = _places(self.n_subjects, self.counted.shape, self.shuffled)
        return jnp.asarray(np.moveaxis(np.asarray(values)[..., places], -2, 0))

    def join(self, values: Array | np.ndarray) -> np.ndarray:
        """The inverse of `split`, on the host."""
        whole = np.moveaxis(gathered(values), 0, -2)
        # The length is given: of an array without effects it cannot be inferred.
        flat = whole.reshape(*whole.shape[:-2], whole.shape[-2] * whole.shape[-1])[..., : self.n_subjects]
        return flat[..., np.argsort(_order(self.n_subjects, shuffled=True))] if self.shuffled else flat


def gathered(values: Array | np.ndarray) -> np.ndarray:
    """An array on this host, also where other processes hold a part of it."""
    if isinstance(values, jax.Array) and not (values.is_fully_addressable or values.is_fully_replicated):
        return np.asarray(multihost_utils.process_allgather(values, tiled=True))
    return np.asarray(values)


def _order(subjects: int, shuffled: bool) -> np.ndarray:
    """Positions in the order in which they are cut; shuffled always alike."""
    return np.random.default_rng(0).permutation(subjects) if shuffled else np.arange(subjects)


def _places(subjects: int, shape: tuple[int, ...], shuffled: bool) -> np.ndarray:
    whole = np.minimum(np.arange(math.prod(shape)), subjects - 1)
    return _order(subjects, shuffled)[whole].reshape(shape)


def chunked(data: Data, *, cells: int | None = None, devices: int = 1, shuffled: bool = False) -> tuple[Chunks, ...]:
    """Every bucket, or the whole, cut into chunks of about `cells` cells; as many as `devices`, or a multiple of it.

    Args:
        data: of all subjects.
        cells: visits times subjects of a chunk; what suits the kind of device where it is not given.
        devices: over which chunks are to be spread.
        shuffled: see `Chunks`; one chunk has nothing to choose from and is left as it is.
    """
    if cells is None:
        cells = CELLS.get(jax.default_backend(), CELLS["gpu"])
    wholes = data.parts if isinstance(data, Buckets) else (data,)
    return tuple(_cut(whole, cells, devices, shuffled) for whole in wholes)


def divided(data: Data, parts: tuple[Chunks, ...], values: Array | np.ndarray) -> tuple[Array, ...]:
    """An array whose last axis is the subjects of `data`, in the chunks that it was cut into."""
    columns = data.split(jnp.asarray(values)) if isinstance(data, Buckets) else [values]
    return tuple(part.split(own) for part, own in zip(parts, columns, strict=True))


def _cut(records: Records, cells: int, devices: int, shuffled: bool) -> Chunks:
    subjects = records.n_subjects
    size = max(LEAST, cells // max(1, records.time.shape[0]))
    parts = max(1, -(-subjects // size))
    parts = -(-parts // devices) * devices
    size = -(-subjects // parts)
    shuffled = shuffled and parts > 1
    places = _places(subjects, (parts, size), shuffled)
    counted = np.arange(parts * size).reshape(parts, size) < subjects
    leaves, structure = jax.tree_util.tree_flatten(records)
    cut = tuple(jnp.asarray(np.moveaxis(np.asarray(leaf)[..., places], -2, 0)) for leaf in leaves)
    return Chunks(cut, jnp.asarray(counted), structure, subjects, shuffled)


def mesh() -> Mesh | None:
    """All devices of all processes in a row; none where there is only one."""
    devices = jax.devices()
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,)) if len(devices) > 1 else None


def spread[Tree: (Chunks, Array)](tree: Tree, over: Mesh | None) -> Tree:
    """The same arrays with their chunks spread over the devices; every process of several holds the whole."""
    if over is None:
        return tree
    place = NamedSharding(over, PartitionSpec(AXIS))

    def put(leaf: Array) -> Array:
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, place, lambda rows: whole[rows])

    return jax.tree_util.tree_map(put, tree)
