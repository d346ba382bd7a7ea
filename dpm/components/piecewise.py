"""Courses made of straight lines."""

from dataclasses import dataclass
from typing import Any

import jax
from jax import numpy as jnp

from dpm.components.parameter import Parameter
from dpm.components.scalar import Scalar
from dpm.components.trajectory import Trajectory
from dpm.errors import ModelError
from dpm.types import PerVisit


@dataclass(frozen=True, kw_only=True)
class PiecewiseLinear(Trajectory):
    r"""A line that bends at known times.

    $$\mu(t) = \ell + s\,t + \sum_k c_k\,(t - \kappa_k)_+$$

    Attributes:
        level: of the first line at time zero, $\ell$ [outcome unit].
        slope: before the first knot, $s$ [outcome unit/year].
        changes: of the slope at each knot, $c_k$ [outcome unit/year]; their sites are `change_1`, `change_2`, ...
        knots: $\kappa_k$, increasing [years].

    Raises:
        ModelError: the knots do not increase, or there is not one change for each.
    """

    level: Parameter
    slope: Parameter
    changes: tuple[Parameter, ...]
    knots: tuple[float, ...]

    equation = (
        r"\mu(t) = \mathrm{level} + \mathrm{slope}\; t + \textstyle\sum_k \mathrm{change}_k\, (t - \mathrm{knot}_k)_+"
    )

    def __post_init__(self) -> None:
        if len(self.changes) != len(self.knots):
            found = f"{len(self.changes)} changes and {len(self.knots)} knots"
            raise ModelError("PiecewiseLinear", "one change of slope for each knot", found)
        if list(self.knots) != sorted(set(self.knots)):
            raise ModelError("PiecewiseLinear", "knots that increase", str(self.knots))

    def parameters(self) -> dict[str, Parameter]:
        changes = {f"change_{k}": change for k, change in enumerate(self.changes, start=1)}
        return {"level": self.level, "slope": self.slope, **changes}

    def curve(self, time: PerVisit, *, level: Any, slope: Any, **changes: Any) -> PerVisit:
        bends = (changes[f"change_{k}"] * jnp.maximum(time - knot, 0.0) for k, knot in enumerate(self.knots, start=1))
        return sum(bends, level + slope * time)


@dataclass(frozen=True, kw_only=True)
class ChangePoint(Trajectory):
    r"""A line that turns into another one, smoothly, at a time of the subject's own.

    $$\mu(t) = \ell + s_0\,(t - \tau) + (s_1 - s_0)\,w \log\{1 + e^{(t - \tau)/w}\}$$

    Two lines that meet at $(\tau, \ell)$, within a few $w$ of which the course is rounded: there it lies
    $(s_1 - s_0)\,w\log 2$ beside them. Two straight lines as $w \to 0$.

    Attributes:
        level: where the lines meet, $\ell$ [outcome unit].
        before: slope long before the change, $s_0$ [outcome unit/year].
        after: slope long after it, $s_1$ [outcome unit/year].
        change: when the lines meet, $\tau$ [years].
        width: of the transition, $w > 0$ [years].
    """

    level: Parameter
    before: Parameter
    after: Parameter
    change: Parameter
    width: Parameter | Scalar

    equation = (
        r"\mu(t) = \mathrm{level} + \mathrm{before}\,(t - \mathrm{change})"
        r" + (\mathrm{after} - \mathrm{before})\,\mathrm{width} \log\{1 + e^{(t - \mathrm{change})/\mathrm{width}}\}"
    )

    def curve(self, time: PerVisit, *, level: Any, before: Any, after: Any, change: Any, width: Any) -> PerVisit:
        since = time - change
        return level + before * since + (after - before) * width * jax.nn.softplus(since / width)


@dataclass(frozen=True, kw_only=True)
class DevelopmentAndDecline(Trajectory):
    r"""The lower of two lines: a child's gain of function, then the loss of it.

    $$\mu(t) = -w \log\{e^{-g(t)/w} + e^{-d(t)/w}\},\qquad g(t) = g_0 + g_1 t,\quad d(t) = d_0 - d_1 t$$

    Never above either line; where they cross, $w \log 2$ below them. Their minimum as $w \to 0$, which no gradient
    can follow through the crossing.

    Attributes:
        start: of the development line at time zero, $g_0$ [outcome unit].
        gain: per year, $g_1$ [outcome unit/year].
        reserve: of the decline line at time zero, $d_0$ [outcome unit].
        loss: per year, $d_1$ [outcome unit/year].
        width: how far from the crossing the course is rounded, $w > 0$ [outcome unit].

    Source: Hamuro et al. 2017, CPT Pharmacometrics Syst Pharmacol, doi 10.1002/psp4.12220, with the minimum itself.
    """

    start: Parameter
    gain: Parameter
    reserve: Parameter
    loss: Parameter
    width: Parameter | Scalar

    equation = (
        r"\mu(t) = -\mathrm{width} \log\{e^{-(\mathrm{start} + \mathrm{gain}\,t)/\mathrm{width}}"
        r" + e^{-(\mathrm{reserve} - \mathrm{loss}\,t)/\mathrm{width}}\}"
    )

    def curve(self, time: PerVisit, *, start: Any, gain: Any, reserve: Any, loss: Any, width: Any) -> PerVisit:
        development, decline = start + gain * time, reserve - loss * time
        return -width * jnp.logaddexp(-development / width, -decline / width)
