"""Expected courses. A trajectory is fields, an equation and one pure function named after them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
from jax import numpy as jnp

from dpm.components.parameter import Parameter, parameters_of
from dpm.components.scalar import Scalar, scalars_of
from dpm.types import PerVisit


class Trajectory(ABC):
    """An expected course over time.

    A field that is a `Parameter` varies by subject, one that is a `Scalar` is the population's, any other is
    configuration.
    """

    equation: str
    """The course in LaTeX, with the field names as symbols."""

    def parameters(self) -> dict[str, Parameter]:
        """The fields that vary by subject, in order."""
        return parameters_of(self)

    def scalars(self) -> dict[str, Scalar]:
        """The population values, in order."""
        return scalars_of(self)

    @abstractmethod
    def curve(self, time: PerVisit, **values: Any) -> PerVisit:
        """The course at `time` [years], given each parameter's per-subject values and the population's."""


@dataclass(frozen=True, kw_only=True)
class Constant(Trajectory):
    r"""A value that does not change.

    $$\mu(t) = \ell$$

    Attributes:
        level: $\ell$ [outcome unit].
    """

    level: Parameter

    equation = r"\mu(t) = \mathrm{level}"

    def curve(self, time: PerVisit, *, level: Any) -> PerVisit:
        return level + jnp.zeros_like(time)


@dataclass(frozen=True, kw_only=True)
class Linear(Trajectory):
    r"""A straight line.

    $$\mu(t) = \ell + s\,t$$

    Attributes:
        level: at time zero, $\ell$ [outcome unit].
        slope: change per year, $s$ [outcome unit/year].
    """

    level: Parameter
    slope: Parameter

    equation = r"\mu(t) = \mathrm{level} + \mathrm{slope}\; t"

    def curve(self, time: PerVisit, *, level: Any, slope: Any) -> PerVisit:
        return level + slope * time


@dataclass(frozen=True, kw_only=True)
class LogisticGrowth(Trajectory):
    r"""Sigmoid rise from zero to an asymptote.

    $$\mu(t) = \frac{A}{1 + \exp\{-(t - m)/s\}}$$

    Attributes:
        asymptote: final value, $A$ [outcome unit].
        midpoint: time at half the asymptote, $m$ [years].
        scale: time from half to about 73 % of the asymptote, $s > 0$ [years].

    Source: Pinheiro & Bates 2000, *Mixed-Effects Models in S and S-PLUS*, appendix C.7.
    """

    asymptote: Parameter
    midpoint: Parameter
    scale: Parameter

    equation = r"\mu(t) = \mathrm{asymptote} \,/\, \{1 + \exp(-(t - \mathrm{midpoint}) / \mathrm{scale})\}"

    def curve(self, time: PerVisit, *, asymptote: Any, midpoint: Any, scale: Any) -> PerVisit:
        return asymptote * jax.nn.sigmoid((time - midpoint) / scale)
