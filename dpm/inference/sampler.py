"""One run of a no-U-turn sampler, whatever it samples: begun from a Laplace fit, or gone on with from a checkpoint."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.chains import ChainMethod, Chains, Potential, Rows, Settings, packed
from dpm.inference.checkpoint import START, Checkpoint, Saved, identity
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.precision import Precision, cast
from dpm.inference.progress import Ticker
from dpm.inference.sampling import Reached, pursue, restored
from dpm.inference.start import Start
from dpm.types import Key, Sites


@runtime_checkable
class Sampler(Protocol):
    """The settings that every method of this kind has; see `NUTS`."""

    @property
    def chains(self) -> int: ...
    @property
    def warmup(self) -> int: ...
    @property
    def draws(self) -> int: ...
    @property
    def target_accept(self) -> float: ...
    @property
    def max_tree_depth(self) -> int: ...
    @property
    def dispersion(self) -> float: ...
    @property
    def chain_method(self) -> ChainMethod: ...
    @property
    def progress(self) -> bool: ...
    @property
    def checkpoint(self) -> Checkpoint | None: ...


SETTINGS = ("chains", "warmup", "draws", "target_accept", "max_tree_depth", "dispersion", "chain_method")
"""On which draws depend."""


def require_settings(sampler: Sampler) -> None:
    """Refuse settings that are none.

    Raises:
        InferenceError: a count that is not whole or too small, a share outside (0, 1), or a word that is not known.
    """
    for name, least in (("chains", 1), ("warmup", 0), ("draws", 1), ("max_tree_depth", 1)):
        value = getattr(sampler, name)
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise _not_a_setting(sampler, name, f"a whole number of {least} or more")
    if not 0.0 < sampler.target_accept < 1.0:
        raise _not_a_setting(sampler, "target_accept", "a share between 0 and 1")
    if not 0.0 <= sampler.dispersion < np.inf:
        raise _not_a_setting(sampler, "dispersion", "a number that is not negative")
    for name, words in (("chain_method", get_args(ChainMethod)), ("precision", get_args(Precision))):
        if getattr(sampler, name, words[0]) not in words:
            raise _not_a_setting(sampler, name, f"one of {', '.join(words)}")


def _not_a_setting(sampler: Sampler, name: str, expected: str) -> InferenceError:
    return InferenceError(f"{type(sampler).__name__}({name}=...)", expected, repr(getattr(sampler, name)))


def folder(
    sampler: Sampler, hierarchy: Hierarchy, records: Data, settings: tuple[str, ...] = SETTINGS, *, key: Key
) -> AbstractContextManager[Saved | None]:
    """The folder of the checkpoint, if there is one, held for this run.

    Raises:
        InferenceError: see `Checkpoint.opened`.
    """
    if sampler.checkpoint is None:
        return nullcontext()
    values = {"method": type(sampler).__name__, **{name: getattr(sampler, name) for name in settings}}
    return sampler.checkpoint.opened(identity(hierarchy, records, values, key=key))


def sample(
    sampler: Sampler,
    saved: Saved | None,
    *,
    begin: Callable[[], Start],
    potential: Potential,
    data: Callable[[Start], Any],
    positions: Sites,
    precision: Precision = "float64",
    key: Key,
) -> tuple[Start, Reached]:
    """All draws, from what is saved or from the beginning.

    Args:
        sampler: its settings.
        saved: the folder of its checkpoint.
        begin: the Laplace fit, for a run that is not in the folder.
        potential: minus the log density of a position, given its data.
        data: of the potential, given that fit.
        positions: where chains begin, leading axis `chain`.
        precision: of what chains compute.
        key: of the chains.

    Raises:
        InferenceError: the Laplace fit failed, or the checkpoint cannot be read or written.
    """
    ticker = Ticker(warmup=sampler.warmup, draws=sampler.draws, chains=sampler.chains, shown=sampler.progress)
    going_on = saved is not None and saved.has(START)
    start = Start.read(saved.read(START)) if saved is not None and going_on else begin()
    settings = Settings(
        potential=potential,
        count=sampler.chains,
        warmup=sampler.warmup,
        target_accept=sampler.target_accept,
        max_tree_depth=sampler.max_tree_depth,
        method=sampler.chain_method,
        precision=precision,
    )
    chains = Chains(settings, cast(data(start), precision))
    if saved is not None and going_on:
        reached = restored(saved, chains, positions, key=key)
        ticker.resume(reached.step, reached.divergences, saved.folder)
    else:
        reached = Reached(step=0, state=chains.begin(positions, key=key))
    if saved is not None and not going_on:
        saved.begin({**start.arrays(), **packed(reached.state)})
    return start, pursue(chains, reached, draws=sampler.draws, saved=saved, ticker=ticker)


def statistics(rows: Rows) -> dict[str, np.ndarray]:
    """A sampler's statistics by ArviZ's names."""
    stats = {name: values for name, values in rows.items() if name not in ("u", "w", "potential")}
    return {**stats, "lp": -rows["potential"]}


def facts(sampler: Sampler, hierarchy: Hierarchy, start: Start, seconds: float) -> dict[str, float | int]:
    """What is worth keeping of every run."""
    return {
        "chains": sampler.chains,
        "warmup": sampler.warmup,
        "max_tree_depth": sampler.max_tree_depth,
        "log_likelihood_laplace": start.optimum.log_likelihood,
        "n_population": hierarchy.n_population,
        "seconds_laplace": start.seconds,
        "seconds": start.seconds + seconds,
    }
