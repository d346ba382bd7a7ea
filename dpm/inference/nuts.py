"""No-U-turn sampling of population values and subject effects together."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.chains import ChainMethod, Chains, Rows, packed
from dpm.inference.checkpoint import START, Checkpoint, Saved, identity
from dpm.inference.draws import Draws
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.progress import Ticker
from dpm.inference.sampling import Reached, joined, pursue, restored
from dpm.inference.start import Start
from dpm.inference.whitening import Whitening
from dpm.types import Array, Key, Model, Sites

SETTINGS = ("chains", "warmup", "draws", "target_accept", "max_tree_depth", "dispersion", "chain_method")
"""On which the draws depend."""


@dataclass(frozen=True, kw_only=True)
class NUTS:
    """No-U-turn sampling (Hoffman & Gelman 2014) of everything, started and preconditioned from a Laplace fit.

    The sampler moves in the variables of `Whitening`, where the Laplace approximation is a standard normal: what is
    left for it is what that approximation misses. Chains start at independent draws of `dispersion` times that
    normal.

    Attributes:
        chains: run side by side.
        warmup: adaptation steps per chain.
        draws: kept per chain.
        target_accept: of the step-size adaptation.
        max_tree_depth: doublings per draw.
        dispersion: how far apart chains start, in Laplace standard errors.
        chain_method: `"vectorized"`, all at once; `"parallel"`, a device each, where there are so many;
            `"sequential"`, one after the other.
        progress: tell on the error stream how far the run is, its rate, the time left and the divergences: in one line
            that changes on a terminal, in dated lines now and then in a log file.
        checkpoint: a folder from which the same run goes on after it was stopped.
    """

    chains: int = 4
    warmup: int = 300
    draws: int = 1000
    target_accept: float = 0.85
    max_tree_depth: int = 10
    dispersion: float = 2.0
    chain_method: ChainMethod = "vectorized"
    progress: bool = field(default=True, repr=False)
    checkpoint: Checkpoint | None = field(default=None, repr=False)

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit by Laplace, then sample; or go on from the checkpoint of the same run.

        Raises:
            InferenceError: if the Laplace start fails, or the model has discrete sites: its subjects' effects may then
                have several modes, between which the whitened sampler does not move. With a checkpoint also if its
                folder cannot be written or read, or holds another run.
        """
        hierarchy = Hierarchy.of(model, records)
        if hierarchy.classes:
            do = "Use Laplace(), whose marginal sums them out exactly and whose draws are weighted by it."
            raise InferenceError("NUTS", "a model without discrete sites of subjects", hierarchy.classes[0][0], do)
        with self._saved(hierarchy, records, key=key) as saved:
            start, reached = self._sampled(hierarchy, records, saved, key=key)
        rows = joined(reached.pieces)
        positions = {name: jnp.asarray(rows[name]) for name in "uw"}
        sites, subject_sites = start.whitening.sites(hierarchy, positions, records)
        facts = {
            "chains": self.chains,
            "warmup": self.warmup,
            "max_tree_depth": self.max_tree_depth,
            "log_likelihood_laplace": start.optimum.log_likelihood,
            "n_population": hierarchy.n_population,
            "seconds_laplace": start.seconds,
            "seconds": start.seconds + reached.seconds,
        }
        return Draws(
            sites=sites,
            subject_sites=subject_sites,
            stats=_statistics(rows),
            estimates=start.optimum.estimates,
            facts=facts,
        )

    def _saved(self, hierarchy: Hierarchy, records: Data, *, key: Key) -> AbstractContextManager[Saved | None]:
        """The folder of the checkpoint, if there is one."""
        if self.checkpoint is None:
            return nullcontext()
        settings = {name: getattr(self, name) for name in SETTINGS}
        return self.checkpoint.opened(identity(hierarchy, records, settings, key=key))

    def _sampled(self, hierarchy: Hierarchy, records: Data, saved: Saved | None, *, key: Key) -> tuple[Start, Reached]:
        """All draws, from what is saved or from the beginning."""
        optimum_key, start_key, run_key = jax.random.split(key, 3)
        ticker = Ticker(warmup=self.warmup, draws=self.draws, chains=self.chains, shown=self.progress)
        going_on = saved is not None and saved.has(START)
        if saved is not None and going_on:
            start = Start.read(saved.read(START))
        else:
            start = Start.of_laplace(hierarchy, records, key=optimum_key)
        chains = self._chains(_potential(hierarchy, start.whitening, records))
        starts = self._starts(hierarchy, records, key=start_key)
        if saved is not None and going_on:
            reached = restored(saved, chains, starts, key=run_key)
            ticker.resume(reached.step, reached.divergences, saved.folder)
        else:
            reached = Reached(step=0, state=chains.begin(starts, key=run_key))
        if saved is not None and not going_on:
            saved.begin({**start.arrays(), **packed(reached.state)})
        return start, pursue(chains, reached, draws=self.draws, saved=saved, ticker=ticker)

    def _chains(self, potential: Callable[[Sites], Array]) -> Chains:
        return Chains(
            potential=potential,
            count=self.chains,
            warmup=self.warmup,
            target_accept=self.target_accept,
            max_tree_depth=self.max_tree_depth,
            method=self.chain_method,
        )

    def _starts(self, hierarchy: Hierarchy, records: Data, *, key: Key) -> Sites:
        """One starting point per chain; subject effects at their modes given it, to keep the first steps cheap."""
        u = self.dispersion * jax.random.normal(key, (self.chains, hierarchy.n_population))
        return {"u": u, "w": jnp.zeros((self.chains, hierarchy.n_effects, records.n_subjects))}


def _potential(hierarchy: Hierarchy, whitening: Whitening, records: Data) -> Callable[[Sites], Array]:
    return lambda position: -whitening.log_density(hierarchy, position["u"], position["w"], records)


def _statistics(rows: Rows) -> dict[str, np.ndarray]:
    """By ArviZ's names."""
    stats = {name: values for name, values in rows.items() if name not in ("u", "w", "potential")}
    depth = np.ceil(np.log2(rows["n_steps"] + 1)).astype(int)
    return {**stats, "tree_depth": depth, "lp": -rows["potential"]}
