"""Subtypes: a finite number of classes of subjects, of which nobody knows who is in which."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.covariate_effect import Effects, covariate_terms, effect_priors
from dpm.components.scalar import Prior, Scalar, among, sample_scalar
from dpm.errors import ModelError
from dpm.types import Array

SITE = "subtype"
"""The class of a subject: a discrete site inside the plate, summed out by the conditional kernel."""


@dataclass(frozen=True, kw_only=True)
class Misclassified:
    r"""A recorded diagnosis of the first subtype that may be wrong.

    $$P(d_i = 1 \mid z_i = 0) = \mathrm{sensitivity},\qquad P(d_i = 0 \mid z_i \neq 0) = \mathrm{specificity}$$

    A subject whose diagnosis was not recorded tells nothing of either. Sensitivity, specificity and the share of the
    subtype are learned together only where courses tell the classes apart: give the two priors from a validation
    study.

    Attributes:
        covariate: the recorded diagnosis, 1 for the first subtype and 0 for any other.
        sensitivity, specificity: between 0 and 1.
    """

    covariate: str
    sensitivity: Scalar
    specificity: Scalar

    def observe(self, subtype: Array, records: Records) -> None:
        """Score the diagnosis of every subject given its class, at the site `subtype_diagnosis`.

        Raises:
            ModelError: the cohort lacks it, or it is neither 0 nor 1.
        """
        recorded = among(SITE, "covariates", self.covariate, records.covariates)
        known = ~records.missing.get(self.covariate, jnp.zeros(records.n_subjects, bool))
        recorded = jnp.where(known, recorded, 0.0)
        sensitivity = sample_scalar(f"{SITE}_sensitivity", self.sensitivity)
        specificity = sample_scalar(f"{SITE}_specificity", self.specificity)
        share = jnp.where(subtype == 0, sensitivity, 1.0 - specificity)
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            numpyro.sample(f"{SITE}_diagnosis", dist.BernoulliProbs(share).mask(known), obs=recorded)

    def priors(self) -> Iterator[Prior]:
        """Its population values."""
        of = self.covariate.replace("_", " ")
        yield f"{SITE}_sensitivity", f"sensitivity of {of}", self.sensitivity
        yield f"{SITE}_specificity", f"specificity of {of}", self.specificity


@dataclass(frozen=True, kw_only=True)
class Subtypes:
    r"""Finite classes, summed out of the likelihood.

    $$P(z_i = k) = \mathrm{softmax}_k\Bigl(\alpha_k + \sum_m \beta_{mk} x_{im}\Bigr),\qquad
    p(y_i) = \sum_k P(z_i = k)\, p(y_i \mid z_i = k),$$ with $\alpha_0 = \beta_{m0} = 0$.

    Parameters whose typical value is a `ByClass` differ between classes. Classes whose priors are alike may change
    places, and are not identified: keep them apart by the priors of at least one parameter, or by one that is
    `increasing` over the classes.

    Attributes:
        names: of the classes, in order.
        log_odds: of each class but the first against the first, $\alpha_k$.
        effects: per covariate, the change of these log odds, the same prior for each class, $\beta_m$.
        diagnosis: a record of the first class that may be wrong.

    Raises:
        ModelError: fewer than two classes, or two of one name.
    """

    names: tuple[str, ...]
    log_odds: Scalar
    effects: Effects = field(default_factory=dict)
    diagnosis: Misclassified | None = None

    equation = r"\log P(z_i = k) / P(z_i = 0) = \alpha_k + \textstyle\sum_m \beta_{mk} x_{im}"

    def __post_init__(self) -> None:
        if len(set(self.names)) < max(2, len(self.names)):
            raise ModelError("Subtypes", "at least two classes of different names", ", ".join(self.names) or "none")

    def sample(self, records: Records) -> Array:
        """The class of every subject, at the site `subtype` inside the plate.

        Raises:
            ModelError: the cohort lacks a covariate.
        """
        scores = [jnp.zeros(records.n_subjects)]
        for name in self.names[1:]:
            score = sample_scalar(f"{SITE}_{name}", self.log_odds) * jnp.ones(records.n_subjects)
            for term in covariate_terms(f"{SITE}_{name}", self.effects, records):
                score = score + term
            scores.append(score)
        logits = jnp.stack(scores, axis=-1)
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            subtype = numpyro.sample(SITE, dist.CategoricalLogits(logits))
        if self.diagnosis is not None:
            self.diagnosis.observe(subtype, records)
        return subtype

    def priors(self) -> Iterator[Prior]:
        """Its population values."""
        for name in self.names[1:]:
            words = f"{name.replace('_', ' ')} against {self.names[0].replace('_', ' ')}"
            yield f"{SITE}_{name}", f"{words}: log odds", self.log_odds
            yield from effect_priors(f"{SITE}_{name}", self.effects, words, {})
        if self.diagnosis is not None:
            yield from self.diagnosis.priors()
