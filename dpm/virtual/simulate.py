"""A cohort that a model would give: for rehearsing a design, and for fits whose truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.cohort.cohort import Cohort
from dpm.cohort.encodings import Encodings
from dpm.cohort.records import Records
from dpm.cohort.roles import Roles
from dpm.errors import VirtualError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.plate_rule import innermost
from dpm.posterior.predict import predict_population
from dpm.types import Float, Key, Model, Sites
from dpm.virtual.simulated_table import simulated_roles, simulated_table


def simulate_cohort(
    model: Model,
    like: Cohort,
    *,
    n: int,
    times: Sequence[float],
    key: Key,
    values: Mapping[str, object] | None = None,
    missing: float = 0.0,
    dropout_rate: float = 0.0,
) -> tuple[pd.DataFrame, Roles]:
    r"""Simulate the table of a study; `read_cohort(frame, roles)` reads it.

    Subjects are drawn with replacement from `like`, with their covariates, arm and groups; their effects and
    measurements from the model, $b_i \sim p(b \mid \varphi)$ and $y_{ij} \sim p(y \mid b_i, \varphi)$. Covariates are
    encoded as `like` encodes them. Events are not simulated: where `like` follows a process that ends follow-up,
    everybody is censored in it, at $\min(T_i, \max t)$ with $T_i \sim \mathrm{Exponential}(\lambda)$.

    Args:
        model: any callable that keeps the subject-plate rule; only its outcomes are in the table.
        like: whose subjects, roles and units.
        n: subjects.
        times: planned visits of everybody, from 0 upwards [years].
        key: the same key gives the same table.
        values: population values by site, on their natural scale; what is not given is drawn once from the prior,
            so that without `values` all of it is.
        missing: share of the follow-up measurements that is missing, at random.
        dropout_rate: $\lambda$ [1/years]; visits after the end of follow-up do not take place.

    Returns:
        The table, a row per visit, in the columns and units of `like`; and its roles. `frame.attrs["values"]` holds
        the population values, as lists. Bounds, limits and structural values are not in the roles: a model draws
        measurements without them.

    Raises:
        VirtualError: an argument is out of range, a site is unknown or its value impossible, or a flat prior is not
            given a value.
        ModelError: the model names what `like` lacks.
    """
    grid = _checked(n, times, missing, dropout_rate)
    who_key, value_key, course_key, gap_key, end_key = jax.random.split(key, 5)
    chosen = np.asarray(jax.random.choice(who_key, like.n_subjects, (n,)))
    records = like.records(Encodings.learn(like))
    hierarchy = Hierarchy.of(model, records)
    population = given_population("simulate_cohort", hierarchy, records, values or {}, key=value_key)
    planned = jnp.broadcast_to(jnp.asarray(grid)[:, None], (len(grid), n))
    new = records.take(chosen).at(planned)
    drawn = predict_population(hierarchy, hierarchy.unconstrain(population), new, key=course_key).measurement
    measured = _with_gaps(drawn, missing, key=gap_key)
    end = np.full(n, grid[-1])
    if dropout_rate:
        end = np.minimum(end, np.asarray(jax.random.exponential(end_key, (n,))) / dropout_rate)
    roles = simulated_roles(like, tuple(measured))
    frame = simulated_table(like, roles, chosen, grid, measured, end)
    frame.attrs["values"] = {name: np.asarray(value).tolist() for name, value in population.items()}
    return frame, roles


def _checked(n: int, times: Sequence[float], missing: float, dropout_rate: float) -> Float[np.ndarray, " visit"]:
    grid = planned_visits("simulate_cohort", n, times)
    rules = {
        "missing": (0 <= missing < 1, "a share from 0 to below 1", f"{missing:g}"),
        "dropout_rate": (0 <= dropout_rate < np.inf, "a rate from 0 upwards, per year", f"{dropout_rate:g}"),
    }
    for name, (right, expected, got) in rules.items():
        if not right:
            raise VirtualError(f"simulate_cohort: {name}", expected, got)
    return grid


def planned_visits(where: str, n: int, times: Sequence[float]) -> Float[np.ndarray, " visit"]:
    """The times of planned visits [years].

    Raises:
        VirtualError: nobody is planned, or the times are not 0 and later ones in order; `where` begins the message.
    """
    if n < 1:
        raise VirtualError(f"{where}: n", "at least 1 subject", f"{n}")
    grid = np.asarray(times, dtype=np.float64)
    if grid.ndim != 1 or grid.size < 2 or not np.isfinite(grid).all() or grid[0] != 0 or (np.diff(grid) <= 0).any():
        raise VirtualError(f"{where}: times", "0 and later times, each once, in order", f"{times}")
    return grid


def given_population(
    where: str, hierarchy: Hierarchy, records: Records, values: Mapping[str, object], *, key: Key
) -> Sites:
    """A value for every population site: the given one, or one draw from the prior.

    Raises:
        VirtualError: a site is unknown or its value impossible, or a flat prior has none; `where` begins the message.
    """
    sites = [site.name for site in hierarchy.population]
    unknown = sorted(set(values) - set(sites))
    if unknown:
        raise VirtualError(f"{where}: values", f"sites among {', '.join(sites)}", ", ".join(unknown))
    given = {name: jnp.asarray(np.asarray(value, dtype=np.float64)) for name, value in values.items()}
    checked = _Given(where, given, frozenset(sites))
    with handlers.block():
        filled = handlers.substitute(handlers.seed(hierarchy.model, key), substitute_fn=checked)
        trace = handlers.trace(filled).get_trace(records)
    return {name: jnp.asarray(trace[name]["value"]) for name in sites}


@dataclass(frozen=True)
class _Given:
    """Given values, checked against their priors before the model computes with them; a flat prior needs one."""

    where: str
    values: Sites
    population: frozenset[str]

    def __call__(self, message: dict[str, Any]) -> jax.Array | None:
        name = str(message["name"])
        if name not in self.population:
            return None
        value, prior = self.values.get(name), message["fn"]
        if value is not None:
            if value.shape != prior.shape() or not bool(jnp.all(prior.support(value))):
                expected = f"a value of shape {prior.shape()} in the support of its prior"
                raise VirtualError(f"{self.where}: values.{name}", expected, f"{np.asarray(value).tolist()}")
        elif isinstance(innermost(prior), dist.ImproperUniform):
            raise VirtualError(f"{self.where}: values.{name}", "a value, for its prior is flat", "none")
        return value


def _with_gaps(
    drawn: Mapping[str, Float[jax.Array, "visit subject"]], missing: float, *, key: Key
) -> dict[str, Float[np.ndarray, "visit subject"]]:
    """The measurements, NaN where missing; baseline is never missing."""
    measured = {name: np.array(values) for name, values in drawn.items()}
    if missing:
        for one, values in zip(jax.random.split(key, len(measured)), measured.values(), strict=True):
            gone = np.array(jax.random.bernoulli(one, missing, values.shape))
            gone[0] = False
            values[gone] = np.nan
    return measured
