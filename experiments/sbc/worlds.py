"""Two small worlds, each a model with proper priors and a design; population values and cohorts are drawn from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from numpyro import distributions as dist

import dpm
from dpm.cohort.outcome_role import OutcomeRole
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.prior import prior_vectors
from dpm.types import Array, Key
from dpm.virtual.design import Design


class Drawn(NamedTuple):
    """A cohort whose truth is known.

    Attributes:
        vector: population values that it was simulated with, unconstrained scale.
        cohort: as dpm sees it.
    """

    vector: np.ndarray
    cohort: dpm.Cohort


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A prior, a likelihood and a design: a joint distribution of population values and cohorts.

    Attributes:
        model: one object for all simulations, so that what is compiled for it is found again.
        design: nobody misses a visit, so that the arrays of all cohorts have one shape.
    """

    model: dpm.ProgressionModel
    design: Design

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """The model split at its plate."""
        return Hierarchy.of(self.model, self.design.planned(key=jax.random.key(0)))

    def draw(self, *, key: Key) -> Drawn:
        """Population values from the prior, a cohort from the model at them."""
        value_key, cohort_key = jax.random.split(key)
        records = self.design.planned(key=value_key)
        vector = prior_vectors(self.hierarchy, records, 1, key=value_key)[0]
        values: dict[str, Array] = self.hierarchy.constrain(vector)
        return Drawn(np.asarray(vector), self.design.simulate(self.model, values, key=cohort_key))


def growth() -> World:
    """Logistic growth: two correlated effects of a subject, one of them in the exponent; normal noise."""
    course = dpm.LogisticRise(
        floor=0.0,
        ceiling=dpm.Parameter(dist.Normal(10.0, 1.0), subject=dist.LogNormal(np.log(1.5), 0.3)),
        midpoint=dpm.Parameter(dist.Normal(3.0, 0.5), subject=dist.LogNormal(np.log(1.0), 0.3)),
        rate=dpm.Parameter(dist.LogNormal(0.0, 0.25)),
    )
    noise = dpm.Gaussian(sd=dist.LogNormal(np.log(0.5), 0.3))
    return World(
        model=dpm.ProgressionModel(outcomes={"size": dpm.Outcome(course, noise)}),
        design=Design(
            n=24,
            times=(0.0, 1.5, 3.0, 4.5, 6.0),
            outcomes={"size": OutcomeRole(column="size", unit="cm", higher_is="worse")},
        ),
    )


def answers() -> World:
    """Yes or no at six visits: one effect of a subject on the log odds, whose spread may be near zero."""
    course = dpm.Linear(
        level=dpm.Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.5)),
        slope=dpm.Parameter(dist.Normal(0.0, 0.5)),
    )
    return World(
        model=dpm.ProgressionModel(outcomes={"answer": dpm.Outcome(course, dpm.Binary())}),
        design=Design(
            n=30,
            times=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
            outcomes={"answer": OutcomeRole(column="answer", unit="1", kind="binary", higher_is="worse")},
        ),
    )


WORLDS = {"growth": growth, "answers": answers}
