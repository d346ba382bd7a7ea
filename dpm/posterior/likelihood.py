"""Each subject's log marginal likelihood at each draw of a posterior: what leaving a patient out is computed from."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import pandas as pd
import xarray as xr
from jax import lax
from jax import numpy as jnp

from dpm.cohort.cohort import Cohort
from dpm.cohort.records import Records
from dpm.errors import PosteriorError
from dpm.inference.accuracy import finer
from dpm.inference.batching import batch_size
from dpm.inference.chunks import Chunks, chunked
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Level, Marginal
from dpm.inference.nodes import MOST_EFFECTS
from dpm.inference.straight import n_bent
from dpm.posterior.posterior import Posterior
from dpm.posterior.tree import LEADING
from dpm.types import Array, Float, Key

NODES = {"quadrature": 9, "qmc": 1024}
"""By default: per effect, and in all."""

CELLS = 4_000_000
"""Values that may be computed at once: draws times nodes times visits times subjects. Subjects are worked on in chunks,
so that memory holds so many, however many subjects and nodes there are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SubjectLikelihood:
    r"""$\log p(y_i \mid \varphi_s) = \log \int p(y_i \mid b_i, \varphi_s)\,p(b_i \mid \varphi_s)\,\mathrm{d}b_i$.

    Attributes:
        marginal: of the subjects' effects, at its level.
        records: the subjects.
        ids: theirs.
        vectors: the draws $\varphi_s$, unconstrained scale.
    """

    marginal: Marginal
    records: Records
    ids: pd.Index
    vectors: Float[Array, "draw population"]

    @classmethod
    def of(
        cls,
        posterior: Posterior,
        cohort: Cohort,
        *,
        key: Key,
        level: Level | None = None,
        n_nodes: int | None = None,
    ) -> "SubjectLikelihood":
        """A posterior's draws beside the subjects of `cohort`, encoded as at the fit; see `subject_log_likelihood`."""
        point_key, new_key = jax.random.split(key)
        records = cohort.records(posterior.encodings)
        hierarchy = posterior.hierarchy(records)
        marginal = _at_level(hierarchy, level, records, n_nodes, key=point_key)
        vectors = posterior.vectors(hierarchy, key=new_key)
        return cls(marginal=marginal, records=records, ids=cohort.subjects.index, vectors=vectors)

    @property
    def centre(self) -> Float[Array, " population"]:
        """The mean of the draws."""
        return jnp.mean(self.vectors, axis=0)

    def each(self) -> Float[np.ndarray, "draw subject"]:
        """The log likelihoods.

        Raises:
            PosteriorError: a subject has none at some draw; the error names these subjects.
        """
        start = np.zeros((self.marginal.hierarchy.n_effects, self.records.n_subjects))
        _, modes = self._at_centre(self.marginal)
        found = self._at_draws(np.where(np.isfinite(modes), modes, 0.0))
        if not np.isfinite(found).all():  # a mode far from that at the centre may still be reached from zero
            found = np.where(np.isfinite(found), found, self._at_draws(start))
        self._refuse_lost(found)
        return found

    def level_error(self, *, key: Key) -> Float[np.ndarray, " subject"]:
        """What a finer level changes in each subject's log likelihood, at the mean of the draws.

        The level is that of `finer`.
        """
        hierarchy = self.marginal.hierarchy
        if not hierarchy.n_effects:
            return np.zeros(self.records.n_subjects)
        values = [self._at_centre(level)[0] for level in (finer(self.marginal, self.records, key=key), self.marginal)]
        return values[0] - values[1]

    def _at_draws(self, start: Float[np.ndarray, "effect subject"]) -> Float[np.ndarray, "draw subject"]:
        """Of every draw, searches beginning at `start`; not finite where one found no mode."""
        (chunks,) = chunked(self.records, cells=_cells(self.marginal))
        one = chunks.counted.shape[1] * self.records.time.shape[0] * max(len(self.marginal.nodes), 1)
        most = int(np.clip(CELLS / one, 1, 64))
        return chunks.join(_at_draws(self.vectors, chunks.split(start), chunks, self.marginal, most))

    def _at_centre(
        self, marginal: Marginal
    ) -> tuple[Float[np.ndarray, " subject"], Float[np.ndarray, "effect subject"]]:
        """At the mean of the draws: log likelihoods and modes, searches beginning at zero."""
        (chunks,) = chunked(self.records, cells=_cells(marginal))
        start = np.zeros((marginal.hierarchy.n_effects, self.records.n_subjects))
        each, modes = _at_one(self.centre, chunks.split(start), chunks, marginal)
        return chunks.join(each), chunks.join(modes)

    def _refuse_lost(self, found: Float[np.ndarray, "draw subject"]) -> None:
        lost = (~np.isfinite(found)).sum(axis=0)
        if not lost.any():
            return
        which = np.flatnonzero(lost)
        named = ", ".join(f"{self.ids[k]} ({lost[k]:,} of {len(found):,} draws)" for k in which[:5])
        more = f" and {len(which) - 5:,} more" if len(which) > 5 else ""
        do = "Their effects have no conditional mode there: look at their values, or simplify the model."
        if self.marginal.level in ("focei", "laplace"):
            do = 'Ask for a higher level ("laplace", then "quadrature" or "qmc"). ' + do
        expected = "a marginal likelihood of every subject at every draw"
        raise PosteriorError(
            f'subject_log_likelihood, level "{self.marginal.level}"', expected, f"none for {named}{more}", do
        )


