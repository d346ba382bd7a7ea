"""`Buckets`: the records of a cohort whose subjects have very different numbers of visits, with little padding."""

from dataclasses import dataclass, replace

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.records import Records
from dpm.types import Array, Bool, Int

MOST_WASTE = 0.25
"""Share of an array that may be padding."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Buckets:
    """Subjects sorted by their number of visits and cut into a few `Records`, each padded to its own longest; a pytree.

    Subjects keep the order of the cohort for whoever asks: `split` hands a bucket its subjects' columns, `join` puts
    columns that buckets computed back in the cohort's order.

    Attributes:
        parts: the buckets, fewest visits first.
        order: of each column of the parts side by side, the position of its subject in the cohort.
        place: of each subject of the cohort, its column in the parts side by side.
    """

    parts: tuple[Records, ...]
    order: Int[Array, " subject"]
    place: Int[Array, " subject"]

    @property
    def n_subjects(self) -> int:
        return int(self.order.shape[0])

    @property
    def largest(self) -> Records:
        """The bucket of most subjects: what does not depend on the subject is found there as anywhere."""
        return max(self.parts, key=lambda part: part.n_subjects)

    def split(self, values: Array) -> list[Array]:
        """The columns of each bucket of an array whose last axis is the cohort's subjects."""
        stops = np.cumsum([part.n_subjects for part in self.parts])[:-1]
        return list(jnp.split(values[..., self.order], stops, axis=-1))

    def join(self, columns: list[Array]) -> Array:
        """The inverse of `split`."""
        return jnp.concatenate(columns, axis=-1)[..., self.place]

    def hide(self, subjects: Bool[Array, " subject"]) -> "Buckets":
        """As `Records.hide`."""
        parts = zip(self.parts, self.split(subjects), strict=True)
        return replace(self, parts=tuple(part.hide(hidden) for part, hidden in parts))


type Data = Records | Buckets
"""What inference takes: the records of a cohort, whole or in buckets."""


def bucketed(records: Records, visits: Int[np.ndarray, " subject"], most_waste: float = MOST_WASTE) -> Buckets:
    """The same records in as few buckets as keep padding to at most `most_waste` of the arrays.

    Args:
        records: of the whole cohort.
        visits: how many each subject has; the rest of its column is padding.
        most_waste: between 0 and 1.
    """
    order = np.argsort(visits, kind="stable")
    longest = np.maximum(visits[order], 1)
    stops = _stops(longest, most_waste)
    parts = []
    for start, stop in zip([0, *stops[:-1]], stops, strict=True):
        part = records.take(order[start:stop])
        parts.append(part.first_visits(int(longest[stop - 1])))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return Buckets(tuple(parts), jnp.asarray(order), jnp.asarray(place))


def _stops(longest: Int[np.ndarray, " subject"], most_waste: float) -> list[int]:
    """Where to cut subjects sorted by length: the fewest buckets that waste little, cut where they waste least."""
    lengths, counts = np.unique(longest, return_counts=True)
    ends = np.cumsum(counts)
    m, real = len(lengths), int(longest.sum())
    # least[j]: smallest padded size of all subjects with one of the first j lengths in k buckets.
    least = np.concatenate([[0.0], np.full(m, np.inf)])
    cuts: list[np.ndarray] = []
    for _ in range(m):
        first = np.concatenate([[0], ends])
        size = lengths[None, :] * (first[None, 1:] - first[:-1, None])
        total = np.where(np.arange(m)[:, None] <= np.arange(m)[None, :], least[:-1, None] + size, np.inf)
        cuts.append(total.argmin(axis=0))
        least = np.concatenate([[np.inf], total.min(axis=0)])
        if real >= (1.0 - most_waste) * least[-1]:
            break
    stops, j = [], m
    for cut in reversed(cuts):
        stops.append(int(ends[j - 1]))
        j = int(cut[j - 1])
    return stops[::-1]
