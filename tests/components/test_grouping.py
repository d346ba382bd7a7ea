"""Groups: levels that drift, and levels that were not met at the fit."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.cohort import Records
from dpm.components.grouping import Drift
from dpm.components.parameter import Parameter
from dpm.types import Array

from .test_contract import records

KEY = jax.random.key(5)


def run(parameter: Parameter, data: Records, **given: Any) -> dict[str, Array]:
    """The sites of a parameter, and its value in every subject under `value`."""
    values = {name: jnp.asarray(each) for name, each in given.items()}
    with handlers.block(), handlers.trace() as trace, handlers.substitute(data=values), handlers.seed(rng_seed=KEY):
        found = parameter.fixed_part("p", data)
    return {"value": found, **{name: message["value"] for name, message in trace.items()}}


def test_drift_walks_from_one_level_to_the_next() -> None:
    data = records()
    sites = run(Parameter(0.0, groups={"stage": Drift(step=dist.HalfNormal(1.0))}), data, p_stage_step=0.5)
    levels = np.asarray(sites["p_stage"])
    np.testing.assert_allclose(np.diff(levels), 0.5 * sites["p_stage_steps"], rtol=1e-12)
    assert levels.sum() == pytest.approx(0.0, abs=1e-12)
    stage = np.asarray(data.groups["stage"]).argmax(axis=0)
    np.testing.assert_allclose(sites["value"], levels[stage], rtol=1e-12)


@pytest.mark.parametrize(("direction", "sign"), [("up", 1.0), ("down", -1.0)])
def test_drift_one_way_never_turns(direction: Any, sign: float) -> None:
    parameter = Parameter(0.0, groups={"stage": Drift(step=0.5, direction=direction)})
    data = with_new(records(), 2)
    for shift in range(5):
        with handlers.seed(rng_seed=shift):
            value = np.asarray(parameter.fixed_part("p", data))
        in_order = value[[0, 1, 2]]  # stages 1 and 2, then the new one
        assert (np.diff(in_order) * sign > 0).all()


def with_new(data: Records, subject: int) -> Records:
    """The same with one subject, or more, at a stage that was not met."""
    column = jnp.zeros((1, data.n_subjects)).at[0, subject].set(1.0)
    groups = {**data.groups, "stage": data.groups["stage"] * (1.0 - column)}
    return replace(data, groups=groups, unseen={"stage": column})


def test_a_new_level_follows_the_last_of_a_drift() -> None:
    drift = Parameter(0.0, groups={"stage": Drift(step=0.5)})
    sites = run(drift, with_new(records(), 1), p_stage_new=[1.5])
    assert float(sites["value"][1]) == pytest.approx(float(sites["p_stage"][-1]) + 0.75)


def test_a_new_level_of_a_pool_has_the_variance_of_an_exchangeable_one() -> None:
    r"""With $\theta_G \sim N(\mu, \tau^2)$ and $K$ levels met, a new one less their mean: $\tau^2 (1 + 1/K)$,
    and not correlated with any of them less their mean. By simulation of the exchangeable model.
    """
    rng, tau, met = np.random.default_rng(6), 2.0, 3
    theta = 1.0 + tau * rng.normal(size=(200_000, met + 1))
    about = theta - theta[:, :met].mean(axis=1, keepdims=True)
    covariance = np.cov(about.T)
    scale = float(run(Parameter(0.0, groups={"stage": tau}), with_new(records(), 1), p_stage_new=[1.0])["value"][1])
    assert scale**2 == pytest.approx(tau**2 * (1.0 + 1.0 / met), rel=1e-12)
    assert covariance[met, met] == pytest.approx(scale**2, rel=0.02)
    np.testing.assert_allclose(covariance[met, :met], 0.0, atol=0.05)
    np.testing.assert_allclose(covariance[:met, :met], tau**2 * (np.eye(met) - 1.0 / met), atol=0.05)


def test_subjects_of_one_new_level_share_it() -> None:
    data = with_new(records(), 1)
    both = jnp.zeros((1, 5)).at[0, jnp.array([1, 4])].set(1.0)
    value = run(Parameter(0.0, groups={"stage": 2.0}), replace(data, unseen={"stage": both}))
    shared = float(value["p_stage_new"][0]) * 2.0 * (4.0 / 3.0) ** 0.5
    assert float(value["value"][1]) == pytest.approx(shared)
    assert float(value["value"][4]) == pytest.approx(shared + 2.0 * float(value["p_stage"][0]))
