"""Courses that grow or approach a limit.

An exponent is held at 100 where it would overflow: e^100 is 3e43, beyond the use of any unit, and its square is still a
number.
"""

from dataclasses import dataclass
from typing import Any

import jax
from jax import numpy as jnp

from dpm.components.parameter import Parameter
from dpm.components.scalar import Scalar
from dpm.components.trajectory import Trajectory
from dpm.types import PerVisit

LARGEST_EXPONENT = 100.0
NEAREST = 1e-9
"""How near a share may come to 0 or 1 where its logarithm is taken."""


@dataclass(frozen=True, kw_only=True)
class ExponentialApproach(Trajectory):
    r"""Approach to an asymptote, ever slower.

    $$\mu(t) = \ell + (A - \ell)\,(1 - e^{-r t})$$

    Attributes:
        level: at time zero, $\ell$ [outcome unit].
        asymptote: in the end, $A$ [outcome unit].
        rate: $r > 0$ [1/years]; half way after $\log(2)/r$.
    """

    level: Parameter
    asymptote: Parameter
    rate: Parameter

    equation = r"\mu(t) = \mathrm{level} + (\mathrm{asymptote} - \mathrm{level})\,(1 - e^{-\mathrm{rate}\,t})"

    def curve(self, time: PerVisit, *, level: Any, asymptote: Any, rate: Any) -> PerVisit:
        return level - (asymptote - level) * jnp.expm1(jnp.minimum(-rate * time, LARGEST_EXPONENT))


@dataclass(frozen=True, kw_only=True)
class ExponentialGrowth(Trajectory):
    r"""Growth, or decay, in proportion to what is there.

    $$\mu(t) = \ell\,e^{r t}$$

    Attributes:
        level: at time zero, $\ell$ [outcome unit].
        rate: $r$ [1/years]; doubles in $\log(2)/r$.
    """

    level: Parameter
    rate: Parameter

    equation = r"\mu(t) = \mathrm{level}\; e^{\mathrm{rate}\,t}"

    def curve(self, time: PerVisit, *, level: Any, rate: Any) -> PerVisit:
        return level * jnp.exp(jnp.minimum(rate * time, LARGEST_EXPONENT))


@dataclass(frozen=True, kw_only=True)
class Power(Trajectory):
    r"""Change in proportion to a power of time: decelerating below an exponent of 1, accelerating above.

    $$\mu(t) = \ell + c\,t^{p}\ (t > 0),\qquad \mu(t) = \ell\ (t \leq 0)$$

    Attributes:
        level: until time zero, $\ell$ [outcome unit].
        change: in the first year, $c$ [outcome unit].
        exponent: $p > 0$.
    """

    level: Parameter
    change: Parameter
    exponent: Parameter | Scalar

    equation = r"\mu(t) = \mathrm{level} + \mathrm{change}\; t_+^{\mathrm{exponent}}"

    def curve(self, time: PerVisit, *, level: Any, change: Any, exponent: Any) -> PerVisit:
        started = time > 0.0
        log_time = jnp.log(jnp.where(started, time, 1.0))
        return level + change * jnp.where(started, jnp.exp(jnp.minimum(exponent * log_time, LARGEST_EXPONENT)), 0.0)


@dataclass(frozen=True, kw_only=True)
class Gompertz(Trajectory):
    r"""Rise from zero to an asymptote, steepest early: at 37 % of it.

    $$\mu(t) = A \exp\{-e^{-r (t - m)}\}$$

    Solves $\mu' = r\,\mu \log(A/\mu)$.

    Attributes:
        asymptote: in the end, $A$ [outcome unit].
        midpoint: time of the steepest rise, where $\mu = A/e$, $m$ [years].
        rate: $r > 0$ [1/years]; the steepest rise is $rA/e$ a year.
    """

    asymptote: Parameter
    midpoint: Parameter
    rate: Parameter

    equation = r"\mu(t) = \mathrm{asymptote} \exp\{-e^{-\mathrm{rate}\,(t - \mathrm{midpoint})}\}"

    def curve(self, time: PerVisit, *, asymptote: Any, midpoint: Any, rate: Any) -> PerVisit:
        return asymptote * jnp.exp(-jnp.exp(jnp.minimum(-rate * (time - midpoint), LARGEST_EXPONENT)))


@dataclass(frozen=True, kw_only=True)
class Richards(Trajectory):
    r"""Generalised logistic course from one bound to another, through a level at time zero.

    $$\mu(t) = o + (A - o)\,\{1 + u\,e^{-b r t}\}^{-1/b},\qquad u = \Bigl(\frac{A - o}{\ell - o}\Bigr)^{b} - 1$$

    Solves $x' = r x (1 - x^b)$ for $x = (\mu - o)/(A - o)$. Logistic for $b = 1$, Gompertz as $b \to 0$ with $br$
    held. A level that is not strictly between the bounds is held just inside them.

    Attributes:
        level: at time zero, $\ell$, between the bounds [outcome unit].
        rate: $r$ [1/years]; of the exponential change near `origin`.
        asymptote: the bound it moves to, $A$ [outcome unit].
        shape: $b > 0$; the larger, the later it bends towards the asymptote.
        origin: the bound it comes from, $o$ [outcome unit].

    Source: Conrado et al. 2014, J Pharmacokinet Pharmacodyn, doi 10.1007/s10928-014-9375-z, with `origin` 0 and
    `asymptote` 70 points of ADAS-Cog.
    """

    level: Parameter
    rate: Parameter
    asymptote: Parameter | Scalar
    shape: Parameter | Scalar
    origin: Parameter | Scalar = 0.0

    equation = (
        r"\mu(t) = \mathrm{origin} + (\mathrm{asymptote} - \mathrm{origin})"
        r"\,\{1 + u\,e^{-\mathrm{shape}\,\mathrm{rate}\,t}\}^{-1/\mathrm{shape}},\quad"
        r" u = \{(\mathrm{asymptote} - \mathrm{origin})/(\mathrm{level} - \mathrm{origin})\}^{\mathrm{shape}} - 1"
    )

    def curve(self, time: PerVisit, *, level: Any, rate: Any, asymptote: Any, shape: Any, origin: Any) -> PerVisit:
        share = jnp.clip((level - origin) / (asymptote - origin), NEAREST, 1.0 - NEAREST)
        distance = -shape * jnp.log(share)
        log_u = distance + jnp.log(-jnp.expm1(-distance))
        return origin + (asymptote - origin) * jnp.exp(-jax.nn.softplus(log_u - shape * rate * time) / shape)
