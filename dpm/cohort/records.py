"""`Records`: the arrays a model sees."""

from dataclasses import dataclass, replace

import jax
import numpy as np
from jax import numpy as jnp

from dpm.types import Array, Bool, Float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Records:
    """Padded arrays of one cohort, subject axis last; a pytree.

    Attributes:
        time: since baseline, zero where padded [years].
        values: per outcome, the measurement, zero where there is none.
        observed: per outcome, where `values` holds a measurement.
        covariates: per covariate, the encoded baseline value.
        groups: per grouping, one-hot membership; a column of zeros is a level unseen at fit.
    """

    time: Float[Array, "visit subject"]
    values: dict[str, Float[Array, "visit subject"]]
    observed: dict[str, Bool[Array, "visit subject"]]
    covariates: dict[str, Float[Array, " subject"]]
    groups: dict[str, Float[Array, "group subject"]]

    @property
    def n_subjects(self) -> int:
        return int(self.time.shape[-1])

    def hide(self, subjects: Bool[Array, " subject"]) -> "Records":
        """The same arrays with every measurement of `subjects` masked: they add nothing to a likelihood."""
        keep = ~subjects[None, :]
        return replace(self, observed={name: mask & keep for name, mask in self.observed.items()})

    def at(self, time: Float[Array, "visit subject"]) -> "Records":
        """The same subjects at other times, with nothing measured there."""
        nothing = {name: jnp.zeros(time.shape) for name in self.values}
        return replace(
            self, time=time, values=nothing, observed={name: jnp.zeros(time.shape, bool) for name in self.values}
        )

    def take(self, subjects: Array | np.ndarray) -> "Records":
        """The records of some subjects, by position."""
        return jax.tree_util.tree_map(lambda leaf: leaf[..., subjects], self)
