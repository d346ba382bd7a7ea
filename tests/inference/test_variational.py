"""A guide reaches the posterior it claims, against closed forms and quadrature; where it does not, it says so."""

import io
import sys
from functools import cache
from typing import Any

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.errors import InferenceError
from dpm.inference.draws import Draws
from dpm.inference.laplace import Laplace
from dpm.inference.variational import Variational

from .examples import records

KEY = jax.random.key(8)
SPREAD, NOISE, PRIOR = 0.8, 0.5, 3.0
SUBJECTS, VISITS = 20, 4


@cache
def twenty() -> Records:
    """Twenty subjects with a level each and four values, at common times."""
    rng = np.random.default_rng(12)
    time = np.broadcast_to(np.arange(VISITS)[:, None] * 0.5, (VISITS, SUBJECTS))
    y = 1.0 - 0.7 * time + SPREAD * rng.normal(size=SUBJECTS) + NOISE * rng.normal(size=time.shape)
    return Records(jnp.asarray(time), {"y": jnp.asarray(y)}, {"y": jnp.ones(y.shape, bool)}, {}, {})


def known(data: Records) -> None:
    """Level and slope to learn, every variance known: a normal posterior of everything."""
    level = numpyro.sample("level", dist.Normal(0.0, PRIOR))
    slope = numpyro.sample("slope", dist.Normal(0.0, PRIOR))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        own = numpyro.sample("own", dist.Normal(0.0, SPREAD))
        with numpyro.plate("visit", VISITS, dim=-2):
            mean = level + own + slope * data.time
            numpyro.sample("y", dist.Normal(mean, NOISE).mask(data.observed["y"]), obs=data.values["y"])


