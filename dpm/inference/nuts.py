"""No-U-turn sampling of population values and subject effects together."""

from dataclasses import dataclass, field

import jax
import numpy as np
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.chains import ChainMethod
from dpm.inference.checkpoint import Checkpoint
from dpm.inference.draws import Draws
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.inference.precision import Precision, error_of
from dpm.inference.sampler import SETTINGS, facts, folder, require_settings, sample, statistics
from dpm.inference.sampling import joined
from dpm.inference.start import Start
from dpm.inference.whitening import Whitening
from dpm.types import Array, Key, Model, PerSubject, Sites


@dataclass(frozen=True, kw_only=True)
class NUTS:
    """No-U-turn sampling (Hoffman & Gelman 2014) of everything, started and preconditioned from a Laplace fit.

    The sampler moves in the variables of `Whitening`, where the Laplace approximation is a standard normal: what is
    left for it is what that approximation misses, and steps that are exact for that normal are taken where they serve
    (`Transition`). Chains start at independent draws of `dispersion` times that normal.

    Attributes:
        chains: run side by side.
        warmup: adaptation steps per chain.
        draws: kept per chain.
        target_accept: of the step-size adaptation.
        max_tree_depth: doublings per draw.
        dispersion: how far apart chains start, in Laplace standard errors.
        chain_method: `"vectorized"`, all at once; `"parallel"`, a device each, where there are so many;
            `"sequential"`, one after the other; `"auto"`, the last on a CPU, where chains side by side wait for the
            longest tree and outgrow its cache (1.5 to 2.7 times the time), the first on other devices.
        precision: `"float32"` samples in single precision, in arrays of half the size and, of the models in
            experiments/benchmarks, a gradient 1.4 to 2.4 times as fast on a CPU. The Laplace fit and what is made of
            the draws stay double. Densities of subjects are taken relative to those at the start, so that their sum
            keeps its digits; the error is measured at some draws and kept as `float32_error`.
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
    chain_method: ChainMethod = "auto"
    precision: Precision = "float64"
    progress: bool = field(default=True, repr=False)
    checkpoint: Checkpoint | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse settings that are none; see `require_settings`."""
        require_settings(self)

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit by Laplace, then sample; or go on from the checkpoint of the same run.

        Raises:
            InferenceError: if the Laplace start fails, or the model has discrete sites: its subjects' effects may then
                have several modes, between which the whitened sampler does not move. In single precision also if the
                log density errs too much. With a checkpoint also if its folder cannot be written or read, or holds
                another run.
        """
        hierarchy = Hierarchy.of(model, records)
        if hierarchy.classes:
            do = "Use MarginalNUTS() or Laplace(), whose marginal sums them out exactly."
            raise InferenceError("NUTS", "a model without discrete sites of subjects", hierarchy.classes[0][0], do)
        optimum_key, start_key, run_key = jax.random.split(key, 3)
        with folder(self, hierarchy, records, (*SETTINGS, "precision"), key=key) as saved:
            start, reached = sample(
                self,
                saved,
                begin=lambda: Start.of_laplace(Marginal(hierarchy), records, key=optimum_key),
                potential=JointPotential(hierarchy),
                data=lambda start: self._data(hierarchy, start, records),
                positions=self._starts(hierarchy, records, key=start_key),
                precision=self.precision,
                key=run_key,
            )
        rows = joined(reached.pieces)
        positions = {name: jnp.asarray(rows[name], float) for name in "uw"}
        sites, subject_sites = start.whitening.sites(hierarchy, positions, records)
        stats, found = statistics(rows), facts(self, hierarchy, start, reached.seconds)
        if self.precision == "float32":
            stats, error = self._compared(stats, positions, hierarchy, start, records)
            found["float32_error"] = error
        return Draws(
            sites=sites, subject_sites=subject_sites, stats=stats, estimates=start.optimum.estimates, facts=found
        )

    def _data(self, hierarchy: Hierarchy, start: Start, records: Data) -> "Given":
        """Of the potential."""
        if self.precision == "float64":
            return start.whitening, records, None
        return start.whitening, records, _at_start(hierarchy, start, records)

    def _compared(
        self, stats: dict[str, np.ndarray], positions: Sites, hierarchy: Hierarchy, start: Start, records: Data
    ) -> tuple[dict[str, np.ndarray], float]:
        """Statistics with the constant that the sampler left out, and the error of its densities.

        Raises:
            InferenceError: the error is too large.
        """
        constant = float(np.sum(_at_start(hierarchy, start, records)))
        potential = JointPotential(hierarchy)
        flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in positions.items()}
        error = error_of(
            stats["lp"].ravel(), lambda position: -potential(position, (start.whitening, records, None)), flat
        )
        moved = {
            "lp": np.asarray(stats["lp"], float) + constant,
            "energy": np.asarray(stats["energy"], float) - constant,
        }
        return {**stats, **moved}, error

    def _starts(self, hierarchy: Hierarchy, records: Data, *, key: Key) -> Sites:
        """One starting point per chain; subject effects at their modes given it, to keep the first steps cheap."""
        u = self.dispersion * jax.random.normal(key, (self.chains, hierarchy.n_population))
        return {"u": u, "w": jnp.zeros((self.chains, hierarchy.n_effects, records.n_subjects))}


Given = tuple[Whitening, Data, PerSubject | None]
"""What a density is given: the variables, the data, and what is taken off each subject's log density."""


def _at_start(hierarchy: Hierarchy, start: Start, records: Data) -> PerSubject:
    """Log densities of subjects where the Laplace fit ended."""
    values = hierarchy.constrain(start.whitening.centre)
    return hierarchy.log_subject(values, start.whitening.modes, records)


@dataclass(frozen=True)
class JointPotential:
    """Minus the log density of a position in whitened variables; of one hierarchy there is one."""

    hierarchy: Hierarchy

    def __call__(self, position: Sites, given: Given) -> Array:
        whitening, records, less = given
        return -whitening.log_density(self.hierarchy, position["u"], position["w"], records, less=less)
