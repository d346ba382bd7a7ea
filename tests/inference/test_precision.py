"""In single precision the posterior is the same, its densities are checked, and a run can be gone on with."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.errors import InferenceError
from dpm.inference import precision
from dpm.inference.checkpoint import Checkpoint
from dpm.inference.draws import Draws
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.nuts import NUTS
from dpm.inference.precision import cast, computing, error_of
from dpm.inference.progress import Ticker

from . import wang
from .examples import hierarchy
from .test_nuts import TRUTH, cohort, model, summary


@pytest.fixture(scope="module")
def single() -> Draws:
    method = NUTS(chains=2, warmup=200, draws=500, precision="float32", progress=False)
    return method.run(model(), cohort()[0], key=jax.random.key(2))


@pytest.fixture(scope="module")
def double() -> Draws:
    return NUTS(chains=2, warmup=200, draws=500, progress=False).run(model(), cohort()[0], key=jax.random.key(2))


def test_the_posterior_is_that_of_double_precision(single: Draws, double: Draws) -> None:
    one, other = summary(single), summary(double)
    for name in TRUTH:
        assert one[name][0] == pytest.approx(other[name][0], abs=0.2 * other[name][1]), name
        assert one[name][1] == pytest.approx(other[name][1], rel=0.15), name


def test_densities_and_energies_are_whole_ones(single: Draws, double: Draws) -> None:
    """What is taken off every subject's density for the sampler is put back."""
    assert single.stats["lp"].dtype == np.float64
    assert single.stats["lp"].mean() == pytest.approx(double.stats["lp"].mean(), abs=2.0)
    assert single.stats["energy"].mean() == pytest.approx(double.stats["energy"].mean(), abs=4.0)
    assert 0.0 < single.facts["float32_error"] < 1e-3
    assert "float32_error" not in double.facts


def test_draws_are_given_in_double_precision(single: Draws) -> None:
    """Values follow from the sampler's variables in double precision: a unit diagonal is one to its digits."""
    assert all(value.dtype == np.float64 for value in single.sites.values())
    diagonal = np.diagonal(single.sites["subject_correlation"], axis1=-2, axis2=-1)
    np.testing.assert_allclose(diagonal, 1.0, rtol=1e-14)
    assert jnp.zeros(1).dtype == jnp.float64  # afterwards as before


def test_an_error_that_matters_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "MOST_ERROR", 1e-9)
    method = NUTS(chains=2, warmup=20, draws=20, precision="float32", progress=False)
    with pytest.raises(InferenceError, match=r'precision="float64"'):
        method.run(wang.model("additive"), wang.records(), key=jax.random.key(0))


def test_the_error_is_the_spread_of_what_is_left() -> None:
    at = jnp.linspace(0.0, 1.0, 400)
    exact = np.asarray(-0.5 * at**2)
    wave = 0.05 * np.sin(np.arange(400))
    assert error_of(exact + wave + 7.0, lambda x: -0.5 * x**2, at) == pytest.approx(0.05 / np.sqrt(2.0), rel=0.05)
    with pytest.raises(InferenceError, match="err by at most"):
        error_of(exact + 4.0 * wave, lambda x: -0.5 * x**2, at)
    with pytest.raises(InferenceError, match="nan"):
        error_of(np.full(400, np.nan), lambda x: -0.5 * x**2, at)


def test_numbers_are_cast_and_nothing_else() -> None:
    tree = {"x": jnp.ones(2), "k": jnp.arange(2), "seen": jnp.array([True]), "key": jax.random.key(0)}
    cast_to = cast(tree, "float32")
    assert (cast_to["x"].dtype, cast_to["k"].dtype, cast_to["seen"].dtype) == (jnp.float32, jnp.int32, bool)
    assert cast_to["key"] is tree["key"]
    assert cast(tree, "float64") is tree
    with computing("float32"):
        assert jnp.zeros(1).dtype == jnp.float32
    with computing("float64"):
        assert jnp.zeros(1).dtype == jnp.float64


def test_a_run_in_single_precision_is_gone_on_with(tmp_path: Path) -> None:
    whole = NUTS(chains=2, warmup=20, draws=40, precision="float32", progress=False)
    kept = Checkpoint(folder=tmp_path)
    first = NUTS(chains=2, warmup=20, draws=20, precision="float32", progress=False, checkpoint=kept)
    given = wang.model("additive"), wang.records()
    straight = whole.run(*given, key=jax.random.key(1))
    first.run(*given, key=jax.random.key(1))
    again = first.run(*given, key=jax.random.key(1))
    np.testing.assert_array_equal(again.sites["decay"], straight.sites["decay"][:, :20])
    other = NUTS(chains=2, warmup=20, draws=20, progress=False, checkpoint=kept)
    with pytest.raises(InferenceError):
        other.run(*given, key=jax.random.key(1))


def test_a_run_of_a_composed_model_is_gone_on_with_from_its_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The density at the saved places is computed in single precision too."""
    kept = Checkpoint(folder=tmp_path, draws=10)
    method = NUTS(chains=2, warmup=20, draws=20, max_tree_depth=4, precision="float32", progress=False, checkpoint=kept)
    given = model(), cohort()[0]
    whole = replace(method, checkpoint=None).run(*given, key=jax.random.key(1))

    def tell(ticker: Ticker, step: int, divergences: int) -> None:
        if step >= 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ticker, "tell", tell)
        with pytest.raises(KeyboardInterrupt):
            method.run(*given, key=jax.random.key(1))
    again = method.run(*given, key=jax.random.key(1))
    for name in TRUTH:
        np.testing.assert_array_equal(again.sites[name], whole.sites[name])
    np.testing.assert_array_equal(again.stats["lp"], whole.stats["lp"])


def test_models_of_single_precision_leave_double_ones_alone() -> None:
    """The same compiled functions serve both, by the kind of their arguments."""
    made: Hierarchy = hierarchy("wang_additive")
    before = made.log_population(made.prior_centre(), wang.records(), prior=True)
    method = NUTS(chains=2, warmup=10, draws=10, precision="float32", progress=False)
    method.run(wang.model("additive"), wang.records(), key=jax.random.key(0))
    after = made.log_population(made.prior_centre(), wang.records(), prior=True)
    assert after.dtype == jnp.float64
    assert float(after) == float(before)
