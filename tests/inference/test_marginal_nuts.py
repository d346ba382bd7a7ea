"""Population values sampled with effects integrated out: the density, its gradient, its distance from exact."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.infer import MCMC
from numpyro.infer import NUTS as Kernel
from scipy.stats import norm

from dpm.cohort.records import Records
from dpm.errors import InferenceError
from dpm.inference import chunks
from dpm.inference.accuracy import Accuracy, accuracy, finer
from dpm.inference.chains import ChainMethod
from dpm.inference.checkpoint import Checkpoint
from dpm.inference.evaluation import evaluate
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import Around, MarginalNUTS, MarginalPotential
from dpm.inference.progress import Ticker
from dpm.inference.refined import Refined, Unreached, refined
from dpm.inference.start import Start
from dpm.inference.surface import totals

from .examples import EXAMPLES, each, hierarchy, marginal, records

KEY = jax.random.key(29)
CHOLESKY = "subject_correlation_cholesky"


def start(name: str) -> Start:
    return Start.of_laplace(marginal(name, "laplace", 1), records(name), key=KEY)


def test_the_potential_is_the_marginal_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the sum over subjects and the prior, with its gradient by plain differentiation, subjects in chunks."""
    monkeypatch.setattr(chunks, "LEAST", 2)
    monkeypatch.setitem(chunks.CELLS, "cpu", 1)
    name = "orange"
    begun, data, prepared = start(name), records(name), marginal(name, "laplace", 1)
    assert chunks.chunked(data)[0].counted.shape[0] > 1

    def expected(u: jax.Array) -> jax.Array:
        vector, _, volume = begun.whitening.population(u)
        prior = hierarchy(name).log_population(vector, data, prior=True)
        return -jnp.sum(prepared.log_marginal(vector, data)[0]) - prior - volume

    u = jax.random.normal(KEY, (hierarchy(name).n_population,))
    found, slope = jax.jit(jax.value_and_grad(MarginalPotential(prepared)))({"u": u}, Around.of(begun, data))
    value, gradient = jax.jit(jax.value_and_grad(expected))(u)
    assert float(found) == pytest.approx(float(value), rel=1e-10)
    np.testing.assert_allclose(slope["u"], gradient, rtol=1e-6, atol=1e-7)


def test_lines_with_normal_noise_are_exact() -> None:
    """Laplace's marginal is then the marginal: finer levels change nothing, and no draw has more weight."""
    name = "orthodont"
    begun = start(name)
    draws = begun.optimum.sample(20, key=KEY)
    found = accuracy(marginal(name, "laplace", 1), records(name), draws, begun.optimum.effects, key=KEY)
    assert found.finer == "exact"
    assert found.pareto_k < 0.0
    assert found.shift < 1e-6 and found.widening == pytest.approx(1.0, abs=1e-6)
    assert found.log_likelihood == pytest.approx(0.0, abs=1e-7)


def test_what_a_finer_level_moves() -> None:
    """Weights by hand, from each level's likelihood at every draw."""
    name = "wang_additive"
    begun, data = start(name), records(name)
    draws = begun.optimum.sample(40, key=KEY)
    coarse = marginal(name, "laplace", 1)
    found = accuracy(coarse, data, draws, begun.optimum.effects, key=KEY)
    fine = finer(coarse, records(name), key=KEY)
    apart = np.array([float(each(fine, v, data).sum() - each(coarse, v, data).sum()) for v in draws])
    assert found.log_likelihood == pytest.approx(apart.mean(), rel=1e-8)
    weight = np.exp(apart - apart.max())
    moved = (weight @ np.asarray(draws[:, 0])) / weight.sum()
    assert found.shift == pytest.approx(abs(moved - float(draws.mean())) / float(draws.std()), rel=0.1)
    assert found.of == "decay"


def test_levels_climb() -> None:
    name = "theophylline"
    one = finer(marginal(name, "laplace", 1), records(name), key=KEY)
    two = finer(one, records(name), key=KEY)
    assert (len(one.nodes), len(two.nodes)) == (7**3, 13**3)
    assert len(finer(marginal(name, "qmc", 64), records(name), key=KEY).nodes) == 256


