"""Outcomes in categories: yes or no, and ordered ones, alone or as the items of a scale."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import transforms

from dpm.components.outcome import Noise
from dpm.components.scalar import Scalar
from dpm.types import Array, Key, PerVisit


@dataclass(frozen=True)
class Binary(Noise):
    r"""Yes or no; the course is the log odds.

    $$P(y = 1) = \sigma(\mu)$$
    """

    equation = r"P(y = 1) = \sigma(\mu)"
    kinds = ("binary",)

    def possible(self, values: np.ndarray) -> np.ndarray:
        return (values == 0) | (values == 1)

    def expected(self, course: PerVisit) -> PerVisit:
        return jax.nn.sigmoid(course)

    def distribution(self, course: PerVisit) -> dist.Distribution:
        return dist.BernoulliLogits(course)


def thresholds(count: int, *, centre: float = 0.0, spread: float = 3.0) -> dist.Distribution:
    r"""A prior of ordered thresholds: evenly spaced around `centre`, normal with sd `spread` before ordering.

    Args:
        count: one fewer than there are categories.
        centre, spread: on the scale of the course.
    """
    middle = centre + np.log(np.arange(1, count + 1) / np.arange(count, 0, -1))
    start = np.concatenate([middle[:1], np.log(np.diff(middle))])
    scale = np.concatenate([[spread], np.full(count - 1, 1.0)])
    normal = dist.Normal(jnp.asarray(start), jnp.asarray(scale)).to_event(1)
    return dist.TransformedDistribution(normal, transforms.OrderedTransform())


@dataclass(frozen=True, kw_only=True)
class Ordinal(Noise):
    r"""Ordered categories 0, 1, ..., C by cumulative logits; an item of a scale where several share a latent course.

    $$P(y \ge k) = \sigma\{a(\mu - b_k)\},\quad k = 1, \dots, C$$

    Attributes:
        thresholds: an ordered prior, $b_1 < \dots < b_C$, such as `thresholds(C)`; on the scale of the course.
        discrimination: $a > 0$; 1 where the course belongs to this outcome alone.

    Source: Samejima 1969, *Psychometrika Monograph* 17 (graded response).
    """

    thresholds: Scalar
    discrimination: Scalar = 1.0

    equation = r"P(y \ge k) = \sigma\{\mathrm{discrimination}\,(\mu - \mathrm{thresholds}_k)\}"
    kinds = ("ordinal", "integer")

    def possible(self, values: np.ndarray) -> np.ndarray:
        return (values >= 0) & (values <= self.count) & (values == np.round(values))

    @property
    def count(self) -> int:
        """Categories but the lowest."""
        return int(getattr(self.thresholds, "event_shape", (0,))[0])

    def expected(self, course: PerVisit, *, thresholds: Array, discrimination: Array) -> PerVisit:
        each = (jax.nn.sigmoid(discrimination * (course - thresholds[k])) for k in range(self.count))
        return sum(each, jnp.zeros(()))

    def distribution(self, course: PerVisit, *, thresholds: Array, discrimination: Array) -> dist.Distribution:
        return Graded(course, thresholds, discrimination)


def log_expit(x: Array) -> Array:
    r"""$\log\{1 / (1 + e^{-x})\}$ to 1e-16 of one, by one exponential and one logarithm, with every derivative.

    JAX's is exact for a large $x$ too, of which a sum of log likelihoods sees nothing, at several times the cost.
    """
    far = x < -36.0
    return jnp.where(far, x, -jnp.log(1.0 + jnp.exp(-jnp.where(far, 0.0, x))))


class Graded(dist.Distribution):
    """Of an ordered category; see `Ordinal`."""

    support = dist.constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("course", "thresholds", "discrimination")

    def __init__(self, course: PerVisit, thresholds: Array, discrimination: Array) -> None:
        self.course, self.thresholds, self.discrimination = course, thresholds, discrimination
        dist.Distribution.__init__(self, batch_shape=course.shape, validate_args=False)

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        assert key is not None
        latent = self.course + jax.random.logistic(key, (*sample_shape, *self.course.shape)) / self.discrimination
        return jnp.searchsorted(self.thresholds, latent).astype(self.course.dtype)

    def log_prob(self, value: Array) -> Array:
        # sigma(u) - sigma(v) = sigma(u) sigma(-v) (1 - exp(v - u)): no difference of near numbers is taken.
        # The two thresholds of a value are chosen before anything is computed from them.
        count, b = self.thresholds.shape[0], self.thresholds
        under, over, gap = b[0], b[-1], jnp.zeros(())
        for k in range(1, count):
            under = jnp.where(value == k + 1, b[k], under)
            over = jnp.where(value == k, b[k], over)
            between = jnp.log(-jnp.expm1(self.discrimination * (b[k - 1] - b[k])))
            gap = jnp.where(value == k, between, gap)
        over = jnp.where(value == 0, b[0], over)
        above = log_expit(self.discrimination * (self.course - under))
        below = log_expit(self.discrimination * (over - self.course))
        return jnp.where(value > 0, above, 0.0) + jnp.where(value < count, below, 0.0) + gap
