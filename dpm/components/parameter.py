"""A parameter of a trajectory: typical value, covariate effects, pooled groups, subject-level spread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.errors import ModelError
from dpm.types import Array, PerSubject, PerVisit


@dataclass(frozen=True)
class ByLevel:
    """A scalar that differs between the levels of a factor of visits, such as a residual sd by mode of capture.

    Attributes:
        prior: of the value at each level, independent between levels.
        by: the factor: `mode`, `occasion` or `part`.
    """

    prior: dist.Distribution
    by: str


@dataclass(frozen=True)
class ByClass:
    """A typical value that differs between the subtypes of a model; see `Subtypes`.

    Attributes:
        values: one for each subtype, in order: a number, or a prior to learn it from.
    """

    values: tuple[dist.Distribution | float, ...]


type Scalar = dist.Distribution | float | ByLevel
"""A fixed number, a prior to learn it from, or a prior for each level of a factor of visits."""


def is_scalar(value: object) -> bool:
    """Whether a component's field is a population value, and not configuration."""
    return isinstance(value, dist.Distribution | float | ByLevel)


def sample_scalar(name: str, scalar: Scalar, records: Records | None = None) -> Array:
    """The value of a scalar argument: sampled at site `name` if it is a prior.

    Returns:
        the prior's shape; `(visit, subject)` for a value by level, which needs `records`.

    Raises:
        ModelError: the cohort has no such factor, or the scalar cannot differ between visits.
    """
    if isinstance(scalar, ByLevel):
        if records is None:
            raise ModelError(name, "one value for all visits", f"a value by {scalar.by}")
        one_hot = _column(name, "factors of visits", scalar.by, records.levels)
        values = numpyro.sample(name, scalar.prior.expand([one_hot.shape[0]]).to_event(1))
        return sum((values[k] * one_hot[k] for k in range(one_hot.shape[0])), jnp.zeros(()))
    if isinstance(scalar, dist.Distribution):
        return numpyro.sample(name, scalar)
    return jnp.asarray(float(scalar))


def identity(value: Array) -> Array:
    """No link."""
    return value


@dataclass(frozen=True)
class Parameter:
    r"""One parameter of one trajectory, for every subject.

    $$\theta_{ij} = g\Bigl(\theta + \sum_k \beta_k x_{ik} + \sum_G \gamma^G_{G(i)} + b_i
    + \sum_W c^W_{i\,W(ij)}\Bigr),\quad
    b_i \sim N(0, \omega^2),\quad c^W_{il} \sim N(0, \omega_W^2),\quad \gamma^G \sim N_0(0, \tau_G^2)$$

    $N_0$ is the normal distribution whose values sum to zero, so that groups do not compete with the typical value.
    A subject of a group that was not seen at the fit gets $\gamma = 0$.

    Attributes:
        typical: $\theta$, on the scale before the link; by subtype in a model that has them.
        subject: sd of the subject-level effects, $\omega$; None for a parameter without them.
        effects: per covariate, its coefficient $\beta_k$.
        groups: per grouping, the sd of its levels, $\tau_G$.
        within: per factor of visits (`occasion`, `part`), the sd of a subject's own effect at each of its levels,
            $\omega_W$: two eyes of one person, or one occasion and the next.
        link: $g$, a plain function such as `jax.numpy.exp`.
    """

    typical: Scalar | ByClass
    subject: Scalar | None = None
    effects: Mapping[str, Scalar] = field(default_factory=dict)
    groups: Mapping[str, Scalar] = field(default_factory=dict)
    within: Mapping[str, Scalar] = field(default_factory=dict)
    link: Callable[[Array], Array] = identity

    def fixed_part(self, name: str, records: Records, subtype: Array | None = None) -> PerSubject:
        """Typical value, covariate effects and groups; samples their sites, outside the plate.

        Args:
            name: of the parameter.
            records: of the subjects.
            subtype: each subject's class, in a model that has them.
        """
        value = self._typical(name, subtype) * jnp.ones(records.n_subjects)
        for covariate, scalar in self.effects.items():
            value = value + sample_scalar(f"{name}_{covariate}", scalar) * covariate_of(name, covariate, records)
        for grouping, scalar in self.groups.items():
            membership = _column(name, "groups", grouping, records.groups)
            spread = sample_scalar(f"{name}_{grouping}_sd", scalar)
            levels = numpyro.sample(f"{name}_{grouping}", dist.ZeroSumNormal(1.0, membership.shape[:1]))
            value = value + spread * (levels @ membership)
        return value

    def _typical(self, name: str, subtype: Array | None) -> Array:
        if not isinstance(self.typical, ByClass):
            return sample_scalar(name, self.typical)
        if subtype is None:
            do = "Give the model subtypes=Subtypes(...), or the parameter one typical value."
            raise ModelError(name, "a model with subtypes", "a typical value by class", do)
        values = [sample_scalar(f"{name}_{k}", scalar) for k, scalar in enumerate(self.typical.values)]
        return sum((jnp.where(subtype == k, value, 0.0) for k, value in enumerate(values)), jnp.zeros(()))

    def within_part(self, name: str, records: Records) -> PerVisit | None:
        """The subject's own effects at the levels of factors of visits; None without them."""
        total = None
        for factor, scalar in self.within.items():
            one_hot = _column(name, "factors of visits", factor, records.levels)
            spread = sample_scalar(f"{name}_{factor}_sd", scalar)
            with numpyro.plate("subject", records.n_subjects, dim=-1), numpyro.plate(factor, len(one_hot), dim=-2):
                z = numpyro.sample(f"{name}_{factor}_z", dist.Normal(0.0, 1.0))
            part = spread * sum((one_hot[k] * z[k] for k in range(len(one_hot))), jnp.zeros(()))
            total = part if total is None else total + part
        return total


def covariate_of(name: str, covariate: str, records: Records) -> PerSubject:
    """A covariate of every subject; `name` is who asks.

    Raises:
        ModelError: the cohort does not have it, or not of every subject.
    """
    column = _column(name, "covariates", covariate, records.covariates)
    if covariate in records.missing:
        do = "Give the model a distribution of it (covariates=), exclude these subjects, or drop the covariate."
        expected = f'"{covariate}" of every subject, or a model of what is missing'
        raise ModelError(name, expected, "subjects without it", do)
    return column


def _column(name: str, kind: str, wanted: str, available: Mapping[str, Array]) -> Array:
    if wanted not in available:
        have = ", ".join(sorted(available)) or "none"
        do = "Give it a role when the cohort is read, or take it out of the model."
        raise ModelError(name, f'"{wanted}" among the cohort\'s {kind}', have, do)
    return available[wanted]