def test_densities_that_are_known_are_not_computed_anew() -> None:
    name = "wang_additive"
    begun, data, coarse = start(name), records(name), marginal(name, "laplace", 1)
    draws, effects = begun.optimum.sample(40, key=KEY), begun.optimum.effects
    found = accuracy(coarse, data, draws, effects, key=KEY)
    known = totals(coarse, data, draws, effects, prior=True)
    again = accuracy(coarse, data, draws, effects, log_density=known, key=KEY)
    np.testing.assert_allclose(again.share, found.share, rtol=1e-10)
    fine = totals(finer(coarse, data, key=KEY), data, draws, effects, prior=True)
    np.testing.assert_allclose(again.log_density, fine, rtol=1e-12)
    other = accuracy(coarse, data, draws, effects, log_density=known - 0.1 * np.arange(40), key=KEY)
    assert not np.allclose(other.share, found.share, rtol=0.1)


def test_draws_are_handed_on_with_their_log_densities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the sampler, without the volume of its variables, are those of the marginal with the prior."""
    name, handed = "orthodont", list[np.ndarray]()

    def seen(*arguments: Any, **settings: Any) -> Refined | Unreached:
        handed.extend(np.asarray(one) for one in arguments[2:4])
        return refined(*arguments, **settings)

    monkeypatch.setattr("dpm.inference.marginal_nuts.refined", seen)
    data = records(name)
    found = SHORT.run(EXAMPLES[name].model, data, key=KEY)
    vectors, log_density = handed
    assert log_density.shape == (2, 60)
    prepared, effects = marginal(name, "laplace", 1), np.zeros((hierarchy(name).n_effects, data.n_subjects))
    expected = totals(prepared, data, jnp.asarray(vectors.reshape(-1, vectors.shape[-1])), effects, prior=True)
    np.testing.assert_allclose(log_density.ravel(), expected, atol=1e-7)
    assert np.ptp(found.stats["lp"].ravel() - expected) > 0.1  # the volume, which differs from draw to draw


def test_chains_begin_by_what_the_search_for_the_maximum_has_compiled() -> None:
    def model(data: Records) -> None:
        EXAMPLES["wang_additive"].model(data)

    before = evaluate._cache_size()  # type: ignore[attr-defined]
    SHORT.run(model, records("wang_additive"), key=KEY)
    assert evaluate._cache_size() == before + 1  # type: ignore[attr-defined]


def test_an_uneven_tail_of_equal_weights_is_no_ground_for_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """k has no unit: it is above its limit for ratios a ten-millionth as far from one, too, which move nothing."""
    name = "wang_additive"
    begun, data, coarse = start(name), records(name), marginal(name, "laplace", 1)
    draws = begun.optimum.sample(200, key=KEY)
    ratios = np.random.default_rng(3).standard_cauchy(len(draws)) ** 2

    def found(size: float) -> Accuracy:
        levels = iter([np.zeros(len(draws)), np.log1p(size * ratios)])
        monkeypatch.setattr("dpm.inference.accuracy.totals", lambda *_, **__: next(levels))
        return accuracy(coarse, data, draws, begun.optimum.effects, key=KEY)

    small, large = found(1e-7), found(1.0)
    assert small.pareto_k > 0.7 and large.pareto_k > 0.7
    assert small.reliable and small.shift <= small.variation < 0.01
    assert not large.reliable


SHORT = MarginalNUTS(chains=2, warmup=60, draws=60, progress=False, checked=30)


def test_the_same_key_gives_the_same_draws() -> None:
    name = "wang_additive"
    one, two = (SHORT.run(EXAMPLES[name].model, records(name), key=KEY) for _ in range(2))
    np.testing.assert_array_equal(one.sites["decay"], two.sites["decay"])
    assert one.sites["decay"].shape == (2, 60)
    assert set(one.stats) >= {"diverging", "energy", "tree_depth", "lp"}
    assert one.facts["finer_level"] == "quadrature, 15 nodes"


@pytest.mark.parametrize("chain_method", ["vectorized", "sequential"])
def test_a_stopped_run_goes_on_to_the_same_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain_method: ChainMethod
) -> None:
    name = "wang_additive"
    model, data = EXAMPLES[name].model, records(name)
    method = replace(SHORT, chain_method=chain_method)
    whole = method.run(model, data, key=KEY)

    class Stopped(BaseException):
        pass

    def tell(ticker: Ticker, step: int, divergences: int) -> None:
        if step >= 90:
            raise Stopped

    saving = replace(method, checkpoint=Checkpoint(folder=tmp_path, draws=20))
    with monkeypatch.context() as patched:
        patched.setattr(Ticker, "tell", tell)
        with pytest.raises(Stopped):
            saving.run(model, data, key=KEY)
    assert (tmp_path / "state.npz").exists()
    again = saving.run(model, data, key=KEY)
    np.testing.assert_array_equal(again.sites["decay"], whole.sites["decay"])
    with pytest.raises(InferenceError, match="got one with level = laplace instead of quadrature"):
        replace(saving, level="quadrature").run(model, data, key=KEY)


@pytest.mark.slow
def test_a_known_posterior_of_one_value() -> None:
    """Means and quantiles against the density on a grid, at the level that is sampled."""
    name = "wang_additive"
    prepared, data = marginal(name, "quadrature", 15), records(name)
    method = MarginalNUTS(level="quadrature", n_nodes=15, progress=False)
    draws = method.run(EXAMPLES[name].model, data, key=KEY).sites["decay"].ravel()
    centre = start(name).optimum
    grid = centre.vector + np.sqrt(centre.covariance[0, 0]) * np.linspace(-8.0, 8.0, 801)[:, None]
    split = hierarchy(name)
    log = np.array(
        [float(each(prepared, v, data).sum() + split.log_population(v, data, prior=True)) for v in jnp.asarray(grid)]
    )
    share = np.exp(log - log.max())
    share /= share.sum()
    value = np.exp(grid[:, 0])
    mean, sd = share @ value, np.sqrt(share @ (value - share @ value) ** 2)
    assert draws.mean() == pytest.approx(mean, abs=5.0 * sd / np.sqrt(400.0))
    assert draws.std() == pytest.approx(sd, rel=0.15)
    below = np.cumsum(share)
    for p in (0.1, 0.5, 0.9):
        quantile = np.interp(p, below, value)
        assert (draws <= quantile).mean() == pytest.approx(p, abs=norm.ppf(0.99999) * np.sqrt(p * (1 - p) / 400.0))


@pytest.mark.slow
def test_it_agrees_with_a_marginal_written_by_hand() -> None:
    """Lines of 27 children, whose values are multivariate normal: NumPyro's sampler on that density, no effect in it.

    The data leave the spread of levels near zero, where sampling effects meets a funnel.
    """
    name = "orthodont"
    split, data = hierarchy(name), records(name)
    design = np.stack([np.ones(4), np.asarray(data.time)[:, 0]], axis=1)

    def potential(vector: jax.Array) -> jax.Array:
        at = split.constrain(vector)
        root = jnp.array([at["distance_level_sd"], at["distance_slope_sd"]])[:, None] * at[CHOLESKY]
        covariance = design @ root @ root.T @ design.T + at["distance_sd"] ** 2 * jnp.eye(4)
        mean = design @ jnp.array([at["distance_level"], at["distance_slope"]])
        each = dist.MultivariateNormal(mean, covariance).log_prob(data.values["distance"].T)
        return -jnp.sum(each) - split.log_population(vector, data, prior=True)

    begun = start(name).optimum
    plain = MCMC(Kernel(potential_fn=potential, dense_mass=True), num_warmup=500, num_samples=4000, progress_bar=False)
    plain.run(KEY, init_params=jnp.asarray(begun.vector))
    by_hand = {site: np.asarray(values) for site, values in jax.vmap(split.constrain)(plain.get_samples()).items()}
    found = MarginalNUTS(draws=1000, progress=False).run(EXAMPLES[name].model, data, key=KEY)
    assert int(found.stats["diverging"].sum()) == 0
    for site in ("distance_level", "distance_slope", "distance_level_sd", "distance_slope_sd", "distance_sd"):
        draws, other = found.sites[site].ravel(), by_hand[site]
        assert abs(draws.mean() - other.mean()) < 0.15 * other.std(), site
        assert draws.std() == pytest.approx(other.std(), rel=0.15), site


def test_it_starts_from_a_maximum_at_its_own_level() -> None:
    begun = Start.of_laplace(marginal("wang_additive", "quadrature", 15), records("wang_additive"), key=KEY)
    other = Laplace(level="quadrature", n_nodes=15).maximise(
        marginal("wang_additive", "quadrature", 15), records("wang_additive"), key=KEY
    )
    np.testing.assert_allclose(begun.optimum.vector, other.vector, rtol=1e-6)
