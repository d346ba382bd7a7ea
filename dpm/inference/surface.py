"""A marginal objective over population values as searches see it: coordinates, and modes kept as warm starts."""

from copy import copy

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Buckets, Data
from dpm.inference.chunks import chunked, divided, gathered, mesh, spread
from dpm.inference.coordinates import Coordinates
from dpm.inference.evaluation import Evaluated, Starts, Vector, all_totals, evaluate, scores, shared
from dpm.inference.faults import Fault, fault_of
from dpm.inference.marginal import Marginal
from dpm.inference.progress import Line
from dpm.types import Array, Float

GAIN = 1e-9
"""What a subject's likelihood gains by another mode that counts, relative to the objective."""

APART = 10.0
"""How much worse than where the kept modes were found a point may be whose modes are kept instead [log units]."""

PIECE = 50
"""Population vectors that are worked on between two signs of life, and between two moments at which Ctrl-C is heard."""

SAMPLE = 1_000
"""Subjects of a sample, at least: from its maximum, with its information, 44 values took 26 evaluations of 10,000."""

A_VALUE = 20
"""Subjects of a sample for each population value, at least."""

WORTH = 4
"""How many times as many subjects as a sample a cohort has where a sample is worth while."""


@jax.jit
def _placed(x: Vector, coordinates: Coordinates) -> tuple[Vector, Float[Array, ""]]:
    return coordinates.values(x)


@jax.jit
def _pulled(x: Vector, coordinates: Coordinates, slope: Vector, of_volume: Float[Array, ""]) -> Vector:
    """The gradient by coordinates of what has this gradient by population values, and so much of the log volume."""
    _, pull = jax.vjp(coordinates.values, x)
    return pull((slope, of_volume))[0]


