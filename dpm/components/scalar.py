"""A population value: a number, a prior to learn it from, or a prior for each level of a factor of visits."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from numbers import Real
from typing import Any, get_args

import jax
import numpy as np
import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.cohort.records import Records
from dpm.errors import ModelError
from dpm.types import Array


@dataclass(frozen=True)
class ByLevel:
    """A scalar that differs between the levels of a factor of visits, such as a residual sd by mode of capture.

    Attributes:
        prior: of the value at each level, independent between levels.
        by: the factor: `mode`, `occasion` or `part`.
    """

    prior: dist.Distribution
    by: str


type Scalar = dist.Distribution | float | int | ByLevel
"""A fixed number, a prior to learn it from, or a prior for each level of a factor of visits."""

type Prior = tuple[str, str, Scalar]
"""A site, what it is in words, and its number or prior; what a model prints."""


def scalars_of(component: object) -> dict[str, Scalar]:
    """The fields of a component, a frozen dataclass, that are population values, in order.

    A whole number is one too, but in a field declared as `int` or `bool`, which is configuration.

    Raises:
        ModelError: a field that takes a number or a prior has something else.
    """
    found: dict[str, Scalar] = {}
    for item in fields(component):  # type: ignore[arg-type]
        value = getattr(component, item.name)
        if isinstance(value, dist.Distribution | float | ByLevel):
            found[item.name] = value
        elif isinstance(value, Real) and not {int, bool} & {*_kinds(item)}:
            found[item.name] = float(value)
        elif Scalar in _kinds(item) and not (value is None and type(None) in _kinds(item)):
            if hasattr(component, "parameters") and _is_parameter(value):
                continue  # a course takes it as what varies between subjects
            raise ModelError(f"{type(component).__name__}: {item.name}", "a number or a prior", *_neither(value))
    return found


def _is_parameter(value: object) -> bool:
    """Whether it is a `Parameter`, which is made of scalars and is not imported here."""
    return type(value).__name__ == "Parameter"


def _neither(value: object) -> tuple[str, str]:
    """What stands where a number or a prior should, and what to do."""
    if isinstance(value, jax.Array | np.ndarray):
        do = "Give it a number, such as 1.0, or a prior; what is known of several values, as a narrow prior."
        return "an array", do
    if _is_parameter(value):
        return "a Parameter", "It is the population's: give it a number or a prior, or a ByLevel by a factor of visits."
    got = (
        "none"
        if value is None
        else f"{type(value).__name__} {value!r}"
        if isinstance(value, str)
        else type(value).__name__
    )
    return got, "Give it a number, such as 1.0, or a distribution to learn it from."


def _kinds(item: Field[Any]) -> tuple[Any, ...]:
    """What a field is declared to hold."""
    return (item.type, *get_args(item.type))


def sample_scalar(name: str, scalar: Scalar, records: Records | None = None) -> Array:
    """The value of a scalar argument: sampled at site `name` if it is a prior.

    Returns:
        the prior's shape; `(visit, subject)` for a value by level, which needs `records`.

    Raises:
        ModelError: the cohort has no such factor, or the scalar cannot differ between visits.
    """
    if isinstance(scalar, ByLevel):
        if records is None:
            raise ModelError(name, "one value for all visits", f"a value by {scalar.by}")
        one_hot = among(name, "factors of visits", scalar.by, records.levels)
        values = numpyro.sample(name, scalar.prior.expand([one_hot.shape[0]]).to_event(1))
        # Where there is no visit there is no level either, and a value of zero, such as an sd, would spoil gradients.
        return sum(((values[k] - values[0]) * one_hot[k] for k in range(1, one_hot.shape[0])), values[0])
    if isinstance(scalar, dist.Distribution):
        return numpyro.sample(name, scalar)
    if not isinstance(scalar, Real):
        raise ModelError(name, "a number or a prior", *_neither(scalar))
    return jnp.asarray(float(scalar))


def refuse_many(name: str, scalar: object) -> None:
    """Refuse a prior of several values where one is meant.

    Raises:
        ModelError: it has a shape.
    """
    if isinstance(scalar, dist.Distribution) and scalar.shape():
        do = "Give it one for the value, such as Normal(0.0, 1.0); of several groups, by groups= or effects=."
        raise ModelError(name, "a prior of one value", f"one of shape {scalar.shape()}", do)


def refuse_negative(name: str, scalar: object) -> None:
    """Refuse a spread that is, or may be, below zero, whose sign would not be determined.

    Raises:
        ModelError: it is.
    """
    do = "Give it a positive number, or a prior of positive values, such as HalfNormal(1.0)."
    if isinstance(scalar, dist.Distribution):
        least = getattr(scalar.support, "lower_bound", -np.inf if scalar.support is constraints.real else 0.0)
        if not np.all(np.asarray(least) >= 0.0):
            raise ModelError(name, "a spread, zero or more", f"a {type(scalar).__name__} prior that reaches below", do)
    elif isinstance(scalar, Real) and not float(scalar) >= 0.0:
        raise ModelError(name, "a spread, zero or more", f"{float(scalar):g}", do)


def among(name: str, kind: str, wanted: str, available: Mapping[str, Array]) -> Array:
    """What the cohort has under the name `wanted`.

    Raises:
        ModelError: nothing; `name`, of the component, and `kind` say where it was looked for.
    """
    if wanted not in available:
        have = ", ".join(sorted(available)) or "none"
        do = "Give it a role when the cohort is read, or take it out of the model."
        raise ModelError(name, f'"{wanted}" among the cohort\'s {kind}', have, do)
    return available[wanted]
