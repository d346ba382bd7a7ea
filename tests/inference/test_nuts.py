"""NUTS samples the posterior it claims: against exact integration, the truth of a simulation, and Laplace."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import numpyro
import pytest
from arviz_stats.sampling_diagnostics import ess, rhat
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import InferenceError
from dpm.inference.draws import Draws
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.inference.sampler import require_settings

from . import wang
from .examples import each, hierarchy, marginal, records
from .orthodont import factor

TRUTH = {"y_level": 2.0, "y_slope": -0.5, "y_level_sd": 0.8, "y_slope_sd": 0.3, "y_sd": 0.4}
CORRELATION = 0.3
SUBJECTS, VISITS = 60, 5


@pytest.fixture(scope="module")
def exact() -> tuple[float, float]:
    return integrated()


def integrated() -> tuple[float, float]:
    """Posterior mean and sd of log decay in Wang's model, both integrals by quadrature."""
    grid = jnp.linspace(-1.2, 0.0, 241)
    prepared, data = marginal("wang_additive", "quadrature", 25), wang.records()
    log_density = np.array(
        [
            float(each(prepared, at[None], data).sum())
            + float(hierarchy("wang_additive").log_population(at[None], data, prior=True))
            for at in grid
        ]
    )
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    mean = weight @ np.asarray(grid)
    return float(mean), float(np.sqrt(weight @ (np.asarray(grid) - mean) ** 2))


def test_a_posterior_known_by_integration(exact: tuple[float, float]) -> None:
    method = NUTS(chains=2, warmup=200, draws=1500, progress=False)
    draws = method.run(wang.model("additive"), records("wang_additive"), key=jax.random.key(4))
    log_decay = np.log(draws.sites["decay"])
    mean, sd = exact
    assert float(rhat(log_decay, method="rank")) < 1.01
    error = sd / np.sqrt(float(ess(log_decay, method="bulk")))
    assert log_decay.mean() == pytest.approx(mean, abs=4.0 * error)
    assert log_decay.std() == pytest.approx(sd, abs=4.0 * error)
    assert not draws.stats["diverging"].any()


@pytest.mark.slow
def test_the_same_key_gives_the_same_draws() -> None:
    method = NUTS(chains=2, warmup=20, draws=20, progress=False)
    one, same, other = (method.run(wang.model("additive"), wang.records(), key=jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one.sites["decay"], same.sites["decay"])
    np.testing.assert_array_equal(one.subject_sites["eta"], same.subject_sites["eta"])
    assert not np.isclose(one.sites["decay"], other.sites["decay"]).any()


def cohort() -> tuple[Records, np.ndarray]:
    """Sixty subjects with a line each, from `TRUTH`; and their levels and slopes."""
    rng = np.random.default_rng(20240229)
    time = np.sort(rng.uniform(0.0, 4.0, (VISITS, SUBJECTS)), axis=0)
    time[0] = 0.0
    spread = np.array([TRUTH["y_level_sd"], TRUTH["y_slope_sd"]])
    effects = spread * (rng.normal(size=(SUBJECTS, 2)) @ factor(CORRELATION).T)
    lines = np.array([TRUTH["y_level"], TRUTH["y_slope"]]) + effects
    y = lines[:, 0] + lines[:, 1] * time + TRUTH["y_sd"] * rng.normal(size=time.shape)
    observed = {"y": jnp.ones(time.shape, bool)}
    return Records(jnp.asarray(time), {"y": jnp.asarray(y)}, observed, {}, {}), lines.T


def model() -> ProgressionModel:
    line = Linear(
        level=Parameter(dist.Normal(0.0, 3.0), subject=dist.HalfNormal(1.0)),
        slope=Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0)),
    )
    return ProgressionModel(outcomes={"y": Outcome(line, Gaussian(sd=dist.HalfNormal(1.0)))})


@pytest.fixture(scope="module")
def sampled() -> Draws:
    return NUTS(chains=2, warmup=200, draws=500, progress=False).run(model(), cohort()[0], key=jax.random.key(2))


def summary(draws: Draws) -> dict[str, tuple[float, float]]:
    values = {name: draws.sites[name] for name in TRUTH} | {"r": draws.sites["subject_correlation"][..., 0, 1]}
    return {name: (float(value.mean()), float(value.std())) for name, value in values.items()}


def test_chains_have_converged(sampled: Draws) -> None:
    assert sampled.sites["y_level"].shape == (2, 500)
    for name in TRUTH:
        assert float(rhat(sampled.sites[name], method="rank")) < 1.02, name
        assert float(ess(sampled.sites[name], method="bulk")) > 200, name
    assert not sampled.stats["diverging"].any()
    assert sampled.stats["n_steps"].max() < 64  # whitened, a chain needs few steps


