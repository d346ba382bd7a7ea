"""How far a marginal likelihood is from the exact one: the next level of accuracy, at draws of population values."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dpm.cohort.buckets import Data
from dpm.inference.coordinates import Coordinates
from dpm.inference.importance import LARGEST_PARETO_K, ratios_of_sd, smoothed
from dpm.inference.marginal import Marginal
from dpm.inference.progress import Line
from dpm.inference.straight import straight
from dpm.inference.surface import Surface, totals
from dpm.types import Array, Float, Key

NODES = {0: 1, 1: 15, 2: 9, 3: 7}
"""Quadrature nodes per effect of the level above Laplace's, by how many effects do not enter straight."""

POINTS = 512
"""Sobol points of that level, where there are more effects."""


NEGLIGIBLE = 0.01
"""Weights of a smaller coefficient of variation move no mean by more than this [posterior standard deviations], by the
inequality of Cauchy and Schwarz, and the shape of their tail does not matter: k has no unit, and is as often above 0.7
for weights between 0.9999 and 1.0001 as for others."""


HIGHER = (
    'Use level="quadrature" for up to three effects that do not enter linearly, level="qmc" for more, or more n_nodes; '
    "or NUTS(), which needs no integral."
)
"""What to do where a level is too far from exact."""


class Accuracy(NamedTuple):
    """What a finer level says of draws that rest on a coarser one.

    Attributes:
        finer: the finer level, in words.
        pareto_k: shape of the tail of the weights from the coarser posterior to the finer.
        variation: coefficient of variation of these weights.
        shift: largest move of a mean under these weights [posterior standard deviations]; infinite where a finer level
            could not be computed or draws of a value are all the same, which tells nothing.
        widening: largest ratio, over or under one, of an sd under these weights to the one without.
        of: the value whose mean moves most.
        log_likelihood: mean of the finer log likelihood less the coarser.
        share: the smoothed weights, which sum to one; none where some cannot be computed.
        log_density: of the finer posterior at the draws, up to the evidence; none where it was not asked for.
    """

    finer: str
    pareto_k: float
    variation: float
    shift: float
    widening: float
    of: str
    log_likelihood: float
    share: Float[np.ndarray, " draw"]
    log_density: Float[np.ndarray, " draw"] = np.zeros(0)

    @classmethod
    def by(
        cls, name: str, apart: Float[np.ndarray, " draw"], draws: Float[np.ndarray, "draw population"], of: list[str]
    ) -> "Accuracy":
        r"""Weigh draws by $\exp(\ell' - \ell)$.

        Args:
            name: of the finer level.
            apart: the finer log likelihood less the coarser.
            draws: unconstrained scale.
            of: names of their values.
        """
        if not np.all(np.isfinite(apart)):
            return cls(name, np.inf, np.inf, np.inf, np.inf, "", float("nan"), np.zeros(0))
        share, k = smoothed(apart)
        weights = np.exp(apart - apart.max())
        if np.any(np.ptp(draws, axis=0) == 0.0):
            return cls(name, k, np.inf, np.inf, np.inf, "", float(apart.mean()), share)
        shift = np.abs(share @ draws - draws.mean(axis=0)) / draws.std(axis=0)
        ratio = ratios_of_sd(draws, share)
        at = int(np.argmax(shift))
        return cls(
            finer=name,
            pareto_k=k,
            variation=float(weights.std() / weights.mean()),
            shift=float(shift[at]),
            widening=float(np.max(np.maximum(ratio, 1.0 / ratio))),
            of=of[at],
            log_likelihood=float(apart.mean()),
            share=share,
        )

    @property
    def reliable(self) -> bool:
        """Whether the weights can be relied on to say how far the levels are apart."""
        return self.pareto_k <= LARGEST_PARETO_K or self.variation < NEGLIGIBLE


