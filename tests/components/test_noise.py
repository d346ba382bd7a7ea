"""Every noise: densities that sum to one, draws with the stated mean, tails and scipy as a second route, refusals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy import special, stats

from dpm.components.autocorrelation import Autocorrelated
from dpm.components.categorical import Binary, Ordinal, log_expit, thresholds
from dpm.components.continuous import BoxCox, Combined, LogNormal, StudentT
from dpm.components.count import NegativeBinomial, Poisson
from dpm.components.log_gamma import log_gamma, log_rising
from dpm.components.logit_normal import LogitNormal
from dpm.components.outcome import Gaussian, Noise, refuse_impossible
from dpm.components.score import BoundedInteger, BoundedScore, IntegerScore
from dpm.errors import ModelError
from dpm.types import Array

KEY = jax.random.key(4)
CUTS = dist.Normal(jnp.zeros(2), 1.0).to_event(1)


@dataclass(frozen=True)
class Case:
    """A noise, values of its scalars, a course, where its density lives, and the same density elsewhere."""

    noise: Noise
    values: dict[str, Any]
    course: float
    points: np.ndarray
    reference: Callable[[np.ndarray], np.ndarray]
    discrete: bool = False
    tail: float | None = None


def _ordinal(y: np.ndarray) -> np.ndarray:
    above = np.array([1.0, *special.expit(1.7 * (0.4 - np.array([-1.0, 0.2, 1.5]))), 0.0])
    return np.log(above[y.astype(int)] - above[y.astype(int) + 1])


def _cut(y: np.ndarray) -> np.ndarray:
    z = stats.norm.ppf(np.arange(0, 12) / 11)
    return np.log(np.diff(stats.norm.cdf((z - 0.3) / 0.8)))[y.astype(int)]


def _ends(y: np.ndarray) -> np.ndarray:
    m, phi = 0.2, 6.0
    logit = special.logit(m)
    low, high = special.expit(-2.5 - logit), special.expit(logit - 3.0)
    inner = stats.beta(m * phi, (1 - m) * phi).logpdf(np.clip(y / 40.0, 1e-9, 1 - 1e-9)) - np.log(40.0)
    return np.where(y <= 0, np.log(low), np.where(y >= 40, np.log(high), inner + np.log(1 - low - high)))


def _logit_normal(y: np.ndarray) -> np.ndarray:
    share = y / 18.0
    return stats.norm(special.logit(5 / 18), 0.8).logpdf(special.logit(share)) - np.log(18.0 * share * (1 - share))


GRID = np.linspace(-30.0, 40.0, 20001)
ABOVE = np.geomspace(1e-4, 400.0, 40001)
CASES = {
    "gaussian": Case(Gaussian(sd=1.0), {"sd": 0.7}, 1.5, GRID, stats.norm(1.5, 0.7).logpdf, tail=-8.0),
    "student": Case(
        StudentT(scale=1.0), {"scale": 0.7, "degrees": 9.0}, 1.5, GRID, stats.t(9, 1.5, 0.7).logpdf, tail=-8.0
    ),
    "log-normal": Case(LogNormal(sd=1.0), {"sd": 0.4}, 3.0, ABOVE, stats.lognorm(0.4, scale=3.0).logpdf, tail=0.05),
    "combined": Case(
        Combined(sd=1.0, cv=0.1),
        {"sd": 0.5, "cv": 0.2},
        3.0,
        GRID,
        stats.norm(3.0, np.hypot(0.5, 0.6)).logpdf,
        tail=-3.0,
    ),
    "box-cox": Case(
        BoxCox(power=0.5, sd=1.0),
        {"power": 0.5, "sd": 0.3},
        9.0,
        ABOVE,
        lambda y: stats.norm(4.0, 0.3).logpdf(2.0 * (np.sqrt(y) - 1.0)) - 0.5 * np.log(y),
        tail=4.0,
    ),
    "beta": Case(
        BoundedScore(lower=0, upper=70, precision=1.0),
        {"precision": 30.0},
        22.2,
        np.linspace(1e-6, 70 - 1e-6, 20001),
        stats.beta(30 * 22.2 / 70, 30 * (1 - 22.2 / 70), 0, 70).logpdf,
    ),
    "beta with ends": Case(
        BoundedScore(lower=0, upper=40, precision=1.0, cuts=CUTS),
        {"precision": 6.0, "cuts": jnp.array([-2.5, 3.0])},
        8.0,
        np.linspace(0.0, 40.0, 20001),
        _ends,
    ),
    "logit-normal": Case(
        LogitNormal(lower=0, upper=18, sd=1.0),
        {"sd": 0.8},
        5.0,
        np.linspace(1e-6, 18 - 1e-6, 20001),
        _logit_normal,
        tail=0.9,
    ),
    "beta-binomial": Case(
        IntegerScore(maximum=48, precision=1.0),
        {"precision": 12.0},
        35.0,
        np.arange(49.0),
        stats.betabinom(48, 12 * 35 / 48, 12 * 13 / 48).logpmf,
        discrete=True,
    ),
    "bounded integer": Case(BoundedInteger(maximum=10, sd=1.0), {"sd": 0.8}, 0.3, np.arange(11.0), _cut, discrete=True),
    "ordinal": Case(
        Ordinal(thresholds=thresholds(3)),
        {"thresholds": jnp.array([-1.0, 0.2, 1.5]), "discrimination": 1.7},
        0.4,
        np.arange(4.0),
        _ordinal,
        discrete=True,
    ),
    "binary": Case(Binary(), {}, 0.4, np.arange(2.0), stats.bernoulli(special.expit(0.4)).logpmf, discrete=True),
    "poisson": Case(Poisson(), {}, 1.2, np.arange(80.0), stats.poisson(np.exp(1.2)).logpmf, discrete=True),
    "negative binomial": Case(
        NegativeBinomial(concentration=1.0),
        {"concentration": 2.5},
        1.2,
        np.arange(400.0),
        stats.nbinom(2.5, 2.5 / (2.5 + np.exp(1.2))).logpmf,
        discrete=True,
    ),
    "autocorrelated": Case(
        Autocorrelated(sd=1.0, memory=1.0), {"sd": 0.7, "memory": 2.0}, 1.5, GRID, stats.norm(1.5, 0.7).logpdf
    ),
}


def values_of(case: Case) -> dict[str, Array]:
    return {name: jnp.asarray(value) for name, value in case.values.items()}


def at(case: Case, course: Array) -> dist.Distribution:
    return case.noise.distribution(course, **values_of(case))


def test_every_noise_has_its_case() -> None:
    own = {kind for kind in Noise.__subclasses__() if kind.__module__.startswith("dpm.")}
    assert own == {type(case.noise) for case in CASES.values()}


@pytest.mark.parametrize("name", CASES)
def test_the_density_is_that_of_scipy_and_sums_to_one(name: str) -> None:
    case = CASES[name]
    points = jnp.asarray(case.points)[:, None]
    log_density = np.asarray(at(case, jnp.full(points.shape, case.course)).log_prob(points))[:, 0]
    expected = case.reference(case.points)
    seen = expected > -300.0
    np.testing.assert_allclose(log_density[seen], expected[seen], rtol=1e-7, atol=1e-8)
    density = np.exp(log_density)
    if name == "beta with ends":
        total = np.trapezoid(density[1:-1], case.points[1:-1]) + density[0] + density[-1]
    else:
        total = density.sum() if case.discrete else np.trapezoid(density, case.points)
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_expected_measurement(name: str) -> None:
    """One object scores and simulates: the mean of draws is `expected`, and every draw is possible."""
    case = CASES[name]
    course = jnp.full((1, 40_000), case.course)
    drawn = np.asarray(at(case, course).sample(KEY)).astype(float).ravel()
    mean = float(np.asarray(case.noise.expected(course, **values_of(case)))[0, 0])
    assert drawn.mean() == pytest.approx(mean, abs=5.0 * drawn.std() / 200.0)
    assert case.noise.possible(drawn).all()
    assert np.asarray(at(case, course[:, :1]).log_prob(jnp.full((1, 1), case.noise.safe))).item() > -np.inf


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_finite_over_a_wide_course(name: str) -> None:
    """First and second, in the course and in every scalar: what the kernel takes."""
    case = CASES[name]
    shift = jnp.linspace(-1.0, 1.0, 9) * (20.0 if case.course > 5 else 4.0)
    course = case.course + shift
    if type(case.noise) in (LogNormal, BoxCox):
        course = jnp.abs(course) + 0.1
    low = jnp.asarray(np.resize(case.points[:: max(1, len(case.points) // 9)], 9))
    scalars = {key: value for key, value in values_of(case).items() if key != "degrees"}
    fixed = {key: value for key, value in values_of(case).items() if key == "degrees"}

    def total(x: Array, each: dict[str, Array]) -> Array:
        return jnp.sum(case.noise.distribution(x[None], **each, **fixed).log_prob(low[None]))

    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))(course, scalars)
    bend = jax.jit(jax.grad(lambda x: jnp.sum(jax.grad(total)(x, scalars))))(course)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree_util.tree_leaves((slopes, bend)))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.tail is not None])
def test_tails_of_censored_values_are_accurate(name: str) -> None:
    """Far below the course the log probability is that of scipy, and of the integral of the density near it."""
    case = CASES[name]
    assert case.tail is not None
    where, course = jnp.full((1, 1), case.tail), jnp.full((1, 1), case.course)
    below = float(case.noise.log_cdf(where, course, **values_of(case))[0, 0])
    above = float(case.noise.log_sf(where, course, **values_of(case))[0, 0])
    inside = case.points[case.points <= case.tail]
    expected = np.log(np.trapezoid(np.exp(case.reference(inside)), inside))
    assert below == pytest.approx(expected, abs=0.05)
    assert below < np.log(0.1)
    assert np.exp(above) + np.exp(below) == pytest.approx(1.0, abs=1e-9)
    slope = jax.grad(lambda x: case.noise.log_cdf(where, x, **values_of(case))[0, 0])(course)
    assert bool(jnp.isfinite(slope).all())


def test_log_gamma() -> None:
    x = np.concatenate([np.geomspace(1e-6, 1e6, 500), np.arange(1.0, 60.0)])
    scale = np.maximum(1.0, np.abs(special.gammaln(x)))
    assert np.abs((np.asarray(log_gamma(jnp.asarray(x))) - special.gammaln(x)) / scale).max() < 1e-13
    first = jax.vmap(jax.grad(log_gamma))(jnp.asarray(x))
    second = jax.vmap(jax.grad(jax.grad(log_gamma)))(jnp.asarray(x))
    np.testing.assert_allclose(first, special.digamma(x), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(second, special.polygamma(1, x), rtol=1e-8)


# Autocorrelation ------------------------------------------------------------------------------------------------------


def test_autocorrelated_residuals_are_one_normal() -> None:
    """The sum over a subject's measured visits is the density of a multivariate normal with the stated covariance."""
    rng = np.random.default_rng(2)
    time = np.sort(rng.uniform(0.0, 5.0, (6, 3)), axis=0)
    observed = np.array([[1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    course, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    noise = Autocorrelated(sd=1.0, memory=1.0)
    values = {"sd": jnp.asarray(0.8), "memory": jnp.asarray(1.5)}
    law = noise.measure(jnp.asarray(course), jnp.asarray(time), jnp.asarray(observed), values)
    found = np.asarray(jnp.sum(law.mask(jnp.asarray(observed)).log_prob(jnp.asarray(y)), axis=0))
    for i in range(3):
        seen = observed[:, i]
        t = time[seen, i]
        covariance = 0.64 * np.exp(-np.abs(t[:, None] - t[None, :]) / 1.5)
        assert found[i] == pytest.approx(
            stats.multivariate_normal(course[seen, i], covariance).logpdf(y[seen, i]), abs=1e-9
        )
    many = jnp.broadcast_to(jnp.asarray(time[:, :1]), (6, 20_000))
    drawn = noise.measure(jnp.zeros((6, 20_000)), many, jnp.ones((6, 20_000), bool), values).sample(KEY)
    stated = 0.64 * np.exp(-np.abs(time[:, :1] - time[:, :1].T) / 1.5)
    np.testing.assert_allclose(np.cov(np.asarray(drawn)), stated, atol=0.03)


# Refusals -------------------------------------------------------------------------------------------------------------


POINTS = IntegerScore(maximum=48, precision=1.0)


@pytest.mark.parametrize(
    ("noise", "kind", "values", "message"),
    [
        (Binary(), "continuous", [0.0, 1.0], "fit: y: expected an outcome of kind binary for Binary, got continuous"),
        (
            IntegerScore(maximum=48, precision=1.0),
            "integer",
            [3.0, 50.0],
            r"values that IntegerScore can give, got 50 \(1 of 2",
        ),
        (IntegerScore(maximum=48, precision=1.0), "integer", [3.5], "got 3.5"),
        (BoundedScore(lower=0, upper=70, precision=1.0), "bounded", [70.0], "BoundedScore can give, got 70"),
        (LogitNormal(lower=0, upper=18, sd=1.0), "bounded", [0.0], "LogitNormal can give, got 0"),
        (LogNormal(sd=1.0), "continuous", [0.0], "LogNormal can give, got 0"),
        (Ordinal(thresholds=thresholds(3)), "ordinal", [0.0, 1.0, 3.0], "each of the categories 0 to 3, got none at 2"),
        (Poisson(), "count", [-1.0], "Poisson can give, got -1"),
    ],
)
def test_impossible_measurements_are_refused(noise: Noise, kind: str, values: list[float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        refuse_impossible("y", noise, kind, np.array(values))
    refuse_impossible("y", BoundedScore(lower=0, upper=70, precision=1.0, cuts=CUTS), "bounded", np.array([0.0, 70.0]))


def test_a_noise_without_tails_takes_no_censored_value() -> None:
    beta, at = BoundedScore(lower=0, upper=70, precision=1.0), jnp.full((1, 1), 30.0)
    for tail in (beta.log_cdf, beta.log_sf):
        with pytest.raises(ModelError, match=r"measured values for BoundedScore.*\n.*LogitNormal"):
            tail(at, at, precision=jnp.asarray(9.0))


def test_thresholds_are_ordered() -> None:
    drawn = np.asarray(thresholds(4).sample(KEY, (200,)))
    assert (np.diff(drawn, axis=1) > 0).all()
    assert np.abs(np.median(drawn, axis=0)[1:3]).max() < 2.0


def test_rising_factorials_and_log_odds_against_scipy() -> None:
    """Over eight orders of magnitude, with both derivatives of the logistic one."""
    x = np.geomspace(1e-4, 1e6, 41)
    for n in (0.0, 0.5, 1.0, 7.0, 300.0):
        known = special.gammaln(x + n) - special.gammaln(x)
        scale = np.maximum(1.0, np.abs(special.gammaln(x + n)))
        assert np.max(np.abs(np.asarray(log_rising(jnp.asarray(x), jnp.asarray(n))) - known) / scale) < 1e-12
        slope = jax.vmap(jax.grad(log_rising), (0, None))(jnp.asarray(x), jnp.asarray(n))
        np.testing.assert_allclose(slope, special.digamma(x + n) - special.digamma(x), rtol=1e-9, atol=1e-12)
        bend = jax.vmap(jax.grad(jax.grad(log_rising)), (0, None))(jnp.asarray(x), jnp.asarray(n))
        np.testing.assert_allclose(bend, special.polygamma(1, x + n) - special.polygamma(1, x), rtol=1e-8, atol=1e-12)
        by_n = jax.vmap(jax.grad(log_rising, 1), (0, None))(jnp.asarray(x), jnp.asarray(n + 0.5))
        np.testing.assert_allclose(by_n, special.digamma(x + n + 0.5), rtol=1e-10, atol=1e-12)
    u = jnp.asarray([-800.0, -40.0, -36.0, -3.0, 0.0, 2.0, 30.0, 800.0])
    np.testing.assert_allclose(log_expit(u), special.log_expit(np.asarray(u)), rtol=1e-12, atol=1e-15)
    slope = jax.vmap(jax.grad(log_expit))(u)
    bend = jax.vmap(jax.grad(jax.grad(log_expit)))(u)
    np.testing.assert_allclose(slope, special.expit(-np.asarray(u)), atol=1e-12)
    np.testing.assert_allclose(bend, -special.expit(u) * special.expit(-np.asarray(u)), atol=1e-12)
