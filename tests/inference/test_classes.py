"""Discrete sites of subjects are summed out; models without effects, and records in buckets, give the same answers."""

from functools import cache

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from jax.scipy.special import logsumexp
from numpyro import distributions as dist
from numpyro import handlers
from scipy import stats

from dpm.cohort import Records
from dpm.cohort.buckets import Buckets, bucketed
from dpm.errors import InferenceError
from dpm.inference.effects import draw_effects
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Level, Marginal
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.posterior.predict import predict_subject
from dpm.types import Array

KEY = jax.random.key(3)
TIME = jnp.linspace(0.0, 4.0, 5)
TRUTH = {"share": 0.35, "slow": 0.3, "fast": 1.5, "spread": 0.4, "noise": 0.3}


def growth(data: Records) -> None:
    """Two classes of growth, one effect: on the slope, and a smaller one in the fast class."""
    share = numpyro.sample("share", dist.Beta(2.0, 2.0))
    slow = numpyro.sample("slow", dist.Normal(0.3, 0.5))
    fast = numpyro.sample("fast", dist.Normal(1.5, 0.5))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        is_fast = numpyro.sample("is_fast", dist.Bernoulli(share))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        slope = jnp.where(is_fast == 1, fast + 0.5 * spread * z, slow + spread * z)
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            numpyro.deterministic("y_mean", slope * data.time)
            numpyro.sample("y", dist.Normal(slope * data.time, noise).mask(data.observed["y"]), obs=data.values["y"])


@cache
def simulated(n: int = 60) -> Records:
    time = jnp.broadcast_to(TIME[:, None], (5, n))
    seen = np.random.default_rng(1).uniform(size=(5, n)) < 0.8
    seen[0] = True
    empty = Records(time, {"y": jnp.zeros((5, n))}, {"y": jnp.asarray(seen)}, {}, {})
    given = {name: jnp.asarray(value) for name, value in TRUTH.items()}
    free = handlers.seed(handlers.substitute(handlers.uncondition(growth), data=given), KEY)
    y = handlers.trace(free).get_trace(empty)["y"]["value"]
    return Records(time, {"y": jnp.where(seen, y, 0.0)}, {"y": jnp.asarray(seen)}, {}, {})


def closed_form(truth: dict[str, float], data: Records) -> np.ndarray:
    """Each class is a multivariate normal: mean m t, covariance s^2 t t' + noise^2 I."""
    total = []
    for i in range(data.n_subjects):
        seen = np.asarray(data.observed["y"][:, i])
        t, y = np.asarray(data.time[:, i])[seen], np.asarray(data.values["y"][:, i])[seen]
        classes = [
            (1 - truth["share"], truth["slow"], truth["spread"]),
            (truth["share"], truth["fast"], truth["spread"] / 2),
        ]
        logs = [
            np.log(share)
            + stats.multivariate_normal(m * t, s**2 * np.outer(t, t) + truth["noise"] ** 2 * np.eye(len(t))).logpdf(y)
            for share, m, s in classes
        ]
        total.append(logsumexp(jnp.asarray(logs)))
    return np.asarray(total)


def vector_of(split: Hierarchy) -> Array:
    return split.unconstrain({name: jnp.asarray(value) for name, value in TRUTH.items()})


@pytest.mark.parametrize("level", ["laplace", "quadrature", "focei"])
def test_the_marginal_sums_over_classes(level: Level) -> None:
    data = simulated()
    split = Hierarchy.of(growth, data)
    assert split.classes == (("is_fast", (0, 1)),)
    found, modes = jax.jit(Marginal.at(split, level, data).log_marginal)(vector_of(split), data)
    np.testing.assert_allclose(found, closed_form(TRUTH, data), rtol=1e-9, atol=1e-8)
    assert bool(modes.converged.all())


def test_maximum_likelihood_of_a_mixture() -> None:
    """A stationary point of the closed form, near the truth."""
    data = simulated()
    split = Hierarchy.of(growth, data)
    found = Laplace(objective="ml").maximise(Marginal(split), data, key=KEY)
    best = {name: float(found.estimates["estimate"][name]) for name in TRUTH}
    top = closed_form(best, data).sum()
    assert found.log_likelihood == pytest.approx(top, abs=1e-7)
    for name, se in found.estimates["se"].items():
        assert abs(best[str(name)] - TRUTH[str(name)]) < 3.0 * se
        for move in (-0.1, 0.1):
            assert closed_form({**best, str(name): best[str(name)] + move * se}, data).sum() < top


