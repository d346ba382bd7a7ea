"""No-U-turn sampling of population values alone, subjects' effects integrated out."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.chains import ChainMethod
from dpm.inference.checkpoint import Checkpoint
from dpm.inference.chunks import Chunks, chunked, divided
from dpm.inference.draws import Draws, host
from dpm.inference.evaluation import evaluate
from dpm.inference.faults import located
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Level, Marginal
from dpm.inference.population import population_draws
from dpm.inference.refined import Facts, Refined, refined
from dpm.inference.sampler import SETTINGS, facts, folder, require_settings, sample, statistics
from dpm.inference.sampling import joined
from dpm.inference.start import Start
from dpm.inference.whitening import Whitening
from dpm.types import Array, Key, Model, Sites


@dataclass(frozen=True, kw_only=True)
class MarginalNUTS:
    r"""No-U-turn sampling of $p(\varphi \mid y) \propto p(\varphi) \prod_i p(y_i \mid \varphi)$.

    Effects are integrated out at a level of `Marginal`, discrete ones summed; the sampler moves in the $u$ of
    `Whitening`, where Laplace's posterior is a standard normal, however many subjects there are. Searches for modes
    begin at the modes' linear prediction from the maximum and end when every subject's is found, so that the gradient
    is that of the density. What the level leaves is measured after sampling: some draws are weighted by the next level
    of accuracy, and where that moves a posterior mean by more than `most_shift` of its sd, or an sd by more than a
    fifth, all are, and resampled (`refined`). Of three markers in 1,000 subjects, where three of five effects enter
    linearly, 81 nodes for the other two move a mean by 0.3 sd, and 225 after them none by more than 0.02. The fit is
    refused where the weights cannot be relied on, or where the level after that still moves a mean by more. `NUTS`,
    which samples effects too, needs no such check and is cheaper a step; this one is for models with discrete sites,
    for few levels of a group, and for few subjects, whose spreads and correlations may be near their ends, where `NUTS`
    meets a funnel. Of lines in 27 children (orthodont) `NUTS` has 34 to 293 divergences in 6,000 draws and a least
    effective size of 23 to 278, this none and 1,666 or more; of three markers in 100 subjects 6 to 539 and
    13 to 71 of 4,000, this none and 2,196 or more (experiments/benchmarks).

    Attributes:
        level: accuracy of the integral, see `Marginal`.
        n_nodes: nodes per effect that does not enter linearly for `level="quadrature"`, points for `level="qmc"`.
        checked: draws at which levels are compared; 30 at least, of fewer no tail can be told.
        most_shift: of a posterior mean under the next level, beyond which draws are weighed [posterior standard
            deviations].
        chains, warmup, draws, target_accept, max_tree_depth, dispersion, chain_method, progress, checkpoint: as `NUTS`.
    """

    level: Level = "laplace"
    n_nodes: int = 9
    checked: int = 200
    most_shift: float = 0.1
    chains: int = 4
    warmup: int = 200
    draws: int = 500
    target_accept: float = 0.85
    max_tree_depth: int = 10
    dispersion: float = 2.0
    chain_method: ChainMethod = "auto"
    progress: bool = field(default=True, repr=False)
    checkpoint: Checkpoint | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse settings that are none; see `require_settings`."""
        require_settings(self)

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit by Laplace, sample, then compare with the next level; or go on from the checkpoint of the same run.

        Weighing is done anew by a run that goes on: the draws that it weighs are in the folder.

        Raises:
            InferenceError: the Laplace start fails, or the level is too far from exact to be mended by weights. With a
                checkpoint also if its folder cannot be written or read, or holds another run.
        """
        hierarchy = Hierarchy.of(model, records)
        level_key, optimum_key, start_key, run_key, check_key = jax.random.split(key, 5)
        marginal = Marginal.at(hierarchy, self.level, records, n_nodes=self.n_nodes, key=level_key)
        settings = (*SETTINGS, "level", "n_nodes")
        with folder(self, hierarchy, records, settings, key=key) as saved:
            start, reached = sample(
                self,
                saved,
                begin=lambda: Start.of_laplace(marginal, records, key=optimum_key),
                potential=MarginalPotential(marginal),
                data=lambda start: Around.of(start, records),
                positions={"u": self.dispersion * jax.random.normal(start_key, (self.chains, hierarchy.n_population))},
                key=run_key,
            )
        rows = joined(reached.pieces)
        vectors, _, log_volume = jax.vmap(jax.vmap(start.whitening.population))(jnp.asarray(rows["u"]))
        log_density = -rows["potential"] - np.asarray(log_volume)
        places, found = self._refined(marginal, records, vectors, log_density, start, key=check_key)
        kept = jnp.take_along_axis(vectors, jnp.asarray(places)[:, :, None], axis=1)
        sites = population_draws(kept.reshape(-1, hierarchy.n_population), hierarchy, records)
        return Draws(
            sites={name: value.reshape(*rows["u"].shape[:2], *value.shape[1:]) for name, value in host(sites).items()},
            stats=_of_places(statistics(rows), places),
            estimates=start.optimum.estimates,
            facts={**facts(self, hierarchy, start, reached.seconds), "level": self.level, **found},
        )

    def _refined(
        self, marginal: Marginal, records: Data, vectors: Array, log_density: np.ndarray, start: Start, *, key: Key
    ) -> tuple[np.ndarray, Facts]:
        """Which draw stands in each place after the comparison with the next level, and the facts of that.

        Raises:
            InferenceError: the level is too far from exact, and weights do not mend it.
        """
        if not marginal.hierarchy.n_effects:
            return np.broadcast_to(np.arange(vectors.shape[1]), vectors.shape[:2]), {}
        found = refined(
            marginal,
            records,
            vectors,
            log_density,
            start.optimum.effects,
            checked=self.checked,
            most_shift=self.most_shift,
            progress=self.progress,
            key=key,
        )
        if isinstance(found, Refined):
            return found
        refusal = InferenceError("MarginalNUTS", found.expected, found.got, found.do)
        raise located(refusal, marginal.hierarchy, start.whitening.centre, records) if found.lost else refusal


class Around(NamedTuple):
    """Data of a potential: the Laplace fit it lies around, and the subjects in chunks.

    Attributes:
        whitening: around it.
        modes, slopes: its modes and their slopes, per part.
        parts: the subjects.
    """

    whitening: Whitening
    modes: tuple[Array, ...]
    slopes: tuple[Array, ...]
    parts: tuple[Chunks, ...]

    @classmethod
    def of(cls, start: Start, records: Data) -> "Around":
        whitening, parts = start.whitening, chunked(records)
        modes, slopes = (divided(records, parts, own) for own in (whitening.modes, _last(whitening.modes_slope)))
        return cls(whitening, modes, slopes, parts)


@dataclass(frozen=True)
class MarginalPotential:
    """Minus the log density of a position, with the gradient that `evaluate` computes chunk after chunk."""

    marginal: Marginal

    def __call__(self, position: Sites, around: Around) -> Array:
        @jax.custom_vjp
        def negative(u: Array) -> Array:
            return self._computed(u, around)[0]

        negative.defvjp(lambda u: self._computed(u, around), lambda slope, weight: (weight * slope,))
        return negative(position["u"])

    def valued(self, position: Sites, around: Around) -> tuple[Array, Sites]:
        """The potential and its gradient; on one device, and of no more subjects than a sample is worth while for, by
        what the search for the maximum has compiled already.
        """
        value, slope = self._computed(position["u"], around)
        return value, {"u": slope}

    def _computed(self, u: Array, around: Around) -> tuple[Array, Array]:
        vector, begin = _placed(u, around)
        found = evaluate(vector, self.marginal, True, None, begin, around.parts, None)
        return _pulled(u, around.whitening, found.negative, found.slope)


@jax.jit
def _placed(u: Array, around: Around) -> tuple[Array, tuple[Array, ...]]:
    """Population values, and where the searches for modes begin."""
    vector, move, _ = around.whitening.population(u)
    pairs = zip(around.modes, around.slopes, strict=True)
    return vector, tuple(mode + jnp.einsum("keps,p->kes", slope, move) for mode, slope in pairs)


@jax.jit
def _pulled(u: Array, whitening: Whitening, negative: Array, slope: Array) -> tuple[Array, Array]:
    """The potential and its gradient in `u` from those in population values."""
    (_, move, volume), pull = jax.vjp(whitening.population, u)
    return negative - volume, pull((slope, jnp.zeros_like(move), -jnp.ones_like(volume)))[0]


def _of_places(stats: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of a sampler's steps beside the draws that stand there now: a draw takes its density with it.

    A place counts as divergent where its step was, and where the draw's was that stands there now.
    """
    taken = {name: np.take_along_axis(stats[name], places, axis=1) for name in ("lp", "diverging")}
    return {**stats, "lp": taken["lp"], "diverging": stats["diverging"] | taken["diverging"]}


def _last(slope: Array) -> Array:
    """Subjects last: from `(effect, subject, population)` to `(effect, population, subject)`."""
    return jnp.moveaxis(slope, 1, -1)
