"""Subtypes: a finite number of classes of subjects, of which nobody knows who is in which."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.parameter import Scalar, sample_scalar
from dpm.errors import ModelError
from dpm.types import Array

SITE = "subtype"
"""The class of a subject: a discrete site inside the plate, summed out by the conditional kernel."""


@dataclass(frozen=True, kw_only=True)
class Misclassified:
    r"""A recorded diagnosis of the first subtype that may be wrong.

    $$P(d_i = 1 \mid z_i = 0) = \mathrm{sensitivity},\qquad P(d_i = 0 \mid z_i \neq 0) = \mathrm{specificity}$$

    Attributes:
        covariate: the recorded diagnosis, 1 for the first subtype and 0 for any other.
        sensitivity, specificity: between 0 and 1.
    """

    covariate: str
    sensitivity: Scalar
    specificity: Scalar


@dataclass(frozen=True, kw_only=True)
class Subtypes:
    r"""Finite classes, summed out of the likelihood.

    $$P(z_i = k) = \mathrm{softmax}_k\Bigl(\alpha_k + \sum_m \beta_{mk} x_{im}\Bigr),\qquad
    p(y_i) = \sum_k P(z_i = k)\, p(y_i \mid z_i = k),$$ with $\alpha_0 = \beta_{m0} = 0$.

    Parameters whose typical value is a `ByClass` differ between classes. Give at least one of them priors that keep
    the classes apart: classes that may change places are not identified.

    Attributes:
        names: of the classes, in order.
        log_odds: of each class but the first against the first, $\alpha_k$.
        effects: per covariate, the change of these log odds, the same prior for each class, $\beta_m$.
        diagnosis: a record of the first class that may be wrong.
    """

    names: tuple[str, ...]
    log_odds: Scalar
    effects: Mapping[str, Scalar] = field(default_factory=dict)
    diagnosis: Misclassified | None = None

    def sample(self, records: Records) -> Array:
        """The class of every subject, at the site `subtype` inside the plate.

        Raises:
            ModelError: the cohort lacks a covariate.
        """
        scores = [jnp.zeros(records.n_subjects)]
        for name in self.names[1:]:
            score = sample_scalar(f"{SITE}_{name}", self.log_odds) * jnp.ones(records.n_subjects)
            for covariate, scalar in self.effects.items():
                score = score + sample_scalar(f"{SITE}_{name}_{covariate}", scalar) * _known(covariate, records)
            scores.append(score)
        logits = jnp.stack(scores, axis=-1)
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            subtype = numpyro.sample(SITE, dist.CategoricalLogits(logits))
        if self.diagnosis is not None:
            self._diagnose(self.diagnosis, subtype, records)
        return subtype

    @staticmethod
    def _diagnose(diagnosis: Misclassified, subtype: Array, records: Records) -> None:
        recorded = _known(diagnosis.covariate, records)
        sensitivity = sample_scalar(f"{SITE}_sensitivity", diagnosis.sensitivity)
        specificity = sample_scalar(f"{SITE}_specificity", diagnosis.specificity)
        share = jnp.where(subtype == 0, sensitivity, 1.0 - specificity)
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            numpyro.sample(f"{SITE}_diagnosis", dist.BernoulliProbs(share), obs=recorded)


def _known(covariate: str, records: Records) -> Array:
    if covariate not in records.covariates:
        have = ", ".join(sorted(records.covariates)) or "none"
        raise ModelError(SITE, f'"{covariate}" among the cohort\'s covariates', have, "Give it a role.")
    if covariate in records.missing:
        raise ModelError(SITE, f'"{covariate}" of every subject', "subjects without it", "Exclude these subjects.")
    return records.covariates[covariate]
