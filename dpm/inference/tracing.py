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
from dpm.inference.plate_rule import Messages, innermost
from dpm.types import Array, Key, Model, Sites

type Drawing = Callable[[Records, Key], Sites]
"""Draws every latent value of a model from its prior."""


def drawing(model: Model) -> Drawing:
    """Draws of a model's latent values in one compiled function, of which one run after the other may make use.

    Outside such a function each operation of each draw would be compiled alone, a hundred times a matrix of correlations.
    """

    def values(records: Records, key: Key) -> Sites:
        with handlers.block():
            filled = handlers.substitute(handlers.seed(model, key), substitute_fn=_flat_start)
            trace = handlers.trace(filled).get_trace(records)
        return {name: message["value"] for name, message in trace.items() if _is_latent(message)}

    return jax.jit(values)


def _is_latent(message: dict[str, Any]) -> bool:
    return bool(message["type"] == "sample" and not message["is_observed"])


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
        drawn = draw(records, key)
    with handlers.block():
        filled = handlers.substitute(handlers.seed(model, key), data=drawn)
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


def _flat_start(message: dict[str, Any]) -> Array | None:
    """A value for a flat prior, which has none to draw."""
    flat = message["type"] == "sample" and isinstance(innermost(message["fn"]), dist.ImproperUniform)
    return init_to_uniform(message) if flat else None


def altered_first(leaf: Array) -> Array:
    """The same data but the first subject's, whose values no longer have the mean they had; a share stays one."""
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    first = leaf[..., :1]
    other = 0.37 * first + 0.31 * np.random.default_rng(0).uniform(size=first.shape)
    return jnp.concatenate([other, leaf[..., 1:]], axis=-1)


def altered(leaf: Array) -> Array:
    """Other data of the same shape; what was a share stays one."""
    return 0.5 * leaf + 0.25 if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
