"""Draws of one level weighed by the next: against exact quadrature, and where weights cannot be relied on."""

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.stats import norm

from dpm.cohort import Records
from dpm.errors import InferenceError
from dpm.inference import refined as module
from dpm.inference.accuracy import Accuracy
from dpm.inference.marginal_nuts import MarginalNUTS, _of_places
from dpm.inference.refined import Refined, Unreached, refined, resampled

from .examples import EXAMPLES, marginal, records

KEY = jax.random.key(7)
SUBJECTS, VISITS = 200, 3


def yes_or_no(data: Records) -> None:
    """Three answers a subject tell little of its level: Laplace's integral over it is far off."""
    spread = numpyro.sample("spread", dist.HalfNormal(2.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            logits = spread * level * jnp.ones_like(data.time)
            numpyro.sample("y", dist.BernoulliLogits(logits).mask(data.observed["y"]), obs=data.values["y"])


def answers() -> Records:
    rng = np.random.default_rng(5)
    chance = 1.0 / (1.0 + np.exp(-1.5 * rng.standard_normal(SUBJECTS)))
    y = (rng.uniform(size=(VISITS, SUBJECTS)) < chance).astype(float)
    return Records(
        time=jnp.zeros(y.shape),
        values={"y": jnp.asarray(y)},
        observed={"y": jnp.ones(y.shape, bool)},
        covariates={},
        groups={},
    )


def exact_moments(data: Records) -> tuple[float, float]:
    """Mean and sd of the spread by Gauss-Hermite quadrature with 120 nodes on a grid: subjects count by their yes's."""
    grid = np.linspace(0.01, 6.0, 1500)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    chance = 1.0 / (1.0 + np.exp(-grid[:, None] * nodes))
    numbers = np.bincount(np.asarray(data.values["y"]).sum(axis=0).astype(int), minlength=VISITS + 1)
    like = np.stack([chance**k * (1.0 - chance) ** (VISITS - k) @ weights for k in range(VISITS + 1)], axis=1)
    log = np.log(like / weights.sum()) @ numbers + norm.logpdf(grid, 0.0, 2.0)
    share = np.exp(log - log.max())
    share /= share.sum()
    mean = float(share @ grid)
    return mean, float(np.sqrt(share @ (grid - mean) ** 2))


def test_draws_of_a_level_that_is_far_off_become_those_of_the_exact_posterior() -> None:
    data = answers()
    method = MarginalNUTS(level="laplace", chains=2, warmup=100, draws=600, progress=False)
    found = method.run(yes_or_no, data, key=KEY)
    mean, sd = exact_moments(data)
    draws = found.sites["spread"]
    assert draws.shape == (2, 600)
    assert float(found.facts["weighed_shift"]) > 0.7  # posterior sd that Laplace's draws were away
    assert float(found.facts["weighed_ess"]) > 200.0
    assert draws.mean() == pytest.approx(mean, abs=0.25 * sd)
    assert draws.std() == pytest.approx(sd, rel=0.2)
    assert found.facts["finer_level"] == "quadrature, 21 nodes" and float(found.facts["finer_shift"]) < 1e-3
    assert "were weighed by quadrature, 15 nodes, which moves the mean of spread by" in found.facts["notes"][0]


def test_each_draw_is_taken_as_often_as_its_weight_says_and_in_order() -> None:
    share = np.random.default_rng(1).dirichlet(np.full(50, 0.3), size=3) / 3.0
    places = resampled(share, key=KEY)
    assert np.all(np.diff(places, axis=1) >= 0)
    for own, weight in zip(places, share, strict=True):
        expected = 50.0 * weight / weight.sum()
        assert np.all(np.abs(np.bincount(own, minlength=50) - expected) < 1.0)
    np.testing.assert_array_equal(resampled(np.full((2, 9), 1.0 / 18.0), key=KEY), np.tile(np.arange(9), (2, 1)))


def test_a_draw_takes_its_density_and_its_divergence_along() -> None:
    steps = {
        "lp": np.array([[1.0, 2.0, 3.0]]),
        "diverging": np.array([[True, False, False]]),
        "energy": np.array([[4.0, 5.0, 6.0]]),
    }
    moved = _of_places(steps, np.array([[1, 2, 2]]))
    np.testing.assert_array_equal(moved["lp"], [[2.0, 3.0, 3.0]])
    np.testing.assert_array_equal(moved["diverging"], [[True, False, False]])  # none is lost with its draw
    np.testing.assert_array_equal(moved["energy"], steps["energy"])
    np.testing.assert_array_equal(_of_places(steps, np.array([[0, 0, 2]]))["diverging"], [[True, True, False]])


def test_an_sd_is_mended_where_no_mean_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrower(x: np.ndarray) -> np.ndarray:
        return -0.5 * (1.0 / 0.7**2 - 1.0) * x**2

    found = by_log_ratios(monkeypatch, narrower, narrower, none)
    assert isinstance(found, Refined)
    assert float(found.facts["weighed_shift"]) < 0.1
    moved = np.take_along_axis(np.asarray(DRAWS)[..., 0], found.places, axis=1)
    assert moved.std() == pytest.approx(0.7, abs=0.06)
    still = by_log_ratios(monkeypatch, narrower, narrower, lambda x: 2.0 * narrower(x))
    assert isinstance(still, Unreached)
    assert re.search(r"and an sd by a factor of 1\.[3-6]", still.got)


Ratios = Callable[[np.ndarray], np.ndarray]


def by_log_ratios(monkeypatch: pytest.MonkeyPatch, *apart: Ratios) -> Refined | Unreached:
    """`refined` of 2 x 300 draws of one standard normal value, with the log ratios of each comparison in turn."""
    turns = iter(apart)

    def compared(*arguments: Any, **_: object) -> Accuracy:
        vectors = next(one for one in arguments if getattr(one, "ndim", 0) > 1)
        flat = np.asarray(vectors).reshape(-1, 1)
        known = Accuracy.by("a finer level", next(turns)(flat[:, 0]), flat, ["decay"])
        return known._replace(log_density=np.zeros(len(flat)))

    monkeypatch.setattr(module, "accuracy", compared)
    found = refined(
        marginal("wang_additive", "laplace", 1),
        records("wang_additive"),
        DRAWS,
        np.zeros(DRAWS.shape[:2]),
        np.zeros((1, 10)),
        checked=100,
        most_shift=0.1,
        progress=False,
        key=KEY,
    )
    assert next(turns, None) is None  # every comparison was asked for
    return found


DRAWS = jnp.asarray(np.random.default_rng(2).standard_normal((2, 300, 1)))


def none(x: np.ndarray) -> np.ndarray:
    return np.zeros(x.shape)


def half(x: np.ndarray) -> np.ndarray:
    """Of a normal half an sd higher."""
    return 0.5 * x


def uneven(x: np.ndarray) -> np.ndarray:
    return np.log(np.random.default_rng(4).standard_cauchy(x.size) ** 2) + 0.5 * x


def far(x: np.ndarray) -> np.ndarray:
    """Of a normal 1.6 sd higher: Pareto k is below its limit, and the mean of such weights a tenth of an sd short."""
    return 1.6 * x


def without_a_chain(x: np.ndarray) -> np.ndarray:
    """The second chain's weights are zero in floating point."""
    return np.where(np.arange(x.size) < 300, 0.5 * x, -800.0)


def lost(x: np.ndarray) -> np.ndarray:
    return np.where(x > 1.0, np.nan, x)


def test_draws_near_the_next_level_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    still = np.tile(np.arange(300), (2, 1))
    for apart in ((none,), (half, none)):  # too few draws may have said otherwise
        found = by_log_ratios(monkeypatch, *apart)
        assert isinstance(found, Refined)
        np.testing.assert_array_equal(found.places, still)
        assert found.facts["finer_shift"] == pytest.approx(0.0, abs=1e-12) and "weighed_by" not in found.facts


def test_weighed_draws_have_the_moments_of_the_next_level(monkeypatch: pytest.MonkeyPatch) -> None:
    found = by_log_ratios(monkeypatch, half, half, none)
    assert isinstance(found, Refined)
    moved = np.take_along_axis(np.asarray(DRAWS)[..., 0], found.places, axis=1)
    assert moved.mean() == pytest.approx(0.5, abs=0.15)
    assert moved.std() == pytest.approx(1.0, abs=0.15)
    assert found.facts["weighed_shift"] == pytest.approx(0.5, abs=0.15)
    # Of a normal moved by d the weights leave exp(-d^2) of the draws.
    assert found.facts["weighed_ess"] == pytest.approx(600 * np.exp(-0.25), rel=0.15)


@pytest.mark.parametrize(
    ("apart", "got"),
    [
        ((half, uneven), "Pareto k [1-9]|Pareto k 0.[789]"),
        ((half, far), "whose weights leave a chain [1-4]?[0-9]$"),
        ((half, without_a_chain), "whose weights leave a chain 0$"),
        ((half, half, half), "0.[3-7][0-9] sd at decay under a finer level"),
        ((lost,), "none under a finer level at some draws"),
        ((half, lost), "none under a finer level at some draws"),
    ],
)
def test_what_weights_do_not_mend_is_said(monkeypatch: pytest.MonkeyPatch, apart: tuple[Ratios, ...], got: str) -> None:
    found = by_log_ratios(monkeypatch, *apart)
    assert isinstance(found, Unreached)
    assert re.search(got, found.got) and found.lost == ("some draws" in found.got)
    assert found.expected.startswith("a marginal likelihood within 0.1 posterior sd of the next level's")


def test_a_run_is_refused_with_those_words() -> None:
    """Nearer than no shift at all is no level: all are weighed, and then the level after is too far as well."""
    method = MarginalNUTS(chains=1, warmup=20, draws=60, progress=False, checked=30, most_shift=-1.0)
    expected = r"within -1.0 posterior sd of the next level's, got 0.00 sd at decay under quadrature, 21 nodes"
    with pytest.raises(InferenceError, match=expected):
        method.run(EXAMPLES["wang_additive"].model, records("wang_additive"), key=KEY)


def test_draws_that_are_all_the_same_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are not said to be where the finer level cannot be computed."""
    monkeypatch.setattr(f"{__name__}.DRAWS", jnp.ones((2, 300, 1)))
    found = by_log_ratios(monkeypatch, none)
    assert isinstance(found, Unreached)
    assert "all the same" in found.got and not found.lost


def test_weights_are_judged_by_as_many_draws_as_that_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(*arguments: Any, **_: object) -> Accuracy:
        seen.append(len(arguments[2]))
        return Accuracy.by("a finer level", np.zeros(seen[-1]), np.asarray(arguments[2]), ["decay"])

    monkeypatch.setattr(module, "accuracy", counted)
    settings: dict[str, Any] = {"most_shift": 0.1, "progress": False, "key": KEY}
    draws = marginal("wang_additive", "laplace", 1), records("wang_additive"), DRAWS, np.zeros(DRAWS.shape[:2])
    for checked in (1, 100):
        assert isinstance(refined(*draws, np.zeros((1, 10)), checked=checked, **settings), Refined)
    assert seen == [30, 100]


def test_a_mean_that_lies_too_far_is_not_reached_by_many_draws_either(monkeypatch: pytest.MonkeyPatch) -> None:
    many = np.random.default_rng(6).standard_normal((2, 5_000, 1))
    monkeypatch.setattr(f"{__name__}.DRAWS", jnp.asarray(many))
    found = by_log_ratios(monkeypatch, far, far)
    assert isinstance(found, Unreached)
    assert re.search(r"1\.[56][0-9] sd at decay.* leave a chain [1-9][0-9]{2}$", found.got)
