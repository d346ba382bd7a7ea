"""Draws that rest on one level of the marginal likelihood, held against the next, and where need be weighed by it."""

from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference.accuracy import HIGHER, Accuracy, accuracy, described, finer
from dpm.inference.importance import FEWEST, effective_size
from dpm.inference.marginal import Marginal
from dpm.types import Array, Float, Int, Key

LEAST_COUNT = 50.0
"""Effective draws that weights leave a chain, at least. Where a mean moves by $d$ sd, that of $n$ such draws stays
about $d/n$ short of it, in every chain alike, so that no comparison of chains shows it; and a tail of weights that has
not been seen, whose Pareto k looks well, leaves few."""

FARTHEST = 1.25
"""Of a mean under the weights of the next level [posterior standard deviations]. Farther there are too few draws to
tell: from a normal to one 1.5 sd away, four chains of 500 independent draws end 0.09 sd short, 2 sd away 0.23, and the
sd 6 and 15 % low, with a Pareto k below 0.7 and Monte Carlo errors of 0.08 and 0.12 sd."""

MOST_WIDENING = 1.2
"""Ratio of an sd under the next level to that without, either way, above which draws are weighed though no mean moves:
an interval would be as much too short or too long."""

type Facts = dict[str, float | str | list[str]]


class Unreached(NamedTuple):
    """Why a level cannot stand for the exact marginal.

    Attributes:
        expected, got, do: as in dpm's errors.
        lost: whether a finer level could not be computed at some draws.
    """

    expected: str
    got: str
    do: str
    lost: bool


class Refined(NamedTuple):
    """Draws that the next level of accuracy would leave where they are.

    Attributes:
        places: of every place in a chain, the draw of that chain that stands there now.
        facts: of the comparison, and of the weights.
    """

    places: Int[np.ndarray, "chain draw"]
    facts: Facts


def refined(
    marginal: Marginal,
    records: Data,
    vectors: Float[Array, "chain draw population"],
    log_density: Float[np.ndarray, "chain draw"],
    effects: np.ndarray,
    *,
    checked: int,
    most_shift: float,
    progress: bool,
    key: Key,
) -> Refined | Unreached:
    r"""Compare `checked` draws with the next level; where it moves a mean or an sd too far, weigh all draws by it.

    Draws $\varphi_s$ of $\tilde p(\varphi \mid y)$, that of a level, become draws of the next level's by the weights
    $w_s \propto p'(y \mid \varphi_s) / \tilde p(y \mid \varphi_s)$, Pareto-smoothed over all chains. Within each chain
    draws are taken as often as their weights say, in order (systematic resampling), so that repeats count as the
    autocorrelation that they are. Their own distance from the level after that is then measured in the same way.

    Args:
        marginal: the level that draws rest on.
        records: the data.
        vectors: all draws, unconstrained scale.
        log_density: of the posterior at that level, at the draws.
        effects: modes near which all searches begin.
        checked: draws at which levels are compared.
        most_shift: of a mean under the next level [posterior standard deviations].
        progress: whether to tell how it goes.
        key: of Sobol points and of resampling.

    Returns:
        draws within `most_shift` of the next level; or why there are none: a finer level cannot be computed, weights
        are too uneven, move a mean beyond `FARTHEST`, or leave a chain fewer than `LEAST_COUNT` effective draws, or the
        level after the one that weighed them moves a mean too far or an sd by more than `MOST_WIDENING`.

    Source: Vihola, Helske & Franks 2020, Scandinavian Journal of Statistics 47, 1339-1376, doi 10.1111/sjos.12492.
    """
    first_key, second_key, choice_key = jax.random.split(key, 3)

    def compared(level: Marginal, at: Array, known: np.ndarray, own: Key) -> Accuracy:
        return accuracy(level, records, at, effects, log_density=known, key=own, progress=progress)

    found = compared(marginal, _some(vectors, checked), _some(log_density, checked), first_key)
    unmoved = np.broadcast_to(np.arange(vectors.shape[1]), vectors.shape[:2])
    if _near(found, most_shift):
        return Refined(unmoved, _facts(found))
    if not np.isfinite(found.shift):
        return _unreached(found, most_shift)
    whole = compared(marginal, vectors.reshape(-1, vectors.shape[-1]), log_density.ravel(), first_key)
    if not whole.reliable:
        return _unreached(whole, most_shift)
    if _near(whole, most_shift):  # what too few draws had said otherwise
        return Refined(unmoved, _facts(whole))
    share = whole.share.reshape(vectors.shape[:2])
    if (fewest := _fewest(share)) < LEAST_COUNT or whole.shift > FARTHEST:
        return _too_few(whole, fewest, most_shift)
    places = resampled(share, key=choice_key)
    exact = finer(marginal, records, key=first_key)  # by the same points
    moved = jnp.take_along_axis(vectors, jnp.asarray(places)[:, :, None], axis=1)
    known = np.take_along_axis(whole.log_density.reshape(share.shape), places, axis=1)
    after = compared(exact, _some(moved, checked), _some(known, checked), second_key)
    if not _near(after, most_shift):
        return _unreached(after, most_shift)
    note = (
        f"draws of MarginalNUTS at level {described(marginal)} were weighed by {whole.finer}, which moves the mean of "
        f"{whole.of} by {whole.shift:.2f} sd and an sd by a factor of {whole.widening:.2f}: as many as "
        f"{effective_size(whole.share):,.0f} of {whole.share.size:,} count, were they independent."
    )
    facts: Facts = {
        "weighed_by": whole.finer,
        "weighed_pareto_k": whole.pareto_k,
        "weighed_shift": whole.shift,
        "weighed_shift_of": whole.of,
        "weighed_ess": effective_size(whole.share),
        "notes": [note],
    }
    return Refined(places, {**_facts(after), **facts})


