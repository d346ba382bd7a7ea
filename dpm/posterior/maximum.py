"""The maximum of a model's likelihood on a cohort, for what is asked of it rather than of draws."""

from typing import NamedTuple

import jax

from dpm.cohort.buckets import Data
from dpm.cohort.cohort import Cohort
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace, Optimum
from dpm.inference.marginal import Marginal
from dpm.posterior.prepared import prepared
from dpm.types import Key, Model


class Maximum(NamedTuple):
    """A maximum, and what it is of.

    Attributes:
        method: by which it was found.
        data: of the cohort.
        marginal: of the subjects' effects, at the method's level.
        optimum: the maximum.
    """

    method: Laplace
    data: Data
    marginal: Marginal
    optimum: Optimum

    @classmethod
    def of(cls, model: Model, cohort: Cohort, method: Laplace | None, *, key: Key) -> "Maximum":
        """Fit; maximum likelihood where no method is given.

        Raises:
            ModelError: the model cannot be fitted to this cohort, see `prepared`.
            InferenceError: no maximum was found.
        """
        chosen, data = method or Laplace(objective="ml"), prepared(model, cohort).data
        level_key, fit_key = jax.random.split(key)
        hierarchy = Hierarchy.of(model, data)
        marginal = Marginal.at(hierarchy, chosen.level, data, n_nodes=chosen.n_nodes, key=level_key)
        return cls(chosen, data, marginal, chosen.maximise(marginal, data, key=fit_key))
