"""`Records`: the arrays a model sees."""

from dataclasses import dataclass, field, replace

import jax
import numpy as np
from jax import numpy as jnp

from dpm.types import Array, Bool, Float, Int


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
        censored: per outcome with censored values, 0 where measured, 1 where the truth lies below the value, 2 above
            it, 3 between it and `until`.
        until: per outcome with interval-censored values, their upper ends, zero elsewhere.
    """

    time: Float[Array, "visit subject"]
    values: dict[str, Float[Array, "visit subject"]]
    observed: dict[str, Bool[Array, "visit subject"]]
    covariates: dict[str, Float[Array, " subject"]]
    groups: dict[str, Float[Array, "group subject"]]
    censored: dict[str, Int[Array, "visit subject"]] = field(default_factory=dict)
    until: dict[str, Float[Array, "visit subject"]] = field(default_factory=dict)

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
        unseen = {name: jnp.zeros(time.shape, bool) for name in self.values}
        return replace(self, time=time, values=nothing, observed=unseen, censored={}, until={})

    def take(self, subjects: Array | np.ndarray) -> "Records":
        """The records of some subjects, by position."""
        return jax.tree_util.tree_map(lambda leaf: leaf[..., subjects], self)
