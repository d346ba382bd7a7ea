"""A parameter of a trajectory: typical value, covariate effects, pooled groups, subject-level spread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.errors import ModelError
from dpm.types import Array, PerSubject

type Scalar = dist.Distribution | float
"""A fixed number, or a prior to learn it from."""


def sample_scalar(name: str, scalar: Scalar) -> Array:
    """The value of a scalar argument: sampled at site `name` if it is a prior."""
    if isinstance(scalar, dist.Distribution):
        return numpyro.sample(name, scalar)
    return jnp.asarray(float(scalar))


def identity(value: Array) -> Array:
    """No link."""
    return value


@dataclass(frozen=True)
class Parameter:
    r"""One parameter of one trajectory, for every subject.

    $$\theta_i = g\Bigl(\theta + \sum_k \beta_k x_{ik} + \sum_G \gamma^G_{G(i)} + b_i\Bigr),\quad
    b_i \sim N(0, \omega^2),\quad \gamma^G \sim N_0(0, \tau_G^2)$$

    $N_0$ is the normal distribution whose values sum to zero, so that groups do not compete with the typical value.
    A subject of a group that was not seen at the fit gets $\gamma = 0$.

    Attributes:
        typical: $\theta$, on the scale before the link.
        subject: sd of the subject-level effects, $\omega$; None for a parameter without them.
        effects: per covariate, its coefficient $\beta_k$.
        groups: per grouping, the sd of its levels, $\tau_G$.
        link: $g$, a plain function such as `jax.numpy.exp`.
    """

    typical: Scalar
    subject: Scalar | None = None
    effects: Mapping[str, Scalar] = field(default_factory=dict)
    groups: Mapping[str, Scalar] = field(default_factory=dict)
    link: Callable[[Array], Array] = identity

    def fixed_part(self, name: str, records: Records) -> PerSubject:
        """Typical value, covariate effects and groups; samples their sites, outside the plate."""
        value = sample_scalar(name, self.typical) * jnp.ones(records.n_subjects)
        for covariate, scalar in self.effects.items():
            column = _column(name, "covariates", covariate, records.covariates)
            value = value + sample_scalar(f"{name}_{covariate}", scalar) * column
        for grouping, scalar in self.groups.items():
            membership = _column(name, "groups", grouping, records.groups)
            spread = sample_scalar(f"{name}_{grouping}_sd", scalar)
            levels = numpyro.sample(f"{name}_{grouping}", dist.ZeroSumNormal(1.0, membership.shape[:1]))
            value = value + spread * (levels @ membership)
        return value


def _column(name: str, kind: str, wanted: str, available: Mapping[str, Array]) -> Array:
    if wanted not in available:
        have = ", ".join(sorted(available)) or "none"
        do = "Give it a role when the cohort is read, or take it out of the model."
        raise ModelError(name, f'"{wanted}" among the cohort\'s {kind}', have, do)
    return available[wanted]
