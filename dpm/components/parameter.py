"""A parameter of a trajectory: typical value, covariate effects, pooled groups, subject-level spread."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import biject_to

from dpm.cohort.records import Records
from dpm.components.covariate_effect import Effects, Horseshoe, covariate_terms, effect_priors
from dpm.components.grouping import Groups, group_priors, group_terms
from dpm.components.scalar import Prior, Scalar, among, refuse_many, refuse_negative, sample_scalar
from dpm.errors import ModelError
from dpm.types import Array, PerSubject, PerVisit


@dataclass(frozen=True)
class ByClass:
    r"""A typical value that differs between the subtypes of a model; see `Subtypes`.

    Classes whose priors are alike may change places, and then nothing tells one from the other. With `increasing`
    they cannot: $\theta_k = \theta_{k-1} + d_k$ with $d_k > 0$.

    Attributes:
        values: one for each subtype, in order: a number, or a prior to learn it from.
        increasing: the values after the first are steps from the one before.

    Raises:
        ModelError: a step may be negative.
    """

    values: tuple[dist.Distribution | float, ...]
    increasing: bool = False

    def __post_init__(self) -> None:
        for k, step in enumerate(self.values[1:], 1) if self.increasing else ():
            low = step if not isinstance(step, dist.Distribution) else _lower_end(step)
            if not low >= 0:
                do = "Give it a prior of positive values, such as HalfNormal or LogNormal."
                raise ModelError(f"ByClass: value {k}", "a step upwards from the class before", _said(step), do)

    def sample(self, name: str, subtype: Array) -> PerSubject:
        """The value of each subject's class; samples a site `<name>_<k>` for each that is learned."""
        values = [sample_scalar(f"{name}_{k}", scalar) for k, scalar in enumerate(self.values)]
        if self.increasing:
            values = list(jnp.cumsum(jnp.stack(values)))
        return sum((jnp.where(subtype == k, value, 0.0) for k, value in enumerate(values)), jnp.zeros(()))


def _lower_end(prior: dist.Distribution) -> float:
    """The least value that a prior allows."""
    return float(biject_to(prior.support)(jnp.full(prior.shape(), -700.0)).min())


def _said(step: dist.Distribution | float) -> str:
    return type(step).__name__ if isinstance(step, dist.Distribution) else f"{step:g}"


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
    A level that was not met at the fit is drawn from the population of levels, $N\{0, \tau_G^2 (1 + 1/K)\}$ for $K$
    levels met; where `records` do not say which subjects share one (`Records.unseen`), it adds nothing.

    Attributes:
        typical: $\theta$, on the scale before the link; by subtype in a model that has them.
        subject: sd of the subject-level effects, $\omega$; None for a parameter without them.
        effects: per covariate, its coefficient $\beta_k$, or a `Spline`; per group, a `Factor` of fixed levels;
            `"age:female"` is the coefficient of a product.
        groups: per grouping, the sd of its levels, $\tau_G$, or a `Drift` of levels in order.
        within: per factor of visits (`occasion`, `part`), the sd of a subject's own effect at each of its levels,
            $\omega_W$: two eyes of one person, or one occasion and the next.
        link: $g$, a plain function such as `jax.numpy.exp`.
        horseshoe: many covariates of which few matter.

    Raises:
        ModelError: a prior is of several values, or a spread may be below zero.
    """

    typical: Scalar | ByClass
    subject: Scalar | None = None
    effects: Effects = field(default_factory=dict)
    groups: Groups = field(default_factory=dict)
    within: Mapping[str, Scalar] = field(default_factory=dict)
    link: Callable[[Array], Array] = identity
    horseshoe: Horseshoe | None = None

    def __post_init__(self) -> None:
        several = {"typical": self.typical, **{f"effects.{name}": effect for name, effect in self.effects.items()}}
        spreads: dict[str, object] = {
            "subject": self.subject,
            **{f"groups.{name}": spread for name, spread in self.groups.items()},
            **{f"within.{name}": spread for name, spread in self.within.items()},
        }
        for name, value in (several | spreads).items():
            refuse_many(f"Parameter: {name}", value)
        for name, value in spreads.items():
            refuse_negative(f"Parameter: {name}", value)

    def fixed_part(self, name: str, records: Records, subtype: Array | None = None) -> PerSubject:
        """Typical value, covariate effects and groups; samples their sites, outside the plate.

        Args:
            name: of the parameter.
            records: of the subjects.
            subtype: each subject's class, in a model that has them.
        """
        value = self._typical(name, subtype) * jnp.ones(records.n_subjects)
        for term in covariate_terms(name, self.effects, records):
            value = value + term
        if self.horseshoe is not None:
            value = value + self.horseshoe.add(name, records)
        for term in group_terms(name, self.groups, records):
            value = value + term
        return value

    def _typical(self, name: str, subtype: Array | None) -> Array:
        if not isinstance(self.typical, ByClass):
            return sample_scalar(name, self.typical)
        if subtype is None:
            do = "Give the model subtypes=Subtypes(...), or the parameter one typical value."
            raise ModelError(name, "a model with subtypes", "a typical value by class", do)
        return self.typical.sample(name, subtype)

    def within_part(self, name: str, records: Records) -> PerVisit | None:
        """The subject's own effects at the levels of factors of visits; None without them."""
        total = None
        for factor, scalar in self.within.items():
            one_hot = among(name, "factors of visits", factor, records.levels)
            spread = sample_scalar(f"{name}_{factor}_sd", scalar)
            with numpyro.plate("subject", records.n_subjects, dim=-1), numpyro.plate(factor, len(one_hot), dim=-2):
                z = numpyro.sample(f"{name}_{factor}_z", dist.Normal(0.0, 1.0))
            part = spread * sum((one_hot[k] * z[k] for k in range(len(one_hot))), jnp.zeros(()))
            total = part if total is None else total + part
        return total

    def priors(self, name: str, labels: Mapping[str, str]) -> Iterator[Prior]:
        """Its population values; `labels` are a card's words for covariates."""
        words = name.replace("_", " ")
        if isinstance(self.typical, ByClass):
            for k, scalar in enumerate(self.typical.values):
                step = ", above the class before" if k and self.typical.increasing else ""
                yield f"{name}_{k}", f"{words}: typical of class {k}{step}", scalar
        else:
            yield name, f"{words}: typical", self.typical
        yield from effect_priors(name, self.effects, words, labels)
        if self.horseshoe is not None:
            yield from self.horseshoe.priors(name, words)
        yield from group_priors(name, self.groups, words)
        if self.subject is not None:
            yield f"{name}_sd", f"{words}: sd between subjects", self.subject
        for factor, scalar in self.within.items():
            yield f"{name}_{factor}_sd", f"{words}: sd between each {factor} of a subject", scalar


def parameters_of(component: object) -> dict[str, Parameter]:
    """The fields of a component, a frozen dataclass, that vary by subject, in order."""
    values = {item.name: getattr(component, item.name) for item in fields(component)}  # type: ignore[arg-type]
    return {name: value for name, value in values.items() if isinstance(value, Parameter)}
