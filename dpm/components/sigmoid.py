"""Sigmoid courses between two values."""

from dataclasses import dataclass
from typing import Any

import jax
from jax import numpy as jnp

from dpm.components.parameter import Parameter
from dpm.components.scalar import Scalar
from dpm.components.trajectory import Trajectory
from dpm.types import PerVisit


@dataclass(frozen=True, kw_only=True)
class LogisticDecline(Trajectory):
    r"""Sigmoid loss of a score, from `ceiling` to `floor`.

    $$\mu(t) = f + (c - f)\,\sigma\{-r\,(t - m)\}$$

    Attributes:
        ceiling: score before the disease, $c$ [outcome unit].
        floor: score at end stage, $f$ [outcome unit].
        midpoint: time of steepest loss, $m$ [years].
        rate: steepness, $r > 0$ [1/years]; peak loss is $r(c - f)/4$ a year.
    """

    ceiling: Parameter | Scalar
    floor: Parameter | Scalar
    midpoint: Parameter
    rate: Parameter

    equation = (
        r"\mu(t) = \mathrm{floor} + (\mathrm{ceiling} - \mathrm{floor})"
        r" \,/\, [1 + \exp\{\mathrm{rate}\,(t - \mathrm{midpoint})\}]"
    )

    def curve(self, time: PerVisit, *, ceiling: Any, floor: Any, midpoint: Any, rate: Any) -> PerVisit:
        return floor + (ceiling - floor) * jax.nn.sigmoid(-rate * (time - midpoint))


@dataclass(frozen=True, kw_only=True)
class LogisticRise(Trajectory):
    r"""Sigmoid rise of a score, from `floor` to `ceiling`.

    $$\mu(t) = f + (c - f)\,\sigma\{r\,(t - m)\}$$

    Attributes:
        floor: score before the disease, $f$ [outcome unit].
        ceiling: score at end stage, $c$ [outcome unit].
        midpoint: time of steepest rise, $m$ [years].
        rate: steepness, $r > 0$ [1/years]; peak rise is $r(c - f)/4$ a year.
    """

    floor: Parameter | Scalar
    ceiling: Parameter | Scalar
    midpoint: Parameter
    rate: Parameter

    equation = (
        r"\mu(t) = \mathrm{floor} + (\mathrm{ceiling} - \mathrm{floor})"
        r" \,/\, [1 + \exp\{-\mathrm{rate}\,(t - \mathrm{midpoint})\}]"
    )

    def curve(self, time: PerVisit, *, floor: Any, ceiling: Any, midpoint: Any, rate: Any) -> PerVisit:
        return floor + (ceiling - floor) * jax.nn.sigmoid(rate * (time - midpoint))


@dataclass(frozen=True, kw_only=True)
class LogitLinear(Trajectory):
    r"""A score between two bounds whose logit is a straight line.

    $$\mu(t) = f + (c - f)\,\sigma(\ell + s\,t)$$

    `LogisticRise` in other terms: what is known is where a patient stands at time zero, not when half is reached.

    Attributes:
        floor: $f$ [outcome unit].
        ceiling: $c$ [outcome unit].
        level: logit of the share of the scale at time zero, $\ell$.
        slope: its change per year, $s$ [1/years]; negative for a loss.
    """

    floor: Parameter | Scalar
    ceiling: Parameter | Scalar
    level: Parameter
    slope: Parameter

    equation = (
        r"\mu(t) = \mathrm{floor} + (\mathrm{ceiling} - \mathrm{floor})"
        r" \,/\, \{1 + \exp(-\mathrm{level} - \mathrm{slope}\;t)\}"
    )

    def curve(self, time: PerVisit, *, floor: Any, ceiling: Any, level: Any, slope: Any) -> PerVisit:
        return floor + (ceiling - floor) * jax.nn.sigmoid(level + slope * time)


@dataclass(frozen=True, kw_only=True)
class SigmoidEmax(Trajectory):
    r"""Change that begins at time zero, on a clock of age or of time since onset, and comes to an end.

    $$\mu(t) = B + E\,\frac{t^h}{T^h + t^h}\ (t > 0),\qquad \mu(t) = B\ (t \leq 0)$$

    Attributes:
        baseline: until time zero, $B$ [outcome unit].
        maximum: the change in the end, $E$; negative for a loss [outcome unit].
        half_time: when half of it has happened, $T > 0$ [years].
        steepness: $h > 0$.

    Source: Harun et al. 2019, Thorax, doi 10.1136/thoraxjnl-2018-211550, for lung function by age.
    """

    baseline: Parameter
    maximum: Parameter
    half_time: Parameter
    steepness: Parameter | Scalar

    equation = (
        r"\mu(t) = \mathrm{baseline} + \mathrm{maximum}\; t_+^{\mathrm{steepness}}"
        r" \,/\, (\mathrm{half\_time}^{\mathrm{steepness}} + t_+^{\mathrm{steepness}})"
    )

    def curve(self, time: PerVisit, *, baseline: Any, maximum: Any, half_time: Any, steepness: Any) -> PerVisit:
        started = time > 0.0
        log_ratio = jnp.log(jnp.where(started, time, 1.0)) - jnp.log(half_time)
        return baseline + maximum * jnp.where(started, jax.nn.sigmoid(steepness * log_ratio), 0.0)


