"""The objective is a function of the point: subjects with two modes do not stay in the lower one that a search left."""

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.inference import surface as module
from dpm.inference.climb import Summit, climb
from dpm.inference.conditional import find_modes
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.inference.progress import Line
from dpm.inference.surface import APART, Surface


def squared(records: Records) -> None:
    r"""$y_{ij} \sim N\{(\mu + b_i)^2,\ 1/2\}$: whoever has values near 4 is near 2 or near -2."""
    mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        expected = jnp.broadcast_to((mean + effect) ** 2, records.time.shape)
        numpyro.sample("y", dist.Normal(expected, 0.5).to_event(0).mask(records.observed["y"]), obs=records.values["y"])


def fours(n: int = 6) -> Records:
    values = 4.0 + 0.3 * jax.random.normal(jax.random.key(1), (3, n))
    observed = {"y": jnp.ones((3, n), bool)}
    return Records(jnp.zeros((3, n)), {"y": values}, observed, covariates={}, groups={})


def surface() -> Surface:
    return Surface(Marginal(Hierarchy.of(squared, fours())), fours(), prior=False)


def test_a_search_that_went_too_far_leaves_no_trace() -> None:
    alone = surface().at(np.array([2.0]))
    visited = surface()
    visited.at(np.array([2.0]))
    far = visited.at(np.array([9.0]))
    assert float(far.negative) > float(alone.negative) + APART
    again = visited.at(np.array([2.0]))
    assert float(again.negative) == pytest.approx(float(alone.negative), rel=1e-12)
    np.testing.assert_allclose(again.slope, alone.slope, rtol=1e-9, atol=1e-9)


def test_a_better_mode_is_found_where_a_search_ends() -> None:
    """From the modes near -2, which its own search does not leave, back to those near 2, each as in a fresh search."""
    point, alone = np.array([2.0]), surface()
    fresh = alone.at(point)
    stuck = surface()
    stuck.begin_at(np.full((1, 6), -4.0))
    found = stuck.at(point)
    assert float(found.negative) > float(fresh.negative) + 1.0
    assert stuck.higher_modes(point, found)
    np.testing.assert_allclose(stuck.effects(stuck.at(point)), alone.effects(fresh), atol=1e-7)
    assert not stuck.higher_modes(point, stuck.at(point))


def test_a_climb_from_lower_modes_ends_in_the_higher_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of six subjects begin near -2, and pull the mean to 2/3 until a grid finds them the modes near 2."""
    alone = climb(surface(), np.array([2.0]), 1e-10, np.ones(1))
    made, begun = surface(), np.where(np.arange(6) < 4, 0.0, -4.0)[None]
    forget, times = made.forget, iter(range(100))
    monkeypatch.setattr(made, "forget", lambda: forget() if next(times) else made.begin_at(begun))
    found = climb(made, np.array([2.0]), 1e-10, np.ones(1))
    assert isinstance(alone, Summit)
    assert isinstance(found, Summit)
    assert float(found.point[0]) == pytest.approx(float(alone.point[0]), abs=1e-6)
    assert float(alone.point[0]) == pytest.approx(2.0, abs=0.2)


def test_a_fit_does_not_depend_on_where_it_begins() -> None:
    marginal = Marginal(Hierarchy.of(squared, fours()))
    ends = [
        Laplace().maximise(marginal, fours(), key=jax.random.key(0), start=jnp.array([start])) for start in (0.7, 3.0)
    ]
    assert float(ends[0].vector[0]) == pytest.approx(float(ends[1].vector[0]), abs=1e-6)
    assert ends[0].log_likelihood == pytest.approx(ends[1].log_likelihood, abs=1e-7)


def test_near_a_mode_a_step_may_follow_the_gradient_alone() -> None:
    """The objective of a solver of equations is rough in its sixth digit, and its gradient is not."""

    def rough(effects: jax.Array) -> jax.Array:
        smooth = -0.5 * (effects[0] - 1.0) ** 2 - 0.1 * (effects[0] - 1.0) ** 4
        return smooth + jax.lax.stop_gradient(1e-6 * jnp.sin(1e7 * effects[0]))

    modes = find_modes(rough, jnp.linspace(-2.0, 3.0, 99)[None])
    assert bool(modes.converged.all())
    np.testing.assert_allclose(modes.effects[0], 1.0, atol=1e-8)


def test_totals_of_many_places_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as it is alone and in its order, whatever is left over; a line is told after each piece."""
    monkeypatch.setattr(module, "PIECE", 3)
    told: list[str] = []

    class Listening(Line):
        def tell(self, text: str, *, due: bool = False) -> None:
            told.append(text)

    of = surface()
    size = of.marginal.hierarchy.n_population
    places = jnp.asarray(np.random.default_rng(0).normal(size=(7, size)))
    alone = [float(of.totals(place[None])[0]) for place in places]
    np.testing.assert_allclose(of.totals(places, Listening("totals")), alone, rtol=1e-12)
    assert len(set(alone)) == 7
    assert told == ["draw 3 of 7", "draw 6 of 7", "draw 7 of 7"]