def subject_log_likelihood(
    posterior: Posterior, cohort: Cohort, *, key: Key, level: Level | None = None, n_nodes: int | None = None
) -> xr.DataArray:
    r"""Log marginal likelihood of each subject at each population draw, effects and discrete sites integrated out.

    $$\log p(y_i \mid \varphi_s) = \log \int p(y_i \mid b_i, \varphi_s)\,p(b_i \mid \varphi_s)\,\mathrm{d}b_i$$

    This, not $\log p(y_i \mid b_{is}, \varphi_s)$, is what tells how a patient would be predicted who was not in the
    fit: effects that were drawn given $y_i$ have seen it.

    Args:
        posterior: any; only its population draws are used.
        cohort: that of the fit, or another, encoded as at the fit.
        key: for the points of `level="qmc"`, and for levels of a group that were not met at the fit, which each draw
            takes from the population of levels.
        level: of the integral, see `Marginal`; by default quadrature for up to three effects that do not enter
            linearly, qmc for more.
            `"laplace"` is exact, and faster, where effects enter linearly with normal noise.
        n_nodes: per such effect for quadrature, points in all for qmc; see `NODES`.

    Returns:
        dimensions `(chain, draw, subject)`.

    Raises:
        PosteriorError: the draws are not of this model, or a subject has no likelihood at some draw.

    Source: Merkle, Furr & Rabe-Hesketh 2019, Psychometrika 84, 802-829, doi 10.1007/s11336-019-09679-0.
    """
    found = SubjectLikelihood.of(posterior, cohort, key=key, level=level, n_nodes=n_nodes)
    return by_draw(posterior, found.each(), found.ids)


def by_draw(posterior: Posterior, values: Float[np.ndarray, "draw subject"], ids: pd.Index) -> xr.DataArray:
    """Values of subjects at all draws of a posterior, with its chains and draws named."""
    sizes = posterior.draws.sizes
    shape = (sizes["chain"], sizes["draw"], len(ids))
    coordinates = {**{axis: np.arange(sizes[axis]) for axis in LEADING}, "subject": ids.astype(str).to_numpy()}
    return xr.DataArray(values.reshape(shape), coords=coordinates, dims=(*LEADING, "subject"), name="log_likelihood")


def _at_level(
    hierarchy: Hierarchy, level: Level | None, records: Records, n_nodes: int | None, *, key: Key
) -> Marginal:
    if level is None:
        few = n_bent(hierarchy, records) <= MOST_EFFECTS
        level = "laplace" if not hierarchy.n_effects else "quadrature" if few else "qmc"
    return Marginal.at(hierarchy, level, records, n_nodes=n_nodes or NODES.get(level, 9), key=key)


def _cells(marginal: Marginal) -> int:
    """Visits times subjects of a chunk."""
    return max(CELLS // max(len(marginal.nodes), 1), 1)


@partial(jax.jit, static_argnums=3)
def _at_one(vector: Array, starts: Array, chunks: Chunks, marginal: Marginal) -> tuple[Array, Array]:
    def of_chunk(item: tuple[Array, tuple[Array, ...]]) -> tuple[Array, Array]:
        each, modes = marginal.log_marginal(vector, chunks.records(item[1]), item[0])
        return each, modes.effects

    return lax.map(of_chunk, (starts, chunks.arrays))


@partial(jax.jit, static_argnums=(3, 4))
def _at_draws(vectors: Array, starts: Array, chunks: Chunks, marginal: Marginal, most: int) -> Array:
    """Axes `(chunk, draw, subject)`: chunk after chunk, in each `most` draws at once."""

    def of_chunk(item: tuple[Array, tuple[Array, ...]]) -> Array:
        own = chunks.records(item[1])

        def one(vector: Array) -> Array:
            return marginal.log_marginal(vector, own, item[0])[0]

        return lax.map(one, vectors, batch_size=batch_size(vectors.shape[0], most))

    return lax.map(of_chunk, (starts, chunks.arrays))
