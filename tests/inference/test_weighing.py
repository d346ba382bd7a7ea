"""What a guide's weights say of it, where the posterior is a standard normal and its own sd is known."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.inference.elbo import Target
from dpm.inference.guide import Shape
from dpm.inference.start import Start
from dpm.inference.variational import Variational
from dpm.inference.weighing import _ratios, reliable, smoothed_or_lost, widening

from .examples import hierarchy, marginal, records

DRAWS, RUNS = 2000, 60


def weighed(sd: float, seed: int, freedom: float | None = None) -> tuple[float, float, float]:
    """Pareto k, widening and weighted sd of draws of a normal or t guide of this scale."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=DRAWS)
    log_q = -0.5 * z**2
    if freedom is not None:
        z = z / np.sqrt(rng.gamma(freedom / 2, size=DRAWS) / (freedom / 2))
        log_q = -(freedom + 1) / 2 * np.log1p(z**2 / freedom)
    share, k = smoothed_or_lost(-0.5 * (sd * z) ** 2 - log_q)
    draws = sd * z
    return k, widening(draws[:, None], share), float(np.sqrt(share @ (draws - share @ draws) ** 2))


def test_weights_mend_a_guide_that_is_a_little_narrow() -> None:
    found = np.array([weighed(0.8, seed) for seed in range(RUNS)])
    assert (found[:, 0] < 0.7).all()
    assert found[:, 1].mean() == pytest.approx(1.25, abs=0.02)
    assert found[:, 2].mean() == pytest.approx(1.0, abs=0.02)


def test_a_pareto_k_alone_lets_a_far_too_narrow_guide_pass() -> None:
    """With sd 0.3 a share of runs has a k below 0.7 and a weighted sd near half the truth; none is called reliable."""
    found = np.array([weighed(0.3, seed) for seed in range(RUNS)])
    passed = found[:, 0] <= 0.7
    assert passed.mean() > 0.1
    assert found[passed, 2].mean() < 0.7
    assert not any(reliable(k, narrow) for k, narrow, _ in found)


@pytest.mark.parametrize("freedom", [None, 12.0])
@pytest.mark.parametrize("sd", [0.4, 0.5, 0.6, 0.7, 0.9, 1.1])
def test_what_is_called_reliable_has_the_sd_of_the_posterior(sd: float, freedom: float | None) -> None:
    found = [weighed(sd, seed, freedom) for seed in range(RUNS)]
    kept = np.array([weighted for k, narrow, weighted in found if reliable(k, narrow)])
    if sd >= 0.7:
        assert kept.size > 0.9 * RUNS
        assert kept.mean() == pytest.approx(1.0, abs=0.04)
    assert kept.size == 0 or kept.mean() > 0.85
    if sd <= 0.5:
        assert kept.size <= 0.1 * RUNS


def test_a_weight_that_cannot_be_computed_is_no_weight() -> None:
    share, k = smoothed_or_lost(np.array([0.0, np.nan, 1.0]))
    assert k == np.inf and not reliable(k, 1.0)
    assert share.tolist() == [1 / 3] * 3
    share, k = smoothed_or_lost(np.zeros(50))
    assert k == -np.inf and reliable(k, 1.0)


def test_the_weight_of_everything_is_that_of_population_values_times_those_of_subjects() -> None:
    r"""$p(y, b, \varphi)/q = p(\varphi)\,p(y \mid \varphi)/q(\varphi) \prod_i p(b_i \mid y_i, \varphi)/q(b_i)$.

    Whatever the marginal likelihood is taken to be; with a spread that lies on the bent scale.
    """
    name, key = "poisson", jax.random.key(3)
    split, data, prepared = hierarchy(name), records(name), marginal(name, "laplace", 1)
    assert split.near_zero().any()
    whitening = Start.of_laplace(prepared, data, key=key).whitening
    shape = Shape(split.n_population, split.n_effects, data.n_subjects)
    target = Target(split, Variational()._guide(split), shape, 1)
    everybody = jnp.arange(data.n_subjects)
    begun = target.guide.begin(shape, 0.7, key=key)
    found = _ratios(jax.random.split(key, 6), begun, whitening, data, everybody, target, prepared)[2]
    product = found.population + found.subjects.sum(axis=1)
    np.testing.assert_allclose(found.joint, product, rtol=1e-9)
    assert float(jnp.ptp(found.joint)) > 0.1
