"""Baseline covariates that some subjects lack: a distribution of each, so that nobody has to be left out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.covariate_effect import Effects, covariate_terms, effect_priors
from dpm.components.scalar import Prior, Scalar, among, sample_scalar
from dpm.types import Array, Bool, PerSubject


class CovariateModel(ABC):
    """The distribution of a baseline covariate, given others.

    A value that was measured is scored. One that was not is a latent value of its subject, and what the subject's
    course says of it counts: unbiased where the chance to be missing depends on what was observed (missing at random),
    covariates of the model and measurements alike.
    """

    equation: str
    """The distribution in LaTeX."""

    @abstractmethod
    def complete(self, name: str, records: Records) -> PerSubject:
        """The covariate of every subject, measured or drawn; samples sites that begin with `covariate_<name>`."""

    @abstractmethod
    def priors(self, name: str) -> Iterator[Prior]:
        """Its population values."""


@dataclass(frozen=True, kw_only=True)
class NormalCovariate(CovariateModel):
    r"""A number, on its scale in the model.

    $$x_i \sim N\Bigl(m + \sum_k \beta_k x_{ik},\ s^2\Bigr)$$

    A missing value is $m + \sum_k \beta_k x_{ik} + s z_i$ with $z_i \sim N(0, 1)$ for everybody: a measured subject's
    $z_i$ touches nothing and integrates to one.

    Attributes:
        mean: $m$; the covariate's own prior mean is near 0 where it is standardised.
        sd: $s$, near 1 there.
        effects: per covariate, $\beta_k$: of those without a missing value, and of those modelled before this one.
    """

    mean: Scalar = field(default_factory=lambda: dist.Normal(0.0, 1.0))
    sd: Scalar = field(default_factory=lambda: dist.HalfNormal(2.0))
    effects: Effects = field(default_factory=dict)

    equation = r"x_i \sim \mathrm{Normal}(\mathrm{mean} + \textstyle\sum_k \beta_k x_{ik},\ \mathrm{sd}^2)"

    def complete(self, name: str, records: Records) -> PerSubject:
        site = f"covariate_{name}"
        centre = _centre(f"{site}_mean", site, self.mean, self.effects, records)
        sd = sample_scalar(f"{site}_sd", self.sd)
        known, measured = _known(name, records)
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            numpyro.sample(site, dist.Normal(centre, sd).mask(known), obs=measured)
            if name not in records.missing:
                return measured
            z = numpyro.sample(f"{site}_z", dist.Normal(0.0, 1.0))
        return jnp.where(known, measured, centre + sd * z)

    def priors(self, name: str) -> Iterator[Prior]:
        site, words = f"covariate_{name}", name.replace("_", " ")
        yield f"{site}_mean", f"{words}: mean", self.mean
        yield f"{site}_sd", f"{words}: sd", self.sd
        yield from effect_priors(site, self.effects, words, {})


@dataclass(frozen=True, kw_only=True)
class BernoulliCovariate(CovariateModel):
    r"""An indicator, 0 or 1; where it is missing, the likelihood sums over both.

    $$P(x_i = 1) = \mathrm{logit}^{-1}\Bigl(a + \sum_k \beta_k x_{ik}\Bigr)$$

    Attributes:
        log_odds: $a$.
        effects: per covariate, $\beta_k$: of those without a missing value, and of those modelled before this one.
    """

    log_odds: Scalar = field(default_factory=lambda: dist.Normal(0.0, 1.5))
    effects: Effects = field(default_factory=dict)

    equation = r"\mathrm{logit}\,P(x_i = 1) = \mathrm{log\_odds} + \textstyle\sum_k \beta_k x_{ik}"

    def complete(self, name: str, records: Records) -> PerSubject:
        site = f"covariate_{name}"
        logits = _centre(f"{site}_log_odds", site, self.log_odds, self.effects, records)
        known, measured = _known(name, records)
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            numpyro.sample(site, dist.BernoulliLogits(logits).mask(known), obs=measured)
            if name not in records.missing:
                return measured
            drawn = numpyro.sample(f"{site}_class", dist.BernoulliLogits(logits))
        return jnp.where(known, measured, drawn)

    def priors(self, name: str) -> Iterator[Prior]:
        site, words = f"covariate_{name}", name.replace("_", " ")
        yield f"{site}_log_odds", f"{words}: log odds", self.log_odds
        yield from effect_priors(site, self.effects, words, {})


def _centre(site: str, name: str, scalar: Scalar, effects: Effects, records: Records) -> PerSubject:
    value = sample_scalar(site, scalar) * jnp.ones(records.n_subjects)
    for term in covariate_terms(name, effects, records):
        value = value + term
    return value


def _known(name: str, records: Records) -> tuple[Bool[Array, " subject"], PerSubject]:
    """In whom a covariate was measured, and its value there, 0 elsewhere: not a number would spoil a gradient."""
    column = among("covariates", "covariates", name, records.covariates)
    known = ~records.missing.get(name, jnp.zeros(records.n_subjects, bool))
    return known, jnp.where(known, column, 0.0)