def test_conditional_draws_choose_the_class_first() -> None:
    """Against Bayes' rule: the share of draws in each class, and the mean of the effects."""
    data, split = simulated(), Hierarchy.of(growth, simulated())
    vectors = jnp.broadcast_to(vector_of(split), (2, split.n_population))
    drawn = draw_effects(split, vectors, data, key=KEY, replicates=1000)
    assert drawn.effects.shape == (2, 1000, 2, data.n_subjects)
    assert float(drawn.converged.min()) == 1.0
    at = [jax.jit(Marginal(one).log_marginal)(vectors[0], data)[0] for one in split.by_class()]
    expected = np.asarray(jax.nn.softmax(jnp.stack(at), axis=0))[1]
    share = np.asarray(drawn.effects[:, :, 1]).mean(axis=(0, 1))
    error = 4.5 * np.sqrt(np.maximum(expected * (1 - expected), 1e-4) / 2000) + 0.01
    assert (np.abs(share - expected) < error).all()
    predicted = predict_subject(split, vectors[0], drawn.effects[0, 0], data, key=KEY).course["y"]
    is_fast, z = np.asarray(drawn.effects[0, 0, 1]), np.asarray(drawn.effects[0, 0, 0])
    slope = np.where(is_fast == 1, 1.5 + 0.2 * z, 0.3 + 0.4 * z)
    np.testing.assert_allclose(predicted, slope * np.asarray(data.time), rtol=1e-9)


def test_sampling_everything_is_refused_with_classes() -> None:
    with pytest.raises(InferenceError, match="without discrete sites of subjects, got is_fast"):
        NUTS(progress=False).run(growth, simulated(), key=KEY)


@pytest.mark.slow
def test_population_values_of_a_mixture_can_be_sampled() -> None:
    """Against draws weighted by the same marginal, which is exact here: classes summed, effects linear."""
    one = MarginalNUTS(progress=False).run(growth, simulated(), key=KEY)
    two = Laplace(importance=4000, draws=2000).run(growth, simulated(), key=KEY)
    assert float(one.facts["finer_shift"]) < 1e-6
    for name in TRUTH:
        a, b = one.sites[name].ravel(), two.sites[name].ravel()
        assert abs(a.mean() - b.mean()) < 0.2 * b.std(), name
        assert a.std() == pytest.approx(b.std(), rel=0.2), name


# Without effects ------------------------------------------------------------------------------------------------------


def line(data: Records) -> None:
    level, slope = numpyro.sample("level", dist.Normal(0.0, 10.0)), numpyro.sample("slope", dist.Normal(0.0, 10.0))
    noise = numpyro.sample("noise", dist.HalfNormal(10.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1), numpyro.plate("visit", data.time.shape[0], dim=-2):
        mean = level + slope * data.time
        numpyro.deterministic("y_mean", mean)
        numpyro.sample("y", dist.Normal(mean, noise).mask(data.observed["y"]), obs=data.values["y"])


def test_a_model_without_effects_is_ordinary_regression() -> None:
    data = simulated()
    split = Hierarchy.of(line, data)
    assert split.n_effects == 0
    seen = np.asarray(data.observed["y"])
    fit = stats.linregress(np.asarray(data.time)[seen], np.asarray(data.values["y"])[seen])
    for level in ("laplace", "quadrature"):
        found = Laplace(objective="ml").maximise(Marginal.at(split, level, data), data, key=KEY)
        np.testing.assert_allclose(
            found.estimates["estimate"][["level", "slope"]], [fit.intercept, fit.slope], rtol=1e-4
        )
    drawn = draw_effects(split, jnp.asarray(found.vector)[None], data, key=KEY, replicates=2)
    assert drawn.effects.shape == (1, 2, 0, data.n_subjects)
    assert float(drawn.acceptance.min()) == 1.0


# Buckets --------------------------------------------------------------------------------------------------------------


def cut(data: Records) -> Buckets:
    """Visits seen first in each column, as a cohort has them, and cut by their number."""
    seen = np.asarray(data.observed["y"])
    order = np.argsort(~seen, axis=0, kind="stable")
    moved = {"time": data.time, "y": data.values["y"], "seen": data.observed["y"]}
    packed = {name: jnp.take_along_axis(value, jnp.asarray(order), axis=0) for name, value in moved.items()}
    whole = Records(packed["time"], {"y": packed["y"]}, {"y": packed["seen"]}, {}, {})
    return bucketed(whole, seen.sum(axis=0), 0.02)


@pytest.mark.parametrize("level", ["laplace", "focei"])
def test_buckets_give_the_same_marginal(level: Level) -> None:
    data, buckets = simulated(), cut(simulated())
    assert len(buckets.parts) > 2
    split = Hierarchy.of(growth, data)
    whole = jax.jit(Marginal.at(split, level, data).log_marginal)(vector_of(split), data)[0]
    again = Marginal.at(Hierarchy.of(growth, buckets), level, buckets)
    parts = jax.jit(again.log_marginal)(vector_of(split), buckets)[0]
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