@dataclass(frozen=True, kw_only=True)
class RiseAndFall(Trajectory):
    r"""Sigmoid rise from a floor, then sigmoid fall back to it.

    $$\mu(t) = f + h\,\sigma\{r\,(t - m)\}\,\sigma\{-q\,(t - n)\}$$

    The peak comes near $f + h$ where the fall is much later than the rise.

    Attributes:
        floor: long before and long after, $f$ [outcome unit].
        height: of the peak above the floor, were the fall far away, $h$ [outcome unit].
        rise: time at half of the rise, $m$ [years].
        rise_rate: its steepness, $r > 0$ [1/years].
        fall: time at half of the fall, $n$ [years].
        fall_rate: its steepness, $q > 0$ [1/years].
    """

    floor: Parameter | Scalar
    height: Parameter
    rise: Parameter
    rise_rate: Parameter
    fall: Parameter
    fall_rate: Parameter

    equation = (
        r"\mu(t) = \mathrm{floor} + \mathrm{height}"
        r" \,/\, [1 + \exp\{-\mathrm{rise\_rate}\,(t - \mathrm{rise})\}]"
        r" \,/\, [1 + \exp\{\mathrm{fall\_rate}\,(t - \mathrm{fall})\}]"
    )

    def curve(
        self, time: PerVisit, *, floor: Any, height: Any, rise: Any, rise_rate: Any, fall: Any, fall_rate: Any
    ) -> PerVisit:
        up, down = jax.nn.sigmoid(rise_rate * (time - rise)), jax.nn.sigmoid(-fall_rate * (time - fall))
        return floor + height * up * down


@dataclass(frozen=True, kw_only=True)
class PeakedScore(Trajectory):
    r"""A score between two bounds that a child gains, up to a peak, and then loses.

    $$\mu(t) = f + (c - f)\,\sigma\{p + w\,k(u)\},\qquad u = (t - \tau)/w,$$
    $$k(u) = g u - (g + d)\,\{\log(1 + \tfrac{g}{d}\,e^{u}) - \log(1 + \tfrac{g}{d})\}$$

    The logit rises by $g$ a year long before the peak and falls by $d$ a year long after it; $k(0) = k'(0) = 0$, so
    that the peak has the logit $p$ and comes at $\tau$. Two straight lines as $w \to 0$.

    Attributes:
        floor: $f$ [outcome unit].
        ceiling: $c$ [outcome unit].
        peak: logit of the share of the scale at the peak, $p$.
        peak_time: when it is reached, $\tau$ [years].
        gain: of the logit, long before the peak, $g > 0$ [1/years].
        loss: of the logit, long after it, $d > 0$ [1/years].
        width: how sharp the turn is, $w > 0$ [years].
    """

    floor: Parameter | Scalar
    ceiling: Parameter | Scalar
    peak: Parameter
    peak_time: Parameter
    gain: Parameter
    loss: Parameter
    width: Scalar = 1.0

    equation = (
        r"\mu(t) = \mathrm{floor} + (\mathrm{ceiling} - \mathrm{floor})\,\sigma[\mathrm{peak} + \mathrm{gain}\,s"
        r" - (\mathrm{gain} + \mathrm{loss})\,\mathrm{width}\,\{\log(1 + q\,e^{s / \mathrm{width}}) - \log(1 + q)\}],"
        r"\quad s = t - \mathrm{peak\_time},\quad q = \mathrm{gain} / \mathrm{loss}"
    )

    def curve(
        self,
        time: PerVisit,
        *,
        floor: Any,
        ceiling: Any,
        peak: Any,
        peak_time: Any,
        gain: Any,
        loss: Any,
        width: Any,
    ) -> PerVisit:
        since, log_ratio = time - peak_time, jnp.log(gain) - jnp.log(loss)
        turned = jax.nn.softplus(since / width + log_ratio) - jax.nn.softplus(log_ratio)
        logit = peak + gain * since - (gain + loss) * width * turned
        return floor + (ceiling - floor) * jax.nn.sigmoid(logit)