def finer(marginal: Marginal, data: Data, *, key: Key) -> Marginal:
    """The next level of accuracy: quadrature for up to three effects that do not enter straight, else qmc; more nodes.

    Args:
        marginal: the level.
        data: of the subjects.
        key: of Sobol points.
    """
    if marginal.level == "quadrature":
        per_effect = round(len(marginal.nodes) ** (1.0 / max(len(marginal.bent), 1)))
        return marginal.with_nodes("quadrature", per_effect + 6)
    if marginal.level == "qmc":
        return marginal.with_nodes("qmc", 4 * len(marginal.nodes), key=key)
    split = replace(marginal, straight=straight(marginal.hierarchy, data))
    if (left := len(split.bent)) in NODES:
        return split.with_nodes("quadrature", NODES[left])
    return split.with_nodes("qmc", POINTS, key=key)


def described(marginal: Marginal) -> str:
    """A level with its nodes, in words."""
    nodes, of = len(marginal.nodes), ""
    if not nodes:
        return marginal.level
    if marginal.is_exact:
        return "exact"
    if marginal.straight:
        of = f" for {len(marginal.bent)} of {marginal.hierarchy.n_effects} effects"
    return f"{marginal.level}, {nodes:,} nodes{of}"


def accuracy(
    marginal: Marginal,
    records: Data,
    vectors: Float[Array, "draw population"],
    effects: np.ndarray,
    *,
    log_density: Float[np.ndarray, " draw"] | None = None,
    key: Key,
    progress: bool = False,
) -> Accuracy:
    r"""Weigh draws of $p(\varphi \mid y)$ at one level of the marginal by $\exp(\ell' - \ell)$ of the next.

    Args:
        marginal: the level that draws rest on.
        records: the data.
        vectors: draws, unconstrained scale; a few hundred will do.
        effects: modes near which all searches begin.
        log_density: $\ell + \log p(\varphi)$ at the draws, where it is known.
        key: of Sobol points.
        progress: whether to tell how it goes.
    """

    def density(level: Marginal) -> Float[np.ndarray, " draw"]:
        line = Line(f"likelihood by {described(level)}", shown=progress)
        try:
            return totals(level, records, vectors, effects, prior=True, line=line)
        finally:
            line.end()

    exact = finer(marginal, records, key=key)
    coarse = density(marginal) if log_density is None else log_density
    fine = density(exact)
    names = marginal.hierarchy.population_names()
    return Accuracy.by(described(exact), fine - coarse, np.asarray(vectors), names)._replace(log_density=fine)


class Shift(NamedTuple):
    """How far the next level of accuracy would move a maximum.

    Attributes:
        finer: that level, in words.
        largest: of the moves [standard errors].
        of: the value that moves most.
    """

    finer: str
    largest: float
    of: str


def shift_of_maximum(
    marginal: Marginal,
    records: Data,
    *,
    point: np.ndarray,
    coordinates: Coordinates,
    covariance: np.ndarray,
    effects: np.ndarray,
    prior: bool,
    key: Key,
) -> Shift:
    r"""$C\,\nabla \ell'(\hat\varphi)$, a Newton step of the next level from the maximum of this one: one gradient.

    The error of a level is about the same for every subject, so that in standard errors it grows with the root of
    their number.

    Args:
        marginal: the level of the maximum.
        records: the data.
        point, covariance: the maximum and its covariance, in `coordinates`.
        coordinates: of the maximum.
        effects: conditional modes there.
        prior: whether the prior is part of the objective.
        key: of Sobol points.
    """
    exact = finer(marginal, records, key=key)
    surface = Surface(exact, records, prior=prior, coordinates=coordinates)
    surface.begin_at(effects)
    moves = np.abs(covariance @ surface.slope(point)) / np.sqrt(np.diag(covariance))
    moves = np.where(np.isfinite(moves), moves, np.inf)
    at = int(np.argmax(moves))
    return Shift(described(exact), float(moves[at]), marginal.hierarchy.population_names()[at])
