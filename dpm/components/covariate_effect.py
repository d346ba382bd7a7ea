"""What covariates add to a parameter: coefficients, products, splines, contrasts of levels, horseshoes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpyro
from jax import core
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.scalar import Prior, Scalar, among, sample_scalar
from dpm.errors import ModelError
from dpm.types import Array, Float, PerSubject


class CovariateEffect(ABC):
    """What a covariate adds where that is more than a coefficient times its value."""

    @abstractmethod
    def term(self, name: str) -> str:
        """It in LaTeX, for the covariate called `name` there."""

    @abstractmethod
    def add(self, site: str, covariate: str, records: Records) -> PerSubject:
        """The sum that it adds to every subject's value; samples its sites, which begin with `site`."""

    @abstractmethod
    def priors(self, site: str, words: str) -> Iterator[Prior]:
        """Its population values."""


@dataclass(frozen=True, kw_only=True)
class Spline(CovariateEffect):
    r"""A natural cubic spline: smooth, and straight beyond the outer knots.

    $$s(x) = \sum_{k=1}^{K-1} \beta_k \{B_k(x) - B_k(0)\},\quad B_1(x) = x,\quad
    B_{k+1}(x) = \frac{(x - t_k)_+^3 - (x - t_{K-1})_+^3 \frac{t_K - t_k}{t_K - t_{K-1}}
    + (x - t_K)_+^3 \frac{t_{K-1} - t_k}{t_K - t_{K-1}}}{(t_K - t_1)^2}$$

    It is zero at $x = 0$, the mean of a standardised covariate: the typical value stays that of such a subject.

    Attributes:
        coefficient: prior of each $\beta_k$, independent [parameter per unit of the covariate].
        knots: $t_1 < \dots < t_K$ on the covariate's scale in the model. None: those that the covariate's role asks
            for, at quantiles of the cohort of the fit, which its encodings keep.

    Source: Harrell 2015, *Regression Modeling Strategies*, section 2.4.5.
    """

    coefficient: dist.Distribution
    knots: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.knots is not None and (len(self.knots) < 3 or np.any(np.diff(self.knots) <= 0)):
            raise ModelError("Spline", "at least three knots in increasing order", str(self.knots))

    def term(self, name: str) -> str:
        return rf"s(x^{{{name}}}_i)"

    def add(self, site: str, covariate: str, records: Records) -> PerSubject:
        x = covariate_value(site, covariate, records)
        if self.knots is None:
            knots = list(among(site, "covariates with knots", covariate, records.knots))
        else:
            knots = [jnp.asarray(knot) for knot in self.knots]
        coefficients = numpyro.sample(site, self.coefficient.expand([len(knots) - 1]).to_event(1))
        at, zero = natural_cubic(x, knots), natural_cubic(jnp.zeros(()), knots)
        return sum((coefficients[k] * (at[k] - zero[k]) for k in range(len(at))), jnp.zeros(()))

    def priors(self, site: str, words: str) -> Iterator[Prior]:
        yield site, f"{words}: each coefficient of a spline", self.coefficient


def natural_cubic(x: Array, knots: list[Array]) -> list[Array]:
    """The basis of `Spline` at `x`."""
    first, before, last = knots[0], knots[-2], knots[-1]
    bent = []
    for knot in knots[:-2]:
        straight = cubed(x - before) * (last - knot) - cubed(x - last) * (before - knot)
        bent.append((cubed(x - knot) - straight / (last - before)) / (last - first) ** 2)
    return [x, *bent]


def cubed(x: Array) -> Array:
    """$x_+^3$."""
    return jnp.maximum(x, 0.0) ** 3


@dataclass(frozen=True, kw_only=True)
class Factor(CovariateEffect):
    r"""Levels of a group as fixed effects: few of them, and no others in patients to come.

    `treatment`: $\beta_k$ for level $k$ against the first, whose effect is zero. `sum`: $\beta_k$ against the mean of
    all levels, the last being $-\sum_k \beta_k$. Its name among a parameter's `effects` is that of a group of the
    cohort (study, site, era, groups, subgroups), whose levels have the order of the encodings. A parameter's `groups`
    are pooled instead, and know what to say of a level that was not met.

    Attributes:
        coefficient: prior of each $\beta_k$, independent.
        contrast: which of the two.
    """

    coefficient: dist.Distribution
    contrast: Literal["treatment", "sum"] = "treatment"

    def term(self, name: str) -> str:
        return rf"\beta^{{{name}}}_{{i}}"

    def add(self, site: str, covariate: str, records: Records) -> PerSubject:
        membership = among(site, "groups", covariate, records.groups)
        _refuse_unseen(site, covariate, membership)
        values = numpyro.sample(site, self.coefficient.expand([len(membership) - 1]).to_event(1))
        if self.contrast == "treatment":
            return values @ membership[1:]
        return values @ membership[:-1] - jnp.sum(values) * membership[-1]

    def priors(self, site: str, words: str) -> Iterator[Prior]:
        against = "the first" if self.contrast == "treatment" else "the mean of all"
        yield site, f"{words}: each level against {against}", self.coefficient


