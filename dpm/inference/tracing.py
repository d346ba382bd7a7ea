"""One run of a model on records, at values of its priors: what it samples, and refusals of what cannot be sampled."""

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from numpyro.distributions.distribution import validation_enabled
from numpyro.infer import init_to_uniform

from dpm.cohort.records import Records
from dpm.errors import ModelError
from dpm.inference.plate_rule import Messages, innermost, is_subject
from dpm.types import Array, Key, Model, Sites

type Drawing = Callable[[Records, Key], Sites]
"""Draws population values from their priors, one draw a key, on their natural scale."""

PRIOR_DRAWS = 1000
"""From which the sd of a prior is read. A run of a model asks for as many and uses one, so that they are drawn by one
compiled function."""


def drawing(model: Model) -> Drawing:
    """Draws of a model's population values in one compiled function, which serves whoever draws as many again.

    Outside such a function each operation of a draw would be compiled alone, a hundred times for a matrix of
    correlations. Flat priors, of which there are no draws, give zero.
    """

    def values(records: Records, key: Key) -> Sites:
        with handlers.block():
            filled = handlers.seed(handlers.substitute(model, substitute_fn=_flat_at_zero), key)
            trace = handlers.trace(filled).get_trace(records)
        return {name: message["value"] for name, message in trace.items() if _is_population(message)}

    return jax.jit(jax.vmap(values, in_axes=(None, 0)))


def _is_population(message: dict[str, Any]) -> bool:
    return bool(message["type"] == "sample" and not message["is_observed"] and not is_subject(message))


def _is_flat(message: dict[str, Any]) -> bool:
    return message["type"] == "sample" and isinstance(innermost(message["fn"]), dist.ImproperUniform)


def _flat_at_zero(message: dict[str, Any]) -> Array | None:
    return jnp.zeros(message["fn"].shape()) if _is_flat(message) and not message["is_observed"] else None


def first_run(model: Model, records: Records, draw: Drawing) -> Messages:
    """The sampled sites, their parameters validated.

    A parameter that is not a number at these values of the priors may be one at others: it is let through, and a method
    that finds no other says so.

    Args:
        model: to run.
        records: its data.
        draw: `drawing` of it.

    Raises:
        ModelError: two sites have one name, or a distribution has a parameter outside its range.
    """
    try:
        return sampled_sites(model, records, draw, seed=0)
    except AssertionError as error:
        twice = re.search(r"unique names but got `(.+)` duplicated", str(error))
        if twice is None:
            raise
        do = "Rename one of them: a covariate, a group or a factor whose name the model gives to a site of its own."
        raise ModelError(twice[1], "sites of different names", "two of this name", do) from None
    except ValueError as error:
        if "invalid" not in str(error):
            raise
        with validation_enabled(False):
            sampled = sampled_sites(model, records, draw, seed=0)
        for name, message in sampled.items():
            _refuse_invalid(name, innermost(message["fn"]))
        return sampled


def sampled_sites(model: Model, records: Records, draw: Drawing, *, seed: int) -> Messages:
    """The sampled sites of one run."""
    key = jax.random.key(seed)
    with validation_enabled(False):
        drawn = draw(records, jax.random.split(key, PRIOR_DRAWS))

    def value(message: dict[str, Any]) -> Array | None:
        """A flat prior has no value to draw; a subject's is drawn by the handler outside."""
        if _is_flat(message):
            return init_to_uniform(message)
        name = message.get("name")
        return drawn[name][0] if message["type"] == "sample" and name in drawn else None

    with handlers.block():
        filled = handlers.substitute(handlers.seed(model, key), substitute_fn=value)
        trace = handlers.trace(filled).get_trace(records)
    return {name: message for name, message in trace.items() if message["type"] == "sample"}


def _refuse_invalid(name: str, fn: dist.Distribution) -> None:
    for parameter, constraint in fn.arg_constraints.items():
        value = getattr(fn, parameter, None)
        if value is None or constraint.is_discrete or not np.all(np.isfinite(np.asarray(value))):
            continue
        valid = np.asarray(constraint(value))
        if not valid.all():
            got = f"{parameter} = {np.asarray(value).ravel()[0]:g}" if np.size(value) == 1 else f"another {parameter}"
            where = f"{type(fn).__name__} with a {parameter} that is {constraint}"
            raise ModelError(name, where, got, "Compute it so that it stays in its range at every value of the priors.")


def altered_first(leaf: Array) -> Array:
    """The same data but the first subject's, whose values no longer have the mean they had; a share stays one."""
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    whole = np.asarray(leaf)
    first = whole[..., :1]
    other = 0.37 * first + 0.31 * np.random.default_rng(0).uniform(size=first.shape)
    return jnp.asarray(np.concatenate([other, whole[..., 1:]], axis=-1))


def altered(leaf: Array) -> Array:
    """Other data of the same shape; what was a share stays one."""
    return 0.5 * leaf + 0.25 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