class Surface:
    """One objective on one set of records, in some coordinates; carries modes along as warm starts.

    With a prior the objective is minus the log density of the coordinates. A point is one in these; plain ones are the
    unconstrained scale. Modes of a point far worse than where the last ones were found are not carried on: a line
    search that went too far would leave subjects in modes from which later searches do not come back, and the objective
    would depend on the way to a point.
    """

    def __init__(self, marginal: Marginal, data: Data, *, prior: bool, coordinates: Coordinates | None = None) -> None:
        self.marginal, self.data, self.prior = marginal, data, prior
        self.coordinates = coordinates or Coordinates.plain(marginal.hierarchy.n_population)
        self.over = mesh()
        wanted = max(SAMPLE, A_VALUE * marginal.hierarchy.n_population)
        many = WORTH * wanted <= data.n_subjects
        cut = chunked(data, devices=1 if self.over is None else self.over.size, shuffled=many)
        self.parts = tuple(spread(part, self.over) for part in cut)
        self.evaluations = 0
        few, of_few = shared(self.parts, self.over, wanted)
        # Whole chunks are a little more than was wanted; chunks of a GPU are so large that one may be everybody.
        self._few = of_few if many and 2 * few <= data.n_subjects else None
        self.share = None if self._few is None else shared(self.parts, self.over, data.n_subjects)[1]
        self.forget()

    def sample(self) -> "Surface | None":
        """The objective of some subjects by chance, as many as all in weight; none where all are not many more.

        It is computed by what computes that of all: nothing is compiled or stored anew. Buckets are sampled each on its
        own.
        """
        if self._few is None:
            return None
        other = self._copy()
        other.share, other._few = self._few, None
        return other

    def within(self, coordinates: Coordinates) -> "Surface":
        """The same objective in other coordinates, the records not stored anew."""
        other = self._copy()
        other.coordinates = coordinates
        return other

    def _copy(self) -> "Surface":
        other = copy(self)
        other.evaluations = 0
        other.forget()
        return other

    def forget(self) -> None:
        """Begin the next searches for modes as if none had been found."""
        self.begin_at(np.full((self.marginal.hierarchy.n_effects, self.data.n_subjects), np.nan))

    def begin_at(self, effects: np.ndarray) -> None:
        """Begin the next searches for modes at these effects."""
        self.starts: Starts = tuple(spread(own, self.over) for own in divided(self.data, self.parts, effects))
        self.kept = np.inf

    def _join(self, values: list[Array]) -> np.ndarray:
        """Per subject, in the cohort's order."""
        whole = np.concatenate([part.join(own) for part, own in zip(self.parts, values, strict=True)], axis=-1)
        return whole[..., np.asarray(self.data.place)] if isinstance(self.data, Buckets) else whole

    def vector(self, point: Array | np.ndarray) -> np.ndarray:
        """Population values of a point, unconstrained scale."""
        return np.asarray(point if self.coordinates.is_plain else _placed(jnp.asarray(point), self.coordinates)[0])

    def at(self, point: Array | np.ndarray) -> Evaluated:
        """The objective and its gradient; the modes found are where the next search begins, unless far worse."""
        x = jnp.asarray(point)
        vector, volume = (x, 0.0) if self.coordinates.is_plain else _placed(x, self.coordinates)
        found = evaluate(vector, self.marginal, self.prior, self.over, self.starts, self.parts, self.share)
        if not self.coordinates.is_plain:
            counts = 1.0 if self.prior else 0.0
            slope = _pulled(x, self.coordinates, found.slope, jnp.asarray(-counts))
            found = found._replace(negative=found.negative - counts * volume, slope=slope)
        if (negative := float(found.negative)) <= self.kept + APART:
            self.kept, self.starts = negative, tuple(subjects.effects for subjects in found.subjects)
        self.evaluations += 1
        return found

    def higher_modes(self, point: Array | np.ndarray, found: Evaluated) -> bool:
        """Whether a search from a grid finds a subject a mode with more likelihood than `found` at the same point.

        Where it does, the next searches begin there.
        """
        mine = self.effects(found)
        self.forget()
        again = self.at(point)
        gain = self._join(
            [a.log_marginal - b.log_marginal for a, b in zip(again.subjects, found.subjects, strict=True)]
        )
        higher = gain > GAIN * (1.0 + abs(float(found.negative)))
        self.begin_at(np.where(higher, self.effects(again), mine))
        return bool(np.any(higher))

    def totals(self, vectors: Float[Array, "draw population"], line: Line | None = None) -> Float[np.ndarray, " draw"]:
        """The objective, not minus it, at several population vectors, all searches from where they last began.

        In pieces of one shape: their number compiles nothing anew, `line` can tell of them, and Ctrl-C is heard.
        """
        flat = np.asarray(vectors)
        pieces = max(1, -(-len(flat) // PIECE))
        size, found = -(-len(flat) // pieces), []
        for own in np.minimum(np.arange(pieces * size), len(flat) - 1).reshape(pieces, size):
            each = all_totals(jnp.asarray(flat[own]), self.marginal, self.prior, self.starts, self.parts)
            found.append(gathered(each))
            if line is not None:
                line.tell(f"draw {min(len(found) * size, len(flat)):,} of {len(flat):,}")
        return np.concatenate(found)[: len(flat)]

    def slope(self, point: Array | np.ndarray) -> np.ndarray:
        """The gradient alone."""
        return np.asarray(self.at(point).slope)

    def effects(self, found: Evaluated) -> np.ndarray:
        """Every subject's mode."""
        return self._join([subjects.effects for subjects in found.subjects])

    def information(self, point: np.ndarray, steps: np.ndarray, *, both: bool = True) -> np.ndarray:
        """Observed information by differences of the exact gradient, central or, without `both`, forward."""
        here = None if both else self.slope(point)
        columns = []
        for move in np.diag(steps):
            ahead = self.slope(point + move)
            behind = self.slope(point - move) if here is None else here
            columns.append((ahead - behind) / (move.sum() * (1.0 if here is not None else 2.0)))
        hessian = np.stack(columns)
        return (hessian + hessian.T) / 2

    def scores(self, point: np.ndarray) -> Float[np.ndarray, "subject population"]:
        """Each subject's score by coordinates, without the prior."""
        each = scores(jnp.asarray(self.vector(point)), self.marginal, self.starts, self.parts)
        slope = jax.jacfwd(lambda x: self.coordinates.values(x)[0])(jnp.asarray(point))
        return self._join([jnp.moveaxis(own, -1, 1) for own in each]).T @ np.asarray(slope)

    def explain(self, point: np.ndarray) -> Fault:
        """Why nothing can be computed at a point."""
        if (fault := fault_of(self.marginal.hierarchy, self.vector(point), self.data)) is not None:
            return fault
        found = self.at(point)
        of = f"of {self.data.n_subjects:,} subjects"
        unfinished = np.flatnonzero(~self._join([subjects.converged for subjects in found.subjects]))
        if unfinished.size:
            why = f"the search for the effects of {unfinished.size:,} {of} did not converge"
            return Fault(why, "Look at their measurements, or simplify the model.", tuple(unfinished.tolist()))
        bad = np.flatnonzero(~np.isfinite(self._join([subjects.log_marginal for subjects in found.subjects])))
        if bad.size:
            return Fault(f"the likelihood of {bad.size:,} {of} is not finite", "", tuple(bad.tolist()))
        flat = [
            name
            for name, g in zip(self.marginal.hierarchy.population_names(), np.asarray(found.slope), strict=True)
            if not np.isfinite(g)
        ]
        return Fault(f"the gradient is not finite {f'for {", ".join(flat[:4])}' if flat else 'close by'}")


def totals(
    marginal: Marginal,
    data: Data,
    vectors: Float[Array, "draw population"],
    effects: Float[np.ndarray, "effect subject"],
    *,
    prior: bool,
    line: Line | None = None,
) -> Float[np.ndarray, " draw"]:
    r"""$\sum_i \log p(y_i \mid \varphi)$ at several population vectors, with `prior` also $\log p(\varphi)$.

    One vector after the other, one chunk after the other: memory holds a chunk. Not a number where a subject's could
    not be computed.

    Args:
        marginal: of the subjects' effects, at its level.
        data: of the subjects.
        vectors: population values, unconstrained scale.
        effects: where every search for modes begins.
        prior: whether the prior is added.
        line: where to tell how it goes.
    """
    surface = Surface(marginal, data, prior=prior)
    surface.begin_at(effects)
    return surface.totals(vectors, line)
