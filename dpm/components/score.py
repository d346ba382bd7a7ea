"""Scores between bounds: shares of a scale, whole points, and points cut from a latent normal."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
from jax import numpy as jnp
from jax.scipy.special import ndtr
from jax.scipy.stats import norm
from numpyro import distributions as dist
from numpyro.distributions import constraints
from scipy.stats import norm as normal

from dpm.components.log_gamma import log_gamma, log_rising
from dpm.components.outcome import Noise
from dpm.components.scalar import Scalar
from dpm.errors import ModelError
from dpm.types import Array, Key, PerVisit

EDGE = 1e-4
"""How near to a bound, as a share of the scale, a course may come."""

ROUNDED = 1e-9
"""How near a draw may: rounding would put it on the bound, where the density is zero."""


def share_of(course: PerVisit, lower: int, upper: int) -> PerVisit:
    """The share of the scale, held inside its bounds."""
    return jnp.clip((course - lower) / (upper - lower), EDGE, 1.0 - EDGE)


def off_bounds(share: PerVisit) -> PerVisit:
    """A drawn share of the scale, not so near to a bound that rounding puts it there."""
    return jnp.clip(share, ROUNDED, 1.0 - ROUNDED)


def logit_of(share: PerVisit) -> PerVisit:
    """Its log odds."""
    return jnp.log(share) - jnp.log1p(-share)


@dataclass(frozen=True, kw_only=True)
class BoundedScore(Noise):
    r"""A score anywhere between two bounds.

    $$\frac{y - L}{U - L} \sim \mathrm{Beta}(\varphi m,\ \varphi(1 - m)),\qquad m = \frac{\mu - L}{U - L}$$

    Values on a bound are impossible under it. With `cuts` they have probabilities of their own, ordered with the
    course, and the course stays the mean of what lies between (ordered beta regression):
    $P(L) = 1 - \sigma(\mathrm{logit}\,m - c_1)$, $P(U) = \sigma(\mathrm{logit}\,m - c_2)$. Moving such values inside by
    a small amount instead, as is often done, lets the amount chosen decide the fit.

    Attributes:
        lower, upper: $L$, $U$ [points].
        precision: $\varphi$.
        cuts: an ordered prior of two values, $c_1 < c_2$; None where no value lies on a bound.

    Sources: Ferrari & Cribari-Neto 2004, doi 10.1080/0266476042000214501; Kubinec 2023, doi 10.1017/pan.2022.20.
    """

    lower: int
    upper: int
    precision: Scalar
    cuts: Scalar | None = None

    equation = (
        r"(y - \mathrm{lower}) / (\mathrm{upper} - \mathrm{lower}) \sim "
        r"\mathrm{Beta}(\mathrm{precision}\;m,\ \mathrm{precision}\,(1 - m))"
    )
    kinds = ("bounded", "continuous", "integer")

    @property
    def safe(self) -> float:
        return 0.5 * (self.lower + self.upper)

    def possible(self, values: np.ndarray) -> np.ndarray:
        if self.cuts is None:
            return (values > self.lower) & (values < self.upper)
        return (values >= self.lower) & (values <= self.upper)

    def expected(self, course: PerVisit, *, precision: Array, cuts: Array | None = None) -> PerVisit:
        if cuts is None:
            return course
        share = share_of(course, self.lower, self.upper)
        above, inside = _ends(share, cuts)
        return self.lower + (self.upper - self.lower) * (above + inside * share)

    def distribution(self, course: PerVisit, *, precision: Array, cuts: Array | None = None) -> dist.Distribution:
        return ScoreBeta(share_of(course, self.lower, self.upper), precision, cuts, self.lower, self.upper)


def _ends(share: PerVisit, cuts: Array) -> tuple[PerVisit, PerVisit]:
    """Probabilities of the upper bound, and of lying between the bounds."""
    logit = logit_of(share)
    above = jax.nn.sigmoid(logit - cuts[1])
    return above, jax.nn.sigmoid(logit - cuts[0]) - above


class ScoreBeta(dist.Distribution):
    """Of a score between bounds; see `BoundedScore`."""

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("share", "precision", "cuts")
    pytree_aux_fields = ("lower", "upper")

    def __init__(self, share: PerVisit, precision: Array, cuts: Array | None, lower: int, upper: int) -> None:
        self.share, self.precision, self.cuts, self.lower, self.upper = share, precision, cuts, lower, upper
        dist.Distribution.__init__(self, batch_shape=share.shape, validate_args=False)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        inner, end = jax.random.split(key)
        a, b = self.share * self.precision, (1.0 - self.share) * self.precision
        drawn = off_bounds(jax.random.beta(inner, a, b, (*sample_shape, *self.share.shape)))
        if self.cuts is not None:
            above, inside = _ends(self.share, self.cuts)
            u = jax.random.uniform(end, drawn.shape)
            drawn = jnp.where(u < above, 1.0, jnp.where(u < above + inside, drawn, 0.0))
        return self.lower + (self.upper - self.lower) * drawn

    def log_prob(self, value: Array) -> Array:
        width = self.upper - self.lower
        x = (value - self.lower) / width
        inner = jnp.clip(x, 1e-12, 1.0 - 1e-12)
        a, b = self.share * self.precision, (1.0 - self.share) * self.precision
        log_beta = log_gamma(a) + log_gamma(b) - log_gamma(self.precision)
        density = (a - 1.0) * jnp.log(inner) + (b - 1.0) * jnp.log1p(-inner) - log_beta - jnp.log(width)
        if self.cuts is None:
            return density
        inside = _ends(self.share, self.cuts)[1]
        low, high = x <= 0.0, x >= 1.0
        logit = logit_of(self.share)
        at_end = jnp.where(high, jax.nn.log_sigmoid(logit - self.cuts[1]), jax.nn.log_sigmoid(self.cuts[0] - logit))
        return jnp.where(low | high, at_end, density + jnp.log(jnp.maximum(inside, 1e-300)))


@dataclass(frozen=True, kw_only=True)
class IntegerScore(Noise):
    r"""Whole points from 0 to `maximum`, with overdispersion.

    $$y \sim \mathrm{BetaBinomial}(K,\ \varphi\mu/K,\ \varphi(1 - \mu/K))$$

    Proper at both bounds, so that floor and ceiling need no adjustment.

    Attributes:
        maximum: best possible score, $K$ [points].
        precision: $\varphi$; larger means closer to binomial noise.
    """

    maximum: int
    precision: Scalar

    equation = (
        r"y \sim \mathrm{BetaBinomial}(\mathrm{maximum},\ \mathrm{precision}\;m,\ \mathrm{precision}\,(1 - m)),"
        r"\quad m = \mu / \mathrm{maximum}"
    )
    kinds = ("integer",)

    def possible(self, values: np.ndarray) -> np.ndarray:
        return (values >= 0) & (values <= self.maximum) & (values == np.round(values))

    def distribution(self, course: PerVisit, *, precision: Array) -> dist.Distribution:
        return ScoreBetaBinomial(share_of(course, 0, self.maximum), precision, self.maximum)


class ScoreBetaBinomial(dist.Distribution):
    """Of whole points with overdispersion; see `IntegerScore`."""

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("share", "precision")
    pytree_aux_fields = ("maximum",)

    def __init__(self, share: PerVisit, precision: Array, maximum: int) -> None:
        self.share, self.precision, self.maximum = share, precision, maximum
        dist.Distribution.__init__(self, batch_shape=share.shape, validate_args=False)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        a, b = self.share * self.precision, (1.0 - self.share) * self.precision
        drawn = dist.BetaBinomial(a, b, total_count=self.maximum).sample(key, sample_shape)
        return drawn.astype(self.share.dtype)

    def log_prob(self, value: Array) -> Array:
        k, phi = self.maximum, self.precision
        a, b = self.share * phi, (1.0 - self.share) * phi
        choose = log_gamma(jnp.asarray(k + 1.0)) - log_gamma(value + 1.0) - log_gamma(k - value + 1.0)
        return choose + log_rising(a, value) + log_rising(b, k - value) - log_rising(phi, jnp.asarray(1.0 * k))


@dataclass(frozen=True, kw_only=True)
class BoundedInteger(Noise):
    r"""Whole points from 0 to `maximum`, cut from a latent normal at its quantiles.

    $$P(y = k) = \Phi\{(z_{(k+1)/(K+1)} - \mu) / \sigma\} - \Phi\{(z_{k/(K+1)} - \mu) / \sigma\}$$

    with $z_p$ the quantile of the standard normal: at $\mu = 0$, $\sigma = 1$ every score is equally likely.

    Attributes:
        maximum: best possible score, $K$ [points].
        sd: $\sigma$, on the scale of the course.

    Source: Wellhagen, Kjellsson & Karlsson 2019, doi 10.1208/s12248-019-0343-9.
    """

    maximum: int
    sd: Scalar

    equation = r"P(y \le k) = \Phi\{(z_{(k + 1) / (\mathrm{maximum} + 1)} - \mu) / \mathrm{sd}\}"
    kinds = ("integer", "ordinal")

    def possible(self, values: np.ndarray) -> np.ndarray:
        return (values >= 0) & (values <= self.maximum) & (values == np.round(values))

    def expected(self, course: PerVisit, *, sd: Array) -> PerVisit:
        steps = self.maximum + 1
        return sum((ndtr((course - normal.ppf(k / steps)) / sd) for k in range(1, steps)), jnp.zeros(()))

    def distribution(self, course: PerVisit, *, sd: Array) -> dist.Distribution:
        return CutNormal(course, sd + 0.0 * course, self.maximum)


class CutNormal(dist.Distribution):
    """Of whole points cut from a normal; see `BoundedInteger`."""

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("course", "sd")
    pytree_aux_fields = ("maximum",)

    def __init__(self, course: PerVisit, sd: Array, maximum: int) -> None:
        if maximum < 1:
            raise ModelError("BoundedInteger: maximum", "1 or more points", f"{maximum}")
        self.course, self.sd, self.maximum = course, sd, maximum
        dist.Distribution.__init__(self, batch_shape=course.shape, validate_args=False)

    @property
    def _edges(self) -> np.ndarray:
        """Finite stand-ins at both ends: beyond them a standard normal has no mass that a double could hold."""
        inner = normal.ppf(np.arange(1, self.maximum + 1) / (self.maximum + 1))
        return np.concatenate([[-1e3], inner, [1e3]])

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        drawn = dist.Normal(self.course, self.sd).sample(key, sample_shape)
        return jnp.searchsorted(jnp.asarray(self._edges[1:-1]), drawn).astype(drawn.dtype)

    def log_prob(self, value: Array) -> Array:
        edges, k = jnp.asarray(self._edges), value.astype(int)
        low, high = (edges[k] - self.course) / self.sd, (edges[k + 1] - self.course) / self.sd
        # From the nearer tail, so that no digit is lost.
        turned = low > 0.0
        near, far = jnp.where(turned, -low, high), jnp.where(turned, -high, low)
        larger, smaller = norm.logcdf(near), norm.logcdf(far)
        return larger + jnp.log(-jnp.expm1(jnp.minimum(smaller - larger, -1e-12)))