def resampled(share: Float[np.ndarray, "chain draw"], *, key: Key) -> Int[np.ndarray, "chain draw"]:
    """Within each chain, draws in order, each as often as its weight says, to the whole number above or below."""
    chains, draws = share.shape
    begin = np.asarray(jax.random.uniform(key, (chains, 1)))
    marks = (begin + np.arange(draws)) / draws
    ends = np.cumsum(share, axis=1) / share.sum(axis=1, keepdims=True)
    places = np.stack([np.searchsorted(end, mark, side="right") for end, mark in zip(ends, marks, strict=True)])
    return np.minimum(places, draws - 1)


def _fewest(share: Float[np.ndarray, "chain draw"]) -> float:
    """Effective draws of the chain with fewest, each by its own weights; none where all of a chain's are zero."""
    sums, squares = share.sum(axis=1), (share**2).sum(axis=1)
    return float(np.min(np.divide(sums**2, squares, out=np.zeros(len(share)), where=squares > 0.0)))


def _some[Values: (Array, np.ndarray)](values: Values, count: int) -> Values:
    """Those of so many of all draws, evenly, the chains one after the other; of enough to judge weights by."""
    flat = values.reshape(-1, *values.shape[2:])
    return flat[np.linspace(0, len(flat) - 1, min(max(count, FEWEST), len(flat))).astype(int)]


def _near(found: Accuracy, most_shift: float) -> bool:
    return found.reliable and found.shift <= most_shift and found.widening <= MOST_WIDENING


def _facts(found: Accuracy) -> Facts:
    return {
        "finer_level": found.finer,
        "finer_pareto_k": found.pareto_k,
        "finer_shift": found.shift,
        "finer_shift_of": found.of,
        "finer_sd_ratio": found.widening,
        "finer_log_likelihood": found.log_likelihood,
    }


def _unreached(found: Accuracy, most_shift: float) -> Unreached:
    expected = f"a marginal likelihood within {most_shift} posterior sd of the next level's"
    if not np.isnan(found.log_likelihood) and not np.isfinite(found.shift):
        do = "Look at the sampler: give it more warmup, or other starts; and compare more draws (`checked`)."
        return Unreached(
            expected, "draws of a value that are all the same, of which nothing can be told", do, lost=False
        )
    if not np.isfinite(found.shift):
        return Unreached(expected, f"none under {found.finer} at some draws", HIGHER, lost=True)
    got = f"{_moved(found)} under {found.finer}, Pareto k {found.pareto_k:.2f}"
    return Unreached(expected, got, HIGHER, lost=False)


def _too_few(found: Accuracy, fewest: float, most_shift: float) -> Unreached:
    near = f"a marginal likelihood within {most_shift} posterior sd of the next level's"
    expected = (
        f"{near}, or weights by it that move no mean beyond {FARTHEST} and leave every chain {LEAST_COUNT:.0f} draws"
    )
    got = f"{_moved(found)} under {found.finer}, whose weights leave a chain {fewest:.0f}"
    return Unreached(expected, got, f"Take more draws where some are left. {HIGHER}", lost=False)


def _moved(found: Accuracy) -> str:
    widened = f", and an sd by a factor of {found.widening:.2f}" if found.widening > MOST_WIDENING else ""
    return f"{found.shift:.2f} sd at {found.of}{widened}"
