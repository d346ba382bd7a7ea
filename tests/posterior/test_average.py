"""Averaged predictions are a mixture: one model's own at weight one, in proportion between."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.errors import PosteriorError
from dpm.posterior.average import allocate, average
from dpm.posterior.predict import Predicted

KEY = jax.random.key(2)


def predicted(centre: float, seed: int, draws: int = 4000, outcome: str = "score") -> Predicted:
    rng = np.random.default_rng(seed)
    course = jnp.asarray(centre + rng.normal(size=(draws, 2, 3)))
    measurement = course + jnp.asarray(rng.normal(size=course.shape))
    return Predicted({outcome: course}, {outcome: measurement}, {"death": jnp.full((draws, 3, 2), centre)})


MODELS = {"low": predicted(0.0, 1), "high": predicted(10.0, 2)}


def test_at_weight_one_they_are_that_models() -> None:
    found = average(MODELS, {"low": 0.0, "high": 1.0}, key=KEY)
    for kind in ("course", "measurement", "events"):
        for name, values in getattr(found.predicted, kind).items():
            np.testing.assert_array_equal(values, getattr(MODELS["high"], kind)[name])


def test_a_mixture_has_the_moments_of_a_mixture() -> None:
    found = average(MODELS, {"low": 0.3, "high": 0.7}, key=KEY)
    course = np.asarray(found.predicted.course["score"])
    assert (found.model == 1).sum() == pytest.approx(0.7 * 4000, abs=1)
    assert course.mean() == pytest.approx(7.0, abs=0.03)
    assert course.var() == pytest.approx(1.0 + 0.3 * 0.7 * 10.0**2, rel=0.01)


def test_a_draw_is_of_one_model_throughout() -> None:
    found = average(MODELS, {"low": 0.5, "high": 0.5}, key=KEY)
    expected = np.where(found.model == 0, 0.0, 10.0)
    np.testing.assert_array_equal(np.asarray(found.predicted.events["death"])[:, 0, 0], expected)
    assert np.abs(np.asarray(found.predicted.course["score"]).mean(axis=(1, 2)) - expected).max() < 4.0


def test_counts_are_proportional_and_in_no_order() -> None:
    weights = {"a": 0.111, "b": 0.555, "c": 0.334}
    model = allocate(weights, 1000, key=KEY)
    np.testing.assert_allclose(np.bincount(model) / 1000, list(weights.values()), atol=1e-3 + 1e-12)
    assert (np.diff(model) < 0).sum() > 100
    np.testing.assert_array_equal(model, allocate(weights, 1000, key=KEY))


@pytest.mark.parametrize(
    "weights", [{"low": 1.0}, {"low": 0.5, "other": 0.5}, {"low": 1.2, "high": -0.2}, {"low": 0.4, "high": 0.4}, {}]
)
def test_what_is_no_distribution_over_the_models_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(PosteriorError, match="weights"):
        average(MODELS, weights, key=KEY)


@pytest.mark.parametrize("other", [predicted(0.0, 1, draws=10), predicted(0.0, 1, outcome="other")])
def test_predictions_of_other_things_are_refused(other: Predicted) -> None:
    with pytest.raises(PosteriorError, match="same outcomes and shapes"):
        average({"low": MODELS["low"], "other": other}, {"low": 0.5, "other": 0.5}, key=KEY)
