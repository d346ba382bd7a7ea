"""What the groups of a subject add to a parameter: levels that are pooled, or that drift from one era to the next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.scalar import Prior, Scalar, among, sample_scalar
from dpm.types import Array, Float, PerSubject


@dataclass(frozen=True, kw_only=True)
class Drift:
    r"""Levels in order, such as eras of care, each a step away from the one before.

    $$\gamma_{k+1} = \gamma_k + s\,u_k,\quad u_k \sim N(0, 1),\quad \sum_k \gamma_k = 0$$

    `up` and `down` take $|u_k|$ and $-|u_k|$: care that only gets better. Levels that were not met at the fit are
    taken to follow the last one that was, in order, a step further each.

    Attributes:
        step: sd of a step before its sign, $s$.
        direction: of every step.
    """

    step: Scalar
    direction: Literal["either", "up", "down"] = "either"

    def add(self, site: str, membership: Float[Array, "group subject"], unseen: Array | None) -> PerSubject:
        """Each subject's level; samples its sites, which begin with `site`."""
        one_way = self.direction != "either"
        step = (-1.0 if self.direction == "down" else 1.0) * sample_scalar(f"{site}_step", self.step)
        unit = dist.HalfNormal(1.0) if one_way else dist.Normal(0.0, 1.0)
        steps = numpyro.sample(f"{site}_steps", unit.expand([len(membership) - 1]).to_event(1))
        walk = jnp.concatenate([jnp.zeros(1), jnp.cumsum(step * steps)])
        levels = numpyro.deterministic(site, walk - jnp.mean(walk))
        value = levels @ membership
        if unseen is not None:
            z = new_levels(f"{site}_new", len(unseen))
            value = value + (levels[-1] + jnp.cumsum(step * (jnp.abs(z) if one_way else z))) @ unseen
        return value

    def priors(self, site: str, words: str, grouping: str) -> Iterator[Prior]:
        """Its population values."""
        way = "" if self.direction == "either" else f", all {self.direction}"
        yield f"{site}_step", f"{words}: sd of a step from one {grouping} to the next{way}", self.step


def new_levels(site: str, count: int) -> Float[Array, " level"]:
    """Standardised values of levels that were not met at the fit; marked, since no posterior has draws of them."""
    return numpyro.sample(site, dist.Normal(0.0, 1.0).expand([count]).to_event(1), infer={"new_level": True})


type Groups = Mapping[str, Scalar | Drift]
"""Per grouping, the sd of its pooled levels, or how they drift."""


def group_terms(name: str, groups: Groups, records: Records) -> Iterator[PerSubject]:
    r"""What each grouping adds to the value called `name`; samples their sites, outside the plate.

    Pooled levels sum to zero, so that they do not compete with the typical value: that is the mean of the $K$ levels
    met at the fit. A level that was not met lies about it with variance $\tau^2(1 + 1/K)$, the same value for all its
    subjects.

    Raises:
        ModelError: the cohort lacks a grouping.
    """
    for grouping, scalar in groups.items():
        membership = among(name, "groups", grouping, records.groups)
        site, unseen = f"{name}_{grouping}", records.unseen.get(grouping)
        if isinstance(scalar, Drift):
            yield scalar.add(site, membership, unseen)
            continue
        count = len(membership)
        spread = sample_scalar(f"{site}_sd", scalar)
        levels = numpyro.sample(site, dist.ZeroSumNormal(1.0, (count,)))
        value = spread * (levels @ membership)
        if unseen is not None:
            value = value + spread * (1.0 + 1.0 / count) ** 0.5 * (new_levels(f"{site}_new", len(unseen)) @ unseen)
        yield value


def group_priors(name: str, groups: Groups, words: str) -> Iterator[Prior]:
    """The population values of groups."""
    for grouping, scalar in groups.items():
        site, plain = f"{name}_{grouping}", grouping.replace("_", " ")
        if isinstance(scalar, Drift):
            yield from scalar.priors(site, words, plain)
        else:
            yield f"{site}_sd", f"{words}: sd between levels of {plain}", scalar