def spreads(data: Records) -> None:
    """The same with both standard deviations to learn."""
    level = numpyro.sample("level", dist.Normal(0.0, PRIOR))
    slope = numpyro.sample("slope", dist.Normal(0.0, PRIOR))
    spread = numpyro.sample("spread", dist.HalfNormal(2.0))
    noise = numpyro.sample("noise", dist.HalfNormal(2.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        own = numpyro.sample("own", dist.Normal(0.0, 1.0))
        with numpyro.plate("visit", VISITS, dim=-2):
            mean = level + spread * own + slope * data.time
            numpyro.sample("y", dist.Normal(mean, noise).mask(data.observed["y"]), obs=data.values["y"])


def alone(data: Records) -> None:
    """No effects: the same line for everybody."""
    level = numpyro.sample("level", dist.Normal(0.0, PRIOR))
    slope = numpyro.sample("slope", dist.Normal(0.0, PRIOR))
    with (
        numpyro.plate("subject", data.n_subjects, dim=-1),
        numpyro.plate("visit", VISITS, dim=-2),
    ):
        numpyro.sample("y", dist.Normal(level + slope * data.time, NOISE), obs=data.values["y"])


def funnel(data: Records) -> None:
    """Neal's: nothing is observed, and the log of the effects' spread is normal with sd three."""
    log_spread = numpyro.sample("log_spread", dist.Normal(0.0, 3.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        own = numpyro.sample("own", dist.Normal(0.0, jnp.exp(log_spread)))
        with numpyro.plate("visit", VISITS, dim=-2):
            mean = own * jnp.ones(data.time.shape)
            numpyro.sample("y", dist.Normal(mean, 1.0).mask(data.observed["y"]), obs=data.values["y"])


def precision(*, spread: float = SPREAD) -> tuple[np.ndarray, np.ndarray, float]:
    """Of level, slope and all effects in `known`: precision, mean, and log evidence. Without effects at zero spread."""
    time, y = np.asarray(twenty().time).ravel(), np.asarray(twenty().values["y"]).ravel()
    n = SUBJECTS if spread else 0
    x = np.column_stack([np.ones(time.size), time, np.tile(np.eye(SUBJECTS), (VISITS, 1))[:, :n]])
    before = np.diag([PRIOR**-2.0, PRIOR**-2.0, *[spread**-2.0 if spread else 0.0] * n])
    found = x.T @ x / NOISE**2 + before
    variance = x @ np.linalg.inv(before) @ x.T + NOISE**2 * np.eye(y.size)
    sign, size = np.linalg.slogdet(2 * np.pi * variance)
    assert sign == 1.0
    return found, np.linalg.solve(found, x.T @ y / NOISE**2), -0.5 * (size + y @ np.linalg.solve(variance, y))


def fitted(model: Any, data: Records, **settings: Any) -> Draws:
    return Variational(**{"progress": False, "draws": 4000, "proposals": 4000, **settings}).run(model, data, key=KEY)


@cache
def structured() -> Draws:
    return fitted(known, twenty(), importance=False)


# Where it is the posterior --------------------------------------------------------------------------------------------


def test_a_guide_by_subject_is_the_normal_posterior() -> None:
    """Means and sds of population values and of every subject's effect; the bound is the log evidence."""
    inverse, mean, evidence = precision()
    sd = np.sqrt(np.diag(np.linalg.inv(inverse)))
    draws = structured()
    for k, name in enumerate(("level", "slope")):
        assert draws.sites[name].mean() == pytest.approx(mean[k], abs=0.1 * sd[k])
        assert draws.sites[name].std() == pytest.approx(sd[k], rel=0.1)
    effects = draws.subject_sites["own"]
    assert effects.shape == (1, 4000, SUBJECTS)
    assert np.abs((effects.mean(axis=(0, 1)) - mean[2:]) / sd[2:]).max() < 0.1
    np.testing.assert_allclose(effects.std(axis=(0, 1)), sd[2:], rtol=0.1)
    facts = draws.facts
    assert facts["elbo"] < evidence + 4 * facts["elbo_error"]
    assert facts["elbo"] == pytest.approx(evidence, abs=0.1)
    assert facts["pareto_k"] < 0.5
    assert facts["pareto_k_subjects"] < 0.7
    assert facts["notes"] == []


def test_weighted_draws_are_the_posterior_where_spreads_are_learned() -> None:
    """Against the marginal posterior of four values, exact for normal effects, drawn with many more weights."""
    draws = fitted(spreads, twenty())
    exact = Laplace(draws=20_000, importance=16_384).run(spreads, twenty(), key=jax.random.key(1))
    for name in ("level", "slope", "spread", "noise"):
        sd = exact.sites[name].std()
        assert draws.sites[name].mean() == pytest.approx(exact.sites[name].mean(), abs=0.1 * sd), name
        assert draws.sites[name].std() == pytest.approx(sd, rel=0.1), name
    assert draws.facts["pareto_k"] < 0.7
    assert draws.facts["importance"] == 4000
    assert 1.0 < draws.facts["narrow"] < 1.4  # the weights did widen something
    assert set(draws.estimates.index) == {"level", "slope", "spread", "noise"}


@pytest.mark.parametrize("family", ["structured", "mean-field", "low-rank"])
def test_a_model_without_effects(family: str) -> None:
    inverse, mean, evidence = precision(spread=0.0)
    covariance = np.linalg.inv(inverse)
    draws = fitted(alone, twenty(), family=family)
    sample = np.stack([draws.sites[name][0] for name in ("level", "slope")])
    assert np.abs((sample.mean(axis=1) - mean) / np.sqrt(np.diag(covariance))).max() < 0.1
    np.testing.assert_allclose(np.cov(sample), covariance, rtol=0.12)
    assert draws.subject_sites == {}
    assert draws.facts["elbo"] == pytest.approx(evidence, abs=0.05)


# Where it is not ------------------------------------------------------------------------------------------------------


def test_independence_puts_sds_at_the_root_of_the_precision() -> None:
    """In the model's own axes the best independent normal has variance 1 / P_ii: known, and far too small."""
    inverse, mean, _ = precision()
    draws = fitted(known, twenty(), family="mean-field", start="prior", on_unreliable="flag")
    sds = np.sqrt(np.diag(np.linalg.inv(inverse)))
    known_sds = 1.0 / np.sqrt(np.diag(inverse))
    assert known_sds[0] < 0.5 * sds[0]
    for k, name in enumerate(("level", "slope")):
        assert draws.sites[name].mean() == pytest.approx(mean[k], abs=0.1 * sds[k])
        assert draws.sites[name].std() == pytest.approx(known_sds[k], rel=0.08)
    own = draws.subject_sites["own"].std(axis=(0, 1))
    np.testing.assert_allclose(own, known_sds[2:], rtol=0.1)
    assert draws.facts["pareto_k"] > 0.7 or draws.facts["narrow"] > 1.5
    assert draws.facts["importance"] == 0
    assert draws.facts["notes"][0].startswith("The variational fit does not reach the posterior: it has ")
    assert draws.estimates.empty


def test_it_is_refused_by_default() -> None:
    with pytest.raises(InferenceError) as refusal:
        fitted(known, twenty(), family="mean-field", start="prior")
    message = str(refusal.value)
    expected = "expected weights with a Pareto k of at most 0.7 that widen no sd by more than 1.5, got "
    assert message.startswith(f"Variational(family='mean-field'): {expected}")
    assert "too small" in message
    assert 'Take family="structured"' in message and "NUTS()" in message and 'on_unreliable="flag"' in message


@pytest.mark.parametrize("family", ["mean-field", "structured"])
def test_a_funnel_is_seen(family: str) -> None:
    nothing = twenty().hide(jnp.ones(SUBJECTS, bool))
    draws = fitted(funnel, nothing, family=family, start="prior", on_unreliable="flag", level="laplace")
    assert draws.sites["log_spread"].std() < 2.4  # truth: three
    assert draws.facts["pareto_k_joint"] > 0.7
    if family == "mean-field":
        assert draws.facts["pareto_k"] > 0.7
        assert "does not reach the posterior" in draws.facts["notes"][0]


def test_a_bound_that_still_rises_is_refused() -> None:
    with pytest.raises(
        InferenceError, match="expected a bound that has come to rest, got one that still rises after 500"
    ):
        fitted(known, twenty(), start="prior", steps=500)
    draws = fitted(known, twenty(), start="prior", steps=500, on_unreliable="flag")
    assert draws.facts["elbo_rise"] > 1.0
    assert draws.facts["notes"][0].startswith("The variational fit has not converged")


def test_a_density_that_is_not_finite() -> None:
    data = twenty()
    broken = Records(data.time, {"y": data.values["y"].at[1, 3].set(jnp.inf)}, data.observed, {}, {})
    with pytest.raises(
        InferenceError, match="a finite log density and gradient at draws of the guide, got none in 500"
    ):
        fitted(known, broken, start="prior")
    with pytest.raises(InferenceError, match=r"Variational, Laplace start: [\s\S]*start=\"prior\" needs none"):
        fitted(known, broken)


def test_what_cannot_be_asked() -> None:
    def fixed(data: Records) -> None:
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            own = numpyro.sample("own", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", VISITS, dim=-2):
                numpyro.sample("y", dist.Normal(own * jnp.ones(data.time.shape), 1.0), obs=data.values["y"])

    def classes(data: Records) -> None:
        low = numpyro.sample("low", dist.Normal(0.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            kind = numpyro.sample("kind", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
            with numpyro.plate("visit", VISITS, dim=-2):
                numpyro.sample("y", dist.Normal(low + kind * jnp.ones(data.time.shape), 1.0), obs=data.values["y"])

    with pytest.raises(InferenceError, match="at least one value to learn"):
        fitted(fixed, twenty())
    with pytest.raises(InferenceError, match="without discrete sites of subjects, got kind"):
        fitted(classes, twenty())
    with pytest.raises(InferenceError, match=r"Variational\(rank=\.\.\.\)"):
        fitted(known, twenty(), family="mean-field", rank=3)
    unknown = Variational()
    object.__setattr__(unknown, "family", "normal")
    with pytest.raises(InferenceError, match="expected mean-field, low-rank, structured, got 'normal'"):
        unknown.run(known, twenty(), key=KEY)


# How it runs ----------------------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_draws() -> None:
    again = fitted(known, twenty(), importance=False)
    np.testing.assert_array_equal(again.sites["level"], structured().sites["level"])
    np.testing.assert_array_equal(again.subject_sites["own"], structured().subject_sites["own"])
    other = Variational(progress=False).run(known, twenty(), key=jax.random.key(9))
    assert not np.isin(other.sites["level"], structured().sites["level"]).any()


def test_it_tells_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    fitted(known, twenty(), importance=False, progress=True)
    first, *lines = screen.getvalue().split("\r")
    assert first == ""
    assert lines[0].startswith("Variational: step 500 of at most 20,000, bound -")
    assert screen.getvalue().endswith("\n")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [None, 3])
def test_lines_of_sixty_subjects(rank: int | None) -> None:
    """Two correlated effects and six population values, against weights of the exact marginal likelihood."""
    from .test_nuts import TRUTH, cohort, summary
    from .test_nuts import model as line_model

    data = cohort()[0]
    draws = fitted(line_model(), data, rank=rank)
    exact = summary(Laplace(draws=20_000, importance=16_384).run(line_model(), data, key=jax.random.key(1)))
    found = summary(draws)
    assert set(found) == {*TRUTH, "r"}
    for name, (mean, sd) in exact.items():
        assert found[name][0] == pytest.approx(mean, abs=0.1 * sd), name
        assert found[name][1] == pytest.approx(sd, rel=0.1), name
    assert draws.facts["pareto_k"] < 0.7


@pytest.mark.slow
def test_a_nonlinear_model_against_integration() -> None:
    """Wang's decay: posterior mean and sd of its logarithm by quadrature of both integrals."""
    from . import wang
    from .test_nuts import integrated

    mean, sd = integrated()
    draws = fitted(wang.model("additive"), records("wang_additive"))
    log_decay = np.log(draws.sites["decay"])
    assert log_decay.mean() == pytest.approx(mean, abs=0.1 * sd)
    assert log_decay.std() == pytest.approx(sd, rel=0.1)
