"""How an effect of treatment fades, stops or sets in."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from jax import numpy as jnp

from dpm.components.scalar import Scalar, scalars_of
from dpm.types import Array, PerVisit


class Waning(ABC):
    """How much of an effect is left a time after its start."""

    equation: str
    """The share left in LaTeX, $s$ being time since the start."""

    def scalars(self) -> dict[str, Scalar]:
        """Its population values, in order."""
        return scalars_of(self)

    @abstractmethod
    def left(self, since: PerVisit, **values: Any) -> PerVisit:
        """The share left at `since` [years], from 0 upwards."""

    @abstractmethod
    def taken(self, since: PerVisit, **values: Any) -> PerVisit:
        r"""The time that the whole effect would have taken to do as much, $\int_0^s w(v)\,\mathrm{d}v$ [years]."""


@dataclass(frozen=True, kw_only=True)
class HalfLife(Waning):
    r"""$2^{-s/h}$.

    Attributes:
        half_life: $h$ [years].
    """

    half_life: Scalar

    equation = r"2^{-s / \mathrm{half\_life}}"

    def left(self, since: PerVisit, *, half_life: Array) -> PerVisit:
        return jnp.exp2(-since / half_life)

    def taken(self, since: PerVisit, *, half_life: Array) -> PerVisit:
        return _faded(since, half_life)


@dataclass(frozen=True, kw_only=True)
class Until(Waning):
    r"""All of it up to a change point, and then less by a half-life: $2^{-\max(s - c, 0)/h}$.

    Attributes:
        until: $c$ [years].
        half_life: $h$ [years]; small for an effect that stops.
    """

    until: Scalar
    half_life: Scalar

    equation = r"2^{-\max(s - \mathrm{until}, 0) / \mathrm{half\_life}}"

    def left(self, since: PerVisit, *, until: Array, half_life: Array) -> PerVisit:
        return jnp.exp2(-jnp.maximum(since - until, 0.0) / half_life)

    def taken(self, since: PerVisit, *, until: Array, half_life: Array) -> PerVisit:
        return jnp.minimum(since, until) + _faded(jnp.maximum(since - until, 0.0), half_life)


@dataclass(frozen=True, kw_only=True)
class Onset(Waning):
    r"""An effect that sets in: $1 - e^{-s/d}$.

    Attributes:
        delay: $d$ [years]; after it 63 % of the effect is there.
    """

    delay: Scalar

    equation = r"1 - e^{-s / \mathrm{delay}}"

    def left(self, since: PerVisit, *, delay: Array) -> PerVisit:
        return -jnp.expm1(-since / delay)

    def taken(self, since: PerVisit, *, delay: Array) -> PerVisit:
        return since + delay * jnp.expm1(-since / delay)


def _faded(since: PerVisit, half_life: Array) -> PerVisit:
    r"""$\int_0^s 2^{-v/h}\,\mathrm{d}v$."""
    rate = jnp.log(2.0) / half_life
    return -jnp.expm1(-rate * since) / rate