def test_the_truth_is_recovered(sampled: Draws) -> None:
    for name, (mean, sd) in summary(sampled).items():
        truth = TRUTH.get(name, CORRELATION)
        assert abs(mean - truth) < 3.0 * sd, name
        assert sd < 0.5 * abs(truth), name


def test_laplace_agrees_where_it_is_exact(sampled: Draws) -> None:
    """Linear and Gaussian: the marginal likelihood is exact, and typical values have a nearly normal posterior."""
    table = sampled.estimates
    for name in ("y_level", "y_slope", "y_sd"):
        mean, sd = summary(sampled)[name]
        assert mean == pytest.approx(table["estimate"][name], abs=0.25 * sd)
        assert sd == pytest.approx(table["se"][name], rel=0.15)


def test_subjects_are_where_they_were_drawn(sampled: Draws) -> None:
    """Each subject's line, from its standardised effects, covers the true one."""
    sites, z = sampled.sites, sampled.subject_sites
    lower = sites["subject_correlation_cholesky"]
    level = sites["y_level"][..., None] + sites["y_level_sd"][..., None] * z["y_level_z"]
    second = lower[..., 1, 0, None] * z["y_level_z"] + lower[..., 1, 1, None] * z["y_slope_z"]
    slope = sites["y_slope"][..., None] + sites["y_slope_sd"][..., None] * second
    for values, truth in zip((level, slope), cohort()[1], strict=True):
        score = (values.mean(axis=(0, 1)) - truth) / values.std(axis=(0, 1))
        assert 0.75 < score.std() < 1.25
        assert abs(score.mean()) < 0.5


@pytest.mark.slow
def test_a_model_without_effects() -> None:
    """One line for everybody: typical values in closed form, by the normal prior and known noise."""
    data = cohort()[0]
    course = Linear(level=Parameter(dist.Normal(0.0, 3.0)), slope=Parameter(dist.Normal(0.0, 1.0)))
    plain = ProgressionModel(outcomes={"y": Outcome(course, Gaussian(sd=1.0))})
    draws = NUTS(chains=2, warmup=200, draws=1000, progress=False).run(plain, data, key=jax.random.key(3))
    x = np.column_stack([np.ones(data.time.size), np.asarray(data.time).ravel()])
    covariance = np.linalg.inv(x.T @ x + np.diag([1.0 / 9.0, 1.0]))
    mean = covariance @ x.T @ np.asarray(data.values["y"]).ravel()
    for k, name in enumerate(("y_level", "y_slope")):
        sd = np.sqrt(covariance[k, k])
        assert draws.sites[name].mean() == pytest.approx(mean[k], abs=4.0 * sd / np.sqrt(500))
        assert draws.sites[name].std() == pytest.approx(sd, rel=0.1)
    assert draws.subject_sites == {}


@pytest.mark.slow
def test_subject_sites_have_the_subject_axis_last() -> None:
    """Also those that a model samples with an event axis behind the plate."""

    def model(data: Records) -> None:
        centre = numpyro.sample("centre", dist.Normal(2.0, 2.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            line = numpyro.sample("line", dist.Normal(jnp.array([0.0, -0.5]), 1.0).to_event(1))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                mean = centre + line[:, 0] + line[:, 1] * data.time
                numpyro.sample("y", dist.Normal(mean, 0.4), obs=data.values["y"])

    settings: dict[str, Any] = {"chains": 1, "warmup": 10, "draws": 5, "progress": False}
    draws = NUTS(**settings).run(model, cohort()[0], key=jax.random.key(0))
    assert draws.subject_sites["line"].shape == (1, 5, 2, SUBJECTS)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("chains", 0, "a whole number of 1 or more, got 0"),
        ("draws", 2.5, "a whole number of 1 or more, got 2.5"),
        ("warmup", -1, "a whole number of 0 or more, got -1"),
        ("max_tree_depth", True, "a whole number of 1 or more, got True"),
        ("target_accept", 1.0, "a share between 0 and 1, got 1.0"),
        ("dispersion", -2.0, "a number that is not negative, got -2.0"),
        ("chain_method", "both", "one of auto, vectorized, parallel, sequential, got 'both'"),
        ("precision", "float16", "one of float64, float32, got 'float16'"),
    ],
)
def test_settings_that_are_none(name: str, value: object, expected: str) -> None:
    given = SimpleNamespace(**{**vars(NUTS()), name: value})  # in tests a dataclass looks at the types first
    with pytest.raises(InferenceError, match=rf"\({name}=...\): expected {expected}"):
        require_settings(given)


@pytest.mark.parametrize("method", [NUTS, MarginalNUTS])
def test_samplers_look_at_their_settings(method: type) -> None:
    with pytest.raises(InferenceError, match=rf"{method.__name__}\(chains=...\): expected a whole number"):
        method(chains=0)