def _refuse_unseen(site: str, group: str, membership: Float[Array, "group subject"]) -> None:
    if isinstance(membership, core.Tracer):
        return
    outside = np.asarray(membership).sum(axis=0) == 0
    if outside.any():
        got = f"another in {int(outside.sum()):,} of {len(outside):,} subjects (first at position {outside.argmax()})"
        do = f'Leave these subjects out, or pool over it: groups={{"{group}": ...}}.'
        raise ModelError(site, f'a level of "{group}" that was met at the fit', got, do)


@dataclass(frozen=True, kw_only=True)
class Horseshoe:
    r"""Many covariates of which few matter: the regularised horseshoe.

    $$\beta_j = \tau \tilde\lambda_j z_j,\quad
    \tilde\lambda_j^2 = \frac{c^2 \lambda_j^2}{c^2 + \tau^2 \lambda_j^2},\quad z_j \sim N(0, 1),$$
    $$\lambda_j \sim C^+(0, 1),\quad \tau \sim C^+(0, \tau_0),\quad
    c^2 \sim \mathrm{InvGamma}(\nu / 2,\ \nu s^2 / 2)$$

    With $D$ covariates of unit variance, $p$ of them expected to matter, $n$ subjects and a parameter that one
    subject alone tells to within $\sigma$, $\tau_0 = \frac{p}{D - p} \frac{\sigma}{\sqrt n}$. Fit it by sampling: at
    the maximum of its density, where `Laplace` stands, small coefficients are hardly shrunk.

    Attributes:
        covariates: by name.
        scale: $\tau_0$.
        slab: $s$, the size of a coefficient that matters.
        slab_freedom: $\nu$.

    Source: Piironen & Vehtari 2017, Electron J Stat 11:5018-5051, doi 10.1214/17-EJS1337SI.
    """

    covariates: tuple[str, ...]
    scale: float
    slab: float
    slab_freedom: float = 4.0

    def add(self, name: str, records: Records) -> PerSubject:
        """The sum over its covariates; its sites begin with `<name>_horseshoe`."""
        site, count = f"{name}_horseshoe", len(self.covariates)
        columns = jnp.stack([covariate_value(site, covariate, records) for covariate in self.covariates])
        overall = numpyro.sample(f"{site}_global", self._global)
        local = numpyro.sample(f"{site}_local", self._local.expand([count]).to_event(1))
        slab = numpyro.sample(f"{site}_slab", self._slab)
        z = numpyro.sample(f"{site}_z", dist.Normal(0.0, 1.0).expand([count]).to_event(1))
        spread = overall * local * jnp.sqrt(slab / (slab + (overall * local) ** 2))
        return numpyro.deterministic(site, spread * z) @ columns

    @property
    def _global(self) -> dist.Distribution:
        return dist.HalfCauchy(self.scale)

    @property
    def _local(self) -> dist.Distribution:
        return dist.HalfCauchy(1.0)

    @property
    def _slab(self) -> dist.Distribution:
        return dist.InverseGamma(self.slab_freedom / 2.0, self.slab_freedom * self.slab**2 / 2.0)

    def priors(self, name: str, words: str) -> Iterator[Prior]:
        """Its population values."""
        site, which = f"{name}_horseshoe", f"horseshoe over {', '.join(self.covariates)}"
        yield f"{site}_global", f"{words}: global scale of a {which}", self._global
        yield f"{site}_local", f"{words}: local scale of each coefficient of it", self._local
        yield f"{site}_slab", f"{words}: squared size of a coefficient of it that matters", self._slab


type Effects = Mapping[str, Scalar | CovariateEffect]
"""Per covariate a coefficient or more; `"age:female"` is the product of two covariates."""


def covariate_terms(name: str, effects: Effects, records: Records) -> Iterator[PerSubject]:
    """What each covariate adds to the value called `name`; samples a site `<name>_<covariate>` for each.

    A product's site is `<name>_<one>_by_<other>`.

    Raises:
        ModelError: the cohort lacks a covariate, or some subject does and nothing models it.
    """
    for covariate, effect in effects.items():
        site = effect_site(name, covariate)
        if isinstance(effect, CovariateEffect):
            yield effect.add(site, covariate, records)
        else:
            yield sample_scalar(site, effect) * covariate_value(name, covariate, records)


def effect_site(name: str, covariate: str) -> str:
    """The site of a covariate's effect."""
    return f"{name}_{covariate.replace(':', '_by_')}"


def effect_priors(name: str, effects: Effects, words: str, labels: Mapping[str, str]) -> Iterator[Prior]:
    """The population values of covariate effects; `labels` are a card's words for covariates."""
    for covariate, effect in effects.items():
        plain = f"effect of {covariate.replace(':', ' by ').replace('_', ' ')}"
        site, said = effect_site(name, covariate), f"{words}: {labels.get(covariate, plain)}"
        if isinstance(effect, CovariateEffect):
            yield from effect.priors(site, said)
        else:
            yield site, said, effect


def covariate_value(name: str, covariate: str, records: Records) -> PerSubject:
    """A covariate of every subject, or the product of two or more (`"age:female"`).

    Raises:
        ModelError: the cohort lacks it, or some subject does and nothing models it.
    """
    value = jnp.ones(())
    for factor in covariate.split(":"):
        column = among(name, "covariates", factor, records.covariates)
        if factor in records.missing:
            do = "Give the model a distribution of it (covariates=), exclude these subjects, or drop the covariate."
            expected = f'"{factor}" of every subject, or a model of what is missing'
            raise ModelError(name, expected, "subjects without it", do)
        value = value * column
    return value
